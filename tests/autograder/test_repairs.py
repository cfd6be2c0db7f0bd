"""The bug hunts in a single function or class: all faults but one repaired is never enough, and is named.

The bug hunt of chapter 7, where each repair counts for itself, is in `test_exercises_forty_lines.py`.
"""

from __future__ import annotations

import pytest

from autograder.exercises import find, find_chapter
from autograder.grading import grade_callable

POSITIONS = "x = x + self.positions(length)\n"

# By the exercise and the mistake that is left when only this repair is missing: what is replaced by what.
REPAIRS = {
    "0.8": {
        "not-the-direction": (("weight + rate", "weight - rate"), ("bias + rate", "bias - rate")),
        "not-the-shapes": (
            ("weight * x + bias", "weight * x[:, 0] + bias"),
            ("error * x)", "error * x[:, 0])"),
        ),
        "not-the-average": (("(2 * error).sum()", "(2 * error).mean()"),),
    },
    "3.7": {
        "not-the-scale": (("/ d_k", "/ math.sqrt(d_k)"),),
        "not-the-mask": (("diagonal=2", "diagonal=1"),),
        "not-the-softmax": (("dim=-2", "dim=-1"),),
    },
    "5.2": {
        "not-the-kernel": (("F.relu(hidden) if", "F.gelu(hidden, approximate=self.approximate) if"),),
        "not-the-sum": (("return x + ", "return "),),
        "not-the-output": (("F.relu(self.output(hidden))", "self.output(hidden)"),),
    },
    "6.7": {
        "not-the-norm": (
            ("self.norm(self.token_embedding(tokens))", "self.token_embedding(tokens)"),
            ("return x @", "return self.norm(x) @"),
        ),
        "not-the-positions": (
            (f"            {POSITIONS}", ""),
            ("        for i in", f"        {POSITIONS}        for i in"),
        ),
        "not-the-order": (("blocks[i - 1]", "blocks[i]"),),
        "not-the-future": (("](x)", "](x, is_causal=True)"),),
    },
}


def with_repairs(number, names):
    """The starter with these repairs, below its docstring, which may speak in the same words."""
    head, quotes, body = find(number).starter.rpartition('"""')
    for name in names:
        for wrong, right in REPAIRS[number][name]:
            assert body.count(wrong) == 1
            body = body.replace(wrong, right)
    return head + quotes + body


def verdict_on(number, source):
    """The misconception that is named, or else the status."""
    exercise = find(number)
    chapter = find_chapter(exercise.chapter)
    namespace = {e.answer_name: e.reference for e in chapter.exercises if e.reference is not None}
    exec(chapter.imports + "\n" + source, namespace)
    report = grade_callable(exercise, namespace[exercise.answer_name])
    return report.misconception.id if report.misconception else report.status


@pytest.mark.parametrize(
    ("number", "left"), [(number, left) for number, repairs in REPAIRS.items() for left in repairs]
)
def test_a_fault_that_is_left_is_named(number, left):
    repaired = [name for name in REPAIRS[number] if name != left]
    assert verdict_on(number, with_repairs(number, repaired)) == left


@pytest.mark.parametrize("number", REPAIRS)
def test_nothing_repaired_and_everything_repaired(number):
    assert verdict_on(number, with_repairs(number, ())) == "nothing-repaired"
    assert verdict_on(number, with_repairs(number, REPAIRS[number])) == "passed"


def test_every_bug_hunt_in_one_function_is_here():
    hunts = {
        e.number
        for number in range(7)
        for e in find_chapter(number).exercises
        if e.starter and any(m.id == "nothing-repaired" for m in e.misconceptions)
    }
    assert hunts == set(REPAIRS)
