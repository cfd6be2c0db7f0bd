"""Tokens and pieces drawn from a generator: what the cases of chapter 1 are made of."""

from __future__ import annotations

import torch


def number(g: torch.Generator, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def letters(g: torch.Generator, count: int) -> list[int]:
    """Different small letters, as bytes, in any order."""
    return (97 + torch.randperm(26, generator=g)[:count]).tolist()


def piece(g: torch.Generator, length: int, among: list[int]) -> list[int]:
    """Tokens drawn from `among`."""
    return [among[place] for place in torch.randint(len(among), (length,), generator=g).tolist()]
