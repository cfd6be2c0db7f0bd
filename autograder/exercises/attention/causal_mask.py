"""Exercise 3.3: the mask that hides the future."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.attention.mistakes import INVERTED
from autograder.exercises.attention.wrong_masks import not_boolean
from llmlib import attention


def _small(g: torch.Generator) -> Iterator[Case]:
    for length in (2, 3, 4):
        yield Case({"length": length})


def _any_length(g: torch.Generator) -> Iterator[Case]:
    yield Case({"length": 1})
    yield Case({"length": int(torch.randint(9, 20, (), generator=g))})


# --- Mistakes


def _square(length):
    return torch.ones(length, length, dtype=torch.bool)


def _right(length):
    return torch.tril(_square(length))


def _upper(length):
    return torch.triu(_square(length))


def _inverted(length):
    return torch.triu(_square(length), diagonal=1)


def _strict(length):
    return torch.tril(_square(length), diagonal=-1)


def _one_ahead(length):
    return torch.tril(_square(length), diagonal=1)


def _everything(length):
    return _square(length)


def _only_itself(length):
    return torch.eye(length, dtype=torch.bool)


def _extra_dimensions(length):
    return torch.tril(_square(length))[None, None]


def _one_too_long(length):
    return torch.tril(_square(length + 1))


def _from_the_end(length):
    return torch.tril(_square(length)).flip(0)


def _inverted_floats(length):
    return torch.triu(torch.ones(length, length), diagonal=1)


def _one_in_front(length):
    return torch.tril(_square(length))[None]


def _from_the_last_key(length):
    return torch.tril(_square(length)).flip(1)


MISCONCEPTIONS = (
    Misconception(
        "upper",
        "each position sees itself and the future, not the past",
        "Row i belongs to the query at position i. Write down row 0 by hand: which keys exist by then?",
        _upper,
    ),
    Misconception("inverted", *INVERTED, _inverted),
    Misconception(
        "strict",
        "no position may see itself",
        "What would the first position look at? The diagonal belongs to the past.",
        _strict,
    ),
    Misconception(
        "one-ahead",
        "each position sees one step into the future",
        "That one step is the very token that the model has to predict. Check the diagonal you cut at.",
        _one_ahead,
    ),
    Misconception(
        "everything",
        "nothing is hidden",
        "Every entry is True. Compare the position of the query with that of the key.",
        _everything,
    ),
    Misconception(
        "only-itself",
        "each position sees itself alone",
        "The past counts too: row 2 should allow the keys 0, 1 and 2.",
        _only_itself,
    ),
    *not_boolean(_right),
    Misconception(
        "extra-dimensions",
        "the mask has extra leading dimensions",
        "Two dimensions are enough: broadcasting adds those of batch and heads by itself.",
        _extra_dimensions,
    ),
    Misconception(
        "one-too-long",
        "the mask has one row and one column too many",
        "Positions run from 0 to length − 1.",
        _one_too_long,
    ),
    Misconception(
        "from-the-end",
        "the rows are in reverse order: the first position sees everything, the last one only the first key",
        "Row 0 belongs to the first position, which has the least to look back on.",
        _from_the_end,
    ),
    Misconception(
        "inverted-floats",
        "the floats 1.0 mark what is hidden",
        "Two things: True means “may attend”, and the mask is boolean. What is not later may be seen.",
        _inverted_floats,
    ),
    Misconception(
        "one-in-front",
        "the mask has a dimension of size 1 in front",
        "Two dimensions are enough: broadcasting adds that of the batch by itself.",
        _one_in_front,
    ),
    Misconception(
        "from-the-last-key",
        "the columns are in reverse order: the first position sees the last key",
        "Column 0 belongs to the first key, which everybody may see.",
        _from_the_last_key,
    ),
)


# --- Right answers in another form


def _tril(length):
    return torch.tril(torch.ones(length, length, dtype=torch.bool))


def _not_triu(length):
    return ~torch.ones(length, length).triu(diagonal=1).bool()


def _float_compared(length):
    return torch.ones(length, length).tril() == 1


def _less_or_equal(length):
    keys = torch.arange(length).unsqueeze(0)
    queries = torch.arange(length).unsqueeze(1)
    return keys <= queries


def _nested_lists(length):
    return torch.tensor([[j <= i for j in range(length)] for i in range(length)])


def _row_by_row(length):
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        mask[i, : i + 1] = True
    return mask


def _running_sum(length):
    return torch.eye(length).cumsum(dim=0).bool()


def _from_additive(length):
    return torch.full((length, length), -torch.inf).triu(diagonal=1) == 0


def _indices(length):
    mask = torch.zeros(length, length, dtype=torch.bool)
    rows, columns = torch.tril_indices(length, length)
    mask[rows, columns] = True
    return mask


def _numbered(length):
    numbers = torch.arange(length * length).view(length, length)
    return numbers % length <= numbers // length


def _through_numpy(length):
    import numpy as np

    return torch.from_numpy(np.tril(np.ones((length, length), dtype=bool)))


ALTERNATIVES = (
    Alternative("tril of ones", _tril),
    Alternative("not triu", _not_triu),
    Alternative("a float pattern, compared with 1", _float_compared),
    Alternative("key position ≤ query position", _less_or_equal),
    Alternative("nested lists", _nested_lists),
    Alternative("row by row", _row_by_row),
    Alternative("the running sum of the identity matrix", _running_sum),
    Alternative("an additive mask, compared with 0", _from_additive),
    Alternative("tril_indices", _indices),
    Alternative("places numbered, quotient and remainder", _numbered),
    Alternative("NumPy's tril", _through_numpy),
)

EXERCISE = Exercise(
    name="attention.causal_mask",
    number="3.3",
    title="The causal mask",
    minutes=5,
    difficulty=1,
    reference=attention.causal_mask,
    checks=(
        Check("shows each position the past and itself, and hides the future", 2, _small),
        Check("works for a single position and for many", 1, _any_length),
    ),
    hints=(
        "For three positions, write the nine entries down by hand. When is the entry in row i, column j "
        "True?",
        "It is a comparison between two positions, the query's and the key's. One column of positions "
        "against one row of positions gives all the comparisons at once.",
        "Make the positions 0 … length − 1 with `torch.arange`. Give one copy a trailing axis and the other "
        "a leading axis, and ask where the query's position is at least the key's. (Cutting a matrix of "
        "ones along its diagonal works too.)",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
