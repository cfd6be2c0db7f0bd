"""Exercise 2.8: rotary positions, pairs of columns turned by angles."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal, transposed
from llmlib import rotary


def _angles(g: torch.Generator, length: int, n_pairs: int) -> Tensor:
    return 2 * normal(g, length, n_pairs, dtype=torch.float64)


def _one_pair(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": normal(g, 1, 2), "angles": _angles(g, 1, 1)})
    yield Case({"x": normal(g, 3, 2), "angles": _angles(g, 3, 1)})


def _more_pairs(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": normal(g, 3, 4), "angles": _angles(g, 3, 2)})
    yield Case({"x": normal(g, 4, 8), "angles": _angles(g, 4, 4)})
    yield Case({"x": normal(g, 2, 6), "angles": _angles(g, 2, 3)})


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": normal(g, 2, 3, 4), "angles": _angles(g, 3, 2)})
    yield Case({"x": normal(g, 3, 3, 3, 6), "angles": _angles(g, 3, 3)})
    yield Case({"x": transposed(g, 2, 5, 4), "angles": _angles(g, 5, 2)})


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    x = normal(g, 2, 3, 4, dtype=torch.float64)
    yield Case({"x": x, "angles": _angles(g, 3, 2)}, gradient=True)


# --- Mistakes


def _turned(x: Tensor, cosine: Tensor, sine: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The right result from cosines and sines, by another road than the reference."""
    pairs = x.unflatten(-1, (-1, 2))
    quarter = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1)  # turned by 90 degrees
    result = pairs * cosine[..., None] + quarter * sine[..., None]
    return result.flatten(-2).to(dtype or x.dtype)


def _backwards(x, angles):
    return _turned(x, angles.cos(), -angles.sin())


def _sine_and_cosine_swapped(x, angles):
    return _turned(x, angles.sin(), angles.cos())


def _half_split(x, angles):
    first, second = x.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    halves = [first * cosine - second * sine, first * sine + second * cosine]
    return torch.cat(halves, dim=-1).to(x.dtype)


def _not_interleaved_again(x, angles):
    result = _turned(x, angles.cos(), angles.sin())
    return torch.cat([result[..., 0::2], result[..., 1::2]], dim=-1)


def _mirrored(x, angles):
    first, second = x[..., 0::2], x[..., 1::2]
    cosine, sine = angles.cos(), angles.sin()
    pair = [first * cosine + second * sine, first * sine + second * cosine]
    return torch.stack(pair, dim=-1).flatten(-2).to(x.dtype)


def _first_already_turned(x, angles):
    result = x.clone()
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first = result[..., 0::2] * cosine - result[..., 1::2] * sine
    second = first * sine + result[..., 1::2] * cosine
    return torch.stack([first, second], dim=-1).flatten(-2)


def _only_the_cosine(x, angles):
    return _turned(x, angles.cos(), torch.zeros_like(angles))


def _added(x, angles):
    return x + torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(x.dtype)


def _first_angle_for_all(x, angles):
    first = angles[..., :1].expand_as(angles)
    return _turned(x, first.cos(), first.sin())


def _one_position_for_all(x, angles):
    last = angles[-1:].expand_as(angles)
    return _turned(x, last.cos(), last.sin())


def _degrees(x, angles):
    return _turned(x, angles.deg2rad().cos(), angles.deg2rad().sin())


def _twice(x, angles):
    return _turned(x, (2 * angles).cos(), (2 * angles).sin())


def _other_axis(x, angles):
    if x.ndim < 3 or x.shape[-3] != len(angles):
        return _turned(x, angles.cos(), angles.sin())
    return _turned(x.transpose(-3, -2), angles.cos(), angles.sin()).transpose(-3, -2)


def _in_place(x, angles):
    x.copy_(_turned(x, angles.cos(), angles.sin()))
    return x.clone()


def _detached(x, angles):
    return _turned(x.detach(), angles.cos(), angles.sin())


def _in_float64(x, angles):
    return _turned(x, angles.cos(), angles.sin(), torch.float64)


def _angles_side_by_side(x, angles):
    both = torch.cat([angles, angles], dim=-1)
    pairs = x.unflatten(-1, (-1, 2))
    quarter = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return (x * both.cos() + quarter * both.sin()).to(x.dtype)


def _halves_with_the_angles_of_neighbours(x, angles):
    each = angles.repeat_interleave(2, dim=-1)
    first, second = x.chunk(2, dim=-1)
    return (x * each.cos() + torch.cat([-second, first], dim=-1) * each.sin()).to(x.dtype)


