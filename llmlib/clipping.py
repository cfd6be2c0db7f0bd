"""Gradients that are too long are shortened, so that one bad step cannot undo many good ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Float[Tensor, ""]:
    """Shorten the gradient to `max_norm` if it is longer. Returns its length before.

    It is taken as one vector, of all parameters together, and keeps its direction: one step from an
    unusually steep place must not throw the weights far away.

    Raises:
        ValueError: `max_norm` is not positive.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013),
    section 3.2.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive: got {max_norm}")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    # No `if`: reading the norm would make a GPU wait at every step.
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)
    return norm
