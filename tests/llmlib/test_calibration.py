"""Calibration against an independent sum in numpy, and scikit-learn's calibration curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from llmlib.calibration import confidence_bins, expected_calibration_error, reliability


def drawn(seed, items=200):
    g = torch.Generator().manual_seed(seed)
    confidences = torch.rand(items, generator=g, dtype=torch.float64)
    return confidences, torch.rand(items, generator=g, dtype=torch.float64) < confidences**2


def by_masks(confidences, correct, n_bins):
    """As the paper writes it: bin by bin, a mask for each."""
    confidences, correct = confidences.numpy(), correct.numpy()
    total = 0.0
    for lower in np.arange(n_bins) / n_bins:
        inside = (confidences > lower) & (confidences <= lower + 1 / n_bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
    return total


@pytest.mark.parametrize("n_bins", [1, 4, 10, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_sum_over_bins(seed, n_bins):
    confidences, correct = drawn(seed)
    result = expected_calibration_error(confidences, correct, n_bins)
    assert result.item() == pytest.approx(by_masks(confidences, correct, n_bins), rel=1e-9)
    counts, confidence, accuracy = reliability(confidences, correct, n_bins)
    assert (counts * (confidence - accuracy).abs()).nansum() / 200 == pytest.approx(result.item())


def test_the_diagram_is_scikit_learn_s():
    confidences, correct = drawn(0)
    share, mean = calibration_curve(correct.numpy(), confidences.numpy(), n_bins=10)
    counts, confidence, accuracy = reliability(confidences, correct, 10)
    assert int(counts.sum()) == 200
    assert confidence.tolist() == pytest.approx(mean.tolist())
    assert accuracy.tolist() == pytest.approx(share.tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bin_takes_its_upper_edge_and_the_first_one_zero(dtype):
    edges = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.9, 1.0], dtype=dtype)
    assert confidence_bins(edges, 10).tolist() == [0, 0, 1, 2, 5, 6, 8, 9]
    above = torch.nextafter(edges[:-1], torch.tensor(2.0, dtype=dtype))
    assert confidence_bins(above, 10).tolist() == [0, 1, 2, 3, 6, 7, 9]


def test_sure_and_right_is_calibrated_and_an_empty_bin_is_no_error():
    assert expected_calibration_error(torch.ones(3), torch.tensor([True] * 3)) == 0
    assert expected_calibration_error(torch.ones(4), torch.tensor([True, False] * 2)) == 0.5
    counts, confidence, accuracy = reliability(torch.tensor([0.9]), torch.tensor([True]), 2)
    assert counts.tolist() == [0, 1]
    assert confidence[0].isnan() and accuracy[0].isnan() and accuracy[1] == 1


def test_what_cannot_be_binned_is_refused():
    right = torch.tensor([True, False])
    with pytest.raises(ValueError, match="same length"):
        expected_calibration_error(torch.tensor([0.5]), right)
    with pytest.raises(ValueError, match=r"between 0 and 1: got 0\.5 to 50"):
        expected_calibration_error(torch.tensor([0.5, 50.0]), right)
    with pytest.raises(ValueError, match="between 0 and 1"):
        expected_calibration_error(torch.tensor([0.5, torch.nan]), right)
    with pytest.raises(ValueError, match="at least one bin: got 0"):
        reliability(torch.tensor([0.5, 0.5]), right, 0)
    with pytest.raises(ValueError, match="got none"):
        expected_calibration_error(torch.empty(0), torch.empty(0, dtype=torch.bool))
