"""Exercise 8.2: keep the likeliest tokens that together reach p."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.generation.filters import TOP_P, TOP_P_DETAILS, right_at_one
from llmlib import sampling
from llmlib.attention import softmax

MARGIN = 0.015  # no sum of probabilities comes so near to p that rounding could decide

# Mistakes that look different if p = 1 is let pass before they are made, as the task says it should be.
SPARED = (
    "stops-short-of-all-but-one",
    "one-too-many",
    "left-sorted",
    "mask-left-sorted",
    "gathered-back",
    "not-sorted",
    "own-probability",
    "like-min-p",
    "logits-added-up",
    "zeros",
    "probabilities",
    "over-the-whole-batch",
    "first-row-for-all",
    "nearly-infinite",
    "smallest-number",
    "the-other-ones",
    "taken-out",
    "zero-probabilities",
    "along-the-first-axis",
    "log-probabilities-first",
    "shifted-back",
    "tail-up-to-p",
)


def _sums(logits: torch.Tensor) -> torch.Tensor:
    return logits.double().softmax(dim=-1).sort(dim=-1, descending=True).values.cumsum(dim=-1)


def _rows(g: torch.Generator, *shape: int) -> torch.Tensor:
    """Logits of different, clearly separated sizes, each row in an order of its own."""
    places = torch.rand(shape, generator=g).argsort(dim=-1)
    shift = 4 * torch.rand((*shape[:-1], 1), generator=g) - 2
    return 0.45 * places + 0.2 * torch.rand(shape, generator=g) + shift


def _case(g: torch.Generator, *shape: int, ordered: bool = False, flat: bool = False) -> Case:
    """With `flat` the tokens are nearly equally likely, and most of them go."""
    while True:
        logits, least, most = (0.25 * _rows(g, *shape), 0.25, 0.45) if flat else (_rows(g, *shape), 0.4, 0.95)
        p = round(least + (most - least) * float(torch.rand((), generator=g)), 3)
        sums = _sums(logits)
        if ((sums - p).abs() > MARGIN).all() and (sums[..., 0] < p).all():
            return Case(
                {"logits": logits.sort(dim=-1, descending=True).values if ordered else logits, "p": p}
            )


def _ordered(g: torch.Generator) -> Iterator[Case]:
    for size in (4, 5, 6, 7):
        yield _case(g, size, ordered=True)
    yield _case(g, 7, ordered=True, flat=True)


def _unordered(g: torch.Generator) -> Iterator[Case]:
    for size in (3, 5, 6, 7):
        yield _case(g, size)


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 5)
    yield _case(g, 2, 3, 4)
    yield _case(g, 4, 6)


def _one_is_enough(g: torch.Generator) -> Iterator[Case]:
    yield Case({"logits": _rows(g, 5), "p": 0.05})
    yield Case({"logits": _rows(g, 2, 4), "p": 0.01})


def _everything(g: torch.Generator) -> Iterator[Case]:
    """In the second, the sum is 1 in float32 after two tokens. No sum is above 1 after rounding."""
    yield Case({"logits": _drawn(g, lambda g: _rows(g, 2, 5), _stays_below_one), "p": 1.0})
    yield Case(
        {"logits": _drawn(g, lambda g: _likeliest_first(40 * _rows(g, 6)), _reaches_one_early), "p": 1.0}
    )


def _likeliest_first(logits: Tensor) -> Tensor:
    """The two likeliest first, so that a sum over an unsorted row reaches 1 early as well."""
    ordered = logits.sort(descending=True).values
    return torch.cat([ordered[:2], ordered[2:].flip(0)])


def _drawn(
    g: torch.Generator, draw: Callable[[torch.Generator], Tensor], fits: Callable[[Tensor], bool]
) -> Tensor:
    """Logits that fit, whether softmax is ours or PyTorch's: the two round differently."""
    while True:
        logits = draw(g)
        ordered = logits.sort(dim=-1, descending=True).values
        if fits(softmax(ordered)) and fits(torch.softmax(ordered, dim=-1)):
            return logits


def _stays_below_one(shares: Tensor) -> bool:
    return bool((shares.cumsum(dim=-1) <= 1).all())


