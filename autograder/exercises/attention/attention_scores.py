"""Exercise 3.1: the scores, query times key over √d_k."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.attention.mistakes import (
    OVER_ROOT_D_MODEL,
    OVER_ROOT_KEYS,
    REVERSED_AXES,
    TIMES_ROOT,
)
from autograder.exercises.probes import normal, transposed
from llmlib import attention


def _case(query: Tensor, key: Tensor, gradient: bool = False) -> Case:
    return Case({"query": query, "key": key}, gradient=gradient)


# --- Probes: d_k, the numbers of queries, of keys and of heads differ, unless their being equal is the point.


def _every_pair(g: torch.Generator) -> Iterator[Case]:
    # With d_k = 1 every way to scale by d_k gives the same: what counts here is which number meets which.
    yield _case(normal(g, 3, 1), normal(g, 4, 1))
    yield _case(normal(g, 1, 1), normal(g, 5, 1))


def _scale(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 5), normal(g, 3, 5))
    yield _case(normal(g, 5, 7), normal(g, 2, 7))
    yield _case(normal(g, 3, 2), normal(g, 3, 2))  # as many queries as keys: queryᵀ @ key would run
    yield _case(normal(g, 2, 3), normal(g, 3, 3))  # as many keys as features: query @ key would run


def _leading_dimensions(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 5), normal(g, 2, 4, 5))
    yield _case(normal(g, 2, 3, 4, 6), normal(g, 2, 3, 5, 6))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    # √4 is exact in every precision: a root taken in float32 is no mistake.
    yield _case(normal(g, 2, 4, dtype=torch.float64), normal(g, 3, 4, dtype=torch.float64), gradient=True)
    yield _case(transposed(g, 2, 5, 3), transposed(g, 2, 4, 3))


# --- Mistakes


def _not_scaled(query, key):
    return query @ key.transpose(-2, -1)


def _over_d_k(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1]


def _times_root(query, key):
    return query @ key.transpose(-2, -1) * math.sqrt(query.shape[-1])


def _over_root_d_model(query, key):
    n_heads = query.shape[-3] if query.ndim >= 4 else 1
    return query @ key.transpose(-2, -1) / math.sqrt(n_heads * query.shape[-1])


def _over_root_keys(query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(key.shape[-2])


def _over_root_queries(query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-2])


def _d_k_from_axis_1(query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[1])


def _reversed_axes(query, key):
    return query @ key.permute(*reversed(range(key.ndim))) / math.sqrt(query.shape[-1])


def _query_transposed(query, key):
    return query.transpose(-2, -1) @ key / math.sqrt(query.shape[-1])


def _keys_by_queries(query, key):
    return key @ query.transpose(-2, -1) / math.sqrt(query.shape[-1])


def _already_weights(query, key):
    return torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), dim=-1)


def _cosine(query, key):
    query = query / query.norm(dim=-1, keepdim=True)
    key = key / key.norm(dim=-1, keepdim=True)
    return query @ key.transpose(-2, -1)


def _detached(query, key):
    return (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).detach()


def _always_float32(query, key):
    return query.float() @ key.float().transpose(-2, -1) / math.sqrt(query.shape[-1])


def _in_place(query, key):
    query /= math.sqrt(query.shape[-1])
    return query @ key.transpose(-2, -1)


def _reshaped(query, key):
    turned = key.reshape(*key.shape[:-2], key.shape[-1], key.shape[-2])
    return query @ turned / math.sqrt(query.shape[-1])


def _not_transposed(query, key):
    return query @ key / math.sqrt(query.shape[-1])


def _place_by_place(query, key):
    return (query * key).sum(-1) / math.sqrt(query.shape[-1])


def _d_k_from_axis_1_of_key(query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(key.shape[1])


def _halved(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 1 / 2


def _root_rounded_down(query, key):
    return query @ key.transpose(-2, -1) / math.isqrt(query.shape[-1])


def _only_the_fourth_root(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.25


MISCONCEPTIONS = (
    Misconception(
        "not-scaled",
        "the scores are not divided by √d_k",
        "The dot products are right. Compare their size for d_k = 4 and for d_k = 400, then look at "
        "equation 1 again.",
        _not_scaled,
    ),
    Misconception(
        "over-d-k",
        "the scores are divided by d_k, not by √d_k",
        "A sum of d_k independent products has variance d_k. What is its standard deviation?",
        _over_d_k,
    ),
    Misconception("times-root", *TIMES_ROOT, _times_root),
    Misconception("over-root-d-model", *OVER_ROOT_D_MODEL, _over_root_d_model),
    Misconception("over-root-keys", *OVER_ROOT_KEYS, _over_root_keys),
    Misconception(
        "over-root-queries",
        "the scores are divided by the root of the number of queries, not by √d_k",
        "Which axis of query holds the d_k numbers of one vector? The annotation in the signature names it.",
        _over_root_queries,
    ),
    Misconception(
        "d-k-from-axis-1",
        "d_k is read from axis 1, which is the last axis only as long as there is no batch",
        "Count the axis from the end: leading dimensions may come, the last one stays the last.",
        _d_k_from_axis_1,
    ),
    Misconception("reversed-axes", *REVERSED_AXES, _reversed_axes),
    Misconception(
        "query-transposed",
        "query is transposed where key should be",
        "In a matrix product the inner axes meet and are summed over. Which axis should disappear here?",
        _query_transposed,
    ),
    Misconception(
        "keys-by-queries",
        "the rows belong to the keys and the columns to the queries",
        "Each query should have its own row, with one score for each key.",
        _keys_by_queries,
    ),
    Misconception(
        "already-weights",
        "softmax has been applied already",
        "This function stops at the scores; turning them into weights is the next exercise.",
        _already_weights,
    ),
    Misconception(
        "cosine",
        "each vector is divided by its own length, which gives the cosine of the angle",
        "Attention keeps the lengths of query and key: a long query may be surer of its choice.",
        _cosine,
    ),
    Misconception("in-place", *mistakes.in_place("query", "/="), _in_place),
    Misconception("detached", *mistakes.detached("query and key"), _detached),
    Misconception("always-float32", *mistakes.always_float32(), _always_float32),
    Misconception(
        "reshaped",
        "key is reshaped where its axes should change places",
        "A reshape counts the numbers off anew and moves none. `transpose` exchanges rows and columns.",
        _reshaped,
    ),
    Misconception(
        "not-transposed",
        "query and key are multiplied as they are",
        "In a matrix product the last axis of the left meets the last but one of the right, and both must be "
        "d_k. Which axes of key have to change places?",
        _not_transposed,
    ),
    Misconception(
        "place-by-place",
        "query i is compared with key i alone",
        "`*` multiplies number by number. Every query should meet every key: that is a matrix product.",
        _place_by_place,
    ),
    Misconception(
        "d-k-from-axis-1-of-key",
        "d_k is read from axis 1 of key, which is the last axis only as long as there is no batch",
        "Count the axis from the end: leading dimensions may come, the last one stays the last.",
        _d_k_from_axis_1_of_key,
    ),
    Misconception(
        "halved",
        "the scores are divided by d_k, and then by 2",
        "Powers come before divisions: `d_k ** 1 / 2` is `(d_k ** 1) / 2`. Write 0.5, or use `math.sqrt`.",
        _halved,
    ),
    Misconception(
        "root-rounded-down",
        "the root is rounded down to a whole number",
        "`int(…)` and `math.isqrt` cut off what comes after the point. The root of 5 is 2.236.",
        _root_rounded_down,
    ),
    Misconception(
        "only-the-fourth-root",
        "the scores are divided by the fourth root of d_k",
        "Whoever divides query and key by the fourth root must do it with both.",
        _only_the_fourth_root,
    ),
)


# --- Right answers in another form


def _einsum(query, key):
    return torch.einsum("...qd,...kd->...qk", query, key) / query.shape[-1] ** 0.5


def _query_scaled_first(query, key):
    return torch.matmul(query * key.size(-1) ** -0.5, key.mT)


def _both_scaled_by_the_fourth_root(query, key):
    scale = key.shape[-1] ** 0.25
    return (query / scale) @ (key / scale).swapaxes(-1, -2)


def _products_then_sum(query, key):
    return (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(dim=-1).div(math.sqrt(key.shape[-1]))


def _root_as_tensor(query, key):
    return query @ key.transpose(-1, -2) / torch.sqrt(torch.tensor(query.size(-1)))


def _loops(query, key):
    rows = [
        torch.stack([(query[..., i, :] * key[..., j, :]).sum(-1) for j in range(key.shape[-2])], dim=-1)
        for i in range(query.shape[-2])
    ]
    return torch.stack(rows, dim=-2) / math.sqrt(query.shape[-1])


def _flattened_batch(query, key):
    flat_query, flat_key = query.reshape(-1, *query.shape[-2:]), key.reshape(-1, *key.shape[-2:])
    scores = torch.bmm(flat_query, flat_key.permute(0, 2, 1)) / math.sqrt(query.shape[-1])
    return scores.reshape(*query.shape[:-1], key.shape[-2])


def _added_to_nothing(query, key):
    left, right = query.reshape(-1, *query.shape[-2:]), key.reshape(-1, *key.shape[-2:])
    zeros = left.new_zeros(left.shape[0], left.shape[1], right.shape[1])
    scores = torch.baddbmm(zeros, left, right.mT, alpha=query.shape[-1] ** -0.5)
    return scores.reshape(*query.shape[:-1], key.shape[-2])


def _linear_layers(query, key):
    if query.ndim == 2:
        return torch.nn.functional.linear(query, key) / math.sqrt(query.shape[-1])
    return torch.stack([_linear_layers(q, k) for q, k in zip(query, key, strict=True)])


ALTERNATIVES = (
    Alternative("einsum", _einsum),
    Alternative("the query is scaled before the product", _query_scaled_first),
    Alternative("query and key are both divided by the fourth root", _both_scaled_by_the_fourth_root),
    Alternative("products by broadcasting, then a sum", _products_then_sum),
    Alternative("the root taken by torch", _root_as_tensor),
    Alternative("loops over queries and keys", _loops),
    Alternative("the leading dimensions flattened into one batch", _flattened_batch),
    Alternative("baddbmm", _added_to_nothing),
    Alternative("the keys as the matrix of a linear layer", _linear_layers),
)

SCALE = "divides by √d_k"

EXERCISE = Exercise(
    name="attention.attention_scores",
    number="3.1",
    title="Scores: how well does each query match each key?",
    minutes=8,
    difficulty=1,
    reference=attention.attention_scores,
    checks=(
        Check("compares every query with every key", 1, _every_pair),
        Check(SCALE, 2, _scale),
        Check("takes any number of leading dimensions", 1, _leading_dimensions, after=(SCALE,)),
        Check(
            "keeps the dtype, lets gradients through and leaves its inputs alone",
            1,
            _types_and_gradients,
            after=(SCALE,),
        ),
    ),
    hints=(
        "What should stand in row i, column j of the result, and how many numbers are multiplied and added "
        "for it?",
        "One matrix product gives all the dot products at once, provided that key's last two axes change "
        "places. Read d_k from the end of the shape.",
        "Swap the last two axes of key, multiply query by it as matrices, and divide everything by the "
        "square root of the number of features that one vector has.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
