"""The trusted side of a check: sends an answer and its inputs to a worker process, reads plain values back.

The checks, the seed and the expected values stay here. A hang, a crash or an exit in the answer costs this
one exercise: its fork is killed, and the next answer gets a fresh one.
"""

from __future__ import annotations

import signal
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import torch

from autograder import exercises, wire
from autograder.bubblewrap import has_bubblewrap
from autograder.exercise import Case, Exercise
from autograder.grading import broken, grade_function, grade_value, look_ahead, ungraded
from autograder.isolation import Isolation, isolation_of
from autograder.library import cut_for, signature_of
from autograder.outcome import Failure, Outcome
from autograder.parents import Parent
from autograder.report import Report
from autograder.sandbox import Confined, Limits
from autograder.surroundings import own_randomness

MOST_GROUNDS = 12  # parents that wait with the ground of an exercise laid: more than a chapter has
LOCK_SECONDS = 30.0  # forking and locking in
GPU_SECONDS = 60.0  # its driver's start
DYING_SECONDS = 10.0


class AnswerProcess:
    """A worker that grades any number of answers, one after the other. Use it in a `with` block.

    bubblewrap: False to do without it, as on a machine that has none.
    worker:     a sandbox that was started in advance; it ends with this.
    within:     a sandbox of somebody else's, in which to have a parent of its own.
    """

    whole = False  # whether it runs whole notebooks instead: see `autograder.rerunning`

    def __init__(
        self,
        *,
        device: str = "cpu",
        limits: Limits | None = None,
        bubblewrap: bool = True,
        worker: Confined | None = None,
        within: Confined | None = None,
    ) -> None:
        self.device = device
        self.limits = limits or Limits()
        self.isolation: Isolation | None = None
        self._bubblewrap = bubblewrap and has_bubblewrap()
        self._started, self._within = worker, within
        self._worker: Confined | None = None  # where answers run
        self._parent: Parent | None = None  # forks them
        self._grounds: OrderedDict[tuple[str, str], Parent] = OrderedDict()
        self._at: Parent | None = None  # who forked the answer at hand
        self._line: wire.Line | None = None
        self._seconds = 0.0
        self._killed = False
        self._fault: str | None = None  # what broke in the answer's process, at the answer at hand
        self._lost = False  # whether the sandbox ended while it ran

    def __enter__(self) -> AnswerProcess:
        self._start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._end_worker()

    @property
    def shared(self) -> Confined | None:
        """The sandbox, for others to grade within; None where answers side by side would share a folder."""
        apart = self.isolation is not None and "namespaces" in self.isolation.means
        return self._worker if apart and self.device == "cpu" else None

    def grade(
        self,
        exercise: Exercise,
        source: str,
        *,
        prelude: tuple[str, ...] = (),
        seed: int = 0,
        timeout: float | None = None,
    ) -> Report:
        """The verdict on an answer given as Python text. `prelude`: the learner's own helper cells."""
        report = self._grade(exercise, source, prelude, seed, timeout)
        if self._lost:  # whoever ended it, it need not have been this answer
            report = self._grade(exercise, source, prelude, seed, timeout)
        fault = self._fault
        if report.status != "grader_error" or fault is None or self._breaks_by_itself(exercise):
            return report
        failure = Failure("died", f"the answer broke the process that ran it ({fault})")
        about = {"device": self.device, "isolation": report.isolation, "duration": report.duration}
        return ungraded(exercise, failure, seed=seed, **about)

    def _breaks_by_itself(self, exercise: Exercise) -> bool:
        """Whether an innocent answer breaks its process as well: then the fault is ours."""
        name = exercise.answer_name
        innocent = f"{name} = 0" if exercise.takes_value else f"def {name}(*values, **named): return None"
        if exercise.methods:
            methods = "".join(f"\n    def {m}(self, *values, **named): pass" for m in exercise.methods)
            innocent = f"class {name}(__import__('torch').nn.Module):{methods}"
        return self._grade(exercise, innocent, (), 0, None).status == "grader_error"

    def _grade(
        self, exercise: Exercise, source: str, prelude: tuple[str, ...], seed: int, timeout: float | None
    ) -> Report:
        started = time.perf_counter()
        self._fault, self._lost = None, False
        about: dict[str, Any] = {"device": self.device}
        try:
            self._start()
            look_ahead(exercise, seed)  # ours to work out, and not in the answer's time
            about["isolation"] = self.isolation.level  # type: ignore[union-attr]
            self._seconds = timeout or exercise.timeout
            failure, value = self._open(_job(exercise, source, prelude, seed, self.device), exercise)
            with own_randomness(seed):
                if failure is not None:
                    report = ungraded(exercise, failure, seed=seed, **about)
                elif exercise.takes_value:
                    report = grade_value(exercise, value, seed=seed, **about)
                else:
                    report = grade_function(exercise, self._call, seed=seed, **about)
        except Exception as error:  # the answer's faults are Failures; this one is ours
            self._end_worker()
            self._lost = self._lost or isinstance(error, OSError | EOFError)
            report = broken(exercise, error, seed=seed, **about)
        self._close()
        return replace(report, duration=time.perf_counter() - started)

    def _open(self, job: dict[str, Any], exercise: Exercise) -> tuple[Failure | None, Any]:
        """Hand the answer to a fork of its own: a failure, or the value of a value exercise."""
        if self.device == "cpu":
            self._fork(job, self._grounded(exercise))
        else:  # the library asks for the device, which no parent may touch
            self._fork({**job, "ground": _ground(exercise)})
        assert self._line is not None
        self._line.deadline = time.monotonic() + self._seconds
        opening = self._receive()
        if isinstance(opening, Failure):
            return opening, None
        try:
            return wire.failure_from_plain(opening["failure"]), opening["value"]
        except (TypeError, KeyError, AttributeError) as error:  # the answer itself wrote on the line
            return self._unreadable(error), None

    def _grounded(self, exercise: Exercise) -> Parent:
        """The parent that has laid the ground of the exercise."""
        assert self._parent is not None
        key = (exercise.name, exercise.variant)
        if key not in self._grounds:
            self._grounds[key] = self._parent.another(_ground(exercise))
            while len(self._grounds) > MOST_GROUNDS:
                self._grounds.popitem(last=False)[1].close()
        self._grounds.move_to_end(key)
        return self._grounds[key]

    def _fork(self, job: dict[str, Any], parent: Parent | None = None) -> Isolation:
        """A fork that has the job and has locked itself in, as it says before the answer begins."""
        assert self._worker is not None
        self._at = parent or self._parent
        assert self._at is not None
        self._line = self._at.fork()
        self._killed = False
        self._line.deadline = time.monotonic() + LOCK_SECONDS
        rules = self._worker.rules(seconds=self._seconds or 10, limits=self.limits, device=self.device)
        wire.write(self._line, {**job, "rules": rules})
        locked = wire.read(self._line)
        if "means" not in locked:
            raise RuntimeError(f"the answer's process did not lock itself in: {locked}")
        isolation = isolation_of(locked["means"], bubblewrap=self._worker.bubblewrap)
        if self.isolation is not None and isolation != self.isolation:
            raise RuntimeError(f"the isolation is {isolation} and was {self.isolation}")
        return isolation

    def _call(self, case: Case) -> Outcome:
        if self._line is None:
            return Outcome(failure=Failure("died", "the answer's process has ended"))
        try:
            wire.write(self._line, {field.name: getattr(case, field.name) for field in fields(case)})
        except (OSError, TimeoutError) as error:
            failure = self._timed_out() if isinstance(error, TimeoutError) else self._died()
            return Outcome(failure=failure)
        reply = self._receive()
        if isinstance(reply, Failure):
            return Outcome(failure=reply)
        try:
            return wire.outcome_from_plain(reply)
        except wire.WireError as error:
            return Outcome(failure=self._unreadable(error))

    def _receive(self) -> Any:
        """A reply, or a Failure where the answer hangs, is gone, or sends what is no reply."""
        assert self._line is not None
        try:
            reply = wire.read(self._line)
        except TimeoutError:
            return self._timed_out()
        except (EOFError, OSError):
            return self._died()
        except wire.WireError as error:
            return self._unreadable(error)
        if isinstance(reply, dict) and "fault" in reply:
            self._fault = str(reply["fault"])[:200]
            raise RuntimeError(f"in the answer's process: {self._fault}")
        return reply

    def _timed_out(self) -> Failure:
        self._close(kill=True)
        return Failure("timeout", f"no answer after {self._seconds:g} seconds: is there an endless loop?")

    def _unreadable(self, error: Exception) -> Failure:
        self._close(kill=True)
        return Failure("died", f"the answer's process sent something unreadable: {error}")

    def _died(self) -> Failure:
        status = self._close()
        return Failure("died", _death(status, self.limits))

    def _close(self, kill: bool = False) -> int | None:
        """End the fork at hand, if there is one. Its exit code; None where the whole worker had to go."""
        line, self._line = self._line, None
        if line is None or self._at is None:
            return None
        try:
            if kill:
                self._at.kill()
            else:
                with suppress(OSError, TimeoutError):
                    line.deadline = time.monotonic() + 1
                    wire.write(line, None)
            line.close()
            return self._at.status(1.0 if not kill else DYING_SECONDS)
        except TimeoutError:  # it was asked to end and goes on
            with suppress(OSError, TimeoutError):
                self._at.kill()
                return self._at.status(DYING_SECONDS)
        except OSError:
            pass
        self._lost = True
        self._end_worker()
        return None

    def _start(self) -> None:
        if self._worker is not None:
            return
        if self._within is not None:
            with suppress(OSError, RuntimeError):
                self._parent = Parent(self._within.control).another()
                self._worker = self._within
        if self._worker is None:
            self._worker, self._started = self._started or self._confined(), None
            self._parent = Parent(self._worker.control)
            try:
                self._parent.wait()
            except RuntimeError:
                self._end_worker()
                raise
        self.isolation = self.isolation or self._fork({})
        self._close()

    def gpu_trouble(self) -> str:
        """Why an answer that is locked in cannot use the GPU; empty if it can."""
        try:
            self._fork({"tries_gpu": True})
            assert self._line is not None
            self._line.deadline = time.monotonic() + GPU_SECONDS
            return str(wire.read(self._line)["trouble"])
        except (OSError, EOFError, TimeoutError, wire.WireError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self._close()

    def _confined(self) -> Confined:
        return Confined(bubblewrap=self._bubblewrap, device=self.device, whole=self.whole)

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        for parent in (*self._grounds.values(), self._parent):
            if parent is not None and (worker is None or parent.control is not worker.control):
                parent.close()
        if worker is not None and worker is not self._within:
            worker.end()
        self._grounds.clear()
        self._parent = self._at = self._line = None


def _job(exercise: Exercise, source: str, prelude: tuple[str, ...], seed: int, device: str) -> dict[str, Any]:
    return {
        "source": source,
        "prelude": list(prelude),
        "answer_name": exercise.answer_name,
        "takes_value": exercise.takes_value,
        "forbidden": [name for name in exercise.forbidden if not name.startswith("llmlib.")],
        "seed": _unlike(seed),
        "device": device,
    }


def _ground(exercise: Exercise) -> dict[str, Any]:
    """What all answers to the exercise have in common; no seed, no input, nothing that is expected."""
    chapter = exercises.find_chapter(exercise.chapter)
    # A bug hunt's repaired function stands with its exercise, where no answer may look.
    earlier = [p for e in exercises.earlier(exercise) if (p := _path(e)).startswith("llmlib.")]
    return {
        "library": cut_for(exercise),
        "imports": chapter.imports,
        "earlier": earlier,
        "reference": signature_of(exercise.reference) if exercise.reference is not None else None,
    }


def _unlike(seed: int) -> int:
    """The answer's own random numbers: repeatable, and not those that the checks draw from."""
    return (seed * 2654435761 + 97) % 2**63


def _path(exercise: Exercise) -> str:
    reference = exercise.reference
    return f"{reference.__module__}:{reference.__qualname__}" if reference is not None else ""


def _death(status: int | None, limits: Limits) -> str:
    if status is None:
        return "the answer ended the process that ran it"
    if status == -signal.SIGXCPU:
        return "the answer used up its time on the processor: is there an endless loop?"
    if status == -signal.SIGKILL:
        return "the answer's process was killed, most likely for taking too much memory or time"
    if status < 0:
        name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
        return f"the answer's process was killed by {name}"
    return f"the answer ended its own process (exit code {status}) instead of returning"


def gpu_trouble() -> str:
    """Why answers cannot use a GPU on this machine; empty if they can."""
    if not torch.cuda.is_available():
        return "there was no CUDA device"
    with AnswerProcess(device="cuda") as process:
        trouble = process.gpu_trouble()
    return f"answers that are locked in cannot use this machine's GPU ({trouble[:200]})" if trouble else ""
