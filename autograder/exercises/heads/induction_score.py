"""Exercise 4.8: how much a head attends to the token after the previous occurrence."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.probes import normal
from llmlib import induction


def _weights(
    g: torch.Generator, batch: int, n_heads: int, length: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Attention weights as a causal model makes them."""
    hidden = torch.ones(length, length, dtype=torch.bool).triu(diagonal=1)
    scores = 2 * normal(g, batch, n_heads, length, length, dtype=dtype)
    return torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)


def _one_head(g: torch.Generator) -> Iterator[Case]:
    yield Case({"weights": _weights(g, 1, 1, 6), "period": 3})
    yield Case({"weights": _weights(g, 1, 1, 8), "period": 4})


def _heads_and_texts(g: torch.Generator) -> Iterator[Case]:
    yield Case({"weights": _weights(g, 2, 3, 6), "period": 3})
    yield Case({"weights": _weights(g, 4, 2, 8), "period": 4})


def _any_length(g: torch.Generator) -> Iterator[Case]:
    yield Case({"weights": _weights(g, 2, 3, 7), "period": 2})  # three times and a half
    yield Case({"weights": _weights(g, 2, 3, 7), "period": 5})
    yield Case({"weights": _weights(g, 3, 2, 5), "period": 1})
    yield Case({"weights": _weights(g, 3, 2, 5), "period": 4})


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield Case({"weights": _weights(g, 2, 3, 6, dtype=torch.float64), "period": 3}, gradient=True)


# --- Mistakes


def _shifted(weights: Tensor, period: int, key: int, first: int | None = None) -> Tensor:
    """The mean weight that query i gives to key i + `key`, over the queries from `first` on."""
    length = weights.shape[-1]
    queries = torch.arange(period if first is None else first, length, device=weights.device)
    queries = queries[(queries + key >= 0) & (queries + key < length)]
    return weights[:, :, queries, queries + key].mean(dim=(0, 2))


def _previous_occurrence(weights, period):
    return _shifted(weights, period, -period)


def _one_further(weights, period):
    return _shifted(weights, period, 2 - period)


def _one_too_early(weights, period):
    return _shifted(weights, period, -period - 1, period + 1)


def _previous_token(weights, period):
    return _shifted(weights, period, -1)


def _one_query_too_many(weights, period):
    return _shifted(weights, period, 1 - period, period - 1)


def _one_query_too_few(weights, period):
    return _shifted(weights, period, 1 - period, period + 1)


def _over_all_positions(weights, period):
    length = weights.shape[-1]
    return _shifted(weights, period, 1 - period) * (length - period) / length


def _summed(weights, period):
    return _shifted(weights, period, 1 - period) * (weights.shape[-1] - period)


def _heads_averaged(weights, period):
    return _shifted(weights, period, 1 - period).mean()


def _texts_kept(weights, period):
    return weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].mean(dim=-1)


def _heads_and_texts_swapped(weights, period):
    return weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].mean(dim=(1, 2))


def _transposed(weights, period):
    return _shifted(weights.transpose(-2, -1), period, 1 - period)


def _largest(weights, period):
    return weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].amax(dim=(0, 2))


def _second_time_only(weights, period):
    return _shifted(weights[:, :, : 2 * period, : 2 * period], period, 1 - period)


def _last_query_only(weights, period):
    return weights[:, :, -1, weights.shape[-1] - period].mean(dim=0)


def _over_the_period(weights, period):
    length = weights.shape[-1]
    found = sum(weights[:, :, i, i - period + 1] for i in range(period, length))
    return found.mean(0) / period


def _every_query_with_every_key(weights, period):
    queries = torch.arange(period, weights.shape[-1], device=weights.device)
    return weights[:, :, queries][..., queries - period + 1].mean(dim=(0, 2, 3))


def _one_query_for_each_repetition(weights, period):
    queries = torch.arange(period, weights.shape[-1], period, device=weights.device)
    return weights[:, :, queries, queries - period + 1].mean(dim=(0, 2))


def _hits_counted(weights, period):
    queries = torch.arange(period, weights.shape[-1], device=weights.device)
    hits = weights[:, :, period:].argmax(dim=-1) == queries - period + 1
    return hits.to(weights.dtype).mean(dim=(0, 2))


def _detached(weights, period):
    return _shifted(weights.detach(), period, 1 - period)


