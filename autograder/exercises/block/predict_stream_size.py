"""Exercise 5.7: predict how large the residual stream becomes."""

from __future__ import annotations

import math
from functools import cache
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception

N_PARTS = 48  # 24 blocks of two parts
CLOSE_ENOUGH = 0.7


@cache
def _stream_size(d_model: int = 256, positions: int = 256) -> float:
    """The standard deviation of a stream after all parts have added to it.

    Each part is a random matrix on the normed stream, of a size that makes its output's deviation 1.
    """
    generator = torch.Generator().manual_seed(0)
    stream = torch.randn(positions, d_model, generator=generator, dtype=torch.float64)
    for _ in range(N_PARTS):
        matrix = torch.randn(d_model, d_model, generator=generator, dtype=torch.float64)
        normed = stream / stream.square().mean(dim=-1, keepdim=True).sqrt()
        stream = stream + normed @ matrix / math.sqrt(d_model)
    return float(stream.std())


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
    for key, example in (("value", "3.5"), ("confidence", "0.7")):
        if key not in prediction:
            return f'`prediction` has no "{key}": put the key back and write a number after it'
        if prediction[key] is ...:
            return f'"{key}" is still empty: replace the three dots by a number'
        if _number(prediction[key]) is None:
            return f'"{key}" should be a number, such as {example}'
    value, confidence = _number(prediction["value"]), _number(prediction["confidence"])
    assert value is not None and confidence is not None
    if value < 0:
        return '"value" should not be negative: a standard deviation never is'
    if not 0 <= confidence <= 1:
        return '"confidence" should lie between 0 and 1: a share of one, not a percentage'
    if abs(value - _stream_size()) > CLOSE_ENOUGH:
        return (
            f"the experiment comes out more than {CLOSE_ENOUGH} away from that; think again about which "
            "measure of spread adds up when independent numbers are added"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="transformer.predict_stream_size",
    number="5.7",
    title="Predict: how large does the stream become?",
    kind="prediction",
    answer_name="prediction",
    minutes=4,
    difficulty=1,
    checks=(Check("comes within 0.7 of the experiment", 2, judge=_judge),),
    hints=(
        "You have met sums of independent numbers before: in a dot product, in chapter 3. What added "
        "up there?",
        "Write down the variance of the stream at the start, after the first part, after the second. The "
        "standard deviation comes last.",
        "How many terms does the whole sum have, the start included? Each has the variance 1.",
    ),
    misconceptions=(
        Misconception(
            "deviations-added",
            "the standard deviations are expected to add up",
            "That would need every part to push in the same direction. Independent numbers often cancel.",
            lambda: _prediction(49.0),
        ),
        Misconception(
            "deviations-added-without-start",
            "the standard deviations of the 48 parts are expected to add up",
            "That would need every part to push in the same direction. Independent numbers often cancel.",
            lambda: _prediction(48.0),
        ),
        Misconception(
            "doubled",
            "the stream is expected to double with every part",
            "Each part adds numbers of size 1, however large the stream already is.",
            lambda: _prediction(2.0**48),
        ),
        Misconception(
            "stays",
            "the stream is expected to keep its size",
            "Nothing norms the stream itself in pre-norm. Only the parts see a norm.",
            lambda: _prediction(1.0),
        ),
        Misconception(
            "cancelled",
            "positive and negative contributions are expected to cancel completely",
            "They cancel on average, but not in each draw: that is what a deviation measures.",
            lambda: _prediction(0.0),
        ),
        Misconception(
            "one-part-a-block",
            "each block is expected to add once",
            "A block has two parts, and each adds to the stream.",
            lambda: _prediction(5.0),
        ),
        Misconception(
            "logarithm",
            "the stream is expected to grow with the logarithm of the depth",
            "Write down the first three variances. Do they grow ever more slowly?",
            lambda: _prediction(math.log(49)),
        ),
    ),
)
