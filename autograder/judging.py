"""Is this outcome right? Type, device, dtype, shape and finiteness first, then the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autograder.expecting import Expected
from autograder.outcome import Outcome

Entries = list[Any] | tuple[Any, ...] | dict[Any, Any]


@dataclass(frozen=True)
class Mismatch:
    """What is wrong with an outcome: the kind, for the shrinking, and a sentence for the learner."""

    kind: str
    message: str


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
    if isinstance(want, list | tuple | dict):
        holders = _compare_keys(got, want) if isinstance(want, dict) else _compare_lengths(got, want)
        return holders or _compare_entries(got, want, lambda got, want: _compare_type(got, want, None))
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


def _compare_lengths(got: Any, want: list[Any] | tuple[Any, ...]) -> Mismatch | None:
    if not isinstance(got, list | tuple) or len(got) != len(want):
        return Mismatch("type", f"expected {_kind(want)}, got {_kind(got)}")
    return None


def _compare_keys(got: Any, want: dict[Any, Any]) -> Mismatch | None:
    if not isinstance(got, dict):
        return Mismatch("type", f"expected a dict, got {_kind(got)}")
    missing = [key for key in want if key not in got]
    extra = [key for key in got if key not in want]
    if missing or extra:
        what = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} does not belong there"
        return Mismatch("value", f"expected {len(want)} keys, got {len(got)}: {what}")
    return None


def _compare_entries(
    got: Any, want: Entries, compare_one: Callable[[Any, Any], Mismatch | None]
) -> Mismatch | None:
    """The first entry that is wrong; the message says of which entry it speaks."""
    for key in want if isinstance(want, dict) else range(len(want)):
        if m := compare_one(got[key], want[key]):
            return replace(m, message=f"{_entry(want, key)}: {m.message}")
    return None


def _entry(holder: Entries, key: Any) -> str:
    """What an entry is called: a list's or tuple's by its place, as Python counts, a dict's by its key."""
    if not isinstance(holder, dict):
        return f"at place {key}"
    return f"`{key}`" if isinstance(key, str) else f"for {key!r}"


def _compare_numbers(got: Any, want: Any, tolerance: float, kind: str, what: str) -> Mismatch | None:
    if isinstance(want, list | tuple | dict):
        return _compare_entries(
            got, want, lambda got, want: _compare_numbers(got, want, tolerance, kind, "it")
        )
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
    if m := _compare_infinite(got, want, finite, kind, what):
        return m
    difference = (got - want).abs()[finite]
    if difference.numel() and float(difference.max()) > tolerance:
        wrong, most = int((difference > tolerance).sum()), f"{float(difference.max()):.3g}"
        if want.numel() == 1:
            return Mismatch(kind, f"the number is off by {most}")
        return Mismatch(kind, f"{wrong} of {want.numel()} numbers differ, by up to {most}")
    return None


def _compare_infinite(got: Tensor, want: Tensor, finite: Tensor, kind: str, what: str) -> Mismatch | None:
    one = want.numel() == 1
    if not torch.equal(got.isfinite(), finite):
        nan, infinite = ("nan", "has NaN", got.isnan()), ("infinite", "is infinite", got.isinf())
        for name, has, wrong in (nan, infinite):
            if (wrong & finite).any():
                how_many = "" if one else f" in {int(wrong.sum())} of {got.numel()} entries"
                return Mismatch(name, f"{what} {'is NaN' if one and name == 'nan' else has}{how_many}")
        return Mismatch(kind, f"{what} should be infinite{'' if one else ' in places'}, and is not")
    if not torch.equal(got.nan_to_num()[~finite], want.nan_to_num()[~finite]):
        if one:
            return Mismatch(kind, f"{what} should be {float(want)}, and is {float(got)}")
        return Mismatch(kind, f"{what} differs where it is infinite")
    return None


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
