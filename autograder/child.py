"""The trusted side of a check: sends an answer and its inputs to a worker process, reads plain values back.

The checks and the expected values stay here. A hang, a crash or an exit in the answer costs this one
exercise: the worker is killed, and the next exercise gets a fresh one.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from autograder import exercises, wire
from autograder.exercise import Case, Exercise
from autograder.grading import broken, grade_function, grade_value, own_randomness, ungraded
from autograder.outcome import Failure, Outcome
from autograder.report import Report

START_SECONDS = 120.0  # a cold disk, a busy machine: importing torch is not the answer's time
ISOLATION = "process"


class AnswerProcess:
    """A worker that grades any number of answers, one after the other. Use it in a `with` block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0
        self._seconds = 0.0

    def __enter__(self) -> AnswerProcess:
        self._start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._kill()

    def grade(
        self,
        exercise: Exercise,
        source: str,
        *,
        prelude: tuple[str, ...] = (),
        seed: int = 0,
        device: str = "cpu",
        timeout: float | None = None,
    ) -> Report:
        """The verdict on an answer given as Python text. `prelude`: the learner's own helper cells."""
        started = time.perf_counter()
        about = {"device": device, "isolation": ISOLATION}
        awaits_calls = False
        try:
            if self._process is None:
                self._start()
            self._seconds = timeout or exercise.timeout
            self._deadline = time.monotonic() + self._seconds
            opening = self._ask(_job(exercise, source, prelude, seed, device))
            failure, value = _opening(opening) if not isinstance(opening, Failure) else (opening, None)
            with own_randomness(seed):
                if failure is not None:
                    report = ungraded(exercise, failure, seed=seed, **about)
                elif exercise.takes_value:
                    report = grade_value(exercise, value, seed=seed, **about)
                else:
                    awaits_calls = True
                    report = grade_function(exercise, self._call, seed=seed, **about)
        except Exception as error:  # the answer's faults are Failures; this one is ours
            self._kill()
            report = broken(exercise, error, seed=seed, **about)
        self._finish(awaits_calls)
        return replace(report, duration=time.perf_counter() - started)

    def _call(self, case: Case) -> Outcome:
        reply = self._ask({field.name: getattr(case, field.name) for field in fields(case)})
        if isinstance(reply, Failure):
            return Outcome(failure=reply)
        try:
            return wire.outcome_from_plain(reply)
        except wire.WireError as error:
            self._kill()
            return Outcome(
                failure=Failure("died", f"the answer's process sent something unreadable: {error}")
            )

    def _ask(self, message: Any) -> Any:
        """Send and receive. A Failure instead of a reply where the worker hangs or is gone."""
        if self._process is None:
            return Failure("died", "the answer's process has ended")
        try:
            wire.write(self._process.stdin, message)  # type: ignore[arg-type]
            reply = wire.read(_Timed(self._process.stdout.fileno(), self._deadline))  # type: ignore[union-attr, arg-type]
        except TimeoutError:
            self._kill()
            return Failure("timeout", f"no answer after {self._seconds:g} seconds: is there an endless loop?")
        except (EOFError, BrokenPipeError):
            self._kill()
            return Failure("died", "the answer ended the process that ran it")
        except wire.WireError as error:
            self._kill()
            return Failure("died", f"the answer's process sent something unreadable: {error}")
        if isinstance(reply, dict) and "fault" in reply:
            raise RuntimeError(f"in the worker: {reply['fault']}")
        if isinstance(reply, dict) and "ended" in reply:
            self._kill()
            return Failure("died", _death(reply["ended"]))
        return reply

    def _finish(self, awaits_calls: bool) -> None:
        """Let the fork end, so that the worker is free for the next answer; if it will not, kill both."""
        if self._process is None:
            return
        try:
            if awaits_calls:
                wire.write(self._process.stdin, None)  # type: ignore[arg-type]
            farewell = wire.read(_Timed(self._process.stdout.fileno(), time.monotonic() + 5))  # type: ignore
            clean = isinstance(farewell, dict) and farewell.get("ended") == 0
        except (OSError, EOFError, wire.WireError):
            clean = False
        if not clean:
            self._kill()

    def _start(self) -> None:
        environment = {**os.environ, "AUTOGRADER_PROGRESS": "off"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autograder.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        ready = wire.read(_Timed(self._process.stdout.fileno(), time.monotonic() + START_SECONDS))  # type: ignore
        if ready != "ready":
            raise RuntimeError("the worker did not start")

    def _kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process = None


class _Timed:
    """Reads from a pipe until a deadline.

    Raises:
        TimeoutError: the deadline passed first.
    """

    def __init__(self, descriptor: int, deadline: float):
        self.descriptor, self.deadline = descriptor, deadline

    def read(self, count: int) -> bytes:
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
            raise TimeoutError
        return os.read(self.descriptor, min(count, 1 << 20))


def _job(exercise: Exercise, source: str, prelude: tuple[str, ...], seed: int, device: str) -> dict[str, Any]:
    chapter = exercises.find_chapter(exercise.chapter)
    earlier = [_path(e) for e in exercises.earlier(exercise) if e.reference is not None]
    return {
        "source": source,
        "prelude": list(prelude),
        "answer_name": exercise.answer_name,
        "reference": _path(exercise) if exercise.reference is not None else None,
        "takes_value": exercise.takes_value,
        "imports": chapter.imports,
        "earlier": earlier,
        "forbidden": list(exercise.forbidden),
        "seed": seed,
        "device": device,
    }


def _path(exercise: Exercise) -> str:
    reference = exercise.reference
    assert reference is not None
    return f"{reference.__module__}:{reference.__qualname__}"


def _opening(reply: Any) -> tuple[Failure | None, Any]:
    """What the worker says once the answer is defined: a failure, or the value of a value exercise."""
    if not isinstance(reply, dict):
        raise wire.WireError("no opening")
    return wire.failure_from_plain(reply.get("failure")), reply.get("value")


def _death(status: Any) -> str:
    if isinstance(status, int) and status < 0:
        name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
        return f"the answer's process was killed by {name}"
    return f"the answer ended its own process (exit code {status}) instead of returning"
