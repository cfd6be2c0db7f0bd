"""Exercise 9.5: which n-grams of a candidate are found in the reference.

The wrong answers stand in `wrong_counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.evaluation.drawn import different, whole, words
from autograder.exercises.evaluation.wrong_counts import MISCONCEPTIONS
from llmlib import bleu


def _single_words(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        reference = different(g, 6)
        candidate = [*reference[3:5], "moon", *reference[:2], "sun"][: whole(g, 4, 6)]
        yield Case({"candidate": candidate, "reference": reference, "n": 1})


def _ngrams(g: torch.Generator) -> Iterator[Case]:
    for n in (2, 3, 2):
        reference = different(g, 7)
        candidate = [*reference[4:], "moon", *reference[:4]]
        yield Case({"candidate": candidate, "reference": reference, "n": n})
    # The same two words in the other order are another 2-gram; so are the same letters, cut elsewhere.
    a, b, c = different(g, 3)
    yield Case({"candidate": [a, b, c], "reference": [b, a, c, b], "n": 2})
    yield Case({"candidate": [a, b, a + "s", b], "reference": [b, a, "s" + b, a, b], "n": 2})
    yield Case({"candidate": [a, "s" + b, a, b], "reference": [a + "s", b, a, b], "n": 2})
    # A word that only begins like another, a capital letter, and a run that differs in its middle.
    yield Case({"candidate": [a, b, c, a], "reference": [c, a, b + "s", a, b.title()], "n": 2})
    yield Case({"candidate": [a, b, c, a], "reference": [a, c, c, a, b, a], "n": 3})
    yield Case({"candidate": [c, a, b], "reference": [a, b + ".", c, a], "n": 2})


def _clipped(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = different(g, 4)
    yield Case({"candidate": [a] * whole(g, 3, 5), "reference": [a, b, a, c], "n": 1})
    yield Case({"candidate": [a, b, a, b, a, b, c], "reference": [d, a, b, c, a, b], "n": 2})
    yield Case({"candidate": [a, a, b], "reference": [a, a, a, b, b], "n": 1})
    yield Case({"candidate": [b, a, a, a], "reference": [a, a, a, b], "n": 2})  # they overlap
    for n in (1, 2):
        yield Case({"candidate": words(g, 7, kinds=2), "reference": words(g, 6, kinds=2), "n": n})


def _short(g: torch.Generator) -> Iterator[Case]:
    text = different(g, 4)
    yield Case({"candidate": text[:2], "reference": text, "n": 3})
    yield Case({"candidate": text, "reference": text[1:3], "n": 3})
    yield Case({"candidate": [], "reference": text, "n": 1})
    yield Case({"candidate": text[:3], "reference": text, "n": 3})
    yield Case({"candidate": text[:1], "reference": text, "n": 3})  # two words short: not minus one


# --- Right answers in another form


def _crossed_out(candidate, reference, n):
    left = [list(reference[i : i + n]) for i in range(len(reference) - n + 1)]
    found = there = 0
    for i in range(len(candidate) - n + 1):
        there += 1
        if candidate[i : i + n] in left:
            left.remove(candidate[i : i + n])
            found += 1
    return found, there


def _intersection(candidate, reference, n):
    has = Counter(zip(*(candidate[k:] for k in range(n)), strict=False))
    offered = Counter(zip(*(reference[k:] for k in range(n)), strict=False))
    return (has & offered).total(), has.total()


def _list_counts(candidate, reference, n):
    has = [" ".join(candidate[i : i + n]) for i in range(len(candidate) - n + 1)]
    offered = [" ".join(reference[i : i + n]) for i in range(len(reference) - n + 1)]
    return sum(min(has.count(gram), offered.count(gram)) for gram in set(has)), len(has)


def _dictionaries(candidate, reference, n):
    rest = {}
    for i in range(max(0, len(reference) - n + 1)):
        gram = tuple(reference[i : i + n])
        rest[gram] = rest.get(gram, 0) + 1
    found = 0
    places = max(0, len(candidate) - n + 1)
    for i in range(places):
        gram = tuple(candidate[i : i + n])
        if rest.get(gram, 0) > 0:
            rest[gram] -= 1
            found += 1
    return [found, places]


def _merged(candidate, reference, n):
    has, offered = (sorted(zip(*(t[k:] for k in range(n)), strict=False)) for t in (candidate, reference))
    i = j = found = 0
    while i < len(has) and j < len(offered):
        if has[i] == offered[j]:
            found += 1
        i, j = i + (has[i] <= offered[j]), j + (has[i] >= offered[j])
    return found, len(has)


def _recursive(candidate, reference, n):
    def found(has, offered):
        if not has:
            return 0
        first, *rest = has
        if first not in offered:
            return found(rest, offered)
        place = offered.index(first)
        return 1 + found(rest, offered[:place] + offered[place + 1 :])

    has, offered = ([t[i : i + n] for i in range(len(t) - n + 1)] for t in (candidate, reference))
    return found(has, offered), len(has)


def _with_arrays(candidate, reference, n):
    has, offered = ([tuple(t[i : i + n]) for i in range(len(t) - n + 1)] for t in (candidate, reference))
    kinds = {gram: place for place, gram in enumerate(dict.fromkeys(has + offered))}
    counts = np.zeros((2, len(kinds)), dtype=int)
    for row, grams in enumerate((has, offered)):
        np.add.at(counts[row], [kinds[gram] for gram in grams], 1)
    return int(counts.min(axis=0).sum()), int(counts[0].sum())


WORDS = "finds single words"

EXERCISE = Exercise(
    name="bleu.clipped_counts",
    number="9.5",
    title="BLEU's clipped counts",
    minutes=12,
    difficulty=2,
    reference=bleu.clipped_counts,
    checks=(
        Check(WORDS, 1, _single_words),
        Check("finds runs of n words, in their order", 1, _ngrams),
        Check("finds an n-gram at most as often as the reference has it", 2, _clipped),
        Check("has no n-grams where the text is too short", 1, _short),
    ),
    hints=(
        "At which places of a text can a run of n words begin? With 5 words and n = 2 there are four such "
        "places, 0 to 3.",
        "Count the n-grams of both texts in a dictionary (or a `collections.Counter`) each. A run of words "
        "becomes a key of a dictionary as a tuple.",
        "For each n-gram of the candidate you now have two numbers, how often it is there and how often it "
        "is offered. Which of the two counts?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("crossed out one by one", _crossed_out),
        Alternative("the intersection of two counters", _intersection),
        Alternative("counts of lists", _list_counts),
        Alternative("a dictionary of what is left", _dictionaries),
        Alternative("two sorted lists, merged", _merged),
        Alternative("recursion", _recursive),
        Alternative("arrays of counts", _with_arrays),
    ),
)
