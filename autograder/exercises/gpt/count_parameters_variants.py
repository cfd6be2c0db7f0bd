"""Variants of exercise 6.1: a GPT without a table of positions, and one whose blocks have a single norm.

The references stand here, and not in `llmlib`: what an answer's process may import holds neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autograder.exercise import Alternative, Misconception, Variant
from autograder.exercises.gpt.count_parameters import MISCONCEPTIONS
from autograder.exercises.gpt.count_parameters import _variant as counting
from llmlib import gpt

PLAIN = {m.id: m for m in MISCONCEPTIONS}


def rotary(
    vocab_size: int,
    context_length: int,
    d_model: int,
    n_layers: int,
    d_ff: int | None = None,
    bias: bool = True,
    tie_weights: bool = True,
) -> int:
    """How many numbers a GPT with rotary positions learns, without making it.

    Rotary positions turn queries and keys by given angles: there is no table of positions, and
    `context_length` adds nothing. The number of heads does not matter: they share out the same matrices.

    d_ff:        None means 4 · d_model.
    bias:        whether linear layers and norms add a learned constant. The head never does.
    tie_weights: whether the head is the token embedding, which then counts once.

    Source: Su et al., "RoFormer" (2021), section 3.
    """
    d_ff = 4 * d_model if d_ff is None else d_ff
    attention = 4 * (d_model * d_model + bias * d_model)
    feedforward = (d_model * d_ff + bias * d_ff) + (d_ff * d_model + bias * d_model)
    norm = d_model + bias * d_model
    head = 0 if tie_weights else d_model * vocab_size
    return vocab_size * d_model + n_layers * (attention + feedforward + 2 * norm) + norm + head


def parallel(
    vocab_size: int,
    context_length: int,
    d_model: int,
    n_layers: int,
    d_ff: int | None = None,
    bias: bool = True,
    tie_weights: bool = True,
) -> int:
    """How many numbers a GPT with parallel blocks learns, without making it.

    In a parallel block attention and feed-forward network read through one norm that they share, so a block
    has one norm; one more stands before the head. The number of heads does not matter.

    d_ff:        None means 4 · d_model.
    bias:        whether linear layers and norms add a learned constant. The head never does.
    tie_weights: whether the head is the token embedding, which then counts once.

    Source: Chowdhery et al., "PaLM" (2022), section 2, "parallel layers"; GPT-J before it.
    """
    d_ff = 4 * d_model if d_ff is None else d_ff
    attention = 4 * (d_model * d_model + bias * d_model)
    feedforward = (d_model * d_ff + bias * d_ff) + (d_ff * d_model + bias * d_model)
    norm = d_model + bias * d_model
    tables = (vocab_size + context_length) * d_model
    head = 0 if tie_weights else d_model * vocab_size
    return tables + n_layers * (attention + feedforward + norm) + norm + head


def _without_table(answer: Callable[..., int]) -> Callable[..., int]:
    def twisted(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
        count = answer(vocab_size, context_length, d_model, n_layers, d_ff, bias, tie_weights)
        return count - context_length * d_model

    return twisted


# --- Mistakes of their own


def _off(right: Callable[..., int], by: Callable[[int, int, int, int, bool], int]) -> Callable[..., int]:
    """The right count and what is counted too much, or too little."""

    def count(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
        plain = right(vocab_size, context_length, d_model, n_layers, d_ff, bias, tie_weights)
        return plain + by(vocab_size, context_length, d_model, n_layers, bias)

    return count


# --- Right answers in another form


def _rotary_in_closed_form(
    vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True
):
    d, f = d_model, (4 * d_model if d_ff is None else d_ff)
    block = 2 * d * (2 * d + f) + 2 * d + (7 * d + f if bias else 0)
    return d * vocab_size * (1 if tie_weights else 2) + n_layers * block + d * (2 if bias else 1)


def _parallel_in_closed_form(
    vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True
):
    d, f = d_model, (4 * d_model if d_ff is None else d_ff)
    block = 2 * d * (2 * d + f) + d + (6 * d + f if bias else 0)
    tables = d * (vocab_size * (1 if tie_weights else 2) + context_length)
    return tables + n_layers * block + d * (2 if bias else 1)


def _book_less_the_norms(
    vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True
):
    plain = gpt.count_parameters(vocab_size, context_length, d_model, n_layers, d_ff, bias, tie_weights)
    return plain - n_layers * (2 * d_model if bias else d_model)


def _shapes(norms: int, positions: bool) -> Callable[..., int]:
    def count(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, tie_weights=True):
        f = d_ff or 4 * d_model
        linear = [(d_model, d_model)] * 4 + [(d_model, f), (f, d_model)]
        constants = [d_model] * 5 + [f] if bias else []
        norm = d_model * (2 if bias else 1)
        total = (vocab_size + (context_length if positions else 0)) * d_model + norm
        for _ in range(n_layers):
            total += sum(rows * columns for rows, columns in linear) + sum(constants) + norms * norm
        return total if tie_weights else total + vocab_size * d_model

    return count


ROTATED = counting(positions=False)

SIGNATURE = (
    "Write `count_parameters(vocab_size, context_length, d_model, n_layers, d_ff=None, bias=True, "
    "tie_weights=True)`:\nhow many numbers such a GPT learns, as an `int`."
)
RULES = """\
- `d_ff=None` stands for $4 \\cdot d_\\text{model}$.
- With `bias=False`, no linear layer and no norm has a constant; the norms keep their scale.
- With `tie_weights=True` the head is the token embedding and counts once."""

ROTARY = Variant(
    id="rotary",
    twist="The positions are rotary: there is no table of positions, and nothing is learned for them.",
    statement=f"""\
{SIGNATURE} Here the positions are **rotary** (RoPE).

