"""Texts for probes, drawn from a generator."""

from __future__ import annotations

import torch

NAMES = ("owl", "fox", "hat", "ball", "kite", "bell", "goat", "boat", "drum", "star")


def words(g: torch.Generator, length: int, kinds: int = len(NAMES)) -> list[str]:
    """So many words, each drawn from the first `kinds` names."""
    return [NAMES[int(i)] for i in torch.randint(kinds, (length,), generator=g)]


def different(g: torch.Generator, length: int) -> list[str]:
    """So many words, no two alike."""
    return [NAMES[int(i)] for i in torch.randperm(len(NAMES), generator=g)[:length]]


def whole(g: torch.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    return int(torch.randint(low, high + 1, (), generator=g))
