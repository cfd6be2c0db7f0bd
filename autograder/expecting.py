"""What is right on a case: the reference's value, and how far an answer may be from it.

The expected value is the reference's, computed in float64. How far an answer may be from it depends on the
case: rounding errors grow with the numbers' size and with how strongly the output reacts to its inputs, so
both are measured. A right answer of another form stays well inside; a wrong formula does not come near.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Case
from autograder.nested import copy_value
from autograder.running import LocalRunner

# An answer may do some dozens of roundings more than the reference, in another order.
ROUNDINGS = 64
# Whatever the conditioning says, one part in fifty of the largest value is a difference, not a rounding.
CAP = 0.02
# In float64 too: a constant made by `torch.tensor(2.0)`, or a norm computed by way of `.float()` as Llama's
# is, costs digits that nobody teaches. The dtype of the result is compared by itself.
FINEST = 1e-8


@dataclass(frozen=True)
class Expected:
    """What the reference does on a case.

    value:     in the dtype the answer must have, for its type, dtype and shape.
    exact:     the same in float64, for its numbers.
    tolerance: the absolute difference allowed to `exact`.
    gradients, gradient_tolerances: by argument name, for a case that asks for gradients.
    from_tensors: whether a tensor is among the inputs: then the result belongs on their device.
    detached:  whether the result may not hold a graph.
    mutated:   the models among the inputs that the reference trains.
    error:     the exception that the reference raises here, or None.
    """

    value: Any
    exact: Any
    tolerance: float
    gradients: Mapping[str, Tensor]
    gradient_tolerances: Mapping[str, float]
    from_tensors: bool = True
    detached: bool = False
    mutated: tuple[str, ...] = ()
    error: str | None = None


def expect(reference: Callable[..., Any], case: Case) -> Expected:
    """Run the reference: in the case's precision, in float64, and in float64 on inputs off by a rounding."""
    run = LocalRunner(reference, reference, watched=False)
    plain = run(case)
    if plain.failure is not None:
        return Expected(None, None, 0.0, {}, {}, error=plain.failure.exception)
    inputs = [*case.arguments.values(), *case.weights.values()]
    floats = [v for v in _tensors([*inputs, plain.value]) if v.is_floating_point()]
    epsilon = max((max(FINEST, torch.finfo(v.dtype).eps) for v in floats), default=0.0)
    in_float64 = _mapped(case, lambda value, seed: _as_float64(value))
    exact = run(in_float64)
    nudged = run(_mapped(in_float64, lambda value, seed: _nudge(value, epsilon, seed)))
    gradients = {n: g for n, g in (exact.gradients or {}).items() if g is not None}
    nudged_gradients = nudged.gradients or {}
    return Expected(
        value=plain.value,
        exact=exact.value,
        tolerance=_tolerance(exact.value, nudged.value, epsilon),
        gradients=gradients,
        from_tensors=bool(_tensors(list(case.arguments.values()))),
        detached=case.detached,
        mutated=plain.mutated,
        gradient_tolerances={
            n: _tolerance(g, nudged_gradients.get(n), epsilon) for n, g in gradients.items()
        },
    )


def _mapped(case: Case, change: Callable[[Any, int], Any]) -> Case:
    """The case with its arguments and weights changed, each with a number of its own."""
    arguments = {n: change(v, seed) for seed, (n, v) in enumerate(case.arguments.items())}
    weights = {n: change(v, seed) for seed, (n, v) in enumerate(case.weights.items(), start=100)}
    return replace(case, arguments=arguments, weights=weights)


def _tolerance(exact: Any, nudged: Any, epsilon: float) -> float:
    tolerance = 0.0
    pairs = zip(_tensors([exact]), _tensors([nudged]), strict=False)
    for a, b in pairs:
        if not a.is_floating_point() or not a.numel():
            continue
        finite = a.isfinite() & b.isfinite()
        if not finite.any():
            continue
        size, shift = float(a[finite].abs().max()), float((a - b).abs()[finite].max())
        tolerance = max(tolerance, min(ROUNDINGS * (epsilon * size + shift), CAP * size))
    # Numbers of Python may come out of float32 arithmetic, even where no tensor went in.
    coarse = max(epsilon, torch.finfo(torch.float32).eps)
    for x, y in zip(_floats(exact), _floats(nudged), strict=False):
        if math.isfinite(x) and math.isfinite(y):
            tolerance = max(tolerance, ROUNDINGS * (coarse * abs(x) + abs(x - y)))
    return max(tolerance, 1e-12)


def _floats(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [x for item in value for x in _floats(item)] if isinstance(value, list | tuple) else []


def _as_float64(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_as_float64(item) for item in value)
    if isinstance(value, dict):
        return {key: _as_float64(item) for key, item in value.items()}
    return value


def _nudge(value: Any, epsilon: float, seed: int) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        generator = torch.Generator().manual_seed(seed)
        return value * (
            1 + epsilon * (2 * torch.rand(value.shape, generator=generator, dtype=value.dtype) - 1)
        )
    return copy_value(value)


def _tensors(values: list[Any] | tuple[Any, ...]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(_tensors(value))
        elif isinstance(value, dict):
            found.extend(_tensors(list(value.values())))
    return found
