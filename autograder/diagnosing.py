"""Which mistake was made: the misconception that does everywhere what the answer did.

Two mistakes at once look like neither. Then the first check that fails decides: the misconception that does
there what the answer did, and is right wherever the answer is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from autograder.exercise import Case, Exercise, Misconception
from autograder.expecting import Expected
from autograder.judging import close, is_number
from autograder.outcome import Outcome
from autograder.report import Mistake
from autograder.running import LocalRunner


@dataclass(frozen=True)
class Question:
    """A case, what the reference does on it, and what each misconception does, once that was asked."""

    case: Case
    expected: Expected
    mistaken: dict[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True)
class Called:
    """A question with what the answer made of it, and whether that was right."""

    question: Question
    outcome: Outcome
    right: bool


NOT_ALONE = " Mend this first: it is not the only thing that goes wrong."


def diagnose(exercise: Exercise, by_check: list[list[Called]]) -> Mistake | None:
    """The misconception that does on every case exactly what the answer did, if there is one.

    If there is none, one that explains the first check that fails: of several the one that explains most.
    """
    everything = [one for called in by_check for one in called]
    for misconception in exercise.misconceptions:
        alike = all(_behaves_alike(exercise, misconception, one) for one in everything)
        if alike and _same_words(misconception, everything):
            return Mistake(misconception.id, misconception.title, misconception.advice)
    first = next(called for called in by_check if not all(one.right for one in called))
    # That both raise something, or return another shape, says little: only numbers tell two mistakes apart.
    if not all(map(_comparable, first)):
        return None
    deciding = [*first, *(one for called in by_check if all(c.right for c in called) for one in called)]
    candidates = [
        m for m in exercise.misconceptions if all(_behaves_alike(exercise, m, one) for one in deciding)
    ]
    if not candidates:
        return None
    best = max(candidates, key=lambda m: sum(_behaves_alike(exercise, m, one) for one in everything))
    return Mistake(best.id, best.title, best.advice + NOT_ALONE)


def _comparable(called: Called) -> bool:
    value, want = called.outcome.value, called.question.expected.value
    if called.outcome.failure is not None or not isinstance(value, Tensor) or not isinstance(want, Tensor):
        return False
    return value.shape == want.shape and value.dtype == want.dtype


def _same_words(misconception: Misconception, called: list[Called]) -> bool:
    """Of an answer that only ever raises, the message must agree: many mistakes end in a TypeError."""
    if any(one.outcome.failure is None for one in called):
        return True
    ours, theirs = called[0].outcome.failure, called[0].question.mistaken[misconception.id].failure
    return ours is not None and theirs is not None and ours.message == theirs.message


def _behaves_alike(exercise: Exercise, misconception: Misconception, called: Called) -> bool:
    assert exercise.reference is not None
    question, outcome = called.question, called.outcome
    expected, theirs = question.expected, question.mistaken.get(misconception.id)
    if theirs is None:
        run = LocalRunner(misconception.answer, exercise.reference, watched=False)
        theirs = question.mistaken[misconception.id] = run(question.case)
    if (theirs.failure is None) != (outcome.failure is None) or theirs.mutated != outcome.mutated:
        return False
    if theirs.failure is not None and outcome.failure is not None:
        return theirs.failure.exception == outcome.failure.exception
    # On a GPU sums are taken in another order, and what is asked here is only which mistake it was.
    rounding = 1e-6 if outcome.device == "cpu" else 1e-4
    tolerance = max(expected.tolerance, rounding * _size(theirs.value))
    if not close(outcome.value, theirs.value, tolerance):
        return False
    if expected.detached and theirs.graph != outcome.graph:
        return False
    if (theirs.backward_failure is None) != (outcome.backward_failure is None):
        return False
    ours, others = outcome.gradients or {}, theirs.gradients or {}
    return all(
        _same_gradient(ours.get(n), others.get(n), expected.gradient_tolerances.get(n, rounding), rounding)
        for n in ours.keys() | others.keys()
    )


def _same_gradient(a: Tensor | None, b: Tensor | None, tolerance: float, rounding: float) -> bool:
    if a is None or b is None:
        return a is b
    return close(a, b, max(tolerance, rounding * _size(b)))


def _size(value: Any) -> float:
    if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
        return float(value.detach().nan_to_num(0, 0, 0).abs().max())
    return 0.0


def shows(value: Any, misconception: Misconception) -> bool:
    if misconception.shown_by is not None:
        return misconception.shown_by(value)
    return _same_value(value, misconception.answer())


def _same_value(value: Any, wrong: Any) -> bool:
    """Whether a value is this wrong one. A number typed by hand counts from two decimals on."""
    if isinstance(value, dict) and isinstance(wrong, dict):
        value, wrong = value.get("value"), wrong.get("value")
    if is_number(value) and is_number(wrong):
        return abs(value - wrong) <= 0.005
    return type(value) is type(wrong) and isinstance(value, Tensor | str) and close(value, wrong, 1e-3)
