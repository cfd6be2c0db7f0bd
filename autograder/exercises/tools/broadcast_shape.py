"""Exercise 0.2: the shape that broadcasting gives, from two tuples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.tools.wrong_shapes import MISCONCEPTIONS
from llmlib import tensors


def _case(first: tuple[int, ...], second: tuple[int, ...]) -> Case:
    return Case({"first": first, "second": second})


def _sizes(g: torch.Generator, n: int) -> list[int]:
    """Different sizes from 2 to 9."""
    return [int(size) + 2 for size in torch.randperm(8, generator=g)[:n]]


def _ones(g: torch.Generator) -> Iterator[Case]:
    a, b, c = _sizes(g, 3)
    yield _case((a, b), (a, b))
    yield _case((a, 1), (1, b))
    yield _case((1, b), (a, 1))
    yield _case((a, b), (a, 1))
    yield _case((1, b), (a, b))
    yield _case((a, 1, c), (a, b, 1))


def _other_lengths(g: torch.Generator) -> Iterator[Case]:
    a, b, c = _sizes(g, 3)
    yield _case((a, b, c), (c,))
    yield _case((b, c), (a, 1, c))
    yield _case((1, c), (a, b, 1))
    yield _case((a, b), (b,))


def _refusals(g: torch.Generator) -> Iterator[Case]:
    a, b, c = _sizes(g, 3)
    yield _case((a,), (b,))
    yield _case((a, b), (a,))
    yield _case((a, b, c), (b, b, c))
    yield _case((2, 6), (4, 6))
    yield _case((a, b, 1), (a, c, 1))


def _corners(g: torch.Generator) -> Iterator[Case]:
    a, b = _sizes(g, 2)
    yield _case((), (a, b))
    yield _case((a,), ())
    yield _case((), ())
    yield _case((a, 0), (a, 1))
    yield _case((1, b), (0, b))
    yield _case((0,), (a,))


# --- Right answers in another form


def _filled_up(first, second):
    n = max(len(first), len(second))
    first = (1,) * (n - len(first)) + first
    second = (1,) * (n - len(second)) + second
    result = []
    for a, b in zip(first, second, strict=True):
        if a == b or b == 1:
            result.append(a)
        elif a == 1:
            result.append(b)
        else:
            raise ValueError("these shapes do not fit")
    return tuple(result)


def _negative_places(first, second):
    result = ()
    for place in range(1, max(len(first), len(second)) + 1):
        a = first[-place] if place <= len(first) else 1
        b = second[-place] if place <= len(second) else 1
        if len({a, b} - {1}) > 1:
            raise ValueError(f"{a} meets {b}")
        result = (b if a == 1 else a, *result)
    return result


def _by_sets(first, second):
    sizes = [{a, b} - {1} for a, b in zip_longest(first[::-1], second[::-1], fillvalue=1)]
    if any(len(size) > 1 for size in sizes):
        raise ValueError("no")
    return tuple(size.pop() if size else 1 for size in sizes)[::-1]


def _recursive(first, second):
    if not first or not second:
        return first or second
    a, b = first[-1], second[-1]
    if a != b and a != 1 and b != 1:
        raise ValueError("two sizes do not fit")
    return (*_recursive(first[:-1], second[:-1]), a if b == 1 else b)


def _by_products(first, second):
    n = max(len(first), len(second))
    table = [[1] * (n - len(shape)) + list(shape) for shape in (first, second)]
    if not all(a == b or 1 in (a, b) for a, b in zip(*table, strict=True)):
        raise ValueError("two sizes do not fit")
    return tuple(a if a == b else a * b for a, b in zip(*table, strict=True))


ALTERNATIVES = (
    Alternative("the shorter one filled up with ones", _filled_up),
    Alternative("places counted from the end", _negative_places),
    Alternative("sets of sizes", _by_sets),
    Alternative("the last sizes first, the rest by the same rule", _recursive),
    Alternative("a size times 1", _by_products),
)

ONES = "stretches sizes of 1, in either shape"

EXERCISE = Exercise(
    name="tensors.broadcast_shape",
    number="0.2",
    title="Which shape comes out?",
    minutes=12,
    difficulty=2,
    reference=tensors.broadcast_shape,
    checks=(
        Check(ONES, 2, _ones),
        Check("lays shapes of different lengths on each other at their right ends", 1, _other_lengths),
        Check("raises a ValueError where two sizes do not fit", 1, _refusals),
        Check("is right for single numbers and for sizes of 0", 1, _corners),
    ),
    hints=(
        "Write (2, 1, 4) and (3, 1) below each other, right ends aligned. What do you do in each column, "
        "and what stands in the empty place?",
        "Walk through both shapes from the right. `reversed(shape)` turns a tuple round, and `zip_longest` "
        "from itertools pairs two sequences and fills up the shorter one.",
        "In each pair there are three possibilities: one of the two is 1, both are the same, or neither. "
        "Collect a size for the first two, raise the error for the third, and turn the collected sizes "
        "round at the end.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