{RULES}
- Rotary positions turn queries and keys by angles that are given, not learned. There is no table of
  positions.

Worked examples: `count_parameters(5, 4, 2, 1)` is `88`. With `bias=False` it is `64`. With
`tie_weights=False` it is `98`. Llama counts its positions in this way (Su et al., "RoFormer", 2021).""",
    reference=rotary,
    hints=(
        "Go down the table of parts with your finger, and write one line of code for each row. Which rows "
        "stand in every block, and which row is not there with rotary positions?",
        "A linear layer from a to b numbers has a · b weights, and b more with a bias. A norm has one number "
        "for each of the d_model places, and as many again with a bias.",
        "A block has four square matrices, two that widen and narrow, and two norms. Outside the blocks "
        "stand one table, one more norm, and perhaps a head.",
    ),
    misconceptions=(
        Misconception(
            "angles-counted",
            "the angles are counted as if they were learned",
            "The angles are given by a formula. Does training change them?",
            _off(ROTATED, lambda vocab, context, d, layers, bias: context * (d // 2)),
        ),
        Misconception(
            "tokens-left-out",
            "the table of tokens is left out, too",
            "Of the two tables only one is not needed. How would a token become a vector otherwise?",
            _off(ROTATED, lambda vocab, context, d, layers, bias: -vocab * d),
        ),
        Misconception(
            "positions-in-every-block",
            "each block has a table of positions of its own",
            "Rotary positions act in every block, and have nothing to learn in any.",
            _off(ROTATED, lambda vocab, context, d, layers, bias: layers * context * d),
        ),
    ),
    alternatives=(
        Alternative("one closed formula", _rotary_in_closed_form),
        Alternative("summed block by block", _shapes(2, positions=False)),
    ),
    through=_without_table,
    excluded={
        "no-positions": "it is the right answer here",
        "no-token-table": "tokens-left-out is the same here",
    },
    renamed={
        "counts the matrices, the tables and the norms' scales": (
            "counts the matrices, the token table and the norms' scales"
        )
    },
)

_PARTS = {
    "no-output-matrix": counting(norms=1, attention_matrices=3),
    "one-feedforward-matrix": counting(norms=1, feedforward_matrices=1),
    "no-final-norm": counting(norms=1, final_norm=False),
    "no-positions": counting(norms=1, positions=False),
    "one-block": counting(norms=1, layers=False),
    "never-biases": counting(norms=1, biases=lambda bias: False),
    "always-biases": counting(norms=1, biases=lambda bias: True),
    "norms-without-shift": counting(norms=1, norm_shift=False),
    "width-ignored": counting(norms=1, width=False),
    "head-always-counted": counting(norms=1, tied=lambda tied: False),
    "head-never-counted": counting(norms=1, tied=lambda tied: True),
    "head-with-bias": counting(norms=1, head_bias=True),
}

PARALLEL = Variant(
    id="parallel",
    twist="The blocks are parallel: attention and feed-forward network share one norm.",
    statement=f"""\
{SIGNATURE} Here its blocks are **parallel**.

{RULES}
- The positions are the learned table of the parts list.
- In a parallel block attention and the feed-forward network read through **one norm, which they share**, and
  both add their results to the stream. So each block has one norm. One more stands before the head, as
  always.

Worked examples: `count_parameters(5, 4, 2, 1)` is `92`. With `bias=False` it is `70`. With
`tie_weights=False` it is `102`. GPT-J was built so, and PaLM (Chowdhery et al., 2022, section 2), because
the two parts can be computed at the same time.""",
    reference=parallel,
    hints=(
        "Go down the table of parts with your finger, and write one line of code for each row. Which rows "
        "stand in every block, and which of them stand there once now?",
        "A linear layer from a to b numbers has a · b weights, and b more with a bias. A norm has one number "
        "for each of the d_model places, and as many again with a bias.",
        "A block has four square matrices, two that widen and narrow, and its norm. Outside the blocks "
        "stand two tables, one more norm, and perhaps a head.",
    ),
    misconceptions=(
        Misconception(
            "one-norm-in-all",
            "all blocks together have one norm",
            "The two parts of one block share a norm. Does the next block read through the same one?",
            _off(counting(norms=1), lambda vocab, context, d, layers, bias: (1 - layers) * (d + bias * d)),
        ),
        Misconception(
            "no-norm-in-a-block",
            "a block has no norm at all",
            "One of the two is saved. Through what do both parts read the stream?",
            counting(norms=0),
        ),
        *(replace(PLAIN[name], answer=answer) for name, answer in _PARTS.items()),
    ),
    alternatives=(
        Alternative("one closed formula", _parallel_in_closed_form),
        Alternative("summed block by block", _shapes(1, positions=True)),
        Alternative("the function of the book, less a norm for each block", _book_less_the_norms),
    ),
    excluded={"one-norm-a-block": "it is the right answer here"},
)

VARIANTS = (ROTARY, PARALLEL)
