"""A cache in blocks against attention over all that was written."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from llmlib.blocked_cache import BLOCK, BlockedCache

torch.set_num_threads(1)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("past", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_new_token_sees_all_that_was_written_in_its_layer(past):
    projected = drawn(2, 3, 4, 2, past + 2, 5)  # layer; query, key and value; text; head; place
    cache = BlockedCache(2, 4, 2, past + 2, 5, dtype=torch.float64)
    cache.memory.fill_(7.0)  # what was there before does not count
    for layer in range(2):
        if past:
            keys, values = cache.write(layer, projected[layer, 1:, ..., :past, :])
            assert torch.equal(keys, projected[layer, 1, ..., :past, :])
            assert torch.equal(values, projected[layer, 2, ..., :past, :])
    cache.advance(past)
    for place in (past, past + 1):
        for layer in range(2):
            query, key, value = projected[layer]
            expected = F.scaled_dot_product_attention(
                query[..., place : place + 1, :], key[..., : place + 1, :], value[..., : place + 1, :]
            )
            got = cache.attend(layer, projected[layer, ..., place : place + 1, :])
            torch.testing.assert_close(got, expected.flatten(1))
        cache.advance(1)


def test_hidden_places_are_not_seen():
    projected = drawn(3, 2, 1, 41, 4)
    cache = BlockedCache(1, 2, 1, 41, 4, dtype=torch.float64)
    cache.write(0, projected[1:, ..., :40, :])
    cache.advance(40)
    cache.hide(torch.tensor([0, 35]))
    got = cache.attend(0, projected[..., 40:, :])
    for text, first in enumerate((0, 35)):
        query, key, value = projected[:, text]
        expected = F.scaled_dot_product_attention(query[:, 40:], key[:, first:], value[:, first:])
        torch.testing.assert_close(got[text], expected.flatten())


def test_it_takes_whole_blocks_and_holds_no_more_than_was_asked_for():
    cache = BlockedCache(1, 2, 1, BLOCK + 1, 4)
    assert cache.bytes == 2 * 2 * 2 * BLOCK * 4 * 4
    cache.write(0, torch.zeros(2, 2, 1, BLOCK + 1, 4))
    cache.advance(BLOCK + 1)
    with pytest.raises(ValueError, match="holds 33 positions, and 33 are filled: got 1 more"):
        cache.attend(0, torch.zeros(3, 2, 1, 1, 4))
    cache.clear()
    assert cache.attend(0, torch.ones(3, 2, 1, 1, 4)).equal(torch.ones(2, 4))
