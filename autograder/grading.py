"""From an answer to a verdict.

The checks run in their order; all cases are always called, because the outcomes together tell which mistake
was made. Only a hang, a death or a refusal stops early: after it nothing more can be learned.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any

import torch

from autograder.calling import face, wrong_signature
from autograder.counterexample import Wrong, counterexample
from autograder.diagnosing import Called, Question, diagnose, shows
from autograder.exercise import Case, Check, Exercise
from autograder.expecting import expect
from autograder.judging import compare
from autograder.outcome import Failure, Outcome, plain_numbers
from autograder.report import OPEN, CheckResult, Mistake, Report
from autograder.running import LocalRunner, Runner
from autograder.shrinking import axes_of
from autograder.surroundings import own_randomness, quiet

# Failures of an answer that runs; after the others a hint on the idea would lead away from the error.
HINT_HELPS = (None, "forbidden", "reference")
# Outcomes after which the answer is not called again.
FINAL = ("not attempted", "timeout", "died", "forbidden", "reference", "undefined")


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
    by_check: list[list[Called]] = []
    results: list[CheckResult] = []
    first: Wrong | None = None
    stopped: Failure | None = None
    for check, asked in zip(exercise.checks, questions(exercise, seed), strict=True):
        wrong: Wrong | None = None
        by_check.append([])
        for question in asked:
            case, expected = question.case, question.expected
            outcome = runner(case) if stopped is None else Outcome(failure=stopped)
            mismatch = compare(outcome, expected, axes_of(face(reference, case)).get("return"), device)
            by_check[-1].append(Called(question, outcome, mismatch is None))
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
    mistake = None if stopped else diagnose(exercise, by_check)
    return _report(
        exercise,
        "failed",
        tuple(results),
        misconception=mistake,
        counterexample=None if stopped else counterexample(first, runner, exercise, device),
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
        value = plain_numbers(value)
        results: list[CheckResult] = []
        for place, check in enumerate(exercise.checks):
            assert check.judge is not None
            message = check.judge(value, torch.Generator().manual_seed(1000 * seed + place))
            results.append(_result(exercise, check, message, results))
        failed = [r for r in results if not r.passed]
        if not failed:
            return _report(exercise, "passed", tuple(results), seed=seed, **about)
        same = (m for m in exercise.misconceptions if shows(value, m))
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


def _result(exercise: Exercise, check: Check, wrong: str | None, before: list[CheckResult]) -> CheckResult:
    missing = [name for name in exercise.prerequisites(check) if not _passed(name, before)]
    if missing:
        return CheckResult(check.name, check.points, False, OPEN + missing[0])
    return CheckResult(check.name, check.points, wrong is None, wrong or "")


def _passed(name: str, results: list[CheckResult]) -> bool:
    return any(r.name == name and r.passed for r in results)


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
