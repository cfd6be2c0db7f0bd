"""Rotary positions: a query and a key are turned by their places, and their dot product sees the distance.

A position embedding is added to a vector once, at the bottom of the model. Rotary positions change queries
and keys inside every attention instead: the numbers of a vector are taken in pairs, and each pair, seen as a
point of the plane, is turned by an angle in proportion to the place. If both partners of a dot product are
turned, only the difference of their angles is left in it.

The convention. A pair is columns 2i and 2i + 1: neighbours ("interleaved"). So it stands in the paper, so
stand sine and cosine in `sinusoidal_positions`, and so two real numbers are one complex number. Many models
that were published since pair columns i and i + d_head / 2 instead ("half-split"), since that cuts a vector
into two pieces that lie together in memory. The two differ by the order of the columns alone, and a model
that is trained from the start cannot tell them apart. But weights that were trained with one must be used
with the same one, or have the rows of their query and key matrices reordered.

Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021), section 3.2.2 and
equation 34.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Real
from torch import Tensor


def rotary_angles(
    positions: Real[Tensor, "*shape"], d_head: int, base: float = 10000.0
) -> Float64[Tensor, "*shape n_pairs"]:
    """The angle, in radians, by which each pair of columns is turned at each position.

    Pair i turns by base^(-2i / d_head) for each place: the first pair by 1 radian, the last ones hardly.
    The positions need not begin at 0: when a text is continued, only the new places are asked for.

    Raises:
        ValueError: d_head is odd, so that a column would have no partner.

    Source: Su et al. (2021), equation 15.
    """
    if d_head % 2:
        raise ValueError(f"d_head must be even, since columns are turned in pairs: got {d_head}")
    even_columns = torch.arange(0, d_head, 2, dtype=torch.float64, device=positions.device)
    # In float64, because an angle of thousands of radians would lose its last digits in float32.
    return positions[..., None].double() / base ** (even_columns / d_head)


def rotate(
    x: Float[Tensor, "*batch length d_head"], angles: Float[Tensor, "length n_pairs"]
) -> Float[Tensor, "*batch length d_head"]:
    """Each pair of columns 2i and 2i + 1 of a query or a key, turned by angle i of its position.

    The pair (a, b) becomes (a cos θ - b sin θ, a sin θ + b cos θ). No vector changes its length.

    Raises:
        ValueError: there is not one angle for each position and each pair of columns.

    Source: Su et al. (2021), equation 34.
    """
    if 2 * angles.shape[-1] != x.shape[-1] or angles.shape[-2] != x.shape[-2]:
        raise ValueError(
            f"x of shape {tuple(x.shape)} needs angles of shape {(x.shape[-2], x.shape[-1] // 2)}: "
            f"got {tuple(angles.shape)}"
        )
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    return turned.flatten(-2)
