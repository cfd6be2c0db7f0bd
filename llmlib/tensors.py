"""Four small tools that every later chapter leans on: an error, a shape, distances, windows of a text.

Sources: PyTorch, "Broadcasting semantics", and NumPy, "Broadcasting", for the rule of `broadcast_shape`.
"""

from __future__ import annotations

from itertools import zip_longest

import torch
from jaxtyping import Float, Int
from torch import Tensor


def mean_squared_error(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """How far predictions lie from their targets: the average of the squared differences.

    Raises:
        ValueError: the shapes differ. Broadcasting would silently compare the wrong pairs.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape: got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}"
        )
    return ((prediction - target) ** 2).mean()


def broadcast_shape(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the result when tensors of these two shapes are added.

    The shapes are laid on each other at their right ends, and a missing size counts as 1. Two sizes fit if
    they are equal or if one of them is 1; the result takes the other one.

    Raises:
        ValueError: two sizes do not fit.

    Source: PyTorch, "Broadcasting semantics".
    """
    sizes = []
    for a, b in zip_longest(reversed(first), reversed(second), fillvalue=1):
        if a != b and a != 1 and b != 1:
            raise ValueError(f"shapes {first} and {second} do not fit: {a} meets {b}, and neither is 1")
        sizes.append(b if a == 1 else a)
    return tuple(reversed(sizes))


def pairwise_distances(
    points: Float[Tensor, "points features"], others: Float[Tensor, "others features"]
) -> Float[Tensor, "points others"]:
    """How far each point lies from each of the others: row i, column j is from points[i] to others[j].

    The distance is the one of school geometry: the root of the sum of the squared differences.

    Raises:
        ValueError: points and others differ in their number of features.
    """
    if points.shape[-1] != others.shape[-1]:
        raise ValueError(
            f"points and others must agree in features: got {points.shape[-1]} and {others.shape[-1]}"
        )
    differences = points[:, None, :] - others[None, :, :]
    return (differences**2).sum(dim=-1).sqrt()


def sliding_windows(tokens: Int[Tensor, " corpus"], length: int) -> Int[Tensor, "windows length"]:
    """Every stretch of `length` neighbouring tokens, each one step further than the one before.

    Raises:
        ValueError: `length` is smaller than 1, or the text is shorter than one window.
    """
    if not 1 <= length <= len(tokens):
        raise ValueError(f"length must lie between 1 and the {len(tokens)} tokens of the text: got {length}")
    starts = torch.arange(len(tokens) - length + 1, device=tokens.device)
    steps = torch.arange(length, device=tokens.device)
    return tokens[starts[:, None] + steps]
