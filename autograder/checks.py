"""What an exercise's checks are made of: cases, judges, and the wrong and right answers that prove them.

A check is a list of *cases*, calls with inputs chosen so that mistakes show, or carries a *judge* of a value.
A misconception is a runnable wrong implementation: it lets the check say what went wrong, it is a mutant that
the checks must fail, and it is a row in the instructor's table of common mistakes. An alternative is a right
answer in another form, which must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

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
    detached:  the result may not hold a graph. Gradients are off around a call, so it holds one only if the
               answer itself switched them on.
    training:  for a module, whether it is called as while training. Its dropout is then drawn at random, so
               such a case asks what does not depend on the draw: with p = 1 nothing is kept.
    """

    arguments: Mapping[str, Any]
    gradient: bool = False
    construct: Mapping[str, Any] | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    method: str = "forward"
    detached: bool = False
    training: bool = False


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
