"""Intervals against scipy's bootstrap, and the paired test against an exact enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from llmlib.bootstrap import bootstrap_interval, paired_bootstrap, resampled


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_items_are_drawn_with_replacement_from_all_of_them():
    draws = resampled(5, 2000, generator())
    assert draws.shape == (2000, 5)
    assert draws.unique().tolist() == [0, 1, 2, 3, 4]
    assert torch.bincount(draws.flatten()).float().div(10000).sub(0.2).abs().max() < 0.02
    assert any(len(set(draw)) < 5 for draw in draws.tolist())
    assert draws.equal(resampled(5, 2000, generator()))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(torch.mean, np.mean), (torch.std, lambda x: np.std(x, ddof=1))]
)
def test_the_interval_is_scipy_s_percentile_interval(ours, theirs):
    values = torch.randn(40, generator=generator(1), dtype=torch.float64)
    expected = bootstrap(
        (values.numpy(),), theirs, n_resamples=4000, method="percentile", vectorized=False,
        confidence_level=0.9, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    low, high = bootstrap_interval(values, ours, 0.9, 4000, generator=generator())
    assert low == pytest.approx(expected.low, abs=0.03)
    assert high == pytest.approx(expected.high, abs=0.03)


def test_given_the_draws_the_interval_is_exact():
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    low, high = bootstrap_interval(values, level=0.8, resamples=50, generator=generator(3))
    means = values.double().numpy()[resampled(4, 50, generator(3)).numpy()].mean(axis=1)
    assert (low, high) == pytest.approx(np.quantile(means, [0.1, 0.9]).tolist())


def test_any_statistic_of_whole_items():
    """A score that is no mean, such as BLEU, is taken again of the drawn items' numbers."""
    places = torch.arange(6)
    low, high = bootstrap_interval(places, lambda drawn: len(set(drawn.tolist())), generator=generator())
    assert 1 <= low < high <= 6


def test_most_intervals_hold_the_truth():
    held = 0
    for seed in range(200):
        values = torch.randn(30, generator=generator(seed)) + 5
        low, high = bootstrap_interval(values, resamples=200, generator=generator(seed + 1000))
        held += low <= 5 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_the_paired_share_nears_the_one_over_all_possible_draws():
    first, second = torch.tensor([0.9, 0.2, 0.8, 0.5]), torch.tensor([0.4, 0.3, 0.6, 0.7])
    difference = (first - second).double().numpy()
    exact = np.mean([difference[list(draw)].mean() <= 0 for draw in product(range(4), repeat=4)])
    got, share = paired_bootstrap(first, second, 20000, generator())
    assert got == pytest.approx(float((first - second).mean()))
    assert share == pytest.approx(exact, abs=0.015)


def test_equal_systems_never_win_and_a_small_steady_lead_always_does():
    scores = torch.rand(50, generator=generator())
    assert paired_bootstrap(scores, scores, 100, generator()) == (0.0, 1.0)
    difference, share = paired_bootstrap(scores + 0.01, scores, 100, generator())
    assert difference == pytest.approx(0.01, rel=1e-3) and share == 0.0


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="got 0 items, 10 resamples"):
        bootstrap_interval(torch.empty(0), resamples=10, generator=generator())
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, .*: got 95"):
        bootstrap_interval(torch.ones(3), level=95, generator=generator())
    with pytest.raises(ValueError, match="the same items"):
        paired_bootstrap(torch.ones(3), torch.ones(4), 10, generator())
    with pytest.raises(ValueError, match="0 resamples"):
        paired_bootstrap(torch.ones(3), torch.ones(3), 0, generator())
