"""The device that a command is told to use."""

from __future__ import annotations

from autograder.usage import UsageError


def need_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "--device cuda needs a CUDA device, and torch finds none here; leave it out to use the CPU"
        )
