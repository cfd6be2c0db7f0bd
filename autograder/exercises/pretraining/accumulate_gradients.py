"""Exercise 7.6: the gradient of a large batch, computed in parts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from autograder.calling import Made
from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import accumulation
from llmlib.loss import IGNORED

V, LENGTH = 5, 4


def _model(g: torch.Generator) -> Made:
    shape = {"vocab_size": V, "context_length": LENGTH, "d_model": 4, "n_layers": 1, "n_heads": 2}
    config = Made("llmlib.gpt:GPTConfig", {**shape, "init_std": 0.5})
    return Made(
        "llmlib.gpt:GPT", {"config": config, "generator": int(torch.randint(10_000, (), generator=g))}
    )


def _part(g: torch.Generator, rows: int, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """Inputs and targets that differ from part to part, so that no part can stand for another."""
    tokens = torch.randint(V, (rows, length + 1), generator=g)
    return tokens[:, :-1].clone(), tokens[:, 1:].clone()


def _case(g: torch.Generator, *sizes: tuple[int, int]) -> Case:
    return Case({"model": _model(g), "micro_batches": [_part(g, *size) for size in sizes]})


def _one_part(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (2, 4))
    yield _case(g, (3, 2))


def _used_before(g: torch.Generator) -> Iterator[Case]:
    for sizes in (((2, 3),), ((1, 4), (1, 4))):
        case = _case(g, *sizes)
        model = Made("autograder.calling:with_gradients", {"model": case.arguments["model"]})
        yield Case({**case.arguments, "model": model})


def _equal_parts(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (1, 4), (1, 4))
    yield _case(g, (2, 3), (2, 3), (2, 3))


def _unequal_parts(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (3, 4), (1, 4))
    yield _case(g, (1, 1), (2, 4), (1, 3))


def _ignored(g: torch.Generator) -> Iterator[Case]:
    for hidden in (3, 4):
        case = _case(g, (1, 4), (1, 4), (2, 3))
        parts = case.arguments["micro_batches"]
        # With all four hidden, the first part has nothing to say. It must not say NaN.
        parts[0][1][0, torch.randperm(4, generator=g)[:hidden]] = IGNORED
        parts[2][1][1, 1] = IGNORED
        yield case


def _without_graph(g: torch.Generator) -> Iterator[Case]:
    for sizes in (((1, 2),), ((1, 3), (2, 2))):
        yield Case(_case(g, *sizes).arguments, detached=True)


# --- Mistakes: the loop, with parts that can be exchanged


def _count(targets):
    return (targets != IGNORED).sum()


def _sum(model, inputs, targets):
    logits = model(inputs).flatten(0, 1)
    return F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum")


def _gradients(model):
    return [parameter.grad for parameter in model.parameters()]


def _accumulated(model, micro_batches, part_of, after=lambda model, last: None, share=lambda part: part):
    """The loop itself: `part_of(inputs, targets)` is a part's loss; `after` comes after its backward."""
    loss = 0
    with torch.enable_grad():
        for place, (inputs, targets) in enumerate(micro_batches):
            part = part_of(inputs, targets)
            part.backward()
            loss = loss + share(part.detach())
            after(model, place == len(micro_batches) - 1)
    return loss


def _loop(divide, after=lambda model, last: None, gradients=_gradients, share=lambda part: part):
    """`divide(sum, targets, total, parts)` is a part's loss; `after` comes after its backward."""

    def accumulate_gradients(model, micro_batches):
        total = sum(_count(targets) for _, targets in micro_batches)

        def part_of(inputs, targets):
            return divide(_sum(model, inputs, targets), targets, total, len(micro_batches))

        model.zero_grad()
        return _accumulated(model, micro_batches, part_of, after, share), gradients(model)

    return accumulate_gradients


def _right(part, targets, total, parts):
    return part / total


def _own_mean(part, targets, total, parts):
    return part / _count(targets)


def _mean_of_means(part, targets, total, parts):
    return part / _count(targets) / parts


