"""Exercise 7.2: the mean surprise of a model, from its logits."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import loss
from llmlib.loss import IGNORED


def _case(g: torch.Generator, *shape: int, scale: float = 1.5, dtype=torch.float32, gradient=False) -> Case:
    """Logits of different sizes in each row, and targets that are seldom the likeliest token."""
    logits = scale * normal(g, *shape, dtype=dtype) + normal(g, *shape[:-1], 1, dtype=dtype)
    return Case({"logits": logits, "targets": _targets(g, *shape)}, gradient=gradient)


def _targets(g: torch.Generator, *shape: int) -> Tensor:
    return torch.randint(shape[-1], shape[:-1], generator=g)


def _rows(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 5)
    yield _case(g, 4, 3)
    yield _case(g, 4, 4)  # square: a maximum or a sum without keepdim broadcasts the wrong way


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 3, 5)
    yield _case(g, 2, 2, 3, 4)
    yield _case(g, 6)  # one place only


def _large(g: torch.Generator) -> Iterator[Case]:
    case = _case(g, 2, 3, 5)
    # Each row far away from zero, and from the other rows.
    shift = torch.tensor([[[95.0], [-110.0], [0.0]], [[-95.0], [110.0], [60.0]]])
    yield Case({**case.arguments, "logits": case.arguments["logits"] + shift})
    # A target so unlikely that its probability is 0 in float32, and even in float64.
    far = 100 * torch.stack([torch.randperm(4, generator=g) for _ in range(3)]).float() + 700
    yield Case({"logits": far, "targets": far.argmin(dim=-1)})
    # Logits whose exp does not fit into float64 either, and likely targets.
    case = _case(g, 2, 4)
    yield Case({**case.arguments, "logits": case.arguments["logits"] + 800})


def _ignored(g: torch.Generator) -> Iterator[Case]:
    case = _case(g, 2, 4, 5)
    targets = case.arguments["targets"].clone()
    places = torch.randperm(4, generator=g)
    targets[0, places[:3]] = IGNORED
    targets[1, places[3]] = IGNORED
    yield Case({**case.arguments, "targets": targets})
    case = _case(g, 3, 4)
    targets = case.arguments["targets"].clone()
    targets[int(torch.randint(3, (), generator=g))] = IGNORED
    yield Case({**case.arguments, "targets": targets})


def _gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 3, 4, dtype=torch.float64, gradient=True)
    case = _case(g, 3, 5, gradient=True)
    yield Case({**case.arguments, "logits": case.arguments["logits"].t().contiguous().t()}, gradient=True)


# --- Mistakes


def _log_total(logits, dim=-1):
    highest = logits.amax(dim=dim, keepdim=True)
    return (logits - highest).exp().sum(dim=dim).log() + highest.squeeze(dim)


def _surprises(logits, targets):
    """What is right for each place; targets that are ignored get 0."""
    safe = targets.where(targets != IGNORED, 0)
    return (_log_total(logits) - logits.gather(-1, safe[..., None])[..., 0]) * (targets != IGNORED)


def _mean(surprises, targets):
    return surprises.sum() / (targets != IGNORED).sum()


def _changed(change):
    """The right answer with its end changed: `change(mean, logits, targets)`."""
    return lambda logits, targets: change(_mean(_surprises(logits, targets), targets), logits, targets)


def _softmax_twice(logits, targets):
    return _mean(_surprises(logits.softmax(dim=-1), targets), targets)


def _overflows(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    surprises = logits.exp().sum(dim=-1).log() - logits.gather(-1, safe[..., None])[..., 0]
    return _mean(surprises * (targets != IGNORED), targets)


def _one_maximum(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    log_total = (logits - logits.max()).exp().sum(dim=-1).log() + logits.max()
    surprises = log_total - logits.gather(-1, safe[..., None])[..., 0]
    return _mean(surprises * (targets != IGNORED), targets)


def _maximum_not_added(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    surprises = shifted.exp().sum(dim=-1).log() - logits.gather(-1, safe[..., None])[..., 0]
    return _mean(surprises * (targets != IGNORED), targets)


def _log_of_softmax(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    chosen = logits.softmax(dim=-1).gather(-1, safe[..., None])[..., 0]
    return _mean(-chosen.log().where(targets != IGNORED, 0.0), targets)


def _small_number_added(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    chosen = logits.softmax(dim=-1).gather(-1, safe[..., None])[..., 0]
    return _mean(-(chosen + 1e-8).log().where(targets != IGNORED, 0.0), targets)


def _flat_only(logits, targets):
    asked = targets != IGNORED
    places = torch.arange(logits.shape[0], device=logits.device)[asked]
    return (_log_total(logits)[asked] - logits[places, targets[asked]]).mean()


def _flat_only_and_nothing_ignored(logits, targets):
    places = torch.arange(logits.shape[0], device=logits.device)
    return (_log_total(logits) - logits[places, targets]).mean()


def _no_logarithm(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    chosen = logits.softmax(dim=-1).gather(-1, safe[..., None])[..., 0]
    return _mean((1 - chosen) * (targets != IGNORED), targets)


def _log_of_the_mean(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    chosen = logits.softmax(dim=-1).gather(-1, safe[..., None])[..., 0]
    return -_mean(chosen * (targets != IGNORED), targets).log()


def _every_column(logits, targets):
    """`logits[:, targets]`: every row meets the targets of all rows."""
    asked = targets.flatten()[targets.flatten() != IGNORED]
    flat = logits.reshape(-1, logits.shape[-1])[targets.flatten() != IGNORED]
    log_total = _log_total(flat)[:, None]
    return (log_total - flat[:, asked]).mean()


def _likeliest(logits, targets):
    """The surprise of the model's own favourite."""
    surprises = _log_total(logits) - logits.amax(dim=-1)
    return _mean(surprises * (targets != IGNORED), targets)


