"""Exercise 3.6: predict the largest attention weight when nobody divides by √d_k."""

from __future__ import annotations

import math
from functools import cache
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception

N_KEYS, D_K = 64, 256
CLOSE_ENOUGH = 0.08


@cache
def _top_weight(draws: int = 4000) -> float:
    """The largest of 64 weights, averaged over many draws of query and keys (standard error below 0.004).

    Only the query's length matters: given it, the scores are independent normal numbers of that standard
    deviation, because the keys have no preferred direction. So no keys need to be drawn.
    """
    generator = torch.Generator().manual_seed(0)
    query_length = torch.randn(draws, D_K, generator=generator).norm(dim=-1, keepdim=True)
    scores = query_length * torch.randn(draws, N_KEYS, generator=generator)
    return float(torch.softmax(scores, dim=-1).amax(dim=-1).mean())


def _number(value: Any) -> float | None:
    """A finite number out of an int, a float, a NumPy number or a tensor with one element; else None."""
    if (
        isinstance(value, Tensor)
        and value.numel() == 1
        and not value.is_complex()
        and value.dtype != torch.bool
    ):
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
            return f'"{key}" should be a number from 0 to 1, such as 0.25'
        if not 0 <= number <= 1:
            return f'"{key}" should lie between 0 and 1: a share of one, not a percentage'
    if abs(_number(prediction["value"]) - _top_weight()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            f"the experiment comes out more than {CLOSE_ENOUGH} away from that; think again about how "
            "widely the scores of one query spread when nobody divides, and about what exp makes of their "
            "differences"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="attention.predict_top_weight",
    number="3.6",
    title="Predict: what happens without √d_k?",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(Check("comes within 0.08 of the experiment", 2, judge=_judge),),
    hints=(
        "One score is a sum of 256 products of two standard normal numbers. What is its standard deviation?",
        "64 such scores lie spread over several standard deviations. About how far apart are the two "
        "largest, and what is exp of that distance?",
        "Sketch it on paper: place 64 numbers on a line with the spread you found, take the largest and the "
        "second largest, and work out the weight of the first if only these two counted. Average that in "
        "your mind over lucky and unlucky draws.",
    ),
    misconceptions=(
        Misconception(
            "uniform",
            "all 64 keys are expected to get the same weight",
            "That would need equal scores. How different are they, typically?",
            lambda: _prediction(1 / N_KEYS),
        ),
        Misconception(
            "one-over-root-d-k",
            "the weight itself is expected to change by a factor of √d_k",
            "The factor acts on the scores, before exp. What does exp do to a factor?",
            lambda: _prediction(1 / math.sqrt(D_K)),
        ),
        Misconception(
            "as-if-scaled",
            "the scores are expected to spread as widely as with the division",
            "The standard deviation of a sum of 256 independent products is not 1.",
            lambda: _prediction(0.1),
        ),
        Misconception(
            "one-half",
            "the two largest scores are expected to share the weight equally",
            "Look at the distance between the two largest scores, not only at their rank.",
            lambda: _prediction(0.5),
        ),
        Misconception(
            "always-one-hot",
            "the largest score is expected to take everything in every draw",
            "Sometimes the second largest comes close. Think of the average over many draws.",
            lambda: _prediction(1.0),
        ),
        Misconception(
            "percentage",
            "the number is meant as a percentage",
            "A weight is a share of one: write 0.25 for a quarter.",
            lambda: _prediction(85.0),
        ),
    ),
)
