"""Exercise 4.4: the causal mask and the padding mask in one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.heads.mistakes import TRUE_MAY_BE_SEEN
from llmlib import attention


def _lengths(lengths: list[int], length: int) -> Case:
    return Case({"real": torch.arange(length) < torch.tensor(lengths)[:, None]})


def _draw(g: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _right(g: torch.Generator) -> Iterator[Case]:
    yield _lengths([3, _draw(g, 1, 2)], 4)
    yield _lengths([2, 5, _draw(g, 3, 4)], 5)


def _anywhere(g: torch.Generator) -> Iterator[Case]:
    real = torch.arange(4) >= torch.tensor([2, _draw(g, 0, 1), 3])[:, None]  # padding on the left
    yield Case({"real": real})
    real = torch.ones(2, 5, dtype=torch.bool)
    real[0, _draw(g, 1, 3)] = False
    yield Case({"real": real})
    yield Case({"real": torch.tensor([[True, True, True], [False, False, False]])})


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _lengths([1, 3, _draw(g, 1, 2)], 3)  # as many texts as places: they could be confused
    yield _lengths([_draw(g, 2, 3)], 4)
    yield _lengths([1, 0], 1)


# --- Mistakes


def _causal(real: Tensor) -> Tensor:
    length = real.shape[1]
    return torch.ones(length, length, dtype=torch.bool, device=real.device).tril()


def _joined(real: Tensor) -> Tensor:
    return _causal(real) & real[:, None, None, :]


def _only_padding(real):
    return real[:, None, None, :].expand(-1, 1, real.shape[1], -1)


def _padding_alone(real):
    return real[:, None, None, :]


def _only_causal(real):
    return _causal(real).expand(real.shape[0], 1, -1, -1)


def _or(real):
    return _causal(real) | real[:, None, None, :]


def _on_the_queries(real):
    return _causal(real) & real[:, None, :, None]


def _pairs(real):
    return _joined(real) & real[:, None, :, None]


def _without_heads(real):
    return _causal(real) & real[:, None, :]


def _heads_in_front(real):
    return (_causal(real) & real[:, None, :])[None]


def _batch_on_the_queries(real):
    return (_causal(real) & real)[None, None]


def _inverted(real):
    return ~_joined(real)


def _future(real):
    return _causal(real).T & real[:, None, None, :]


def _strict(real):
    return _causal(real).tril(diagonal=-1) & real[:, None, None, :]


def _always_itself(real):
    return _joined(real) | torch.eye(real.shape[1], dtype=torch.bool, device=real.device)


def _float_ones(real):
    return _joined(real).float()


def _to_be_added(real):
    joined = _joined(real)
    return torch.zeros(joined.shape, device=real.device).masked_fill(~joined, -torch.inf)


def _first_text_for_all(real):
    return _joined(real[:1].expand_as(real))


def _python_s_and(real):
    return _causal(real) and real[:, None, None, :]


def _no_new_axes(real):
    return _causal(real) & real


def _padding_on_the_right(real):
    places = torch.arange(real.shape[1], device=real.device)
    return _joined(places < real.sum(dim=1, keepdim=True))


def _padding_inverted(real):
    return _causal(real) & ~real[:, None, None, :]


def _causal_inverted(real):
    return ~_causal(real) & real[:, None, None, :]


def _whole_numbers(real):
    return _joined(real).long()


def _first_key_for_all(real):
    mask = _joined(real)
    mask[..., 0] = True
    return mask


MISCONCEPTIONS = (
    Misconception(
        "only-padding",
        "the padding mask has replaced the causal one: the future is visible",
        "Both rules hold at once. Look at row 0: which keys exist by then?",
        _only_padding,
    ),
    Misconception(
        "padding-alone",
        "the padding mask comes back alone, with new axes",
        "Its axes are in the right places. The rule about the future is missing.",
        _padding_alone,
    ),
    Misconception(
        "only-causal",
        "the causal mask has replaced the padding mask: padding is visible",
        "Both rules hold at once. Look at the column of a padded place.",
        _only_causal,
    ),
    Misconception(
        "or",
        "a key is visible if one of the two rules allows it",
        "May a query look at padding, because it lies in the past?",
        _or,
    ),
    Misconception(
        "on-the-queries",
        "the padding hides rows (queries) instead of columns (keys)",
        "Padding is something that nobody should look at, so it is a property of the key. Which axis is the "
        "key's?",
        _on_the_queries,
    ),
    Misconception(
        "pairs",
        "the queries at padded places are hidden too",
        "Their outputs are thrown away later. Hiding their whole rows leaves them nothing to attend to.",
        _pairs,
    ),
    Misconception(
        "without-heads",
        "the axis for the heads is missing",
        "The pattern is right. The scores have four axes; with three, the batch would meet the heads.",
        _without_heads,
    ),
    Misconception(
        "heads-in-front",
        "the axis of size 1 stands in front of the batch",
        "The scores are (batch, n_heads, query, key). Which place is the heads'?",
        _heads_in_front,
    ),
    Misconception(
        "batch-on-the-queries",
        "text i's padding is applied to query i",
        "The shapes only fit because there are as many texts as places. Give the padding an axis for the "
        "queries.",
        _batch_on_the_queries,
    ),
    Misconception(
        "inverted",
        "`True` marks what is hidden, not what may be seen",
        "In this course True means “may attend”, in every mask.",
        _inverted,
    ),
    Misconception(
        "future",
        "each position sees the future and not the past",
        "Row i belongs to the query at position i. Row 0 may see one key at most.",
        _future,
    ),
    Misconception(
        "strict",
        "no position may see itself",
        "The diagonal belongs to the past, as in exercise 3.3.",
        _strict,
    ),
    Misconception(
        "always-itself",
        "every position may look at itself, even if it is padding",
        "It is a known trick against empty rows. Here the attention function takes care of them, and padding "
        "stays hidden from all.",
        _always_itself,
    ),
    Misconception(
        "float-ones",
        "the mask is made of the floats 1.0 and 0.0, not of booleans",
        "The pattern is right. The answer should be boolean.",
        _float_ones,
    ),
    Misconception("to-be-added", *mistakes.MASK_TO_BE_ADDED, _to_be_added),
    Misconception(
        "first-text-for-all",
        "every text is given the first one's padding",
        "Each text of the batch has its own row of real places.",
        _first_text_for_all,
    ),
    Misconception(
        "python-s-and",
        "`and` asks each of the two masks for a single answer",
        "`and` joins two truth values, `&` joins two tables of them, place by place.",
        _python_s_and,
    ),
    Misconception(
        "no-new-axes",
        "`real` meets the causal mask as it is: its axes line up from the right, text with query",
        "Write the four axes on paper. Give `real` an axis of size 1 for the heads and one for the queries.",
        _no_new_axes,
    ),
    Misconception(
        "padding-on-the-right",
        "the padding is counted, and taken to stand at the right end",
        "It may stand anywhere: use `real` itself, place by place.",
        _padding_on_the_right,
    ),
    Misconception(
        "padding-inverted",
        "the padding may be seen, and the tokens are hidden",
        "`real` is True for a token, which is what may be seen. It needs no `~`.",
        _padding_inverted,
    ),
    Misconception(
        "causal-inverted",
        "the causal mask is read the wrong way round: only the future may be seen",
        TRUE_MAY_BE_SEEN,
        _causal_inverted,
    ),
    Misconception("whole-numbers", *mistakes.WHOLE_NUMBERS_IN_A_MASK, _whole_numbers),
    Misconception(
        "first-key-for-all",
        "every query may see the first key, even if it is padding or in the future",
        "It is a known trick against empty rows. Here the attention function takes care of them.",
        _first_key_for_all,
    ),
)


# --- Right answers in another form


def _from_chapter_3(real):
    return attention.causal_mask(real.shape[1]).to(real.device)[None, None] & real.unsqueeze(1).unsqueeze(1)


def _tril_of_columns(real):
    batch, length = real.shape
    return real[:, None, None, :].expand(batch, 1, length, length).tril()


def _positions_compared(real):
    places = torch.arange(real.shape[1], device=real.device)
    future = places[None, :] > places[:, None]
    return real[:, None, None, :].logical_and(future.logical_not())


def _nested_lists(real):
    rows = real.tolist()
    length = real.shape[1]
    pattern = [[[[row[j] and j <= i for j in range(length)] for i in range(length)]] for row in rows]
    return torch.tensor(pattern, device=real.device)


def _multiplied(real):
    length = real.shape[1]
    past = torch.ones(length, length, device=real.device).tril()
    return torch.einsum("qk,bk->bqk", past, real.float()).bool().unsqueeze(1)


def _written_row_by_row(real):
    batch, length = real.shape
    mask = torch.zeros(batch, 1, length, length, dtype=torch.bool, device=real.device)
    for query in range(length):
        mask[:, 0, query, : query + 1] = real[:, : query + 1]
    return mask


def _masked_fill(real):
    hidden = torch.ones(real.shape[1], real.shape[1], device=real.device).triu(diagonal=1).bool()
    mask = real[:, None, None, :].repeat(1, 1, real.shape[1], 1)
    return mask.masked_fill(hidden, False)


def _neither_nor(real):
    future = torch.ones(real.shape[1], real.shape[1], device=real.device).triu(diagonal=1) > 0
    return ~(future | ~real[:, None, None, :])


def _through_numpy(real):
    import numpy as np

    past = np.tril(np.ones((real.shape[1], real.shape[1]), dtype=bool))
    return torch.from_numpy(past & real.cpu().numpy()[:, None, None, :]).to(real.device)


ALTERNATIVES = (
    Alternative("chapter 3's causal mask and two new axes", _from_chapter_3),
    Alternative("tril of the repeated padding", _tril_of_columns),
    Alternative("positions compared, and not in the future", _positions_compared),
    Alternative("nested lists", _nested_lists),
    Alternative("a product of ones and zeros", _multiplied),
    Alternative("row by row", _written_row_by_row),
    Alternative("the future filled with False", _masked_fill),
    Alternative("neither future nor padding", _neither_nor),
    Alternative("NumPy", _through_numpy),
)

EXERCISE = Exercise(
    name="attention.combined_mask",
    number="4.4",
    title="Both masks in one, for all heads",
    minutes=7,
    difficulty=2,
    reference=attention.combined_mask,
    checks=(
        Check("hides the future and the padding", 2, _right),
        Check("hides padding wherever it stands", 1, _anywhere),
        Check("keeps texts and queries apart, for one text and one place too", 1, _corners),
    ),
    hints=(
        "You have both masks. Which operation on booleans says “this rule and that one”?",
        "Write the four axes of the scores on paper: batch, heads, query, key. Which of them does the causal "
        "mask have, and which does `real` have? Give each mask an axis of size 1 where it says nothing.",
        "The causal mask lines up with the last two axes by itself. `real` needs new axes between its own "
        "two: one for the heads, one for the queries. Then join the two masks.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
