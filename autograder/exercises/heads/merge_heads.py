"""Exercise 4.2: the heads' results side by side again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.heads.mistakes import pattern_without_dots
from autograder.exercises.probes import normal, transposed
from llmlib import attention


def _case(x: torch.Tensor, gradient: bool = False) -> Case:
    return Case({"x": x}, gradient=gradient)


# --- Probes: n_heads, length and d_head differ, unless their being equal is the point.


def _one_text(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 4))
    yield _case(normal(g, 3, 2, 5))
    yield _case(normal(g, 2, 2, 2))


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, 4, 5))
    yield _case(normal(g, 3, 2, 5, 3))
    yield _case(normal(g, 2, 2, 3, 2))


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 1, 3, 5))
    yield _case(normal(g, 2, 4, 3, 1))
    yield _case(normal(g, 2, 3, 2, 4, 5))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 2, 3, 2, dtype=torch.float64), gradient=True)
    yield _case(transposed(g, 2, 3, 4, 2))


# --- Mistakes


def _not_transposed(x):
    *batch, n_heads, length, d_head = x.shape
    return x.reshape(*batch, length, n_heads * d_head)


def _interleaved(x):
    return rearrange(x, "... heads length d_head -> ... length (d_head heads)")


def _summed(x):
    return x.sum(dim=-3)


def _averaged(x):
    return x.mean(dim=-3)


def _texts_in_a_row(x):
    return rearrange(x, "... heads length d_head -> ... (heads length) d_head")


def _not_joined(x):
    return x.transpose(-3, -2)


def _wrong_axes_swapped(x):
    *batch, n_heads, length, d_head = x.shape
    return x.transpose(-2, -1).reshape(*batch, length, n_heads * d_head)


def _last_head_first(x):
    return rearrange(x.flip(-3), "... heads length d_head -> ... length (heads d_head)")


def _first_head(x):
    return x[..., 0, :, :]


def _batch_and_length_swapped(x):
    if x.ndim < 4:
        return rearrange(x, "... heads length d_head -> ... length (heads d_head)")
    return rearrange(x, "... batch heads length d_head -> ... length batch (heads d_head)")


def _view_of_a_transposed(x):
    *batch, n_heads, length, d_head = x.shape
    return x.transpose(-3, -2).view(*batch, length, n_heads * d_head)


def _swapped_from_the_front(x):
    *batch, n_heads, length, d_head = x.shape
    return x.transpose(1, 2).reshape(*batch, length, n_heads * d_head)


def _four_axes_taken_for_granted(x):
    batch, n_heads, length, d_head = x.shape
    return x.transpose(1, 2).reshape(batch, length, n_heads * d_head)


def _pattern_without_dots(x):
    return rearrange(x, "b h l d -> b l (h d)")


def _first_axis_glued(x):
    return torch.cat(list(x), dim=-1)


def _length_last(x):
    return rearrange(x, "... heads length d_head -> ... (heads d_head) length")


MISCONCEPTIONS = (
    Misconception(
        "not-transposed",
        "the tensor is reshaped without moving the heads behind the length first",
        "The shape comes out right and the numbers of different positions get mixed. Undo the steps of "
        "`split_heads` in reverse order.",
        _not_transposed,
    ),
    Misconception(
        "interleaved",
        "the heads' numbers alternate, as when cards are shuffled",
        "Head 0's whole vector comes first, then head 1's. Which axis should run faster?",
        _interleaved,
    ),
    Misconception(
        "summed",
        "the heads are added up",
        "Side by side, not on top of each other: the result has n_heads times d_head numbers a position.",
        _summed,
    ),
    Misconception(
        "averaged",
        "the heads are averaged",
        "Nothing should be lost here. What each head found stays apart until the output projection mixes it.",
        _averaged,
    ),
    Misconception(
        "one-after-the-other",
        "the heads' texts are put one after the other, so that the text gets longer",
        "The length stays what it was. It is the vectors that get longer.",
        _texts_in_a_row,
    ),
    Misconception(
        "not-joined",
        "the axes are in order, but heads and d_head are still two axes",
        "One step is missing: make the last two axes one.",
        _not_joined,
    ),
    Misconception(
        "wrong-axes-swapped",
        "length and d_head are swapped before the heads are joined",
        "Name the axes on paper. Which two are in the wrong order for being joined?",
        _wrong_axes_swapped,
    ),
    Misconception(
        "last-head-first",
        "the heads stand in reverse order",
        "Head 0 comes first, so that merging undoes splitting.",
        _last_head_first,
    ),
    Misconception(
        "first-head",
        "only the first head's result is kept",
        "Where do the results of the other heads go?",
        _first_head,
    ),
    Misconception(
        "batch-and-length-swapped",
        "batch and length have changed places",
        "Leave everything in front of the heads where it is.",
        _batch_and_length_swapped,
    ),
    Misconception(
        "view-of-a-transposed",
        "`view` is asked to join axes of a transposed tensor, which do not lie side by side in memory",
        "`view` never copies. `reshape` copies where it must, and so does `contiguous()` before a `view`.",
        _view_of_a_transposed,
    ),
    Misconception(
        "swapped-from-the-front",
        "the axes to swap are counted from the front, which is right only with one batch axis",
        "Count from the end: which places do the heads and the length have there?",
        _swapped_from_the_front,
    ),
    Misconception(
        "four-axes-taken-for-granted",
        "x is taken to have four axes, a batch among them",
        "A single text has three. `*batch, n_heads, length, d_head = x.shape` takes any number.",
        _four_axes_taken_for_granted,
    ),
    Misconception("pattern-without-dots", *pattern_without_dots(), _pattern_without_dots),
    Misconception(
        "first-axis-glued",
        "the first axis is taken for the heads: with a batch, texts are glued together",
        "The heads stand third from the end. `unbind(dim=-3)` takes them apart.",
        _first_axis_glued,
    ),
    Misconception(
        "length-last",
        "positions and numbers have changed places",
        "In the result a row is a position again, as it was before the split.",
        _length_last,
    ),
)


# --- Right answers in another form


def _einops(x):
    return rearrange(x, "... h l d -> ... l (h d)")


def _transpose_and_reshape(x):
    *batch, n_heads, length, d_head = x.shape
    return x.transpose(-3, -2).reshape(*batch, length, n_heads * d_head)


def _flattened(x):
    return x.movedim(-3, -2).flatten(start_dim=-2)


def _heads_glued(x):
    return torch.cat(x.unbind(dim=-3), dim=-1)


def _contiguous_view(x):
    turned = x.transpose(-3, -2).contiguous()
    return turned.view(*turned.shape[:-2], -1)


def _written_in_places(x):
    *batch, n_heads, length, d_head = x.shape
    merged = x.new_empty(*batch, length, n_heads * d_head)
    for head in range(n_heads):
        merged[..., head * d_head : (head + 1) * d_head] = x[..., head, :, :]
    return merged


def _placed_by_a_matrix(x):
    n_heads, d_head = x.shape[-3], x.shape[-1]
    place = torch.eye(n_heads * d_head, dtype=x.dtype, device=x.device).view(n_heads, d_head, -1)
    return torch.einsum("...hld,hdm->...lm", x, place)


def _text_by_text(x):
    if x.ndim > 3:
        return torch.stack([_text_by_text(text) for text in x])
    return torch.hstack(list(x))


ALTERNATIVES = (
    Alternative("einops in short names", _einops),
    Alternative("transpose, then reshape", _transpose_and_reshape),
    Alternative("movedim and flatten", _flattened),
    Alternative("heads glued along the last axis", _heads_glued),
    Alternative("transpose, contiguous, view", _contiguous_view),
    Alternative("head by head into its place", _written_in_places),
    Alternative("placed by the rows of the identity matrix", _placed_by_a_matrix),
    Alternative("text by text, hstack", _text_by_text),
)

EXERCISE = Exercise(
    name="attention.merge_heads",
    number="4.2",
    title="Merge the heads",
    minutes=6,
    difficulty=1,
    reference=attention.merge_heads,
    checks=(
        Check("lays the heads' vectors side by side, position by position", 2, _one_text),
        Check("keeps the texts of a batch apart", 1, _batches),
        Check("works for one head, for heads of one number, and for more leading axes", 1, _corners),
        Check("keeps the dtype and lets gradients through", 1, _types_and_gradients),
    ),
    hints=(
        "It is exercise 4.1 backwards. What did you do last there? Undo that first.",
        "Before two axes can become one, they must be neighbours, in the right order. Which axis stands "
        "between heads and d_head?",
        "Swap heads and length, then join the last two axes. After a transpose the numbers no longer lie in "
        "memory in the order of the axes, so `view` refuses; `reshape` and `flatten` copy where they must.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
