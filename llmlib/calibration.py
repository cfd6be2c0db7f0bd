"""Does a model know what it knows? Of what it says with 80 % confidence, 80 % should be right.

Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def confidence_bins(confidences: Float[Tensor, " items"], n_bins: int) -> Int[Tensor, " items"]:
    """In which of `n_bins` equally wide bins from 0 to 1 each confidence lies.

    A bin takes its upper edge and not its lower one; confidence 0 belongs to the first.

    Raises:
        ValueError: there is no bin, or a confidence lies outside 0 to 1.
    """
    if n_bins < 1:
        raise ValueError(f"confidences need at least one bin: got {n_bins}")
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError(
            f"confidences must lie between 0 and 1: got {float(confidences.min())} to "
            f"{float(confidences.max())}"
        )
    # i / n rounded once is what "0.3" means, too; a sum of steps need not be.
    inner_edges = torch.arange(1, n_bins, dtype=confidences.dtype, device=confidences.device) / n_bins
    return torch.bucketize(confidences.contiguous(), inner_edges)


def reliability(
    confidences: Float[Tensor, " items"], correct: Bool[Tensor, " items"], n_bins: int = 10
) -> tuple[Int[Tensor, " bins"], Float[Tensor, " bins"], Float[Tensor, " bins"]]:
    """Per bin: how many items, how confident the model was of them on average, and the share that is right.

    A bin without items has NaN for both averages.

    Raises:
        ValueError: the two differ in shape, there is no bin, or a confidence lies outside 0 to 1.

    Source: Guo et al. (2017), section 2.
    """
    _need_pairs(confidences, correct)
    bins = confidence_bins(confidences, n_bins)
    counts = torch.bincount(bins, minlength=n_bins)
    zeros = torch.zeros(n_bins, dtype=confidences.dtype, device=confidences.device)
    confidence = zeros.index_add(0, bins, confidences) / counts
    accuracy = zeros.index_add(0, bins, correct.to(confidences.dtype)) / counts
    return counts, confidence, accuracy


def expected_calibration_error(
    confidences: Float[Tensor, " items"], correct: Bool[Tensor, " items"], n_bins: int = 10
) -> Float[Tensor, ""]:
    """How far confidence lies from accuracy, as an average over the items.

    The items are put into `n_bins` equally wide bins by their confidence; a bin takes its upper edge and not
    its lower one, and confidence 0 belongs to the first. The error is the sum over the bins of
    (share of the items in it) × |accuracy in it - mean confidence in it|.

    Raises:
        ValueError: the two differ in shape or are empty, there is no bin, or a confidence lies outside 0
            to 1.

    Source: Guo et al. (2017), section 2.
    """
    _need_pairs(confidences, correct)
    if len(confidences) == 0:
        raise ValueError("the calibration error is an average over items: got none")
    bins = confidence_bins(confidences, n_bins)
    # (n / N) |right / n - confidence / n| = |right - confidence| / N: no bin is divided by its count.
    gaps = torch.zeros(n_bins, dtype=confidences.dtype, device=confidences.device)
    gaps = gaps.index_add(0, bins, correct.to(confidences.dtype) - confidences)
    return gaps.abs().sum() / len(confidences)


def _need_pairs(confidences: Tensor, correct: Tensor) -> None:
    if confidences.shape != correct.shape or confidences.ndim != 1:
        raise ValueError(
            "confidences and correct must be two lists of the same length: "
            f"got {tuple(confidences.shape)} and {tuple(correct.shape)}"
        )
