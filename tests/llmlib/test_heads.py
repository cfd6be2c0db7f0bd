"""Heads one by one: projections against separate matrix products, weights against torch's own layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from llmlib.attention import MultiHeadAttention, causal_mask, padding_mask, split_heads
from llmlib.heads import head_weights, project_heads

torch.set_num_threads(1)


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def pair(d_model, n_heads):
    """Our layer and torch's, with the same weights."""
    torch.manual_seed(0)
    ours = MultiHeadAttention(d_model, n_heads).double()
    theirs = nn.MultiheadAttention(d_model, n_heads, batch_first=True, dtype=torch.float64)
    layers = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    return ours, theirs


@pytest.mark.parametrize("leading", [(), (2,), (3,), (2, 4)])
def test_every_head_multiplies_by_its_own_matrix(leading):
    x, weight = draw(*leading, 5, 4), draw(3, 4, 2, seed=1)
    got = project_heads(x, weight)
    assert got.shape == (*leading, 3, 5, 2)
    for head in range(3):
        torch.testing.assert_close(got[..., head, :, :], x @ weight[head])


def test_heads_side_by_side_are_one_linear_layer():
    layer = nn.Linear(6, 6, bias=False, dtype=torch.float64)
    x = draw(2, 4, 6)
    matrices = layer.weight.T.unflatten(1, (3, 2)).movedim(1, 0)  # a matrix for each head
    torch.testing.assert_close(project_heads(x, matrices), split_heads(layer(x), 3))


def test_projections_refuse_another_d_model():
    with pytest.raises(ValueError, match="x and weight must agree in d_model: got 4 and 5"):
        project_heads(draw(2, 4), draw(3, 5, 2))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cross", [False, True])
def test_head_weights_are_torch_s(cross, masked):
    ours, theirs = pair(12, 3)
    x = draw(2, 4, 12)
    context = draw(2, 6, 12, seed=1) if cross else x
    n_keys = context.shape[1]
    real = padding_mask(torch.tensor([n_keys, 3]), n_keys)
    got = head_weights(ours, x, real[:, None, None, :] if masked else None, context if cross else None)
    _, expected = theirs(
        x, context, context, key_padding_mask=~real if masked else None, average_attn_weights=False
    )
    assert got.shape == (2, 3, 4, n_keys)
    torch.testing.assert_close(got, expected)


def test_head_weights_keep_to_the_mask_and_sum_to_one():
    ours, _ = pair(12, 4)
    weights = head_weights(ours, draw(2, 5, 12), causal_mask(5))
    assert weights.triu(diagonal=1).abs().max() == 0
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 5, dtype=torch.float64))
