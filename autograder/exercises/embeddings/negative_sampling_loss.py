"""Exercise 2.5: the loss of skip-gram with negative sampling, written so that it survives large scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import skipgram


def _case(g: torch.Generator, batch: int, d: int, n: int, gradient: bool = False, **options: object) -> Case:
    shapes = {"centre": (batch, d), "neighbour": (batch, d), "negatives": (batch, n, d)}
    vectors = {name: normal(g, *shape, **options) for name, shape in shapes.items()}  # type: ignore[arg-type]
    return Case(vectors, gradient=gradient)


def _one_pair(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 1, 3, 1)
    yield _case(g, 1, 4, 3)


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 4, 2)
    yield _case(g, 4, 4, 4)  # all sizes equal: sums over the wrong dimension fit
    yield _case(g, 2, 5, 6)


def _large_scores(g: torch.Generator) -> Iterator[Case]:
    far = 20.0 * torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    near = normal(g, 2, 3)
    # A true neighbour far away, then a drawn one close by, at scores of 400: the loss is large, not infinite.
    yield Case({"centre": far, "neighbour": -far + near, "negatives": 0.1 * normal(g, 2, 2, 3)})
    yield Case({"centre": far, "neighbour": near, "negatives": (far + normal(g, 2, 3))[:, None]})
    yield Case({"centre": far, "neighbour": far, "negatives": normal(g, 2, 2, 3) - 2 * far[:, None]})


def _gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 4, 2, gradient=True, dtype=torch.float64)


# --- Mistakes


def _scores(centre: Tensor, neighbour: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    return torch.einsum("bd,bd->b", centre, neighbour), torch.einsum("bd,bnd->bn", centre, negatives)


def _log_sigmoid(x: Tensor) -> Tensor:
    """The right result, by another road than the reference."""
    return x.clamp(max=0) - torch.log1p(torch.exp(-x.abs()))


def _two_parts(centre: Tensor, neighbour: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of the true pairs, and of the drawn ones."""
    true, drawn = _scores(centre, neighbour, negatives)
    return -_log_sigmoid(true), -_log_sigmoid(-drawn)


