"""What came of one call of an answer: plain facts, which can cross from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

FailureKind = Literal[
    "exception",  # the answer raised
    "not attempted",  # it still raises the NotImplementedError that stood there
    "timeout",  # it did not come back in time
    "died",  # its process ended
    "forbidden",  # it called a library function that is the exercise
    "reference",  # it called the course's own solution
    "undefined",  # there is no such name, or it cannot be called like this
    "unreadable",  # the value cannot be carried out of the answer's process
]


@dataclass(frozen=True)
class Failure:
    """Why a call gave no value. `line` counts from 1 within the answer's own text; None if unknown."""

    kind: FailureKind
    message: str
    exception: str = ""
    line: int | None = None
    line_text: str = ""


@dataclass(frozen=True)
class Outcome:
    """One call's result.

    value:     what the answer returned.
    failure:   what stopped it instead.
    device:    where a returned tensor lives: "cpu" or "cuda".
    graph:     whether a returned tensor holds the graph that it was computed in.
    mutated:   the arguments that it changed in place.
    gradients: by argument name; None where no gradient arrived. The whole is None if none were asked for.
    backward_failure: what stopped the backward pass, when the forward pass was fine.
    """

    value: Any = None
    failure: Failure | None = None
    device: str = "cpu"
    graph: bool = False
    mutated: tuple[str, ...] = ()
    gradients: Mapping[str, Any] | None = None
    backward_failure: Failure | None = None


class Refused(Exception):
    """Raised while an answer runs that may not go on: it calls what it was asked to write, say."""

    def __init__(self, failure: Failure):
        super().__init__(failure.message)
        self.failure = failure


_AS_GOOD: tuple[tuple[Any, Any], ...] = (
    (np.bool_, bool),
    (np.integer, int),
    (np.floating, float),
    (np.str_, str),
    (bytearray, bytes),
)


def plain_number(value: Any) -> Any:
    """A number of NumPy's as Python's own: an answer that came by it is not wrong, nor is one by a bytearray.
    Anything else as it is."""
    return next((plain(value) for kind, plain in _AS_GOOD if isinstance(value, kind)), value)


def plain_numbers(value: Any) -> Any:
    """The same within lists, tuples and dicts."""
    if type(value) in (list, tuple):
        return type(value)(map(plain_numbers, value))
    if type(value) is dict:
        return {plain_numbers(key): plain_numbers(item) for key, item in value.items()}
    return plain_number(value)
