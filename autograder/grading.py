"""From an answer to a verdict.

The checks run in their order; all cases are always called, because the outcomes together tell which mistake
was made. Only a hang, a death or a refusal stops early: after it nothing more can be learned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from autograder.calling import Made, face, wrong_signature
from autograder.exercise import Case, Check, Exercise, Misconception
from autograder.judging import Expected, Mismatch, close, compare, expect, is_number
from autograder.outcome import Failure, Outcome
from autograder.report import OPEN, CheckResult, Counterexample, Mistake, Report
from autograder.running import LocalRunner, Runner, own_randomness, quiet
from autograder.shrinking import axes_of, pairs_of, shrink
from autograder.values import text_of

# Failures of an answer that runs; after the others a hint on the idea would lead away from the error.
HINT_HELPS = (None, "forbidden", "reference")
# Outcomes after which the answer is not called again.
FINAL = ("not attempted", "timeout", "died", "forbidden", "reference", "undefined")

MOST_WEIGHTS_SHOWN = 40


@dataclass(frozen=True)
class Question:
    """A case, what the reference does on it, and what each misconception does, once that was asked."""

    case: Case
    expected: Expected
    mistaken: dict[str, Outcome] = field(default_factory=dict)


Called = tuple[Question, Outcome]


@lru_cache(maxsize=256)
def questions(exercise: Exercise, seed: int) -> tuple[tuple[Question, ...], ...]:
    """The cases of each check as this seed draws them. Asked once: the next answer gets the same ones."""
    reference = exercise.reference
    assert reference is not None
    return tuple(
        tuple(
            Question(case, expect(reference, case))
            for case in (check.cases or _nothing)(torch.Generator().manual_seed(1000 * seed + place))
        )
        for place, check in enumerate(exercise.checks)
    )


def look_ahead(exercise: Exercise, seed: int) -> None:
    """Work out now what the checks will ask, and what they expect."""
    if exercise.reference is not None:
        with quiet(), own_randomness(seed):
            questions(exercise, seed)


def _nothing(generator: torch.Generator) -> tuple[Case, ...]:
    return ()


def grade_callable(
    exercise: Exercise, answer: Any, *, seed: int = 0, device: str = "cpu", timeout: float | None = None
) -> Report:
    """Grade an answer that lives in this process: a function, or the value of a value exercise."""
    start = time.perf_counter()
    with quiet(), own_randomness(seed):
        if (reference := exercise.reference) is None:
            report = grade_value(exercise, answer, seed=seed)
        elif (failure := wrong_signature(reference, exercise.answer_name, answer)) is not None:
            report = ungraded(exercise, failure, seed=seed)
        else:
            runner = LocalRunner(
                answer,
                reference,
                forbidden=exercise.forbidden,
                seconds=timeout or exercise.timeout,
                device=device,
            )
            report = grade_function(exercise, runner, seed=seed, device=device)
    return replace(report, duration=time.perf_counter() - start)


def passes(exercise: Exercise, answer: Any, *, seed: int = 0, timeout: float | None = None) -> bool:
    """Whether a function or class passes every check: the verdict alone, ended by the first wrong case."""
    assert exercise.reference is not None
    if wrong_signature(exercise.reference, exercise.answer_name, answer) is not None:
        return False
    with quiet(), own_randomness(seed):
        runner = LocalRunner(
            answer,
            exercise.reference,
            forbidden=exercise.forbidden,
            seconds=timeout or exercise.timeout,
        )
        asked = chain.from_iterable(questions(exercise, seed))
        return all(compare(runner(question.case), question.expected) is None for question in asked)


def grade_function(exercise: Exercise, runner: Runner, *, seed: int = 0, **about: Any) -> Report:
    """Grade a function through anything that can call it. A fault of ours is a verdict of its own."""
    try:
        return _grade_function(exercise, runner, seed, about)
    except Exception as error:  # whatever the answer raises is an Outcome; what arrives here is ours
        return broken(exercise, error, seed=seed, **about)


def _grade_function(exercise: Exercise, runner: Runner, seed: int, about: dict[str, Any]) -> Report:
    reference = exercise.reference
    assert reference is not None
    device = about.get("device", "cpu")
    called: list[Called] = []
    results: list[CheckResult] = []
    first: tuple[Case, Outcome, Expected, Mismatch] | None = None
    stopped: Failure | None = None
    for check, asked in zip(exercise.checks, questions(exercise, seed), strict=True):
        wrong: tuple[Case, Outcome, Expected, Mismatch] | None = None
        for question in asked:
            case, expected = question.case, question.expected
            outcome = runner(case) if stopped is None else Outcome(failure=stopped)
            called.append((question, outcome))
            mismatch = compare(outcome, expected, axes_of(face(reference, case)).get("return"), device)
            if mismatch and wrong is None:
                wrong = (case, outcome, expected, mismatch)
            if outcome.failure is not None and outcome.failure.kind in FINAL:
                stopped = outcome.failure
        first = first or wrong
        results.append(_result(exercise, check, wrong[3].message if wrong else None, results))
    if first is None:
        return _report(exercise, "passed", tuple(results), seed=seed, **about)
    if stopped is not None and stopped.kind == "not attempted":
        return ungraded(exercise, stopped, seed=seed, **about)
    failed = next(r for r in results if not r.passed)
    failure = first[1].failure or first[1].backward_failure
    mistake = None if stopped else diagnose(exercise, called)
    return _report(
        exercise,
        "failed",
        tuple(results),
        misconception=mistake,
        counterexample=None if stopped else _counterexample(first, runner, reference, device),
        reason=failed.message,
        failure=failure.kind if failure else None,
        line=failure.line if failure else None,
        line_text=failure.line_text if failure else "",
        seed=seed,
        **about,
    )


def grade_value(exercise: Exercise, value: Any, *, seed: int = 0, **about: Any) -> Report:
    """Grade an answer that is a value: each check judges it."""
    try:
        if unfilled(value):
            return ungraded(
                exercise, Failure("not attempted", "the answer is still empty"), seed=seed, **about
            )
        results: list[CheckResult] = []
        for place, check in enumerate(exercise.checks):
            assert check.judge is not None
            message = check.judge(value, torch.Generator().manual_seed(1000 * seed + place))
            results.append(_result(exercise, check, message, results))
        failed = [r for r in results if not r.passed]
        if not failed:
            return _report(exercise, "passed", tuple(results), seed=seed, **about)
        same = (m for m in exercise.misconceptions if _shows(value, m))
        mistake = next((Mistake(m.id, m.title, m.advice) for m in same), None)
        reason = failed[0].message
        return _report(
            exercise, "failed", tuple(results), misconception=mistake, reason=reason, seed=seed, **about
        )
    except Exception as error:
        return broken(exercise, error, seed=seed, **about)


def unfilled(value: Any) -> bool:
    """Nothing was written: `...` or None stands where the answer belongs."""
    if type(value) is dict:
        return any(item is ... or item is None for item in value.values())
    return value is None or value is ... or (type(value) in (list, tuple) and any(v is ... for v in value))


def diagnose(exercise: Exercise, called: list[Called]) -> Mistake | None:
    """The misconception that does on every case exactly what the answer did, if there is one."""
    for misconception in exercise.misconceptions:
        if all(_behaves_alike(exercise, misconception, *one) for one in called):
            return Mistake(misconception.id, misconception.title, misconception.advice)
    return None


def _behaves_alike(
    exercise: Exercise, misconception: Misconception, question: Question, outcome: Outcome
) -> bool:
    assert exercise.reference is not None
    expected, theirs = question.expected, question.mistaken.get(misconception.id)
    if theirs is None:
        run = LocalRunner(misconception.answer, exercise.reference, watched=False)
        theirs = question.mistaken[misconception.id] = run(question.case)
    if (theirs.failure is None) != (outcome.failure is None) or theirs.mutated != outcome.mutated:
        return False
    if theirs.failure is not None and outcome.failure is not None:
        return theirs.failure.exception == outcome.failure.exception
    tolerance = max(expected.tolerance, 1e-6 * _size(theirs.value))
    if not close(outcome.value, theirs.value, tolerance):
        return False
    if (theirs.backward_failure is None) != (outcome.backward_failure is None):
        return False
    ours, others = outcome.gradients or {}, theirs.gradients or {}
    return all(
        _same_gradient(ours.get(n), others.get(n), expected.gradient_tolerances.get(n, 1e-6))
        for n in ours.keys() | others.keys()
    )


def _same_gradient(a: torch.Tensor | None, b: torch.Tensor | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return close(a, b, max(tolerance, 1e-6 * _size(b)))


def _size(value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
        return float(value.detach().nan_to_num(0, 0, 0).abs().max())
    return 0.0


def _shows(value: Any, misconception: Misconception) -> bool:
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


def _result(exercise: Exercise, check: Check, wrong: str | None, before: list[CheckResult]) -> CheckResult:
    missing = [name for name in exercise.prerequisites(check) if not _passed(name, before)]
    if missing:
        return CheckResult(check.name, check.points, False, OPEN + missing[0])
    return CheckResult(check.name, check.points, wrong is None, wrong or "")


def _passed(name: str, results: list[CheckResult]) -> bool:
    return any(r.name == name and r.passed for r in results)


def _counterexample(
    first: tuple[Case, Outcome, Expected, Mismatch],
    runner: Runner,
    reference: Callable[..., Any],
    device: str,
) -> Counterexample:
    case, outcome, expected, mismatch = first

    def still_wrong(smaller: Case) -> bool:
        wanted = expect(reference, smaller)
        if wanted.error:
            return False
        found = compare(runner(smaller), wanted, device=device)
        return found is not None and found.kind == mismatch.kind

    small = shrink(case, axes_of(face(reference, case)), still_wrong, pairs_of(face(reference, case)))
    expected, outcome = expect(reference, small), runner(small)
    inputs = _inputs(small)
    wanted = f"a {expected.error}" if expected.error else text_of(expected.value)
    if outcome.mutated:
        return Counterexample(
            inputs, "inputs left as they were", f"{outcome.mutated[0]} changed", "the inputs"
        )
    if outcome.failure is not None:
        return Counterexample(inputs, wanted, outcome.failure.message)
    if mismatch.kind == "gradient":
        if outcome.backward_failure is not None:
            return Counterexample(
                inputs, "a backward pass", outcome.backward_failure.message, "the gradients"
            )
        name = next(
            (n for n, g in expected.gradients.items() if not _gradient_right(n, g, outcome, expected)),
            next(iter(expected.gradients)),
        )
        got = (outcome.gradients or {}).get(name)
        return Counterexample(
            inputs, text_of(expected.gradients[name]), text_of(got), f"the gradient of {name}"
        )
    if mismatch.kind in ("dtype", "type", "shape"):
        return Counterexample(inputs, text_of(expected.value, about=True), text_of(outcome.value, about=True))
    return Counterexample(inputs, wanted, text_of(outcome.value))


def _inputs(case: Case) -> dict[str, str]:
    """What a reader needs to follow the call by hand; weights only while there are few of them."""
    made = {n: v.arguments if isinstance(v, Made) else v for n, v in (case.construct or {}).items()}
    shown = {**made, **case.arguments}
    if sum(weight.numel() for weight in case.weights.values()) <= MOST_WEIGHTS_SHOWN:
        shown |= case.weights
    return {name: text_of(value) for name, value in shown.items() if value is not None}


def _gradient_right(name: str, want: torch.Tensor, outcome: Outcome, expected: Expected) -> bool:
    got = (outcome.gradients or {}).get(name)
    return got is not None and close(got.double().cpu(), want.double(), expected.gradient_tolerances[name])


def ungraded(exercise: Exercise, failure: Failure, *, seed: int = 0, **about: Any) -> Report:
    """A verdict without a single call: nothing there, or nothing that can be called."""
    attempted = failure.kind != "not attempted"
    first, *others = exercise.checks
    results = (
        CheckResult(first.name, first.points, False, failure.message),
        *(CheckResult(c.name, c.points, False, "not reached") for c in others),
    )
    return _report(
        exercise,
        "failed" if attempted else "not_attempted",
        results,
        reason=failure.message,
        failure=failure.kind,
        line=failure.line if attempted else None,
        line_text=failure.line_text if attempted else "",
        seed=seed,
        **about,
    )


def broken(exercise: Exercise, error: BaseException, *, seed: int = 0, **about: Any) -> Report:
    """The grader's own fault: said as such, and never a learner's zero."""
    reason = (
        f"the grader broke, not your answer ({type(error).__name__}: {error}); please report this exercise"
    )
    return _report(exercise, "grader_error", (), reason=reason, seed=seed, **about)


def _report(exercise: Exercise, status: Any, checks: tuple[CheckResult, ...], **fields: Any) -> Report:
    helps = fields.get("failure") in HINT_HELPS or fields.get("misconception") is not None
    hint = exercise.hints[0] if status == "failed" and exercise.hints and helps else None
    return Report(
        exercise=exercise.name,
        number=exercise.number,
        title=exercise.title,
        status=status,
        checks=checks,
        max_points=exercise.points,
        hint=hint,
        variant=exercise.variant,
        **fields,
    )