def _places_counted(part, targets, total, parts):
    """The total counts all places, the ignored ones too."""
    return part / _count(targets) * targets.numel()


def _zeroed(model, last):
    if not last:
        model.zero_grad()


@torch.no_grad()
def _stepped(model, last):
    if not last:
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad


@torch.no_grad()
def _stepped_at_the_end(model, last):
    if last:
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad


def _all_places(model, micro_batches):
    places = sum(targets.numel() for _, targets in micro_batches)
    return _loop(lambda part, targets, total, parts: part / places)(model, micro_batches)


def _by_rows(model, micro_batches):
    """A part counts by its number of texts, however many targets these have."""
    rows = sum(len(targets) for _, targets in micro_batches)
    own_share = _loop(lambda part, targets, total, parts: part / _count(targets) * len(targets) / rows)
    return own_share(model, micro_batches)


def _first_count(model, micro_batches):
    """All parts are taken to be as large as the first."""
    first = micro_batches[0][1].numel()
    return _loop(lambda part, targets, total, parts: part / (first * parts))(model, micro_batches)


def _last_loss(model, micro_batches):
    _, gradients = _loop(_right)(model, micro_batches)
    inputs, targets = micro_batches[-1]
    return _sum(model, inputs, targets) / _count(targets), gradients


def _nothing_ignored(model, micro_batches):
    total = sum(targets.numel() for _, targets in micro_batches)

    def part_of(inputs, targets):
        flat = targets.flatten().clamp(min=0)
        return F.cross_entropy(model(inputs).flatten(0, 1), flat, reduction="sum") / total

    model.zero_grad()
    return _accumulated(model, micro_batches, part_of), _gradients(model)


def _not_divided_at_the_end(model, micro_batches):
    """Sums of all parts, and only the loss is divided."""
    loss, gradients = _loop(lambda part, targets, total, parts: part)(model, micro_batches)
    return loss / sum(_count(targets) for _, targets in micro_batches), gradients


def _means_of_nothing(model, micro_batches):
    """Means with their shares of the targets: right, but the mean of a part without targets is NaN."""
    count = sum(_count(targets) for _, targets in micro_batches)

    def part_of(inputs, targets):
        logits = model(inputs).flatten(0, 1)
        return F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED) * _count(targets) / count

    model.zero_grad()
    return _accumulated(model, micro_batches, part_of), _gradients(model)


def _old_gradients_kept(model, micro_batches):
    total = sum(_count(targets) for _, targets in micro_batches)
    loss = _accumulated(model, micro_batches, lambda inputs, targets: _sum(model, inputs, targets) / total)
    return loss, _gradients(model)


def _without_enable_grad(model, micro_batches):
    (inputs, targets), *_ = micro_batches
    _sum(model, inputs, targets).backward()


def _with_its_graph(model, micro_batches):
    total, loss = sum(_count(targets) for _, targets in micro_batches), 0
    model.zero_grad()
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            part = _sum(model, inputs, targets) / total
            part.backward()
            loss = loss + part
    return loss, _gradients(model)


def _loss_is_a_mean_of_means(model, micro_batches):
    _, gradients = _loop(_right)(model, micro_batches)
    with torch.no_grad():
        means = [_sum(model, inputs, targets) / _count(targets) for inputs, targets in micro_batches]
    return sum(means) / len(means), gradients


def _loss_is_a_sum(model, micro_batches):
    loss, gradients = _loop(_right)(model, micro_batches)
    return loss * sum(_count(targets) for _, targets in micro_batches), gradients


def _counted_so_far(model, micro_batches):
    """Each part is divided by the targets that have been seen by then."""
    count = 0

    def part_of(inputs, targets):
        nonlocal count
        count = count + _count(targets)
        return _sum(model, inputs, targets) / count

    model.zero_grad()
    return _accumulated(model, micro_batches, part_of), _gradients(model)


def _weighed_by_places(model, micro_batches):
    """A part counts by its number of places, the ignored ones included."""
    places = sum(targets.numel() for _, targets in micro_batches)
    share = _loop(lambda part, targets, total, parts: part / _count(targets) * targets.numel() / places)
    return share(model, micro_batches)


