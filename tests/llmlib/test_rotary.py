"""Rotary positions against complex numbers, transformers' half-split form, and what they promise."""

from __future__ import annotations

import math

import pytest
import torch

from llmlib.embedding import sinusoidal_positions
from llmlib.rotary import rotary_angles, rotate

torch.set_num_threads(1)


def _normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _by_complex_numbers(x, positions, base=10000.0):
    """Each pair as one complex number, times e^(i · position · frequency)."""
    d_head = x.shape[-1]
    frequencies = torch.tensor([base ** (-2 * i / d_head) for i in range(d_head // 2)], dtype=torch.float64)
    turns = torch.exp(1j * torch.outer(positions.double(), frequencies))
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2)


@pytest.mark.parametrize("shape", [(5, 2), (5, 8), (3, 5, 6), (2, 3, 5, 4)])
@pytest.mark.parametrize("base", [10000.0, 50.0])
def test_it_equals_the_complex_form(shape, base):
    x, positions = _normal(*shape), torch.arange(shape[-2])
    got = rotate(x, rotary_angles(positions, shape[-1], base))
    torch.testing.assert_close(got, _by_complex_numbers(x, positions, base))


def test_it_equals_transformers_once_the_columns_are_reordered():
    modeling_llama = pytest.importorskip(
        "transformers.models.llama.modeling_llama", reason="needs transformers to compare with its Llama"
    )
    query, key = _normal(2, 3, 7, 8), _normal(2, 3, 7, 8, seed=1)
    angles = rotary_angles(torch.arange(7), 8)
    halves = torch.cat([angles, angles], dim=-1)[None]
    # Their pair i is columns i and i + 4, ours 2i and 2i + 1.
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])
    expected = modeling_llama.apply_rotary_pos_emb(
        query[..., order], key[..., order], halves.cos(), halves.sin()
    )
    for ours, theirs in zip((query, key), expected, strict=True):
        torch.testing.assert_close(rotate(ours, angles)[..., order], theirs)


def test_the_dot_product_knows_the_distance_and_not_the_place():
    query, key = _normal(8), _normal(8, seed=1)

    def product(m, n):
        turned_query, turned_key = (
            rotate(x[None], rotary_angles(torch.tensor([p]), 8)) for x, p in ((query, m), (key, n))
        )
        return (turned_query * turned_key).sum().item()

    for distance in (-3, 0, 5):
        first = product(4, 4 + distance)
        for place in (17, 1000, 100_000):
            assert product(place, place + distance) == pytest.approx(first, abs=1e-8)
    assert abs(product(4, 9) - product(4, 4)) > 0.1, "the distance must matter"


def test_lengths_are_kept_and_place_0_changes_nothing():
    x = _normal(2, 6, 4)
    turned = rotate(x, rotary_angles(torch.arange(6), 4))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, 0], x[:, 0], rtol=0, atol=0)


def test_the_angles_are_those_of_the_sinusoidal_positions():
    angles = rotary_angles(torch.arange(9), 6)
    assert angles.dtype == torch.float64 and angles.shape == (9, 3)
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).float()
    torch.testing.assert_close(waves, sinusoidal_positions(9, 6), rtol=0, atol=0)


def test_a_text_can_be_continued():
    x = _normal(9, 6)
    whole = rotate(x, rotary_angles(torch.arange(9), 6))
    torch.testing.assert_close(rotate(x[5:], rotary_angles(torch.arange(5, 9), 6)), whole[5:])


def test_float32_keeps_its_digits_far_out():
    place = 1_000_003
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    got = rotate(x, rotary_angles(torch.tensor([place]), 4))
    assert got.dtype == torch.float32
    expected = [math.cos(place), math.sin(place), math.cos(place / 100), math.sin(place / 100)]
    torch.testing.assert_close(got[0], torch.tensor(expected), rtol=0, atol=1e-6)


def test_gradients_flow():
    x = _normal(3, 4).requires_grad_()
    angles = rotary_angles(torch.arange(3), 4)
    assert torch.autograd.gradcheck(lambda x: rotate(x, angles), x)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"d_head must be even.*got 5"):
        rotary_angles(torch.arange(3), 5)
    angles = rotary_angles(torch.arange(3), 4)
    with pytest.raises(ValueError, match=r"needs angles of shape \(3, 3\): got \(3, 2\)"):
        rotate(_normal(3, 6), angles)
    with pytest.raises(ValueError, match=r"needs angles of shape \(5, 2\): got \(3, 2\)"):
        rotate(_normal(5, 4), angles)