def _halves_interleaved(x, angles):
    return _half_split(x, angles).unflatten(-1, (2, -1)).transpose(-2, -1).flatten(-2)


def _partner_not_swapped(x, angles):
    pairs = x.unflatten(-1, (-1, 2))
    signs = torch.tensor([-1.0, 1.0], dtype=x.dtype, device=x.device)
    return (pairs * (angles.cos()[..., None] + signs * angles.sin()[..., None])).flatten(-2).to(x.dtype)


def _reflected(x, angles):
    result = _turned(x, angles.cos(), angles.sin()).unflatten(-1, (-1, 2))
    second = x[..., 0::2] * angles.sin() - x[..., 1::2] * angles.cos()
    return torch.stack([result[..., 0], second.to(x.dtype)], dim=-1).flatten(-2)


def _pairs_not_joined(x, angles):
    return _turned(x, angles.cos(), angles.sin()).unflatten(-1, (-1, 2))


def _always_float32(x, angles):
    return _turned(x, angles.cos(), angles.sin()).float()


MISCONCEPTIONS = (
    Misconception(
        "backwards",
        "the pairs are turned clockwise",
        "Turn the point (1, 0) by a small positive angle: its second number must become positive.",
        _backwards,
    ),
    Misconception(
        "sine-and-cosine-swapped",
        "sine and cosine have changed places",
        "An angle of 0 must change nothing. What are the cosine and the sine of 0?",
        _sine_and_cosine_swapped,
    ),
    Misconception(
        "half-split",
        "column i is paired with column i + d_head / 2",
        "That convention exists as well (and is common), but here a pair is two neighbours, 2i and 2i + 1.",
        _half_split,
    ),
    Misconception(
        "not-interleaved-again",
        "the turned pairs are not put back where they came from",
        "All first numbers come before all second ones in your result. Each pair belongs side by side.",
        _not_interleaved_again,
    ),
    Misconception(
        "mirrored",
        "a minus sign is missing",
        "Does your result have the length of x? With both signs equal it is no rotation.",
        _mirrored,
    ),
    Misconception(
        "first-already-turned",
        "the second number of a pair is computed from the first after that has been turned",
        "Both new numbers need both old ones. Keep the old ones until both are done.",
        _first_already_turned,
    ),
    Misconception(
        "only-the-cosine",
        "the pairs are shrunk, not turned",
        "Each new number is made from both numbers of its pair.",
        _only_the_cosine,
    ),
    Misconception(
        "added",
        "waves are added, as for sinusoidal positions",
        "Rotary positions multiply. A vector of zeros stays a vector of zeros.",
        _added,
    ),
    Misconception(
        "first-angle-for-all",
        "all pairs of a position are turned by the angle of the first pair",
        "Each pair has a column of `angles` to itself.",
        _first_angle_for_all,
    ),
    Misconception(
        "one-position-for-all",
        "all positions are turned by the angles of the last one",
        "Each position has a row of `angles` to itself.",
        _one_position_for_all,
    ),
    Misconception(
        "degrees",
        "the angles are taken for degrees",
        "They are in radians already, as `torch.cos` wants them.",
        _degrees,
    ),
    Misconception("twice", "every angle is used twice", "Turn once.", _twice),
    Misconception(
        "other-axis",
        "the angles follow the dimension before the positions",
        "The positions are the last dimension but one. What stands before is batch and heads.",
        _other_axis,
    ),
    Misconception(
        "in-place",
        "x itself is changed",
        "`x[…] = …` writes into the caller's tensor. Make a new one.",
        _in_place,
    ),
    Misconception(
        "detached",
        "no gradient flows back to x",
        "Look for `.detach()`, `.item()`, `.numpy()` or `no_grad` on the way.",
        _detached,
    ),
    Misconception(
        "in-float64",
        "the result is float64, like the angles",
        "The query keeps its dtype: convert the cosines and sines before you multiply.",
        _in_float64,
    ),
    Misconception(
        "angles-side-by-side",
        "the angles are repeated one whole row after the other, so a pair's two columns get different ones",
        "Columns 2i and 2i + 1 need angle i both: repeat each angle twice in place (`repeat_interleave`).",
        _angles_side_by_side,
    ),
    Misconception(
        "halves-with-the-angles-of-neighbours",
        "two conventions are mixed: partners are half a vector apart, angles are those of neighbours",
        "Here a pair is two neighbours, 2i and 2i + 1: the partner of a column stands right beside it.",
        _halves_with_the_angles_of_neighbours,
    ),
    Misconception(
        "halves-interleaved",
        "the vector is cut into halves, and the turned halves are laid out alternately",
        "What goes in as a pair of neighbours comes out as one. Take every second column from the beginning.",
        _halves_interleaved,
    ),
    Misconception(
        "partner-not-swapped",
        "each number meets the sine of its own angle, never its partner's number",
        "In a cos θ - b sin θ two different numbers appear. Which number stands beside the sine?",
        _partner_not_swapped,
    ),
    Misconception(
        "reflected",
        "the second number of each pair has the wrong sign: the pairs are mirrored, not turned",
        "An angle of 0 must change nothing. What becomes of (0, 1)?",
        _reflected,
    ),
    Misconception(
        "pairs-not-joined",
        "the turned pairs still have a dimension of their own",
        "One step is missing: make the last two dimensions one.",
        _pairs_not_joined,
    ),
    Misconception(
        "always-float32",
        "the result is float32 whatever comes in",
        "The result has the dtype of x: `.to(x.dtype)` instead of `.float()`.",
        _always_float32,
    ),
)


