"""Wrong ways to write multi-head attention: the misconceptions of exercise 4.5, mutants of 4.9."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autograder.exercise import Misconception
from llmlib.attention import MultiHeadAttention, causal_mask, merge_heads, split_heads


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, dim: int = -1
) -> Tensor:
    scores = query @ key.transpose(-2, -1) / scale
    if mask is None:
        return torch.softmax(scores, dim=dim) @ value
    weights = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=dim).nan_to_num(0.0)
    return weights @ value


class Steps(MultiHeadAttention):
    """A right answer in steps, so that a wrong one can differ in a single one of them."""

    def split(self, x):
        return split_heads(x, self.n_heads)

    def merge(self, x):
        return merge_heads(x)

    def projected(self, x, context):
        return self.query(x), self.key(context), self.value(context)

    def scale(self, query):
        return math.sqrt(query.shape[-1])

    def joined(self, mask, past):
        if past is None or mask is None:
            return mask if past is None else past
        return mask & past

    def attend(self, query, key, value, mask):
        return attend(query, key, value, mask, self.scale(query))

    def finish(self, merged):
        return self.output(merged)

    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        query, key, value = (self.split(projected) for projected in self.projected(x, context))
        past = causal_mask(x.shape[1]).to(x.device) if is_causal else None
        return self.finish(self.merge(self.attend(query, key, value, self.joined(mask, past))))


# --- Splitting and merging


class SplitWithoutTranspose(Steps):
    def split(self, x):
        batch, length, d_model = x.shape
        return x.reshape(batch, self.n_heads, length, d_model // self.n_heads)


class MergeWithoutTranspose(Steps):
    def merge(self, x):
        batch, n_heads, length, d_head = x.shape
        return x.reshape(batch, length, n_heads * d_head)


class NeitherTransposed(SplitWithoutTranspose):
    def merge(self, x):
        batch, n_heads, length, d_head = x.shape
        return x.reshape(batch, length, n_heads * d_head)


class HeadsAsPositions(Steps):
    """Cut but not transposed: at each position the heads attend to each other."""

    def split(self, x):
        batch, length, d_model = x.shape
        return x.reshape(batch, length, self.n_heads, d_model // self.n_heads)

    def merge(self, x):
        return x.flatten(start_dim=-2)

    def attend(self, query, key, value, mask):
        return attend(query, key, value, None, self.scale(query))


class HeadsMixedWithBatch(Steps):
    def merge(self, x):
        batch, n_heads, length, d_head = x.shape
        mixed = x.transpose(0, 1).reshape(batch, n_heads, length, d_head)
        return merge_heads(mixed)


class OneHead(Steps):
    def split(self, x):
        return x[:, None]


class FirstHeadOnly(Steps):
    def attend(self, query, key, value, mask):
        heads = super().attend(query, key, value, mask)
        return heads[:, :1].expand_as(heads)


# --- Scale and softmax


class ScaledByDModel(Steps):
    def scale(self, query):
        return math.sqrt(self.n_heads * query.shape[-1])


class NotScaled(Steps):
    def scale(self, query):
        return 1.0


class ScaledByHeads(Steps):
    def scale(self, query):
        return math.sqrt(self.n_heads)


class SoftmaxOverHeads(Steps):
    def attend(self, query, key, value, mask):
        return attend(query, key, value, mask, self.scale(query), dim=1)


# --- Projections


class NoOutputProjection(Steps):
    def finish(self, merged):
        return merged


class OutputTwice(Steps):
    def finish(self, merged):
        return self.output(self.output(merged))


class KeyAndValueSwapped(Steps):
    def projected(self, x, context):
        return self.query(x), self.value(context), self.key(context)


class QueryAndKeySwapped(Steps):
    def projected(self, x, context):
        return self.key(x), self.query(context), self.value(context)


class NotProjected(Steps):
    def projected(self, x, context):
        return x, context, context


class ResidualAdded(Steps):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        return x + super().forward(x, mask, context, is_causal=is_causal)


# --- The context


class ContextIgnored(Steps):
    def projected(self, x, context):
        return self.query(x), self.key(x), self.value(x)


class QueriesFromContext(Steps):
    def projected(self, x, context):
        return self.query(context), self.key(x), self.value(x)


class ValuesFromX(Steps):
    def projected(self, x, context):
        return self.query(x), self.key(context), self.value(x)


class EverythingFromContext(Steps):
    def projected(self, x, context):
        return self.query(context), self.key(context), self.value(context)


# --- The masks


class MaskIgnored(Steps):
    def joined(self, mask, past):
        return past


class MaskInverted(Steps):
    def joined(self, mask, past):
        return super().joined(None if mask is None else ~mask, past)


class MaskTransposed(Steps):
    def joined(self, mask, past):
        return super().joined(None if mask is None else mask.transpose(-2, -1), past)


class MaskAfterSoftmax(Steps):
    def attend(self, query, key, value, mask):
        weights = torch.softmax(query @ key.transpose(-2, -1) / self.scale(query), dim=-1)
        return (weights if mask is None else weights * mask) @ value


class CausalIgnored(Steps):
    def joined(self, mask, past):
        return mask


class CausalReplacesMask(Steps):
    def joined(self, mask, past):
        return mask if past is None else past


class MaskReplacesCausal(Steps):
    def joined(self, mask, past):
        return past if mask is None else mask


class OneMaskIsEnough(Steps):
    def joined(self, mask, past):
        return super().joined(mask, past) if past is None or mask is None else mask | past


class AlwaysCausal(Steps):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        return super().forward(x, mask, context, is_causal=context is None)


MISCONCEPTIONS = (
    Misconception(
        "split-without-transpose",
        "the projections are only reshaped, so one head gets the first positions and the next one the others",
        "Use your `split_heads`, or follow the second position's numbers through the reshape.",
        SplitWithoutTranspose,
    ),
    Misconception(
        "merge-without-transpose",
        "the heads are merged by a reshape alone, which mixes the positions",
        "Use your `merge_heads`: the heads must stand behind the length before they can be joined.",
        MergeWithoutTranspose,
    ),
    Misconception(
        "neither-transposed",
        "the heads are split and merged by a reshape alone",
        "The two mistakes do not cancel: in between, each head sees the numbers of the wrong positions.",
        NeitherTransposed,
    ),
    Misconception(
        "heads-as-positions",
        "the heads attend to each other at each position, and no position sees another",
        "Attention runs over the last two axes. Which axis must stand last but one?",
        HeadsAsPositions,
    ),
    Misconception(
        "heads-mixed-with-batch",
        "the heads of one text are mixed with those of another",
        "Feed the same text alone and in a batch: the result must not change.",
        HeadsMixedWithBatch,
    ),
    Misconception(
        "one-head",
        "there is a single head with vectors of length d_model",
        "Where are queries, keys and values cut into n_heads pieces?",
        OneHead,
    ),
    Misconception(
        "first-head-only",
        "the first head's result stands in the place of all",
        "Every head has its own queries, keys and values, and its own result.",
        FirstHeadOnly,
    ),
    Misconception(
        "scaled-by-d-model",
        "the scores are divided by √d_model, not √d_head",
        "A head's dot product adds up d_head numbers. How widely does it spread?",
        ScaledByDModel,
    ),
    Misconception(
        "not-scaled",
        "the scores are not divided at all",
        "Each head does what chapter 3 did, with its own d_k.",
        NotScaled,
    ),
    Misconception(
        "scaled-by-heads",
        "the scores are divided by the root of the number of heads",
        "It is the length of a head's vectors that counts, not how many heads there are.",
        ScaledByHeads,
    ),
    Misconception(
        "softmax-over-heads",
        "softmax runs over the heads, so the heads compete with each other",
        "Each head shares out its own weight of 1 over the keys. Count the axis from the end.",
        SoftmaxOverHeads,
    ),
    Misconception(
        "no-output-projection",
        "the output projection is missing",
        "Look at the layers that `__init__` makes. Which one has not been used?",
        NoOutputProjection,
    ),
    Misconception(
        "output-twice",
        "the output projection is applied twice",
        "Once, after the heads are merged.",
        OutputTwice,
    ),
    Misconception(
        "key-and-value-swapped",
        "keys and values are swapped",
        "The key is what a position is found by, the value is what it hands over. Check the order of your "
        "arguments.",
        KeyAndValueSwapped,
    ),
    Misconception(
        "query-and-key-swapped",
        "the layers for queries and keys are swapped",
        "Who asks, x or the context? Its vectors go through the layer called query.",
        QueryAndKeySwapped,
    ),
    Misconception(
        "not-projected",
        "x itself is taken for queries, keys and values",
        "Look at the layers that `__init__` makes: three of them come before the heads are split.",
        NotProjected,
    ),
    Misconception(
        "residual-added",
        "x is added to the result",
        "That addition belongs to the block around the layer, in the next chapter.",
        ResidualAdded,
    ),
    Misconception(
        "context-ignored",
        "the context is ignored: x attends to itself",
        "Where a context is given, keys and values come from it.",
        ContextIgnored,
    ),
    Misconception(
        "queries-from-context",
        "the roles are exchanged: the context asks and x is looked at",
        "There should be one result for each position of x. So who asks?",
        QueriesFromContext,
    ),
    Misconception(
        "values-from-x",
        "the keys come from the context and the values from x",
        "What is found and what is handed over belong to the same position, so to the same text.",
        ValuesFromX,
    ),
    Misconception(
        "everything-from-context",
        "the queries come from the context too",
        "Then x would have no say at all. Who asks?",
        EverythingFromContext,
    ),
    Misconception(
        "mask-ignored",
        "the mask is ignored",
        "Hand it on to the attention function.",
        MaskIgnored,
    ),
    Misconception(
        "mask-inverted",
        "the mask is read the wrong way round",
        "True means “may attend”.",
        MaskInverted,
    ),
    Misconception(
        "mask-transposed",
        "the mask hides queries where it should hide keys",
        "Its last axis is the key's, the one before it the query's, as in the scores.",
        MaskTransposed,
    ),
    Misconception(
        "mask-after-softmax",
        "the weights are masked after softmax, so they no longer sum to 1",
        "Hidden scores must be gone before softmax divides by the total.",
        MaskAfterSoftmax,
    ),
    Misconception(
        "causal-ignored",
        "`is_causal` does nothing",
        "With it no position may see a later one. You have a function for that mask.",
        CausalIgnored,
    ),
    Misconception(
        "causal-replaces-mask",
        "with `is_causal` the given mask is dropped",
        "Both hold at once: what the mask hides stays hidden.",
        CausalReplacesMask,
    ),
    Misconception(
        "mask-replaces-causal",
        "with a mask given, `is_causal` is dropped",
        "Both hold at once: the future stays hidden.",
        MaskReplacesCausal,
    ),
    Misconception(
        "one-mask-is-enough",
        "a key is visible if the mask or the past allows it",
        "Both rules must allow it.",
        OneMaskIsEnough,
    ),
    Misconception(
        "always-causal",
        "the future is hidden even where nobody asked for it",
        "Only `is_causal` asks for it.",
        AlwaysCausal,
    ),
)
