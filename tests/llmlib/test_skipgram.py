"""Skip-gram: pairs by hand, the loss against torch's logsigmoid, and vectors that learn what they should."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from llmlib.embedding import nearest_neighbours
from llmlib.skipgram import negative_sampling_loss, noise_distribution, skipgram_pairs, train_skipgram

torch.set_num_threads(1)


def test_pairs_by_hand():
    assert skipgram_pairs([5, 6, 7, 5], 1) == [(5, 6), (6, 5), (6, 7), (7, 6), (7, 5), (5, 7)]
    assert skipgram_pairs([5, 6, 7], 9) == [(5, 6), (5, 7), (6, 5), (6, 7), (7, 5), (7, 6)]
    assert skipgram_pairs([4, 4], 1) == [(4, 4), (4, 4)]  # the same word twice is a pair all the same
    assert skipgram_pairs([4], 2) == skipgram_pairs([], 2) == []


@pytest.mark.parametrize("window", [1, 2, 4])
def test_pairs_are_symmetric_and_as_many_as_counted(window):
    tokens = torch.randint(0, 9, (20,), generator=torch.Generator().manual_seed(0)).tolist()
    pairs = skipgram_pairs(tokens, window)
    assert sorted(pairs) == sorted((b, a) for a, b in pairs)
    assert len(pairs) == sum(2 * (len(tokens) - distance) for distance in range(1, window + 1))


def test_a_window_is_not_empty():
    with pytest.raises(ValueError, match="at least one place to each side: got 0"):
        skipgram_pairs([1, 2], 0)


def test_the_noise_flattens_the_counts():
    counts = torch.tensor([16.0, 1.0, 0.0, 81.0])
    torch.testing.assert_close(noise_distribution(counts), torch.tensor([8.0, 1.0, 0.0, 27.0]) / 36)
    torch.testing.assert_close(noise_distribution(counts, 1.0), counts / 98)
    torch.testing.assert_close(noise_distribution(counts, 0.0), torch.tensor([1.0, 1.0, 0.0, 1.0]) / 3)


@pytest.mark.parametrize("counts", [[0.0, 0.0], [1.0, -1.0]])
def test_noise_needs_counts(counts):
    with pytest.raises(ValueError, match="counts must not be negative, and one at least must be above 0"):
        noise_distribution(torch.tensor(counts))


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_loss_and_its_gradients_equal_torch_s_logsigmoid(scale):
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 5), (4, 5), (4, 3, 5))
    vectors = [
        (scale * torch.randn(s, generator=generator, dtype=torch.float64)).requires_grad_() for s in shapes
    ]
    centre, neighbour, negatives = vectors
    expected = -(
        F.logsigmoid(torch.einsum("bd,bd->b", centre, neighbour))
        + F.logsigmoid(-torch.einsum("bd,bkd->bk", centre, negatives)).sum(dim=1)
    ).mean()
    got = negative_sampling_loss(centre, neighbour, negatives)
    torch.testing.assert_close(got, expected)
    for ours, theirs in zip(
        torch.autograd.grad(got, vectors), torch.autograd.grad(expected, vectors), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_loss_survives_large_scores():
    centre = torch.tensor([[100.0, 0.0]])
    loss = negative_sampling_loss(centre, -centre, torch.stack([centre, -centre], dim=1))
    torch.testing.assert_close(loss, torch.tensor(20_000.0))


def _two_kinds():
    """Tokens 0 to 2 stand only beside 6, and 3 to 5 only beside 7."""
    first = torch.tensor([[token, 6] for token in (0, 1, 2)])
    second = torch.tensor([[token, 7] for token in (3, 4, 5)])
    return torch.cat([first, second] * 10)


def test_training_brings_together_what_has_the_same_neighbours():
    vectors = train_skipgram(
        _two_kinds(), 8, 4, steps=150, batch_size=32, generator=torch.Generator().manual_seed(0)
    )
    assert vectors.centre.shape == vectors.neighbour.shape == (8, 4)
    assert sum(vectors.losses[-20:]) < 0.8 * sum(vectors.losses[:20])
    for token in range(6):
        _, rows = nearest_neighbours(vectors.centre[token], vectors.centre[:6], 3)
        assert {row // 3 for row in rows.tolist()} == {token // 3}


def test_the_generator_decides_every_draw():
    runs = [
        train_skipgram(_two_kinds(), 8, 4, steps=5, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    assert runs[0].losses == runs[1].losses != runs[2].losses
    assert runs[0].centre.equal(runs[1].centre)


def test_there_is_something_to_learn_from():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="there are no pairs"):
        train_skipgram(torch.empty(0, 2, dtype=torch.long), 8, 4, steps=1, generator=generator)
    with pytest.raises(ValueError, match="smaller than vocab_size = 7: got 7"):
        train_skipgram(_two_kinds(), 7, 4, steps=1, generator=generator)