# --- Right answers in another form


def _complex(x, angles):
    turns = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def _rotate_half(x, angles):
    cosine = angles.cos().repeat_interleave(2, dim=-1).to(x.dtype)
    sine = angles.sin().repeat_interleave(2, dim=-1).to(x.dtype)
    quarter = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
    return x * cosine + quarter * sine


def _matrices(x, angles):
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    rows = [torch.stack([cosine, -sine], dim=-1), torch.stack([sine, cosine], dim=-1)]
    matrices = torch.stack(rows, dim=-2)  # length, pairs, 2, 2
    pairs = x.unflatten(-1, (-1, 2))
    return torch.einsum("lpij,...lpj->...lpi", matrices, pairs).flatten(-2)


def _written_into(x, angles):
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    result = torch.empty_like(x)
    result[..., 0::2] = x[..., 0::2] * cosine - x[..., 1::2] * sine
    result[..., 1::2] = x[..., 1::2] * cosine + x[..., 0::2] * sine
    return result


def _column_by_column(x, angles):
    columns = []
    for i in range(x.shape[-1] // 2):
        a, b, angle = x[..., 2 * i], x[..., 2 * i + 1], angles[:, i]
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        columns += [a * cosine - b * sine, b * cosine + a * sine]
    return torch.stack(columns, dim=-1)


def _partners_by_index(x, angles):
    columns = torch.arange(x.shape[-1], device=x.device)
    signs = (2.0 * (columns % 2) - 1).to(x.dtype)
    each = angles.repeat_interleave(2, dim=-1)
    return x * each.cos().to(x.dtype) + x[..., columns ^ 1] * signs * each.sin().to(x.dtype)


def _length_and_direction(x, angles):
    first, second = x[..., 0::2].double(), x[..., 1::2].double()
    length, direction = torch.hypot(first, second), torch.atan2(second, first) + angles
    pair = torch.stack([length * direction.cos(), length * direction.sin()], dim=-1)
    return pair.flatten(-2).to(x.dtype)


ALTERNATIVES = (
    Alternative("complex numbers", _complex),
    Alternative("a quarter turn times the sine", _rotate_half),
    Alternative("a matrix of 2 by 2 for each pair", _matrices),
    Alternative("written into a new tensor", _written_into),
    Alternative("column by column", _column_by_column),
    Alternative("partners picked by index", _partners_by_index),
    Alternative("lengths and directions", _length_and_direction),
)

EXERCISE = Exercise(
    name="rotary.rotate",
    number="2.8",
    title="Rotary positions",
    minutes=12,
    difficulty=2,
    reference=rotary.rotate,
    checks=(
        Check("turns one pair by its angle", 2, _one_pair),
        Check("turns each pair of neighbouring columns by its own angle", 2, _more_pairs),
        Check("serves batches and heads", 1, _batches),
        Check("keeps the dtype, lets gradients through and leaves x alone", 1, _types_and_gradients),
    ),
    hints=(
        "`x[..., 0::2]` holds the first numbers of all pairs, `x[..., 1::2]` the second ones. Their shape "
        "fits the angles.",
        "Compute both new numbers from the old ones, as the formula says, before you put anything together.",
        "To bring the pairs back side by side, stack the two along a new last dimension and flatten the last "
        "two dimensions into one.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
