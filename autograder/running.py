"""Call an answer on one case and report what came of it, whatever the answer does.

A call works on copies of the arguments; first without gradients, so that an answer that changes its inputs
is told so (autograd's own complaint about in-place operations would name the symptom), then, where the case
asks for it, with them. While the answer runs it is watched: library functions that would *be* the answer,
and the course's own solution, are refused.
"""

from __future__ import annotations

import inspect
import linecache
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import CodeType, FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from autograder.calling import as_call, face, make, ready
from autograder.checks import Case
from autograder.nested import copy_value, detached, holds_graph, on_device, unchanged
from autograder.outcome import Failure, Outcome, Refused
from autograder.watching import Watch


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
        arguments = {name: on_device(value, self.device) for name, value in case.arguments.items()}
        plain = {name: copy_value(value) for name, value in arguments.items()}
        weights: dict[str, Tensor] = {}
        trained: list[str] = []
        value, failure = self._call(case, plain, weights, gradients=False, trained=trained)
        mutated = tuple(name for name in plain if not unchanged(arguments[name], plain[name]))
        mutated += tuple(
            n for n in weights if not unchanged(on_device(case.weights[n], self.device), weights[n])
        )
        mutated += tuple(trained)
        if failure is not None:
            return Outcome(failure=failure, mutated=mutated)
        if (sentence := _no_value(value)) is not None:
            return Outcome(failure=Failure("unreadable", sentence), mutated=mutated)
        graph, value = holds_graph(value), detached(value)
        device = value.device.type if isinstance(value, Tensor) else "cpu"
        if not case.gradient or mutated:
            return Outcome(value, device=device, graph=graph, mutated=mutated)
        gradients, backward_failure = self._gradients(case, arguments)
        return Outcome(
            value, device=device, graph=graph, gradients=gradients, backward_failure=backward_failure
        )

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
        trained: list[str] | None = None,
    ) -> tuple[Any, Failure | None]:
        """The answer's value. The parameters that it worked with are put into `weights`, the names of models
        among the arguments whose weights it changed into `trained`."""
        watch = Watch(self.forbidden, code_of(face(self.reference, case))) if self.watched else None
        try:
            with self._time_limit(), torch.set_grad_enabled(gradients), watch or nullcontext():
                call, parameters = ready(self.answer, case, self.device)
                weights.update(parameters)
                made = {name: _placed(make(value), self.device) for name, value in arguments.items()}
                positional, named = as_call(self.reference, case, made)
                before = {name: copy_value(state) for name, state in _states(made)}
                value = call(*positional, **named)
            if trained is not None:
                trained.extend(name for name, state in _states(made) if not unchanged(before[name], state))
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


def _backward(value: Any) -> None:
    """Pull a fixed, generic direction back through the answer's output."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value.backward(direction.to(value.device, value.dtype))


def _no_value(value: Any) -> str | None:
    """What to do about a result that is none yet, the same words whichever process it came from."""
    if isinstance(value, BaseException):  # `return ValueError(…)`: nobody would notice
        return f"it returns a {type(value).__name__}: write `raise` in the place of `return`"
    if isinstance(value, np.ndarray):
        return "it returns a NumPy array: `torch.from_numpy(…)` makes a tensor of it, `.tolist()` a list"
    if isinstance(value, Iterator):
        name = type(value).__name__
        return f"it returns a {name}, which hands out its values one by one: `list(…)` makes a list of them"
    return None


def code_of(function: Callable[..., Any]) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None)


def _placed(value: Any, device: str) -> Any:
    """A model goes to where the tensors are; it was made on the CPU, from sent weights."""
    return value.to(device) if isinstance(value, nn.Module) else value


def _states(arguments: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The weights of the models among the arguments."""
    for name, value in arguments.items():
        if isinstance(value, nn.Module):
            yield name, dict(value.state_dict())


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
