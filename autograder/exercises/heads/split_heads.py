"""Exercise 4.1: cut each vector into pieces, one for each head."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.heads.mistakes import STACKED_FROM_THE_FRONT, pattern_without_dots
from autograder.exercises.probes import normal, transposed
from llmlib import attention


def _case(x: torch.Tensor, n_heads: int, gradient: bool = False) -> Case:
    return Case({"x": x, "n_heads": n_heads}, gradient=gradient)


# --- Probes: length, n_heads and d_head differ, unless their being equal is the point.


def _one_text(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 6), 3)
    yield _case(normal(g, 4, 6), 2)
    yield _case(normal(g, 5, 12), 3)


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 4, 6), 3)
    yield _case(normal(g, 3, 5, 8), 2)
    yield _case(normal(g, 2, 2, 4), 2)  # all alike: axes in a wrong order would fit


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 5), 1)
    yield _case(normal(g, 2, 3, 4), 4)
    yield _case(normal(g, 2, 3, 4, 6), 2)
    yield _case(normal(g, 2, 1, 6), 2)


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 4, dtype=torch.float64), 2, gradient=True)
    yield _case(transposed(g, 2, 3, 6), 3)


# --- Mistakes


def _view_without_transpose(x, n_heads):
    *batch, length, d_model = x.shape
    return x.reshape(*batch, n_heads, length, d_model // n_heads)


def _not_transposed(x, n_heads):
    *batch, length, d_model = x.shape
    return x.reshape(*batch, length, n_heads, d_model // n_heads)


def _every_nth_number(x, n_heads):
    return rearrange(x, "... length (d_head heads) -> ... heads length d_head", heads=n_heads)


def _sizes_swapped(x, n_heads):
    return rearrange(x, "... length (heads d_head) -> ... heads length d_head", d_head=n_heads)


def _heads_first(x, n_heads):
    return rearrange(x, "... length (heads d_head) -> heads ... length d_head", heads=n_heads)


def _length_last(x, n_heads):
    return rearrange(x, "... length (heads d_head) -> ... heads d_head length", heads=n_heads)


def _heads_in_the_batch(x, n_heads):
    heads = rearrange(x, "... length (heads d_head) -> ... heads length d_head", heads=n_heads)
    return heads.flatten(end_dim=-3)


def _length_cut(x, n_heads):
    if x.shape[-2] % n_heads:
        raise ValueError("the length is no multiple of n_heads")
    return rearrange(x, "... (heads length) d_model -> ... heads length d_model", heads=n_heads)


def _whole_vector_each(x, n_heads):
    return torch.stack([x] * n_heads, dim=-3)


def _list_of_heads(x, n_heads):
    return list(x.chunk(n_heads, dim=-1))


def _flattened_first(x, n_heads):
    turned = x.transpose(-2, -1)
    *batch, d_model, length = turned.shape
    return turned.reshape(*batch, n_heads, length, d_model // n_heads)


def _three_axes_taken_for_granted(x, n_heads):
    batch, length, d_model = x.shape
    return x.reshape(batch, length, n_heads, d_model // n_heads).transpose(1, 2)


def _pattern_without_dots(x, n_heads):
    return rearrange(x, "b l (h d) -> b h l d", h=n_heads)


def _swapped_from_the_front(x, n_heads):
    *batch, length, d_model = x.shape
    return x.reshape(*batch, length, n_heads, d_model // n_heads).transpose(1, 2)


def _stacked_from_the_front(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def _last_head_first(x, n_heads):
    return _einops(x, n_heads).flip(-3)


def _scaled(x, n_heads):
    return _einops(x, n_heads) / (x.shape[-1] // n_heads) ** 0.5


def _detached(x, n_heads):
    return _einops(x.detach(), n_heads)


MISCONCEPTIONS = (
    Misconception(
        "view-without-transpose",
        "the tensor is only reshaped, so one head gets the first positions and the next head the others",
        "A reshape never moves a number, it only counts them off anew. Follow the second position's numbers: "
        "in which head do they arrive?",
        _view_without_transpose,
    ),
    Misconception(
        "not-transposed",
        "the vectors are cut, but the heads' axis still stands behind the length",
        "The cut is right. Attention runs over the last two axes, so those must be length and d_head.",
        _not_transposed,
    ),
    Misconception(
        "every-nth-number",
        "a head gets every n-th number of the vector, not a piece in one stretch",
        "Head 0 should get the first d_head numbers of each vector. Which of the two axes is counted first?",
        _every_nth_number,
    ),
    Misconception(
        "sizes-swapped",
        "the pieces have n_heads numbers each, so the number of heads is wrong",
        "How many pieces are there, and how long is each? One of the two is given, the other is a quotient.",
        _sizes_swapped,
    ),
    Misconception(
        "heads-first",
        "the heads' axis stands in front of the batch",
        "The batch stays where it is, in front. The heads come directly before the length.",
        _heads_first,
    ),
    Misconception(
        "length-last",
        "length and d_head are swapped",
        "In each head a row is a position, as it was before.",
        _length_last,
    ),
    Misconception(
        "heads-in-the-batch",
        "heads and batch share one axis",
        "Some libraries do that. Here the heads get an axis of their own, so that a mask can tell them "
        "from the texts.",
        _heads_in_the_batch,
    ),
    Misconception(
        "length-cut",
        "the text is cut into pieces, not the vectors",
        "Every head reads the whole text. It is the last axis that is shared out.",
        _length_cut,
    ),
    Misconception(
        "whole-vector-each",
        "every head gets the whole vector",
        "The heads share the d_model numbers: together they have as many as the vector had.",
        _whole_vector_each,
    ),
    Misconception(
        "list-of-heads",
        "the heads come back as a list, not as one tensor",
        "The pieces are right. One tensor with an axis for the heads lets one product serve all of them.",
        _list_of_heads,
    ),
    Misconception(
        "transposed-too-early",
        "the tensor is transposed before it is cut",
        "First the cut, which gives a new axis. Then swap that axis with the length.",
        _flattened_first,
    ),
    Misconception(
        "three-axes-taken-for-granted",
        "x is taken to have three axes: batch, length, d_model",
        "A text without a batch has two. `*batch, length, d_model = x.shape` takes any number; count axes "
        "from the end.",
        _three_axes_taken_for_granted,
    ),
    Misconception("pattern-without-dots", *pattern_without_dots(), _pattern_without_dots),
    Misconception(
        "swapped-from-the-front",
        "the axes to swap are counted from the front, which is right only with one batch axis",
        "Count from the end: which places do the length and the heads have there?",
        _swapped_from_the_front,
    ),
    Misconception("stacked-from-the-front", *STACKED_FROM_THE_FRONT, _stacked_from_the_front),
    Misconception(
        "last-head-first",
        "the heads stand in reverse order",
        "Head 0 gets the first d_head numbers of each vector.",
        _last_head_first,
    ),
    Misconception(
        "scaled",
        "the pieces are divided by √d_head",
        "The division belongs to the scores, and comes later. Here the numbers only move.",
        _scaled,
    ),
    Misconception("detached", *mistakes.detached("x"), _detached),
)


# --- Right answers in another form


def _einops(x, n_heads):
    return rearrange(x, "... l (h d) -> ... h l d", h=n_heads)


def _view_and_transpose(x, n_heads):
    *batch, length, d_model = x.shape
    return x.reshape(*batch, length, n_heads, d_model // n_heads).transpose(-3, -2)


def _unflatten(x, n_heads):
    return x.unflatten(-1, (n_heads, -1)).movedim(-2, -3)


def _chunks_stacked(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=-3)


def _slices(x, n_heads):
    d_head = x.shape[-1] // n_heads
    return torch.stack([x[..., h * d_head : (h + 1) * d_head] for h in range(n_heads)], dim=-3)


def _indexed(x, n_heads):
    places = torch.arange(x.shape[-1], device=x.device).reshape(n_heads, 1, -1)
    rows = torch.arange(x.shape[-2], device=x.device).reshape(1, -1, 1)
    return x[..., rows, places]


def _unfolded(x, n_heads):
    d_head = x.shape[-1] // n_heads
    return x.unfold(-1, d_head, d_head).transpose(-3, -2)


def _picked_by_a_matrix(x, n_heads):
    d_model = x.shape[-1]
    pick = torch.eye(d_model, dtype=x.dtype, device=x.device).view(d_model, n_heads, -1)
    return torch.einsum("...lm,mhd->...hld", x, pick)


ALTERNATIVES = (
    Alternative("einops in short names", _einops),
    Alternative("reshape, then transpose", _view_and_transpose),
    Alternative("unflatten and movedim", _unflatten),
    Alternative("chunks, stacked", _chunks_stacked),
    Alternative("slice by slice", _slices),
    Alternative("by indices", _indexed),
    Alternative("unfold", _unfolded),
    Alternative("picked by the rows of the identity matrix", _picked_by_a_matrix),
)

EXERCISE = Exercise(
    name="attention.split_heads",
    number="4.1",
    title="Split the heads",
    minutes=8,
    difficulty=2,
    reference=attention.split_heads,
    checks=(
        Check("gives each head its piece of every vector", 2, _one_text),
        Check("keeps the texts of a batch apart", 1, _batches),
        Check("works for one head, for heads of one number, and for more leading axes", 1, _corners),
        Check("keeps the dtype and lets gradients through", 1, _types_and_gradients),
    ),
    hints=(
        "Do it in two steps: first cut the last axis in two, then put the axes in order. What is the shape "
        "after each step?",
        "Cutting d_model into (n_heads, d_head) leaves the length where it was, in front of both. Which two "
        "axes must then change places?",
        "With tensors: a reshape that only touches the last axis, then one transpose. With einops: name the "
        "last axis as a pair in round brackets, and write the axes on the right in the order you want. "
        "Three dots stand for all leading axes.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
