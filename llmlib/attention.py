"""Scaled dot-product attention, from the scores to many heads.

Shapes stand in the signatures. Masks are boolean and `True` means "may attend", as in
`torch.nn.functional.scaled_dot_product_attention`.

Sources: Vaswani et al., "Attention Is All You Need" (2017), section 3.2, equation 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def attention_scores(
    query: Float[Tensor, "*batch query d_k"], key: Float[Tensor, "*batch key d_k"]
) -> Float[Tensor, "*batch query key"]:
    """How well each query matches each key: their dot product, divided by √d_k.

    The division keeps the scores' variance near 1 whatever d_k is, so that softmax stays soft.

    Raises:
        ValueError: query and key differ in d_k.

    Source: Vaswani et al. (2017), equation 1, the argument of the softmax.
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query and key must agree in d_k: got {query.shape[-1]} and {key.shape[-1]}")
    d_k = query.shape[-1]
    return query @ key.transpose(-2, -1) / math.sqrt(d_k)


def softmax(x: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
    """Turn scores into weights along `dim`: positive, summing to 1, larger where the score is larger.

    Subtracting the maximum first changes nothing in exact arithmetic and keeps exp from overflowing.
    A row of all -inf has no softmax; what comes back for it is unspecified.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 4.1.
    """
    shifted = x - x.amax(dim=dim, keepdim=True)
    exponentials = shifted.exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def causal_mask(length: int) -> Bool[Tensor, "length length"]:
    """The mask that keeps a position from seeing the future.

    Row i says where query i may look: `True` at the keys 0, 1, …, i.

    Source: Vaswani et al. (2017), section 3.2.3.
    """
    positions = torch.arange(length)
    return positions[:, None] >= positions[None, :]


def padding_mask(lengths: Int[Tensor, " batch"], max_length: int) -> Bool[Tensor, "batch max_length"]:
    """The mask that hides padding: `True` at the first `lengths[i]` places of row i.

    Raises:
        ValueError: a length is negative or larger than `max_length`.
    """
    if ((lengths < 0) | (lengths > max_length)).any():
        raise ValueError(
            f"every length must lie between 0 and max_length={max_length}: got {lengths.tolist()}"
        )
    positions = torch.arange(max_length, device=lengths.device)
    return positions[None, :] < lengths[:, None]


def combined_mask(real: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch 1 length length"]:
    """The causal mask and the padding mask in one, for self-attention with any number of heads.

    `True` where the key is not later than the query and is `real`, not padding, as `padding_mask` says
    it. The axis of size 1 stands where the scores, (batch, n_heads, query, key), have their heads.

    Raises:
        ValueError: `real` has not two dimensions.
        TypeError: `real` is not boolean.
    """
    if real.ndim != 2:
        raise ValueError(f"real must have the shape (batch, length): got {tuple(real.shape)}")
    if real.dtype != torch.bool:
        raise TypeError(f"real must be boolean (True = a token, False = padding): got {real.dtype}")
    past = causal_mask(real.shape[1]).to(real.device)
    return past & real[:, None, None, :]


def scaled_dot_product_attention(
    query: Float[Tensor, "*batch query d_k"],
    key: Float[Tensor, "*batch key d_k"],
    value: Float[Tensor, "*batch key d_v"],
    mask: Bool[Tensor, "*#batch #query #key"] | None = None,
) -> Float[Tensor, "*batch query d_v"]:
    """For each query, the average of the values, weighted by how well their keys match.

    `mask` (`True` = may attend) broadcasts to the scores, (*batch, query, key), and never enlarges
    them. A query with nothing to attend to gets zeros.

    Raises:
        ValueError: query and key differ in d_k, key and value in length, or the mask does not
            broadcast to the scores.
        TypeError: the mask is not boolean.

    Source: Vaswani et al. (2017), equation 1: softmax(QKᵀ/√d_k) V.
    """
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"key and value must agree in length: got {key.shape[-2]} and {value.shape[-2]}")
    scores = attention_scores(query, key)
    if mask is None:
        return softmax(scores) @ value
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean (True = may attend): got {mask.dtype}")
    try:
        hidden = ~mask.expand(scores.shape)
    except RuntimeError:
        raise ValueError(
            f"mask must broadcast to the scores {tuple(scores.shape)}: got {tuple(mask.shape)}"
        ) from None
    # The lowest finite number, not -inf: a query with nothing to attend to would get 0/0.
    scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    weights = softmax(scores).masked_fill(hidden, 0.0)
    return weights @ value


def split_heads(
    x: Float[Tensor, "*batch length d_model"], n_heads: int
) -> Float[Tensor, "*batch n_heads length d_head"]:
    """Cut each vector into `n_heads` equal pieces, and give every head its own sequence.

    Raises:
        ValueError: d_model is not a multiple of `n_heads`.

    Source: Vaswani et al. (2017), section 3.2.2.
    """
    if x.shape[-1] % n_heads:
        raise ValueError(f"d_model must be a multiple of n_heads: got {x.shape[-1]} and {n_heads}")
    return rearrange(x, "... length (heads d_head) -> ... heads length d_head", heads=n_heads)


def merge_heads(x: Float[Tensor, "*batch n_heads length d_head"]) -> Float[Tensor, "*batch length d_model"]:
    """Lay the heads' vectors side by side again: the inverse of `split_heads`."""
    return rearrange(x, "... heads length d_head -> ... length (heads d_head)")


class MultiHeadAttention(nn.Module):
    """Attention in several heads at once, each with its own projections of queries, keys and values.

    dropout: on the output (Vaswani et al., section 5.4).
    fused:   PyTorch's attention kernel in the place of ours: equal, faster, and it never holds all the
             scores in memory.

    Raises:
        ValueError: d_model is not a multiple of n_heads.

    Source: Vaswani et al. (2017), section 3.2.2.
    """

    def __init__(
        self, d_model: int, n_heads: int, *, bias: bool = True, dropout: float = 0.0, fused: bool = False
    ) -> None:
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads: got {d_model} and {n_heads}")
        self.n_heads = n_heads
        self.fused = fused
        self.query = nn.Linear(d_model, d_model, bias=bias)
        self.key = nn.Linear(d_model, d_model, bias=bias)
        self.value = nn.Linear(d_model, d_model, bias=bias)
        self.output = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch query d_model"],
        mask: Bool[Tensor, "*mask"] | None = None,
        context: Float[Tensor, "batch key d_model"] | None = None,
        *,
        is_causal: bool = False,
    ) -> Float[Tensor, "batch query d_model"]:
        """Each position of `x` attends to the positions of `context`; without one, to `x` itself.

        `mask` broadcasts to the scores, (batch, n_heads, query, key), so a padding mask is given as
        `padding_mask(...)[:, None, None, :]`. `is_causal` hides the future, beside what `mask` hides.

        Raises:
            TypeError: the mask is not boolean.
            ValueError: `is_causal` with a context of another length, where "the past" means nothing.
        """
        context = x if context is None else context
        if is_causal and context.shape[1] != x.shape[1]:
            raise ValueError(
                f"is_causal needs x and context of the same length: got {x.shape[1]} and {context.shape[1]}"
            )
        if mask is not None and mask.dtype != torch.bool:
            raise TypeError(f"mask must be boolean (True = may attend): got {mask.dtype}")
        query = split_heads(self.query(x), self.n_heads)
        key = split_heads(self.key(context), self.n_heads)
        value = split_heads(self.value(context), self.n_heads)

        if self.fused and mask is None:
            heads = F.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
        else:
            if is_causal:
                past = causal_mask(x.shape[1]).to(x.device)
                mask = past if mask is None else mask & past
            attend = F.scaled_dot_product_attention if self.fused else scaled_dot_product_attention
            heads = attend(query, key, value, mask)
        return self.dropout(self.output(merge_heads(heads)))
