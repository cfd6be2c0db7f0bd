"""The block that a transformer stacks: positions exchange information, then each thinks alone.

Sources: Vaswani et al., "Attention Is All You Need" (2017), section 3.1; Radford et al., "Language Models are
Unsupervised Multitask Learners" (2019), section 2.3, for the norm before each part; Xiong et al., "On Layer
Normalization in the Transformer Architecture" (2020), for the two orders side by side.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from llmlib.attention import MultiHeadAttention
from llmlib.feedforward import FeedForward
from llmlib.normalization import LayerNorm


class TransformerBlock(nn.Module):
    """Attention, then a feed-forward network, each added to what came in.

    norm_first: True (pre-norm, as in GPT-2): each part reads the normed input, and the input itself runs
                through untouched, so a gradient reaches the first block as directly as the last. A stack of
                such blocks needs one more norm at its end. False (post-norm, as in the first transformer):
                each sum is normed.
    dropout:    on the output of each part.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int | None = None,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        norm_first: bool = True,
        fused: bool = False,
        approximate: Literal["none", "tanh"] = "none",
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
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
        """`mask` and `is_causal` say what may be attended to, as in `MultiHeadAttention`."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), mask, is_causal=is_causal)
            x = x + self.feedforward(self.feedforward_norm(x))
        else:
            x = self.attention_norm(x + self.attention(x, mask, is_causal=is_causal))
            x = self.feedforward_norm(x + self.feedforward(x))
        return x
