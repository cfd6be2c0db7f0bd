"""Variants of exercise 4.1: the heads behind the length, and heads that are dealt out like cards.

The references stand here, and not in `llmlib`: what an answer's process may import holds neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from autograder.exercise import Alternative, Misconception, Variant
from autograder.exercises.heads.split_heads import MISCONCEPTIONS

PLAIN = {m.id: m for m in MISCONCEPTIONS}
Split = Callable[[Tensor, int], Tensor]


def behind(
    x: Float[Tensor, "*batch length d_model"], n_heads: int
) -> Float[Tensor, "*batch length n_heads d_head"]:
    """Cut each vector into `n_heads` equal pieces, one for each head, behind the length.

    Raises:
        ValueError: d_model is not a multiple of `n_heads`.

    Source: the layout of Dao's FlashAttention: (batch, length, heads, d_head).
    """
    if x.shape[-1] % n_heads:
        raise ValueError(f"d_model must be a multiple of n_heads: got {x.shape[-1]} and {n_heads}")
    return rearrange(x, "... length (heads d_head) -> ... length heads d_head", heads=n_heads)


def dealt(
    x: Float[Tensor, "*batch length d_model"], n_heads: int
) -> Float[Tensor, "*batch n_heads length d_head"]:
    """Deal each vector's numbers out to `n_heads` heads in turn, and give every head its own sequence.

    Head h gets the numbers h, h + n_heads, h + 2 · n_heads, …

    Raises:
        ValueError: d_model is not a multiple of `n_heads`.

    Source: the channel shuffle of Zhang et al., "ShuffleNet" (2018), section 3.1.
    """
    if x.shape[-1] % n_heads:
        raise ValueError(f"d_model must be a multiple of n_heads: got {x.shape[-1]} and {n_heads}")
    return rearrange(x, "... length (d_head heads) -> ... heads length d_head", heads=n_heads)


def _length_first(answer: Split) -> Split:
    def twisted(x, n_heads):
        return answer(x, n_heads).transpose(-3, -2)

    return twisted


def _sorted_by_head(answer: Split) -> Split:
    def twisted(x, n_heads):
        return answer(rearrange(x, "... (d_head heads) -> ... (heads d_head)", heads=n_heads), n_heads)

    return twisted


# --- Mistakes of their own


def _heads_last(x, n_heads):
    return rearrange(x, "... (heads d_head) -> ... d_head heads", heads=n_heads)


def _never_cut(x, n_heads):
    return x.unsqueeze(-2)


def _transposed_and_cut(x, n_heads):
    turned = x.transpose(-2, -1)
    return turned.reshape(*x.shape[:-1], n_heads, x.shape[-1] // n_heads)


def _pieces_dealt(x, n_heads):
    # Heads of n_heads numbers each, every so many apart: the two sizes have changed places.
    return rearrange(x, "... length (d_head heads) -> ... heads length d_head", d_head=n_heads)


def _dealt_behind(x, n_heads):
    return rearrange(x, "... length (d_head heads) -> ... length heads d_head", heads=n_heads)


def _dealt_in_reverse(x, n_heads):
    return rearrange(x, "... length (d_head heads) -> ... heads length d_head", heads=n_heads).flip(-3)


# --- Right answers in another form


def _reshaped(x, n_heads):
    return x.reshape(*x.shape[:-1], n_heads, x.shape[-1] // n_heads)


def _chunks_behind(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=-2)


def _every_nth(x, n_heads):
    return torch.stack([x[..., head::n_heads] for head in range(n_heads)], dim=-3)


def _cut_and_turned(x, n_heads):
    return x.unflatten(-1, (-1, n_heads)).movedim(-1, -3)


BEHIND = Variant(
    id="behind",
    twist="The heads' axis stands behind the length: (length, n_heads, d_head), not in front of it.",
    statement="""\
Write `split_heads(x, n_heads)`, with the heads **behind** the length.

- `x` has shape `(*batch, length, d_model)`, with any number of leading axes, also none. The result has shape
  `(*batch, length, n_heads, d_head)`, with `d_head = d_model / n_heads`.
