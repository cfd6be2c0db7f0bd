"""Exercise 8.1: predict how many texts hold at least one token of an unlikely tail."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception
from autograder.judging import is_number

TAIL, LENGTH, CLOSE_ENOUGH = 0.01, 200, 0.06


@cache
def share_of_texts(texts: int = 20_000) -> float:
    """The share of texts of 200 tokens with at least one token of the tail, in an experiment."""
    generator = torch.Generator().manual_seed(8)
    drawn = torch.rand(texts, LENGTH, generator=generator) < TAIL
    return float(drawn.any(dim=1).float().mean())


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
    if abs(_number(prediction["value"]) - share_of_texts()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            "the experiment comes out further than 0.06 away from that; think again about what has to happen "
            "at every one of the 200 tokens for a text to stay clean"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="generation.predict_tail",
    number="8.1",
    title="Predict: how many texts go astray",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=1,
    checks=(Check("comes within 0.06 of the experiment", 2, judge=_judge),),
    hints=(
        "A text is clean if its first token is, and its second, and so on. How likely is one clean token?",
        "Independent events that must all happen: their probabilities are multiplied. A text of two tokens "
        "is clean with probability 0.99 · 0.99.",
        "Compute the share of clean texts first. The question asks for the others.",
    ),
    misconceptions=(
        Misconception(
            "one-token",
            "this is the probability for a single token, not for a text of 200",
            "Each of the 200 tokens is a new chance to go astray.",
            lambda: _prediction(TAIL),
        ),
        Misconception(
            "clean-texts",
            "this is the share of texts that stay clean",
            "You are nearly there. The question asks for the other texts.",
            lambda: _prediction((1 - TAIL) ** LENGTH),
        ),
        Misconception(
            "added-up",
            "the chances of the 200 tokens are added up and cut off at 1",
            "Texts in which it happens twice are counted twice by such a sum.",
            lambda: _prediction(1.0),
        ),
        Misconception(
            "half",
            "one text in two is expected",
            "0.99 multiplied by itself 69 times is 0.5. Here there are 200 tokens.",
            lambda: _prediction(0.5),
        ),
        Misconception(
            "first-hundred",
            "this is the share after 100 tokens",
            "100 tokens give on average one of the tail. The texts have 200.",
            lambda: _prediction(1 - (1 - TAIL) ** (LENGTH // 2)),
        ),
        Misconception(
            "tail-kept-out",
            "the tail is expected never to be drawn",
            "One percent is not nothing: on average two of 200 tokens come from there.",
            lambda: _prediction(0.0),
        ),
    ),
)
