"""Mistakes that the two norms share, worded once: what the answer does, and advice."""

from __future__ import annotations

FIXED_EPS = ("eps is always 1e-5, whatever the caller says", "1e-5 is only its default.")
EPS_SQUARED = ("eps is squared before it is added", "It stands under the root as it is. Try an eps of 4.")
EPS_TWICE = ("eps is added under the root and after it", "Once is enough: under the root.")
WEIGHT_IGNORED = ("the learned scale is not applied", "`weight` belongs in the result, place by place.")
ONE_PLUS_WEIGHT = (
    "the scale is 1 + weight",
    "Some models store their scale less 1. Here a weight of 1 changes nothing.",
)
DOT_PRODUCT = (
    "the normed vector and the weight are multiplied as by a matrix, and added up",
    "Place by place multiplies `*`: as many numbers come out as go in.",
)


def eps_outside(size: str) -> tuple[str, str]:
    """`size`: what stands under the root."""
    return (
        "eps is added after the root, not under it",
        f"Try {size} of 5 and an eps of 4: the vector is divided by 3, not by 6.2.",
    )


# Advice on mistakes that look different in each.
TEN_TIMES_AS_LONG = "A vector that is ten times as long should give the same result. Does yours?"
SQUARE_FIRST = "Square first, then average, then take the root."
FROM_THE_END = "Count the axis from the end."
EACH_ALONE = "Each vector is normed alone: its neighbours must not matter."
NO_OTHER_TEXT = "Another text in the batch must not change this one."
NO_OTHER_POSITION = "The positions of a text must not look at each other here. Norm each vector alone."
AWAY_FROM_0 = "It is there to keep what you divide by away from 0."
