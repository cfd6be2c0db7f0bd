"""Exercises in exposing mutants: the learner writes probes, and wrong implementations must fail on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from autograder.exercise import Check, Misconception
from autograder.exercises import reading

Probe = TypeVar("Probe")
Mutants = Mapping[str, tuple[Misconception, ...]]


def grouped(misconceptions: Iterable[Misconception], groups: Mapping[str, Sequence[str]]) -> Mutants:
    """The misconceptions with these ids, group by group. Those of no group are left out.

    Raises:
        KeyError: a group names one that there is none of.
    """
    known = {m.id: m for m in misconceptions}
    return {name: tuple(known[id] for id in ids) for name, ids in groups.items()}


@dataclass(frozen=True)
class Exposing(Generic[Probe]):
    """What one of these exercises is made of, and its checks.

    mutants: the wrong implementations, group by group.
    read:    one entry of the learner's list as a probe, given the name under which messages speak of it.
    exposes: whether a mutant does something else on a probe than what is right.
    most:    how many probes there may be.
    made_of: what to write, for an object that only pretends: "plain lists, dicts and tensors".
    nothing: what there is to say if no mutant is exposed.
    unfit:   a sentence on probes that should not count, or None.
    of, one: what the list holds: "pairs of shapes", and what one of them is called: "pair".
    """

    mutants: Mutants
    read: Callable[[str, Any], Probe]
    exposes: Callable[[Probe, Misconception], bool]
    most: int
    made_of: str
    nothing: str = "no wrong implementation is exposed yet: on these probes they all give the right result"
    unfit: Callable[[list[Probe]], str | None] = lambda probes: None
    of: str = "dicts"
    one: str = "probe"

    def first(self, name: str, group: str | None = None) -> Check:
        """The first check, worth a point: the probes can be used, and some mutant (of a group) is exposed."""
        groups = self.mutants.values() if group is None else [self.mutants[group]]
        mutants = [mutant for members in groups for mutant in members]

        def judgement(probes: list[Probe]) -> str | None:
            if (problem := self.unfit(probes)) is not None:
                return problem
            return None if any(self.exposes(p, m) for p in probes for m in mutants) else self.nothing

        return self._check(name, 1, judgement)

    def all_of(self, group: str, name: str, points: int = 1) -> Check:
        """A check that asks for every mutant of a group, and names those that are still alive."""
        mutants = self.mutants[group]

        def judgement(probes: list[Probe]) -> str | None:
            alive = [m for m in mutants if not any(self.exposes(probe, m) for probe in probes)]
            if not alive:
                return None
            titles = "; ".join(f"“{m.title}”" for m in alive)
            return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

        return self._check(name, points, judgement)

    def _check(self, name: str, points: int, judgement: Callable[[list[Probe]], str | None]) -> Check:
        def read(probes: Any) -> list[Probe]:
            return reading.entries("probes", probes, self.read, self.most, self.of, self.one)

        judge = reading.judged("probes", read, lambda probes, generator: judgement(probes), self.made_of)
        return Check(name, points, judge=judge)
