"""Probes of functions on tensors: how far an implementation is from the exact result, and what counts.

A probe exposes a wrong implementation if on it the implementation fails, changes its input, or gives another
shape, another dtype or other numbers than the exact result. It must be fair: all right implementations agree
on it, so that no point is won by rounding errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from autograder.exercise import Misconception

Implementation = Callable[..., Tensor]
# On a probe a mutant must be this many times further off than any right implementation.
CLEAR = 10.0


def _largest(exact: Tensor, arguments: Mapping[str, Any]) -> float:
    return float(exact.abs().max()) or 1.0


@dataclass(frozen=True)
class Measure:
    """What an exercise's probes are measured with.

    right:   the right implementations, the reference first. In float64 that one gives the exact result.
    fair:    how far right implementations may be from it on a fair probe.
    exposed: how far a mutant must be from it at least.
    size:    against which of their sizes differences count; by default the largest number of the result.
    """

    right: tuple[Implementation, ...]
    fair: float
    exposed: float
    size: Callable[[Tensor, Mapping[str, Any]], float] = _largest

    def fairness(self, probes: list[Measured], advice: str) -> str | None:
        """None if all probes are fair, else a sentence that ends with the advice."""
        for place, probe in enumerate(probes):
            if probe.rounding > self.fair:
                return f"`probes[{place}]` is not fair: even right implementations disagree on it{advice}"
        return None


@dataclass(frozen=True)
class Measured:
    """One probe: the arguments of a call by name. The first tensor has the result's dtype."""

    measure: Measure
    arguments: Mapping[str, Any]

    @cached_property
    def exact(self) -> Tensor:
        wide = {n: v.double() if _is_float(v) else v for n, v in self.arguments.items()}
        return self.measure.right[0](**wide)

    @cached_property
    def size(self) -> float:
        return self.measure.size(self.exact, self.arguments)

    def difference(self, implementation: Implementation) -> float:
        """How far an implementation is from the exact result; infinity if it breaks a promise."""
        copies = {n: v.clone() if isinstance(v, Tensor) else v for n, v in self.arguments.items()}
        try:
            result = implementation(**copies)
        except Exception:
            return math.inf
        tensors = {n: v for n, v in self.arguments.items() if isinstance(v, Tensor)}
        if any(not tensor.equal(copies[n]) for n, tensor in tensors.items()):
            return math.inf
        if not isinstance(result, Tensor) or result.shape != self.exact.shape:
            return math.inf
        if result.dtype != next(iter(tensors.values())).dtype:
            return math.inf
        difference = float((result.double() - self.exact).abs().max()) / self.size
        return math.inf if math.isnan(difference) else difference

    @cached_property
    def rounding(self) -> float:
        """How far right implementations are from the exact result."""
        return max(self.difference(right) for right in self.measure.right)

    def exposes(self, mutant: Misconception) -> bool:
        difference, measure = self.difference(mutant.answer), self.measure
        # The right ones need not run where nothing that is fair could make up for the difference.
        return difference > measure.exposed and (
            difference > CLEAR * measure.fair or difference > CLEAR * self.rounding
        )


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
