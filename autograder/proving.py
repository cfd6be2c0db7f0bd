"""Does an exercise keep its promises? Grade every answer that is known for it, right and wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autograder.exercise import Exercise
from autograder.grading import grade_callable
from autograder.mutating import mutants_of, survivors


@dataclass(frozen=True)
class Proof:
    """What came of grading every known answer.

    caught, named: how many misconceptions failed, and failed under their own name.
    passed:        how many right alternatives got every point.
    blank_points:  what an answer that returns nothing gets.
    mutants, survivors: how many were made, and the names of those that passed.
    broken:        in words, each promise that is not kept.
    """

    exercise: Exercise
    caught: int
    named: int
    passed: int
    blank_points: int
    mutants: int
    survivors: tuple[str, ...]
    broken: tuple[str, ...]

    @property
    def killed(self) -> int:
        return self.mutants - len(self.survivors)

    def as_json(self) -> dict[str, Any]:
        exercise = self.exercise
        return {
            "exercise": exercise.name,
            "number": exercise.number,
            **({"variant": exercise.variant} if exercise.variant else {}),
            "points": exercise.points,
            "minutes": exercise.minutes,
            "misconceptions": len(exercise.misconceptions),
            "caught": self.caught,
            "named": self.named,
            "alternatives": len(exercise.alternatives),
            "passed": self.passed,
            "blank_points": self.blank_points,
            "mutants": self.mutants,
            "survivors": {name: exercise.equivalents.get(name) for name in self.survivors},
            "broken": list(self.broken),
        }


def prove(exercise: Exercise, *, mutants: bool = False) -> Proof:
    """Grade the exercise's misconceptions, alternatives and a blank answer; on request its mutants too."""
    broken: list[str] = []
    caught = named = passed = 0
    for misconception in exercise.misconceptions:
        report = grade_callable(exercise, _value_of(exercise, misconception.answer))
        right_name = report.misconception is not None and report.misconception.id == misconception.id
        caught += report.status == "failed"
        named += right_name
        if report.status != "failed" or not right_name:
            broken.append(f"the mistake {misconception.id!r} is {report.status}, and not named as such")
    for alternative in exercise.alternatives:
        report = grade_callable(exercise, _value_of(exercise, alternative.answer))
        passed += report.status == "passed"
        if report.status != "passed":
            broken.append(f"the right answer {alternative.title!r} fails: {report.reason}")
    blank = grade_callable(exercise, _blank(exercise)).points
    if blank:
        broken.append(f"an answer that returns nothing gets {blank} points")
    made = mutants_of(exercise) if mutants else []
    alive = tuple(mutant.name for mutant, survived in survivors(exercise, made) if survived)
    broken += [f"this mutant passes: {name}" for name in alive if name not in exercise.equivalents]
    return Proof(exercise, caught, named, passed, blank, len(made), alive, tuple(broken))


def _value_of(exercise: Exercise, answer: Any) -> Any:
    """A value exercise's answers are made by a function of no arguments."""
    return answer() if exercise.takes_value else answer


def _blank(exercise: Exercise) -> Any:
    if exercise.takes_value:
        return None

    def nothing(*arguments: Any, **named: Any) -> None:
        return None

    if not exercise.methods:
        return nothing
    return type(exercise.answer_name, (exercise.reference,), dict.fromkeys(exercise.methods, nothing))  # type: ignore[arg-type]
