"""Exercise 3.5: the whole function, with its mask. The wrong answers stand in `wrong_attention`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.attention.wrong_attention import MISCONCEPTIONS
from autograder.exercises.probes import normal, random_mask, transposed, whole
from llmlib import attention


def _case(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, gradient: bool = False
) -> Case:
    arguments = {"query": query, "key": key, "value": value}
    return Case(arguments if mask is None else {**arguments, "mask": mask}, gradient=gradient)


# --- Probes: d_k, d_v, the numbers of queries, keys, heads and batch rows differ, unless their being equal
# is the point. With d_k = 1 the scale does nothing: such cases see everything but the scale.


def _average(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 1), normal(g, 4, 1), normal(g, 4, 3))
    yield _case(normal(g, 5, 1), normal(g, 3, 1), normal(g, 3, 2))
    yield _case(normal(g, 3, 1), normal(g, 1, 1), normal(g, 1, 2))  # one key


def _scale(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 5), normal(g, 4, 5), normal(g, 4, 3))
    yield _case(normal(g, 4, 2), normal(g, 3, 2), normal(g, 3, 5))
    yield _case(normal(g, 3, 5), normal(g, 3, 5), normal(g, 3, 5))  # all alike: swapped inputs would run


def _leading_dimensions(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 4, 5), normal(g, 2, 3, 5), normal(g, 2, 3, 6))
    yield _case(normal(g, 2, 3, 4, 6), normal(g, 2, 3, 5, 6), normal(g, 2, 3, 5, 7))


def _masks(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 1), normal(g, 4, 1), normal(g, 4, 3), random_mask(g, 2, 4))
    past = attention.causal_mask(4)
    past[3, int(torch.randint(0, 3, (), generator=g))] = False  # no row is empty the wrong way round
    yield _case(normal(g, 4, 1), normal(g, 4, 1), normal(g, 4, 3), past)
    yield _case(normal(g, 3, 1), normal(g, 5, 1), normal(g, 5, 2), random_mask(g, 3, 5))


def _broadcast_masks(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 5), normal(g, 2, 4, 5), normal(g, 2, 4, 6), random_mask(g, 2, 3, 4))
    yield _case(normal(g, 2, 3, 5), normal(g, 2, 4, 5), normal(g, 2, 4, 6), random_mask(g, 3, 4))
    query, key, value = normal(g, 2, 3, 4, 2), normal(g, 2, 3, 5, 2), normal(g, 2, 3, 5, 6)
    yield _case(query, key, value, random_mask(g, 2, 1, 1, 5))  # padding: the same for all heads and queries
    yield _case(query, key, value, random_mask(g, 2, 1, 4, 5))
    yield _case(query, key, value, random_mask(g, 4, 5))


def _at_the_extremes(g: torch.Generator) -> Iterator[Case]:
    for empty in (0, 1):
        mask = random_mask(g, 3, 4)
        mask[empty] = False
        yield _case(normal(g, 3, 1), normal(g, 4, 1), normal(g, 4, 2), mask)
    # Visible keys score -100, hidden ones 100: a softmax over all of them leaves the visible ones nothing.
    key = torch.tensor([-10.0, -10.0, 10.0, 10.0])[:, None]
    mask = torch.tensor([[True, True, False, False], [False, False, True, True]])
    yield _case(torch.tensor([[10.0], [-10.0]]), key, normal(g, 4, 2), mask)


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    # √4 is exact in every precision: a root taken in float32 is no mistake.
    query, key, value = (normal(g, *shape, dtype=torch.float64) for shape in ((2, 4), (3, 4), (3, 5)))
    yield _case(query, key, value, gradient=True)
    yield _case(query, key, value, random_mask(g, 2, 3), gradient=True)
    yield _case(transposed(g, 2, 4, 5), transposed(g, 2, 3, 5), transposed(g, 2, 3, 6))


def _large_scores(g: torch.Generator) -> Iterator[Case]:
    # Scores from 90 to 120, then the same below 0: beyond what exp can bear in float32. Larger ones would not
    # do: right answers that subtract the logarithm of the sum would lose digits. √4 = 2 is exact.
    query = torch.tensor([[7.5], [-7.5], [0.5]]).expand(3, 4).contiguous()
    yield _case(query, whole(g, 5, 4, largest=1) + 7, normal(g, 5, 2))


# --- Mistakes that are no mutants of 3.8: what they do ends in an error, or is two mistakes in one


def _zero_times_infinity(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is not None:
        scores = scores + (~mask).to(scores.dtype) * -torch.inf
    return torch.softmax(scores, dim=-1) @ value


def _nan_swept_away(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is not None:
        scores = scores + (~mask).to(scores.dtype) * -torch.inf
    return torch.softmax(scores, dim=-1).nan_to_num(0.0) @ value


def _if_mask(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=-1) @ value


def _mask_as_index(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is None:
        return torch.softmax(scores, dim=-1) @ value
    scores[~mask] = -torch.inf
    return torch.softmax(scores, dim=-1).nan_to_num(0.0) @ value


def _all_rows_empty(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is None:
        return torch.softmax(scores, dim=-1) @ value
    weights = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1)
    return torch.zeros_like(weights) @ value if weights.isnan().any() else weights @ value


def _softmax_twice(query, key, value, mask=None):
    weights = torch.softmax(attention.attention_scores(query, key), dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, -torch.inf)
    return torch.softmax(weights, dim=-1).nan_to_num(0.0) @ value


def _shared_out_again(query, key, value, mask=None):
    weights = torch.softmax(attention.attention_scores(query, key), dim=-1)
    if mask is None:
        return weights @ value
    weights = weights * mask
    return (weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-9)) @ value


def _weights_turned(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=-1).nan_to_num(0.0).transpose(-2, -1) @ value


MORE_MISCONCEPTIONS = (
    Misconception(
        "zero-times-infinity",
        "the mask is multiplied by −inf, and 0 times infinity is NaN",
        "A place that may be seen should get 0 added, not 0 · inf. `masked_fill` and `torch.where` choose "
        "without multiplying.",
        _zero_times_infinity,
    ),
    Misconception(
        "nan-swept-away",
        "the mask is multiplied by −inf, and the NaN that 0 · inf makes everywhere is replaced by 0",
        "`nan_to_num` hides a mistake here: visible places should get 0 added. `masked_fill` and `where` "
        "choose without multiplying.",
        _nan_swept_away,
    ),
    Misconception(
        "if-mask",
        "`if mask` asks a whole table of True and False for a single answer",
        "What is to be asked is whether there is a mask at all: is it None?",
        _if_mask,
    ),
    Misconception(
        "mask-as-index",
        "the mask picks places of the scores as an index, which needs exactly their shape",
        "An index does not broadcast; `masked_fill` and `torch.where` do.",
        _mask_as_index,
    ),
    Misconception(
        "all-rows-empty",
        "as soon as one query has nothing to attend to, all of them get zeros",
        "Ask row by row: `mask.any(dim=-1, keepdim=True)` has an answer for each query.",
        _all_rows_empty,
    ),
    Misconception(
        "softmax-twice",
        "softmax is applied twice",
        "A softmax of weights makes them nearly equal. Mask the scores, then apply it once.",
        _softmax_twice,
    ),
    Misconception(
        "shared-out-again",
        "the mask acts after softmax, and what is left is shared out again",
        "On paper it is the same. But where the hidden scores are much larger, the visible weights are 0 by "
        "then, and nothing is left to share. Hide the scores before softmax.",
        _shared_out_again,
    ),
    Misconception(
        "weights-turned",
        "the weights are transposed before they meet the values",
        "A row of weights belongs to a query and runs over the keys, as the rows of the values do.",
        _weights_turned,
    ),
)


# --- Right answers in another form


def _logarithm_of_the_mask(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is not None:
        scores = scores + mask.to(scores.dtype).log()
    return (torch.softmax(scores, dim=-1) @ value).nan_to_num(0.0)


def _keys_down(query, key, value, mask=None):
    scores = key @ query.mT / math.sqrt(key.shape[-1])
    hidden = None if mask is None else ~mask.expand(scores.mT.shape).mT
    if hidden is not None:
        scores = scores.masked_fill(hidden, -1e9)
    weights = torch.softmax(scores, dim=-2)
    return (weights if hidden is None else weights.masked_fill(hidden, 0.0)).mT @ value


def _library_softmax(query, key, value, mask=None):
    scores = torch.matmul(query, key.mT) * key.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    return torch.softmax(scores, dim=-1).nan_to_num(0.0) @ value


def _earlier_exercises(query, key, value, mask=None):
    scores = attention.attention_scores(query, key)
    if mask is None:
        return attention.softmax(scores) @ value
    weights = attention.softmax(torch.where(mask, scores, torch.finfo(scores.dtype).min))
    return torch.where(mask, weights, 0.0) @ value


def _einsum_and_finite(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query / math.sqrt(query.size(-1)), key)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights.masked_fill(mask == 0, 0.0)
    return torch.einsum("...qk,...kv->...qv", weights, value)


def _added_mask(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is None:
        return torch.nn.functional.softmax(scores, dim=-1) @ value
    scores = scores + torch.zeros_like(scores).masked_fill(~mask, -torch.inf)
    output = torch.nn.functional.softmax(scores, dim=-1) @ value
    return torch.where(mask.any(dim=-1, keepdim=True), output, torch.zeros_like(output))


def _divided_last(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    exponentials = (scores - scores.amax(-1, keepdim=True)).exp()
    if mask is not None:
        exponentials = exponentials * mask
    total = exponentials.sum(-1, keepdim=True)
    return exponentials @ value / total.masked_fill(total == 0, 1.0)


def _logsumexp(query, key, value, mask=None):
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - scores.logsumexp(dim=-1, keepdim=True))
    return (weights if mask is None else weights * mask) @ value


def _query_by_query(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    rows = []
    for i in range(query.shape[-2]):
        score = scores[..., i, :].masked_fill(~allowed[..., i, :], -torch.inf)
        weights = torch.softmax(score, dim=-1).masked_fill(~allowed[..., i, :], 0.0)
        rows.append((weights.unsqueeze(-1) * value).sum(dim=-2))
    return torch.stack(rows, dim=-2)


def _key_by_key(query, key, value, mask=None):
    largest = torch.full_like(query[..., :1], -1e30)
    total, output = torch.zeros_like(largest), query.new_zeros(*query.shape[:-1], value.shape[-1])
    for j in range(key.shape[-2]):
        score = (query * key[..., j : j + 1, :]).sum(-1, keepdim=True) / math.sqrt(query.shape[-1])
        allowed = torch.ones_like(score, dtype=torch.bool) if mask is None else mask[..., j : j + 1]
        score = score.masked_fill(~allowed, -1e30)
        larger = torch.maximum(largest, score)
        kept, new = (largest - larger).exp(), (score - larger).exp() * allowed
        total, output = total * kept + new, output * kept + new * value[..., j : j + 1, :]
        largest = larger
    return output / total.masked_fill(total == 0, 1.0)


ALTERNATIVES = (
    Alternative("the logarithm of the mask added, NaN outputs replaced", _logarithm_of_the_mask),
    Alternative("keys down and queries across", _keys_down),
    Alternative("the library's softmax, and nan_to_num", _library_softmax),
    Alternative("built from the earlier exercises, with the smallest finite number", _earlier_exercises),
    Alternative("einsum and a large negative number, weights masked again", _einsum_and_finite),
    Alternative("a mask of −inf added, empty rows chosen at the end", _added_mask),
    Alternative("divided by the sum after the product with the values", _divided_last),
    Alternative("logsumexp", _logsumexp),
    Alternative("query by query", _query_by_query),
    Alternative("key by key, in one pass", _key_by_key),
)

FORBIDDEN = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.ops.aten.scaled_dot_product_attention",
    "aten::scaled_dot_product_attention",
    "aten::_scaled_dot_product_attention_math",
    "aten::_scaled_dot_product_attention_math_for_mps",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "aten::_efficient_attention_forward",
    "aten::_flash_attention_forward",
    "aten::_native_multi_head_attention",
    # The library's attention, written out, ends in this softmax, which nothing else uses.
    "aten::_safe_softmax",
)

AVERAGE = "gives each query the weighted average of the values"
SCALE = "divides the scores by √d_k"
LEADING = "takes any number of leading dimensions"
MASK = "attends only where the mask is True"

EXERCISE = Exercise(
    name="attention.scaled_dot_product_attention",
    number="3.5",
    title="Scaled dot-product attention",
    minutes=20,
    difficulty=3,
    reference=attention.scaled_dot_product_attention,
    checks=(
        Check(AVERAGE, 2, _average),
        Check(SCALE, 1, _scale),
        Check(LEADING, 1, _leading_dimensions, after=(SCALE,)),
        Check(MASK, 2, _masks),
        Check("takes a mask of any shape that broadcasts", 1, _broadcast_masks, after=(LEADING, MASK)),
        Check(
            "gives zeros to a query with nothing to attend to, and hides the highest scores too",
            1,
            _at_the_extremes,
            after=(MASK,),
        ),
        Check("stays right when the scores are large", 1, _large_scores, after=(SCALE,)),
        Check(
            "keeps the dtype, lets gradients through and leaves its inputs alone",
            1,
            _types_and_gradients,
            after=(LEADING, MASK),
        ),
    ),
    hints=(
        "You have written three of the four steps already. In which order do scores, mask, softmax and "
        "values come?",
        "The mask must act before softmax, so that the remaining weights still add up to 1. Which score "
        "makes a weight exactly 0? And what does softmax give for a row that holds nothing else?",
        "Compute the scores. Where the mask is False, replace the score by −inf. Apply softmax over the "
        "keys. Where a whole row was hidden, put zeros in the place of the NaN: `masked_fill` can do that "
        "as well. Multiply the weights by the values.",
    ),
    misconceptions=(*MISCONCEPTIONS, *MORE_MISCONCEPTIONS),
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