def _first_dimension(logits, targets):
    flat, asked = logits.reshape(-1, logits.shape[-1]), targets.flatten()
    safe = asked.where(asked != IGNORED, 0)
    surprises = (_log_total(flat, 0) - flat).gather(-1, safe[:, None])[:, 0]
    return _mean(surprises * (asked != IGNORED), asked)


def _yes_or_no(logits, targets):
    """Binary cross-entropy: the other tokens are counted, too."""
    hot = torch.nn.functional.one_hot(targets.where(targets != IGNORED, 0), logits.shape[-1])
    p = logits.softmax(dim=-1)
    surprises = -torch.where(hot.bool(), p.log(), (1 - p).log()).sum(dim=-1)
    return _mean(surprises.where(targets != IGNORED, 0.0), targets)


def _ignored_counted(logits, targets):
    return _surprises(logits, targets).mean()


def _ignored_as_first(logits, targets):
    return _surprises(logits, targets.clamp(min=0)).mean()


def _mean_of_means(logits, targets):
    """Row by row, and then the mean of the rows."""
    if targets.dim() < 2:
        return _mean(_surprises(logits, targets), targets)
    surprises = _surprises(logits, targets).flatten(0, -2)
    asked = (targets != IGNORED).flatten(0, -2)
    return (surprises.sum(dim=-1) / asked.sum(dim=-1)).mean()


def _not_ignored(logits, targets):
    logits, targets = logits.reshape(-1, logits.shape[-1]), targets.flatten()
    surprises = _log_total(logits) - logits.gather(-1, targets[:, None])[:, 0]  # -100: out of range
    return surprises.mean()


def _log_of_softmax_and_nothing_ignored(logits, targets):
    return -logits.softmax(dim=-1).gather(-1, targets[..., None]).log().mean()


def _overflows_and_nothing_ignored(logits, targets):
    return (logits.exp().sum(dim=-1).log() - logits.gather(-1, targets[..., None])[..., 0]).mean()


