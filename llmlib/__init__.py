"""llmlib: every building block of a GPT, once, in code meant to be read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device() -> torch.device:
    """The device to compute on: CUDA where there is one, else Apple's MPS, else the CPU.

    The environment variable `LLMLIB_DEVICE` ("cpu", "cuda", "cuda:1", "mps") overrides the choice.

    Raises:
        ValueError: `LLMLIB_DEVICE` names a kind of device that llmlib does not use.
        RuntimeError: it names a device that this machine, or this build of PyTorch, does not have.
    """
    import torch  # here: a command that is only being started should not have to wait for it

    wanted = os.environ.get("LLMLIB_DEVICE", "").strip().lower()
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not wanted:
        return torch.device(next(kind for kind in there if there[kind]))

    kind, _, index = wanted.partition(":")
    if kind not in there or (":" in wanted and not index.isdecimal()):
        raise ValueError(f"LLMLIB_DEVICE must be cpu, mps, cuda or cuda:NUMBER: got {wanted!r}")
    count = torch.cuda.device_count() if kind == "cuda" else int(there[kind])
    if not there[kind] or int(index or 0) >= count:
        raise RuntimeError(
            f"LLMLIB_DEVICE={wanted} asks for a device that is not there: PyTorch sees {count} {kind} "
            "device(s). Unset LLMLIB_DEVICE to let llmlib choose, or set it to cpu"
        )
    return torch.device(wanted)