def _divided_by_rows(model, micro_batches):
    rows = sum(len(targets) for _, targets in micro_batches)
    return _loop(lambda part, targets, total, parts: part / rows)(model, micro_batches)


def _token_0_not_counted(model, micro_batches):
    count = sum((targets > 0).sum() for _, targets in micro_batches)
    return _loop(lambda part, targets, total, parts: part / count)(model, micro_batches)


def _backward_of_the_running_sum(model, micro_batches):
    """The loss so far is sent back each time, and with it all the parts before."""
    total, loss = sum(_count(targets) for _, targets in micro_batches), 0
    model.zero_grad()
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            loss = loss + _sum(model, inputs, targets) / total
            loss.backward(retain_graph=True)
    return loss.detach(), _gradients(model)


def _gathered_after_each_part(model, micro_batches):
    """`.grad` is the same tensor each time, so each entry of the list is the whole by the end."""
    gathered = []
    after = lambda model, last: gathered.append(_gradients(model))  # noqa: E731
    loss, _ = _loop(_right, after=after)(model, micro_batches)
    return loss, [sum(parts) for parts in zip(*gathered, strict=True)]


MISCONCEPTIONS = (
    Misconception(
        "old-gradients-kept",
        "what an earlier `backward` left in `.grad` is still there, and counts",
        "`backward` adds to what is there. What must be there before the first part?",
        _old_gradients_kept,
    ),
    Misconception(
        "mean-of-nothing",
        "a part of which all targets are ignored makes NaN of everything",
        "The mean of no numbers is 0/0, and NaN times 0 is NaN. A sum of no numbers is 0.",
        _means_of_nothing,
    ),
    Misconception(
        "sum-of-means",
        "the means of the parts are added up, so the gradient grows with the number of parts",
        "Two parts of one text each should weigh as much as one part of two texts.",
        _loop(_own_mean),
    ),
    Misconception(
        "mean-of-means",
        "each part is averaged for itself, so a target in a small part counts more",
        "Parts of three targets and of one: with which share does each of the four targets count?",
        _loop(_mean_of_means),
    ),
    Misconception(
        "zeroed-in-the-loop",
        "the gradients are set to zero between the parts, so only the last part is left",
        "`backward` adds to what is there. That is what you need here; set to zero once, at the start.",
        _loop(_right, after=_zeroed),
    ),
    Misconception(
        "step-in-the-loop",
        "the weights are changed between the parts",
        "Accumulating means to wait: all parts are to be computed with the same weights.",
        _loop(_right, after=_stepped),
    ),
    Misconception(
        "step-at-the-end",
        "the gradients are right, and then the weights are changed with them",
        "The step is the optimizer's, and whoever called this function will take it. Leave the weights as "
        "they were.",
        _loop(_right, after=_stepped_at_the_end),
    ),
    Misconception(
        "loss-of-the-last-part",
        "the gradients are right, but the loss is only that of the last part",
        "The loss, too, is that of the whole batch: add up what each part contributes.",
        _last_loss,
    ),
    Misconception(
        "without-enable-grad",
        "`backward` is called where gradients are switched off, or the loss is given shapes that do not fit",
        "If the message says that nothing requires a gradient: the check switches gradients off around your "
        "function, so the loop must stand in a block of `torch.enable_grad()`. If it speaks of sizes: look "
        "again at what is flattened.",
        _without_enable_grad,
    ),
    Misconception(
        "with-its-graph",
        "the losses are added up as they are, so that the result keeps the graph of every part alive",
        "The sum is a number to look at; nobody will send it back once more. Which method gives a tensor "
        "without its graph?",
        _with_its_graph,
    ),
    Misconception(
        "loss-is-a-mean-of-means",
        "the gradients are right, but the loss is the mean of the parts' means",
        "The loss, too, is that of the whole batch: every target counts the same in it.",
        _loss_is_a_mean_of_means,
    ),
    Misconception(
        "loss-not-divided",
        "the gradients are right, but the loss is a sum over all targets",
        "By what was each part divided before its `backward`? Add up the same numbers.",
        _loss_is_a_sum,
    ),
    Misconception(
        "gradients-not-divided",
        "the loss is divided by the number of targets, but the gradients are not",
        "Divide before `backward`: what is not in the loss by then is not in the gradient.",
        _not_divided_at_the_end,
    ),
    Misconception(
        "nothing-divided",
        "everything is a sum over the targets, not a mean",
        "The large batch's loss is a mean. By what is the sum of all surprises divided?",
        _loop(lambda part, targets, total, parts: part),
    ),
    Misconception(
        "divided-by-the-parts",
        "the sums of the parts are divided by the number of parts",
        "The large batch's loss is a mean over targets. How many targets are there in all parts together?",
        _loop(lambda part, targets, total, parts: part / parts),
    ),
    Misconception(
        "divided-by-the-texts",
        "the sums are divided by the number of texts, not by that of the targets",
        "Each place of each text asks for a token. How many targets are there in all parts together?",
        _divided_by_rows,
    ),
    Misconception(
        "counted-so-far",
        "each part is divided by the targets seen so far, so early parts count more",
        "Count the targets of all parts before the first one is sent through.",
        _counted_so_far,
    ),
    Misconception(
        "backward-of-the-running-sum",
        "`backward` is called on the sum so far, so the earlier parts are added again and again",
        "`.grad` keeps what was added before. Send back only what is new.",
        _backward_of_the_running_sum,
    ),
    Misconception(
        "gathered-after-each-part",
        "the gradients are gathered after each part and added up once more at the end",
        "`.grad` already holds the sum, and it is the same tensor after each part. Take it once, at the end.",
        _gathered_after_each_part,
    ),
    Misconception(
        "divided-twice",
        "each part is divided by the number of all targets and by the number of parts",
        "The number of all targets already counts the targets of every part.",
        _loop(lambda part, targets, total, parts: part / total / parts),
    ),
    Misconception(
        "ignored-places-counted",
        "ignored places count in what the sum is divided by",
        "Count the targets that are not ignored, in all parts together.",
        _all_places,
    ),
    Misconception(
        "weighed-by-places",
        "a part counts by its number of places, of which some are ignored",
        "Count the targets that are not ignored: of a part, and of all parts together.",
        _weighed_by_places,
    ),
    Misconception(
        "token-0-not-counted",
        "targets that are token 0 are not counted, as if they were ignored",
        "Token 0 is a token like any other. Only `IGNORED` marks what is not asked.",
        _token_0_not_counted,
    ),
    Misconception(
        "weighed-by-rows",
        "a part counts by its number of texts, however many targets they have",
        "Texts may be of different lengths, and targets may be ignored. Count targets.",
        _by_rows,
    ),
    Misconception(
        "first-part-s-size",
        "all parts are taken to be as large as the first",
        "The last part of a corpus is often smaller. Count the targets of every part.",
        _first_count,
    ),
    Misconception(
        "nothing-ignored",
        "ignored targets are judged as if token 0 had come",
        "PyTorch's cross_entropy leaves out what `ignore_index` names.",
        _nothing_ignored,
    ),
)


