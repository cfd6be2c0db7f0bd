"""Chapter 1's exercises: partial points, the prediction's truth, and what the mutants' judge accepts."""

from __future__ import annotations

import pytest

from autograder.exercises import find
from autograder.exercises.tokens import expose_encoders, predict_cost
from autograder.exercises.tokens.wrong_encoders import MISCONCEPTIONS
from autograder.grading import grade_callable
from llmlib.bpe_tokenizer import BPETokenizer
from llmlib.data import load_corpus


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("1.1", "limit-included", 2),
        ("1.1", "utf-16", 0),
        ("1.2", "across-pieces", 2),
        ("1.2", "every-second", 0),
        ("1.3", "from-the-right", 3),
        ("1.3", "only-the-first", 0),
        ("1.4", "first-seen", 4),
        ("1.4", "twice-at-least", 3),
        ("1.4", "counted-once", 0),
        ("1.5", "left-to-right", 3),
        ("1.5", "one-merge", 0),
        ("1.6", "token-by-token", 4),
        ("1.6", "strict", 4),
        ("1.6", "still-bytes", 0),
    ],
)
def test_a_fault_costs_what_depends_on_it(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


def test_the_truth_is_what_the_chapter_s_tokenizer_does():
    tokenizer = BPETokenizer.train(load_corpus("stories").text[:900_000], 512, ("<|endoftext|>",))
    measured = len(tokenizer.encode(predict_cost.SENTENCE)) / len(predict_cost.SENTENCE)
    assert measured == pytest.approx(predict_cost._tokens_per_character())
    assert predict_cost.SENTENCE.count(" ") == 10 and len(predict_cost.SENTENCE) == 49


PROBES = {
    "no dict": ("text", "should be a dict"),
    "another key": ({"text": "a", "pears": []}, "unknown key 'pears': use text and pairs"),
    "no text": ({"text": 5, "pairs": []}, "should be a text of 1 to 30 bytes"),
    "too long": ({"text": "a" * 31, "pairs": []}, "should be a text of 1 to 30 bytes"),
    "too many pairs": ({"text": "a", "pairs": [("a", "b")] * 21}, "at most 20 pairs"),
    "three parts": ({"text": "a", "pairs": [("a", "b", "c")]}, "should be two texts"),
    "not made yet": ({"text": "a", "pairs": [("ab", "c")]}, "before any pair makes it"),
    "made twice": ({"text": "a", "pairs": [("a", "b"), ("a", "b")]}, "makes 'ab' twice"),
}


@pytest.mark.parametrize("kind", PROBES)
def test_an_unusable_probe_is_named_and_told_why(kind):
    probe, words = PROBES[kind]
    report = grade_callable(find("1.8"), [{"text": "ab", "pairs": [("a", "b")]}, probe])
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason and "probes[1]" in report.reason


def test_a_single_merge_has_no_order_and_earns_nothing():
    report = grade_callable(find("1.8"), [{"text": "ab", "pairs": [("a", "b")]}])
    assert report.points == 0 and "no wrong order" in report.reason


def test_every_mutant_belongs_to_one_group_and_dies_on_no_probe_by_accident():
    ids = [id for group in expose_encoders.GROUPS.values() for id in group]
    assert len(ids) == len(set(ids)) == 15, "the manuscript speaks of fifteen"
    assert set(ids) <= {m.id for m in MISCONCEPTIONS}
    two = [{"text": "abc", "pairs": [("b", "c"), ("a", "b")]}]
    report = grade_callable(find("1.8"), two)
    assert 0 < report.points < find("1.8").points