def _overflows(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    return (-true.sigmoid().log() - (-drawn).sigmoid().log().sum(-1)).mean()


def _eps_in_the_logarithm(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    return (-(true.sigmoid() + 1e-9).log() - ((-drawn).sigmoid() + 1e-9).log().sum(-1)).mean()


def _clamped(centre, neighbour, negatives):
    true, drawn = (s.clamp(-30, 30) for s in _scores(centre, neighbour, negatives))
    return (-_log_sigmoid(true) - _log_sigmoid(-drawn).sum(-1)).mean()


def _one_minus(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    return (-_log_sigmoid(true) - (1 - drawn.sigmoid()).log().sum(-1)).mean()


def _negatives_pulled(centre, neighbour, negatives):
    true, _ = _two_parts(centre, neighbour, negatives)
    return (true - _log_sigmoid(_scores(centre, neighbour, negatives)[1]).sum(-1)).mean()


def _true_pushed(centre, neighbour, negatives):
    _, drawn = _two_parts(centre, neighbour, negatives)
    return (drawn.sum(-1) - _log_sigmoid(-_scores(centre, neighbour, negatives)[0])).mean()


def _negatives_averaged(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return (true + drawn.mean(-1)).mean()


def _averaged_over_all(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return torch.cat([true[:, None], drawn], dim=1).mean()


def _summed_over_the_batch(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return (true + drawn.sum(-1)).sum()


def _one_for_each_pair(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return true + drawn.sum(-1)


def _no_negatives(centre, neighbour, negatives):
    return _two_parts(centre, neighbour, negatives)[0].mean()


def _sign_turned(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return -(true + drawn.sum(-1)).mean()


def _no_logarithm(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    return -(true.sigmoid() + (-drawn).sigmoid().sum(-1)).mean()


def _softmax(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    return -torch.cat([true[:, None], drawn], dim=1).log_softmax(-1)[:, 0].mean()


def _neighbour_against_negatives(centre, neighbour, negatives):
    true, _ = _two_parts(centre, neighbour, negatives)
    return (true + _two_parts(neighbour, centre, negatives)[1].sum(-1)).mean()


def _cosines(centre, neighbour, negatives):
    units = [F.normalize(x, dim=-1) for x in (centre, neighbour, negatives)]
    true, drawn = _two_parts(*units)
    return (true + drawn.sum(-1)).mean()


def _negatives_detached(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives.detach())
    return (true + drawn.sum(-1)).mean()


def _scores_summed_first(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    return -(_log_sigmoid(true) + _log_sigmoid(-drawn.sum(-1))).mean()


def _drawn_subtracted(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return (true - drawn.sum(-1)).mean()


def _drawn_summed_over_the_batch(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return true.mean() + drawn.sum()


def _every_centre_with_every_neighbour(centre, neighbour, negatives):
    _, drawn = _two_parts(centre, neighbour, negatives)
    return -_log_sigmoid(centre @ neighbour.T).mean() + drawn.sum(-1).mean()


def _centre_without_an_axis(centre, neighbour, negatives):
    true, _ = _two_parts(centre, neighbour, negatives)
    return (true - _log_sigmoid(-(centre * negatives).sum(-1)).sum(-1)).mean()


def _scaled(centre, neighbour, negatives):
    true, drawn = _two_parts(centre / centre.shape[-1] ** 0.5, neighbour, negatives)
    return (true + drawn.sum(-1)).mean()


def _probability_raised(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    probabilities = torch.cat([true[:, None], -drawn], dim=1).sigmoid().clamp(min=1e-12)
    return -probabilities.log().sum(-1).mean()


def _first_drawn_only(centre, neighbour, negatives):
    true, drawn = _two_parts(centre, neighbour, negatives)
    return (true + drawn[:, 0]).mean()


MISCONCEPTIONS = (
    Misconception(
        "overflows",
        "the sigmoid becomes 0 and its logarithm infinite when a score is large",
        "In float32 the sigmoid of -400 is 0. Write the logarithm of the sigmoid as one function of the "
        "score.",
        _overflows,
    ),
    Misconception(
        "eps-in-the-logarithm",
        "a small number is added inside the logarithm",
        "That caps the loss at about 21, and where it is capped nothing is learned.",
        _eps_in_the_logarithm,
    ),
    Misconception(
        "clamped",
        "large scores are cut off",
        "Beyond the cut the slope is 0, and the worst mistakes are never corrected.",
        _clamped,
    ),
    Misconception(
        "one-minus",
        "the drawn pairs go through the logarithm of 1 minus a sigmoid",
        "In float32 the sigmoid of 20 is 1, and 1 - 1 is 0. What is 1 - σ(x) as a sigmoid?",
        _one_minus,
    ),
    Misconception(
        "negatives-pulled",
        "the drawn words are pulled closer like true neighbours",
        "For a drawn word a large score is a mistake. Its score needs the other sign.",
        _negatives_pulled,
    ),
    Misconception(
        "true-pushed",
        "the true neighbour is pushed away like a drawn word",
        "For a true neighbour a large score is right. Its loss must fall as the score grows.",
        _true_pushed,
    ),
    Misconception(
        "negatives-averaged",
        "the drawn words are averaged instead of summed",
        "In the formula each of the k drawn words counts as much as the true neighbour.",
        _negatives_averaged,
    ),
    Misconception(
        "averaged-over-all",
        "the mean is taken over true and drawn pairs together",
        "Sum over the drawn words first. The mean runs over the batch alone.",
        _averaged_over_all,
    ),
    Misconception(
        "summed-over-the-batch",
        "the batch is summed, not averaged",
        "A batch of twice the size should have about the same loss.",
        _summed_over_the_batch,
    ),
    Misconception(
        "one-for-each-pair",
        "there is a loss for each pair, and no mean",
        "One number is asked for: the mean over the batch.",
        _one_for_each_pair,
    ),
    Misconception(
        "no-negatives",
        "the drawn words have no effect",
        "With true pairs alone, all vectors can simply grow in one direction.",
        _no_negatives,
    ),
    Misconception(
        "sign-turned",
        "the sign is turned",
        "A loss is what should become small. The logarithm of a probability is negative.",
        _sign_turned,
    ),
    Misconception(
        "no-logarithm",
        "the logarithm is missing",
        "The probabilities of independent guesses are multiplied; their logarithms are added.",
        _no_logarithm,
    ),
    Misconception(
        "softmax",
        "the true neighbour competes with the drawn words in a softmax",
        "That is another loss. Here each pair is a question of its own, with the answer yes or no.",
        _softmax,
    ),
    Misconception(
        "neighbour-against-negatives",
        "the drawn words are compared with the neighbour, not with the centre",
        "Both kinds of score belong to the centre.",
        _neighbour_against_negatives,
    ),
    Misconception(
        "cosines",
        "cosines take the place of the dot products",
        "Here the lengths count too: a longer vector means more certainty.",
        _cosines,
    ),
    Misconception(
        "negatives-detached",
        "no gradient reaches the drawn words",
        "They learn as well: they must get out of the way.",
        _negatives_detached,
    ),
    Misconception(
        "scores-summed-first",
        "the scores of the drawn words are added up before the logarithm",
        "Each drawn word is a question of its own: take log σ of each score, then add.",
        _scores_summed_first,
    ),
    Misconception(
        "drawn-subtracted",
        "the drawn words' part is subtracted, where it should be added",
        "Both logarithms are negative, and both stand behind a minus: either mistake makes the loss larger.",
        _drawn_subtracted,
    ),
    Misconception(
        "drawn-summed-over-the-batch",
        "the drawn words' part is summed over the batch, the true pairs' averaged",
        "A sum without a dimension adds up everything. Add over the drawn words, then average the batch.",
        _drawn_summed_over_the_batch,
    ),
    Misconception(
        "every-centre-with-every-neighbour",
        "every centre is compared with every neighbour of the batch",
        "A row holds one true pair: multiply number by number and add up each row.",
        _every_centre_with_every_neighbour,
    ),
    Misconception(
        "centre-without-an-axis",
        "the centres meet the drawn words of other rows",
        "Shapes line up from the right: (batch, d_model) meets (n_negatives, d_model). Give the centres an "
        "axis where the drawn words have theirs.",
        _centre_without_an_axis,
    ),
    Misconception(
        "scaled",
        "the scores are divided by √d_model",
        "That belongs to attention. Here the score is the plain dot product.",
        _scaled,
    ),
    Misconception(
        "probability-raised",
        "small probabilities are raised before the logarithm",
        "That caps the loss, and where it is capped nothing is learned. Write log σ as one function.",
        _probability_raised,
    ),
    Misconception(
        "first-drawn-only",
        "only the first drawn word of each row counts",
        "The dimension n_negatives holds them all; the formula adds over them.",
        _first_drawn_only,
    ),
)


# --- Right answers in another form


def _log1p(centre, neighbour, negatives):
    def minus_log_sigmoid(x):
        return (-x).clamp(min=0) + torch.log1p(torch.exp(-x.abs()))

    true, drawn = _scores(centre, neighbour, negatives)
    return (minus_log_sigmoid(true) + minus_log_sigmoid(-drawn).sum(dim=1)).mean()


def _one_table(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    scores = torch.cat([-true[:, None], drawn], dim=1)
    return torch.logaddexp(scores, torch.zeros_like(scores)).sum() / len(centre)


def _logsumexp(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    scores = torch.cat([-true[:, None], drawn], dim=1)
    return torch.stack([scores, torch.zeros_like(scores)]).logsumexp(0).sum(-1).mean()


def _log_softmax(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    scores = torch.cat([true[:, None], -drawn], dim=1)
    pairs = torch.stack([scores, torch.zeros_like(scores)], dim=-1)
    return -pairs.log_softmax(-1)[..., 0].sum(-1).mean()


def _pair_by_pair(centre, neighbour, negatives):
    losses = []
    for c, o, drawn in zip(centre, neighbour, negatives, strict=True):
        zero = c.new_zeros(())
        loss = torch.logaddexp(zero, -(c @ o))
        for n in drawn:
            loss = loss + torch.logaddexp(zero, c @ n)
        losses.append(loss)
    return sum(losses) / len(losses)


def _batched_products(centre, neighbour, negatives):
    everything = torch.cat([-neighbour[:, None], negatives], dim=1)
    scores = torch.bmm(everything, centre[:, :, None]).squeeze(-1)
    return (torch.relu(scores) + torch.log1p(torch.exp(-scores.abs()))).sum(dim=1).mean()


def _cross_entropy(centre, neighbour, negatives):
    true, drawn = _scores(centre, neighbour, negatives)
    scores = torch.cat([true[:, None], -drawn], dim=1).reshape(-1)
    logits = torch.stack([torch.zeros_like(scores), scores], dim=-1)
    yes = torch.ones(len(scores), dtype=torch.long, device=centre.device)
    return F.cross_entropy(logits, yes, reduction="sum") / len(centre)


ALTERNATIVES = (
    Alternative("a maximum and log1p", _log1p),
    Alternative("all scores in one table", _one_table),
    Alternative("logsumexp of the score and 0", _logsumexp),
    Alternative("log_softmax over the score and 0", _log_softmax),
    Alternative("pair by pair", _pair_by_pair),
    Alternative("batched products", _batched_products),
    Alternative("cross-entropy of yes and no", _cross_entropy),
)

EXERCISE = Exercise(
    name="skipgram.negative_sampling_loss",
    number="2.5",
    title="True neighbours and drawn ones",
    minutes=14,
    difficulty=3,
    reference=skipgram.negative_sampling_loss,
    checks=(
        Check("weighs one true neighbour against drawn words", 2, _one_pair),
        Check("averages over the batch, and only over the batch", 2, _batches),
        Check("stays finite when scores are large", 1, _large_scores),
        Check("lets gradients through to all three", 1, _gradients),
    ),
    hints=(
        "First the scores, without any sigmoid: one for each true pair, shape (batch), and one for each "
        "drawn word, shape (batch, n_negatives). For the second, give the centres a dimension of size 1.",
        "The logarithm of 1 / (1 + e^(-x)) is minus the logarithm of 1 + e^(-x). The 1 is e^0.",
        "`torch.logaddexp(a, b)` computes log(e^a + e^b) without overflow. Which a and b do you need for a "
        "true pair, and which for a drawn one?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=(
        "torch.nn.functional.logsigmoid",
        "torch.nn.functional.softplus",
        "torch.nn.functional.binary_cross_entropy_with_logits",
        "torch.nn.functional.soft_margin_loss",
        "aten::log_sigmoid_forward",
        "aten::softplus",
        "aten::binary_cross_entropy_with_logits",
        "aten::soft_margin_loss",
    ),
)
