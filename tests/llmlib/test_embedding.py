"""Embeddings against torch.nn.Embedding, and sinusoidal positions against the paper's formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llmlib.embedding import (
    LearnedPositions,
    TokenEmbedding,
    cosine_similarity,
    embedding_gradient,
    nearest_neighbours,
    one_hot,
    sinusoidal_positions,
)

torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_lookup_equals_torch_in_values_and_gradients(dtype, shape):
    torch.manual_seed(1)
    ours = TokenEmbedding(7, 3).to(dtype)
    theirs = nn.Embedding(7, 3).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randint(0, 7, shape)
    got, expected = ours(tokens), theirs(tokens)
    assert got.shape == (*shape, 3) and got.dtype == dtype
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    towards = torch.randn_like(got)
    got.backward(towards)
    expected.backward(towards)
    # A token that occurs twice collects both gradients.
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("token", [-1, 7])
def test_a_token_outside_the_vocabulary_is_refused(token):
    with pytest.raises(ValueError, match=rf"between 0 and vocab_size - 1 = 6: got {token}"):
        TokenEmbedding(7, 3)(torch.tensor([[0, token]]))


def test_no_tokens_give_no_vectors():
    assert TokenEmbedding(7, 3)(torch.empty(2, 0, dtype=torch.long)).shape == (2, 0, 3)


def test_learned_positions_are_the_first_rows():
    positions = LearnedPositions(6, 4)
    torch.testing.assert_close(positions(3), positions.weight[:3], rtol=0, atol=0)
    positions(3).sum().backward()
    assert positions.weight.grad[:3].eq(1).all() and positions.weight.grad[3:].eq(0).all()
    assert positions(6).shape == (6, 4)


def test_learned_positions_end_with_the_context():
    with pytest.raises(ValueError, match="at most 6 tokens: got 7"):
        LearnedPositions(6, 4)(7)


@pytest.mark.parametrize(("length", "d_model", "base"), [(1, 2, 10000.0), (9, 6, 10000.0), (40, 16, 50.0)])
def test_sinusoidal_positions_follow_the_formula(length, d_model, base):
    got = sinusoidal_positions(length, d_model, base)
    assert got.shape == (length, d_model) and got.dtype == torch.float32
    for position in range(length):
        for i in range(d_model // 2):
            angle = position / base ** (2 * i / d_model)
            assert got[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert got[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoidal_positions_stay_exact_far_out():
    far = 100_003
    angle = far / 10000 ** (2 / 6)
    assert sinusoidal_positions(far + 1, 6)[far, 2].item() == pytest.approx(math.sin(angle), abs=1e-6)


def test_a_shift_is_a_rotation():
    """The paper's reason for the waves: position p + k is a linear function of position p."""
    table = sinusoidal_positions(20, 8).double()
    pairs = torch.view_as_complex(table.flip(-1).unflatten(-1, (4, 2)).contiguous())
    step = pairs[1:] / pairs[:-1]
    torch.testing.assert_close(step, step[:1].expand_as(step), rtol=1e-5, atol=1e-5)


def test_sinusoidal_positions_need_pairs():
    with pytest.raises(ValueError, match=r"d_model must be even.*got 5"):
        sinusoidal_positions(3, 5)


# --- One-hot vectors and the table's gradient


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 0)])
def test_one_hot_equals_torch_and_times_the_table_is_the_lookup(shape):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 7, shape, generator=generator)
    table = torch.randn(7, 3, generator=generator)
    got = one_hot(tokens, 7)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, F.one_hot(tokens, 7).float(), rtol=0, atol=0)
    torch.testing.assert_close(got @ table, F.embedding(tokens, table), rtol=0, atol=0)


@pytest.mark.parametrize(("token", "got"), [(-1, "from -1 to 0"), (7, "from 0 to 7")])
def test_an_unknown_token_has_neither_a_one_hot_vector_nor_a_gradient(token, got):
    with pytest.raises(ValueError, match=rf"between 0 and vocab_size - 1 = 6: got tokens {got}"):
        one_hot(torch.tensor([0, token]), 7)
    with pytest.raises(ValueError, match=rf"between 0 and vocab_size - 1 = 6: got tokens {got}"):
        embedding_gradient(torch.tensor([0, token]), torch.ones(2, 3), 7)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (2, 0)])
def test_the_gradient_equals_torch_s_with_repeated_tokens(shape):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 4, shape, generator=generator)
    table = torch.randn(7, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(F.embedding(tokens, table), table, gradient)
    torch.testing.assert_close(embedding_gradient(tokens, gradient, 7), expected)


# --- Similarity


@pytest.mark.parametrize("shapes", [((4,), (4,)), ((5, 4), (5, 4)), ((4,), (6, 4)), ((3, 1, 4), (2, 4))])
def test_cosine_similarity_equals_torch(shapes):
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randn(shape, generator=generator) for shape in shapes)
    torch.testing.assert_close(cosine_similarity(a, b), F.cosine_similarity(a, b, dim=-1))


def test_only_directions_count():
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0])
    for scale in (1e-6, 1.0, 1e6):
        torch.testing.assert_close(cosine_similarity(a, scale * b), torch.tensor(0.96))
    torch.testing.assert_close(cosine_similarity(a, -7 * a), torch.tensor(-1.0))


def test_a_vector_of_zeros_is_similar_to_nothing_and_sends_no_nan_back():
    a = torch.zeros(2, 3, requires_grad=True)
    b = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    similarity = cosine_similarity(a, b)
    assert similarity.tolist() == [0.0, 0.0]
    similarity.sum().backward()
    assert a.grad.isfinite().all()


def test_the_nearest_rows_come_first_and_of_equal_ones_the_first():
    table = torch.tensor([[0.0, 1.0], [2.0, 2.0], [5.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    similarities, rows = nearest_neighbours(torch.tensor([1.0, 0.0]), table, 4)
    assert rows.tolist() == [2, 1, 3, 0]
    torch.testing.assert_close(similarities, torch.tensor([1.0, 0.5**0.5, 0.5**0.5, 0.0]))


@pytest.mark.parametrize("k", [-1, 6])
def test_there_are_only_so_many_neighbours(k):
    with pytest.raises(ValueError, match=f"between 0 and 5.*got {k}"):
        nearest_neighbours(torch.ones(2), torch.ones(5, 2), k)
