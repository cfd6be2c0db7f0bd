"""Wrong ways of clipping a gradient, for the exercise that exposes them.

Each takes the gradients of all parameters and the longest length allowed, and returns the gradients as they
should be and the length that they had, as `right` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from autograder.exercise import Misconception
from llmlib.clipping import clip_gradients

Clipped = tuple[list[Tensor], Tensor]
LEAST = 1e-12  # a gradient of zeros has no direction


def right(gradients: Sequence[Tensor], max_norm: float) -> Clipped:
    """What `llmlib.clipping.clip_gradients` does, on gradients without a model."""
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    length = clip_gradients(parameters, max_norm)
    return [parameter.grad for parameter in parameters if parameter.grad is not None], length


def _length(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def _shortened(gradients: Sequence[Tensor], length: Tensor, max_norm: float) -> list[Tensor]:
    scale = (max_norm / length.clamp(min=LEAST)).clamp(max=1.0)
    return [gradient * scale for gradient in gradients]


def _measured(measure: Callable[[Sequence[Tensor]], Tensor]) -> Callable[..., Clipped]:
    """Clip by another length."""

    def clip(gradients, max_norm):
        length = measure(gradients)
        return _shortened(gradients, length, max_norm), length

    return clip


def _if_too_long(change: Callable[[list[Tensor], Tensor, float], list[Tensor]]) -> Callable[..., Clipped]:
    """Do another thing where the gradient is too long."""

    def clip(gradients, max_norm):
        length = _length(gradients)
        too_long = bool(length > max_norm)
        return change(list(gradients), length, max_norm) if too_long else list(gradients), length

    return clip


def _returning(
    length: Callable[[Sequence[Tensor], Sequence[Tensor], float], Tensor],
) -> Callable[..., Clipped]:
    """Clip as one should, and return another length."""

    def clip(gradients, max_norm):
        clipped = _shortened(gradients, _length(gradients), max_norm)
        return clipped, length(gradients, clipped, max_norm)

    return clip


def _each_alone(gradients, max_norm):
    clipped = [_shortened([gradient], gradient.norm(), max_norm)[0] for gradient in gradients]
    return clipped, _length(gradients)


def _always_rescaled(gradients, max_norm):
    length = _length(gradients)
    return [gradient * (max_norm / length.clamp(min=LEAST)) for gradient in gradients], length


def _never(gradients, max_norm):
    return list(gradients), _length(gradients)


def _short_ones(gradients, max_norm):
    length = _length(gradients)
    scale = (max_norm / length.clamp(min=LEAST)).clamp(min=1.0)
    return [gradient * scale for gradient in gradients], length


def _by_the_largest_entry(gradients, max_norm):
    length = _length(gradients)
    if max(float(gradient.abs().max()) for gradient in gradients) <= max_norm:
        return list(gradients), length
    return _shortened(gradients, length, max_norm), length


def _longest_only(gradients, length, max_norm):
    longest = max(range(len(gradients)), key=lambda place: float(gradients[place].norm()))
    return [
        _shortened([gradient], gradient.norm(), max_norm)[0] if place == longest else gradient
        for place, gradient in enumerate(gradients)
    ]


MEASURE = (
    Misconception(
        "each-parameter-alone",
        "each parameter's gradient is clipped for itself",
        "Take two parameters that are short alone and too long together.",
        _each_alone,
    ),
    Misconception(
        "lengths-added-up",
        "the lengths of the parameters are added up",
        "Lengths of 3 and 4 at a right angle make 5, not 7.",
        _measured(lambda gradients: torch.stack([gradient.norm() for gradient in gradients]).sum()),
    ),
    Misconception(
        "root-of-summed-lengths",
        "the lengths are added up without being squared again, and the root is taken of that",
        "Take lengths that are far from 1.",
        _measured(lambda gradients: torch.stack([gradient.norm() for gradient in gradients]).sum().sqrt()),
    ),
    Misconception(
        "no-root",
        "the root of the sum of squares is forgotten",
        "Squares of numbers below 1 are smaller, of those above 1 larger.",
        _measured(lambda gradients: _length(gradients).square()),
    ),
    Misconception(
        "absolute-values",
        "absolute values are added up instead of squares",
        "Take a parameter with two entries.",
        _measured(lambda gradients: torch.cat([g.flatten() for g in gradients]).abs().sum()),
    ),
    Misconception(
        "largest-entry",
        "the largest entry counts as the length",
        "Take entries that are short alone and too long together.",
        _measured(lambda gradients: torch.stack([gradient.abs().max() for gradient in gradients]).max()),
    ),
    Misconception(
        "root-mean-square",
        "the squares are averaged, not added up",
        "Take several entries.",
        _measured(
            lambda gradients: _length(gradients) / sum(gradient.numel() for gradient in gradients) ** 0.5
        ),
    ),
    Misconception(
        "first-parameter",
        "only the first parameter is measured",
        "Let the first parameter be short, and the second one long.",
        _measured(lambda gradients: gradients[0].norm()),
    ),
    Misconception(
        "longest-parameter",
        "only the longest parameter is measured",
        "Let none be much longer than the others.",
        _measured(lambda gradients: torch.stack([gradient.norm() for gradient in gradients]).max()),
    ),
)

WHEN = (
    Misconception(
        "always-rescaled",
        "short gradients are lengthened, too",
        "Take a gradient that is short enough.",
        _always_rescaled,
    ),
    Misconception(
        "never",
        "the length is measured, and nothing is clipped",
        "Take a gradient that is too long.",
        _never,
    ),
    Misconception(
        "short-ones",
        "short gradients are lengthened and long ones left as they are",
        "Take one gradient of each kind.",
        _short_ones,
    ),
    Misconception(
        "by-the-largest-entry",
        "the gradient is shortened only if a single entry is larger than allowed",
        "Take entries that are small and many.",
        _by_the_largest_entry,
    ),
)

HOW = (
    Misconception(
        "entries-clamped",
        "each entry is cut off at the limit, which turns the gradient",
        "Compare the directions before and after.",
        _if_too_long(lambda gradients, length, limit: [g.clamp(-limit, limit) for g in gradients]),
    ),
    Misconception(
        "length-one",
        "a gradient that is too long gets the length 1, whatever is allowed",
        "Allow another length than 1.",
        _if_too_long(lambda gradients, length, limit: [g / length for g in gradients]),
    ),
    Misconception(
        "multiplied-only",
        "a gradient that is too long is multiplied by the limit, and not divided by its length",
        "Allow a length that is not the inverse of how long the gradient is.",
        _if_too_long(lambda gradients, length, limit: [g * limit for g in gradients]),
    ),
    Misconception(
        "thrown-away",
        "a gradient that is too long is thrown away",
        "Clipping keeps the direction.",
        _if_too_long(lambda gradients, length, limit: [torch.zeros_like(g) for g in gradients]),
    ),
    Misconception(
        "sign-lost",
        "the signs are lost on the way",
        "Take entries of both signs.",
        _if_too_long(lambda gradients, length, limit: [g.abs() * (limit / length) for g in gradients]),
    ),
    Misconception(
        "longest-only",
        "only the longest parameter is shortened",
        "Take two parameters of similar length.",
        _if_too_long(_longest_only),
    ),
    Misconception(
        "scaled-twice",
        "the gradient is scaled twice, and ends too short",
        "Look at the length afterwards.",
        _if_too_long(lambda gradients, length, limit: [g * (limit / length) ** 2 for g in gradients]),
    ),
)

RETURNS = (
    Misconception(
        "length-afterwards",
        "the length after clipping is returned, which never tells of a steep place",
        "Take a gradient that is too long, and look at what is returned.",
        _returning(lambda gradients, clipped, limit: _length(clipped)),
    ),
    Misconception(
        "excess",
        "what is returned is by how much the gradient was too long",
        "Look at what is returned.",
        _returning(lambda gradients, clipped, limit: (_length(gradients) - limit).clamp(min=0.0)),
    ),
    Misconception(
        "factor",
        "the factor is returned, not the length",
        "Look at what is returned.",
        _returning(
            lambda gradients, clipped, limit: (limit / _length(gradients).clamp(min=LEAST)).clamp(max=1.0)
        ),
    ),
)
