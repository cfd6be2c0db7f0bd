"""Exercise 3.6: predict the largest attention weight when nobody divides by √d_k."""

from __future__ import annotations

import math
from functools import cache

import torch

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import comes_within, guess

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


EXERCISE = Exercise(
    name="attention.predict_top_weight",
    number="3.6",
    title="Predict: what happens without √d_k?",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            _top_weight,
            "think again about how widely the scores of one query spread when nobody divides, and about "
            "what exp makes of their differences",
        ),
    ),
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
            lambda: guess(1 / N_KEYS),
        ),
        Misconception(
            "one-over-root-d-k",
            "the weight itself is expected to change by a factor of √d_k",
            "The factor acts on the scores, before exp. What does exp do to a factor?",
            lambda: guess(1 / math.sqrt(D_K)),
        ),
        Misconception(
            "as-if-scaled",
            "the scores are expected to spread as widely as with the division",
            "The standard deviation of a sum of 256 independent products is not 1.",
            lambda: guess(0.1),
        ),
        Misconception(
            "one-half",
            "the two largest scores are expected to share the weight equally",
            "Look at the distance between the two largest scores, not only at their rank.",
            lambda: guess(0.5),
        ),
        Misconception(
            "always-one-hot",
            "the largest score is expected to take everything in every draw",
            "Sometimes the second largest comes close. Think of the average over many draws.",
            lambda: guess(1.0),
        ),
        Misconception(
            "percentage",
            "the number is meant as a percentage",
            "A weight is a share of one: write 0.25 for a quarter.",
            lambda: guess(85.0),
        ),
    ),
)
