"""The loss on text that the model was not trained on: exactly, or soon and nearly."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.kernels import faster_kernels


def evaluate(model: nn.Module, tokens: Int[Tensor, " corpus"], context_length: int) -> float:
    """The loss in nats per token over the whole text, in consecutive blocks of the context length.

    Every token but the first is predicted once. The first of a block is predicted from one token, the last
    from a whole context, as in training. The last block may be shorter.

    Raises:
        ValueError: the text has fewer than two tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"evaluation needs a text of at least two tokens: got {len(tokens)}")
    inputs, targets = tokens[:-1], tokens[1:]
    end = len(inputs) // context_length * context_length
    total = _loss_sum(model, inputs[:end].view(-1, context_length), targets[:end].view(-1, context_length))
    total += _loss_sum(model, inputs[None, end:], targets[None, end:])
    return total / len(targets)


@torch.no_grad()
def _loss_sum(
    model: nn.Module, inputs: Int[Tensor, "blocks length"], targets: Int[Tensor, "blocks length"]
) -> float:
    """The sum of the losses over all places, a few blocks at a time, without dropout."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total = 0.0
    for x, y in zip(inputs.split(64), targets.split(64), strict=True):
        if x.numel():
            with faster_kernels(device):
                logits = model(x.to(device))
            total += float(F.cross_entropy(logits.flatten(0, 1), y.to(device).flatten(), reduction="sum"))
    model.train(was_training)
    return total


def estimate_loss(
    model: nn.Module, tokens: Int[Tensor, " corpus"], context_length: int, blocks: int
) -> float:
    """The loss on so many blocks, spread evenly over the text: `evaluate`, sooner and less exactly.

    The blocks are the same every time, so that two estimates differ by the model alone.

    Raises:
        ValueError: the text has fewer than two tokens.
    """
    there = (len(tokens) - 1) // context_length
    if there <= blocks:
        return evaluate(model, tokens, context_length)
    starts = torch.arange(blocks, device=tokens.device) * there // blocks * context_length
    windows = tokens[starts[:, None] + torch.arange(context_length + 1, device=tokens.device)]
    return _loss_sum(model, windows[:, :-1], windows[:, 1:]) / windows[:, 1:].numel()
