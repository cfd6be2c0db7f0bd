"""Exercise 3.7: causal self-attention with three bugs that raise no error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.attention.mistakes import TIMES_ROOT
from autograder.exercises.attention.scaled_dot_product_attention import FORBIDDEN
from autograder.exercises.probes import normal
from llmlib import attention

STARTER = '''\
def repair_attention(
    query: Float[Tensor, "*batch length d_k"],
    key: Float[Tensor, "*batch length d_k"],
    value: Float[Tensor, "*batch length d_v"],
) -> Float[Tensor, "*batch length d_v"]:
    """Causal self-attention: position i attends to the positions 0, 1, …, i."""
    length, d_k = query.shape[-2:]
    scores = query @ key.transpose(-2, -1) / d_k
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(diagonal=2)
    scores = scores.masked_fill(future, -torch.inf)
    weights = torch.softmax(scores, dim=-2)
    return weights @ value
'''


def repair_attention(
    query: Float[Tensor, "*batch length d_k"],
    key: Float[Tensor, "*batch length d_k"],
    value: Float[Tensor, "*batch length d_v"],
) -> Float[Tensor, "*batch length d_v"]:
    """Causal self-attention: position i attends to the positions 0, 1, …, i."""
    length, d_k = query.shape[-2:]
    scores = query @ key.transpose(-2, -1) / math.sqrt(d_k)
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(diagonal=1)
    scores = scores.masked_fill(future, -torch.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value


# --- Probes that show one bug at a time


def _chosen_scores(scores: Tensor, value: Tensor) -> Case:
    """Query and key whose product is `scores`: the keys are the rows of the identity, so d_k = length."""
    return Case({"query": scores, "key": torch.eye(scores.shape[-1]), "value": value})


def _one_key_wins(g: torch.Generator) -> Iterator[Case]:
    # Key 0 is far ahead for every query: neither the scale nor what the mask does to later keys can matter.
    # (Divided, 200 stays below 128: see the large scores of exercise 3.2.)
    for length in (3, 4):
        scores = normal(g, length, length)
        scores[:, 0] += 200.0
        yield _chosen_scores(scores, normal(g, length, 2))


def _future_counts(g: torch.Generator) -> Iterator[Case]:
    # With d_k = 1 the scale does nothing.
    yield Case({"query": normal(g, 4, 1), "key": normal(g, 4, 1), "value": normal(g, 4, 3)})
    yield Case({"query": normal(g, 2, 3, 1), "key": normal(g, 2, 3, 1), "value": normal(g, 2, 3, 2)})


def _future_is_negligible(g: torch.Generator) -> Iterator[Case]:
    # The future's scores are so low that nothing changes if they are not hidden.
    for length in (3, 5):
        low = torch.ones(length, length).triu(diagonal=1) * 1000.0
        yield _chosen_scores(2 * normal(g, length, length) - low, normal(g, length, 2))


def _everything(g: torch.Generator) -> Iterator[Case]:
    yield Case({"query": normal(g, 2, 5, 3), "key": normal(g, 2, 5, 3), "value": normal(g, 2, 5, 4)})
    yield Case({"query": normal(g, 2, 3, 4, 5), "key": normal(g, 2, 3, 4, 5), "value": normal(g, 2, 3, 4, 2)})
    double = [normal(g, *shape, dtype=torch.float64) for shape in ((3, 4), (3, 4), (3, 2))]
    yield Case(dict(zip(("query", "key", "value"), double, strict=True)), gradient=True)


# --- Repairs that stop too early or go wrong


def _variant(
    scale: Callable[[int], float] = math.sqrt, diagonal: int = 1, dim: int = -1
) -> Callable[..., Tensor]:
    def repair(query, key, value):
        length, d_k = query.shape[-2:]
        scores = query @ key.transpose(-2, -1) / scale(d_k)
        future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(diagonal=diagonal)
        return torch.softmax(scores.masked_fill(future, -torch.inf), dim=dim) @ value

    return repair


def _past_hidden(query, key, value):
    length, d_k = query.shape[-2:]
    past = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    scores = (query @ key.transpose(-2, -1) / math.sqrt(d_k)).masked_fill(past, -torch.inf)
    return torch.softmax(scores, dim=-1) @ value


def _nothing_hidden(query, key, value):
    return torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), dim=-1) @ value


def _over_root_length(query, key, value):
    length = query.shape[-2]
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(diagonal=1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(length)
    return torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1) @ value


def _filled_with_zero(query, key, value):
    length, d_k = query.shape[-2:]
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(diagonal=1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(d_k)
    return torch.softmax(scores.masked_fill(future, 0.0), dim=-1) @ value


def _masked_after(query, key, value):
    length, d_k = query.shape[-2:]
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(diagonal=1)
    weights = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(d_k), dim=-1)
    return weights.masked_fill(future, 0.0) @ value


MISCONCEPTIONS = (
    Misconception(
        "nothing-repaired",
        "all three bugs are still there",
        "Give it three positions and print the scores, the mask and the weights. What should each row sum "
        "to?",
        _variant(scale=float, diagonal=2, dim=-2),
    ),
    Misconception(
        "only-the-scale",
        "one bug is repaired, the scale, and two are left",
        "Print the weights of three positions. What does each row sum to, and where are the zeros?",
        _variant(diagonal=2, dim=-2),
    ),
    Misconception(
        "only-the-mask",
        "one bug is repaired, the mask, and two are left",
        "Print the weights of three positions and sum them, by rows and by columns. Which sums should be 1?",
        _variant(scale=float, dim=-2),
    ),
    Misconception(
        "only-the-softmax",
        "one bug is repaired, the softmax, and two are left",
        "Change the last position of key and value: may any earlier output change? Then try a large d_k.",
        _variant(scale=float, diagonal=2),
    ),
    Misconception(
        "not-the-scale",
        "two bugs are repaired, and the scale is not right yet",
        "Compare the spread of the scores for d_k = 4 and d_k = 400 with equation 1.",
        _variant(scale=float),
    ),
    Misconception(
        "not-the-mask",
        "two bugs are repaired, and the mask still lets something of the future through",
        "Change the last position of key and value: may any earlier output change?",
        _variant(diagonal=2),
    ),
    Misconception(
        "not-the-softmax",
        "two bugs are repaired, and the weights of a query still do not sum to 1",
        "Sum the weights by rows and by columns. Which of the two belongs to a query?",
        _variant(dim=-2),
    ),
    Misconception(
        "scale-removed",
        "the scale has been taken out instead of repaired",
        "The scores need a division, by the standard deviation of the dot product.",
        _variant(scale=lambda d_k: 1.0),
    ),
    Misconception("scale-inverted", *TIMES_ROOT, _variant(scale=lambda d_k: 1 / math.sqrt(d_k))),
    Misconception(
        "itself-hidden",
        "a position may no longer see itself, so the first one has nothing to attend to",
        "One step too far: the diagonal belongs to what may be seen.",
        _variant(diagonal=0),
    ),
    Misconception(
        "past-hidden",
        "the past is hidden and the future shown",
        "masked_fill fills where its argument is True. Which places should lose their score?",
        _past_hidden,
    ),
    Misconception(
        "nothing-hidden",
        "the mask has gone altogether",
        "The output at position 0 may depend on position 0 alone.",
        _nothing_hidden,
    ),
    Misconception(
        "over-axis-1",
        "softmax runs over axis 1, which is right only as long as there is no batch",
        "Count the axis from the end.",
        _variant(dim=1),
    ),
    Misconception(
        "over-root-length",
        "the scores are divided by the root of the length, not by √d_k",
        "How many products are added up in one score? Equation 1 divides by the root of that number.",
        _over_root_length,
    ),
    Misconception(
        "filled-with-zero",
        "the future's scores are set to 0",
        "exp(0) is 1: a score of 0 still gets a share. −inf was right.",
        _filled_with_zero,
    ),
    Misconception(
        "masked-after",
        "the future is hidden after softmax, so the weights of a query no longer sum to 1",
        "The order was right: first hide, then share out.",
        _masked_after,
    ),
)


# --- Right answers in another form


def _kept_positions(query, key, value):
    length, d_k = query.shape[-2], query.shape[-1]
    positions = torch.arange(length, device=query.device)
    scores = query @ key.mT * d_k**-0.5
    scores = torch.where(positions[:, None] >= positions, scores, float("-inf"))
    return scores.softmax(-1) @ value


def _from_the_chapter(query, key, value):
    mask = attention.causal_mask(query.shape[-2]).to(query.device)
    return attention.scaled_dot_product_attention(query, key, value, mask)


def _added_finite(query, key, value):
    length = query.shape[-2]
    scores = torch.einsum("...id,...jd->...ij", query / math.sqrt(query.shape[-1]), key)
    blocked = torch.triu(torch.ones(length, length, device=query.device, dtype=query.dtype), diagonal=1)
    return torch.einsum("...ij,...jv->...iv", torch.softmax(scores - 1e9 * blocked, dim=-1), value)


def _position_by_position(query, key, value):
    outputs = []
    for i in range(query.shape[-2]):
        scores = (
            query[..., i : i + 1, :] @ key[..., : i + 1, :].transpose(-2, -1) / math.sqrt(query.shape[-1])
        )
        outputs.append(torch.softmax(scores, dim=-1) @ value[..., : i + 1, :])
    return torch.cat(outputs, dim=-2)


def _softmax_by_columns(query, key, value):
    length, d_k = query.shape[-2:]
    scores = key @ query.transpose(-2, -1) / math.sqrt(d_k)  # rows are keys
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).tril(diagonal=-1)
    weights = torch.softmax(scores.masked_fill(future, -torch.inf), dim=-2)
    return weights.transpose(-2, -1) @ value


ALTERNATIVES = (
    Alternative("positions compared instead of triu", _kept_positions),
    Alternative("built from the chapter's own functions", _from_the_chapter),
    Alternative("a large finite number subtracted", _added_finite),
    Alternative("position by position, on what has been seen", _position_by_position),
    Alternative("the softmax left as it was and the scores transposed", _softmax_by_columns),
)

FUTURE = "hides exactly the future"
SCALE = "scales the scores as equation 1 does"

EXERCISE = Exercise(
    name="attention.repair_attention",
    number="3.7",
    title="Bug hunt: attention that runs and is wrong",
    kind="bug hunt",
    minutes=15,
    difficulty=2,
    reference=repair_attention,
    starter=STARTER,
    checks=(
        Check("gives each query weights that sum to 1 over the keys", 1, _one_key_wins),
        Check(FUTURE, 1, _future_counts),
        Check(SCALE, 1, _future_is_negligible),
        Check("is right all together: batches, heads and gradients", 1, _everything, after=(FUTURE, SCALE)),
    ),
    hints=(
        "No error is raised and every shape is right. Which three properties must the weights have, "
        "whatever the inputs are?",
        "Take three positions and print the weights. Sum the rows, look at the places above the diagonal, "
        "and compare the spread of the scores for a small and a large d_k.",
        "Go line by line: by what does equation 1 divide? Which is the first key that position 0 must not "
        "see? Over which dimension does each query share out its attention?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
