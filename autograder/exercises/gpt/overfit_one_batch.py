"""Exercise 6.5: a recipe with which a small GPT learns one batch by heart within 15 steps.

The answer is the recipe, not a result: the check trains with it, on batches that nobody has seen.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from autograder.exercise import Alternative, Check, Exercise, Judge
from autograder.exercises import reading
from autograder.exercises.reading import Unusable
from autograder.judging import is_number
from llmlib.gpt import GPT, GPTConfig

V, BATCH, LENGTH = 20, 4, 16
BEGUN, TARGET = 1.0, 0.1
# Name, whole number or not, smallest, largest.
LIMITS = (
    ("learning_rate", False, 0.0, 10.0),
    ("init_std", False, 0.0, 10.0),
    ("d_model", True, 4, 64),
    ("n_layers", True, 1, 4),
    ("steps", True, 1, 15),
)
NAMES = tuple(name for name, *_ in LIMITS)


def draw_batch(generator: torch.Generator) -> Int[Tensor, "batch longer"]:
    """Random tokens. The texts begin differently, so that every token can be known from those before it."""
    tokens = torch.randint(0, V, (BATCH, LENGTH + 1), generator=generator)
    tokens[:, 0] = torch.randperm(V, generator=generator)[:BATCH]
    return tokens


def overfit(tokens: Tensor, seed: int, recipe: tuple[float, ...]) -> float:
    """The loss on the batch after training on nothing else."""
    learning_rate, init_std, d_model, n_layers, steps = recipe
    config = GPTConfig(V, LENGTH, int(d_model), int(n_layers), n_heads=4, init_std=init_std, fused=True)
    model = GPT(config, generator=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    with torch.enable_grad():
        for _ in range(int(steps)):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
            optimizer.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()))


@cache
def _loss(seed: int, recipe: tuple[float, ...]) -> float:
    return overfit(draw_batch(torch.Generator().manual_seed(seed)), seed, recipe)


def _read(recipe: Any) -> tuple[float, ...]:
    given = reading.fields("`recipe`", recipe, NAMES)
    values = []
    for name, is_whole, smallest, largest in LIMITS:
        value = given[name]
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if not is_number(value) or (is_whole and not isinstance(value, int)):
            raise Unusable(
                f"{name} should be a {'whole ' if is_whole else ''}number: it is {reading.kind(value)}"
            )
        if not smallest <= value <= largest or (not is_whole and value == 0):
            raise Unusable(f"{name} should lie between {smallest:g} and {largest:g}: it is {value:g}")
        values.append(value)
    if values[2] % 4:
        raise Unusable(f"d_model should be a multiple of the 4 heads: it is {values[2]}")
    return tuple(values)


def _judge(target: float, seeds: int) -> Judge:
    def judgement(recipe: tuple[float, ...], generator: torch.Generator) -> str | None:
        for _ in range(seeds):
            seed = int(torch.randint(0, 2**31, (), generator=generator))
            loss = _loss(seed, recipe)
            if not loss < target:  # NaN, too
                return (
                    f"with this recipe the loss on a batch of random tokens ends at {loss:.2f}: "
                    f"below {target:g} is asked for"
                )
        return None

    return reading.judged("recipe", _read, judgement, "a plain dict of numbers")


def _recipe(*values: float) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


EXERCISE = Exercise(
    name="gpt.overfit_one_batch",
    number="6.5",
    title="Experiment: one batch by heart, in 15 steps",
    kind="experiment",
    answer_name="recipe",
    minutes=15,
    difficulty=2,
    checks=(
        Check(f"brings the loss below {BEGUN:g}", 1, judge=_judge(BEGUN, 1)),
        Check(f"brings the loss below {TARGET:g}, on three batches", 2, judge=_judge(TARGET, 3)),
    ),
    hints=(
        "Change one thing at a time, and by a factor, not by a little: 3 times as much, then a third. Write "
        "down what comes out.",
        "Is the loss still falling at the last step, or does it jump up and down? The first asks for larger "
        "steps, or a larger model, the second for smaller steps.",
        "A narrow model with small first weights hardly tells its tokens apart at the start. Try first "
        "weights some times larger, a wider model, and a learning rate ten times that of the cell above.",
    ),
    alternatives=(
        Alternative("one wide block", lambda: _recipe(0.01, 0.1, 64, 1, 15)),
        Alternative("one wide block, larger first weights", lambda: _recipe(0.01, 0.2, 64, 1, 15)),
        Alternative("two wide blocks", lambda: _recipe(0.01, 0.15, 64, 2, 15)),
    ),
)
