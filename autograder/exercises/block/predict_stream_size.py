"""Exercise 5.7: predict how large the residual stream becomes."""

from __future__ import annotations

import math
from functools import cache

import torch

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import Range, comes_within, guess

N_PARTS = 48  # 24 blocks of two parts
CLOSE_ENOUGH = 0.7
DEVIATION = Range(0.0, math.inf, "a number, such as 3.5", "not be negative: a standard deviation never is")


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


EXERCISE = Exercise(
    name="transformer.predict_stream_size",
    number="5.7",
    title="Predict: how large does the stream become?",
    kind="prediction",
    answer_name="prediction",
    minutes=4,
    difficulty=1,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            _stream_size,
            "think again about which measure of spread adds up when independent numbers are added",
            values=DEVIATION,
        ),
    ),
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
            lambda: guess(49.0),
        ),
        Misconception(
            "deviations-added-without-start",
            "the standard deviations of the 48 parts are expected to add up",
            "That would need every part to push in the same direction. Independent numbers often cancel.",
            lambda: guess(48.0),
        ),
        Misconception(
            "doubled",
            "the stream is expected to double with every part",
            "Each part adds numbers of size 1, however large the stream already is.",
            lambda: guess(2.0**48),
        ),
        Misconception(
            "stays",
            "the stream is expected to keep its size",
            "Nothing norms the stream itself in pre-norm. Only the parts see a norm.",
            lambda: guess(1.0),
        ),
        Misconception(
            "cancelled",
            "positive and negative contributions are expected to cancel completely",
            "They cancel on average, but not in each draw: that is what a deviation measures.",
            lambda: guess(0.0),
        ),
        Misconception(
            "one-part-a-block",
            "each block is expected to add once",
            "A block has two parts, and each adds to the stream.",
            lambda: guess(5.0),
        ),
        Misconception(
            "logarithm",
            "the stream is expected to grow with the logarithm of the depth",
            "Write down the first three variances. Do they grow ever more slowly?",
            lambda: guess(math.log(49)),
        ),
    ),
)
