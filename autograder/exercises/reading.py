"""What a learner wrote in the place of a value, read strictly: usable, or one sentence that says why not.

The readers return plain values of known types and sizes, or raise `Unusable`. A `name` is how messages speak
of what is read: "`probes[1]`", "the mask of `probes[1]`".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from autograder.exercise import Judge

Read = TypeVar("Read")
FLOATS = (torch.float32, torch.float64)


class Unusable(ValueError):
    """The answer, or a part of it, cannot be used; the message says why."""


def judged(
    name: str,
    read: Callable[[Any], Read],
    judgement: Callable[[Read, torch.Generator], str | None],
    made_of: str,
) -> Judge:
    """The judge that reads an answer and, if it can be used, judges what was read.

    Nothing is recorded for gradients, and nobody else's random numbers are touched.

    made_of: what to write, for an object that only pretends: "plain lists, dicts and tensors".
    """

    def judge(answer: Any, generator: torch.Generator) -> str | None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                usable = read(answer)
            except Unusable as problem:
                return str(problem)
            except Exception as problem:  # an object that only pretends to be a list, a dict or a tensor
                return f"`{name}` cannot be read ({type(problem).__name__}): use {made_of}"
            return judgement(usable, generator)

    return judge


def kind(value: Any) -> str:
    """What came in the place of something else."""
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"


def entries(
    name: str, value: Any, read: Callable[[str, Any], Read], most: int, of: str = "dicts", one: str = "probe"
) -> list[Read]:
    """A list of 1 to `most` entries, each read under its own name.

    Raises:
        Unusable: no list, an empty one or a long one; or what `read` says of an entry.
    """
    if not isinstance(value, list | tuple):
        raise Unusable(f"`{name}` should be a list of {of}, but it is {kind(value)}")
    if not value:
        raise Unusable(f"the list is empty: write at least one {one}")
    if len(value) > most:
        raise Unusable(f"at most {most} {one}s, please: there are {len(value)}")
    return [read(f"`{name}[{place}]`", entry) for place, entry in enumerate(value)]


def fields(name: str, value: Any, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """A dict with these keys and no others.

    Raises:
        Unusable: no dict, an unknown key or a missing one.
    """
    known = (*needed, *optional)
    if not isinstance(value, dict):
        asked = f"{', '.join(needed)} and, if you like, {_and(optional)}" if optional else _and(needed)
        raise Unusable(f"{name} should be a dict with {asked}: it is {kind(value)}")
    if unknown := [key for key in value if key not in known]:
        raise Unusable(f"{name} has an unknown key {str(unknown[0])[:40]!r}: use {_and(known)}")
    if missing := [key for key in needed if key not in value]:
        raise Unusable(f"{name} has no {missing[0]!r}")
    return value


def _and(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def floats(
    name: str,
    value: Any,
    *,
    dims: tuple[int, int],
    longest: int,
    largest: float,
    most: int | None = None,
    dtypes: Sequence[torch.dtype] = FLOATS,
    axes: str = "",
) -> Tensor:
    """A small tensor of finite numbers: from so many to so many dimensions, each from 1 to `longest`.

    axes: what its dimensions are called, if they are always the same: "(batch, length, d_model)".

    Raises:
        Unusable: another type, dtype or layout, too many dimensions or numbers, or too large ones.
    """
    if not isinstance(value, Tensor) or value.dtype not in dtypes:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        shaped = f" of shape {axes}" if axes else ""
        raise Unusable(f"{name} should be a {names} tensor{shaped}: it is {kind(value)}")
    shape = tuple(value.shape)
    if not dims[0] <= len(shape) <= dims[1]:
        wanted = f"the shape {axes}" if axes else f"from {dims[0]} to {dims[1]} dimensions"
        raise Unusable(f"{name} should have {wanted}: it has shape {shape}")
    if not all(1 <= size <= longest for size in shape):
        raise Unusable(f"every dimension of {name} should lie between 1 and {longest}: it has shape {shape}")
    if most is not None and value.numel() > most:
        raise Unusable(f"{name} should hold at most {most} numbers: it has shape {shape}")
    tensor = plain(name, value)
    if not tensor.isfinite().all():
        raise Unusable(
            f"{name} holds NaN or infinity: with such inputs there is no right answer to compare with"
        )
    if tensor.abs().max() > largest:
        raise Unusable(f"{name} holds numbers beyond ±{largest:g}: smaller ones are enough")
    return tensor


def mask(name: str, value: Any, scores: tuple[int, ...]) -> Tensor:
    """A boolean mask that broadcasts to the scores.

    Raises:
        Unusable: another type or dtype, or a shape that does not fit.
    """
    if not isinstance(value, Tensor) or value.dtype != torch.bool:
        raise Unusable(f"{name} should be a boolean tensor: it is {kind(value)}")
    tensor = plain(name, value)
    try:
        tensor.expand(scores)
    except RuntimeError:
        shape = tuple(tensor.shape)
        raise Unusable(f"{name} should broadcast to the scores {scores}: it has shape {shape}") from None
    return tensor


def few_scores(name: str, scores: tuple[int, ...], most: int = 4096) -> tuple[int, ...]:
    """The shape of the scores of attention, if there are not too many.

    Raises:
        Unusable: there are.
    """
    if math.prod(scores) > most:
        raise Unusable(f"{name} is too large: at most {most} scores, please; small inputs show as much")
    return scores


def rows(name: str, value: Any, *, most: int, axes: str, of: str = "rows", whole: bool = False) -> Tensor:
    """A tensor of two dimensions out of a list of lists or a tensor; whole numbers come back as int64.

    axes: what its two dimensions are called: "(batch, length)".

    Raises:
        Unusable: rows of different lengths, more than `most` numbers, none at all, or no numbers.
    """
    numbers = "whole numbers" if whole else "numbers"
    if isinstance(value, list | tuple):
        try:
            value = torch.tensor(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise Unusable(f"{name} should be {of} of equal length, each a list of {numbers}") from None
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_meta:
        raise Unusable(f"{name} should be a list of {of} or a tensor: they are {kind(value)}")
    if value.dtype == torch.bool or value.is_complex() or (whole and value.is_floating_point()):
        raise Unusable(f"{name} should be {numbers}: they are of {value.dtype}")
    if value.dim() != 2 or not 1 <= value.numel() <= most:
        raise Unusable(
            f"{name} should be a list of {of}, of the shape {axes}, with at most {most} numbers in all: "
            f"their shape is {tuple(value.shape)}"
        )
    tensor = plain(name, value)
    return tensor if tensor.is_floating_point() else tensor.long()


def plain(name: str, tensor: Tensor) -> Tensor:
    """On the CPU, without history, subclass or special layout.

    Raises:
        Unusable: a sparse tensor, or one without numbers.
    """
    if tensor.layout is not torch.strided or tensor.is_meta:
        raise Unusable(f"{name} should be an ordinary, dense tensor")
    return tensor.detach().as_subclass(Tensor).cpu()
