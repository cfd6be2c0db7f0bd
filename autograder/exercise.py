"""What an exercise is: one definition, used by the learner's check, by the tests and by the instructor.

An exercise on a function of `llmlib` names the function; the function itself is the oracle. Its checks are
lists of *cases*, calls with inputs chosen so that mistakes show. Its misconceptions are runnable wrong
implementations: each lets the check say what went wrong, is a mutant that the checks must fail, and is a
row in the instructor's table of common mistakes. Its alternatives are right answers in another form, and
every one of them must pass.

An exercise whose answer is a value (a prediction, a list of probes) has no function behind it: its checks
carry a `judge` instead of cases.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["code", "bug hunt", "prediction", "mutants", "experiment"]
Judge = Callable[[Any, torch.Generator], str | None]


@dataclass(frozen=True)
class Case:
    """One call of the answer.

    arguments: by parameter name, in the function's order. Tensors, numbers, strings, None, lists, tuples.
    gradient:  also compare the gradients with respect to every floating-point tensor argument, and to
               every weight.
    construct: for a class, the constructor's arguments by name; None for a function.
    weights:   for a module, its parameters by name: all of them, or none to leave it as it was made.
    method:    for a class, the method that is called.
    """

    arguments: Mapping[str, Any]
    gradient: bool = False
    construct: Mapping[str, Any] | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    method: str = "forward"


@dataclass(frozen=True)
class Check:
    """A named property worth some points.

    name:    what is right when it passes, as the learner reads it: "divides the scores by √d_k".
    points:  what it is worth.
    cases:   calls on which the answer must agree with the reference, drawn from a generator.
    judge:   for an answer that is a value: `judge(value, generator)` returns None when right, or a
             sentence that says what is wrong (without the right value).
    after:   names of the checks that must pass before this one counts. None means the first check of
             the exercise: a constant that happens to please a side property earns nothing.
    """

    name: str
    points: int
    cases: Callable[[torch.Generator], Iterable[Case]] | None = None
    judge: Judge | None = None
    after: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.cases is None) == (self.judge is None):
            raise ValueError(f"check {self.name!r} needs either cases or a judge, not both and not neither")


@dataclass(frozen=True)
class Misconception:
    """A wrong answer that people really give.

    id:     short and stable, for tables: "scale-by-d-model".
    title:  what the answer does, in a clause: "the scores are divided by √d_model, not √d_k".
    advice: one or two sentences that lead on without giving the answer.
    answer: the wrong implementation, with the exercise's signature; for a value exercise, a function of
            no arguments that returns the wrong value.
    shown_by: for a value exercise whose answer has parts: whether a value shows this mistake, whatever else
            it holds. Without it a value shows the mistake if it equals `answer()`.
    """

    id: str
    title: str
    advice: str
    answer: Callable[..., Any]
    shown_by: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Alternative:
    """A right answer in another form, which must pass. `answer` as for a misconception."""

    title: str
    answer: Callable[..., Any]


@dataclass(frozen=True)
class Variant:
    """A twist of an exercise on a function, so that the published answer is not the answer.

    id:        short and stable: "strict".
    twist:     what is asked for otherwise than in the book, in one sentence: "No position may see itself."
    statement: what the learner reads in the place of the manuscript's text, below the same heading.
    reference: the twisted function: the oracle. Signature and docstring are the learner's stub.
    hints:     in the place of the plain ones.
    misconceptions: its own; one with the id of a plain one takes that one's place.
    alternatives:   right answers in another form, at least two.
    through:   what the twist does to an answer of the plain exercise, where that can be said in general: the
               plain misconceptions and right answers come along through it. None: the plain
               misconceptions stay as they are, and no right answer comes along.
    untouched: plain misconceptions that do not go through it and stay as they are, by id.
    excluded:  plain misconceptions that are none here, by id, each with the reason.
    case:      what the twist does to a case of the plain checks, None for nothing.
    renamed:   checks of which something else is true here: the plain name, and the name here.
    """

    id: str
    twist: str
    statement: str
    reference: Callable[..., Any]
    hints: tuple[str, ...]
    misconceptions: tuple[Misconception, ...]
    alternatives: tuple[Alternative, ...]
    through: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    untouched: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict, hash=False)
    case: Callable[[Case], Case] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict, hash=False)

    def check(self, plain: Check) -> Check:
        """A check of the plain exercise, as it is here."""
        cases, case = plain.cases, self.case
        if cases is not None and case is not None:
            plain = replace(plain, cases=lambda generator: map(case, cases(generator)))
        after = None if plain.after is None else tuple(self.renamed.get(n, n) for n in plain.after)
        return replace(plain, name=self.renamed.get(plain.name, plain.name), after=after)

    def mistakes(self, plain: Exercise) -> tuple[Misconception, ...]:
        """All misconceptions, the first of which is the published answer."""
        assert plain.reference is not None
        public = Misconception(
            PUBLIC,
            "this is the function of the book, which your class's variant differs from",
            f"Read the exercise again. {self.twist}",
            plain.reference,
        )
        other = {m.id for m in self.misconceptions} | self.excluded.keys()
        come = [m for m in plain.misconceptions if m.id not in other]
        if self.through is not None:
            come = [m if m.id in self.untouched else replace(m, answer=self.through(m.answer)) for m in come]
        return (public, *self.misconceptions, *come)

    def right(self, plain: Exercise) -> tuple[Alternative, ...]:
        """All right answers in another form."""
        if self.through is None:
            return self.alternatives
        assert plain.reference is not None
        others = (Alternative("the function of the book", plain.reference), *plain.alternatives)
        come = (Alternative(f"{a.title}, then the twist", self.through(a.answer)) for a in others)
        return (*self.alternatives, *come)


PUBLIC = "public"  # the id of the mistake to have copied the published answer


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
