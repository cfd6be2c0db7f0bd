"""Stretches of neighbouring tokens: what most measures of a text are made of."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def ngrams(tokens: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    """Every stretch of `n` neighbouring tokens, in the order of the text; none if the text is shorter.

    The tokens of a string are its characters.

    Raises:
        ValueError: `n` is smaller than 1.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one token: got n = {n}")
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
