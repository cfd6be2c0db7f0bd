"""Many heads, looked at one by one: their projections, and where each of them looks.

`MultiHeadAttention` itself stands in `llmlib.attention`.

Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from llmlib.attention import MultiHeadAttention, scaled_dot_product_attention, split_heads


def project_heads(
    x: Float[Tensor, "*batch length d_model"], weight: Float[Tensor, "n_heads d_model d_head"]
) -> Float[Tensor, "*batch n_heads length d_head"]:
    """Every vector of `x` times every head's own matrix: what each head makes of each position.

    Raises:
        ValueError: x and weight differ in d_model.

    Source: Vaswani et al. (2017), section 3.2.2, the products QW_i, KW_i and VW_i.
    """
    if x.shape[-1] != weight.shape[-2]:
        raise ValueError(f"x and weight must agree in d_model: got {x.shape[-1]} and {weight.shape[-2]}")
    return torch.einsum("...ld,hde->...hle", x, weight)


def head_weights(
    attention: MultiHeadAttention,
    x: Float[Tensor, "batch query d_model"],
    mask: Bool[Tensor, "*mask"] | None = None,
    context: Float[Tensor, "batch key d_model"] | None = None,
) -> Float[Tensor, "batch n_heads query key"]:
    """Where each head of a layer looks: its weights, each row summing to 1 unless the mask hides all of it.

    The layer itself does not keep them, because training would pay for what only a picture needs.
    """
    context = x if context is None else context
    query = split_heads(attention.query(x), attention.n_heads)
    key = split_heads(attention.key(context), attention.n_heads)
    # With the identity as values, the weighted average of the values is the weights themselves.
    identity = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device)
    return scaled_dot_product_attention(query, key, identity.expand(*key.shape[:-2], -1, -1), mask)
