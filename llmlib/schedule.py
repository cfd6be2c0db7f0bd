"""The learning rate over a run: up in a straight line, down along half a cosine wave."""

from __future__ import annotations

import math


def cosine_schedule(
    step: float, *, steps: int, warmup_steps: int, learning_rate: float, min_learning_rate: float
) -> float:
    """The learning rate at a step, counted from 0.

    It rises in a straight line over the first `warmup_steps` steps, then falls along half a cosine wave to
    `min_learning_rate`, which it reaches at `steps` and keeps.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5.
    """
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if step >= steps:
        return min_learning_rate
    done = (step - warmup_steps) / (steps - warmup_steps)
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * done)) * (learning_rate - min_learning_rate)
