"""Exercise 0.6: a stream of tokens, cut into overlapping windows."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import tensors


def _case(g: torch.Generator, corpus: int, length: int, dtype: torch.dtype = torch.int64) -> Case:
    # Tokens that all differ, in no order, and none of which is its own place.
    tokens = 10 + torch.randperm(40, generator=g)[:corpus]
    return Case({"tokens": tokens.to(dtype), "length": length})


def _every_window(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 7, 3)
    yield _case(g, 9, 4)


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 5, 1)
    yield _case(g, 5, 5)
    yield _case(g, 6, 5)
    yield _case(g, 1, 1)


def _dtypes(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 8, 5, torch.int32)
    strided = torch.stack([10 + torch.randperm(40, generator=g)[:8]] * 2, dim=1)
    yield Case({"tokens": strided[:, 0], "length": 3})


# --- Mistakes


def _windows(tokens, length, starts):
    starts = torch.tensor(list(starts), dtype=torch.long, device=tokens.device)
    return tokens[starts[:, None] + torch.arange(length, device=tokens.device)]


def _count(tokens, length):
    return len(tokens) - length + 1


def _last_one_missing(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length) - 1))


def _no_overlap(tokens, length):
    return _windows(tokens, length, range(0, _count(tokens, length), length))


def _first_one_only(tokens, length):
    return tokens[None, :length]


def _columns(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).T


def _padded_at_the_end(tokens, length):
    padded = torch.cat([tokens, tokens.new_zeros(length - 1)])
    return _windows(padded, length, range(len(tokens)))


def _places(tokens, length, count=None):
    places = torch.arange(len(tokens), device=tokens.device)
    return places[: count or _count(tokens, length), None] + places[:length]


def _wraps_around(tokens, length):
    return torch.cat([tokens, tokens])[_places(tokens, length, len(tokens))]


def _one_too_long(tokens, length):
    return _windows(tokens, length + 1, range(_count(tokens, length + 1)))


def _one_too_short(tokens, length):
    return _windows(tokens, length - 1, range(_count(tokens, length)))


def _last_window_first(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).flip(0)


def _read_backwards(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).flip(1)


def _floats(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).float()


def _always_int64(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).long()


def _a_list(tokens, length):
    return [tokens[start : start + length] for start in range(_count(tokens, length))]


def _stacked_without_the_last(tokens, length):
    return torch.stack([tokens[start : start + length] for start in range(len(tokens) - length)])


def _a_list_without_the_last(tokens, length):
    return [tokens[start : start + length] for start in range(len(tokens) - length)]


def _in_one_row(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).flatten()


def _every_second(tokens, length):
    return _windows(tokens, length, range(0, _count(tokens, length), 2))


def _first_missing(tokens, length):
    return _windows(tokens, length, range(1, _count(tokens, length)))


def _as_many_as_long(tokens, length):
    return _windows(tokens, length, range(min(length, _count(tokens, length))))


def _always_the_first(tokens, length):
    return tokens[:length].repeat(_count(tokens, length), 1)


def _places_not_tokens(tokens, length):
    return _places(tokens, length).to(tokens.dtype)


def _plain_lists(tokens, length):
    return [tokens[start : start + length].tolist() for start in range(_count(tokens, length))]


def _runs_over_the_end(tokens, length):
    return torch.stack([tokens[start : start + length] for start in range(len(tokens))])


def _tensors_in_a_tensor(tokens, length):
    return torch.tensor([tokens[start : start + length] for start in range(_count(tokens, length))])


def _seen_as_a_table(tokens, length):
    return tokens.view(-1, length)


def _always_int32(tokens, length):
    return _windows(tokens, length, range(_count(tokens, length))).int()


MISCONCEPTIONS = (
    Misconception(
        "last-one-missing",
        "the last window is missing",
        "Four tokens have two windows of length 3: how do you get from 4 and 3 to 2?",
        _last_one_missing,
    ),
    Misconception(
        "no-overlap",
        "the windows do not overlap: each begins where the one before ends",
        "Each window should begin one token later than the one before.",
        _no_overlap,
    ),
    Misconception(
        "first-one-only",
        "only the first window is there",
        "How many places are there at which a window can begin?",
        _first_one_only,
    ),
    Misconception(
        "columns",
        "each window stands in a column",
        "A window is a row here: the result has the shape (windows, length).",
        _columns,
    ),
    Misconception(
        "padded-at-the-end",
        "there are windows at the end that are filled up with zeros",
        "A window that does not fit into the text is no window. Stop earlier.",
        _padded_at_the_end,
    ),
    Misconception(
        "wraps-around",
        "windows at the end go on with the beginning of the text",
        "A window that does not fit into the text is no window. Stop earlier.",
        _wraps_around,
    ),
    Misconception(
        "one-too-long",
        "each window holds one token too many",
        "`tokens[a:b]` has b - a tokens: the end itself is left out.",
        _one_too_long,
    ),
    Misconception(
        "one-too-short",
        "each window holds one token too few",
        "`tokens[a:b]` has b - a tokens: the end itself is left out.",
        _one_too_short,
    ),
    Misconception(
        "last-window-first",
        "the windows stand in reverse order",
        "The first row is the window at the beginning of the text.",
        _last_window_first,
    ),
    Misconception(
        "read-backwards",
        "each window is read backwards",
        "The tokens of a window keep the order that they have in the text.",
        _read_backwards,
    ),
    Misconception(
        "places",
        "the table holds the places of the tokens, not the tokens",
        "The table of places is right. What stands in `tokens` at these places?",
        _places,
    ),
    Misconception(
        "floats",
        "the tokens have become floats",
        "Tokens are numbers of words, and stay whole numbers. `torch.zeros` makes floats unless told.",
        _floats,
    ),
    Misconception(
        "always-int64",
        "the result is int64 whatever comes in",
        "Keep the dtype of the tokens: index or slice them, and do not make them anew.",
        _always_int64,
    ),
    Misconception(
        "a-list",
        "a list of windows comes back, not one tensor",
        "One function of torch puts tensors of the same shape on top of each other.",
        _a_list,
    ),
    Misconception(
        "stacked-without-the-last",
        "the last window is missing, and where it is the only one nothing is left to stack",
        "Four tokens have two windows of length 3: how do you get from 4 and 3 to 2?",
        _stacked_without_the_last,
    ),
    Misconception(
        "a-list-without-the-last",
        "a list of windows comes back, not one tensor, and the last window is missing",
        "One function of torch puts tensors on top of each other. And 4 tokens have 2 windows of length 3.",
        _a_list_without_the_last,
    ),
    Misconception(
        "in-one-row",
        "the windows are strung together in one row",
        "`cat` joins end to end. Another function puts tensors on top of each other.",
        _in_one_row,
    ),
    Misconception(
        "every-second",
        "every second window is missing",
        "Each window begins one token later than the one before.",
        _every_second,
    ),
    Misconception(
        "first-missing",
        "the first window is missing",
        "The first window begins at place 0.",
        _first_missing,
    ),
    Misconception(
        "as-many-as-long",
        "there are as many windows as a window is long",
        "How many places are there at which a window can begin? Try 4 tokens and length 3.",
        _as_many_as_long,
    ),
    Misconception(
        "always-the-first",
        "every row repeats the first window",
        "Where does the second window begin?",
        _always_the_first,
    ),
    Misconception(
        "places-not-tokens",
        "the places come back, not the tokens that stand there",
        "One step is left: look all of the places up in the text.",
        _places_not_tokens,
    ),
    Misconception(
        "plain-lists",
        "plain lists of numbers come back, not one tensor",
        "A tensor is wanted, of the dtype of the tokens.",
        _plain_lists,
    ),
    Misconception(
        "runs-over-the-end",
        "windows are cut at the end of the text, which are too short to be stacked",
        "A slice that runs over the end is cut short without a word. At which place must you stop?",
        _runs_over_the_end,
    ),
    Misconception(
        "tensors-in-a-tensor",
        "`torch.tensor` is given a list of tensors",
        "It takes numbers and lists of numbers. One function of torch puts tensors on top of each other.",
        _tensors_in_a_tensor,
    ),
    Misconception(
        "seen-as-a-table",
        "the text is seen as a table, whose rows cannot overlap",
        "`view` shows each number once. In windows that overlap, most stand several times.",
        _seen_as_a_table,
    ),
    Misconception(
        "always-int32",
        "the result is int32 whatever comes in",
        "Keep the dtype of the tokens: index or slice them, and do not make them anew.",
        _always_int32,
    ),
)


# --- Right answers in another form


def _stacked_slices(tokens, length):
    return torch.stack([tokens[start : start + length] for start in range(len(tokens) - length + 1)])


def _stacked_columns(tokens, length):
    count = len(tokens) - length + 1
    return torch.stack([tokens[step : step + count] for step in range(length)], dim=1)


def _filled_row_by_row(tokens, length):
    count = len(tokens) - length + 1
    result = torch.zeros(count, length, dtype=tokens.dtype, device=tokens.device)
    for row in range(count):
        result[row] = tokens[row : row + length]
    return result


def _by_lists(tokens, length):
    words = tokens.tolist()
    rows = [words[start : start + length] for start in range(len(words) - length + 1)]
    return torch.tensor(rows, dtype=tokens.dtype, device=tokens.device)


def _by_strides(tokens, length):
    step = tokens.stride(0)
    return torch.as_strided(
        tokens, (len(tokens) - length + 1, length), (step, step), tokens.storage_offset()
    ).clone()


def _cut_from_a_square(tokens, length):
    places = torch.arange(len(tokens), device=tokens.device)
    table = places[:, None] + places
    return tokens[table[: len(tokens) - length + 1, :length]]


ALTERNATIVES = (
    Alternative("slices, stacked", _stacked_slices),
    Alternative("shifted copies of the text as columns", _stacked_columns),
    Alternative("an empty table, filled row by row", _filled_row_by_row),
    Alternative("Python lists", _by_lists),
    Alternative("strides", _by_strides),
    Alternative("a table of all sums of places, cut to size", _cut_from_a_square),
)

EXERCISE = Exercise(
    name="tensors.sliding_windows",
    number="0.6",
    title="A text, cut into windows",
    minutes=8,
    difficulty=2,
    reference=tensors.sliding_windows,
    checks=(
        Check("holds every window, in the order of the text", 2, _every_window),
        Check("works from windows of one token to one window of all tokens", 1, _corners),
        Check("keeps the dtype, and reads tokens that do not lie side by side in memory", 1, _dtypes),
    ),
    hints=(
        "Write down all windows of length 3 of the tokens 5, 8, 2, 9. How many are there, and at which "
        "places do they begin?",
        "There is an easy way with a list of slices that are put on top of each other, and one without a "
        "loop: make a table of the places, and look all of them up at once.",
        "The place in row i, column j is i + j: a column of starts plus a row of steps, by broadcasting. A "
        "tensor indexed by a table of places gives a table of its entries.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=("torch.Tensor.unfold", "aten::unfold"),
)
