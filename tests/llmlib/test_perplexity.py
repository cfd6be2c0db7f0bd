"""Perplexity and bits per byte, against sums done by hand and torch's own cross-entropy."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from llmlib.perplexity import bits_per_byte, perplexity


def test_a_choice_among_equals_is_its_own_perplexity():
    assert perplexity(torch.full((3, 4), math.log(50))) == pytest.approx(50, rel=1e-6)
    assert perplexity(torch.zeros(5)) == 1.0
    assert perplexity(torch.tensor([0.0, math.inf])) == math.inf
    assert perplexity(torch.tensor([900.0])) == math.inf  # no OverflowError


def test_it_is_the_exponential_of_the_training_loss():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 9, generator=g)
    targets = torch.randint(9, (6,), generator=g)
    nats = F.cross_entropy(logits, targets, reduction="none")
    assert perplexity(nats) == pytest.approx(math.exp(F.cross_entropy(logits, targets)), rel=1e-6)


def test_bits_per_byte_by_hand():
    # Three tokens of one bit each; "é" has two bytes in UTF-8, the euro sign three.
    nats = torch.full((3,), math.log(2))
    assert bits_per_byte(nats, "abc") == pytest.approx(1.0)
    assert bits_per_byte(nats, "é€a") == pytest.approx(3 / 6)
    assert bits_per_byte(nats, "abcdef") == pytest.approx(0.5)


def test_however_a_text_is_cut_the_same_probability_gives_the_same_number():
    text, probability = "naïve", 0.5**12
    for tokens in (1, 2, 5):
        nats = torch.full((tokens,), -math.log(probability) / tokens, dtype=torch.float64)
        assert bits_per_byte(nats, text) == pytest.approx(12 / 6)


def test_averages_over_nothing_are_refused():
    with pytest.raises(ValueError, match="got none"):
        perplexity(torch.empty(0))
    with pytest.raises(ValueError, match="empty text"):
        bits_per_byte(torch.empty(0), "")
