"""Twists of an exercise, so that the published answer is not the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autograder.checks import Alternative, Case, Check, Misconception

if TYPE_CHECKING:
    from autograder.exercise import Exercise

PUBLIC = "public"  # the id of the mistake to have copied the published answer


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
