"""Left padding against the tokenizers' own, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from llmlib.padding import left_pad


def test_texts_stand_at_the_right_edge():
    tokens, real, places = left_pad([[5, 6, 7], [8], [9, 1]], filler=4)
    assert tokens.tolist() == [[5, 6, 7], [4, 4, 8], [4, 9, 1]]
    assert real.int().tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert places.tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 1]]
    assert tokens.dtype == places.dtype == torch.long and real.dtype == torch.bool


def test_the_places_are_those_that_transformers_counts():
    """Its models count a padded text's places as the running sum of the mask, less one."""
    _, real, places = left_pad([[1], [1, 2, 3, 4], [1, 2], [1, 2, 3]], filler=0)
    expected = (real.long().cumsum(dim=-1) - 1).masked_fill(~real, 0)
    assert torch.equal(places, expected)


def test_the_filler_may_also_be_a_token_of_a_text():
    tokens, real, _ = left_pad([[0, 0], [0]], filler=0)
    assert tokens.tolist() == [[0, 0], [0, 0]] and real.tolist() == [[True, True], [False, True]]


def test_an_empty_text_has_nothing_to_continue():
    with pytest.raises(ValueError, match=r"at least one token: got lengths \[2, 0\]"):
        left_pad([[1, 2], []], filler=0)
    with pytest.raises(ValueError, match=r"at least one token: got lengths \[\]"):
        left_pad([], filler=0)
