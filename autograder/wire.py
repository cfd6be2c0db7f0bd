"""Plain values between two processes that do not trust each other. No pickle.

A frame is a length, a JSON text and the tensors' bytes. What can be carried: None, bool, int, float, str,
bytes, list, tuple, dict with plain keys, tensor, nested at most six deep, 64 MB in all; and the recipe of a
value that is made on the other side. A number of NumPy arrives as Python's. Reading is bounded the same way,
since the other side may be hostile.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autograder.calling import Made
from autograder.outcome import Failure, Outcome, plain_number

MOST_BYTES = 64 * 2**20
MOST_DEPTH = 6
_FRAME_DEPTH = MOST_DEPTH + 2  # the envelope around a value: a message, and the arguments in it
_HEADER = struct.Struct("<QQ")
_DTYPES = {
    str(d): d
    for d in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
    )
}  # fmt: skip


class WireError(ValueError):
    """A value that cannot be carried, or bytes that are not a frame."""


class Line:
    """One end of a connection, read and written until a deadline (by the monotonic clock), or for ever.

    Raises:
        TimeoutError: the deadline passed first.
    """

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.deadline: float | None = None

    def read(self, count: int) -> bytes:
        self._set_time()
        return self.connection.recv(min(count, 1 << 20))

    def write(self, data: bytes) -> int:
        self._set_time()
        self.connection.sendall(data)
        return len(data)

    def close(self) -> None:
        self.connection.close()

    def _set_time(self) -> None:
        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)


def write(stream: Line, message: Any) -> None:
    """Send one value.

    Raises:
        WireError: it is not plain, too deep or too large; nothing has been written then.
    """
    blobs: list[bytes] = []
    text = json.dumps(_encode(message, blobs, 0)).encode()
    body = b"".join(blobs)
    if len(text) + len(body) > MOST_BYTES:
        raise WireError(f"the value is larger than {MOST_BYTES >> 20} MB")
    stream.write(_HEADER.pack(len(text), len(body)) + text + body)


def read(stream: Line) -> Any:
    """Receive one value.

    Raises:
        EOFError: the other side is gone.
        WireError: what came is no frame.
    """
    header = _exactly(stream, _HEADER.size)
    text_length, body_length = _HEADER.unpack(header)
    if text_length + body_length > MOST_BYTES:
        raise WireError("a frame of impossible length")
    text, body = _exactly(stream, text_length), _exactly(stream, body_length)
    try:
        return _decode(json.loads(text), memoryview(body), 0)
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError, RecursionError) as error:
        raise WireError(f"a frame that cannot be read: {error}") from None


def _exactly(stream: Line, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _encode(value: Any, blobs: list[bytes], depth: int) -> Any:
    if depth > _FRAME_DEPTH:
        raise WireError(f"the value is nested more than {MOST_DEPTH} deep")
    if value is None or type(value) in (bool, str):
        return value
    if type(value) is int:
        return value if abs(value) < 2**53 else {"int": str(value)}
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if value is ...:
        return {"ellipsis": True}
    if type(value) is list:
        return [_encode(item, blobs, depth + 1) for item in value]
    if type(value) is tuple:
        return {"tuple": [_encode(item, blobs, depth + 1) for item in value]}
    if isinstance(value, dict | MappingProxyType):
        if all(type(key) is str for key in value):
            return {"dict": {key: _encode(item, blobs, depth + 1) for key, item in value.items()}}
        for key in value:
            _need_plain_key(key)
        pairs = [[key, item] for key, item in value.items()]
        return {"pairs": [_encode(pair, blobs, depth) for pair in pairs]}
    if isinstance(value, Made):
        return {"made": [value.path, _encode(dict(value.arguments), blobs, depth + 1)]}
    if is_dataclass(value) and type(value).__module__.startswith("llmlib."):
        # A configuration: made again on the other side from its fields.
        made = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return _encode(Made(f"{type(value).__module__}:{type(value).__qualname__}", made), blobs, depth)
    if isinstance(value, Tensor):
        return {"tensor": _encode_tensor(value, blobs)}
    if isinstance(value, np.generic) and (plain := plain_number(value)) is not value:
        return _encode(plain, blobs, depth)
    raise WireError(f"a value of type {type(value).__name__} is not plain data")


def _need_plain_key(key: Any) -> None:
    if type(key) is tuple:
        for part in key:
            _need_plain_key(part)
    elif key is not None and type(key) not in (bool, int, float, str, bytes):
        raise WireError(f"a dict's keys must be plain: got one of type {type(key).__name__}")


def _encode_tensor(tensor: Tensor, blobs: list[bytes]) -> dict[str, Any]:
    if str(tensor.dtype) not in _DTYPES or tensor.layout != torch.strided:
        raise WireError(f"a tensor of {tensor.dtype} cannot be carried")
    plain = tensor.detach().as_subclass(Tensor).resolve_conj().resolve_neg()
    # A transposed view arrives as a transposed view: its axes in the order of memory, and that order.
    order = sorted(range(plain.dim()), key=lambda axis: -plain.stride()[axis])
    laid_out = plain.permute(order).contiguous().cpu()
    if laid_out.nbytes + sum(map(len, blobs)) > MOST_BYTES:
        raise WireError(f"the value is larger than {MOST_BYTES >> 20} MB")
    data = laid_out.view(-1).view(torch.uint8).numpy().tobytes() if laid_out.numel() else b""
    offset = sum(map(len, blobs))
    blobs.append(data)
    return {
        "dtype": str(plain.dtype),
        "shape": list(laid_out.shape),
        "order": order,
        "at": [offset, len(data)],
    }


def _decode(value: Any, body: memoryview, depth: int) -> Any:
    if depth > _FRAME_DEPTH:
        raise WireError("a frame nested too deep")
    if isinstance(value, list):
        return [_decode(item, body, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, inner),) = value.items()
    if tag == "tensor":
        return _decode_tensor(inner, body)
    if tag == "dict":
        return {key: _decode(item, body, depth + 1) for key, item in inner.items()}
    if tag == "pairs":
        return dict(_decode(pair, body, depth) for pair in inner)
    if tag == "made":
        # Only a name and plain values: nothing is made here.
        return Made(str(inner[0]), _decode(inner[1], body, depth + 1))
    if tag == "tuple":
        return tuple(_decode(item, body, depth + 1) for item in inner)
    simple: dict[str, Callable[[Any], Any]] = {
        "int": int,
        "float": float,
        "bytes": base64.b64decode,
        "ellipsis": lambda _: ...,
    }
    return simple[tag](inner)


def _decode_tensor(about: dict[str, Any], body: memoryview) -> Tensor:
    dtype, shape, order = _DTYPES[about["dtype"]], [int(n) for n in about["shape"]], about["order"]
    offset, length = about["at"]
    if min([*shape, offset, length, 0]) < 0 or offset + length > len(body):
        raise WireError("a tensor outside its frame")
    if math.prod(shape) * dtype.itemsize != length or sorted(order) != list(range(len(shape))):
        raise WireError("a tensor whose shape does not fit its bytes")
    if not length:
        flat = torch.empty(0, dtype=dtype)
    else:
        flat = torch.frombuffer(bytearray(body[offset : offset + length]), dtype=torch.uint8).view(dtype)
    inverse = [order.index(axis) for axis in range(len(shape))]
    return flat.view(shape).permute(inverse)


def outcome_to_plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "value": outcome.value,
        "device": outcome.device,
        "graph": outcome.graph,
        "failure": asdict(outcome.failure) if outcome.failure else None,
        "mutated": list(outcome.mutated),
        "gradients": dict(outcome.gradients) if outcome.gradients is not None else None,
        "backward_failure": asdict(outcome.backward_failure) if outcome.backward_failure else None,
    }


def outcome_from_plain(plain: Any) -> Outcome:
    """Rebuild an outcome, trusting nothing about its fields.

    Raises:
        WireError: the fields are not those of an outcome.
    """
    try:
        gradients = plain["gradients"]
        if gradients is not None and not all(g is None or isinstance(g, Tensor) for g in gradients.values()):
            raise WireError("gradients that are not tensors")
        return Outcome(
            value=plain["value"],
            device=str(plain["device"]),
            graph=bool(plain["graph"]),
            failure=failure_from_plain(plain["failure"]),
            mutated=tuple(str(name) for name in plain["mutated"]),
            gradients=gradients,
            backward_failure=failure_from_plain(plain["backward_failure"]),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise WireError(f"an outcome that cannot be read: {error}") from None


def failure_from_plain(plain: dict[str, Any] | None) -> Failure | None:
    if plain is None:
        return None
    line = plain["line"]
    return Failure(
        kind=str(plain["kind"]),  # type: ignore[arg-type]
        message=str(plain["message"])[:500],
        exception=str(plain["exception"])[:100],
        line=line if isinstance(line, int) else None,
        line_text=str(plain["line_text"])[:200],
    )
