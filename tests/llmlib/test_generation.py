"""Samplers against the distributions they promise (chi-square), and the loop that writes text."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from llmlib.generation import generate, greedy, next_token, sample, temperature, top_k, top_p
from llmlib.gpt import GPT, GPTConfig

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


@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 6), (2, 3, 6)])
def test_sample_keeps_the_leading_dimensions(shape):
    logits = torch.randn(shape, generator=generator())
    drawn = sample(logits, generator())
    assert drawn.shape == shape[:-1]
    assert torch.equal(drawn, sample(logits, generator()))


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
    ],
)
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


# --- the loop ---


class Counter(nn.Module):
    """A model that always says: the next token is the last one plus one. It notes what it was shown."""

    def __init__(self, vocab_size: int = 10, context_length: int = 4):
        super().__init__()
        self.config = SimpleNamespace(context_length=context_length)
        self.vocab_size = vocab_size
        self.seen: list[torch.Tensor] = []

    def forward(self, tokens):
        assert not self.training and not torch.is_grad_enabled()
        self.seen.append(tokens)
        return 5.0 * nn.functional.one_hot((tokens + 1) % self.vocab_size, self.vocab_size).float()


def test_generation_continues_each_sequence_and_crops_to_the_context():
    model = Counter()
    got = generate(model, torch.tensor([[0, 1], [6, 7]]), 5, temperature=0)
    assert got.tolist() == [[0, 1, 2, 3, 4, 5, 6], [6, 7, 8, 9, 0, 1, 2]]
    assert [tokens.shape[1] for tokens in model.seen] == [2, 3, 4, 4, 4]
    assert model.seen[-1].tolist() == [[2, 3, 4, 5], [8, 9, 0, 1]]


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_in_its_mode(training):
    model = Counter().train(training)
    generate(model, torch.tensor([[0]]), 2)
    assert model.training is training
    with pytest.raises(ValueError, match="temperature must be a positive number: got -1"):
        generate(model, torch.tensor([[0]]), 2, temperature=-1)
    assert model.training is training


def test_generation_samples_with_the_settings_it_was_given():
    starts = torch.zeros(DRAWS, 1, dtype=torch.long)
    weights = np.full(10, 1.0)
    weights[1] = np.exp(5.0 / 2)
    draws = generate(Counter(), starts, 1, temperature=2.0, generator=generator())[:, 1]
    assert p_value(draws, weights / weights.sum()) > 0.01
    for settings in ({"top_k": 1}, {"top_p": 0.5}):
        draws = generate(Counter(), starts[:100], 1, generator=generator(), **settings)[:, 1]
        assert draws.eq(1).all()


def test_a_generator_decides_the_text():
    model = GPT(GPTConfig(vocab_size=20, context_length=8, d_model=16, n_layers=1, n_heads=2), 0)
    start = torch.zeros(1, 1, dtype=torch.long)
    one = generate(model, start, 30, generator=generator(1))
    assert one.shape == (1, 31)
    assert torch.equal(one, generate(model, start, 30, generator=generator(1)))
    assert not torch.equal(one, generate(model, start, 30, generator=generator(2)))


def test_nothing_new_may_be_asked_for():
    start = torch.tensor([[3, 4]])
    assert torch.equal(generate(Counter(), start, 0), start)


def test_generation_refuses_what_it_cannot_continue():
    with pytest.raises(ValueError, match=re.escape("at least one token: got (1, 0)")):
        generate(Counter(), torch.empty(1, 0, dtype=torch.long), 3)
    with pytest.raises(
        ValueError, match=re.escape("shape (batch, length) with at least one token: got (3,)")
    ):
        generate(Counter(), torch.tensor([1, 2, 3]), 3)
    with pytest.raises(ValueError, match="max_new_tokens must not be negative: got -1"):
        generate(Counter(), torch.tensor([[1]]), -1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_one_cpu_generator_serves_both_devices():
    model = GPT(GPTConfig(vocab_size=20, context_length=8, d_model=16, n_layers=1, n_heads=2), 0).double()
    start = torch.zeros(2, 1, dtype=torch.long)
    expected = generate(model, start, 20, generator=generator(1))
    got = generate(model.cuda(), start.cuda(), 20, generator=generator(1))
    assert got.is_cuda and torch.equal(got.cpu(), expected)
