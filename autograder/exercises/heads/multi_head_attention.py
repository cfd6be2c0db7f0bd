"""Exercise 4.5: the whole layer. The wrong answers stand in `wrong_heads`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from einops import rearrange
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import probes
from autograder.exercises.attention.scaled_dot_product_attention import FORBIDDEN
from autograder.exercises.heads.mistakes import TRUE_MAY_BE_SEEN
from autograder.exercises.heads.wrong_heads import MISCONCEPTIONS, Steps
from autograder.exercises.probes import normal, random_mask
from llmlib import attention
from llmlib.attention import MultiHeadAttention


def _case(
    g: torch.Generator,
    d_model: int,
    n_heads: int,
    arguments: dict[str, Tensor | bool],
    *,
    bias: bool = True,
    gradient: bool = False,
) -> Case:
    construct: dict[str, Any] = {"d_model": d_model, "n_heads": n_heads}
    construct |= {} if bias else {"bias": False}
    drawn = probes.weights(MultiHeadAttention(**construct), g)
    dtype = arguments["x"].dtype  # type: ignore[union-attr]
    weights = {name: weight.to(dtype) for name, weight in drawn.items()}
    return Case(arguments, gradient=gradient, construct=construct, weights=weights)


# --- Probes: batch, length, n_heads and d_head differ, unless their being equal is the point.


def _self_attention(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 6, 2, {"x": normal(g, 1, 4, 6)})
    yield _case(g, 8, 4, {"x": normal(g, 3, 5, 8)})
    yield _case(g, 6, 3, {"x": normal(g, 2, 3, 6)}, bias=False)


def _masks(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 6, 2, {"x": normal(g, 1, 4, 6), "mask": random_mask(g, 4, 4)})
    yield _case(g, 8, 2, {"x": normal(g, 3, 5, 8), "mask": random_mask(g, 3, 1, 1, 5)})
    yield _case(g, 6, 3, {"x": normal(g, 2, 4, 6), "mask": random_mask(g, 2, 1, 4, 4)})
    yield _case(g, 6, 3, {"x": normal(g, 2, 4, 6), "mask": random_mask(g, 1, 3, 4, 4)})


def _cross_attention(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 6, 2, {"x": normal(g, 2, 3, 6), "context": normal(g, 2, 3, 6)})
    yield _case(g, 6, 3, {"x": normal(g, 2, 3, 6), "context": normal(g, 2, 5, 6)})
    yield _case(g, 6, 2, {"x": normal(g, 2, 4, 6), "context": normal(g, 2, 3, 6)})


def _causal(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 6, 2, {"x": normal(g, 2, 4, 6), "is_causal": True})
    real = torch.arange(5) < torch.tensor([3, 5])[:, None]
    yield _case(g, 6, 3, {"x": normal(g, 2, 5, 6), "mask": real[:, None, None, :], "is_causal": True})
    mask = random_mask(g, 4, 4)
    mask[:, 0] = True  # no row without anything to attend to: that was exercise 3.5's business
    yield _case(g, 6, 2, {"x": normal(g, 2, 4, 6), "mask": mask, "is_causal": True})


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    x, mask = normal(g, 2, 3, 4, dtype=torch.float64), random_mask(g, 2, 1, 1, 3)
    yield _case(g, 4, 2, {"x": x, "mask": mask}, gradient=True)
    context, mask = normal(g, 2, 4, 4, dtype=torch.float64), random_mask(g, 2, 1, 1, 4)
    yield _case(g, 4, 2, {"x": x, "context": context, "mask": mask}, gradient=True)


# --- Mistakes that are no mutants of 4.9: they end in an error, or depend on what was written elsewhere


class _ScaledTwice(Steps):
    def scale(self, query):
        return float(query.shape[-1])


class _ContextOrX(Steps):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        return super().forward(x, mask, context or x, is_causal=is_causal)


class _NoMaskToJoin(Steps):
    def joined(self, mask, past):
        return mask if past is None else mask & past


class _MaskUnsqueezed(Steps):
    def joined(self, mask, past):
        return super().joined(None if mask is None else mask.unsqueeze(1), past)


class _CausalInverted(Steps):
    def joined(self, mask, past):
        return super().joined(mask, None if past is None else ~past)


class _ContextAsLongAsX(Steps):
    def projected(self, x, context):
        return (projected.reshape(x.shape) for projected in super().projected(x, context))


class _BiasForgotten(Steps):
    def projected(self, x, context):
        layers = ((self.query, x), (self.key, context), (self.value, context))
        return (text @ layer.weight.T for layer, text in layers)


class _WeightsNotTransposed(Steps):
    def projected(self, x, context):
        layers = ((self.query, x), (self.key, context), (self.value, context))
        return (text @ layer.weight + (0 if layer.bias is None else layer.bias) for layer, text in layers)


MORE_MISCONCEPTIONS = (
    Misconception(
        "scaled-twice",
        "the scores are divided by √d_head twice",
        "Your `scaled_dot_product_attention` divides already.",
        _ScaledTwice,
    ),
    Misconception(
        "context-or-x",
        "`or` or `if` asks a whole tensor for a single answer",
        "`context or x` needs one truth value of all the numbers. Ask whether the context is None.",
        _ContextOrX,
    ),
    Misconception(
        "no-mask-to-join",
        "with `is_causal` a mask is taken for granted",
        "`None & past` is an error: where no mask is given, the causal mask holds alone.",
        _NoMaskToJoin,
    ),
    Misconception(
        "mask-unsqueezed",
        "the mask gets an extra axis, which not every mask needs",
        "The caller brings the mask in a shape that broadcasts to the scores. Leave its shape alone.",
        _MaskUnsqueezed,
    ),
    Misconception(
        "causal-inverted", "with `is_causal` only the future may be seen", TRUE_MAY_BE_SEEN, _CausalInverted
    ),
    Misconception(
        "context-as-long-as-x",
        "the context is taken to be as long as x",
        "Keys and values have a length of their own: read it from the context, or let `split_heads` do it.",
        _ContextAsLongAsX,
    ),
    Misconception(
        "bias-forgotten",
        "the layers' biases are left out",
        "Call the layer, `self.query(x)`: it adds its bias by itself.",
        _BiasForgotten,
    ),
    Misconception(
        "weights-not-transposed",
        "the layers' weights are used the wrong way round",
        "A layer multiplies by its weight transposed. Call the layer, `self.query(x)`.",
        _WeightsNotTransposed,
    ),
)


# --- Right answers in another form


class _OneProductForEachHead(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        pieces = []
        for layer, text in ((self.query, x), (self.key, context), (self.value, context)):
            weight = rearrange(layer.weight, "(h e) d -> h d e", h=self.n_heads)
            piece = torch.einsum("bld,hde->bhle", text, weight)
            if layer.bias is not None:
                piece = piece + rearrange(layer.bias, "(h e) -> h 1 e", h=self.n_heads)
            pieces.append(piece)
        found = attention.scaled_dot_product_attention(*pieces, _past(x, mask, is_causal))
        return self.dropout(self.output(attention.merge_heads(found)))


class _MaskAdded(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        query, key, value = (
            rearrange(layer(text), "b l (h d) -> (b h) l d", h=self.n_heads)
            for layer, text in ((self.query, x), (self.key, context), (self.value, context))
        )
        added = x.new_zeros(x.shape[0], self.n_heads, x.shape[1], context.shape[1])
        if (allowed := _past(x, mask, is_causal)) is not None:
            added = added.masked_fill(~allowed, -1e9)
        scores = torch.baddbmm(added.flatten(end_dim=1), query, key.mT, alpha=query.shape[-1] ** -0.5)
        found = torch.bmm(scores.softmax(dim=-1), value)
        return self.output(rearrange(found, "(b h) l d -> b l (h d)", h=self.n_heads))


def _past(x: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor | None:
    if not is_causal:
        return mask
    past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return past if mask is None else past.logical_and(mask)


class _ReshapeAndTranspose(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        batch, length, d_model = x.shape

        def heads(layer, text):
            return layer(text).view(batch, -1, self.n_heads, d_model // self.n_heads).transpose(1, 2)

        found = attention.scaled_dot_product_attention(
            heads(self.query, x),
            heads(self.key, context),
            heads(self.value, context),
            _past(x, mask, is_causal),
        )
        found = found.transpose(1, 2).reshape(batch, length, d_model)
        return self.dropout(self.output(found))


class _HeadByHead(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        allowed = _past(x, mask, is_causal)
        if allowed is not None:
            allowed = allowed.expand(x.shape[0], self.n_heads, x.shape[1], context.shape[1])
        query, key, value = self.query(x), self.key(context), self.value(context)
        d_head = x.shape[-1] // self.n_heads
        found = []
        for head in range(self.n_heads):
            place = slice(head * d_head, (head + 1) * d_head)
            found.append(
                attention.scaled_dot_product_attention(
                    query[..., place],
                    key[..., place],
                    value[..., place],
                    None if allowed is None else allowed[:, head],
                )
            )
        return self.output(torch.cat(found, dim=-1))


class _Einsum(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        query = rearrange(self.query(x), "b q (h d) -> b q h d", h=self.n_heads)
        key = rearrange(self.key(context), "b k (h d) -> b k h d", h=self.n_heads)
        value = rearrange(self.value(context), "b k (h d) -> b k h d", h=self.n_heads)
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
        allowed = _past(x, mask, is_causal)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, float("-inf"))
        weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)
        return self.output(rearrange(torch.einsum("bhqk,bkhd->bqhd", weights, value), "b q h d -> b q (h d)"))


class _HeadsWriteIntoTheOutput(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        query, key, value = (
            attention.split_heads(layer(text), self.n_heads)
            for layer, text in ((self.query, x), (self.key, context), (self.value, context))
        )
        found = attention.scaled_dot_product_attention(query, key, value, _past(x, mask, is_causal))
        matrices = self.output.weight.unflatten(1, (self.n_heads, -1))
        result = torch.einsum("bhqe,dhe->bqd", found, matrices)
        return result if self.output.bias is None else result + self.output.bias


class _HeadsInTheBatch(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        query, key, value = (
            rearrange(layer(text), "b l (h d) -> (b h) l d", h=self.n_heads)
            for layer, text in ((self.query, x), (self.key, context), (self.value, context))
        )
        scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(query.shape[-1])
        allowed = _past(x, mask, is_causal)
        if allowed is not None:
            shape = (x.shape[0], self.n_heads, x.shape[1], context.shape[1])
            scores = scores.masked_fill(~allowed.expand(shape).flatten(end_dim=1), torch.finfo(x.dtype).min)
        weights = scores.softmax(dim=-1)
        return self.output(rearrange(torch.bmm(weights, value), "(b h) l d -> b l (h d)", h=self.n_heads))


ALTERNATIVES = (
    Alternative("a product for each head, of the layers' weights", _OneProductForEachHead),
    Alternative("baddbmm, with the mask added", _MaskAdded),
    Alternative("view, transpose and chapter 3's attention", _ReshapeAndTranspose),
    Alternative("head by head", _HeadByHead),
    Alternative("einsum with the length before the heads", _Einsum),
    Alternative("each head through its part of the output matrix, added up", _HeadsWriteIntoTheOutput),
    Alternative("the heads in the batch, and bmm", _HeadsInTheBatch),
)

SELF = "attends within each head, merges the heads and projects the result"
MASK = "attends only where the mask is True"

EXERCISE = Exercise(
    name="attention.MultiHeadAttention.forward",
    number="4.5",
    title="Multi-head attention",
    minutes=20,
    difficulty=3,
    reference=MultiHeadAttention,
    checks=(
        Check(SELF, 3, _self_attention),
        Check(MASK, 2, _masks),
        Check("takes keys and values from the context", 2, _cross_attention),
        Check("hides the future where `is_causal` asks for it, beside what the mask hides", 1, _causal),
        Check(
            "keeps the dtype and lets gradients through to every weight",
            1,
            _types_and_gradients,
            after=(MASK,),
        ),
    ),
    hints=(
        "Follow the picture above from top to bottom: project, split, attend, merge, project. You have "
        "written a function for each of these steps, or `__init__` has made a layer for it.",
        "Queries come from x. Where do keys and values come from when a context is given, and where when "
        "none is? Which of your functions makes (batch, n_heads, length, d_head) of a projection?",
        "First decide what the context is and which mask holds (if `is_causal` is set, join the causal mask "
        "with the given one, if there is one). Then one line for each of query, key and value, one call of "
        "your attention function, and one line that merges, projects and drops out.",
    ),
    misconceptions=(*MISCONCEPTIONS, *MORE_MISCONCEPTIONS),
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
    equivalents={
        "if self.fused and mask is None:  ⟶  `is` becomes `is not`": "No learner is asked for the fused "
        "kernel, so every layer here is made with fused=False and this condition is False either way."
    },
)
