"""What an exercise is: one definition, used by the learner's check, by the tests and by the instructor.

An exercise on a function of `llmlib` names the function; the function itself is the oracle, and its checks
are cases. An exercise whose answer is a value (a prediction, a list of probes) has no function behind it: its
checks carry a judge instead of cases. What checks and variants are is said in `checks` and `twists`; whoever
defines an exercise finds all of it here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autograder.checks import Alternative, Case, Check, Judge, Misconception
from autograder.twists import PUBLIC, Variant

__all__ = [
    "PUBLIC",
    "Alternative",
    "Case",
    "Chapter",
    "Check",
    "Exercise",
    "Judge",
    "Kind",
    "Misconception",
    "Variant",
]

Kind = Literal["code", "bug hunt", "prediction", "mutants", "experiment"]


@dataclass(frozen=True)
class Exercise:
    """An exercise with everything that is known about it except its prose, which stands in the manuscript.

    name:       the dotted path of the reference in `llmlib` ("attention.softmax"), or for a value or bug-hunt
                exercise any dotted name in the same style ("attention.predict_variance").
    number:     chapter.place, as the learner sees it: "3.2".
    answer_name: the name that the learner's cell defines; by default the last part of `name`, or the class.
    reference:  the oracle: a function, a class, or for a value exercise None. Of a class the exercise is the
                method that `name` ends in ("feedforward.FeedForward.forward"), or else all but `__init__`.
    starter:    a bug hunt's stub: the broken source that the learner receives.
    forbidden:  library functions that would be the answer, by their public dotted name
                ("torch.softmax", "torch.nn.functional.softmax", "torch.Tensor.softmax"), and by operator
                ("aten::_softmax"), which also catches `torch._C` and `torch.ops`.
    whole:      arguments, by name, that a counterexample does not cut, since a piece of one is no input: a
                parameter's name, say.
    equivalents: mutants of the reference that no check can fail, by name, and why they are right answers too.
    variants:    twists of it, one of which a class may get.
    variant:     of an exercise that `varied` made, the twist's id; else nothing.
    difficulty: 1 to 3.
    timeout:    seconds for one check of the whole exercise.
    """

    name: str
    number: str
    title: str
    minutes: int
    difficulty: int
    checks: tuple[Check, ...]
    hints: tuple[str, ...]
    kind: Kind = "code"
    reference: Callable[..., Any] | None = None
    misconceptions: tuple[Misconception, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    forbidden: tuple[str, ...] = ()
    starter: str | None = None
    answer_name: str = ""
    whole: tuple[str, ...] = ()
    equivalents: Mapping[str, str] = field(default_factory=dict, hash=False)
    timeout: float = 10.0
    variants: tuple[Variant, ...] = ()
    variant: str = ""
    takes_value: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        default = self.reference.__name__ if inspect.isclass(self.reference) else self.name.rsplit(".", 1)[-1]
        object.__setattr__(self, "answer_name", self.answer_name or default)
        object.__setattr__(self, "takes_value", self.reference is None)
        if not self.checks or sum(check.points for check in self.checks) <= 0:
            raise ValueError(f"exercise {self.number} ({self.name}) needs at least one check worth a point")
        if self.takes_value != all(check.judge is not None for check in self.checks):
            raise ValueError(
                f"exercise {self.number} ({self.name}): value exercises have judges, others cases"
            )
        known: set[str] = set()
        for check in self.checks:
            if unknown := set(check.after or ()) - known:
                raise ValueError(f"{self.number}: check {check.name!r} comes after unknown {sorted(unknown)}")
            known.add(check.name)

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)

    @property
    def methods(self) -> tuple[str, ...]:
        """Of a class, the methods that are the learner's to write; nothing for a function or a value."""
        if not inspect.isclass(self.reference):
            return ()
        last = self.name.rpartition(".")[2]
        if last != self.reference.__name__:
            return (last,)
        members = vars(self.reference).items()
        return tuple(name for name, m in members if inspect.isfunction(m) and name != "__init__")

    @property
    def chapter(self) -> int:
        return int(self.number.split(".")[0])

    @property
    def grade_id(self) -> str:
        """The name of the answer cell in every notebook: "attention-softmax"."""
        return self.name.replace(".", "-").replace("_", "-")

    def varied(self, variant: str) -> Exercise:
        """The exercise with a twist, under the same name and number, and for as many points.

        Raises:
            LookupError: it has no such variant; the message says which there are.
        """
        chosen = next((v for v in self.variants if v.id == variant), None)
        if chosen is None:
            known = ", ".join(v.id for v in self.variants) or "none"
            raise LookupError(f"exercise {self.number} has no variant {variant!r}: there are {known}")
        return replace(
            self,
            checks=tuple(map(chosen.check, self.checks)),
            hints=chosen.hints,
            reference=chosen.reference,
            misconceptions=chosen.mistakes(self),
            alternatives=chosen.right(self),
            equivalents={},
            variant=variant,
        )

    @property
    def twist(self) -> Variant | None:
        """Of a varied exercise, its variant."""
        return next((v for v in self.variants if v.id == self.variant), None)

    def prerequisites(self, check: Check) -> tuple[str, ...]:
        if check.after is not None:
            return check.after
        return () if check is self.checks[0] else (self.checks[0].name,)


@dataclass(frozen=True)
class Chapter:
    """A chapter as the grader knows it.

    number, slug: 3 and "03-attention"; the manuscript is `book/03-attention.md`.
    imports:      the notebook's first code, which also fills the namespace of an answer checked from a file.
    """

    number: int
    slug: str
    title: str
    imports: str
    exercises: tuple[Exercise, ...]

    def __post_init__(self) -> None:
        for place, exercise in enumerate(self.exercises, start=1):
            if exercise.number.split(".")[0] != str(self.number):
                raise ValueError(f"exercise {exercise.number} does not belong to chapter {self.number}")
            if place > 1 and _place(self.exercises[place - 2]) >= _place(exercise):
                raise ValueError(f"exercise {exercise.number} stands out of order in chapter {self.number}")

    def varied(self, chosen: Mapping[str, str]) -> Chapter:
        """The chapter with the variants in `chosen`, by the exercise's name. Other chapters' are passed over.

        Raises:
            LookupError: an exercise has no such variant.
        """
        varied = (e.varied(chosen[e.name]) if e.name in chosen else e for e in self.exercises)
        return replace(self, exercises=tuple(varied))


def _place(exercise: Exercise) -> int:
    return int(exercise.number.split(".")[1])
