"""Exercise 9.6: the longest list of words that two texts have in the same order.

The wrong answers stand in `wrong_threads`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.evaluation.drawn import different, whole, words
from autograder.exercises.evaluation.wrong_threads import MISCONCEPTIONS
from llmlib import rouge


def _gaps(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        text = different(g, 5)
        first = [text[0], "moon", text[1], text[2], "sun", text[3]][: whole(g, 4, 6)]
        yield Case({"first": first, "second": ["sky", *text[:2], "rain", *text[2:]]})


def _order(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d, e = different(g, 5)
    yield Case({"first": [a, b, c, d], "second": [d, c, b, a]})
    yield Case({"first": [a, b, c, d, e], "second": [e, a, c, b, d]})
    # Who takes the first match at once loses the longer thread.
    yield Case({"first": [a, b, c, d], "second": [d, a, b, c]})
    yield Case({"first": [d, a, b, c], "second": [a, b, c, d]})
    # The same from both sides, and wherever one begins.
    yield Case({"first": [d, a, b, e], "second": [e, a, b, d]})
    yield Case({"first": [a, d, b, c, e], "second": [a, e, b, c, d]})


def _repeated(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = different(g, 4)
    yield Case({"first": [a], "second": [a, a, a]})
    yield Case({"first": [a, a, a, b], "second": [a, b]})
    yield Case({"first": [a, b, a, c, a], "second": [c, a, a, d, a]})
    for _ in range(3):
        yield Case({"first": words(g, 7, kinds=3), "second": words(g, 6, kinds=3)})


def _nothing(g: torch.Generator) -> Iterator[Case]:
    text = different(g, 4)
    yield Case({"first": [], "second": text})
    yield Case({"first": text, "second": []})
    yield Case({"first": text[:2], "second": text[2:]})
    yield Case({"first": [text[0].title(), text[1] + "s"], "second": text})  # like words of the other
    yield Case({"first": [text[2] + "."], "second": text})
    yield Case({"first": [], "second": []})


# --- Right answers in another form


def _recursive(first, second):
    @cache
    def longest(i, j):
        if i == 0 or j == 0:
            return 0
        if first[i - 1] == second[j - 1]:
            return longest(i - 1, j - 1) + 1
        return max(longest(i - 1, j), longest(i, j - 1))

    return longest(len(first), len(second))


def _one_row(first, second):
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for j, other in enumerate(second, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def _three_ways(first, second):
    t = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in range(len(first)):
        for j in range(len(second)):
            t[i + 1][j + 1] = max(t[i][j + 1], t[i + 1][j], t[i][j] + (first[i] == second[j]))
    return max(max(row) for row in t)


def _all_tried(first, second):
    def inside(some):
        rest = iter(second)
        return all(word in rest for word in some)

    for n in range(len(first), 0, -1):
        if any(inside(some) for some in combinations(first, n)):
            return n
    return 0


def _by_rising_places(first, second):
    """Places of the matches, row by row from the right: the longest list of rising places."""
    ends = []
    for word in first:
        for place in [j for j, other in enumerate(second) if other == word][::-1]:
            spot = next((k for k, end in enumerate(ends) if end >= place), len(ends))
            ends[spot : spot + 1] = [place]
    return len(ends)


def _from_the_front(first, second):
    if not first or not second:
        return 0
    if first[0] == second[0]:
        return 1 + _from_the_front(first[1:], second[1:])
    return max(_from_the_front(first[1:], second), _from_the_front(first, second[1:]))


def _what_is_left_out(first, second):
    """How many words must go in the one and come from the other: the rest is common."""
    edits = np.add.outer(np.arange(len(first) + 1), np.arange(len(second) + 1))
    for i, word in enumerate(first, start=1):
        for j, other in enumerate(second, start=1):
            if word == other:
                edits[i, j] = edits[i - 1, j - 1]
            else:
                edits[i, j] = 1 + min(edits[i - 1, j], edits[i, j - 1])
    return (len(first) + len(second) - int(edits[-1, -1])) // 2


def _the_words_themselves(first, second):
    row = [()] * (len(second) + 1)
    for word in first:
        new = [()]
        for j, other in enumerate(second):
            new.append((*row[j], word) if word == other else max(row[j + 1], new[j], key=len))
        row = new
    return len(row[-1])


def _in_bits(first, second):
    """Each bit of a whole number is a column; it is 0 where the row grows by one."""
    every = (1 << len(second)) - 1
    row = every
    for word in first:
        matches = row & sum(1 << j for j, other in enumerate(second) if other == word)
        row = (row + matches | row - matches) & every
    return len(second) - row.bit_count()


EXERCISE = Exercise(
    name="rouge.longest_common_subsequence",
    number="9.6",
    title="The longest common thread",
    minutes=15,
    difficulty=3,
    reference=rouge.longest_common_subsequence,
    checks=(
        Check("finds common words across gaps", 1, _gaps),
        Check("keeps to the order of both texts", 2, _order),
        Check("uses every word once", 1, _repeated),
        Check("finds nothing where there is nothing", 1, _nothing),
    ),
    hints=(
        "Draw the table of the example on paper, with a row and a column for no words at all, which hold "
        "zeros. Fill in the cells row by row.",
        "Every cell asks about the last word of a beginning of each text. If both are equal, both are taken, "
        "and what remains is one word shorter on *both* sides.",
        "The table has one row more than the first text has words, and one column more than the second. The "
        "last cell is the answer.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("recursion that remembers", _recursive),
        Alternative("one row instead of a table", _one_row),
        Alternative("the largest of three neighbours", _three_ways),
        Alternative("all subsequences tried", _all_tried),
        Alternative("rising places", _by_rising_places),
        Alternative("recursion from the front, without memory", _from_the_front),
        Alternative("what is left out, counted", _what_is_left_out),
        Alternative("the words themselves", _the_words_themselves),
        Alternative("a row as the bits of a number", _in_bits),
    ),
)
