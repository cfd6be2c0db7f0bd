"""Predictions: a number that is guessed before the experiment, and how sure one is of it.

The learner fills in `prediction = {"value": …, "confidence": …}`. One judge serves all of them. What it says
of a wrong number is the same for every guess, so that nobody can search for the right one with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check


@dataclass(frozen=True)
class Range:
    """The numbers that make sense as an answer.

    asked: what is asked for, with an example: "a number from 0 to 1, such as 0.25".
    rule:  what a number should do: "lie between 0 and 1".
    """

    least: float
    most: float
    asked: str
    rule: str


SHARE = Range(
    0.0, 1.0, "a number from 0 to 1, such as 0.25", "lie between 0 and 1: a share of one, not a percentage"
)
SIZE = Range(0.0, math.inf, "a number, such as 0.25", "not be negative")


def comes_within(
    margin: float,
    truth: Callable[[], float],
    advice: str,
    values: Range = SHARE,
    of: str = "the experiment",
) -> Check:
    """The one check of a prediction.

    margin: how far from the truth a right prediction may be.
    truth:  the experiment. It runs when somebody predicts, not when the exercise is defined.
    advice: what to think about again, as a clause.
    values: where the number can lie at all. The confidence is a share.
    of:     what the truth comes from: "the experiment", "the count".
    """

    def judge(prediction: Any, generator: torch.Generator) -> str | None:
        if not isinstance(prediction, dict):
            kind = type(prediction).__name__
            return f'`prediction` should be a dict with "value" and "confidence", but it is of type {kind}'
        for key, numbers in (("value", values), ("confidence", SHARE)):
            if (problem := _problem(prediction, key, numbers)) is not None:
                return problem
        value = number(prediction["value"])
        assert value is not None  # or there was a problem
        if abs(value - truth()) > margin:
            return f"{of} lies more than {margin:g} away from that; {advice}"
        return None

    return Check(f"comes within {margin:g} of {of}", 2, judge=judge)


def guess(value: float) -> dict[str, float]:
    """What a learner hands in who predicts this value."""
    return {"value": value, "confidence": 0.5}


def number(value: Any) -> float | None:
    """A finite number out of an int, a float, a NumPy number or a tensor with one element; else None."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_meta or value.is_complex() or value.dtype == torch.bool:
            return None
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        finite = float(value)
    except (ValueError, OverflowError):
        return None
    return finite if math.isfinite(finite) else None


def _problem(prediction: dict[Any, Any], key: str, numbers: Range) -> str | None:
    """Why what stands under a key cannot be judged, or None."""
    if key not in prediction:
        return f'`prediction` has no "{key}": put the key back and write a number after it'
    given = prediction[key]
    if given is ...:
        return f'"{key}" is still empty: replace the three dots by a number'
    value = number(given)
    if value is None:
        kind = "not finite" if type(given) in (int, float) else f"of type {type(given).__name__}"
        return f'"{key}" should be {numbers.asked}, but it is {kind}'
    if not numbers.least <= value <= numbers.most:
        return f'"{key}" should {numbers.rule} (it is {value:g})'
    return None
