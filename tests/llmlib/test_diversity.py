"""Diversity: shares counted by hand, and the smallest cases."""

from __future__ import annotations

import itertools

import pytest
from sacrebleu.metrics import BLEU

from llmlib.diversity import distinct_n, repetition, self_bleu
from llmlib.ngrams import ngrams


def test_ngrams_are_all_stretches_in_order():
    assert ngrams("abcd", 3) == [("a", "b", "c"), ("b", "c", "d")]
    assert ngrams([5, 5], 1) == [(5,), (5,)]
    assert ngrams([5, 5], 3) == []
    with pytest.raises(ValueError, match="at least one token: got n = 0"):
        ngrams("abc", 0)


def test_distinct_by_hand():
    texts = [["a", "b", "a", "b"], ["a", "b"]]
    assert distinct_n(texts, 1) == pytest.approx(2 / 6)
    assert distinct_n(texts, 2) == pytest.approx(2 / 4)  # ab, ba, ab; ab: none crosses a border
    assert distinct_n(texts, 4) == 1.0


def test_repetition_by_hand():
    assert repetition("abcabc", 3) == pytest.approx(1 / 4)
    assert repetition([1, 2, 3], 1) == 0.0
    assert repetition([7] * 10, 2) == pytest.approx(8 / 9)
    seen, again = set(), 0
    text = ["to", "be", "or", "not", "to", "be", "to", "be"]
    for gram in itertools.pairwise(text):
        again += gram in seen
        seen.add(gram)
    assert repetition(text, 2) == pytest.approx(again / 7)


def test_self_bleu_compares_each_with_the_others():
    texts = ["the cat sat on the mat", "the cat ran to the mat now", "a dog ran"]
    metric = BLEU(tokenize="none")
    scores = [metric.corpus_score([t], [[o] for o in texts if o != t]).score for t in texts]
    assert self_bleu(texts) == pytest.approx(sum(scores) / 3)
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(100)


def test_shares_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no text has n = 3 tokens"):
        distinct_n([["a", "b"]], 3)
    with pytest.raises(ValueError, match="no text has n = 1 tokens"):
        repetition([], 1)
    with pytest.raises(ValueError, match="with each other: got 1"):
        self_bleu(["a b"])
