"""LayerNorm and RMSNorm against torch: values, gradients, where eps stands."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmlib.normalization import LayerNorm, RMSNorm, layer_norm, rms_norm

torch.set_num_threads(1)

DTYPES = [torch.float32, torch.float64]
SHAPES = [(6,), (3, 5), (2, 3, 8), (2, 1, 4, 16)]
gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=gpu)]


def draw(*shape, dtype, seed=0, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(device, dtype).requires_grad_()


def randomise(module):
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, dtype=parameter.dtype, seed=10 + i))
    return module


def assert_same(ours, theirs, x):
    got, expected = ours(x), theirs(x)
    torch.testing.assert_close(got, expected)
    towards = draw(*x.shape, dtype=x.dtype, seed=7, device=x.device).detach()
    got = torch.autograd.grad(got, [x, *ours.parameters()], towards)
    expected = torch.autograd.grad(expected, [x, *theirs.parameters()], towards)
    for mine, oracle in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, oracle)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("eps", [1e-5, 0.7])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_equals_torch(dtype, shape, eps, bias, fused, device):
    ours = randomise(LayerNorm(shape[-1], eps=eps, bias=bias, fused=fused).to(device, dtype))
    theirs = nn.LayerNorm(shape[-1], eps=eps, bias=bias, device=device, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    assert_same(ours, theirs, draw(*shape, dtype=dtype, device=device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("eps", [1e-5, 0.7])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm_equals_torch(dtype, shape, eps, fused, device):
    ours = randomise(RMSNorm(shape[-1], eps=eps, fused=fused).to(device, dtype))
    theirs = nn.RMSNorm(shape[-1], eps=eps, device=device, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    assert_same(ours, theirs, draw(*shape, dtype=dtype, device=device))


def test_functions_equal_torch_and_leave_their_input_alone():
    x, weight, bias = (draw(*s, dtype=torch.float64, seed=i) for i, s in enumerate([(3, 4), (4,), (4,)]))
    before = x.detach().clone()
    torch.testing.assert_close(layer_norm(x, weight, bias, 0.1), F.layer_norm(x, (4,), weight, bias, 0.1))
    torch.testing.assert_close(layer_norm(x, weight), F.layer_norm(x, (4,), weight))
    torch.testing.assert_close(rms_norm(x, weight, 0.1), F.rms_norm(x, (4,), weight, 0.1))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "module", [LayerNorm(4), RMSNorm(4), LayerNorm(4, fused=True), RMSNorm(4, fused=True)]
)
def test_fresh_modules_have_the_default_eps_and_no_learned_change(module):
    x = torch.tensor([[1.0, -1.0, 1.0, -1.0]]) * 1e-2  # mean square 1e-4: eps of 1e-5 shows
    torch.testing.assert_close(module(x), x / (1e-4 + 1e-5) ** 0.5)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_vector_is_no_accident(value, fused):
    for module in (LayerNorm(4, fused=fused), RMSNorm(4, fused=fused)):
        x = torch.full((2, 4), value, requires_grad=True)
        module(x).sum().backward()
        assert module(x).isfinite().all() and x.grad.isfinite().all()
    assert LayerNorm(4, fused=fused)(torch.full((2, 4), value)).abs().max() < 1e-3


def test_rms_norm_does_not_centre():
    assert RMSNorm(4)(torch.full((1, 4), 3.0)).mean().item() == pytest.approx(1.0, abs=1e-5)
