"""Read weights from a file in the safetensors format, which holds numbers and names and never code.

Source: huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a file in the safetensors format, by name.

    The file is eight bytes with the length of a JSON text, that text, which says of each tensor its type,
    shape and place, and then the numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not in this format, or cut short.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if not 8 < start <= size:
            raise ValueError("it is damaged, or not in the safetensors format")
        try:
            header: dict[str, Any] = json.loads(file.read(start - 8))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            return {name: _read_tensor(file, start, entry) for name, entry in entries.items()}
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError):
            raise ValueError("it is damaged, or not in the safetensors format") from None


def _read_tensor(file: BinaryIO, start: int, entry: Mapping[str, Any]) -> Tensor:
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    # Some files hold causal masks, as truth values: what is no weight is kept as bytes.
    dtype = _DTYPES.get(entry["dtype"], torch.uint8)
    file.seek(start + begin)
    content = bytearray(file.read(end - begin))
    if len(content) != end - begin or (
        dtype is not torch.uint8 and len(content) != math.prod(shape) * dtype.itemsize
    ):
        raise ValueError("it is cut short: download it again")
    tensor = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    return tensor if dtype is torch.uint8 else tensor.reshape(shape)
