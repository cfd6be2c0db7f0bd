"""Exercise 1.7: predict what a sentence in another script costs."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception

SENTENCE = "मेरी दादी हर सुबह बगीचे में पौधों को पानी देती है"
CLOSE_ENOUGH = 0.15


def _tokens_per_character() -> float:
    """A tokenizer that has seen English alone has no merge for these bytes: each stays a token."""
    return len(SENTENCE.encode("utf-8")) / len(SENTENCE)


def _number(value: Any) -> float | None:
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
        number = _number(prediction[key])
        if number is None:
            return f'"{key}" should be a number, such as 0.5'
        if number < 0 or (key == "confidence" and number > 1):
            return f'"{key}" should lie between 0 and 1' if key == "confidence" else '"value" is negative'
    if abs(_number(prediction["value"]) - _tokens_per_character()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            f"counted, it is more than {CLOSE_ENOUGH} away from that; think of the bytes of these "
            "characters, "
            "of the blanks between the words, and of what a merge needs to have been learned"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="bpe.predict_cost",
    number="1.7",
    title="Predict: a sentence in another script",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(Check("comes within 0.15 of the count", 2, judge=_judge),),
    hints=(
        "How many bytes has one of these characters in UTF-8? Find its row in the table: they lie from 0x900 "
        "on.",
        "Has the tokenizer ever seen two of these bytes side by side? What does it know about a pair that it "
        "has never seen?",
        "Now the blanks: they are characters as well, and how many bytes have they? Every fifth character or "
        "so "
        "is one. Average.",
    ),
    misconceptions=(
        Misconception(
            "as-in-english",
            "the sentence is expected to cost as little as English",
            "Merges are learned from pairs that occurred in the training text. Did these?",
            lambda: _prediction(0.27),
        ),
        Misconception(
            "one-each",
            "each character is expected to be one token",
            "The tokenizer starts from bytes, not from characters.",
            lambda: _prediction(1.0),
        ),
        Misconception(
            "two-each",
            "each character is expected to have two bytes",
            "Two bytes reach up to 0x7FF. Where does this script begin?",
            lambda: _prediction(2.0),
        ),
        Misconception(
            "no-blanks",
            "the blanks are forgotten",
            "A blank is a character of one byte, and there are several.",
            lambda: _prediction(3.0),
        ),
        Misconception(
            "four-each",
            "each character is expected to have four bytes",
            "Four bytes are for numbers above 0xFFFF, such as those of emoji.",
            lambda: _prediction(4.0),
        ),
    ),
)
