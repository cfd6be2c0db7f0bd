"""The block that a transformer stacks: positions exchange information, then each thinks alone.

Sources: Vaswani et al., "Attention Is All You Need" (2017), section 3.1; Radford et al., "Language Models are
Unsupervised Multitask Learners" (2019), section 2.3, for the norm before each part.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from llmlib.attention import MultiHeadAttention
from llmlib.feedforward import FeedForward
from llmlib.normalization import LayerNorm


class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each on the normed input and each added to it (pre-norm).

    The input itself runs through untouched, so a gradient reaches the first block as directly as the last.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int | None = None,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        fused: bool = False,
        approximate: Literal["none", "tanh"] = "none",
    ) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(d_model, bias=bias, fused=fused)
        self.attention = MultiHeadAttention(d_model, n_heads, bias=bias, dropout=dropout, fused=fused)
        self.feedforward_norm = LayerNorm(d_model, bias=bias, fused=fused)
        self.feedforward = FeedForward(
            d_model, d_ff, bias=bias, dropout=dropout, fused=fused, approximate=approximate
        )

    def forward(
        self,
        x: Float[Tensor, "batch length d_model"],
        mask: Bool[Tensor, "*mask"] | None = None,
        *,
        is_causal: bool = False,
    ) -> Float[Tensor, "batch length d_model"]:
        x = x + self.attention(self.attention_norm(x), mask, is_causal=is_causal)
        x = x + self.feedforward(self.feedforward_norm(x))
        return x
