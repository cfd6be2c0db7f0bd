"""Which weights decay, and the optimizer that a configuration asks for."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from llmlib.muon import muon_and_adamw
from llmlib.training_config import TrainingConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: decay for matrices, none for vectors.

    A norm's scale or a bias pulled towards zero would not be simpler, only wrong.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The configuration's optimizer: AdamW, in PyTorch's fused form where there is one, or Muon beside it.

    A group's `pace` says how its learning rate compares with the schedule's.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """
    if config.optimizer == "muon":
        return muon_and_adamw(model, config)
    groups = parameter_groups(model, config.weight_decay)
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in model.parameters())
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=fused)
