"""Variants of exercise 3.1: scores that cannot grow without end, and scores that fall with the distance.

The references stand here, and not in `llmlib`: what an answer's process may import holds neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from autograder.exercise import Alternative, Case, Misconception, Variant

Scores = Callable[[Tensor, Tensor], Tensor]


def soft_capped(
    query: Float[Tensor, "*batch query d_k"], key: Float[Tensor, "*batch key d_k"]
) -> Float[Tensor, "*batch query key"]:
    """How well each query matches each key: their dot product, divided by √d_k, then capped softly at 50.

    A score s becomes 50 · tanh(s / 50): nearly s while it is small, and never beyond ±50.

    Raises:
        ValueError: query and key differ in d_k.

    Source: Gemma Team, "Gemma 2" (2024), section 2, "logit soft-capping".
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query and key must agree in d_k: got {query.shape[-1]} and {key.shape[-1]}")
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    return 50 * torch.tanh(scores / 50)


def distant(
    query: Float[Tensor, "*batch query d_k"], key: Float[Tensor, "*batch key d_k"]
) -> Float[Tensor, "*batch query key"]:
    """How well each query matches each key: their dot product, divided by √d_k, less half their distance.

    Query i and key j are |i - j| places apart. Half of that is taken away from the score, after the division.

    Raises:
        ValueError: query and key differ in d_k.

    Source: Press, Smith and Lewis (2022), section 3, with one slope, 1/2, in both directions.
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query and key must agree in d_k: got {query.shape[-1]} and {key.shape[-1]}")
    places = torch.arange(max(query.shape[-2], key.shape[-2]), device=query.device)
    steps = places[: query.shape[-2], None] - places[None, : key.shape[-2]]
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    return scores - steps.abs().to(scores.dtype) / 2


def _capped(answer: Scores) -> Scores:
    def twisted(query, key):
        return 50 * torch.tanh(answer(query, key) / 50)

    return twisted


def _distance(scores: Tensor) -> Tensor:
    rows, columns = scores.shape[-2:]
    steps = torch.arange(rows, device=scores.device)[:, None] - torch.arange(columns, device=scores.device)
    return steps.to(scores.dtype)


def _less_the_distance(answer: Scores) -> Scores:
    def twisted(query, key):
        scores = answer(query, key)
        return scores - _distance(scores).abs() / 2

    return twisted


def _large(case: Case) -> Case:
    """Scores of about 40, where the cap shows, some of them beyond it."""
    return replace(case, arguments={**case.arguments, "query": 40 * case.arguments["query"]})


# --- Mistakes of their own


def _scores(query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def _clamped(query, key):
    return _scores(query, key).clamp(-50, 50)


def _between_one(query, key):
    return torch.tanh(_scores(query, key) / 50)


def _not_divided_by_the_cap(query, key):
    return 50 * torch.tanh(_scores(query, key))


def _capped_before_the_root(query, key):
    return 50 * torch.tanh(query @ key.transpose(-2, -1) / 50) / math.sqrt(query.shape[-1])


def _added(query, key):
    scores = _scores(query, key)
    return scores + _distance(scores).abs() / 2


def _whole_distance(query, key):
    scores = _scores(query, key)
    return scores - _distance(scores).abs()


def _divided_along(query, key):
    products = query @ key.transpose(-2, -1)
    return (products - _distance(products).abs() / 2) / math.sqrt(query.shape[-1])


def _signed(query, key):
    scores = _scores(query, key)
    return scores - _distance(scores) / 2


def _squared(query, key):
    scores = _scores(query, key)
    return scores - _distance(scores).square() / 2


# --- Right answers in another form


def _cap_by_sigmoid(query, key):
    return 100 * torch.sigmoid(_scores(query, key) / 25) - 50


def _cap_by_einsum(query, key):
    small = torch.einsum("...qd,...kd->...qk", query / 50, key) / query.shape[-1] ** 0.5
    return small.tanh() * 50


def _distances_by_cdist(query, key):
    rows = torch.arange(query.shape[-2], dtype=query.dtype, device=query.device)[:, None]
    columns = torch.arange(key.shape[-2], dtype=query.dtype, device=query.device)[:, None]
    return (
        torch.einsum("...qd,...kd->...qk", query, key) * query.shape[-1] ** -0.5
        - 0.5 * (rows - columns.mT).abs()
    )


def _distances_in_lists(query, key):
    steps = [[abs(i - j) / 2 for j in range(key.shape[-2])] for i in range(query.shape[-2])]
    return _scores(query, key) - torch.tensor(steps, dtype=query.dtype, device=query.device)


SHAPES = """\
- `query` has shape `(*batch, n_q, d_k)` and `key` has shape `(*batch, n_k, d_k)`. `*batch` means any number
  of leading dimensions, also none. The result has shape `(*batch, n_q, n_k)`.
- $d_k$ is the length of a query or a key: read it from the tensors, never from elsewhere."""

SOFT_CAP = Variant(
    id="soft-cap",
    twist="Every score is capped softly at 50: a score s becomes 50 · tanh(s / 50).",
    statement=f"""\
