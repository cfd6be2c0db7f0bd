"""Exercise 6.2: how large each first weight is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import gpt

INNER = ("attention.query", "attention.key", "attention.value", "feedforward.hidden")
OUTPUTS = ("attention.output", "feedforward.output")
NORMS = ("attention_norm", "feedforward_norm")


def _case(g: torch.Generator, name: str, *, default: bool = False) -> Case:
    n_layers = int(torch.randint(3, 49, (), generator=g))
    init_std = float(torch.randint(30, 200, (), generator=g)) / 1000
    arguments = {"name": name, "n_layers": n_layers}
    return Case(arguments if default else {**arguments, "init_std": init_std})


def _block(g: torch.Generator) -> str:
    return f"blocks.{int(torch.randint(0, 48, (), generator=g))}"


def _drawn(g: torch.Generator) -> Iterator[Case]:
    for name in ("token_embedding.weight", "positions.weight", "head.weight"):
        yield _case(g, name)
    for layer in INNER:
        yield _case(g, f"{_block(g)}.{layer}.weight")
    yield _case(g, f"{_block(g)}.attention.key.weight", default=True)


def _constants(g: torch.Generator) -> Iterator[Case]:
    for layer in (*INNER, *OUTPUTS, *NORMS):
        yield _case(g, f"{_block(g)}.{layer}.bias")
    for layer in NORMS:
        yield _case(g, f"{_block(g)}.{layer}.weight")
    yield _case(g, "norm.weight")
    yield _case(g, "norm.bias")


def _depth(g: torch.Generator) -> Iterator[Case]:
    for layer in OUTPUTS:
        for _ in range(2):
            yield _case(g, f"{_block(g)}.{layer}.weight")
    yield _case(g, f"{_block(g)}.feedforward.output.weight", default=True)


# --- Mistakes


def _variant(
    *,
    divisor: Callable[[int], float] = lambda n_layers: math.sqrt(2 * n_layers),
    outputs: Callable[[str], bool] = lambda name: name.endswith("output.weight"),
    constant: Callable[[str], bool] = lambda name: "norm" in name or name.endswith("bias"),
    constant_value: float = 0.0,
    fixed: bool = False,
) -> Callable[..., float]:
    def std(name, n_layers, init_std=0.02):
        size = 0.02 if fixed else init_std
        if constant(name):
            return constant_value
        return size / divisor(n_layers) if outputs(name) else size

    return std


def _norms_start_at_one(name, n_layers, init_std=0.02):
    if name.endswith("bias"):
        return 0.0
    if "norm" in name:
        return 1.0
    return init_std / math.sqrt(2 * n_layers) if name.endswith("output.weight") else init_std


def _depth_of_this_block(name, n_layers, init_std=0.02):
    if "norm" in name or name.endswith("bias"):
        return 0.0
    if name.endswith("output.weight"):
        return init_std / math.sqrt(2 * (int(name.split(".")[1]) + 1))
    return init_std


MISCONCEPTIONS = (
    Misconception(
        "depth-forgotten",
        "all matrices are drawn alike, whatever the depth",
        "The layers that add to the stream add up, block after block. What does that do to its size?",
        _variant(outputs=lambda name: False),
    ),
    Misconception(
        "one-addition-a-block",
        "the size is divided by √n_layers, as if each block added once",
        "How many layers of one block add their output to the stream?",
        _variant(divisor=math.sqrt),
    ),
    Misconception(
        "no-root",
        "the size is divided by 2 · n_layers, without the root",
        "Variances add up, not standard deviations. By what must each standard deviation shrink?",
        _variant(divisor=lambda n_layers: 2 * n_layers),
    ),
    Misconception(
        "larger-with-depth",
        "the size grows with the depth instead of shrinking",
        "More additions make a larger sum: each of them should be smaller.",
        _variant(divisor=lambda n_layers: 1 / math.sqrt(2 * n_layers)),
    ),
    Misconception(
        "all-smaller",
        "every matrix is drawn smaller, not only those that add to the stream",
        "Which layers write into the stream? The others only read from it.",
        _variant(outputs=lambda name: True),
    ),
    Misconception(
        "only-attention",
        "only attention's output is drawn smaller",
        "A block has a second layer whose output is added.",
        _variant(outputs=lambda name: name.endswith("attention.output.weight")),
    ),
    Misconception(
        "only-feedforward",
        "only the feed-forward network's output is drawn smaller",
        "A block has another layer whose output is added, before this one.",
        _variant(outputs=lambda name: name.endswith("feedforward.output.weight")),
    ),
    Misconception(
        "head-too",
        "the head is drawn smaller too, as if it added to the stream",
        "The head reads the stream once, at the end. Nothing is added there.",
        _variant(outputs=lambda name: name.endswith("output.weight") or name.startswith("head")),
    ),
    Misconception(
        "depth-of-this-block",
        "the number of this block is used, not the number of all blocks",
        "The sum at the end has as many terms as all blocks together add.",
        _depth_of_this_block,
    ),
    Misconception(
        "biases-drawn",
        "biases are drawn at random as well",
        "A bias starts at 0, so nothing is drawn for it.",
        _variant(constant=lambda name: "norm" in name),
    ),
    Misconception(
        "norms-drawn",
        "the scales of the norms are drawn at random as well",
        "A norm starts as a plain norm: scale 1, shift 0. A constant has no spread.",
        _variant(constant=lambda name: name.endswith("bias")),
    ),
    Misconception(
        "final-norm-drawn",
        "the norm after the last block is not recognised as one",
        "The blocks' norms are called attention_norm and feedforward_norm, and the last one only norm.",
        _variant(constant=lambda name: "_norm" in name or name.endswith("bias")),
    ),
    Misconception(
        "value-for-spread",
        "this gives the value at which a norm's scale starts, not its spread",
        "How far do numbers lie apart that are all equal?",
        _norms_start_at_one,
    ),
    Misconception(
        "always-two-hundredths",
        "the size is 0.02 whatever `init_std` says",
        "0.02 is only the default.",
        _variant(fixed=True),
    ),
)


# --- Right answers in another form


def _by_ending(name, n_layers, init_std=0.02):
    if not name.endswith(".weight") or name.endswith("norm.weight"):
        return 0
    return init_std * (2 * n_layers) ** -0.5 if name.endswith(".output.weight") else init_std


def _by_table(name, n_layers, init_std=0.02):
    part = name.split(".")[-2]
    smaller = init_std / math.sqrt(n_layers + n_layers)
    sizes = {"output": smaller, "norm": 0.0, "attention_norm": 0.0, "feedforward_norm": 0.0}
    return 0.0 if "bias" in name else sizes.get(part, init_std)


def _by_variance(name, n_layers, init_std=0.02):
    if "norm" in name or "bias" in name:
        return 0.0
    variance = init_std**2
    if "output" in name:
        variance = variance / n_layers / 2
    return math.sqrt(variance)


def _by_tensor(name, n_layers, init_std=0.02):
    if "norm" in name or name.split(".")[-1] == "bias":
        return 0.0
    additions = 2 * n_layers if ".output." in name else 1
    return float(init_std / torch.tensor(float(additions)).sqrt())


ALTERNATIVES = (
    Alternative("by the end of the name", _by_ending),
    Alternative("a table of the parts", _by_table),
    Alternative("through the variance", _by_variance),
    Alternative("the root taken by torch", _by_tensor),
)

EXERCISE = Exercise(
    name="gpt.initial_std",
    number="6.2",
    title="How large is each first weight?",
    minutes=8,
    difficulty=1,
    reference=gpt.initial_std,
    checks=(
        Check("draws the tables, the head and the inner matrices with `init_std`", 1, _drawn),
        Check("draws nothing for biases and norms", 1, _constants),
        Check("draws what adds to the stream smaller, by the number of additions", 2, _depth),
    ),
    hints=(
        "Cut the name at its dots. The last piece says weight or bias; the piece before it says which layer.",
        "There are three kinds of parameters: those that start as a constant, those that write into the "
        "stream, and all others.",
        "If m independent outputs are added, the variance of the sum is m times the variance of one. How "
        "many outputs do n_layers blocks add, and what must each standard deviation be divided by?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
