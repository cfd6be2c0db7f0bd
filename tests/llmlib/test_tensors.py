"""The tools of chapter 0 against PyTorch's own: broadcast_shapes, mse_loss, cdist, unfold."""

from __future__ import annotations

import itertools

import pytest
import torch

from llmlib.tensors import broadcast_shape, mean_squared_error, pairwise_distances, sliding_windows

SHAPES = [shape for n in range(4) for shape in itertools.product((0, 1, 2, 3), repeat=n)]


def _torch_shape(first, second):
    try:
        return tuple(torch.broadcast_shapes(first, second))
    except RuntimeError:
        return None


def test_broadcast_shape_agrees_with_torch_on_every_pair_of_small_shapes():
    refused = 0
    for first, second in itertools.product(SHAPES, repeat=2):
        if (expected := _torch_shape(first, second)) is None:
            refused += 1
            with pytest.raises(ValueError, match="do not fit"):
                broadcast_shape(first, second)
        else:
            assert broadcast_shape(first, second) == expected, (first, second)
    assert 0 < refused < len(SHAPES) ** 2


def test_the_error_of_broadcast_shape_names_the_two_sizes():
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(2, 3\) do not fit: 4 meets 2"):
        broadcast_shape((4, 3), (2, 3))


@pytest.mark.parametrize("shape", [(), (5,), (3, 1), (2, 3, 4)])
def test_mean_squared_error_agrees_with_torch_in_value_and_gradient(shape):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(shape, generator=generator, requires_grad=True)
    target = torch.randn(shape, generator=generator)
    ours, theirs = (f(prediction, target) for f in (mean_squared_error, torch.nn.functional.mse_loss))
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(ours, prediction), torch.autograd.grad(theirs, prediction), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_mean_squared_error_refuses_what_would_be_broadcast():
    with pytest.raises(ValueError, match=r"one shape: got \(4, 1\) and \(4,\)"):
        mean_squared_error(torch.zeros(4, 1), torch.zeros(4))


@pytest.mark.parametrize(("n", "m", "features"), [(1, 1, 1), (4, 3, 2), (3, 3, 3), (2, 5, 7), (0, 3, 2)])
def test_pairwise_distances_agree_with_cdist(n, m, features):
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(n, features, generator=generator, dtype=torch.float64)
    others = torch.randn(m, features, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(pairwise_distances(points, others), torch.cdist(points, others))


def test_pairwise_distances_refuse_other_features():
    with pytest.raises(ValueError, match="agree in features: got 1 and 3"):
        pairwise_distances(torch.zeros(2, 1), torch.zeros(2, 3))


@pytest.mark.parametrize(("corpus", "length"), [(1, 1), (7, 1), (7, 3), (7, 6), (7, 7)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_sliding_windows_agree_with_unfold(corpus, length, dtype):
    tokens = torch.randint(0, 50, (corpus,), generator=torch.Generator().manual_seed(2)).to(dtype)
    windows = sliding_windows(tokens, length)
    assert windows.dtype == dtype
    torch.testing.assert_close(windows, tokens.unfold(0, length, 1), rtol=0, atol=0)


@pytest.mark.parametrize(("corpus", "length"), [(3, 4), (3, 0), (3, -1), (0, 1)])
def test_sliding_windows_refuse_a_length_that_does_not_fit(corpus, length):
    with pytest.raises(ValueError, match=f"between 1 and the {corpus} tokens of the text: got {length}"):
        sliding_windows(torch.arange(corpus), length)
