"""Exercise 6.1: how many numbers a GPT learns, by a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import gpt
from llmlib.transformer import TransformerBlock


def _shape(g: torch.Generator) -> dict[str, int]:
    """Sizes that all differ, so that no two parts have the same count."""
    vocab_size, context_length, d_model, n_layers = (
        int(torch.randint(low, high, (), generator=g)) for low, high in ((40, 70), (20, 39), (6, 19), (2, 5))
    )
    return {
        "vocab_size": vocab_size,
        "context_length": context_length,
        "d_model": d_model,
        "n_layers": n_layers,
    }


def _bare(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        yield Case({**_shape(g), "bias": False})


def _biases(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        yield Case(_shape(g))


def _width(g: torch.Generator) -> Iterator[Case]:
    for d_ff in (1, 23, 31, 50):
        yield Case({**_shape(g), "d_ff": d_ff, "bias": False})


def _head(g: torch.Generator) -> Iterator[Case]:
    yield Case({**_shape(g), "bias": False, "tie_weights": False})
    yield Case({**_shape(g), "tie_weights": False})


# --- Mistakes: each leaves out or repeats one part


def _variant(
    *,
    attention_matrices: int = 4,
    feedforward_matrices: int = 2,
    norms: int = 2,
    final_norm: bool = True,
    positions: bool = True,
    layers: bool = True,
    biases: Callable[[bool], bool] = bool,
    tied: Callable[[bool], bool] = bool,
    head_bias: bool = False,
    width: bool = True,
    norm_shift: bool = True,
) -> Callable[..., int]:
    def count(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
        bias, tie_weights = biases(bias), tied(tie_weights)
        d_ff = 4 * d_model if d_ff is None or not width else d_ff
        attention = attention_matrices * (d_model**2 + bias * d_model)
        feedforward = feedforward_matrices * d_model * d_ff + bias * (d_ff + d_model)
        norm = d_model + bias * norm_shift * d_model
        block = attention + feedforward + norms * norm
        head = 0 if tie_weights else vocab_size * d_model
        tables = (vocab_size + positions * context_length) * d_model
        total = tables + (n_layers if layers else 1) * block + final_norm * norm + head
        return total + head_bias * bias * vocab_size

    return count


def _rule_of_thumb(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    return 12 * n_layers * d_model**2 + (vocab_size + context_length) * d_model


def _exactly(
    *,
    biases: Callable[[int, int], int] = lambda d, f: 5 * d + f,
    feedforward: Callable[[int, int], int] = lambda d, f: 2 * d * f,
    norm: Callable[[int, bool], int] = lambda d, bias: d + bias * d,
    head: Callable[[int, bool, bool], int] = lambda matrix, tied, bias: 0 if tied else matrix,
    tables: Callable[[int, int, int, int], int] = lambda v, c, d, n: (v + c) * d,
    width: Callable[[int | None, int], int] = lambda d_ff, d: 4 * d if d_ff is None else d_ff,
) -> Callable[..., int]:
    """The right count, with one part of it as it is given."""

    def count(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
        d, f = d_model, width(d_ff, d_model)
        block = 4 * d * d + feedforward(d, f) + bias * biases(d, f) + 2 * norm(d, bias)
        output = head(vocab_size * d, tie_weights, bias) + norm(d, bias)
        return tables(vocab_size, context_length, d, n_layers) + n_layers * block + output

    return count


def _a_float(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    return _exactly()(vocab_size, context_length, d_model, n_layers, d_ff, bias, tie_weights) / 1


def _none_as_width(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    return _exactly(width=lambda d_ff, d: 1 * d_ff)(  # type: ignore[operator]
        vocab_size, context_length, d_model, n_layers, d_ff, bias, tie_weights
    )


MISCONCEPTIONS = (
    Misconception(
        "no-output-matrix",
        "attention has three matrices, not four",
        "Query, key and value make the heads. What happens to the heads' results once they lie side by side?",
        _variant(attention_matrices=3),
    ),
    Misconception(
        "one-feedforward-matrix",
        "the feed-forward network has one matrix, not two",
        "The network widens and then narrows again: each is a matrix of its own.",
        _variant(feedforward_matrices=1),
    ),
    Misconception(
        "one-norm-a-block",
        "each block has one norm, not two",
        "In a pre-norm block each of the two parts reads through a norm of its own.",
        _variant(norms=1),
    ),
    Misconception(
        "no-final-norm",
        "the norm after the last block is missing",
        "What stands between the last block and the head?",
        _variant(final_norm=False),
    ),
    Misconception(
        "no-positions",
        "the table of positions is not counted",
        "Learned positions are a table with one row for each place of the context.",
        _variant(positions=False),
    ),
    Misconception(
        "one-block",
        "only one block is counted, whatever n_layers says",
        "The blocks look alike, but each has weights of its own.",
        _variant(layers=False),
    ),
    Misconception(
        "never-biases",
        "biases are never counted",
        "Count for `bias=True` what each linear layer and each norm adds.",
        _variant(biases=lambda bias: False),
    ),
    Misconception(
        "always-biases",
        "biases are counted even when there are none",
        "With `bias=False` neither the linear layers nor the norms have a constant.",
        _variant(biases=lambda bias: True),
    ),
    Misconception(
        "norms-without-shift",
        "a norm's shift is not counted",
        "With `bias=True` a norm has a scale and a shift, both of the width of the model.",
        _variant(norm_shift=False),
    ),
    Misconception(
        "width-ignored",
        "d_ff is taken to be 4 · d_model even when it is given",
        "4 · d_model is only what None stands for.",
        _variant(width=False),
    ),
    Misconception(
        "head-always-counted",
        "the head is counted even when it is the token embedding",
        "With tied weights the head and the embedding are one matrix, and training changes it once.",
        _variant(tied=lambda tied: False),
    ),
    Misconception(
        "head-never-counted",
        "the head is not counted even when it has weights of its own",
        "With `tie_weights=False` there is one more matrix, as large as the embedding.",
        _variant(tied=lambda tied: True),
    ),
    Misconception(
        "head-with-bias",
        "the head has a bias for each token",
        "In a GPT the head is a plain matrix, with `bias=True` too.",
        _variant(head_bias=True),
    ),
    Misconception(
        "rule-of-thumb",
        "this is the rule of thumb 12 · n_layers · d_model², which leaves out the small parts",
        "The rule is good for an estimate. Here every number counts: norms, biases, another d_ff, the head.",
        _rule_of_thumb,
    ),
    Misconception(
        "some-biases-missing",
        "in each block 4 · d_model biases are missing",
        "Are they attention's four, or those of the layer that widens? Go through the table of parts again.",
        _exactly(biases=lambda d, f: 5 * d),
    ),
    Misconception(
        "wide-bias-twice",
        "both layers of the feed-forward network have a bias of the inner width",
        "A bias is as long as what comes out. How many numbers does the second layer make?",
        _exactly(biases=lambda d, f: 4 * d + 2 * f),
    ),
    Misconception(
        "narrow-bias-twice",
        "both layers of the feed-forward network have a bias of the model's width",
        "A bias is as long as what comes out. How many numbers does the first layer make?",
        _exactly(biases=lambda d, f: 6 * d),
    ),
    Misconception(
        "three-biases-of-attention",
        "attention has three biases, and the fourth matrix none",
        "The output layer is a linear layer like the others.",
        _exactly(biases=lambda d, f: 4 * d + f),
    ),
    Misconception(
        "no-biases-of-feedforward",
        "the feed-forward network has no biases",
        "With `bias=True` both of its layers have one.",
        _exactly(biases=lambda d, f: 4 * d),
    ),
    Misconception(
        "norms-always-with-shift",
        "a norm's shift is counted even when there is none",
        "With `bias=False` a norm has its scale and nothing else.",
        _exactly(norm=lambda d, bias: 2 * d),
    ),
    Misconception(
        "no-norms",
        "no norm is counted",
        "A norm has learned numbers too: a scale for each place, and a shift.",
        _exactly(norm=lambda d, bias: 0),
    ),
    Misconception(
        "gated",
        "the feed-forward network has three matrices, as with SwiGLU",
        "GPT's network widens and narrows again. The gate belongs to other models.",
        _exactly(feedforward=lambda d, f: 3 * d * f),
    ),
    Misconception(
        "square-in-between",
        "the second matrix leads from d_ff to d_ff",
        "The network has to come back to the model's width.",
        _exactly(feedforward=lambda d, f: d * f + f * f),
    ),
    Misconception(
        "head-when-tied",
        "the head is counted when it is tied and left out when it is not",
        "Tied means shared: one matrix, counted once.",
        _exactly(head=lambda matrix, tied, bias: matrix if tied else 0),
    ),
    Misconception(
        "head-twice",
        "a head of its own is counted twice",
        "The table of the tokens is counted already, and the head is one more matrix.",
        _exactly(head=lambda matrix, tied, bias: matrix * (1 if tied else 2)),
    ),
    Misconception(
        "a-number-a-place",
        "each place of the context has a single number",
        "Each row of the table of positions is a vector as wide as the model.",
        _exactly(tables=lambda v, c, d, n: v * d + c),
    ),
    Misconception(
        "no-token-table",
        "the table of tokens is not counted",
        "Each token of the vocabulary has a vector as wide as the model.",
        _exactly(tables=lambda v, c, d, n: c * d),
    ),
    Misconception(
        "positions-in-every-block",
        "each block has a table of positions of its own",
        "Positions are added once, before the first block.",
        _exactly(tables=lambda v, c, d, n: (v + n * c) * d),
    ),
    Misconception(
        "four-times-any-width",
        "d_ff is multiplied by 4 even when it is given",
        "d_ff is the inner width itself. Only None stands for 4 · d_model.",
        _exactly(width=lambda d_ff, d: 4 * (d_ff or d)),
    ),
    Misconception(
        "none-as-width",
        "`None` is multiplied as if it were a number",
        "Without a d_ff the caller means 4 · d_model: ask for None first.",
        _none_as_width,
    ),
    Misconception(
        "a-float",
        "a float comes back, not a whole number",
        "`/` makes a float of everything. `//` divides whole numbers.",
        _a_float,
    ),
)


# --- Right answers in another form


def _list_of_shapes(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    d_ff = d_ff or 4 * d_model
    norm = [(d_model,)] * (2 if bias else 1)
    block = [(d_model, d_model)] * 4 + [(d_model, d_ff), (d_ff, d_model)] + 2 * norm
    if bias:
        block += [(d_model,)] * 5 + [(d_ff,)]
    shapes = [(vocab_size, d_model), (context_length, d_model), *n_layers * block, *norm]
    if not tie_weights:
        shapes.append((vocab_size, d_model))
    return sum(int(torch.Size(shape).numel()) for shape in shapes)


def _closed_form(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    d, f = d_model, (4 * d_model if d_ff is None else d_ff)
    matrices = 2 * d * (2 * d + f)
    vectors = 2 * d + (7 * d + f if bias else 0)
    tables = vocab_size * (1 if tie_weights else 2) + context_length
    return d * tables + n_layers * (matrices + vectors) + d * (2 if bias else 1)


def _from_a_block(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    with torch.device("meta"):
        block = TransformerBlock(d_model, 1, d_ff, bias=bias)
    a_block = sum(weight.numel() for weight in block.parameters())
    tables = vocab_size + context_length + (0 if tie_weights else vocab_size)
    return tables * d_model + n_layers * a_block + (d_model if not bias else 2 * d_model)


def _part_by_part(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    def linear(inputs, outputs):
        return inputs * outputs + (outputs if bias else 0)

    width = d_ff if d_ff is not None else d_model * 4
    norm = 2 * d_model if bias else d_model
    total = vocab_size * d_model + context_length * d_model
    for _ in range(n_layers):
        total += norm
        for _ in ("query", "key", "value", "output"):
            total += linear(d_model, d_model)
        total += norm + linear(d_model, width) + linear(width, d_model)
    total += norm
    if not tie_weights:
        total += vocab_size * d_model
    return total


def _by_numpy(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
    d_ff = 4 * d_model if d_ff is None else d_ff
    matrices = n_layers * (4 * np.prod([d_model, d_model]) + 2 * np.prod([d_model, d_ff]))
    scales = d_model * (2 * n_layers + 1)
    biases = n_layers * (5 * d_model + d_ff) + scales
    tables = np.prod([vocab_size * (1 if tie_weights else 2) + context_length, d_model])
    return matrices + scales + bias * biases + tables


ALTERNATIVES = (
    Alternative("numbers of NumPy", _by_numpy),
    Alternative("the sizes of a list of shapes", _list_of_shapes),
    Alternative("one closed formula", _closed_form),
    Alternative("a block made without memory, and counted", _from_a_block),
    Alternative("part by part, in a loop", _part_by_part),
)

BARE = "counts the matrices, the tables and the norms' scales"
BIASES = "counts the biases, and only where there are any"

EXERCISE = Exercise(
    name="gpt.count_parameters",
    number="6.1",
    title="Count the weights before they exist",
    minutes=12,
    difficulty=2,
    reference=gpt.count_parameters,
    checks=(
        Check(BARE, 2, _bare),
        Check(BIASES, 1, _biases),
        Check("takes any inner width", 1, _width),
        Check("counts a head only when it has weights of its own", 1, _head, after=(BARE, BIASES)),
    ),
    hints=(
        "Go down the table of parts with your finger, and write one line of code for each row. Which rows "
        "stand in every block?",
        "A linear layer from a to b numbers has a · b weights, and b more with a bias. A norm has one number "
        "for each of the d_model places, and as many again with a bias.",
        "A block has four square matrices, two that widen and narrow, and two norms. Outside the blocks "
        "stand two tables, one more norm, and perhaps a head.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
