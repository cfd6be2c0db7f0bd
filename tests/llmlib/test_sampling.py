"""Samplers against the distributions they promise (chi-square), and against the filters of `transformers`."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, gumbel_r, kstest
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llmlib.sampling import (
    greedy,
    gumbel,
    min_p,
    next_token,
    repetition_penalty,
    sample,
    temperature,
    top_k,
    top_p,
)

torch.set_num_threads(1)

LOGITS = torch.tensor([1.0, 3.0, 0.5, -torch.inf, 2.0, 2.5], dtype=torch.float64)
DRAWS = 20_000


def probabilities(logits: torch.Tensor) -> np.ndarray:
    weights = np.exp(logits.double().numpy())
    return weights / weights.sum(axis=-1, keepdims=True)


def p_value(draws: torch.Tensor, expected: np.ndarray) -> float:
    """How likely counts this far from the expected ones are. Outcomes of probability 0 must not occur."""
    counts = np.bincount(draws.numpy(), minlength=len(expected))
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    return chisquare(counts[possible], expected[possible] * counts.sum()).pvalue


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- one choice ---


def test_greedy_takes_the_largest():
    logits = torch.tensor([[[0.0, 2.0, 1.0]], [[5.0, 2.0, 1.0]]])
    assert greedy(logits).tolist() == [[1], [0]]


def test_samples_follow_softmax():
    draws = sample(LOGITS.expand(DRAWS, 6), generator())
    assert draws.shape == (DRAWS,) and draws.dtype == torch.long
    assert p_value(draws, probabilities(LOGITS)) > 0.01
    # The test can tell: the same draws do not fit a slightly warmer distribution.
    assert p_value(draws, probabilities(LOGITS / 1.1)) < 1e-6


def test_the_noise_is_gumbel_s():
    noise = gumbel((200, 100), generator(4))
    assert noise.shape == (200, 100) and noise.isfinite().all()
    assert kstest(noise.flatten().double().numpy(), gumbel_r.cdf).pvalue > 0.01


def test_noise_that_was_drawn_before_decides():
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, -torch.inf, 0.0]])
    noise = torch.tensor([[5.0, 1.0, 1.0], [0.0, 50.0, 4.0]])
    assert sample(logits, noise=noise).tolist() == [0, 2]
    assert next_token(logits, 2.0, noise=noise).tolist() == [0, 2]
    assert next_token(logits, k=1, noise=noise).tolist() == [2, 0]


@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 6), (2, 3, 6)])
def test_sample_keeps_the_leading_dimensions(shape):
    logits = torch.randn(shape, generator=generator())
    drawn = sample(logits, generator())
    assert drawn.shape == shape[:-1]
    assert torch.equal(drawn, sample(logits, generator()))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_say_nothing_are_refused(wrong):
    logits = torch.zeros(3, 4)
    logits[1] = wrong
    with pytest.raises(ValueError, match="no token can be drawn: the logits hold nan or inf"):
        sample(logits, generator())


def test_rows_are_drawn_from_their_own_logits():
    logits = torch.full((2, 3, 4), -torch.inf)
    wanted = torch.tensor([[0, 1, 2], [3, 2, 1]])
    logits.scatter_(-1, wanted[..., None], 0.0)
    assert torch.equal(sample(logits, generator()), wanted)


def test_without_a_generator_torchs_own_is_used():
    torch.manual_seed(5)
    one = sample(LOGITS.expand(50, 6))
    torch.manual_seed(5)
    assert torch.equal(one, sample(LOGITS.expand(50, 6)))


@pytest.mark.parametrize("value", [0.5, 1.0, 3.0])
def test_temperature(value):
    draws = sample(temperature(LOGITS, value).expand(DRAWS, 6), generator(1))
    powered = probabilities(LOGITS) ** (1 / value)
    assert p_value(draws, powered / powered.sum()) > 0.01


@pytest.mark.parametrize("k", [1, 2, 4, 6, 50])
def test_top_k_keeps_the_k_largest_and_their_proportions(k):
    kept = top_k(LOGITS, k)
    expected = probabilities(LOGITS)
    expected[np.argsort(-expected)[k:]] = 0
    np.testing.assert_allclose(probabilities(kept), expected / expected.sum())
    draws = sample(kept.expand(DRAWS, 6), generator(2))
    assert p_value(draws, expected / expected.sum()) > 0.01 or k == 1


def test_top_k_acts_on_each_row_and_keeps_ties():
    logits = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 2.0]])
    no = -torch.inf
    assert top_k(logits, 2).tolist() == [[no, 2.0, 3.0], [3.0, 2.0, 2.0]]


def smallest_set(weights: np.ndarray, p: float) -> set[int]:
    """Independent oracle: add the likeliest tokens one by one until they reach p."""
    chosen: list[int] = []
    for token in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        chosen.append(token)
        if weights[chosen].sum() >= p:
            break
    return set(chosen)


@pytest.mark.parametrize("p", [1e-9, 0.3, 0.5, 0.72, 0.9, 0.999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(p):
    logits = torch.randn(20, 8, dtype=torch.float64, generator=generator(3)) * 2
    kept = top_p(logits, p)
    for row, row_kept, weights in zip(logits, kept, probabilities(logits), strict=True):
        stays = row_kept.isfinite()
        assert set(stays.nonzero().flatten().tolist()) == smallest_set(weights, p)
        assert torch.equal(row_kept[stays], row[stays])
    draws = sample(kept[0].expand(DRAWS, 8), generator(4))
    expected = probabilities(kept[0])
    assert p_value(draws, expected) > 0.01 or (expected > 0).sum() == 1


def test_top_p_of_exact_halves():
    """Exactly p is reached: the next token is not needed."""
    logits = torch.tensor([0.25, 0.5, 0.125, 0.125], dtype=torch.float64).log()
    assert top_p(logits, 0.5).isfinite().tolist() == [False, True, False, False]
    assert top_p(logits, 0.75).isfinite().tolist() == [True, True, False, False]


def test_top_p_of_one_keeps_everything():
    logits = torch.randn(4, 5000, generator=generator()) * 8
    assert torch.equal(top_p(logits, 1.0), logits)


def test_filters_leave_their_input_alone_and_take_leading_dimensions():
    logits = torch.randn(2, 3, 7, generator=generator())
    before = logits.clone()
    for kept in (top_k(logits, 2), top_p(logits, 0.6), temperature(logits, 2.0)):
        assert kept.shape == logits.shape and kept.dtype == logits.dtype
    assert torch.equal(logits, before)


def test_next_token_applies_temperature_then_top_k_then_top_p():
    expected = probabilities(LOGITS / 2)
    expected[np.argsort(-expected)[4:]] = 0
    expected /= expected.sum()
    stays = smallest_set(expected, 0.7)
    expected = np.array([x if i in stays else 0 for i, x in enumerate(expected)])
    draws = next_token(LOGITS.expand(DRAWS, 6), 2.0, 4, 0.7, generator(6))
    assert p_value(draws, expected / expected.sum()) > 0.01
    # Another order would keep another set.
    assert stays != smallest_set(probabilities(LOGITS), 0.7)
    assert next_token(LOGITS, 0).item() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: temperature(LOGITS, 0.0), "temperature must be a positive number: got 0.0"),
        (lambda: temperature(LOGITS, -1), "temperature must be a positive number: got -1"),
        (lambda: temperature(LOGITS, float("nan")), "temperature must be a positive number: got nan"),
        (lambda: temperature(LOGITS, float("inf")), "temperature must be a positive number: got inf"),
        (lambda: top_k(LOGITS, 0), "top_k must keep at least 1 token: got 0"),
        (lambda: top_p(LOGITS, 0.0), "top_p must be above 0 and at most 1: got 0.0"),
        (lambda: top_p(LOGITS, 1.1), "top_p must be above 0 and at most 1: got 1.1"),
        (lambda: min_p(LOGITS, 0.0), "min_p must be above 0 and at most 1: got 0.0"),
        (lambda: min_p(LOGITS, 2), "min_p must be above 0 and at most 1: got 2"),
        (
            lambda: repetition_penalty(LOGITS, torch.tensor([1]), 0),
            "the repetition penalty must be a positive number: got 0",
        ),
    ],
)
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("p", [1e-6, 0.05, 0.1, 0.5, 1.0])
def test_min_p_compares_with_the_likeliest(p):
    logits = torch.randn(20, 9, dtype=torch.float64, generator=generator(5)) * 2
    kept = min_p(logits, p)
    weights = probabilities(logits)
    stays = weights >= p * weights.max(axis=-1, keepdims=True) * (1 - 1e-12)
    assert np.array_equal(kept.isfinite().numpy(), stays)
    assert torch.equal(kept[kept.isfinite()], logits[kept.isfinite()])
    draws = sample(kept[0].expand(DRAWS, 9), generator(7))
    expected = probabilities(kept[0])
    assert (expected > 0).sum() == 1 or p_value(draws, expected) > 0.01


def test_the_penalty_lowers_what_was_written_whatever_its_sign_and_however_often():
    logits = torch.tensor([[4.0, -2.0, 1.0, 0.0], [4.0, -2.0, 1.0, -torch.inf]])
    tokens = torch.tensor([[0, 1, 0, 0], [2, 2, 3, 3]])
    expected = [[2.0, -4.0, 1.0, 0.0], [4.0, -2.0, 0.5, -torch.inf]]
    assert repetition_penalty(logits, tokens, 2.0).tolist() == expected
    assert torch.equal(repetition_penalty(logits, tokens, 1.0), logits)
    assert repetition_penalty(logits[0], tokens[0], 2.0).tolist() == expected[0]


@pytest.mark.parametrize("seed", range(5))
def test_the_filters_are_those_of_transformers(seed):
    g = generator(seed)
    logits = 3 * torch.randn(6, 40, generator=g)
    tokens = torch.randint(0, 40, (6, 7), generator=g)
    for ours, theirs in (
        (temperature(logits, 0.7), TemperatureLogitsWarper(0.7)),
        (top_k(logits, 5), TopKLogitsWarper(5)),
        (top_p(logits, 0.83), TopPLogitsWarper(0.83)),
        (min_p(logits, 0.07), MinPLogitsWarper(0.07)),
        (repetition_penalty(logits, tokens, 1.4), RepetitionPenaltyLogitsProcessor(1.4)),
    ):
        torch.testing.assert_close(ours, theirs(tokens, logits.clone()), msg=type(theirs).__name__)


def test_next_token_applies_min_p_last():
    draws = next_token(LOGITS.expand(2000, 6), 2.0, 4, None, generator(6), least=0.7)
    kept = min_p(top_k(temperature(LOGITS, 2.0), 4), 0.7)
    assert p_value(draws, probabilities(kept)) > 0.01
    assert set(draws.tolist()) == {1, 5} and min_p(LOGITS, 0.7).isfinite().sum() == 1
