"""Products of matrices in bfloat16, where the processor has instructions for them.

A bfloat16 number keeps float32's eight bits of exponent and 8 of its 24 bits of precision: the same range,
about two to three decimal digits. Products are summed in float32, so what is lost is small, and a processor
that multiplies bfloat16 does twice as many in the same time. Without such instructions it would be slower.

Source: Micikevicius et al., "Mixed Precision Training" (2018); Kalamkar et al., "A Study of BFLOAT16 for Deep
Learning Training" (2019).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device is made for products in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # PyTorch has no public question for it.
        asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)
    return False


def lower_precision(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Run a model in this precision. For float32, or without the instructions, nothing changes."""
    if precision == "bfloat16" and multiplies_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


class InPrecision(nn.Module):
    """A model whose forward pass runs in this precision. Its logits are float32, and so are its weights."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__()
        self.model = model
        self.precision = precision

    def forward(self, tokens: Tensor) -> Tensor:
        with lower_precision(tokens.device, self.precision):
            return self.model(tokens).float()