def _probability_kept_up(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    chosen = logits.softmax(dim=-1).gather(-1, safe[..., None])[..., 0].clamp(min=1e-9)
    return _mean(-chosen.log().where(targets != IGNORED, 0.0), targets)


def _maximum_without_its_axis(logits, targets):
    asked = targets != IGNORED
    logits, targets = logits[asked], targets[asked]
    shifted = logits - logits.amax(dim=-1)
    return (shifted.exp().sum(dim=-1).log() - shifted[torch.arange(len(targets)), targets]).mean()


def _more_digits(logits, targets):
    wide = logits.double()
    safe = targets.where(targets != IGNORED, 0)
    surprises = wide.exp().sum(dim=-1).log() - wide.gather(-1, safe[..., None])[..., 0]
    return _mean(surprises * (targets != IGNORED), targets).to(logits.dtype)


def _cut_logits(logits, targets):
    return _mean(_surprises(logits.clamp(-80, 80), targets), targets)


def _mean_of_exponentials(logits, targets):
    surprises = _surprises(logits, targets) - math.log(logits.shape[-1])
    return _mean(surprises * (targets != IGNORED), targets)


def _target_s_logit_shifted(logits, targets):
    safe = targets.where(targets != IGNORED, 0)
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    surprises = _log_total(logits) - shifted.gather(-1, safe[..., None])[..., 0]
    return _mean(surprises * (targets != IGNORED), targets)


def _one_hot_times_log(logits, targets):
    """0 times minus infinity is NaN; and `one_hot` takes no -100."""
    hot = torch.nn.functional.one_hot(targets, logits.shape[-1])
    return -(hot * logits.softmax(dim=-1).log()).sum(dim=-1).mean()


def _one_hot_times_log_of_the_asked(logits, targets):
    return _one_hot_times_log(logits[targets != IGNORED], targets[targets != IGNORED])


def _ignored_only(logits, targets):
    surprises = _surprises(logits, targets.clamp(min=0))
    return surprises[targets == IGNORED].mean()


def _token_0_ignored(logits, targets):
    return _surprises(logits, targets.clamp(min=0))[targets > 0].mean()


def _ignored_logits_are_zeros(logits, targets):
    asked = targets != IGNORED
    return _surprises(logits * asked[..., None], targets.where(asked, 0)).mean()


MISCONCEPTIONS = (
    Misconception(
        "log-of-softmax-and-nothing-ignored",
        "the probabilities are computed first, and nothing is ignored",
        "A tiny probability becomes 0 before its logarithm is taken: the logarithm of a quotient is a "
        "difference. And -100 is no token: keep such targets out before you look anything up.",
        _log_of_softmax_and_nothing_ignored,
    ),
    Misconception(
        "overflows-and-nothing-ignored",
        "exp overflows when the logits are large, and nothing is ignored",
        "exp(89) does not fit into float32: what may be taken away from all logits of a place first? And "
        "-100 is no token: keep such targets out before you look anything up.",
        _overflows_and_nothing_ignored,
    ),
    Misconception(
        "flat-only",
        "the logits are taken to have two axes, one row for each place",
        "A model's logits have a row for each place of each text: three axes. Look the targets up along the "
        "last axis, whatever stands before it, or flatten both first.",
        _flat_only,
    ),
    Misconception(
        "flat-only-and-nothing-ignored",
        "the logits are taken to have two axes, one row for each place, and nothing is ignored",
        "A model's logits have a row for each place of each text: three axes. Look the targets up along the "
        "last axis, whatever stands before it, or flatten both first. And -100 is no token.",
        _flat_only_and_nothing_ignored,
    ),
    Misconception(
        "maximum-without-its-axis",
        "the places' largest logits are taken away along the wrong axis",
        "The logits have a row for each place. What shape must the largest ones have, so that each meets its "
        "own row? Look at `keepdim`.",
        _maximum_without_its_axis,
    ),
    Misconception(
        "probability-kept-up",
        "a tiny probability is raised to a least one, so that no surprise is larger than its logarithm",
        "That hides the overflow and changes the loss. The logarithm of a quotient is a difference.",
        _probability_kept_up,
    ),
    Misconception(
        "more-digits",
        "exp is computed in float64, which only overflows a little later",
        "exp(710) does not fit into float64 either. What may be taken away from all logits of a place first?",
        _more_digits,
    ),
    Misconception(
        "logits-cut-off",
        "large logits are cut off before `exp`, so that different ones become equal",
        "That hides the overflow and changes the loss. What may be taken away from all logits of a place, "
        "and changes nothing?",
        _cut_logits,
    ),
    Misconception(
        "one-hot-times-log",
        "a row of zeros and a one is multiplied by logarithms, of which some are minus infinity, and "
        "`one_hot` is given targets that are to be ignored",
        "0 times minus infinity is NaN. The logarithm of a quotient is a difference: no probability need be "
        "written down. And -100 is no token.",
        _one_hot_times_log,
    ),
    Misconception(
        "one-hot-times-log-of-the-asked",
        "a row of zeros and a one is multiplied by logarithms, of which some are minus infinity",
        "0 times minus infinity is NaN. The logarithm of a quotient is a difference: no probability need be "
        "written down.",
        _one_hot_times_log_of_the_asked,
    ),
    Misconception(
        "mean-of-exponentials",
        "the logarithm is taken of the mean of the exponentials, not of their sum",
        "The probabilities of all tokens add up to 1. What is `exp` divided by for that?",
        _mean_of_exponentials,
    ),
    Misconception(
        "target-s-logit-shifted",
        "the largest logit is taken away from the target's logit too, and added again to the logarithm only",
        "Either both are shifted, and nothing is added again, or neither is.",
        _target_s_logit_shifted,
    ),
    Misconception(
        "softmax-twice",
        "the logits go through softmax before they get here, so softmax is applied twice",
        "The logits are the model's plain numbers. Turn them into probabilities once.",
        _softmax_twice,
    ),
    Misconception(
        "overflows",
        "exp overflows when the logits are large",
        "exp(89) does not fit into float32. What may be taken away from all logits of a place first?",
        _overflows,
    ),
    Misconception(
        "one-maximum-for-all",
        "the largest logit of all places is taken away, not each place's own",
        "A place far below that number underflows to zeros, whose logarithm is minus infinity.",
        _one_maximum,
    ),
    Misconception(
        "maximum-not-added",
        "the maximum is taken away inside the logarithm and not put back outside",
        "The logarithm of the sum became smaller by exactly what you took away.",
        _maximum_not_added,
    ),
    Misconception(
        "log-of-softmax",
        "the probabilities are computed first, and a tiny one has become 0 before its logarithm is taken",
        "The logarithm of a quotient is a difference: write it so that no probability is ever needed.",
        _log_of_softmax,
    ),
    Misconception(
        "small-number-added",
        "a small number is added to the probability, so that no surprise is larger than about 18",
        "That hides the overflow and changes the loss. The logarithm of a quotient is a difference.",
        _small_number_added,
    ),
    Misconception(
        "sum",
        "the surprises are added up and not divided by their number",
        "A batch twice as large should not be twice as wrong.",
        _changed(lambda mean, logits, targets: mean * (targets != IGNORED).sum()),
    ),
    Misconception(
        "divided-by-the-texts",
        "the sum is divided by the number of texts, not by the number of targets",
        "Each place of each text was a question, so there are as many of them as there are targets.",
        _changed(lambda mean, logits, targets: mean * (targets != IGNORED).sum() / len(logits)),
    ),
    Misconception(
        "perplexity",
        "the exponential of the mean is returned: that is a perplexity",
        "The loss is the mean surprise itself.",
        _changed(lambda mean, logits, targets: mean.exp()),
    ),
    Misconception(
        "divided-by-the-vocabulary-too",
        "the sum is divided by all logits, not by the number of places",
        "How many predictions were made? One for each place, however many tokens there are to choose from.",
        _changed(lambda mean, logits, targets: mean / logits.shape[-1]),
    ),
    Misconception(
        "bits",
        "the logarithm is to the base 2: these are bits",
        "Losses are given in nats: the natural logarithm.",
        _changed(lambda mean, logits, targets: mean / torch.tensor(2.0, dtype=mean.dtype).log()),
    ),
    Misconception(
        "base-ten",
        "the logarithm is to the base 10",
        "Losses are given in nats: the natural logarithm, `log`.",
        _changed(lambda mean, logits, targets: mean / torch.tensor(10.0, dtype=mean.dtype).log()),
    ),
    Misconception(
        "negative",
        "the sign is turned: the loss falls as the model gets worse",
        "The logarithm of a probability is negative; a surprise is not.",
        _changed(lambda mean, logits, targets: -mean),
    ),
    Misconception(
        "no-logarithm",
        "what is missing to probability 1 is averaged, without a logarithm",
        "How surprising is a thing of probability p? Look at the table above the exercise.",
        _no_logarithm,
    ),
    Misconception(
        "log-of-the-mean",
        "the probabilities are averaged, and the logarithm is taken of the average",
        "Each place has a surprise of its own; the average comes last.",
        _log_of_the_mean,
    ),
    Misconception(
        "every-column",
        "every place meets the targets of all places",
        "Indexing with `[:, targets]` takes those columns of every row. Each row has one target.",
        _every_column,
    ),
    Misconception(
        "likeliest",
        "the surprise of the likeliest token is taken, not that of the target",
        "The model is judged by the token that came, not by its own favourite.",
        _likeliest,
    ),
    Misconception(
        "wrong-dimension",
        "the probabilities add up to 1 over the places, not over the vocabulary",
        "Each place has its own distribution, along the last dimension.",
        _first_dimension,
    ),
    Misconception(
        "yes-or-no",
        "the tokens that did not come are counted, too, as in a yes-or-no loss",
        "Raising the target's probability lowers the others by itself. Only the target counts.",
        _yes_or_no,
    ),
    Misconception(
        "ignored-are-counted",
        "ignored places add nothing to the sum, but count in what it is divided by",
        "How many predictions were asked for? Only those make the mean.",
        _ignored_counted,
    ),
    Misconception(
        "ignored-as-token-0",
        "ignored places are judged as if token 0 had come",
        "Their logits are anything. They may add nothing at all.",
        _ignored_as_first,
    ),
    Misconception(
        "only-the-ignored",
        "only the targets that are to be ignored are counted",
        "Which targets are real: those equal to `IGNORED`, or the others?",
        _ignored_only,
    ),
    Misconception(
        "token-0-ignored",
        "token 0 is left out as well, as if it were no token",
        "Token 0 is a token like any other. Only -100 marks what is not asked.",
        _token_0_ignored,
    ),
    Misconception(
        "ignored-logits-are-zeros",
        "the logits of ignored places are set to zero, which is a surprise too, and these places are counted",
        "A row of zeros gives every token the same probability: that costs ln V. Leave the whole place out.",
        _ignored_logits_are_zeros,
    ),
    Misconception(
        "mean-of-means",
        "each text is averaged for itself, so a target in a text with few targets counts more",
        "Every target counts the same: add up everything first, and divide once.",
        _mean_of_means,
    ),
    Misconception(
        "nothing-ignored",
        "targets that are to be ignored are looked up like the others",
        "-100 is no token. Find out which targets are real before you look anything up.",
        _not_ignored,
    ),
    Misconception(
        "cut-off",
        "the result is cut off from the graph, so that nothing can be learned from it",
        "`item()`, `float()` and `detach()` end the way back. Return the tensor itself.",
        lambda logits, targets: _mean(_surprises(logits.detach(), targets), targets),
    ),
)


# --- Right answers in another form


def _shifted_logits(logits, targets):
    asked = targets != IGNORED
    logits, targets = logits[asked], targets[asked]
    shifted = logits - logits.max(dim=-1, keepdim=True).values
    log_probabilities = shifted - shifted.exp().sum(-1, keepdim=True).log()
    return -log_probabilities[torch.arange(len(targets)), targets].mean()


def _with_one_hot(logits, targets):
    asked = (targets != IGNORED).reshape(-1)
    logits, targets = logits.reshape(-1, logits.shape[-1])[asked], targets.reshape(-1)[asked]
    hot = targets[:, None] == torch.arange(logits.shape[-1], device=logits.device)
    highest = logits.detach().amax(dim=-1)
    surprises = (logits - highest[:, None]).exp().sum(dim=-1).log() + highest - (logits * hot).sum(dim=-1)
    return surprises.sum() / len(targets)


def _differences_to_the_target(logits, targets):
    """log Σ exp(z - z_target): the target's own logit is taken away first."""
    total, count = logits.new_zeros(()), 0
    for row, target in zip(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1).tolist(), strict=True):
        if target != IGNORED:
            ahead = row - row[target]
            highest = ahead.max()
            total, count = total + highest + (ahead - highest).exp().sum().log(), count + 1
    return total / count


