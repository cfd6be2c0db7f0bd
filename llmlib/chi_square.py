"""Does a sampler draw what it says? Counts against probabilities.

Sources: Pearson, "On the criterion that a given system of deviations from the probable in the case of a
correlated system of variables is such that it can be reasonably supposed to have arisen from random sampling"
(1900), for the statistic; Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), formula
26.4.19, for its distribution.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def chi_square_statistic(
    counts: Int[Tensor, " outcomes"], probabilities: Float[Tensor, " outcomes"]
) -> tuple[float, int]:
    """How far counts lie from what is expected of these probabilities, and the degrees of freedom.

    The statistic is the sum of (count - expected)² / expected over the possible outcomes. The degrees of
    freedom are the number of possible outcomes less one. An outcome of probability 0 does not take part; if
    it has been counted all the same, the statistic is infinite.

    Raises:
        ValueError: the two differ in shape, nothing was counted, or the probabilities do not add up to 1.

    Source: Pearson (1900).
    """
    if counts.shape != probabilities.shape or counts.ndim != 1:
        raise ValueError(
            "counts and probabilities must be two lists of the same length: "
            f"got {tuple(counts.shape)} and {tuple(probabilities.shape)}"
        )
    if not counts.sum() > 0:
        raise ValueError("nothing was counted: draw at least once")
    if abs(float(probabilities.sum()) - 1) > 1e-4:
        raise ValueError(f"the probabilities must add up to 1: got a sum of {float(probabilities.sum()):.6g}")
    possible = probabilities > 0
    freedom = int(possible.sum()) - 1
    if counts[~possible].any():
        return float("inf"), freedom
    expected = (counts.sum() * probabilities)[possible]
    return float(((counts[possible] - expected).square() / expected).sum()), freedom


def p_value(statistic: float, freedom: int) -> float:
    """How often chance alone gives a statistic at least as large, when the probabilities are right.

    Trustworthy if at least five of each possible outcome are expected (Cochran's rule).

    Raises:
        ValueError: `freedom` is not at least 1: a single possible outcome cannot be drawn wrongly.

    Source: Abramowitz and Stegun (1964), 26.4.19; Cochran, "Some Methods for Strengthening the Common χ²
    Tests" (1954).
    """
    if freedom < 1:
        raise ValueError(f"the chi-square test needs at least two possible outcomes: got freedom {freedom}")
    half = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))