def _reaches_one_early(shares: Tensor) -> bool:
    sums = shares.cumsum(dim=-1)
    return bool((sums <= 1).all() and (sums - shares >= 1)[..., 2:].all())


# --- Right answers in another form


def _by_a_loop(logits, p):
    rows = logits.reshape(-1, logits.shape[-1])
    result = torch.full_like(rows, -torch.inf)
    for row, written in zip(rows, result, strict=True):
        reached = 0.0
        for token in row.argsort(descending=True):
            if p < 1 and reached >= p:
                break
            written[token] = row[token]
            reached += float(row.softmax(dim=-1)[token])
    return result.reshape(logits.shape)


def _from_the_tail(logits, p):
    """The least likely first: what together has at most 1 - p goes."""
    if p == 1:
        return logits.clone()
    ordered, order = logits.sort(dim=-1)
    drop = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    drop[..., -1] = False
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), float("-inf"))


def _by_a_limit(logits, p):
    """The smallest logit that stays is a limit for all."""
    if p == 1:
        return logits
    shares = logits.softmax(dim=-1).sort(dim=-1, descending=True).values
    count = ((shares.cumsum(dim=-1) - shares) < p).sum(dim=-1, keepdim=True)
    limit = logits.sort(dim=-1, descending=True).values.gather(-1, count - 1)
    return torch.where(logits >= limit, logits, torch.tensor(-torch.inf, dtype=logits.dtype))


def _everybody_with_everybody(logits, p):
    """What is likelier than a token, added up by a table of comparisons."""
    shares = logits.softmax(dim=-1)
    likelier = logits[..., None, :] > logits[..., :, None]
    reached = (likelier * shares[..., None, :]).sum(dim=-1)
    return logits.masked_fill((reached >= p) & (p < 1), -torch.inf)


def _way_back_by_argsort(logits, p):
    if p >= 1:
        return logits
    order = logits.argsort(dim=-1, descending=True)
    shares = torch.softmax(logits, -1).gather(-1, order)
    keep = torch.roll(shares.cumsum(-1), 1, dims=-1) < p
    keep[..., 0] = True
    return logits.masked_fill(~keep.gather(-1, order.argsort(dim=-1)), -torch.inf)


ALTERNATIVES = (
    Alternative("token by token", _by_a_loop),
    Alternative("from the least likely on", _from_the_tail),
    Alternative("a limit for the logits", _by_a_limit),
    Alternative("a table of comparisons", _everybody_with_everybody),
    Alternative("the way back by a second argsort", _way_back_by_argsort),
)

MISTAKES = TOP_P + TOP_P_DETAILS

EXERCISE = Exercise(
    name="sampling.top_p",
    number="8.2",
    title="Top-p",
    minutes=15,
    difficulty=2,
    reference=sampling.top_p,
    checks=(
        Check("keeps the likeliest tokens until they reach p", 2, _ordered),
        Check("leaves every token in its place", 1, _unordered),
        Check("treats every row on its own", 1, _batches),
        Check("keeps the likeliest token however small p is", 1, _one_is_enough),
        Check("rules out nothing when p is 1", 1, _everything),
    ),
    hints=(
        "Write down the worked example as a table: the tokens from the likeliest on, their probabilities, "
        "and the sum *before* each token. Which sums are below p?",
        "`logits.sort(dim=-1, descending=True)` gives the sorted logits and their order. `cumsum` adds up "
        "from the left; take the token's own probability off again.",
        "`torch.empty_like(logits).scatter(-1, order, sorted_ones)` writes each sorted number at the place "
        "that `order` names: the way back.",
    ),
    misconceptions=MISTAKES + right_at_one(tuple(m for m in MISTAKES if m.id in SPARED)),
    alternatives=ALTERNATIVES,
    equivalents={
        "ordered, order = logits.sort(dim=-1, descending=True, stable=True)  ⟶  True becomes False (2)": (
            "among equal logits the order is not promised, and no probe has two that are equal"
        ),
        "ordered = ordered.masked_fill(reached_before >= p, -torch.inf)  ⟶  `>=` becomes `>`": (
            "a sum that meets p exactly is an accident of rounding; right answers round in other ways, so "
            "the probes keep every sum away from p"
        ),
    },
)
