"""Mistakes that exercises of several chapters meet, worded once: what the answer does, and advice.

    Misconception("in-place", *mistakes.in_place("x", "/="), _in_place)

What only the exercises of one chapter share stands in its own package.
"""

from __future__ import annotations

Words = tuple[str, str]

LOOK_FOR_DETACH = "Look for `.detach()`, `.item()`, `.numpy()`, `torch.tensor(…)` or `no_grad` on the way."
MATH_FUNCTION = (
    "a function of `math` is given a tensor",
    "The functions of `math` take one number at a time. torch has the same ones for whole tensors.",
)
WHOLE_NUMBERS_IN_A_MASK = (
    "the mask is made of the whole numbers 1 and 0, not of booleans",
    "The pattern is right. The answer should be boolean: on whole numbers `~` does something else.",
)
MASK_TO_BE_ADDED = (
    "the mask holds 0 and −inf, to be added to the scores",
    "That form exists as well. Here a boolean is wanted, True where attention is allowed.",
)


def detached(source: str) -> Words:
    """`source`: what the gradient should reach."""
    return f"no gradient flows back to {source}", LOOK_FOR_DETACH


def always_float32(given: str = "input") -> Words:
    """`given`: whose type the result should have."""
    return (
        "the result is float32 whatever comes in",
        f"Keep the type of the {given}: `.float()` and a fixed dtype throw digits away.",
    )


def in_place(changed: str, operator: str) -> Words:
    """`changed`: the argument that is written into. `operator`: with which it happens most easily."""
    return (
        f"{changed} itself is changed",
        f"`{operator}` and functions that end in `_` write into the caller's tensor. Make a new one.",
    )
