"""Inputs for probes, drawn from a generator: what every exercise's cases are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def normal(generator: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=generator, dtype=dtype)


def transposed(generator: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers that do not lie in memory in the order of their axes."""
    *rest, rows, columns = shape
    return normal(generator, *rest, columns, rows, dtype=dtype).transpose(-2, -1)


def whole(generator: torch.Generator, *shape: int, largest: int) -> Tensor:
    """Whole numbers from -largest to largest, as floats: products and sums of them carry no rounding."""
    return torch.randint(-largest, largest + 1, shape, generator=generator).float()


def random_mask(generator: torch.Generator, *shape: int) -> Tensor:
    """A boolean mask that in each row allows something and hides something."""
    mask = torch.rand(shape, generator=generator) < 0.5
    places = torch.rand(shape, generator=generator).argsort(dim=-1)
    mask.scatter_(-1, places[..., :1], True)
    return mask.scatter_(-1, places[..., 1:2], False)


def weights(module: nn.Module, generator: torch.Generator, scale: float = 0.5) -> dict[str, Tensor]:
    """Normal numbers of standard deviation `scale` for every parameter of a module, norms and biases too."""
    return {name: scale * normal(generator, *p.shape) for name, p in module.named_parameters()}
