"""Is this outcome right? Type, device, dtype, shape and finiteness first, then the numbers.

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
from autograder.outcome import Outcome
from autograder.running import LocalRunner, copy_value

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


@dataclass(frozen=True)
class Mismatch:
    """What is wrong with an outcome: the kind, for the shrinking, and a sentence for the learner."""

    kind: str
    message: str


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


def compare(
    outcome: Outcome, expected: Expected, axes: tuple[str, ...] | None = None, device: str = "cpu"
) -> Mismatch | None:
    """None if the outcome is right, else what is wrong.

    `axes` are the output's axis names, if known; `device` is where the inputs lived.
    """
    if mutated := [name for name in outcome.mutated if name not in expected.mutated]:
        names = " and ".join(f"`{name}`" for name in mutated)
        return Mismatch(
            "mutated", f"it changes its input {names} in place; leave it as it is, and return something new"
        )
    if outcome.failure is not None:
        if expected.error and outcome.failure.exception == expected.error:
            return None
        return Mismatch(outcome.failure.kind, outcome.failure.message)
    if expected.error:
        return Mismatch("no error", f"it should raise a {expected.error} here, but it returns a value")
    return (
        _compare_type(outcome.value, expected.value, axes)
        or _compare_device(outcome, expected, device)
        or _compare_numbers(outcome.value, expected.exact, expected.tolerance, "value", "the result")
        or _compare_graph(outcome, expected)
        or _compare_gradients(outcome, expected)
    )


def _compare_device(outcome: Outcome, expected: Expected, device: str) -> Mismatch | None:
    wanted = device if expected.from_tensors else "cpu"
    if not isinstance(expected.value, Tensor) or outcome.device == wanted:
        return None
    return Mismatch("device", f"the inputs are on {wanted}, but the result is on {outcome.device}")


def _compare_graph(outcome: Outcome, expected: Expected) -> Mismatch | None:
    if not (expected.detached and outcome.graph):
        return None
    return Mismatch(
        "graph", "the numbers are right, but what is returned still holds the graph that it was computed in"
    )


def close(a: Any, b: Any, tolerance: float) -> bool:
    """The same kind of thing with the same numbers, within a tolerance; NaN equals NaN."""
    return _compare_type(a, b, None) is None and _compare_numbers(a, b, tolerance, "value", "") is None


def _compare_type(got: Any, want: Any, axes: tuple[str, ...] | None) -> Mismatch | None:
    if isinstance(want, Tensor):
        if not isinstance(got, Tensor):
            return Mismatch("type", f"expected a tensor, got {_kind(got)}")
        if tuple(got.shape) != tuple(want.shape):
            return Mismatch("shape", f"expected shape {shape_text(want, axes)}, got {tuple(got.shape)}")
        if got.dtype != want.dtype:
            return Mismatch("dtype", f"expected dtype {_dtype(want)}, got {_dtype(got)}")
        return None
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            return Mismatch("type", f"expected {_kind(want)}, got {_kind(got)}")
        types = ((place, _compare_type(got[place], w, None)) for place, w in enumerate(want))
        return next((_at(f"at place {place}", m) for place, m in types if m), None)
    if isinstance(want, dict):
        return _compare_keys(got, want)
    if isinstance(want, float):
        if not isinstance(got, int | float) or isinstance(got, bool):
            return Mismatch("type", f"expected a number, got {_kind(got)}{_its_number(got)}")
        return None
    if type(got) is not type(want):
        advice = _its_number(got) if isinstance(want, int) else ""
        return Mismatch("type", f"expected {_kind(want)}, got {_kind(got)}{advice}")
    return None


def _its_number(got: Any) -> str:
    return ": `.item()` gives its number" if isinstance(got, Tensor) and got.numel() == 1 else ""


def _compare_keys(got: Any, want: dict[Any, Any]) -> Mismatch | None:
    if not isinstance(got, dict):
        return Mismatch("type", f"expected a dict, got {_kind(got)}")
    missing = [key for key in want if key not in got]
    extra = [key for key in got if key not in want]
    if missing or extra:
        what = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} does not belong there"
        return Mismatch("value", f"expected {len(want)} keys, got {len(got)}: {what}")
    types = ((key, _compare_type(got[key], want[key], None)) for key in want)
    return next((_at(_named(key), m) for key, m in types if m), None)


def _named(key: Any) -> str:
    return f"`{key}`" if isinstance(key, str) else f"for {key!r}"


def _at(where: str, mismatch: Mismatch) -> Mismatch:
    """Says of which entry it speaks."""
    return replace(mismatch, message=f"{where}: {mismatch.message}")


def _compare_numbers(got: Any, want: Any, tolerance: float, kind: str, what: str) -> Mismatch | None:
    if isinstance(want, list | tuple | dict):
        parts = {_named(k): k for k in want} if isinstance(want, dict) else _places(want)
        found = ((w, _compare_numbers(got[k], want[k], tolerance, kind, "it")) for w, k in parts.items())
        return next((_at(where, m) for where, m in found if m), None)
    if isinstance(want, float):
        got, want = (torch.tensor(float(number), dtype=torch.float64) for number in (got, want))
        return _compare_numbers(got, want, tolerance, kind, what)
    if not isinstance(want, Tensor):
        differs = "" if what == "it" else f"{what} differs: "
        return None if got == want else Mismatch(kind, f"{differs}expected {want!r}, got {repr(got)[:80]}")
    got = got.cpu()
    if not want.is_floating_point():
        if torch.equal(got.to(want.dtype), want):
            return None
        wrong = int((got != want).sum())
        return Mismatch(kind, f"{wrong} of {want.numel()} entries are wrong")
    got, want = got.double(), want.double()
    finite = want.isfinite()
    if not torch.equal(got.isfinite(), finite):
        if (got.isnan() & finite).any():
            return Mismatch("nan", f"{what} has NaN in {int(got.isnan().sum())} of {got.numel()} entries")
        if (got.isinf() & finite).any():
            return Mismatch(
                "infinite", f"{what} is infinite in {int(got.isinf().sum())} of {got.numel()} entries"
            )
        return Mismatch(kind, f"{what} should be infinite in places, and is not")
    if not torch.equal(got.nan_to_num()[~finite], want.nan_to_num()[~finite]):
        return Mismatch(kind, f"{what} differs where it is infinite")
    difference = (got - want).abs()[finite]
    if difference.numel() and float(difference.max()) > tolerance:
        wrong, most = int((difference > tolerance).sum()), f"{float(difference.max()):.3g}"
        if want.numel() == 1:
            return Mismatch(kind, f"the number is off by {most}")
        return Mismatch(kind, f"{wrong} of {want.numel()} numbers differ, by up to {most}")
    return None


def _places(want: list[Any] | tuple[Any, ...]) -> dict[str, int]:
    """The places of a list, as Python counts them."""
    return {f"at place {place}": place for place in range(len(want))}


def _compare_gradients(outcome: Outcome, expected: Expected) -> Mismatch | None:
    if outcome.backward_failure is not None:
        return Mismatch("gradient", f"the backward pass fails: {outcome.backward_failure.message}")
    for name, want in expected.gradients.items():
        got = (outcome.gradients or {}).get(name)
        if got is None:
            if float(want.abs().max()) <= expected.gradient_tolerances[name]:
                continue  # nothing was to arrive
            return Mismatch("gradient", f"no gradient reaches `{name}`: it was cut off on the way")
        tolerance = expected.gradient_tolerances[name]
        if m := _compare_numbers(got, want, tolerance, "gradient", f"the gradient of `{name}`"):
            return Mismatch(
                "gradient", m.message if "gradient" in m.message else f"gradient of `{name}`: {m.message}"
            )
    return None


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


def shape_text(tensor: Tensor, axes: tuple[str, ...] | None) -> str:
    """A shape with the axes' names, where they fit: "(batch 2, query 3, key 5)"."""
    sizes = tuple(tensor.shape)
    if not axes or not sizes:
        return str(sizes)
    leading = [a for a in axes if a.startswith(("*", "..."))]
    named = [a for a in axes if a not in leading]
    if len(named) > len(sizes) or (not leading and len(named) != len(sizes)):
        return str(sizes)
    free = len(sizes) - len(named)
    parts = [str(n) for n in sizes[:free]] + [f"{a} {n}" for a, n in zip(named, sizes[free:], strict=True)]
    return f"({', '.join(parts)})" if named else str(sizes)


def _kind(value: Any) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    name = type(value).__name__
    if name == "bytes":
        return name
    article = "an" if name[0] in "aeiou" else "a"
    if isinstance(value, list | tuple):
        return f"{article} {name} of {len(value)}"
    return f"{article} {name}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def is_number(value: Any) -> bool:
    """A finite int or float that fits into a float; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
