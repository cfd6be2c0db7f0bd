"""Exercise 4.6: predict which share of attention's operations grows with the square of the length."""

from __future__ import annotations

from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import comes_within, guess
from llmlib.attention import MultiHeadAttention

D_MODEL, N_HEADS, LENGTH = 768, 12, 1024
CLOSE_ENOUGH = 0.08


@cache
def _share() -> float:
    """The share of the scores and averages among the counted operations of one layer.

    Counted by PyTorch on tensors that have a size and no numbers, so that it costs no time.
    """
    with torch.device("meta"), torch.no_grad():
        layer, x = MultiHeadAttention(D_MODEL, N_HEADS), torch.empty(1, LENGTH, D_MODEL)
        with FlopCounterMode(display=False) as all_of_it:
            layer(x)
        with FlopCounterMode(display=False) as one_projection:
            layer.query(x)
    total = all_of_it.get_total_flops()
    return (total - 4 * one_projection.get_total_flops()) / total


EXERCISE = Exercise(
    name="heads.predict_quadratic_share",
    number="4.6",
    title="Predict: where do the operations go?",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            _share,
            "think again about how many numbers a position is multiplied with in its four projections, and "
            "how many in its meetings with the other positions",
            of="the count",
        ),
    ),
    hints=(
        "Think of one position. Its vector of 768 numbers goes through four square matrices. How many "
        "multiplications is that, roughly?",
        "The same position asks 1024 keys, all heads together with 768 numbers each, and then averages 1024 "
        "values. Compare that with the first number.",
        "Write both numbers as a multiple of 768 and cancel it. What remains are two small sums; "
        "sketch the two parts as bars on paper.",
    ),
    misconceptions=(
        Misconception(
            "nearly-all",
            "the part that grows with the square is expected to be nearly everything",
            "A square grows fast, but from a small start. Compare 1024 with 768 before you square anything.",
            lambda: guess(0.95),
        ),
        Misconception(
            "nearly-nothing",
            "the projections are expected to be nearly everything",
            "That is true for short texts. Is 1024 short, compared with 768?",
            lambda: guess(0.03),
        ),
        Misconception(
            "one-half",
            "both parts are expected to be equal",
            "At some length they are, but not here. Count products: four on one side, two on the other.",
            lambda: guess(0.55),
        ),
        Misconception(
            "one-head-only",
            "the meetings are counted for a single head of 64 numbers",
            "There are 12 heads: together they have all 768 numbers.",
            lambda: guess(0.053),
        ),
        Misconception(
            "without-the-averages",
            "the scores are counted and the averages forgotten",
            "Each meeting is paid for twice: once for the score, once for the value.",
            lambda: guess(0.25),
        ),
        Misconception(
            "percentage",
            "the number is meant as a percentage",
            "A share of one is wanted: write 0.25 for a quarter.",
            lambda: guess(40.0),
        ),
    ),
)
