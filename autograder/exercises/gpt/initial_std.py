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


def _output_before_bias(name, n_layers, init_std=0.02):
    if ".output." in name:
        return init_std / math.sqrt(2 * n_layers)
    return 0.0 if "norm" in name or name.endswith("bias") else init_std


def _one_over_the_root(name, n_layers, init_std=0.02):
    if name.endswith("output.weight"):
        return 1 / math.sqrt(2 * n_layers)
    return 0.0 if "norm" in name or name.endswith("bias") else init_std


def _outputs_two_hundredths(name, n_layers, init_std=0.02):
    if name.endswith("output.weight"):
        return 0.02 / math.sqrt(2 * n_layers)
    return 0.0 if "norm" in name or name.endswith("bias") else init_std


def _variances(name, n_layers, init_std=0.02):
    return _variant()(name, n_layers, init_std) ** 2


def _nothing_for_constants(name, n_layers, init_std=0.02):
    return _variant()(name, n_layers, init_std) or None


def _fixed_piece(name, n_layers, init_std=0.02):
    if "norm" in name or name.endswith("bias"):
        return 0.0
    return init_std / math.sqrt(2 * n_layers) if name.split(".")[3] == "output" else init_std


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
    Misconception(
        "output-biases-drawn",
        "the biases of the output layers are drawn, with the size of their weights",
        "Ask for the bias before you ask for the layer: every bias starts at 0.",
        _output_before_bias,
    ),
    Misconception(
        "whole-blocks-smaller",
        "everything in a block is drawn smaller",
        "A block has six matrices. Two of them write into the stream.",
        _variant(outputs=lambda name: name.startswith("blocks")),
    ),
    Misconception(
        "hidden-smaller",
        "the layer that widens is drawn smaller, not those that add to the stream",
        "Whose result is added: that of `hidden`, or that of `output`?",
        _variant(outputs=lambda name: "hidden" in name),
    ),
    Misconception(
        "value-too",
        "attention's values are drawn smaller too",
        "Values are mixed inside attention. What is added to the stream comes out of its output layer.",
        _variant(outputs=lambda name: "output" in name or "value" in name),
    ),
    Misconception(
        "root-of-two-only",
        "the size is divided by √2 · n_layers: the root reaches the 2 alone",
        "Both factors stand under the root. Try 8 layers: the divisor is 4.",
        _variant(divisor=lambda n_layers: math.sqrt(2) * n_layers),
    ),
    Misconception(
        "twice-the-root",
        "the size is divided by 2 · √n_layers: the 2 stands outside the root",
        "Both factors stand under the root. Try 8 layers: the divisor is 4.",
        _variant(divisor=lambda n_layers: 2 * math.sqrt(n_layers)),
    ),
    Misconception(
        "multiplied-by-layers",
        "the size is divided by √2 and then multiplied by n_layers: brackets are missing",
        "Division and multiplication are done from left to right. Put what you divide by in brackets.",
        _variant(divisor=lambda n_layers: math.sqrt(2) / n_layers),
    ),
    Misconception(
        "one-layer-more",
        "one addition too many is counted",
        "Two for each block, and none besides.",
        _variant(divisor=lambda n_layers: math.sqrt(2 * n_layers + 1)),
    ),
    Misconception(
        "one-over-the-root",
        "the layers that add to the stream do not see `init_std`",
        "Start from `init_std` and make it smaller.",
        _one_over_the_root,
    ),
    Misconception(
        "outputs-two-hundredths",
        "the layers that add to the stream start from 0.02 whatever `init_std` says",
        "0.02 is only the default.",
        _outputs_two_hundredths,
    ),
    Misconception(
        "block-norms-drawn",
        "only the norm after the last block is recognised as one",
        "The blocks' norms are called attention_norm and feedforward_norm.",
        _variant(constant=lambda name: name.startswith("norm.") or name.endswith("bias")),
    ),
    Misconception(
        "variances",
        "these are variances, not standard deviations",
        "A variance is the square of what is asked for.",
        _variances,
    ),
    Misconception(
        "nothing-for-constants",
        "nothing comes back for biases and norms",
        "A constant has no spread. Which number says so?",
        _nothing_for_constants,
    ),
    Misconception(
        "fixed-piece",
        "a piece of the name is read that not every name has",
        "Names have two to four pieces, and more dots in blocks. Count from the end.",
        _fixed_piece,
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
    whole=("name",),
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
