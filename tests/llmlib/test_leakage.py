"""Leaks against a search in text, which knows nothing of n-grams."""

from __future__ import annotations

import random

import pytest

from llmlib.leakage import ngram_overlap


def by_searching_text(training, items, n):
    text = f" {' '.join(training)} "
    found = []
    for item in items:
        size = min(n, len(item))
        parts = [f" {' '.join(item[i : i + size])} " for i in range(len(item) - size + 1)]
        found.append(any(part in text for part in parts))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_as_a_search_in_the_text(seed):
    rng = random.Random(seed)
    letters = "abcd"[: rng.randint(2, 4)]
    training = rng.choices(letters, k=rng.randint(0, 15))
    items = [rng.choices(letters, k=rng.randint(1, 7)) for _ in range(8)]
    n = rng.randint(1, 5)
    assert ngram_overlap(training, items, n) == by_searching_text(training, items, n)


def test_by_hand():
    training = ["the", "cat", "sat", "on", "the", "mat", "and", "slept"]
    items = [["a", "cat", "sat", "on", "it"], ["sat", "the", "cat", "on"], ["and", "slept"], ["mat", "slept"]]
    assert ngram_overlap(training, items, 3) == [True, False, True, False]
    assert ngram_overlap(training, [], 3) == []
    assert ngram_overlap([], items, 3) == [False] * 4


def test_tokens_may_be_numbers():
    assert ngram_overlap([1, 2, 3, 4], [[9, 2, 3], [3, 2]], 2) == [True, False]


def test_nothing_to_look_for_is_refused():
    with pytest.raises(ValueError, match=r"n = 0 and items of \[1\]"):
        ngram_overlap(["a"], [["a"]], 0)
    with pytest.raises(ValueError, match=r"items of \[1, 0\] tokens"):
        ngram_overlap(["a"], [["a"], []], 2)
