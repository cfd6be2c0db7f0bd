"""Is a model right as often as it is sure? Reliability and the expected calibration error.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017), section 2.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def reliability(
    confidences: Float[Tensor, " answers"], correct: Bool[Tensor, " answers"], n_bins: int
) -> tuple[Float[Tensor, " bins"], Float[Tensor, " bins"], Int[Tensor, " bins"]]:
    """For each bin of confidence: the average confidence, the share of right answers, how many there are.

    The bins divide 0 to 1 evenly; the upper edge belongs to a bin. An empty bin has NaN for both averages.

    Raises:
        ValueError: the two differ in length, or there is no bin.
    """
    if confidences.shape != correct.shape or confidences.ndim != 1 or n_bins < 1:
        raise ValueError(
            "reliability needs one truth for each confidence, and bins: "
            f"got shapes {tuple(confidences.shape)} and {tuple(correct.shape)}, n_bins {n_bins}"
        )
    edges = torch.arange(1, n_bins).to(confidences) / n_bins
    bins = torch.bucketize(confidences, edges)
    count = torch.bincount(bins, minlength=n_bins)
    confidence = torch.bincount(bins, weights=confidences, minlength=n_bins) / count
    share = torch.bincount(bins, weights=correct.to(confidences.dtype), minlength=n_bins) / count
    return confidence, share, count


def expected_calibration_error(
    confidences: Float[Tensor, " answers"], correct: Bool[Tensor, " answers"], n_bins: int
) -> float:
    """How far the share of right answers lies from the confidence, on average over the answers.

    In each bin it is the distance of the two averages, and a bin counts by its number of answers. The bins
    divide 0 to 1 evenly; the upper edge belongs to a bin, and 0 to the first.

    Raises:
        ValueError: the two differ in length, or there is no answer or no bin.

    Source: Guo, Pleiss, Sun and Weinberger (2017), equation 3; Naeini, Cooper and Hauskrecht, "Obtaining Well
    Calibrated Probabilities Using Bayesian Binning" (2015).
    """
    if confidences.shape != correct.shape or confidences.ndim != 1 or not len(confidences) or n_bins < 1:
        raise ValueError(
            "the calibration error needs answers, one truth for each confidence, and bins: "
            f"got shapes {tuple(confidences.shape)} and {tuple(correct.shape)}, n_bins {n_bins}"
        )
    # Divided, not multiplied: 7 / 100 is what "0.07" means, and 0.07 * 100 lies a little above 7.
    edges = torch.arange(1, n_bins).to(confidences) / n_bins
    places = torch.bucketize(confidences, edges)
    # A bin's number of answers times its gap is the sum of (right - sure) over its answers.
    gaps = confidences.new_zeros(n_bins).index_add(0, places, correct.to(confidences) - confidences)
    return float(gaps.abs().sum() / len(confidences))
