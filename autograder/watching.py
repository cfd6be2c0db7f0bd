"""What an answer may not call: library functions that would *be* it, and the course's own solution."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from functools import cache
from types import CodeType, FrameType
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from autograder.outcome import Failure, Refused


class Watch:
    """Refuses library functions by name and by operator, and the course's solution by its code object.

    `TorchFunctionMode` sees `F.softmax` and `x.softmax`; `TorchDispatchMode` sees what reaches the operators
    by any other road (`torch._C`, `torch.ops`); the profiler hook sees what is written in Python, by whatever
    name it is called: the reference, and library functions that no mode sees (the step of an optimizer).
    """

    def __init__(self, forbidden: frozenset[str], reference_code: CodeType | None):
        self.hit: Failure | None = None
        self.modes = (_FunctionWatch(forbidden, self), _OperatorWatch(forbidden, self)) if forbidden else ()
        self.refused = {code: _library_failure(name) for name in forbidden if (code := _python_code(name))}
        if reference_code is not None:
            self.refused[reference_code] = Failure(
                "reference", "this calls the course's own solution; the exercise is to write it yourself"
            )

    def refuse(self, failure: Failure) -> None:
        self.hit = self.hit or failure
        raise Refused(failure)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and (failure := self.refused.get(frame.f_code)):
            sys.setprofile(None)
            self.refuse(failure)

    def __enter__(self) -> None:
        for mode in self.modes:
            mode.__enter__()
        if self.refused:
            self._previous = sys.getprofile()
            sys.setprofile(self._profile)

    def __exit__(self, *error: Any) -> None:
        if self.refused:
            sys.setprofile(self._previous)
        for mode in reversed(self.modes):
            mode.__exit__(*error)


def _library_failure(name: str) -> Failure:
    return Failure(
        "forbidden",
        f"this calls `{name}`, which is what the exercise asks you to write from simpler operations",
    )


class _FunctionWatch(TorchFunctionMode):
    def __init__(self, forbidden: frozenset[str], watch: Watch):
        super().__init__()
        # By the function itself: `torch.overrides.resolve_name` needs two seconds to build its table.
        self.forbidden = {id(_function(name)): name for name in forbidden if not name.startswith("aten::")}
        self.watch = watch

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if name := self.forbidden.get(id(func)):
            self.watch.refuse(_library_failure(name))
        return func(*args, **(kwargs or {}))


@cache
def _function(dotted: str) -> Any:
    """The library function with this public name, kept alive so that its id stays its own."""
    root, *parts = dotted.split(".")
    return functools.reduce(getattr, parts, importlib.import_module(root))


def _python_code(name: str) -> CodeType | None:
    """The code of a function that is written in Python, whatever it has been wrapped in."""
    return None if name.startswith("aten::") else getattr(inspect.unwrap(_function(name)), "__code__", None)


class _OperatorWatch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, the default, imports all of torch._dynamo at the first operator: more than a second.
        return False

    def __init__(self, forbidden: frozenset[str], watch: Watch):
        super().__init__()
        self.forbidden, self.watch = forbidden, watch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        if name in self.forbidden:
            self.watch.refuse(_library_failure(name.replace("aten::", "torch.ops.aten.")))
        return func(*args, **(kwargs or {}))