def _two_at_a_time(logits, targets):
    """log(exp a + exp b), over and over: a running logarithm of the sum."""
    running = logits[..., 0]
    for token in range(1, logits.shape[-1]):
        running = torch.logaddexp(running, logits[..., token])
    asked = (targets != -100).to(logits.dtype)
    chosen = torch.take_along_dim(logits, targets.clamp(min=0)[..., None], dim=-1).squeeze(-1)
    return ((running - chosen) * asked).sum() / asked.sum()


def _nanmean(logits, targets):
    """Places that are not asked become NaN, and the mean passes them over."""
    shifted = logits - logits.detach().amax(dim=-1, keepdim=True)
    chosen = shifted.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    surprises = shifted.exp().sum(dim=-1).log() - chosen
    return torch.where(targets == IGNORED, torch.nan, surprises).nanmean()


ALTERNATIVES = (
    Alternative("logarithms of all probabilities, then one for each place", _shifted_logits),
    Alternative("a product with one-hot rows", _with_one_hot),
    Alternative("place by place, from the target's own logit", _differences_to_the_target),
    Alternative("logits added two at a time", _two_at_a_time),
    Alternative("ignored places as NaN, and a mean that passes them over", _nanmean),
)

EXERCISE = Exercise(
    name="loss.cross_entropy",
    number="7.2",
    title="Cross-entropy",
    minutes=15,
    difficulty=2,
    reference=loss.cross_entropy,
    checks=(
        Check("averages each target's surprise, in nats", 2, _rows),
        Check("takes logits of any number of axes", 1, _batches),
        Check("bears large logits and unlikely targets", 2, _large),
        Check("leaves ignored targets out", 1, _ignored),
        Check("lets the right gradient through", 1, _gradients),
    ),
    hints=(
        "Do the worked example with a pencil. For one place: the logarithm of the sum of all exponentials, "
        "less the target's logit.",
        "Take the place's largest logit away before `exp` and add it again after `log`. The largest of each "
        "place, with `keepdim=True`, has a shape that fits.",
        "`gather(-1, index)` wants an index with as many axes as the logits: `targets[..., None]`. Ignored "
        "targets are no valid index; replace them first, and keep only the other places for the mean.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={
        "chosen = logits.gather(-1, targets.where(asked, 0)[..., None])[..., 0]  ⟶  0 becomes 1": (
            "which logit stands in for an ignored target does not matter, since the place is left out"
        ),
    },
    forbidden=(
        "torch.nn.functional.cross_entropy",
        "torch.nn.functional.nll_loss",
        "torch.nn.functional.log_softmax",
        "torch.log_softmax",
        "torch.Tensor.log_softmax",
        "torch.logsumexp",
        "torch.Tensor.logsumexp",
        "aten::_log_softmax",
        "aten::logsumexp",
        "aten::nll_loss_forward",
        "aten::cross_entropy_loss",
    ),
)
