"""Wrong ways to write scaled dot-product attention: the misconceptions of exercise 3.5, mutants of 3.8."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autograder.exercise import Misconception
from autograder.exercises import mistakes
from autograder.exercises.attention.mistakes import OVER_ROOT_D_MODEL, OVER_ROOT_KEYS, REVERSED_AXES


def _scores(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def _weights(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.softmax(scores, dim=-1)
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1).nan_to_num(0.0)


# --- The scale


def not_scaled(query, key, value, mask=None):
    return _weights(query @ key.transpose(-2, -1), mask) @ value


def over_d_k(query, key, value, mask=None):
    return _weights(query @ key.transpose(-2, -1) / query.shape[-1], mask) @ value


def over_root_d_v(query, key, value, mask=None):
    return _weights(query @ key.transpose(-2, -1) / math.sqrt(value.shape[-1]), mask) @ value


def over_root_d_model(query, key, value, mask=None):
    n_heads = query.shape[-3] if query.ndim >= 4 else 1
    return _weights(query @ key.transpose(-2, -1) / math.sqrt(n_heads * query.shape[-1]), mask) @ value


def over_root_keys(query, key, value, mask=None):
    return _weights(query @ key.transpose(-2, -1) / math.sqrt(key.shape[-2]), mask) @ value


def weights_scaled(query, key, value, mask=None):
    return _weights(query @ key.transpose(-2, -1), mask) / math.sqrt(query.shape[-1]) @ value


# --- The softmax


def over_queries(query, key, value, mask=None):
    scores = _scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=-2).nan_to_num(0.0) @ value


def over_axis_1(query, key, value, mask=None):
    scores = _scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=1).nan_to_num(0.0) @ value


def over_everything(query, key, value, mask=None):
    scores = _scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores.flatten(), dim=0).reshape(scores.shape) @ value


def no_softmax(query, key, value, mask=None):
    scores = _scores(query, key)
    return (scores if mask is None else scores.masked_fill(~mask, 0.0)) @ value


def overflows(query, key, value, mask=None):
    exponentials = _scores(query, key).exp()
    if mask is not None:
        exponentials = exponentials * mask
    total = exponentials.sum(dim=-1, keepdim=True)
    return exponentials / total.masked_fill(total == 0, 1.0) @ value


# --- The mask


def mask_inverted(query, key, value, mask=None):
    return _weights(_scores(query, key), None if mask is None else ~mask) @ value


def mask_ignored(query, key, value, mask=None):
    return _weights(_scores(query, key), None) @ value


def always_causal(query, key, value, mask=None):
    scores = _scores(query, key)
    past = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    return _weights(scores, past if mask is None else mask) @ value


def masked_with_zero(query, key, value, mask=None):
    scores = _scores(query, key)
    return _weights(scores if mask is None else scores.masked_fill(~mask, 0.0), None) @ value


def mask_added(query, key, value, mask=None):
    scores = _scores(query, key)
    return _weights(scores if mask is None else scores + mask.to(scores.dtype), None) @ value


def masked_after(query, key, value, mask=None):
    weights = _weights(_scores(query, key), None)
    return (weights if mask is None else weights * mask) @ value


def mask_transposed(query, key, value, mask=None):
    return _weights(_scores(query, key), None if mask is None else mask.transpose(-2, -1)) @ value


def mask_unsqueezed(query, key, value, mask=None):
    return _weights(_scores(query, key), None if mask is None else mask.unsqueeze(1)) @ value


def mask_of_the_first(query, key, value, mask=None):
    while mask is not None and mask.ndim > 2:
        mask = mask[0]
    return _weights(_scores(query, key), mask) @ value


# --- Rows with nothing to attend to


def nan_in_empty_rows(query, key, value, mask=None):
    scores = _scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=-1) @ value


def uniform_in_empty_rows(query, key, value, mask=None):
    scores = _scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return torch.softmax(scores, dim=-1) @ value


# --- The rest


def weights_returned(query, key, value, mask=None):
    return _weights(_scores(query, key), mask)


def pair_returned(query, key, value, mask=None):
    weights = _weights(_scores(query, key), mask)
    return weights @ value, weights


def key_and_value_swapped(query, key, value, mask=None):
    return _weights(_scores(query, value), mask) @ key


def query_and_value_swapped(query, key, value, mask=None):
    return _weights(_scores(value, key), mask) @ query


def reversed_axes(query, key, value, mask=None):
    scores = query @ key.permute(*reversed(range(key.ndim))) / math.sqrt(query.shape[-1])
    return _weights(scores, mask) @ value


def in_place(query, key, value, mask=None):
    query /= math.sqrt(query.shape[-1])
    return _weights(query @ key.transpose(-2, -1), mask) @ value


def detached(query, key, value, mask=None):
    return (_weights(_scores(query, key), mask) @ value).detach()


def weights_detached(query, key, value, mask=None):
    return _weights(_scores(query, key), mask).detach() @ value


def always_float32(query, key, value, mask=None):
    return _weights(_scores(query.float(), key.float()), mask) @ value.float()


MISCONCEPTIONS = (
    Misconception(
        "not-scaled",
        "the scores are not divided by √d_k",
        "Without it softmax hardens as d_k grows. Use your attention_scores, or look at equation 1 again.",
        not_scaled,
    ),
    Misconception(
        "over-d-k",
        "the scores are divided by d_k, not by √d_k",
        "A sum of d_k independent products has variance d_k. What is its standard deviation? (And if you use "
        "your attention_scores: it divides already.)",
        over_d_k,
    ),
    Misconception(
        "over-root-d-v",
        "the scores are divided by √d_v, not √d_k",
        "The values take no part in the scores. Over how many numbers does one dot product run?",
        over_root_d_v,
    ),
    Misconception("over-root-d-model", *OVER_ROOT_D_MODEL, over_root_d_model),
    Misconception("over-root-keys", *OVER_ROOT_KEYS, over_root_keys),
    Misconception(
        "weights-scaled",
        "the division by √d_k comes after softmax instead of before it",
        "Sum the weights of one query: what should the total be?",
        weights_scaled,
    ),
    Misconception(
        "over-queries",
        "softmax runs over the queries, not over the keys",
        "Each query shares out one whole among the keys. Which dimension of the scores are the keys?",
        over_queries,
    ),
    Misconception(
        "over-axis-1",
        "softmax runs over axis 1, which holds the keys only as long as there is no batch",
        "Count the axis from the end: the keys are always the last one.",
        over_axis_1,
    ),
    Misconception(
        "over-everything",
        "all the weights together sum to 1, not those of each query",
        "Each query shares out one whole of its own.",
        over_everything,
    ),
    Misconception(
        "no-softmax",
        "the scores themselves are used as weights",
        "A weighted average needs weights that are positive and sum to 1.",
        no_softmax,
    ),
    Misconception(
        "overflows",
        "exp overflows when the scores are large",
        "Use your softmax, or subtract the largest score of each row before exp.",
        overflows,
    ),
    Misconception(
        "mask-inverted",
        "the mask is read the wrong way round: attention goes where it is False",
        "True means “may attend”; masked_fill fills where its argument is True. Do the two fit together?",
        mask_inverted,
    ),
    Misconception(
        "mask-ignored",
        "the mask has no effect",
        "Is the masked result kept? masked_fill without the underscore returns a new tensor.",
        mask_ignored,
    ),
    Misconception(
        "always-causal",
        "the future is hidden even where no mask is given",
        "Whether to hide the future is the caller's choice: without a mask, every query sees every key.",
        always_causal,
    ),
    Misconception(
        "masked-with-zero",
        "hidden scores are set to 0, or close to it, instead of −inf",
        "exp(0) is 1: a score of 0 is an ordinary score, and its key still gets a share.",
        masked_with_zero,
    ),
    Misconception(
        "mask-added",
        "the mask's True and False are added to the scores as 1 and 0",
        "A score that is one higher is only favoured. A hidden key must get the weight 0.",
        mask_added,
    ),
    Misconception(
        "masked-after",
        "the mask acts after softmax, so the remaining weights no longer sum to 1",
        "Sum the weights of a query that may not see everything. Where should the hidden share have gone?",
        masked_after,
    ),
    Misconception(
        "mask-transposed",
        "the mask's rows and columns are swapped",
        "A row of the mask belongs to a query and a column to a key, as in the scores: it needs no turning.",
        mask_transposed,
    ),
    Misconception(
        "mask-unsqueezed",
        "the mask gets an extra axis, which not every mask needs",
        "The caller brings the mask in a shape that broadcasts. Leave its shape alone.",
        mask_unsqueezed,
    ),
    Misconception(
        "mask-of-the-first",
        "the mask of the first row of the batch is used for all of them",
        "Each row of the batch may have a mask of its own.",
        mask_of_the_first,
    ),
    Misconception(
        "nan-in-empty-rows",
        "a query with nothing to attend to gets NaN",
        "Softmax of a row of −inf is 0/0. Find those rows with the mask, and give them zeros.",
        nan_in_empty_rows,
    ),
    Misconception(
        "uniform-in-empty-rows",
        "a query with nothing to attend to gets the average of all the values",
        "If every score is the same large negative number, softmax makes them all equal. Such a row should "
        "be zeros.",
        uniform_in_empty_rows,
    ),
    Misconception(
        "weights-returned",
        "the weights come back, not the weighted average of the values",
        "One step is missing: what are the weights for?",
        weights_returned,
    ),
    Misconception(
        "pair-returned",
        "a pair comes back, the output and the weights",
        "This function returns the output alone.",
        pair_returned,
    ),
    Misconception(
        "key-and-value-swapped",
        "key and value have changed places",
        "Queries are compared with keys; what is averaged are the values.",
        key_and_value_swapped,
    ),
    Misconception(
        "query-and-value-swapped",
        "query and value have changed places",
        "Queries are compared with keys; what is averaged are the values.",
        query_and_value_swapped,
    ),
    Misconception("reversed-axes", *REVERSED_AXES, reversed_axes),
    Misconception("in-place", *mistakes.in_place("query", "/="), in_place),
    Misconception("detached", *mistakes.detached("the inputs"), detached),
    Misconception(
        "weights-detached",
        "gradients reach the values but not query and key",
        "The weights are cut off from the graph. Look for `.detach()` or `no_grad` around the scores.",
        weights_detached,
    ),
    Misconception("always-float32", *mistakes.always_float32("inputs"), always_float32),
)
