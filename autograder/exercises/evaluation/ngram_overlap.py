"""Exercise 9.8: how much of a test stands in the training text.

The wrong answers stand in `wrong_overlaps`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.evaluation.drawn import different, whole, words
from autograder.exercises.evaluation.wrong_overlaps import MISCONCEPTIONS
from llmlib import leakage


def _share(g: torch.Generator) -> Iterator[Case]:
    for n in (1, 2, 3):
        text = different(g, 8)
        test = ["moon", *text[1 : 5 + whole(g, 0, 1)], "sun"]
        yield Case({"test": test, "training": text, "n": n})
    for n in (2, 3):
        yield Case({"test": words(g, 9, kinds=3), "training": words(g, 12, kinds=3), "n": n})


def _in_a_run(g: torch.Generator) -> Iterator[Case]:
    """All words are in the training text, but not in this order; and words that are parts of others."""
    a, b, c, d, e = different(g, 5)
    yield Case({"test": [a, b, c, d], "training": [d, c, b, a, e, c, d], "n": 2})
    yield Case({"test": [a, b, c, b, d], "training": ["s" + a, b + "s", c, e, b, d], "n": 2})
    yield Case({"test": [a, "s" + b, c, d], "training": [a + "s", b, c, d, e], "n": 2})
    # A word in capital letters, and a run that differs in its middle.
    yield Case({"test": [a, b.title(), c, d, e], "training": [c, d, e, a, b, c, e, d, a], "n": 2})
    yield Case({"test": [a, b, c, d, e], "training": [a, d, c, b, c, d], "n": 3})
    yield Case({"test": [a, b + ",", c], "training": [b, c, a, b], "n": 2})


def _every_place(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = different(g, 4)
    yield Case({"test": [a, b, a, b, c, d], "training": [d, a, b, d], "n": 2})
    yield Case({"test": [c] * whole(g, 3, 5) + [d], "training": [a, c, b], "n": 1})
    yield Case({"test": [a, b, a, b, c], "training": [a, b, d, a, b], "n": 2})
    yield Case({"test": [a, b, c], "training": [a, b, d, a, b], "n": 2})  # seen twice, and asked once


def _short(g: torch.Generator) -> Iterator[Case]:
    text = different(g, 5)
    yield Case({"test": text[:2], "training": text, "n": 3})
    yield Case({"test": text, "training": text[:2], "n": 3})
    yield Case({"test": [], "training": text, "n": 1})
    yield Case({"test": text[1:4], "training": text, "n": 3})


# --- Right answers in another form


def _by_lists(test, training, n):
    runs = [list(training[i : i + n]) for i in range(len(training) - n + 1)]
    found = there = 0
    for i in range(len(test) - n + 1):
        there += 1
        found += list(test[i : i + n]) in runs
    return found / there if there else 0.0


def _by_zip(test, training, n):
    seen = set(zip(*(training[k:] for k in range(n)), strict=False))
    hits = [gram in seen for gram in zip(*(test[k:] for k in range(n)), strict=False)]
    return sum(hits) / max(1, len(hits))


def _by_counts(test, training, n):
    has, seen = (Counter(tuple(t[i : i + n]) for i in range(len(t) - n + 1)) for t in (test, training))
    return sum(count for gram, count in has.items() if seen[gram]) / (has.total() or 1)


def _by_marks(test, training, n):
    """Every word between marks: then a run of words is a run of letters, and only then."""
    text = "|" + "".join(word + "|" for word in training)
    places = range(max(0, len(test) - n + 1))
    if not places:
        return 0.0
    return sum("|" + "|".join(test[i : i + n]) + "|" in text for i in places) / len(places)


def _with_windows(test, training, n):
    if min(len(test), len(training)) < n:
        return 0.0
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*test, *training]))}
    runs, read = (torch.tensor([numbers[word] for word in t]).unfold(0, n, 1) for t in (test, training))
    return (runs[:, None] == read).all(dim=-1).any(dim=-1).double().mean().item()


def _recursive(test, training, n):
    def hits(rest):
        return 0 if len(rest) < n else (tuple(rest[:n]) in seen) + hits(rest[1:])

    seen = {tuple(training[i : i + n]) for i in range(len(training) - n + 1)}
    return hits(test) / max(1, len(test) - n + 1)


def _with_numpy(test, training, n):
    runs, read = (["\0".join(t[i : i + n]) for i in range(len(t) - n + 1)] for t in (test, training))
    return np.isin(runs, read).mean() if runs else 0


SHARE = "gives the share of the test's n-grams"

EXERCISE = Exercise(
    name="leakage.ngram_overlap",
    number="9.8",
    title="Has it seen the test?",
    minutes=10,
    difficulty=2,
    reference=leakage.ngram_overlap,
    checks=(
        Check(SHARE, 2, _share),
        Check("finds runs of whole words", 1, _in_a_run, after=(SHARE,)),
        Check("counts every place of the test", 1, _every_place, after=(SHARE,)),
        Check("is 0 for a test that is too short", 1, _short, after=(SHARE,)),
    ),
    hints=(
        "You look up many n-grams in one text. A Python set of the training text's n-grams answers each "
        "question at once; an n-gram goes into a set as a tuple.",
        "Go through the places where a run of n words can begin in the test, and count those whose run is in "
        "the set.",
        "Below the line stands the number of these places. When is it 0?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("lists instead of a set", _by_lists),
        Alternative("shifted copies, zipped", _by_zip),
        Alternative("counters", _by_counts),
        Alternative("one long text with marks", _by_marks),
        Alternative("windows over numbers", _with_windows),
        Alternative("recursion", _recursive),
        Alternative("with NumPy", _with_numpy),
    ),
)
