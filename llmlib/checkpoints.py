"""Files of tensors and plain values: written whole or not at all, read without running any code in them."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

_FORMAT = "llmlib checkpoint 1"


class CheckpointError(Exception):
    """A checkpoint cannot be written or read. The message says why, and what to do."""


def save_values(values: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write tensors and plain values. What was there before stays until the new file is complete.

    Raises:
        CheckpointError: the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    # Always the same name: what a killed process leaves there is replaced by the next one.
    temporary = path.with_name(f".{path.name}.part")
    memory = io.BytesIO()
    torch.save({"format": _FORMAT, **values}, memory)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(memory.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # the name must not be given to a file that is still on its way
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"The checkpoint {path} cannot be written: {error.strerror or error}."
            + (" What was there before is whole." if path.is_file() else "")
        ) from None


def load_values(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_values` wrote, with all tensors on the CPU.

    Raises:
        CheckpointError: there is no such file, or it is damaged, or something else.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint at {path}.") from None
    except OSError as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from None
    try:
        # torch.load does not compare the checksums that are in the file; zipfile does.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(damaged)
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # damage has many faces: a length that overflows, a stream that cannot be unpacked, …
        raise CheckpointError(
            f"{path} is damaged or is not a checkpoint. Delete it, or name another, and start again."
        ) from None
    if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
        raise CheckpointError(f"{path} was not written by llmlib: it cannot be resumed.")
    return values
