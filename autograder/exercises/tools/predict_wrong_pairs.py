"""Exercise 0.4: predict the error of perfect predictions that stand in a column."""

from __future__ import annotations

import torch

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import SIZE, comes_within, guess

ONES, ZEROS = 300, 700
CLOSE_ENOUGH = 0.03


def _wrong_error() -> float:
    """What broadcasting makes of it: the average over every prediction with every target."""
    target = torch.cat([torch.ones(ONES), torch.zeros(ZEROS)]).double()
    return float(((target[:, None] - target) ** 2).mean())


EXERCISE = Exercise(
    name="tensors.predict_wrong_pairs",
    number="0.4",
    title="Predict: perfect predictions, in a column",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            _wrong_error,
            "write down the two shapes and the shape of their difference, and think again about who is "
            "compared with whom",
            values=SIZE,
            of="what the computer finds",
        ),
    ),
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
            lambda: guess(0.0),
        ),
        Misconception(
            "always-wrong",
            "every prediction is expected to differ from every target",
            "Many of the pairs agree by chance: a zero with another text's zero.",
            lambda: guess(1.0),
        ),
        Misconception(
            "one-order-only",
            "ones that meet zeros are counted, and zeros that meet ones are not",
            "A prediction of 0 with a target of 1 is wrong as well.",
            lambda: guess(0.21),
        ),
        Misconception(
            "half",
            "a pair is expected to differ as often as it agrees",
            "That would be so for as many ones as zeros. Here there are more zeros.",
            lambda: guess(0.5),
        ),
        Misconception(
            "share-of-ones",
            "the share of the ones is given",
            "It would be right if every prediction were compared with 0.",
            lambda: guess(0.3),
        ),
        Misconception(
            "pairs-that-agree",
            "the share of pairs that agree is given",
            "Where prediction and target agree, the squared difference is 0.",
            lambda: guess(0.58),
        ),
        Misconception(
            "summed-over-a-row",
            "the differences are added up along one axis and averaged along the other",
            "`.mean()` without `dim` divides by the number of all entries.",
            lambda: guess(420.0),
        ),
    ),
)
