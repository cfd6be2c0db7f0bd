"""Exercise 9.1: predict how often a worse model does at least as well on 100 questions."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception
from autograder.judging import is_number

WORSE, BETTER, QUESTIONS, CLOSE_ENOUGH = 0.80, 0.82, 100, 0.06


@cache
def share_of_upsets(tests: int = 20_000) -> float:
    """In which share of tests the worse model has at least as many right answers, in an experiment."""
    generator = torch.Generator().manual_seed(9)
    worse, better = (
        (torch.rand(tests, QUESTIONS, generator=generator) < share).sum(dim=1) for share in (WORSE, BETTER)
    )
    return float((worse >= better).float().mean())


def _number(value: Any) -> float | None:
    """A finite number out of an int, a float or a tensor with one element; else None."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.dtype.is_floating_point:
        value = value.item()
    return float(value) if is_number(value) else None


def _judge(prediction: Any, generator: torch.Generator) -> str | None:
    if not isinstance(prediction, dict):
        kind = type(prediction).__name__
        return f'`prediction` should be a dict with "value" and "confidence", but it is of type {kind}'
    for key in ("value", "confidence"):
        if key not in prediction:
            return f'`prediction` has no "{key}": put the key back and write a number after it'
        number = _number(prediction[key])
        if number is None:
            return f'"{key}" should be a number, such as 0.25'
        if not 0 <= number <= 1:
            return f'"{key}" should lie between 0 and 1'
    if abs(_number(prediction["value"]) - share_of_upsets()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            f"the experiment comes out further than {CLOSE_ENOUGH} away from that; think again about how far "
            "the score of one and the same model varies from test to test, and compare it with the lead"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="evaluation.predict_upset",
    number="9.1",
    title="Predict: how often the worse model wins",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(Check("comes within 0.06 of the experiment", 2, judge=_judge),),
    hints=(
        "A model that is right with probability 0.8 does not have 80 right answers in every test of 100. "
        "Toss 100 coins in your mind: how often are exactly 50 of them heads?",
        "The number of right answers among 100 varies with a standard deviation of √(100 · 0.8 · 0.2). How "
        "many of these is the lead of 2 answers?",
        "Each of the two scores varies by about 4 answers, so their difference varies by more than either "
        "does. And do not forget the draws, when both have the same score: they count for the worse model.",
    ),
    misconceptions=(
        Misconception(
            "never",
            "the better model is expected to win every test",
            "It would, on all questions there are. A test asks 100 of them, drawn by lot.",
            lambda: _prediction(0.0),
        ),
        Misconception(
            "the-lead",
            "this is the lead of the better model, two points in a hundred",
            "The lead says how large the difference is, not how often chance hides it.",
            lambda: _prediction(0.02),
        ),
        Misconception(
            "one-in-twenty",
            "five tests in a hundred are expected to mislead, as in many tables",
            "The 5 % are a promise of long enough tests. Is this test long enough?",
            lambda: _prediction(0.05),
        ),
        Misconception(
            "one-in-five",
            "this is the share of questions that the worse model gets wrong",
            "The question is about whole tests of 100 questions, not about one question.",
            lambda: _prediction(0.2),
        ),
        Misconception(
            "coin",
            "both are expected to win equally often",
            "Two points are little, but they are not nothing.",
            lambda: _prediction(0.5),
        ),
        Misconception(
            "the-better-one",
            "this is the share of tests in which the better model is ahead",
            "You are nearly there: the question asks for the other tests.",
            lambda: _prediction(0.607),
        ),
        Misconception(
            "draws-forgotten",
            "the tests that end in a draw are left out",
            "Equal scores count too: at least as many right answers.",
            lambda: _prediction(0.326),
        ),
    ),
)
