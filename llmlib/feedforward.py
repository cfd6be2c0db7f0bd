"""What a block does to each position alone: widen, bend, narrow.

Sources: Vaswani et al., "Attention Is All You Need" (2017), section 3.3; Hendrycks and Gimpel, "Gaussian
Error Linear Units" (2016), section 2; Shazeer, "GLU Variants Improve Transformer" (2020), section 2.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def gelu(
    x: Float[Tensor, "*shape"], approximate: Literal["none", "tanh"] = "none"
) -> Float[Tensor, "*shape"]:
    """x times the probability that a standard normal draw is smaller than x: a soft gate.

    "none" is exact, through the error function; "tanh" is the approximation that GPT-2 was trained with.

    Raises:
        ValueError: `approximate` is neither.

    Source: Hendrycks and Gimpel (2016), section 2.
    """
    if approximate == "none":
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    if approximate == "tanh":
        return x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    raise ValueError(f"approximate must be 'none' or 'tanh': got {approximate!r}")


def swiglu(gate: Float[Tensor, "*shape"], value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The value, let through by a gate: gate · σ(gate) · value, place by place.

    σ is the sigmoid, 1 / (1 + exp(-x)), and x · σ(x) is called SiLU or Swish.

    Source: Shazeer (2020), equation 5, before its last matrix.
    """
    return gate * torch.sigmoid(gate) * value


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, the same at every position.

    d_ff:    the width between the two; by default 4 · d_model, as in every GPT.
    dropout: on the output (Vaswani et al., section 5.4).
    fused:   PyTorch's GELU kernel in the place of ours: equal, faster.
    approximate: the form of GELU, as in `gelu`; "tanh" for weights of GPT-2.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        fused: bool = False,
        approximate: Literal["none", "tanh"] = "none",
    ) -> None:
        super().__init__()
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.hidden = nn.Linear(d_model, d_ff, bias=bias)
        self.output = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.fused = fused
        self.approximate = approximate

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        activation = F.gelu if self.fused else gelu
        return self.dropout(self.output(activation(self.hidden(x), approximate=self.approximate)))


class SwiGLU(nn.Module):
    """The gated feed-forward layer of Llama: one linear layer opens the gate for another's output.

    It takes the place of `FeedForward`, with the same arguments.

    d_ff:    the width between; by default 8/3 · d_model, rounded down. Three matrices of two thirds of the
             usual width, 4 · d_model, hold as many weights as two matrices of the whole.
    dropout: on the output.
    fused:   PyTorch's SiLU kernel in the place of ours: equal, faster.

    Source: Shazeer (2020), equation 6, and section 2 for the width.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        fused: bool = False,
    ) -> None:
        super().__init__()
        d_ff = 8 * d_model // 3 if d_ff is None else d_ff
        self.gate = nn.Linear(d_model, d_ff, bias=bias)
        self.hidden = nn.Linear(d_model, d_ff, bias=bias)
        self.output = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.fused = fused

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        gate, value = self.gate(x), self.hidden(x)
        gated = F.silu(gate) * value if self.fused else swiglu(gate, value)
        return self.dropout(self.output(gated))
