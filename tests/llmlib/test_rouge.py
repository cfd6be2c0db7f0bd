"""The longest common subsequence against trying all subsequences, and ROUGE-L against its equations."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from llmlib.rouge import longest_common_subsequence, rouge_l


def by_trying_all(a, b):
    for size in range(min(len(a), len(b)), 0, -1):
        if set(combinations(a, size)) & set(combinations(b, size)):
            return size
    return 0


@pytest.mark.parametrize("seed", range(60))
def test_no_subsequence_is_longer(seed):
    rng = random.Random(seed)
    a, b = ([rng.choice("abc"[: rng.randint(2, 3)]) for _ in range(rng.randint(0, 9))] for _ in range(2))
    assert longest_common_subsequence(a, b) == longest_common_subsequence(b, a) == by_trying_all(a, b)


def test_long_texts_take_no_recursion():
    assert longest_common_subsequence("ab" * 700, "ba" * 700) == 1399


def test_lin_s_example():
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == (0.75, 0.75, 0.75)
    assert rouge_l("the gunman kill police", reference) == (0.5, 0.5, 0.5)
    assert rouge_l("the gunman police killed", reference) == (0.5, 0.5, 0.5)


def test_precision_is_of_the_hypothesis_and_beta_weighs_recall():
    precision, recall, f = rouge_l(["a", "x", "b"], ["a", "b", "c", "d"], beta=2.0)
    assert (precision, recall) == (pytest.approx(2 / 3), 0.5)
    assert f == pytest.approx(5 * (2 / 3) * 0.5 / (0.5 + 4 * (2 / 3)))
    assert rouge_l("a x b", "a b c d", beta=1e6)[2] == pytest.approx(0.5)
    assert rouge_l("", "a b") == rouge_l("a", "") == rouge_l("a", "b") == (0.0, 0.0, 0.0)
