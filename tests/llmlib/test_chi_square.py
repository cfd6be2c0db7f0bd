"""Pearson's test against scipy's."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2, chisquare

from llmlib.chi_square import chi_square_statistic, p_value


def test_a_die_by_hand():
    counts = torch.tensor([8, 9, 19, 6, 8, 10])
    statistic, freedom = chi_square_statistic(counts, torch.full((6,), 1 / 6))
    assert statistic == pytest.approx((4 + 1 + 81 + 16 + 4 + 0) / 10, rel=1e-5) and freedom == 5
    assert p_value(statistic, freedom) == pytest.approx(0.0599, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_as_scipy_does_it(seed):
    g = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(7, generator=g, dtype=torch.float64).softmax(dim=0)
    counts = torch.randint(1, 60, (7,), generator=g)
    expected = chisquare(counts.numpy(), (probabilities * counts.sum()).numpy())
    statistic, freedom = chi_square_statistic(counts, probabilities)
    assert statistic == pytest.approx(expected.statistic) and freedom == 6
    assert p_value(statistic, freedom) == pytest.approx(expected.pvalue, rel=1e-6)


@pytest.mark.parametrize("freedom", [1, 2, 10, 300])
@pytest.mark.parametrize("statistic", [0.0, 0.5, 9.0, 400.0])
def test_the_tail_of_the_distribution(statistic, freedom):
    expected = chi2.sf(statistic, freedom)
    assert p_value(statistic, freedom) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_what_cannot_come_does_not_count_unless_it_came():
    probabilities = torch.tensor([0.5, 0.0, 0.5])
    assert chi_square_statistic(torch.tensor([6, 0, 4]), probabilities) == (pytest.approx(0.4), 1)
    assert chi_square_statistic(torch.tensor([6, 1, 4]), probabilities) == (math.inf, 1)
    assert p_value(math.inf, 1) == 0.0


def test_p_values_of_a_right_sampler_are_spread_evenly():
    g = torch.Generator().manual_seed(0)
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    drawn = [torch.multinomial(probabilities, 500, replacement=True, generator=g) for _ in range(400)]
    values = [p_value(*chi_square_statistic(d.bincount(minlength=4), probabilities)) for d in drawn]
    for level in (0.05, 0.25, 0.5, 0.75):
        share = sum(value < level for value in values) / len(values)
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / len(values))


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueError, match="two lists of the same length"):
        chi_square_statistic(torch.tensor([1, 2]), torch.tensor([0.5, 0.25, 0.25]))
    with pytest.raises(ValueError, match="nothing was counted"):
        chi_square_statistic(torch.tensor([0, 0]), torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"add up to 1: got a sum of 0\.9"):
        chi_square_statistic(torch.tensor([1, 2]), torch.tensor([0.5, 0.4]))
    with pytest.raises(ValueError, match="at least two possible outcomes"):
        p_value(0.0, 0)