MISCONCEPTIONS = (
    Misconception(
        "previous-occurrence",
        "the score looks at the previous occurrence itself, not at the token after it",
        "A head that finds its own token again has not yet seen how the text goes on. One place further.",
        _previous_occurrence,
    ),
    Misconception(
        "one-further",
        "the score looks one place too far",
        "Take period 3 and query 3: it holds the same token as place 0. Which place comes directly after?",
        _one_further,
    ),
    Misconception(
        "one-too-early",
        "the score looks at the token before the previous occurrence",
        "After, not before: the sign of the shift by one is the other.",
        _one_too_early,
    ),
    Misconception(
        "previous-token",
        "the score looks at the token directly before the query",
        "That measures another kind of head, which looks one place back. The period does not appear in it.",
        _previous_token,
    ),
    Misconception(
        "one-query-too-many",
        "the last query of the first round is counted too",
        "Its token has not occurred before: the first query that counts is the one at place `period`.",
        _one_query_too_many,
    ),
    Misconception(
        "one-query-too-few",
        "the first query of the second round is left out",
        "The token at place `period` is the first one that comes back, and it counts.",
        _one_query_too_few,
    ),
    Misconception(
        "over-all-positions",
        "the sum is divided by the number of all queries",
        "Queries in the first round have nothing to find. Divide by the number of those that count.",
        _over_all_positions,
    ),
    Misconception(
        "summed",
        "the weights are added up, not averaged",
        "A score of 1 should mean that the head always looks there, however long the text is.",
        _summed,
    ),
    Misconception(
        "heads-averaged",
        "all heads are averaged into one number",
        "We want to know which heads do it: one score for each.",
        _heads_averaged,
    ),
    Misconception(
        "texts-kept",
        "each text keeps scores of its own",
        "Average over the texts too: one number for each head.",
        _texts_kept,
    ),
    Misconception(
        "heads-and-texts-swapped",
        "there is a score for each text, averaged over the heads",
        "Axis 0 holds the texts and axis 1 the heads. Which of them should remain?",
        _heads_and_texts_swapped,
    ),
    Misconception(
        "transposed",
        "query and key are swapped",
        "Rows are queries, columns are keys, and the key lies in the past.",
        _transposed,
    ),
    Misconception(
        "largest",
        "the largest weight is taken, not the mean",
        "One lucky hit should not make a head look good.",
        _largest,
    ),
    Misconception(
        "second-time-only",
        "only the first repetition is counted",
        "The sequence may go on repeating: every query from place `period` on counts.",
        _second_time_only,
    ),
    Misconception(
        "last-query-only",
        "only the last query is counted",
        "Average over all queries whose token has occurred before.",
        _last_query_only,
    ),
    Misconception(
        "over-the-period",
        "the sum is divided by the period, not by the number of queries",
        "The two are equal only if the text repeats exactly once. How many queries are there from p on?",
        _over_the_period,
    ),
    Misconception(
        "every-query-with-every-key",
        "every query is paired with every one of the keys",
        "Two brackets one after the other choose rows, then columns. Both lists in one bracket go in pairs.",
        _every_query_with_every_key,
    ),
    Misconception(
        "one-query-for-each-repetition",
        "only every p-th query counts",
        "All places from p on have a token that occurred before: p, p + 1, p + 2 and so on.",
        _one_query_for_each_repetition,
    ),
    Misconception(
        "hits-counted",
        "it is counted how often the right key has the largest weight",
        "The score is the mean of the weights themselves.",
        _hits_counted,
    ),
    Misconception("detached", *mistakes.detached("the weights"), _detached),
)


# --- Right answers in another form


def _diagonal(weights, period):
    return weights.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].mean(dim=-1).mean(dim=0)


def _loop(weights, period):
    length = weights.shape[-1]
    total = sum(weights[:, :, i, i - period + 1].sum(dim=0) for i in range(period, length))
    return total / (weights.shape[0] * (length - period))


def _selected_by_a_mask(weights, period):
    places = torch.arange(weights.shape[-1], device=weights.device)
    wanted = (places[None, :] == places[:, None] - period + 1) & (places[:, None] >= period)
    return (weights * wanted).sum(dim=(0, 2, 3)) / (weights.shape[0] * wanted.sum())


def _gathered(weights, period):
    rows = weights[:, :, period:, :]
    keys = torch.arange(1, rows.shape[-2] + 1, device=weights.device)
    keys = keys[None, None, :, None].expand(*rows.shape[:2], -1, 1)
    return rows.gather(-1, keys).squeeze(-1).mean(dim=(0, 2))


def _smaller_square(weights, period):
    square = weights[:, :, period:, 1 : weights.shape[-1] - period + 1]
    return torch.einsum("bhii->h", square) / (square.shape[0] * square.shape[-1])


def _a_table_of_hits(weights, period):
    places = torch.arange(weights.shape[-1], device=weights.device)
    hits = (places[:, None] - places == period - 1) & (places[:, None] >= period)
    return torch.einsum("bhqk,qk->h", weights, hits.to(weights.dtype)) / (len(weights) * hits.sum())


def _numbered(weights, period):
    length = weights.shape[-1]
    queries = torch.arange(period, length, device=weights.device)
    return weights.flatten(-2)[..., queries * length + queries - period + 1].mean(-1).mean(0)


ALTERNATIVES = (
    Alternative("a diagonal without its first entry", _diagonal),
    Alternative("query by query", _loop),
    Alternative("selected by a mask", _selected_by_a_mask),
    Alternative("gather", _gathered),
    Alternative("the trace of a smaller square", _smaller_square),
    Alternative("a table of ones at the right places", _a_table_of_hits),
    Alternative("places numbered row by row", _numbered),
)

EXERCISE = Exercise(
    name="induction.induction_score",
    number="4.8",
    title="Find the heads that continue a pattern",
    minutes=10,
    difficulty=2,
    reference=induction.induction_score,
    checks=(
        Check("averages the right places of one head's weights", 2, _one_head),
        Check("gives one score for each head, averaged over the texts", 1, _heads_and_texts),
        Check("takes any period and any length", 1, _any_length),
        Check("keeps the dtype and lets gradients through", 1, _types_and_gradients),
    ),
    hints=(
        "Draw the table of weights for a sequence of 6 tokens with period 3, queries downwards and keys to "
        "the right. Mark the places that count. How many are there?",
        "The queries that count begin at place `period`. For the query at place i, where was its token the "
        "last time, and which place comes next?",
        "Make a tensor of the queries' places and one of the keys' places, and index the last two axes with "
        "both: you get one weight for each query. Then average over texts and queries. (The places lie on a "
        "line parallel to the diagonal, so `diagonal` with an offset works too; mind where it begins.)",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={
        f"length = weights.shape[-1]  ⟶  {change}": "There are as many queries as keys: the last two axes "
        "have the same length."
        for change in ("-1 becomes -2", "1 becomes 2")
    },
)
