"""Exercise 0.3: pairs of shapes that tell the right rule of broadcasting from wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from autograder.exercise import Alternative, Check, Exercise, Misconception
from autograder.exercises.tools.wrong_shapes import MISCONCEPTIONS
from llmlib.tensors import broadcast_shape

MOST_PROBES, MOST_SIZES, LARGEST_SIZE = 8, 6, 99

GROUPS = {
    "ends": ("aligned-left", "equal-length-only", "stops-at-the-shorter", "back-to-front"),
    "ones": (
        "refuses-ones",
        "only-second-stretches",
        "only-first-stretches",
        "shape-of-the-longer",
        "smaller-size",
        "joined",
    ),
    "refusals": (
        "never-refuses",
        "divisors-fit",
        "none-instead-of-an-error",
        "only-the-last-is-compared",
    ),
    "corners": ("larger-size", "zero-fits-everything", "nothing-with-the-empty-shape"),
}
MUTANTS = {m.id: m for m in MISCONCEPTIONS if any(m.id in ids for ids in GROUPS.values())}

Pair = tuple[tuple[int, ...], tuple[int, ...]]


class Unusable(ValueError):
    """The learner's list, or a pair in it, cannot be used; the message says why."""


def _outcome(rule: Callable[..., Any], pair: Pair) -> tuple[Any, ...]:
    """What a rule does with a pair of shapes: the type and the value it returns, or the kind of its error."""
    try:
        result = rule(*pair)
    except Exception as error:
        return ("raises", type(error).__name__)
    return ("returns", type(result).__name__, result)


def exposes(pair: Pair, mutant: Misconception) -> bool:
    """Whether the mutant does something else with this pair than the right rule."""
    return _outcome(mutant.answer, pair) != _outcome(broadcast_shape, pair)


def _read(probes: Any) -> list[Pair]:
    """The learner's list as pairs of shapes.

    Raises:
        Unusable: with a sentence for the learner.
    """
    if not isinstance(probes, list | tuple):
        raise Unusable(
            f"`probes` should be a list of pairs of shapes, but it is of type {type(probes).__name__}"
        )
    if not probes:
        raise Unusable("the list is empty: write at least one pair of shapes")
    if len(probes) > MOST_PROBES:
        raise Unusable(f"at most {MOST_PROBES} pairs, please: there are {len(probes)}")
    return [_read_pair(f"`probes[{place}]`", pair) for place, pair in enumerate(probes)]


def _read_pair(name: str, pair: Any) -> Pair:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise Unusable(f"{name} should be a pair of shapes, such as ((2, 3), (3,))")
    first, second = (_read_shape(name, shape) for shape in pair)
    return first, second


def _read_shape(name: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list | tuple):
        raise Unusable(
            f"each shape in {name} should be a tuple; a shape with one size is written with a comma: (3,)"
        )
    if len(shape) > MOST_SIZES:
        raise Unusable(f"a shape in {name} has {len(shape)} sizes: at most {MOST_SIZES}, please")
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LARGEST_SIZE:
            raise Unusable(f"every size in {name} should be a whole number from 0 to {LARGEST_SIZE}")
    return tuple(int(size) for size in shape)


def _judge(
    judgement: Callable[[list[Pair]], str | None],
) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        try:
            pairs = _read(probes)
        except Unusable as problem:
            return str(problem)
        except Exception as problem:  # an object that only pretends to be a list
            return f"the probes cannot be read ({type(problem).__name__}): use lists, tuples and numbers"
        return judgement(pairs)

    return judge


def _useful(pairs: list[Pair]) -> str | None:
    if any(exposes(pair, mutant) for pair in pairs for mutant in MUTANTS.values()):
        return None
    return "no wrong rule is exposed yet: on these pairs they all do what the right one does"


def _exposes(group: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = [MUTANTS[id] for id in GROUPS[group]]

    def judgement(pairs: list[Pair]) -> str | None:
        alive = [m for m in mutants if not any(exposes(pair, m) for pair in pairs)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


# --- Right answers


def _one_for_each_question() -> list[Pair]:
    return [
        ((2, 1), (1, 3)),
        ((2, 3, 4), (4,)),
        ((4,), (2, 3, 4)),
        ((2,), (4,)),
        ((2, 4), (3, 4)),
        ((0,), (1,)),
        ((0,), (3,)),
        ((), (3, 2)),
    ]


def _as_few_as_we_found() -> list[Pair]:
    return [((5, 1, 0), (3, 1)), ((2, 3), (4, 3)), ((0,), (7,)), ((), (6,))]


def _lists_instead_of_tuples() -> list[list[list[int]]]:
    return [[[6, 1, 2], [1, 7, 2]], [[3, 2], [2]], [[6, 2], [3, 2]], [[0], [1]], [[0], [2]], [[], [4]]]


EXERCISE = Exercise(
    name="tensors.expose_mutants",
    number="0.3",
    title="Kill the mutants: shapes that expose wrong rules",
    kind="mutants",
    answer_name="probes",
    minutes=10,
    difficulty=2,
    checks=(
        Check("is a list of pairs of shapes that exposes something", 1, judge=_judge(_useful)),
        Check("exposes rules that begin at the wrong end or lose sizes", 1, judge=_exposes("ends")),
        Check("exposes every wrong idea of a size of 1", 1, judge=_exposes("ones")),
        Check("exposes rules that accept what does not fit", 1, judge=_exposes("refusals")),
        Check("exposes rules that stumble over 0 and over the empty shape", 1, judge=_exposes("corners")),
    ),
    hints=(
        "On ((2, 3), (2, 3)) nearly every wrong rule is right by luck. Which feature of this pair gives it "
        "that luck?",
        "Think of one pair for each promise of the rule: different lengths, a 1 on either side, two sizes "
        "that do not fit although they look as if they might, a 0, and a single number.",
        "Take the first rule that is still alive, follow it by hand on one of your pairs, and change one "
        "size until it goes another way than the right rule.",
    ),
    alternatives=(
        Alternative("one pair for each question", _one_for_each_question),
        Alternative("as few pairs as we found", _as_few_as_we_found),
        Alternative("lists instead of tuples", _lists_instead_of_tuples),
    ),
)
