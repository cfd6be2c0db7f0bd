"""Every prediction is judged by the same rules: what is malformed is told why, no message helps a search."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from autograder.exercises import all_exercises
from autograder.exercises.predictions import Range, comes_within, guess, number
from autograder.grading import grade_callable

PREDICTIONS = [e for e in all_exercises() if e.kind == "prediction"]
every_prediction = pytest.mark.parametrize("exercise", PREDICTIONS, ids=lambda e: e.number)

MALFORMED = {
    "no dict": (0.5, "should be a dict with"),
    "no confidence": ({"value": 0.5}, 'no "confidence"'),
    "no value": ({"confidence": 0.5}, 'no "value"'),
    "text": ({"value": "0.5", "confidence": 0.5}, '"value" should be a number'),
    "a truth": ({"value": 0.5, "confidence": True}, '"confidence" should be a number'),
    "a truth in a tensor": ({"value": torch.tensor(True), "confidence": 0.5}, "it is of type Tensor"),
    "NaN": ({"value": math.nan, "confidence": 0.5}, "it is not finite"),
    "infinity": ({"value": 0.5, "confidence": math.inf}, "it is not finite"),
    "a huge number": ({"value": 10**400, "confidence": 0.5}, "it is not finite"),
    "many numbers": ({"value": torch.ones(3), "confidence": 0.5}, '"value" should be a number'),
    "a tensor without numbers": ({"value": torch.ones((), device="meta"), "confidence": 0.5}, "type Tensor"),
    "a complex number": ({"value": 0.5 + 0j, "confidence": 0.5}, "it is of type complex"),
    "a percentage": ({"value": 0.5, "confidence": 70}, '"confidence" should lie between 0 and 1'),
    "a negative share": ({"value": 0.5, "confidence": -0.5}, "a share of one, not a percentage (it is -0.5)"),
}  # fmt: skip


@pytest.mark.parametrize("malformed", MALFORMED)
@every_prediction
def test_a_malformed_prediction_is_told_what_is_missing(exercise, malformed):
    prediction, words = MALFORMED[malformed]
    report = grade_callable(exercise, prediction)
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason


OUTSIDE = {
    "0.4": (-1, "should not be negative"),
    "1.7": (-1, "should not be negative"),
    "2.6": (1.5, "should lie between -1 and 1"),
    "3.6": (90, "should lie between 0 and 1: a share of one, not a percentage (it is 90)"),
    "4.6": (40, "should lie between 0 and 1"),
    "5.7": (-7.0, "should not be negative: a standard deviation never is (it is -7)"),
    "6.4": (-3, "should not be negative"),
    "7.1": (-1, "should not be negative"),
    "8.1": (87, "should lie between 0 and 1"),
    "9.1": (40, "should lie between 0 and 1"),
}


@every_prediction
def test_a_number_that_cannot_be_is_told_where_it_can_lie(exercise):
    value, words = OUTSIDE[exercise.number]
    report = grade_callable(exercise, guess(value))
    assert (report.status, report.points) == ("failed", 0)
    assert report.reason.startswith('"value"') and words in report.reason


@every_prediction
def test_no_message_on_a_wrong_number_depends_on_the_number(exercise):
    reports = [grade_callable(exercise, guess(x / 20)) for x in range(21)]
    assert len({report.reason for report in reports if report.status == "failed"}) == 1, "it helps a search"


CHECK = comes_within(
    0.1, lambda: 0.5, "think", Range(0.0, 2.0, "a number", "lie between 0 and 2"), "the count"
)


@pytest.mark.parametrize(("value", "right"), [(0.5, True), (0.41, True), (0.39, False), (0.61, False)])
def test_the_margin_is_kept_on_both_sides(value, right):
    message = CHECK.judge(guess(value), torch.Generator())
    assert message == (None if right else "the count lies more than 0.1 away from that; think")
    assert (CHECK.name, CHECK.points) == ("comes within 0.1 of the count", 2)


@pytest.mark.parametrize(
    "value", [0.5, Fraction(1, 2), np.float32(0.5), torch.tensor(0.5), torch.tensor([[0.5]])], ids=repr
)
def test_whatever_holds_one_number_is_read_as_one(value):
    assert number(value) == 0.5


def test_the_experiment_runs_only_when_somebody_predicts():
    def never() -> float:
        raise AssertionError("not yet")

    check = comes_within(0.1, never, "think")
    with pytest.raises(AssertionError, match="not yet"):
        check.judge(guess(0.5), torch.Generator())
    assert "should be a number" in check.judge({"value": "0.5", "confidence": 0.5}, torch.Generator())
