"""Exercise 0.4: predict the error of perfect predictions that stand in a column."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception

ONES, ZEROS = 300, 700
CLOSE_ENOUGH = 0.03


def _wrong_error() -> float:
    """What broadcasting makes of it: the average over every prediction with every target."""
    target = torch.cat([torch.ones(ONES), torch.zeros(ZEROS)]).double()
    return float(((target[:, None] - target) ** 2).mean())


def _number(value: Any) -> float | None:
    """A finite number out of an int, a float, a NumPy number or a tensor with one element; else None."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex() or value.dtype == torch.bool:
            return None
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _judge(prediction: Any, generator: torch.Generator) -> str | None:
    if not isinstance(prediction, dict):
        kind = type(prediction).__name__
        return f'`prediction` should be a dict with "value" and "confidence", but it is of type {kind}'
    for key in ("value", "confidence"):
        if key not in prediction:
            return f'`prediction` has no "{key}": put the key back and write a number after it'
        if prediction[key] is ...:
            return f'"{key}" is still empty: replace the three dots by a number'
        number = _number(prediction[key])
        if number is None:
            return f'"{key}" should be a number, such as 0.25'
        if number < 0:
            return f'"{key}" should not be negative'
        if key == "confidence" and number > 1:
            return '"confidence" should lie between 0 and 1: a share of one, not a percentage'
    if abs(_number(prediction["value"]) - _wrong_error()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            f"the computer's number is more than {CLOSE_ENOUGH} away from that; write down the two shapes "
            "and the shape of their difference, and think again about who is compared with whom"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="tensors.predict_wrong_pairs",
    number="0.4",
    title="Predict: perfect predictions, in a column",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(Check("comes within 0.03 of what the computer finds", 2, judge=_judge),),
    hints=(
        "Do it for three predictions 1, 0, 0 and the same three targets. How many differences are there?",
        "A squared difference is 0 or 1 here. So the average is a share: the share of pairs that differ. "
        "How many of all pairs pair a one with a zero?",
    ),
    misconceptions=(
        Misconception(
            "no-error",
            "each prediction is expected to be compared with its own target",
            "That is what the author of the code wanted. What is the shape of the difference?",
            lambda: _prediction(0.0),
        ),
        Misconception(
            "always-wrong",
            "every prediction is expected to differ from every target",
            "Many of the pairs agree by chance: a zero with another text's zero.",
            lambda: _prediction(1.0),
        ),
        Misconception(
            "one-order-only",
            "ones that meet zeros are counted, and zeros that meet ones are not",
            "A prediction of 0 with a target of 1 is wrong as well.",
            lambda: _prediction(0.21),
        ),
        Misconception(
            "half",
            "a pair is expected to differ as often as it agrees",
            "That would be so for as many ones as zeros. Here there are more zeros.",
            lambda: _prediction(0.5),
        ),
        Misconception(
            "share-of-ones",
            "the share of the ones is given",
            "It would be right if every prediction were compared with 0.",
            lambda: _prediction(0.3),
        ),
        Misconception(
            "pairs-that-agree",
            "the share of pairs that agree is given",
            "Where prediction and target agree, the squared difference is 0.",
            lambda: _prediction(0.58),
        ),
        Misconception(
            "summed-over-a-row",
            "the differences are added up along one axis and averaged along the other",
            "`.mean()` without `dim` divides by the number of all entries.",
            lambda: _prediction(420.0),
        ),
    ),
)