Write `attention_scores(query, key)`: every query with every key, divided by $\\sqrt{{d_k}}$, and then
**capped softly**: in the place of a score $s$ stands $50 \\tanh(s / 50)$.

{SHAPES}
- Return a new tensor. `query` and `key` themselves must not change.

Worked example: `query = [[1, 2, 0, 1]]` and `key = [[20, 10, 0, 0], [0, 0, 3, 2]]` (as floats). The dot
products are $20 + 20 = 40$ and $2$; $\\sqrt{{d_k}} = 2$; the scores are $20$ and $1$; the result is
`[[18.997, 1.000]]`. A small score hardly changes, and none can leave the range from −50 to 50. Gemma 2 does
this in all of its layers (Gemma Team, 2024, section 2), so that no score grows without end in training.""",
    reference=soft_capped,
    hints=(
        "What should stand in row i, column j of the result before the cap? Write that first.",
        "One matrix product gives all the dot products at once, provided that key's last two axes change "
        "places. Read d_k from the end of the shape. The cap comes last, and acts on each score alone.",
        "`torch.tanh` brings any number between −1 and 1. What must be done before it and after it, so that "
        "small scores stay what they are?",
    ),
    misconceptions=(
        Misconception(
            "clamped",
            "the scores are cut off at ±50, not bent",
            "A score of 20 should come out a little smaller. Cutting leaves it as it is.",
            _clamped,
        ),
        Misconception(
            "between-minus-one-and-one",
            "the result lies between −1 and 1: it is not multiplied by the cap again",
            "A small score should stay nearly what it is. What becomes of a score of 1 in yours?",
            _between_one,
        ),
        Misconception(
            "not-divided-by-the-cap",
            "the scores go into tanh as they are, without being divided by the cap",
            "A small score should stay nearly what it is. What becomes of a score of 1 in yours?",
            _not_divided_by_the_cap,
        ),
        Misconception(
            "capped-before-the-root",
            "the dot products are capped first and divided by √d_k afterwards",
            "The cap acts on the finished score, and it should be 50 for every d_k.",
            _capped_before_the_root,
        ),
    ),
    alternatives=(
        Alternative("einsum, and the query divided by the cap", _cap_by_einsum),
        Alternative("tanh by way of the sigmoid", _cap_by_sigmoid),
    ),
    through=_capped,
    case=_large,
)

DISTANCE = Variant(
    id="distance",
    twist="Every score loses half the distance between query and key: |i − j| / 2, after the division.",
    statement=f"""\
Write `attention_scores(query, key)`: every query with every key, divided by $\\sqrt{{d_k}}$, and **less half
their distance**: query $i$ and key $j$ are $|i - j|$ places apart, and $|i - j| / 2$ is taken away from their
score.

{SHAPES}
- Rows and columns are both counted from 0, also where there are more of one than of the other.
- Return a new tensor. `query` and `key` themselves must not change.

Worked example: `query = [[1, 2, 0, 1]]` and `key = [[2, 1, 0, 0], [0, 0, 3, 2]]` (as floats). The dot
products are $2 + 2 = 4$ and $2$; $\\sqrt{{d_k}} = 2$; the scores are $2$ and $1$; the second key is one place
away, so the result is `[[2.0, 0.5]]`. Such a bias tells a model about positions without any vector for them.
It is called ALiBi (Press, Smith and Lewis, "Train Short, Test Long", 2022), where every head has a slope of
its own and looks at the past alone.""",
    reference=distant,
    hints=(
        "Write the scores first, as if there were no distance. What is to be taken away from row 0, "
        "column 2, and what from row 2, column 0?",
        "The distances are a matrix of their own, with a row for each query and a column for each key, the "
        "same for every text of a batch. One column of positions less one row of positions gives them all.",
        "Make the positions with `torch.arange`, one copy with a trailing axis and one with a leading axis. "
        "Their difference has a sign: take it away. Halve, and subtract at the very end.",
    ),
    misconceptions=(
        Misconception(
            "distance-added",
            "the distance is added, so that far keys are preferred",
            "A key that is far away should count less.",
            _added,
        ),
        Misconception(
            "whole-distance",
            "the whole distance is taken away, not half of it",
            "One place further costs 0.5. Look at the worked example.",
            _whole_distance,
        ),
        Misconception(
            "distance-divided-along",
            "the distance is divided by √d_k along with the dot products",
            "First the division, then the distance: a place costs 0.5 whatever d_k is.",
            _divided_along,
        ),
        Misconception(
            "signed-distance",
            "the distance has a sign: keys that come later are preferred",
            "A distance is never negative. Look at row 0: are its later columns smaller?",
            _signed,
        ),
        Misconception(
            "squared-distance",
            "the distance is squared",
            "Two places cost twice as much as one, not four times.",
            _squared,
        ),
    ),
    alternatives=(
        Alternative("einsum, and the distances by cdist", _distances_by_cdist),
        Alternative("the distances as nested lists", _distances_in_lists),
    ),
    through=_less_the_distance,
    renamed={"divides by √d_k": "divides by √d_k before the distance counts"},
)

VARIANTS = (SOFT_CAP, DISTANCE)
