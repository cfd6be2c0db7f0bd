"""Exercise 4.3: every vector times every head's own matrix, in one einsum."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.heads.mistakes import STACKED_FROM_THE_FRONT, pattern_without_dots
from autograder.exercises.probes import normal, transposed
from llmlib import heads


def _case(x: Tensor, weight: Tensor, gradient: bool = False) -> Case:
    return Case({"x": x, "weight": weight}, gradient=gradient)


# --- Probes: every size differs, unless their being equal is the point.


def _one_text(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3), normal(g, 4, 3, 2))
    yield _case(normal(g, 4, 5), normal(g, 2, 5, 3))
    yield _case(normal(g, 3, 4), normal(g, 3, 4, 2))  # as many positions as heads: they could be confused


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 4, 3), normal(g, 3, 3, 5))
    yield _case(normal(g, 3, 4, 5), normal(g, 3, 5, 2))  # as many texts as heads: they could be confused
    yield _case(normal(g, 2, 3, 4, 5), normal(g, 4, 5, 2))


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 4), normal(g, 2, 4, 4))  # square matrices: transposed they would fit
    yield _case(normal(g, 2, 3, 4), normal(g, 1, 4, 3))
    yield _case(normal(g, 2, 1, 3), normal(g, 3, 3, 1))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    x, weight = normal(g, 2, 3, 4, dtype=torch.float64), normal(g, 3, 4, 2, dtype=torch.float64)
    yield _case(x, weight, gradient=True)
    yield _case(transposed(g, 2, 3, 4), transposed(g, 3, 4, 2))


# --- Mistakes


def _product_without_an_axis(x, weight):
    return x @ weight


def _length_before_heads(x, weight):
    return torch.einsum("...ld,hde->...lhe", x, weight)


def _heads_summed(x, weight):
    return torch.einsum("...ld,hde->...le", x, weight)


def _first_head_for_all(x, weight):
    return torch.einsum("...ld,hde->...hle", x, weight[:1].expand_as(weight))


def _weights_reshaped(x, weight):
    n_heads, d_model, d_head = weight.shape
    projected = x @ weight.reshape(d_model, n_heads * d_head)
    return projected.unflatten(-1, (n_heads, d_head)).transpose(-3, -2)


def _result_reshaped(x, weight):
    n_heads, d_model, d_head = weight.shape
    projected = x @ weight.permute(1, 0, 2).reshape(d_model, n_heads * d_head)
    return projected.reshape(*x.shape[:-1][:-1], n_heads, x.shape[-2], d_head)


def _matrices_transposed(x, weight):
    return torch.einsum("...ld,hed->...hle", x, weight)


def _heads_first(x, weight):
    return torch.einsum("...ld,hde->h...le", x, weight)


def _side_by_side(x, weight):
    return torch.einsum("...ld,hde->...lhe", x, weight).flatten(start_dim=-2)


def _scaled(x, weight):
    return torch.einsum("...ld,hde->...hle", x, weight) / math.sqrt(weight.shape[-1])


def _nothing_summed(x, weight):
    return x.sum(dim=-1)[..., None, :, None] * weight.sum(dim=-2)[:, None, :]


def _axis_from_the_front(x, weight):
    return x[:, None] @ weight


def _pattern_without_dots(x, weight):
    return torch.einsum("bld,hde->bhle", x, weight)


def _stacked_from_the_front(x, weight):
    return torch.stack([x @ matrix for matrix in weight], dim=1)


def _letters_collide(x, weight):
    return torch.einsum("...hd,hde->...he", x, weight)


def _positions_summed(x, weight):
    return torch.einsum("...ld,hde->...he", x, weight)


def _heads_averaged(x, weight):
    everything = torch.einsum("...ld,hde->...hle", x, weight)
    return everything.mean(dim=-3, keepdim=True).expand_as(everything)


MISCONCEPTIONS = (
    Misconception(
        "no-axis-for-the-heads",
        "the product lets the heads meet the texts of the batch, text 0 with head 0 and so on",
        "`@` lines up the leading axes from the right. Which axis of x stands where the heads of the weights "
        "stand?",
        _product_without_an_axis,
    ),
    Misconception(
        "length-before-heads",
        "the products are right, but the length stands in front of the heads",
        "The order of the letters after the arrow is the order of the axes.",
        _length_before_heads,
    ),
    Misconception(
        "heads-summed",
        "the heads are added up",
        "In einsum a letter that does not appear after the arrow is summed over. Which one should stay?",
        _heads_summed,
    ),
    Misconception(
        "first-head-for-all",
        "every head uses the first head's matrix",
        "Then all heads would see the same, and one would do.",
        _first_head_for_all,
    ),
    Misconception(
        "weights-reshaped",
        "the heads' matrices are laid side by side by a reshape, which mixes their rows",
        "A reshape only counts the numbers off anew. To bring d_model in front of the heads, axes must be "
        "moved first.",
        _weights_reshaped,
    ),
    Misconception(
        "result-reshaped",
        "the heads are taken out of the product by a reshape, so positions and heads are mixed",
        "This is the trap of exercise 4.1 again: cut the last axis, then move it.",
        _result_reshaped,
    ),
    Misconception(
        "matrices-transposed",
        "each head's matrix is used the wrong way round",
        "weight[h] has d_model rows. Each vector stands on its left.",
        _matrices_transposed,
    ),
    Misconception(
        "heads-first",
        "the heads' axis stands in front of the batch",
        "The leading axes of x stay in front. Where do the three dots go after the arrow?",
        _heads_first,
    ),
    Misconception(
        "side-by-side",
        "the heads' results are joined into one long vector",
        "Leave the heads an axis of their own, before the length.",
        _side_by_side,
    ),
    Misconception(
        "scaled",
        "the projections are divided by √d_head",
        "The division belongs to the scores, and comes later.",
        _scaled,
    ),
    Misconception(
        "summed-too-early",
        "both factors are added up before they are multiplied",
        "Multiply place by place along d_model, then add: a sum of products is no product of sums.",
        _nothing_summed,
    ),
    Misconception(
        "axis-from-the-front",
        "the new axis for the heads is counted from the front, which is right only with one batch axis",
        "The heads come directly before the length. Count from the end: `unsqueeze(-3)`.",
        _axis_from_the_front,
    ),
    Misconception("pattern-without-dots", *pattern_without_dots("an einsum"), _pattern_without_dots),
    Misconception("stacked-from-the-front", *STACKED_FROM_THE_FRONT, _stacked_from_the_front),
    Misconception(
        "letters-collide",
        "length and heads share a letter, so position 0 meets only head 0, and so on",
        "Axes that have nothing to do with each other need letters of their own.",
        _letters_collide,
    ),
    Misconception(
        "positions-summed",
        "the positions are added up",
        "In einsum a letter that does not appear after the arrow is summed over. Which one should stay?",
        _positions_summed,
    ),
    Misconception(
        "heads-averaged",
        "every head gets the mean of all the heads",
        "Result h uses matrix h alone.",
        _heads_averaged,
    ),
)


# --- Right answers in another form


def _broadcast(x, weight):
    return x.unsqueeze(-3) @ weight


def _head_by_head(x, weight):
    return torch.stack([x @ matrix for matrix in weight], dim=-3)


def _one_wide_matrix(x, weight):
    n_heads, d_model, d_head = weight.shape
    wide = weight.permute(1, 0, 2).reshape(d_model, n_heads * d_head)
    return (x @ wide).unflatten(-1, (n_heads, d_head)).transpose(-3, -2)


def _tensordot(x, weight):
    return torch.tensordot(x, weight, dims=([-1], [1])).movedim(-2, -3)


def _products_and_sum(x, weight):
    return (x[..., None, :, :, None] * weight[:, None, :, :]).sum(dim=-2)


def _other_letters(x, weight):
    return torch.einsum("nij,...kj->...nki", weight.transpose(-2, -1), x)


def _linear_layer(x, weight):
    wide = weight.transpose(-2, -1).flatten(end_dim=1)
    heads_ = torch.nn.functional.linear(x, wide).unflatten(-1, (weight.shape[0], weight.shape[2]))
    return heads_.transpose(-3, -2)


def _batched_products(x, weight):
    rows = x.reshape(1, -1, x.shape[-1]).expand(weight.shape[0], -1, -1)
    return torch.bmm(rows, weight).unflatten(1, x.shape[:-1]).movedim(0, -3)


ALTERNATIVES = (
    Alternative("a new axis, and broadcasting", _broadcast),
    Alternative("head by head", _head_by_head),
    Alternative("one wide matrix, then split", _one_wide_matrix),
    Alternative("tensordot", _tensordot),
    Alternative("all products, then the sum", _products_and_sum),
    Alternative("einsum the other way round", _other_letters),
    Alternative("one linear layer", _linear_layer),
    Alternative("bmm over the heads, all positions in a row", _batched_products),
)

EXERCISE = Exercise(
    name="heads.project_heads",
    number="4.3",
    title="All heads' projections in one einsum",
    minutes=8,
    difficulty=2,
    reference=heads.project_heads,
    checks=(
        Check("multiplies every position by every head's matrix", 2, _one_text),
        Check("keeps texts, heads and positions apart", 1, _batches),
        Check("works for square matrices, one head and one number", 1, _corners),
        Check("keeps the dtype and lets gradients through", 1, _types_and_gradients),
    ),
    hints=(
        "Write the shapes of x, the weights and the result, one letter an axis. Which letter disappears?",
        "In einsum the two inputs are separated by a comma, and the result's letters stand after the arrow. "
        "A letter that both inputs have and the result lacks is multiplied and summed. Three dots stand for "
        "any leading axes.",
        "x has the letters of length and d_model after its dots; the weights have heads, d_model and d_head. "
        "In the result the dots come first, then heads, length, d_head. (A new axis in x and `@` does it as "
        "well.)",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