# --- Right answers in another form


def _one_graph(model, micro_batches):
    """Everything in memory at once: no saving, and the same gradient."""
    model.zero_grad()
    with torch.enable_grad():
        logits = torch.cat([model(inputs).flatten(0, 1) for inputs, _ in micro_batches])
        loss = F.cross_entropy(logits, torch.cat([targets.flatten() for _, targets in micro_batches]))
        loss.backward()
    return loss.detach(), [parameter.grad for parameter in model.parameters()]


def _by_autograd_grad(model, micro_batches):
    parameters = list(model.parameters())
    totals, loss, count = [torch.zeros_like(p) for p in parameters], 0.0, 0
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            part = F.cross_entropy(model(inputs).transpose(1, 2), targets, reduction="sum")
            for sum_so_far, gradient in zip(totals, torch.autograd.grad(part, parameters), strict=True):
                sum_so_far += gradient
            loss, count = loss + part.detach(), count + (targets != -100).sum().item()
    return loss / count, [gradient / count for gradient in totals]


def _divided_at_the_end(model, micro_batches):
    count = sum(int((targets >= 0).sum()) for _, targets in micro_batches)
    loss = torch.zeros((), device=micro_batches[0][0].device)
    for parameter in model.parameters():
        parameter.grad = None
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            part = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum")
            part.backward()
            loss += part.detach()
    for parameter in model.parameters():
        parameter.grad /= count
    return loss / count, [parameter.grad for parameter in model.parameters()]


