"""Exercise 7.1: predict the loss that is left on a text that repeats for ever."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import cache
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception
from autograder.judging import is_number

PERIOD, CONTEXT, CLOSE_ENOUGH = "aab", 4, 0.02


@cache
def least_loss(period: str = PERIOD, context: int = CONTEXT) -> float:
    """The mean loss of a reader who knows the text and sees a window of it, in nats per character.

    The windows are counted: what was seen from a window's beginning on, and what came next.
    """
    text = period * (context + 2)
    windows = [text[start : start + context + 1] for start in range(len(period))]
    following: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for window in windows:
        for place in range(1, context + 1):
            following[window[:place]][window[place]] += 1
    surprises = [
        -math.log(following[window[:place]][window[place]] / following[window[:place]].total())
        for window in windows
        for place in range(1, context + 1)
    ]
    return sum(surprises) / len(surprises)


def _number(value: Any) -> float | None:
    """A finite number out of an int, a float or a tensor with one element; else None."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.dtype.is_floating_point:
        value = value.item()
    return float(value) if is_number(value) else None


def _judge(prediction: Any, generator: torch.Generator) -> str | None:
    if not isinstance(prediction, dict):
        kind = type(prediction).__name__
        return f'`prediction` should be a dict with "value" and "confidence", but it is of type {kind}'
    for key, most in (("value", math.inf), ("confidence", 1)):
        if key not in prediction:
            return f'`prediction` has no "{key}": put the key back and write a number after it'
        number = _number(prediction[key])
        if number is None:
            return f'"{key}" should be a number, such as 0.25'
        if number < 0:
            return f'"{key}" should not be negative'
        if number > most:
            return f'"{key}" should lie between 0 and 1'
    if abs(_number(prediction["value"]) - least_loss()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            "the loss ends further than 0.02 away from that; go through the four places of a window, one by "
            "one, and ask of each what the model has seen by then"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="pretraining.predict_repeats",
    number="7.1",
    title="Predict: what is left to be surprised by",
    kind="prediction",
    answer_name="prediction",
    minutes=8,
    difficulty=2,
    checks=(Check("comes within 0.02 of the experiment", 2, judge=_judge),),
    hints=(
        "A window begins anywhere, and the model sees nothing before it. At the window's first place it has "
        "seen one character. What may come after an `a`, and what after a `b`?",
        "Write down the three windows that there are: `aaba`, `abaa` and `baab`. At which of their places is "
        "the next character certain?",
        "A coin flip costs ln 2 = 0.693. In how many of the three windows is there one, and over how many "
        "places is it shared out?",
    ),
    misconceptions=(
        Misconception(
            "nothing-left",
            "the loss is expected to reach 0, since the text repeats",
            "The text is certain for who knows where in it they are. Does the model, at the first place?",
            lambda: _prediction(0.0),
        ),
        Misconception(
            "first-place-only",
            "this is the loss of the first place alone",
            "You found where the surprise is. The loss is the mean over all four places.",
            lambda: _prediction(2 / 3 * math.log(2)),
        ),
        Misconception(
            "always-a-coin-flip",
            "every window is expected to begin with a coin flip",
            "One window in three begins with `b`, and what follows `b` is certain.",
            lambda: _prediction(math.log(2) / CONTEXT),
        ),
        Misconception(
            "bits",
            "this is in bits",
            "Losses are in nats: a coin flip costs ln 2 = 0.693.",
            lambda: _prediction(2 / 3 / CONTEXT),
        ),
        Misconception(
            "no-context",
            "this is the loss of a model that only knows how frequent each character is",
            "After `aa` the model knows what comes. How often has it seen two characters?",
            lambda: _prediction(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3)),
        ),
        Misconception(
            "one-coin-flip",
            "this is one coin flip at every place",
            "At most places nothing is open any more.",
            lambda: _prediction(math.log(2)),
        ),
        Misconception(
            "one-window-in-three",
            "only one window in three is expected to begin with a coin flip",
            "Which of `aaba`, `abaa` and `baab` begin with an `a`?",
            lambda: _prediction(math.log(2) / 3 / CONTEXT),
        ),
        Misconception(
            "shared-over-the-period",
            "the surprise is shared out over the three characters of the period, not over the window",
            "The model makes four predictions in each window of four.",
            lambda: _prediction(2 / 3 * math.log(2) / 3),
        ),
    ),
)
