"""Wrong masks that hold numbers in the place of booleans, whatever the mask is of."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from autograder.exercise import Misconception
from autograder.exercises import mistakes

Mask = Callable[..., Tensor]


def _then(right: Mask, change: Callable[[Tensor], Tensor]) -> Mask:
    @wraps(right)
    def changed(*arguments, **named):
        return change(right(*arguments, **named))

    return changed


def _to_be_added(mask: Tensor) -> Tensor:
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf)


def not_boolean(right: Mask) -> tuple[Misconception, ...]:
    """The mistakes of a mask whose pattern is right."""
    return (
        Misconception(
            "float-ones",
            "the mask is made of the floats 1.0 and 0.0, not of booleans",
            "The pattern is right. The answer should be boolean, so that `~mask` and `masked_fill` work.",
            _then(right, torch.Tensor.float),
        ),
        Misconception("whole-numbers", *mistakes.WHOLE_NUMBERS_IN_A_MASK, _then(right, torch.Tensor.long)),
        Misconception("to-be-added", *mistakes.MASK_TO_BE_ADDED, _then(right, _to_be_added)),
    )
