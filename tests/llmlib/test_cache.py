"""The cache against attention over the whole text, and the room in it."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn import functional as F

from llmlib.cache import KeyValueCache, attend_with_cache, cached_mask

torch.set_num_threads(1)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pieces", [[7], [3, 4], [1] * 7, [2, 1, 3, 1]])
def test_piece_by_piece_gives_what_the_whole_text_gives(pieces):
    query, key, value = drawn(2, 3, 7, 4), drawn(2, 3, 7, 4, seed=1), drawn(2, 3, 7, 5, seed=2)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    keys, values, outputs = key[..., :0, :], value[..., :0, :], []
    for q, k, v in zip(*(x.split(pieces, dim=-2) for x in (query, key, value)), strict=True):
        output, keys, values = attend_with_cache(q, k, v, keys, values)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, dim=-2), expected)
    assert torch.equal(keys, key) and torch.equal(values, value)


def test_the_mask_is_the_end_of_the_whole_one():
    assert cached_mask(2, 3).int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert cached_mask(4, 1).all() and cached_mask(0, 3).equal(torch.ones(3, 3).tril().bool())


def test_what_is_written_comes_back_behind_the_past():
    cache = KeyValueCache(2, 3, 2, 5, 4, dtype=torch.float64)
    first, second = drawn(2, 3, 2, 2, 4), drawn(2, 3, 2, 3, 4, seed=1)
    for layer in range(2):
        assert torch.equal(torch.stack(cache.write(layer, first + layer)), first + layer)
    cache.advance(2)
    for layer in range(2):
        both = torch.cat([first, second], dim=-2) + layer
        assert torch.equal(torch.stack(cache.write(layer, second + layer)), both)
    cache.advance(3)
    assert cache.length == 5
    cache.clear()
    assert torch.equal(torch.stack(cache.write(0, second)), second)


def test_its_memory_is_two_numbers_a_layer_a_place_and_a_dimension():
    cache = KeyValueCache(n_layers=4, batch=3, n_heads=2, capacity=10, d_head=8)
    assert cache.bytes == 4 * 2 * 3 * 2 * 10 * 8 * 4


def test_a_full_cache_says_so():
    cache = KeyValueCache(1, 1, 1, 4, 2)
    cache.write(0, torch.zeros(2, 1, 1, 3, 2))
    cache.advance(3)
    message = "the cache holds 4 positions, and 3 are filled: got 2 more. Clear it and read"
    with pytest.raises(ValueError, match=re.escape(message)):
        cache.write(0, torch.zeros(2, 1, 1, 2, 2))
