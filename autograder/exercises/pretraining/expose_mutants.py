"""Exercise 7.5: gradients that tell right clipping from wrong.

A probe gives the gradients of some parameters and the length that is allowed. It exposes a wrong way of
clipping if that leaves other gradients than the right one, returns another length, or raises an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise, Misconception
from autograder.exercises import reading
from autograder.exercises.exposing import Exposing
from autograder.exercises.pretraining.wrong_clipping import HOW, MEASURE, RETURNS, WHEN, Clipped, right
from autograder.exercises.reading import Unusable
from autograder.judging import is_number

MOST_PARAMETERS, MOST_NUMBERS, LARGEST = 6, 24, 1000.0
EXPOSED = 1e-4  # a smaller difference may be rounding, or the small number beside the length
MUTANTS = {"length": MEASURE, "moment": WHEN, "way": HOW, "returned": RETURNS}


@dataclass(frozen=True)
class _Probe:
    gradients: tuple[Tensor, ...]
    max_norm: float

    def _answer(self, clip: Callable[..., Clipped]) -> Clipped:
        return clip([gradient.clone() for gradient in self.gradients], self.max_norm)

    @cached_property
    def right(self) -> Clipped:
        return self._answer(right)

    def exposes(self, mutant: Misconception) -> bool:
        gradients, length = self._answer(mutant.answer)
        pairs = zip([*gradients, length], [*self.right[0], self.right[1]], strict=True)
        return not all(torch.allclose(a, b, rtol=EXPOSED, atol=EXPOSED) for a, b in pairs)


def _read(name: str, probe: Any) -> _Probe:
    given = reading.fields(name, probe, ("gradients", "max_norm"))
    gradients, max_norm = given["gradients"], given["max_norm"]
    if not isinstance(gradients, list | tuple) or not 1 <= len(gradients) <= MOST_PARAMETERS:
        raise Unusable(
            f"the gradients of {name} should be a list of 1 to {MOST_PARAMETERS} lists of numbers, one for "
            "each parameter"
        )
    if not is_number(max_norm) or not 0.001 <= max_norm <= LARGEST:
        raise Unusable(f"the max_norm of {name} should be a number from 0.001 to {LARGEST:g}")
    return _Probe(tuple(_read_gradient(name, gradient) for gradient in gradients), float(max_norm))


def _read_gradient(name: str, gradient: Any) -> Tensor:
    if isinstance(gradient, Tensor) and gradient.dim() == 1 and gradient.numel() <= MOST_NUMBERS:
        gradient = gradient.detach().tolist()
    if not isinstance(gradient, list | tuple) or not 1 <= len(gradient) <= MOST_NUMBERS:
        alone = ". A parameter with a single number has a list, too: [3.0]" if is_number(gradient) else ""
        raise Unusable(f"each gradient of {name} should be a list of 1 to {MOST_NUMBERS} numbers{alone}")
    if not all(is_number(number) and abs(number) <= LARGEST for number in gradient):
        raise Unusable(f"each gradient of {name} should hold numbers between {-LARGEST:g} and {LARGEST:g}")
    return torch.tensor([float(number) for number in gradient], dtype=torch.float64)


EXPOSING = Exposing(
    mutants=MUTANTS,
    read=_read,
    exposes=_Probe.exposes,
    most=6,
    made_of="plain lists and dicts",
    nothing="no wrong clipping is exposed yet: on these probes they all answer like the right one",
)


# --- Right answers


def _two() -> list[dict[str, Any]]:
    return [
        {"gradients": [[1.5, -2.0], [-2.0, 1.0, 1.5]], "max_norm": 3.0},
        {"gradients": [[0.3, -0.4], [0.5]], "max_norm": 2.0},
    ]


def _three() -> list[dict[str, Any]]:
    return [
        {"gradients": [[3.0], [-4.0]], "max_norm": 4.5},
        {"gradients": [[3.0, -3.0], [6.0, 1.0]], "max_norm": 2.0},
        {"gradients": [[0.1, 0.2], [-0.2]], "max_norm": 0.5},
    ]


def _drawn() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(5)
    many = [0.5 * torch.randn(5, generator=generator) for _ in range(4)]
    return [{"gradients": many, "max_norm": limit} for limit in (0.4, 1.5, 1.9, 9.0)]


EXERCISE = Exercise(
    name="pretraining.expose_mutants",
    number="7.5",
    title="Kill the mutants: expose wrong clipping",
    kind="mutants",
    answer_name="probes",
    minutes=12,
    difficulty=2,
    checks=(
        EXPOSING.first("is a list of probes that exposes something"),
        EXPOSING.all_of("length", "exposes every wrong length", 2),
        EXPOSING.all_of("moment", "exposes every wrong moment to clip"),
        EXPOSING.all_of("way", "exposes every wrong way to shorten", 2),
        EXPOSING.all_of("returned", "exposes every wrong length that is returned"),
    ),
    hints=(
        "One probe alone cannot do it: some mutants are wrong only on gradients that are too long, others "
        "only on those that are short enough.",
        "For the long one, take two parameters of which each is short enough alone, with entries of both "
        "signs, none of them larger than what is allowed.",
        "Take a limit other than 1 for both probes. A limit of 1 hides whatever forgets the limit.",
    ),
    alternatives=(
        Alternative("one that is too long, one that is not", _two),
        Alternative("whole numbers, and a short one", _three),
        Alternative("drawn numbers with four limits", _drawn),
    ),
)
