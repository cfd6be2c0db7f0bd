"""Repeated sequences, the score of a head that continues them, and that two layers learn what one cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llmlib.attention import MultiHeadAttention
from llmlib.induction import (
    AttentionOnly,
    accuracy_on_repeats,
    induction_score,
    repeated_sequences,
    train_on_repeats,
)

torch.set_num_threads(1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(n_layers, seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AttentionOnly(16, 24, d_model=32, n_heads=2, n_layers=n_layers, **options)


def test_the_weights_of_a_reader_s_own_layer_are_those_of_ours():
    class Mine(torch.nn.Module):
        """Not a MultiHeadAttention, with the same parts."""

        def __init__(self, *arguments, **options):
            super().__init__()
            ours = MultiHeadAttention(*arguments, **options)
            self.n_heads, self.run = ours.n_heads, ours.forward
            self.query, self.key, self.value, self.output = ours.query, ours.key, ours.value, ours.output

        def forward(self, x, is_causal=False):
            return self.run(x, is_causal=is_causal)

    tokens = repeated_sequences(2, 4, 16, generator())
    for ours, mine in zip(made(2).weights(tokens), made(2, attention=Mine).weights(tokens), strict=True):
        torch.testing.assert_close(mine, ours)


def test_sequences_repeat_and_follow_their_generator():
    tokens = repeated_sequences(50, 7, 16, generator(), repeats=3)
    assert tokens.shape == (50, 21)
    assert tokens[:, :7].equal(tokens[:, 7:14]) and tokens[:, :7].equal(tokens[:, 14:])
    assert set(tokens.unique().tolist()) == set(range(16))
    assert tokens.equal(repeated_sequences(50, 7, 16, generator(), repeats=3))
    assert not tokens.equal(repeated_sequences(50, 7, 16, generator(1), repeats=3))


@pytest.mark.parametrize(("period", "repeats"), [(0, 2), (3, 0)])
def test_sequences_refuse_nothing_to_repeat(period, repeats):
    with pytest.raises(ValueError, match=f"at least 1: got {period} and {repeats}"):
        repeated_sequences(1, period, 16, generator(), repeats)


@pytest.mark.parametrize(("length", "period"), [(6, 3), (7, 2), (7, 6), (5, 1)])
def test_the_score_averages_the_token_after_the_previous_occurrence(length, period):
    weights = torch.rand(2, 3, length, length, generator=generator(), dtype=torch.float64)
    expected = [
        np.mean([weights[b, h, i, i - period + 1] for b in range(2) for i in range(period, length)])
        for h in range(3)
    ]
    torch.testing.assert_close(induction_score(weights, period), torch.tensor(expected, dtype=torch.float64))


def test_a_perfect_induction_head_scores_one_and_one_that_looks_back_scores_nothing():
    weights = torch.zeros(1, 2, 10, 10)
    for query in range(5, 10):
        weights[0, 0, query, query - 4] = 1.0  # after the previous occurrence
        weights[0, 1, query, query - 1] = 1.0  # directly before
    assert induction_score(weights, 5).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("period", [0, 6])
def test_the_score_refuses_a_period_that_never_comes_back(period):
    with pytest.raises(ValueError, match=f"between 1 and length - 1 = 5: got {period}"):
        induction_score(torch.zeros(1, 1, 6, 6), period)


def test_a_later_token_changes_no_earlier_prediction():
    model, tokens = made(2), repeated_sequences(3, 6, 16, generator())
    changed = tokens.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % 16
    torch.testing.assert_close(model(tokens)[:, :8], model(changed)[:, :8])
    assert not torch.allclose(model(tokens)[:, 8:], model(changed)[:, 8:])


def test_the_weights_shown_are_the_weights_used():
    model, tokens = made(2), repeated_sequences(3, 6, 16, generator())
    maps = model.weights(tokens)
    assert [tuple(weights.shape) for weights in maps] == [(3, 2, 12, 12)] * 2
    first = model.layers[0]
    x = model.tokens(tokens) + model.positions(12)
    values = first.value(x).unflatten(-1, (2, -1)).transpose(1, 2)
    by_hand = first.output((maps[0] @ values).transpose(1, 2).flatten(start_dim=-2))
    torch.testing.assert_close(by_hand, first(x, is_causal=True))


def test_training_follows_its_generator_and_counts_every_step():
    losses = [train_on_repeats(made(1), 16, generator(3), periods=(3, 8), steps=5) for _ in range(2)]
    assert losses[0] == losses[1] and len(losses[0]) == 5


def test_accuracy_counts_the_second_round_alone():
    class Copies(torch.nn.Module):
        """Says at each place what came five places before the next one; in the first round, nonsense."""

        def forward(self, tokens):
            guesses = torch.zeros_like(tokens)
            guesses[:, 4:] = tokens[:, :-4]
            return torch.nn.functional.one_hot(guesses, 16).float()

    tokens = repeated_sequences(20, 5, 16, generator())
    assert accuracy_on_repeats(Copies(), tokens, period=5) == 1.0


@pytest.mark.long
def test_two_layers_learn_induction_and_one_does_not():
    rates = {}
    for n_layers in (1, 2):
        model = made(n_layers)
        train_on_repeats(model, 16, generator(), periods=(4, 12), steps=900)
        tokens = repeated_sequences(200, 9, 16, generator(9))
        rates[n_layers] = accuracy_on_repeats(model, tokens, period=9)
        best = max(float(induction_score(weights, 9).max()) for weights in model.weights(tokens))
    assert rates[2] > rates[1] + 0.3, f"right guesses with one and two layers: {rates}"
    assert best > 0.4, f"no head continues the pattern: the best scores {best:.2f}"
