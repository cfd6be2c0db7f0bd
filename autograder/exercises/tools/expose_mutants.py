"""Exercise 0.3: pairs of shapes that tell the right rule of broadcasting from wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograder.exercise import Alternative, Exercise, Misconception
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.reading import Unusable
from autograder.exercises.tools.wrong_shapes import MISCONCEPTIONS
from llmlib.tensors import broadcast_shape

MOST_SIZES, LARGEST_SIZE = 6, 99

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
Pair = tuple[tuple[int, ...], tuple[int, ...]]


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


def _read(name: str, pair: Any) -> Pair:
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


EXPOSING = Exposing(
    mutants=grouped(MISCONCEPTIONS, GROUPS),
    read=_read,
    exposes=exposes,
    most=8,
    made_of="lists, tuples and numbers",
    nothing="no wrong rule is exposed yet: on these pairs they all do what the right one does",
    of="pairs of shapes",
    one="pair",
)


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
        EXPOSING.first("is a list of pairs of shapes that exposes something"),
        EXPOSING.all_of("ends", "exposes rules that begin at the wrong end or lose sizes"),
        EXPOSING.all_of("ones", "exposes every wrong idea of a size of 1"),
        EXPOSING.all_of("refusals", "exposes rules that accept what does not fit"),
        EXPOSING.all_of("corners", "exposes rules that stumble over 0 and over the empty shape"),
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