- Head 0 gets the first `d_head` numbers of every vector, head 1 the next ones, and so on.
- `d_model` is a multiple of `n_heads` in every check.
- Use tensor methods or `rearrange`, as you like.

Worked example: the text above, `split_heads(x, 2)`, gives `[[[0, 1], [2, 3]], [[10, 11], [12, 13]],
[[20, 21], [22, 23]]]`. FlashAttention takes its inputs in this layout, for which nothing has to be moved in
memory.""",
    reference=behind,
    hints=(
        "What is the shape of `x`, and what shape is asked for? Which axis alone has become two?",
        "Count the numbers off in memory, position by position. Is there any number that has to move?",
    ),
    misconceptions=(
        Misconception(
            "heads-last",
            "the heads' axis is the very last one, behind d_head",
            "The pieces are right. In each head a row should hold the d_head numbers of that head.",
            _heads_last,
        ),
        Misconception(
            "never-cut",
            "each vector has a new axis of size 1 and was never cut",
            "The n_heads pieces of a vector should lie along that axis.",
            _never_cut,
        ),
        replace(
            PLAIN["transposed-too-early"],
            advice="Nothing needs to change places here. Only the last axis is cut.",
            answer=_transposed_and_cut,
        ),
    ),
    alternatives=(
        Alternative("one reshape", _reshaped),
        Alternative("unflatten", lambda x, n_heads: x.unflatten(-1, (n_heads, -1))),
        Alternative("chunks, stacked behind the length", _chunks_behind),
    ),
    through=_length_first,
    untouched=("view-without-transpose", "heads-first", "heads-in-the-batch", "length-cut", "list-of-heads"),
    excluded={
        "not-transposed": "it is the right answer here",
        "length-last": "in this layout heads and d_head are the two that get swapped: `heads-last`",
    },
)

DEALT = Variant(
    id="dealt",
    twist="The numbers are dealt out like cards: head h gets every n_heads-th number, from number h on.",
    statement="""\
Write `split_heads(x, n_heads)`, which **deals the numbers out like cards**.

- `x` has shape `(*batch, length, d_model)`, with any number of leading axes, also none. The result has shape
  `(*batch, n_heads, length, d_head)`, with `d_head = d_model / n_heads`.
- Head $h$ gets the numbers $h$, $h + n_\\text{heads}$, $h + 2 n_\\text{heads}$, … of every vector.
- `d_model` is a multiple of `n_heads` in every check.
- Use tensor methods or `rearrange`, as you like.

Worked example: the text above, `split_heads(x, 2)`, gives `[[[0, 2], [10, 12], [20, 22]], [[1, 3], [11, 13],
[21, 23]]]`. Attention learns equally well with it, since the projection before it can put any number in any
place. ShuffleNet mixes its groups in this way (Zhang et al., 2018, section 3.1).""",
    reference=dealt,
    hints=(
        "Do it in two steps: first cut the last axis in two, then put the axes in order. Which of the two "
        "new axes runs faster when the numbers are dealt out in turn?",
        "In a reshape the last axis runs fastest. Neighbouring numbers belong to different heads: so which "
        "of the two comes last?",
        "With einops: name the last axis as a pair in round brackets, the slow one first, and write the axes "
        "on the right in the order you want. With tensors: a slice can take every n-th number, and "
        "`torch.stack` gives the slices an axis.",
    ),
    misconceptions=(
        replace(PLAIN["sizes-swapped"], answer=_pieces_dealt),
        replace(PLAIN["not-transposed"], answer=_dealt_behind),
        Misconception(
            "last-head-first",
            "the heads stand in reverse order",
            "Head 0 gets the first card: number 0.",
            _dealt_in_reverse,
        ),
    ),
    alternatives=(
        Alternative("every n-th number, stacked", _every_nth),
        Alternative("unflatten and movedim", _cut_and_turned),
    ),
    through=_sorted_by_head,
    untouched=("view-without-transpose", "length-cut", "whole-vector-each", "transposed-too-early"),
    excluded={"every-nth-number": "it is the right answer here"},
)

VARIANTS = (BEHIND, DEALT)
