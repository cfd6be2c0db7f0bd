"""How far chance moves an average score: new test sets, drawn from the one at hand.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993); Koehn, "Statistical Significance
Tests for Machine Translation Evaluation" (2004).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def resample(n_items: int, n_draws: int, generator: torch.Generator) -> Int[Tensor, "draws items"]:
    """Test sets as large as the one at hand: in each row the places of items drawn with replacement.

    Raises:
        ValueError: one of the two numbers is not positive.
    """
    if n_items < 1 or n_draws < 1:
        raise ValueError(f"there must be items and draws: got {n_items} items and {n_draws} draws")
    return torch.randint(n_items, (n_draws, n_items), generator=generator)


def _average(drawn: Tensor) -> Tensor:
    return drawn.double().mean()  # also of truths, such as "this answer is right"


def bootstrap_interval(
    scores: Float[Tensor, " items"],
    draws: Int[Tensor, "draws items"],
    level: float = 0.95,
    statistic: Callable[[Tensor], Tensor | float] = _average,
) -> tuple[float, float]:
    """Between which numbers the middle `level` of the drawn test sets' averages lie.

    A score of a whole test set that is no average of its items' scores, such as F1 or BLEU, is the
    `statistic`: a function that gets what was drawn from `scores`. These may then be anything that there is
    once for each item, the items' places too.

    Raises:
        ValueError: `level` does not lie between 0 and 1, or there is no draw.

    Source: Efron and Tibshirani (1993), chapter 13 (percentile interval).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1: got {level}")
    if not len(draws):
        raise ValueError("an interval needs drawn test sets: got none")
    drawn = torch.tensor([float(statistic(scores[draw])) for draw in draws], dtype=torch.float64)
    outside = (1 - level) / 2
    low, high = drawn.quantile(torch.tensor([outside, 1 - outside], dtype=torch.float64))
    return float(low), float(high)


def paired_bootstrap(
    first: Float[Tensor, " items"], second: Float[Tensor, " items"], draws: Int[Tensor, "draws items"]
) -> float:
    """In which share of the drawn test sets the first model has the larger average.

    Both models are scored on the same drawn items, so that what makes an item hard for both cancels. A draw
    with equal averages is no win.

    Raises:
        ValueError: the two models were not scored on the same items.

    Source: Koehn (2004), section 4.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            "both models must be scored on the same items: "
            f"got scores of shape {tuple(first.shape)} and {tuple(second.shape)}"
        )
    won = first.double()[draws].mean(dim=1) > second.double()[draws].mean(dim=1)
    return float(won.double().mean())