def _means_weighed(model, micro_batches):
    counts = torch.tensor([(targets != IGNORED).sum() for _, targets in micro_batches])
    losses = []
    model.zero_grad(set_to_none=False)
    with torch.enable_grad():
        for (inputs, targets), share in zip(micro_batches, counts / counts.sum(), strict=True):
            if share == 0:
                continue
            mean = F.cross_entropy(model(inputs).flatten(0, -2), targets.flatten())
            (mean * share).backward()
            losses.append(mean.detach() * share)
    return sum(losses), [p.grad for p in model.parameters()]


def _without_touching_grad(model, micro_batches):
    """The model as a function of its parameters; `.grad` plays no part."""
    count = sum(int((targets != IGNORED).sum()) for _, targets in micro_batches)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def part_of(weights, inputs, targets):
        logits = torch.func.functional_call(model, weights, (inputs,))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / count

    loss, sums = 0.0, {name: torch.zeros_like(weight) for name, weight in weights.items()}
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            gradients, part = torch.func.grad_and_value(part_of)(weights, inputs, targets)
            loss = loss + part.detach()
            sums = {name: sums[name] + gradient for name, gradient in gradients.items()}
    return loss, tuple(sums.values())


def _kept_and_detached_at_the_end(model, micro_batches):
    count = sum((targets != IGNORED).sum() for _, targets in micro_batches)
    losses = []
    model.zero_grad()
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            losses.append(_sum(model, inputs, targets) / count)
            losses[-1].backward()
        loss = torch.stack(losses).sum()
    return loss.detach(), _gradients(model)


ALTERNATIVES = (
    Alternative("one graph for all parts", _one_graph),
    Alternative("torch.autograd.grad, added up by hand", _by_autograd_grad),
    Alternative("sums, divided at the end", _divided_at_the_end),
    Alternative("means, each with its share of the targets", _means_weighed),
    Alternative("losses kept in a list, detached at the end", _kept_and_detached_at_the_end),
    Alternative("`torch.func`, with no `.grad` at all", _without_touching_grad),
)

ONE, EQUAL = "is right for a single part", "adds up equal parts"

EXERCISE = Exercise(
    name="accumulation.accumulate_gradients",
    number="7.6",
    title="A large batch in small parts",
    minutes=15,
    difficulty=2,
    reference=accumulation.accumulate_gradients,
    checks=(
        Check(ONE, 1, _one_part),
        Check(EQUAL, 2, _equal_parts),
        Check("lets every target count the same in unequal parts", 2, _unequal_parts, after=(EQUAL,)),
        Check("leaves ignored targets out", 1, _ignored, after=(EQUAL,)),
        Check("begins anew, whatever `.grad` holds", 1, _used_before, after=(ONE,)),
        Check("returns the loss without its graph", 1, _without_graph, after=(ONE,)),
    ),
    hints=(
        "What does the mean over all targets look like as a sum over the parts? Write it down for parts "
        "of three targets and of one.",
        "Count the targets of all parts before the loop. In it, the loss of a part is the *sum* of its "
        'surprises, `reduction="sum"`, over that number.',
        "`backward` adds to `.grad`, so the gradients add up by themselves. Between the parts nothing is set "
        "to zero, and no weight changes.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
