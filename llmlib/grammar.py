"""A small grammar of texts: fixed words, choices, what is remembered and comes back, and repeats.

All choices are uniform and independent of each other, so the probability of a text is a product that can be
written down, and its entropy is a sum.

Source: Shannon, "A Mathematical Theory of Communication" (1948), sections 6 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Pick:
    """One of the options, each as likely as the others."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Meet:
    """One of the options, remembered under a name. An option is a tuple of forms: ("Tom", "he", "his")."""

    name: str
    options: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Recall:
    """What was met under this name, in one of its forms: 0 is the form in which it was met."""

    name: str
    form: int = 0


@dataclass(frozen=True)
class Again:
    """The parts, once at least; after each time, once more with this probability."""

    parts: tuple[str | Pick | Recall, ...]
    probability: float


Part = str | Pick | Meet | Recall | Again


def tell(
    parts: tuple[Part, ...], met: dict[str, tuple[str, ...]], generator: torch.Generator
) -> Iterator[str]:
    for part in parts:
        match part:
            case str():
                yield part
            case Recall(name, form):
                yield met[name][form]
            case Pick(options):
                yield options[_draw(len(options), generator)]
            case Meet(name, options):
                met[name] = options[_draw(len(options), generator)]
                yield met[name][0]
            case Again(again, probability):
                yield from tell(again, met, generator)
                while torch.rand((), generator=generator).item() < probability:
                    yield from tell(again, met, generator)


def _draw(options: int, generator: torch.Generator) -> int:
    return int(torch.randint(options, (), generator=generator))


def forms_of(grammar: tuple[Part, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {part.name: part.options for part in grammar if isinstance(part, Meet)}


def bits_and_characters(
    parts: tuple[Part, ...], forms: dict[str, tuple[tuple[str, ...], ...]]
) -> tuple[float, float]:
    """The entropy and the expected length of a passage. Choices are independent, so both simply add up."""
    bits = characters = 0.0
    for part in parts:
        match part:
            case str():
                characters += len(part)
            case Recall(name, form):
                characters += sum(len(option[form]) for option in forms[name]) / len(forms[name])
            case Pick(options):
                bits += math.log2(len(options))
                characters += sum(map(len, options)) / len(options)
            case Meet(_, options):
                bits += math.log2(len(options))
                characters += sum(len(option[0]) for option in options) / len(options)
            case Again(again, probability):
                told = 1 / (1 - probability)
                once_bits, once_characters = bits_and_characters(again, forms)
                bits += told * (once_bits + _coin(probability))
                characters += told * once_characters
    return bits, characters


def _coin(probability: float) -> float:
    return sum(-p * math.log2(p) for p in (probability, 1 - probability) if p > 0)
