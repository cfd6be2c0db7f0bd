"""The smallest case on which an answer is still wrong, shown beside what is right."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autograder.calling import Made, face
from autograder.exercise import Case, Exercise
from autograder.expecting import Expected, expect
from autograder.judging import Mismatch, close, compare
from autograder.outcome import Outcome
from autograder.report import Counterexample
from autograder.running import Runner
from autograder.shrinking import axes_of, fixed_lengths_of, shrink
from autograder.values import text_of, texts_apart

MOST_WEIGHTS_SHOWN = 40

# A case, what the answer did on it, what the reference does, and what is wrong.
Wrong = tuple[Case, Outcome, Expected, Mismatch]


def counterexample(
    first: Wrong,
    runner: Runner,
    exercise: Exercise,
    device: str,
) -> Counterexample:
    case, outcome, expected, mismatch = first
    reference = exercise.reference
    assert reference is not None

    def still_wrong(smaller: Case) -> bool:
        wanted = expect(reference, smaller)
        if wanted.error:
            return False
        found = compare(runner(smaller), wanted, device=device)
        return found is not None and found.kind == mismatch.kind

    called = face(reference, case)
    small = shrink(case, axes_of(called), still_wrong, fixed_lengths_of(called).union(exercise.whole))
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
        return Counterexample(inputs, *texts_apart(expected.gradients[name], got), f"the gradient of {name}")
    if mismatch.kind == "graph":
        return Counterexample(inputs, "no graph", "a graph", "behind the result")
    of, value, got = _wrong_part(expected, outcome.value)
    if mismatch.kind in ("dtype", "type", "shape") or isinstance(value, dict):
        return Counterexample(inputs, text_of(value, about=True), text_of(got, about=True), of)
    if expected.error:
        return Counterexample(inputs, wanted, text_of(got))
    return Counterexample(inputs, *texts_apart(value, got), of)


def _wrong_part(expected: Expected, got: Any) -> tuple[str, Any, Any]:
    """What is shown, by name: of a dict of tensors only the first that is wrong, if no key is."""
    value = expected.value
    if not isinstance(value, dict) or not isinstance(got, dict) or value.keys() != got.keys():
        return "the result", value, got
    entries = ((k, v) for k, v in value.items() if isinstance(v, Tensor))
    wrong = (k for k, v in entries if not close(got[k], v, expected.tolerance))
    key = next(wrong, None)
    return ("the result", value, got) if key is None else (str(key), value[key], got[key])


def _inputs(case: Case) -> dict[str, str]:
    """What a reader needs to follow the call by hand; weights only while there are few of them."""
    made = {n: v.arguments if isinstance(v, Made) else v for n, v in (case.construct or {}).items()}
    shown = {**made, **case.arguments}
    if sum(weight.numel() for weight in case.weights.values()) <= MOST_WEIGHTS_SHOWN:
        shown |= case.weights
    return {name: text_of(value) for name, value in shown.items() if value is not None}


def _gradient_right(name: str, want: Tensor, outcome: Outcome, expected: Expected) -> bool:
    got = (outcome.gradients or {}).get(name)
    return got is not None and close(got.double().cpu(), want.double(), expected.gradient_tolerances[name])
