"""Mistakes that several exercises of the chapter share, worded once: what the answer does, and advice."""

from __future__ import annotations

STACKED_FROM_THE_FRONT = (
    "the heads are stacked along axis 1, which is right only with one batch axis",
    "The heads come directly before the length: which axis is that, counted from the end?",
)

# Advice to whoever reads a causal mask the wrong way round.
TRUE_MAY_BE_SEEN = "`triu(diagonal=1)` marks the future. True should mark what may be seen."


def pattern_without_dots(where: str = "a pattern") -> tuple[str, str]:
    """`where`: what the exercise writes the three dots into."""
    return (
        "the pattern gives the batch a letter, so x must have exactly one such axis",
        f"Three dots in {where} stand for any number of axes, also for none.",
    )
