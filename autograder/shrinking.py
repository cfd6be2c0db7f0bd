"""The smallest counterexample: shrink a failing case until the learner can follow it by hand.

The axes' names in the reference's annotations say which sizes belong together: shortening `d_k` shortens it
in `query` and in `key`. Leading axes are dropped first, then named axes shrink towards 1, then numbers are
rounded. A smaller case is kept if the answer is still wrong on it in the same way.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Case

MOST_TRIALS = 80


def axes_of(function: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    """The axis names that jaxtyping annotations give, by argument name; the result's under "return"."""
    annotations = dict(inspect.get_annotations(function))
    found = {}
    for name, annotation in annotations.items():
        text = annotation if isinstance(annotation, str) else getattr(annotation, "dim_str", "")
        if isinstance(annotation, str):
            match = re.search(r"\[\s*Tensor\s*,\s*[\"']([^\"']*)[\"']\s*\]", annotation)
            text = match.group(1) if match else ""
        if text.strip():
            found[name] = tuple(text.split())
    return found


def fixed_lengths_of(function: Callable[..., Any]) -> frozenset[str]:
    """The arguments whose annotation fixes their length: tuples like `pair: tuple[int, int]`."""
    annotations = {name: str(annotation) for name, annotation in inspect.get_annotations(function).items()}
    return frozenset(n for n, text in annotations.items() if text.startswith("tuple[") and "..." not in text)


def shrink(
    case: Case,
    axes: Mapping[str, tuple[str, ...]],
    still_wrong: Callable[[Case], bool],
    whole: frozenset[str] = frozenset(),
) -> Case:
    """A case as small as can be found on which `still_wrong` holds. It holds on `case` itself.

    The arguments in `whole` keep their length.
    """
    trials = 0
    progress = True
    while progress and trials < MOST_TRIALS:
        progress = False
        for smaller in _smaller(case, axes, whole):
            trials += 1
            if trials > MOST_TRIALS:
                break
            if still_wrong(smaller):
                case, progress = smaller, True
                break
    for rounding in (_whole, _tenths):
        rounded = _map_floats(case, rounding)
        if still_wrong(rounded):
            return rounded
    return case


def _smaller(case: Case, axes: Mapping[str, tuple[str, ...]], whole: frozenset[str]) -> Iterator[Case]:
    tensors = {n: v for n, v in case.arguments.items() if isinstance(v, Tensor)}
    fixed = {n: _fixed(axes.get(n, ()), v) for n, v in tensors.items()}
    # A counterexample that needs no mask is easier to read.
    yield from (_with(case, {n: None}) for n, v in tensors.items() if v.dtype == torch.bool)
    # Drop the outermost free axis: keep one of its rows.
    free = {
        n: v.dim() - len(fixed[n])
        for n, v in tensors.items()
        if any(a.startswith("*") for a in axes.get(n, ()))
    }
    if most := max(free.values(), default=0):
        outermost = [n for n, count in free.items() if count == most]
        for row in range(max(tensors[n].shape[0] for n in outermost)):
            # A broadcast axis of length 1 has only its row 0.
            yield _with(case, {n: tensors[n][min(row, tensors[n].shape[0] - 1)] for n in outermost})
    # Shorten a named axis everywhere at once.
    sizes = {a: v.shape[i] for n, v in tensors.items() for a, i in fixed[n].items() if v.shape[i] > 1}
    for axis, size in sizes.items():
        if axis in (case.construct or {}):  # a module is made for this size
            continue
        for target in sorted({1, 2, size - 1}):
            if target < size:
                yield _with(case, {n: _cut(v, fixed[n].get(axis), size, target) for n, v in tensors.items()})
    # Axes without a name of their own ("*shape") shrink one by one.
    for n, v in tensors.items():
        if not fixed[n]:
            for i, size in enumerate(v.shape):
                yield from (
                    _with(case, {n: v.narrow(i, 0, t)}) for t in sorted({1, 2, size - 1}) if 1 <= t < size
                )
    for n, value in case.arguments.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            yield from (_with(case, {n: target}) for target in sorted({1, 2, value - 1}) if target < value)
        # Texts and lists: either half, then all but one end.
        if isinstance(value, str | bytes | list | tuple) and len(value) > 1 and n not in whole:
            half = len(value) // 2
            for part in (value[:half], value[half:], value[:-1], value[1:]):
                yield _with(case, {n: part})


def _fixed(dims: tuple[str, ...], value: Tensor) -> dict[str, int]:
    """The named axes of this tensor and their places, counted from the end."""
    names = [d.lstrip("#") for d in dims if not d.startswith("*")]
    places = {name: place - len(names) for place, name in enumerate(names)}
    return {name: place for name, place in places.items() if value.dim() >= -place}


def _cut(value: Tensor, place: int | None, size: int, target: int) -> Tensor:
    if place is None or value.shape[place] != size:  # absent here, or broadcast
        return value
    return value.narrow(place, 0, target)


def _with(case: Case, changes: Mapping[str, Any]) -> Case:
    return replace(case, arguments={**case.arguments, **changes})


def _map_floats(case: Case, rounding: Callable[[Tensor], Tensor]) -> Case:
    def change(value: Any) -> Any:
        return rounding(value) if isinstance(value, Tensor) and value.is_floating_point() else value

    return replace(
        case,
        arguments={n: change(v) for n, v in case.arguments.items()},
        weights={n: change(v) for n, v in case.weights.items()},
    )


def _whole(x: Tensor) -> Tensor:
    return x.round()


def _tenths(x: Tensor) -> Tensor:
    return (x * 10).round() / 10
