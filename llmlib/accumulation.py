"""Gradient accumulation: the gradient of a batch that does not fit into memory, computed in parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.loss import IGNORED


def accumulate_gradients(
    model: nn.Module,
    micro_batches: Sequence[tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"]]],
) -> tuple[Float[Tensor, ""], list[Tensor]]:
    """The mean loss over all targets of all micro-batches together, and its gradient.

    Each micro-batch is a pair of inputs and targets, and only one at a time is held with all that its
    backward pass needs. The gradients are those in `.grad`, one for each parameter that the loss depends on.
    The loss has no graph.

    Micro-batches may have different numbers of targets, by their shape or because some are `IGNORED`. Every
    target counts the same, so the result is that of the one large batch.

    Raises:
        ValueError: there is not one target.
    """
    count = sum(int((targets != IGNORED).sum()) for _, targets in micro_batches)
    if count == 0:
        raise ValueError("accumulation needs at least one target that is not ignored: got none")
    model.zero_grad()
    losses = []
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            logits = model(inputs).flatten(0, 1)
            part = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum") / count
            part.backward()  # adds to what is in `.grad`
            losses.append(part.detach())
    return torch.stack(losses).sum(), [
        parameter.grad for parameter in model.parameters() if parameter.grad is not None
    ]
