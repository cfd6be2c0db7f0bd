"""How sure is a score? The items are drawn again from themselves, and the score is taken again.

Another test set would have given another score. The one that we have stands for all that we might have had:
draw as many items from it, each time from all of them, and see how much the score moves.

Sources: Efron, "Bootstrap Methods: Another Look at the Jackknife" (1979); Efron and Tibshirani, "An
Introduction to the Bootstrap" (1993), chapter 13, for the interval; Koehn, "Statistical Significance Tests
for Machine Translation Evaluation" (2004), for two systems.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def resampled(items: int, resamples: int, generator: torch.Generator) -> Int[Tensor, "resamples items"]:
    """The numbers of the drawn items: in each row as many as there are, each drawn from all of them.

    Raises:
        ValueError: there is no item, or nothing is to be drawn.

    Source: Efron (1979).
    """
    if items < 1 or resamples < 1:
        raise ValueError(
            f"drawing again needs an item and a resample at least: got {items} items, {resamples} resamples"
        )
    return torch.randint(items, (resamples, items), generator=generator)


def bootstrap_interval(
    values: Float[Tensor, "*items"],
    statistic: Callable[[Tensor], Tensor | float] = torch.mean,
    level: float = 0.95,
    resamples: int = 1000,
    *,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Between which two numbers a statistic of the values lies in the middle `level` of the resamples.

    `statistic` gets the drawn values and returns one number. The values are drawn along the first axis.

    Raises:
        ValueError: there is no value, nothing is to be drawn, or `level` is not between 0 and 1.

    Source: Efron and Tibshirani (1993), section 13.3 (the percentile interval).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as 0.95 does: got {level}")
    draws = resampled(len(values), resamples, generator).to(values.device)
    results = torch.tensor([float(statistic(values[draw])) for draw in draws], dtype=torch.float64)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = results.quantile(ends).tolist()
    return low, high


def paired_bootstrap(
    first: Float[Tensor, " items"],
    second: Float[Tensor, " items"],
    resamples: int,
    generator: torch.Generator,
) -> tuple[float, float]:
    """How much better the first system is, and how often it is no better when the items are drawn again.

    `first[i]` and `second[i]` are the scores of both systems on item i. The first result is the difference of
    their means. The second is the share of the resamples in which the first system's mean is not above the
    second's, on the same drawn items. They are drawn by `resampled(items, resamples, generator)`.

    Raises:
        ValueError: the two differ in shape or are empty, or nothing is to be drawn.

    Source: Koehn (2004).
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            "first and second must be scores of the same items, two lists of the same length: "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    differences = first - second
    draws = resampled(len(differences), resamples, generator).to(differences.device)
    drawn_means = differences[draws].mean(dim=1)
    return float(differences.mean()), float((drawn_means <= 0).float().mean())
