"""Exercise 6.1: how many numbers a GPT learns, by a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


ALTERNATIVES = (
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
