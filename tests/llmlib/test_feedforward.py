"""GELU and FeedForward against torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmlib.feedforward import FeedForward, gelu

torch.set_num_threads(1)

DTYPES = [torch.float32, torch.float64]
gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_equals_torch(dtype, approximate, device):
    x = torch.linspace(-9, 9, 181, dtype=dtype, device=device).reshape(-1, 1).requires_grad_()
    got, expected = gelu(x, approximate), F.gelu(x, approximate=approximate)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(y.sum(), x)[0] for y in (got, expected)))


def test_gelu_is_exact_by_default_and_the_two_differ():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    torch.testing.assert_close(gelu(x), F.gelu(x), rtol=1e-12, atol=1e-12)
    assert (gelu(x) - gelu(x, "tanh")).abs().max() > 1e-4


def test_gelu_refuses_another_approximation():
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh': got 'sigmoid'"):
        gelu(torch.zeros(1), "sigmoid")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_feedforward_equals_torch(dtype, bias, fused, device):
    torch.manual_seed(0)
    ours = FeedForward(6, 10, bias=bias, fused=fused).to(device, dtype)
    theirs = nn.Sequential(nn.Linear(6, 10, bias=bias), nn.GELU(), nn.Linear(10, 6, bias=bias))
    theirs = theirs.to(device, dtype)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 6, dtype=dtype, device=device, requires_grad=True)
    got, expected = ours(x), theirs(x)
    torch.testing.assert_close(got, expected)
    got = torch.autograd.grad(got.square().sum(), [x, *ours.parameters()])
    expected = torch.autograd.grad(expected.square().sum(), [x, *theirs.parameters()])
    for mine, oracle in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, oracle, rtol=1e-4, atol=1e-6)


def test_the_inner_width_is_four_times_the_model_by_default():
    assert FeedForward(6).hidden.weight.shape == (24, 6)
    assert FeedForward(6, 7).hidden.weight.shape == (7, 6)


def test_every_position_is_treated_alone():
    ours, x = FeedForward(6).double(), torch.randn(1, 4, 6).double()
    torch.testing.assert_close(ours(x)[:, 2], ours(x[:, 2]))


def test_dropout_acts_only_while_training():
    torch.manual_seed(0)
    ours, x = FeedForward(32, dropout=0.5), torch.randn(8, 32)
    dropped = ours(x)
    kept = dropped != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(dropped[kept], 2 * ours.eval()(x)[kept])
