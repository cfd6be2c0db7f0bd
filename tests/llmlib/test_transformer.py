"""TransformerBlock against torch.nn.TransformerEncoderLayer, with the norm first and with the norm last."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from llmlib.attention import causal_mask, padding_mask
from llmlib.transformer import TransformerBlock

torch.set_num_threads(1)


def carry(ours: TransformerBlock, theirs: nn.TransformerEncoderLayer) -> None:
    """Give torch's layer the weights of ours."""
    attention, feedforward = ours.attention, ours.feedforward
    names = {
        "self_attn.out_proj": attention.output,
        "linear1": feedforward.hidden,
        "linear2": feedforward.output,
        "norm1": ours.attention_norm,
        "norm2": ours.feedforward_norm,
    }
    weights = {f"{name}.{k}": v for name, module in names.items() for k, v in module.state_dict().items()}
    for kind in attention.query.state_dict():
        parts = [getattr(layer, kind) for layer in (attention.query, attention.key, attention.value)]
        weights[f"self_attn.in_proj_{kind}"] = torch.cat(parts).detach()
    theirs.load_state_dict(weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", ["open", "causal", "causal mask", "padded"])
def test_block_equals_torch(kind, norm_first, bias, fused, dtype):
    torch.manual_seed(0)
    ours = TransformerBlock(12, 3, 20, bias=bias, norm_first=norm_first, fused=fused).to(dtype)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)  # norms too: a scale of 1 would hide a mix-up
    theirs = nn.TransformerEncoderLayer(
        12,
        3,
        20,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=norm_first,
        bias=bias,
        dtype=dtype,
    )
    carry(ours, theirs)
    x = torch.randn(2, 5, 12, dtype=dtype, requires_grad=True)
    hidden = ~causal_mask(5) if "causal" in kind else None
    padding = padding_mask(torch.tensor([3, 5]), 5)
    mask = {"causal mask": causal_mask(5), "padded": padding[:, None, None, :]}.get(kind)
    got = ours(x, mask, is_causal=kind == "causal")
    expected = theirs(x, src_mask=hidden, src_key_padding_mask=~padding if kind == "padded" else None)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(got, expected, **tolerance)
    towards = torch.randn_like(got)
    gradients = [torch.autograd.grad(y, x, towards)[0] for y in (got, expected)]
    torch.testing.assert_close(*gradients, **tolerance)


def test_the_input_runs_through_untouched():
    block = TransformerBlock(8, 2)
    with torch.no_grad():
        for layer in (block.attention.output, block.feedforward.output):
            layer.weight.zero_()
            layer.bias.zero_()
    x = torch.randn(2, 3, 8)
    assert torch.equal(block(x), x)


def test_the_norm_comes_first_by_default_and_both_orders_have_the_same_weights():
    first, last = TransformerBlock(8, 2), TransformerBlock(8, 2, norm_first=False)
    assert first.norm_first
    last.load_state_dict(first.state_dict())
    x = torch.randn(2, 3, 8)
    assert not torch.allclose(first(x), last(x), atol=1e-2)


def test_post_norm_norms_what_it_gives_back():
    result = TransformerBlock(8, 2, norm_first=False)(10 * torch.randn(2, 3, 8) + 5)
    torch.testing.assert_close(result.mean(-1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(-1, correction=0), torch.ones(2, 3), atol=1e-3, rtol=0)


def test_bias_and_dropout_reach_every_part():
    block = TransformerBlock(8, 2, bias=False, dropout=0.3)
    assert not [name for name, _ in block.named_parameters() if name.endswith("bias")]
    assert [m.p for m in block.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.3]
