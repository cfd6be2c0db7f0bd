"""Keep the activations' size in hand: layer normalization and its simpler relative, RMS normalization.

Both act on the last dimension, on each vector alone. `eps` stands inside the root, where it keeps a
constant (or zero) vector from dividing by zero.

Sources: Ba, Kiros and Hinton, "Layer Normalization" (2016), section 3; Zhang and Sennrich, "Root Mean Square
Layer Normalization" (2019), section 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def layer_norm(
    x: Float[Tensor, "*batch d_model"],
    weight: Float[Tensor, " d_model"],
    bias: Float[Tensor, " d_model"] | None = None,
    eps: float = 1e-5,
) -> Float[Tensor, "*batch d_model"]:
    """Shift and scale each vector to mean 0 and variance 1, then apply the learned scale and shift.

    The variance is the biased one: the mean of the squares, divided by d_model and not by d_model - 1.

    Source: Ba, Kiros and Hinton (2016), equation 4.
    """
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    normalized = weight * centred / torch.sqrt(variance + eps)
    return normalized if bias is None else normalized + bias


def rms_norm(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"], eps: float = 1e-5
) -> Float[Tensor, "*batch d_model"]:
    """Scale each vector to root mean square 1, then apply the learned scale. Nothing is centred.

    Source: Zhang and Sennrich (2019), equation 4, with eps added for safety.
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return weight * x / torch.sqrt(mean_square + eps)


class LayerNorm(nn.Module):
    """`layer_norm` with its learned scale and shift. `fused=True` uses PyTorch's kernel: equal, faster."""

    def __init__(self, d_model: int, eps: float = 1e-5, bias: bool = True, *, fused: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.fused = fused
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        if self.fused:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return layer_norm(x, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """`rms_norm` with its learned scale. `fused=True` uses PyTorch's kernel: equal, faster."""

    def __init__(self, d_model: int, eps: float = 1e-5, *, fused: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.fused = fused
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        if self.fused:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return rms_norm(x, self.weight, self.eps)
