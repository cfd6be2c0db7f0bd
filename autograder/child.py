"""Grade answers in a process that is not trusted: what is sent there, and what its replies are worth.

The checks, the seed and the expected values stay here. Plain values go out and come back.
"""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import Any

import torch

from autograder import exercises, wire
from autograder.exercise import Case, Exercise
from autograder.grading import broken, grade_function, grade_value, look_ahead, ungraded
from autograder.host import Host
from autograder.library import cut_for, signature_of
from autograder.outcome import Failure, Outcome
from autograder.report import Report
from autograder.surroundings import own_randomness


class AnswerProcess(Host):
    """A host whose jobs are answers. Use it in a `with` block."""

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
            key = (exercise.name, exercise.variant)
            self._fork(job, self._grounded(key, lambda: _ground(exercise)))
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


def gpu_trouble() -> str:
    """Why answers cannot use a GPU on this machine; empty if they can."""
    if not torch.cuda.is_available():
        return "there was no CUDA device"
    with AnswerProcess(device="cuda") as process:
        trouble = process.gpu_trouble()
    return f"answers that are locked in cannot use this machine's GPU ({trouble[:200]})" if trouble else ""
