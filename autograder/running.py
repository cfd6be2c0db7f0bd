"""Call an answer on one case and report what came of it, whatever the answer does.

A call works on copies of the arguments; first without gradients, so that an answer that changes its inputs
is told so (autograd's own complaint about in-place operations would name the symptom), then, where the case
asks for it, with them. While the answer runs it is watched: library functions that would *be* the answer,
and the course's own solution, are refused.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import linecache
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from functools import cache
from types import CodeType, FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from autograder.calling import as_call, copy_value, face, make, ready
from autograder.checks import Case
from autograder.outcome import Failure, Outcome, Refused


class Runner(Protocol):
    """Whatever can call the answer: in this process, or in another one."""

    def __call__(self, case: Case) -> Outcome: ...


class OutOfTime(BaseException):
    """Raised inside the answer when its time is up; no Exception, so that `except Exception` lets it by."""


class LocalRunner:
    """Calls an answer in this process.

    answer:    the function or class.
    reference: the course's own, which says how to call it, and which the answer may not call.
    forbidden: library functions that it may not call, as in `Exercise.forbidden`.
    seconds:   time for all calls together; None for no limit. Kept by SIGALRM, so on the main thread only.
    watched:   whether to refuse the reference and what is forbidden.
    """

    def __init__(
        self,
        answer: Any,
        reference: Callable[..., Any],
        *,
        forbidden: tuple[str, ...] = (),
        seconds: float | None = None,
        device: str = "cpu",
        watched: bool = True,
    ):
        self.answer = answer
        self.reference = reference
        self.forbidden = frozenset(forbidden)
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.seconds = seconds
        self.device = device
        self.watched = watched

    def __call__(self, case: Case) -> Outcome:
        arguments = {name: _to(value, self.device) for name, value in case.arguments.items()}
        plain = {name: copy_value(value) for name, value in arguments.items()}
        weights: dict[str, Tensor] = {}
        value, failure = self._call(case, plain, weights, gradients=False)
        mutated = tuple(name for name in plain if not _unchanged(arguments[name], plain[name]))
        mutated += tuple(n for n in weights if not _unchanged(_to(case.weights[n], self.device), weights[n]))
        if failure is not None:
            return Outcome(failure=failure, mutated=mutated)
        if isinstance(value, BaseException):  # `return ValueError(…)`: nobody would notice
            sentence = f"it returns a {type(value).__name__}: write `raise` in the place of `return`"
            return Outcome(failure=Failure("unreadable", sentence), mutated=mutated)
        value = _detached(value)
        device = value.device.type if isinstance(value, Tensor) else "cpu"
        if not case.gradient or mutated:
            return Outcome(value, device=device, mutated=mutated)
        gradients, backward_failure = self._gradients(case, arguments)
        return Outcome(value, device=device, gradients=gradients, backward_failure=backward_failure)

    def _gradients(
        self, case: Case, arguments: Mapping[str, Any]
    ) -> tuple[dict[str, Tensor | None], Failure | None]:
        leaves = {n: copy_value(v, requires_grad=True) for n, v in arguments.items()}
        tracked = {n: v for n, v in leaves.items() if isinstance(v, Tensor) and v.requires_grad}
        # The backward pass runs under the same guard: its time and its exceptions are the answer's.
        _, failure = self._call(case, leaves, tracked, gradients=True, then=_backward)
        return {n: leaf.grad for n, leaf in tracked.items()}, failure

    def _call(
        self,
        case: Case,
        arguments: Mapping[str, Any],
        weights: dict[str, Tensor],
        *,
        gradients: bool,
        then: Callable[[Any], None] | None = None,
    ) -> tuple[Any, Failure | None]:
        """The answer's value. The parameters that it worked with are put into `weights`."""
        watch = _Watch(self.forbidden, code_of(face(self.reference, case))) if self.watched else None
        try:
            with self._time_limit(), torch.set_grad_enabled(gradients), watch or nullcontext():
                call, parameters = ready(self.answer, case, self.device)
                weights.update(parameters)
                made = {name: _placed(make(value), self.device) for name, value in arguments.items()}
                positional, named = as_call(self.reference, case, made)
                value = call(*positional, **named)
            if then is not None:
                with self._time_limit(), torch.enable_grad():
                    then(value)
        except OutOfTime:
            return None, Failure(
                "timeout", f"no answer after {self.seconds:g} seconds: is there an endless loop?"
            )
        except Refused as refused:
            return None, refused.failure
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit and home-made BaseExceptions are the answer's, too
            hit = watch.hit if watch else None
            return None, hit or describe(error, self._written(case))
        # An answer that caught the refusal and went on is refused all the same.
        return value, (watch.hit if watch else None)

    def _written(self, case: Case) -> Any:
        """The function whose lines a learner knows as their own."""
        return getattr(self.answer, case.method, None) if inspect.isclass(self.answer) else self.answer

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        usable = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
        if self.deadline is None or not usable:
            yield
            return

        def ring(signum: int, frame: FrameType | None) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        # Rings again every half second, for an answer that swallows the first one.
        signal.setitimer(signal.ITIMER_REAL, max(self.deadline - time.monotonic(), 1e-3), 0.5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class _Watch:
    """Refuses library functions by name and by operator, and the course's solution by its code object.

    `TorchFunctionMode` sees `F.softmax` and `x.softmax`; `TorchDispatchMode` sees what reaches the operators
    by any other road (`torch._C`, `torch.ops`); the profiler hook sees the reference called by any name.
    """

    def __init__(self, forbidden: frozenset[str], reference_code: CodeType | None):
        self.hit: Failure | None = None
        self.modes = (_FunctionWatch(forbidden, self), _OperatorWatch(forbidden, self)) if forbidden else ()
        self.reference_code = reference_code

    def refuse(self, failure: Failure) -> None:
        self.hit = self.hit or failure
        raise Refused(failure)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is self.reference_code:
            sys.setprofile(None)
            self.refuse(
                Failure(
                    "reference", "this calls the course's own solution; the exercise is to write it yourself"
                )
            )

    def __enter__(self) -> None:
        for mode in self.modes:
            mode.__enter__()
        if self.reference_code is not None:
            self._previous = sys.getprofile()
            sys.setprofile(self._profile)

    def __exit__(self, *error: Any) -> None:
        if self.reference_code is not None:
            sys.setprofile(self._previous)
        for mode in reversed(self.modes):
            mode.__exit__(*error)


def _library_failure(name: str) -> Failure:
    return Failure(
        "forbidden",
        f"this calls `{name}`, which is what the exercise asks you to write from simpler operations",
    )


class _FunctionWatch(TorchFunctionMode):
    def __init__(self, forbidden: frozenset[str], watch: _Watch):
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


class _OperatorWatch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, the default, imports all of torch._dynamo at the first operator: more than a second.
        return False

    def __init__(self, forbidden: frozenset[str], watch: _Watch):
        super().__init__()
        self.forbidden, self.watch = forbidden, watch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        if name in self.forbidden:
            self.watch.refuse(_library_failure(name.replace("aten::", "torch.ops.aten.")))
        return func(*args, **(kwargs or {}))


def _backward(value: Any) -> None:
    """Pull a fixed, generic direction back through the answer's output."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value.backward(direction.to(value.device, value.dtype))


def code_of(function: Callable[..., Any]) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None)


def _to(value: Any, device: str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(_to(item, device) for item in value)
    if isinstance(value, dict):
        return {key: _to(item, device) for key, item in value.items()}
    return value


def _placed(value: Any, device: str) -> Any:
    """A model goes to where the tensors are; it was made on the CPU, from sent weights."""
    return value.to(device) if isinstance(value, nn.Module) else value


def _detached(value: Any) -> Any:
    # A plain tensor: a subclass could carry an `==` of its own.
    if isinstance(value, Tensor):
        return value.detach().clone().as_subclass(Tensor)
    if isinstance(value, list):
        return [_detached(item) for item in value]
    if isinstance(value, tuple):  # a torch.Size, too, is its numbers
        return tuple(_detached(item) for item in value)
    if isinstance(value, dict):  # and a Counter its pairs
        return {key: _detached(item) for key, item in value.items()}
    return value


def _unchanged(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        same = after.shape == before.shape and after.dtype == before.dtype
        return bool(same) and torch.equal(torch.nan_to_num(before), torch.nan_to_num(after))
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    if isinstance(before, dict):
        return list(before) == list(after) and all(_unchanged(before[k], after[k]) for k in before)
    if isinstance(before, float) and isinstance(after, float) and before != before:
        return after != after
    return before is after or (type(before) is type(after) and bool(before == after))


def describe(error: BaseException, answer: Any = None, source_file: str | None = None) -> Failure:
    """An exception of the answer, with the line of the answer that led to it."""
    code = code_of(answer) if callable(answer) else None
    source_file = source_file or (code.co_filename if code else None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == source_file]
    line = lines[-1] if lines else None
    if isinstance(error, SyntaxError) and error.filename == source_file:
        line = error.lineno
    try:
        text = str(error).strip() or "(no message)"
    except BaseException:  # its own `__str__` fails
        text = "(no message)"
    name = type(error).__name__
    if isinstance(error, NotImplementedError) and text.startswith("Exercise "):
        sentence = "no answer yet: the line that raises NotImplementedError still stands there"
        return Failure("not attempted", sentence, name, line)
    line_text = linecache.getline(source_file, line).strip() if source_file and line else ""
    return Failure("exception", f"{name}: {text.splitlines()[0][:300]}", name, line, line_text)


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


@contextmanager
def quiet() -> Iterator[None]:
    """What an answer prints or warns while checked stays unseen: nbgrader takes stderr for a failure."""
    nowhere = _Nowhere()
    with redirect_stdout(nowhere), redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def set_seed(seed: int) -> None:
    """As `torch.manual_seed`, which notes a whole traceback for the GPU's sake where no GPU is in use."""
    seeded = torch if torch.cuda.is_initialized() else torch.default_generator
    seeded.manual_seed(seed)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """A check leaves the learner's random numbers and default dtype as it found them."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
