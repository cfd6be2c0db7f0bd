"""Exercise 3.4: the mask that hides padding."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.attention.wrong_masks import not_boolean
from llmlib import attention


def _case(lengths: list[int], max_length: int, dtype: torch.dtype = torch.int64) -> Case:
    return Case({"lengths": torch.tensor(lengths, dtype=dtype), "max_length": max_length})


def _draw(g: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _first_places(g: torch.Generator) -> Iterator[Case]:
    # The longest sequence fills its row here, so that the number of columns is the next check's business.
    yield _case([2, 5, _draw(g, 3, 4)], 5)
    yield _case([1, 3], 3)
    yield _case([4, _draw(g, 1, 2), 3, 2], 4)


def _all_columns(g: torch.Generator) -> Iterator[Case]:
    yield _case([1, 3, 2], 5)
    yield _case([_draw(g, 1, 3), 2], 4)


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _case([0, 4, 2], 4)
    yield _case([3], 3)
    yield _case([2, _draw(g, 0, 1)], 2, torch.int32)


# --- Mistakes


def _places(lengths, max_length):
    return torch.arange(max_length, device=lengths.device)


def _right(lengths, max_length):
    return _places(lengths, max_length) < lengths[:, None]


def _one_too_many(lengths, max_length):
    return _places(lengths, max_length) <= lengths[:, None]


def _one_too_few(lengths, max_length):
    return _places(lengths, max_length) + 1 < lengths[:, None]


def _inverted(lengths, max_length):
    return ~_right(lengths, max_length)


def _padding_on_the_left(lengths, max_length):
    return _right(lengths, max_length).flip(-1)


def _batch_in_the_columns(lengths, max_length):
    return _right(lengths, max_length).T


def _as_long_as_the_longest(lengths, max_length):
    return _right(lengths, int(lengths.max()))


def _all_like_the_longest(lengths, max_length):
    return _right(torch.full_like(lengths, int(lengths.max())), max_length)


def _all_like_the_first(lengths, max_length):
    return _right(lengths[:1].expand_as(lengths), max_length)


def _only_the_last(lengths, max_length):
    return _places(lengths, max_length) == lengths[:, None] - 1


def _extra_dimensions(lengths, max_length):
    return _right(lengths, max_length)[:, None, None, :]


def _pairs(lengths, max_length):
    mask = _right(lengths, max_length)
    return mask[:, :, None] & mask[:, None, :]


def _never_empty(lengths, max_length):
    return _right(lengths.clamp(min=1), max_length)


def _no_axis_for_the_batch(lengths, max_length):
    return _places(lengths, max_length) < lengths


def _full_rows_emptied(lengths, max_length):
    mask = torch.ones(len(lengths), max_length, dtype=torch.bool, device=lengths.device)
    for row, length in enumerate(lengths.tolist()):
        mask[row, -(max_length - length) :] = False
    return mask


def _as_many_columns_as_texts(lengths, max_length):
    return torch.arange(len(lengths), device=lengths.device) < lengths[:, None]


def _one_axis_more(lengths, max_length):
    return _right(lengths, max_length)[:, None, :]


def _one_row_for_all(lengths, max_length):
    return _places(lengths, max_length) < lengths.max()


def _one_column_too_many(lengths, max_length):
    return torch.arange(max_length + 1, device=lengths.device) < lengths[:, None]


MISCONCEPTIONS = (
    Misconception(
        "one-too-many",
        "each sequence keeps one padding place too many",
        "Places are counted from 0. A sequence of 3 tokens fills the places 0, 1 and 2.",
        _one_too_many,
    ),
    Misconception(
        "one-too-few",
        "the last token of each sequence is hidden",
        "Places are counted from 0. A sequence of 3 tokens fills the places 0, 1 and 2.",
        _one_too_few,
    ),
    Misconception(
        "inverted",
        "`True` marks the padding, not the tokens",
        "In this course True means “may attend”. (Some PyTorch modules ask for the opposite, which is how "
        "it slips in.)",
        _inverted,
    ),
    Misconception(
        "padding-on-the-left",
        "the tokens stand at the end of each row and the padding before them",
        "Here each sequence starts at place 0, and its padding follows.",
        _padding_on_the_left,
    ),
    Misconception(
        "batch-in-the-columns",
        "rows and columns are swapped",
        "Each sequence of the batch has its own row; the columns are the places.",
        _batch_in_the_columns,
    ),
    Misconception(
        "as-long-as-the-longest",
        "the mask is only as wide as the longest sequence",
        "The batch may be padded further than that. Which argument says how far?",
        _as_long_as_the_longest,
    ),
    Misconception(
        "all-like-the-longest",
        "every sequence is treated as long as the longest one",
        "Each row should be compared with its own length.",
        _all_like_the_longest,
    ),
    Misconception(
        "all-like-the-first",
        "every sequence is treated as long as the first one",
        "Each row should be compared with its own length.",
        _all_like_the_first,
    ),
    Misconception(
        "only-the-last",
        "only the last token of each sequence is marked",
        "All the places before it hold tokens, too. An equality is not enough.",
        _only_the_last,
    ),
    *not_boolean(_right),
    Misconception(
        "extra-dimensions",
        "the mask has extra dimensions for heads and queries",
        "Two dimensions are wanted. Who uses the mask adds an axis where the scores have one.",
        _extra_dimensions,
    ),
    Misconception(
        "pairs",
        "the mask is a square for each sequence, with a row for each query",
        "Padding is a property of the keys alone: one row of places for each sequence is enough.",
        _pairs,
    ),
    Misconception(
        "never-empty",
        "an empty sequence is treated as if it had one token",
        "A length of 0 should give a row without a single True.",
        _never_empty,
    ),
    Misconception(
        "no-axis-for-the-batch",
        "length i is compared with place i, not with all the places of its row",
        "Give the lengths an axis of size 1 for the places, so that every length meets every place.",
        _no_axis_for_the_batch,
    ),
    Misconception(
        "full-rows-emptied",
        "a sequence without padding loses all its tokens",
        "`row[-0:]` is the whole row, not none of it. Count the padding from the front.",
        _full_rows_emptied,
    ),
    Misconception(
        "as-many-columns-as-texts",
        "there are as many columns as sequences",
        "The columns are places, and max_length says how many there are.",
        _as_many_columns_as_texts,
    ),
    Misconception(
        "one-axis-more",
        "the mask has an extra dimension between batch and places",
        "Two dimensions are wanted. Who uses the mask adds an axis where the scores have one.",
        _one_axis_more,
    ),
    Misconception(
        "one-row-for-all",
        "there is one row, for the longest sequence",
        "Each sequence has a row and a length of its own. Which axis do the lengths need?",
        _one_row_for_all,
    ),
    Misconception(
        "one-column-too-many",
        "the mask has one column too many",
        "Places run from 0 to max_length − 1, and `arange` stops before its end.",
        _one_column_too_many,
    ),
)


# --- Right answers in another form


def _greater(lengths, max_length):
    return lengths.unsqueeze(1) > torch.arange(max_length, device=lengths.device).unsqueeze(0)


def _row_by_row(lengths, max_length):
    mask = torch.zeros(lengths.shape[0], max_length, dtype=torch.bool, device=lengths.device)
    for row, length in enumerate(lengths):
        mask[row, :length] = True
    return mask


def _nested_lists(lengths, max_length):
    rows = [[place < length for place in range(max_length)] for length in lengths.tolist()]
    return torch.tensor(rows, device=lengths.device)


def _rows_glued(lengths, max_length):
    rows = []
    for length in lengths.tolist():
        tokens = torch.ones(length, dtype=torch.bool, device=lengths.device)
        rows.append(
            torch.cat([tokens, torch.zeros(max_length - length, dtype=torch.bool, device=lengths.device)])
        )
    return torch.stack(rows)


def _table_of_rows(lengths, max_length):
    ones = torch.ones(max_length + 1, max_length, dtype=torch.bool, device=lengths.device)
    return ones.tril(diagonal=-1)[lengths.long()]


def _count_down(lengths, max_length):
    left = lengths.view(-1, 1).repeat(1, max_length) - torch.arange(max_length, device=lengths.device)
    return left.clamp(0, 1).bool()


def _running_count(lengths, max_length):
    ones = torch.ones(len(lengths), max_length, device=lengths.device)
    return ones.cumsum(dim=1) <= lengths[:, None]


def _behind_the_edge(lengths, max_length):
    edges = torch.zeros(len(lengths), max_length + 1, dtype=torch.long, device=lengths.device)
    edges = edges.scatter(1, lengths.long()[:, None], 1)
    return (edges.cumsum(dim=1) == 0)[:, :max_length]


def _through_numpy(lengths, max_length):
    import numpy as np

    mask = np.arange(max_length)[None] < lengths.cpu().numpy()[:, None]
    return torch.from_numpy(mask).to(lengths.device)


ALTERNATIVES = (
    Alternative("the length is greater than the place", _greater),
    Alternative("row by row, by a slice", _row_by_row),
    Alternative("nested lists", _nested_lists),
    Alternative("rows of tokens and padding, glued together", _rows_glued),
    Alternative("a table with a row for each possible length", _table_of_rows),
    Alternative("the number of tokens left", _count_down),
    Alternative("a running count that starts at 1", _running_count),
    Alternative("a mark where the padding begins, and a running sum", _behind_the_edge),
    Alternative("NumPy", _through_numpy),
)

EXERCISE = Exercise(
    name="attention.padding_mask",
    number="3.4",
    title="The padding mask",
    minutes=7,
    difficulty=1,
    reference=attention.padding_mask,
    checks=(
        Check("marks the first places of each row, as many as the sequence is long", 2, _first_places),
        Check("has max_length columns, however short the sequences are", 1, _all_columns),
        Check("serves an empty sequence, a full one, a batch of one and other integer types", 1, _corners),
    ),
    hints=(
        "For a sequence of length 2 in a batch padded to 5, write the five entries down. Which places are "
        "real?",
        "It is a comparison again, this time between a place and a length. Which of the two changes along a "
        "row, and which changes from row to row?",
        "Make the places 0 … max_length − 1 as one row and turn the lengths into one column, by an extra "
        "axis. Compare the two: broadcasting makes the (batch, max_length) table. Mind that places start at "
        "0.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
