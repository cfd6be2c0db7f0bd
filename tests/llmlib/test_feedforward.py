"""GELU and FeedForward against torch, SwiGLU against torch and transformers' Llama."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmlib.feedforward import FeedForward, SwiGLU, gelu, swiglu

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


# --- SwiGLU


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_swiglu_equals_torch_s_silu_times_the_value(dtype, device):
    gate = torch.linspace(-9, 9, 60, dtype=dtype, device=device).reshape(4, 15).requires_grad_()
    value = torch.linspace(3, -2, 60, dtype=dtype, device=device).reshape(4, 15).requires_grad_()
    got, expected = swiglu(gate, value), F.silu(gate) * value
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    for mine, oracle in zip(
        *(torch.autograd.grad(y.sum(), [gate, value]) for y in (got, expected)), strict=True
    ):
        torch.testing.assert_close(mine, oracle, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_swiglu_layer_equals_transformers_llama_mlp(dtype, bias, fused):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    config = LlamaConfig(hidden_size=6, num_attention_heads=2, intermediate_size=10, mlp_bias=bias)
    theirs = LlamaMLP(config).to(dtype)
    ours = SwiGLU(6, 10, bias=bias, fused=fused).to(dtype)
    names = {"gate": theirs.gate_proj, "hidden": theirs.up_proj, "output": theirs.down_proj}
    with torch.no_grad():
        for i, parameter in enumerate(theirs.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
    ours.load_state_dict({f"{n}.{k}": v for n, layer in names.items() for k, v in layer.state_dict().items()})
    x = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(9)).to(dtype).requires_grad_()
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    torch.testing.assert_close(ours(x), theirs(x), **tolerance)
    got, expected = (torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (ours, theirs))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("d_model", [3, 6, 48, 768])
def test_swiglu_is_by_default_as_large_as_the_usual_layer(d_model):
    gated, usual = SwiGLU(d_model, bias=False), FeedForward(d_model, bias=False)
    assert gated.hidden.weight.shape == gated.gate.weight.shape == (8 * d_model // 3, d_model)
    count = [sum(p.numel() for p in layer.parameters()) for layer in (gated, usual)]
    assert count[0] == count[1], f"{count[0]} and {count[1]} weights"  # exact where 3 divides d_model


def test_swiglu_takes_feedforward_s_arguments_and_its_place():
    import inspect

    gelu_s_own = {"approximate"}
    ours, theirs = (inspect.signature(layer.__init__).parameters for layer in (SwiGLU, FeedForward))
    assert {name: p for name, p in theirs.items() if name not in gelu_s_own} == dict(ours)
    layer = SwiGLU(8, dropout=0.4, bias=False)
    assert layer.dropout.p == 0.4 and all(p.dim() == 2 for p in layer.parameters())
