"""CharTokenizer: there and back on any text, a stable order, and errors that name the character."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlib.tokenization import CharTokenizer


def test_tokens_are_places_in_the_order_of_unicode():
    tokenizer = CharTokenizer.from_text("banana split")
    assert tokenizer.characters == " abilnpst"
    assert tokenizer.vocab_size == 9
    assert tokenizer.encode("bat") == [2, 1, 8]
    assert tokenizer.decode([2, 1, 8]) == "bat"


@given(st.text(min_size=1))
def test_decode_inverts_encode(text):
    tokenizer = CharTokenizer.from_text(text)
    tokens = tokenizer.encode(text)
    assert tokenizer.vocab_size == len(set(text))
    assert len(tokens) == len(text)
    assert all(0 <= token < tokenizer.vocab_size for token in tokens)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode(torch.tensor(tokens)) == text
    assert tokenizer.decode(iter(tokens)) == text


def test_the_order_of_the_text_does_not_matter():
    assert CharTokenizer.from_text("cab") == CharTokenizer.from_text("abcabc")


def test_nothing_to_encode_or_decode():
    tokenizer = CharTokenizer.from_text("ab")
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode(torch.empty(0, dtype=torch.long)) == ""


def test_it_is_frozen_and_equal_by_value():
    tokenizer = CharTokenizer("abc")
    tokenizer.encode("abc")
    assert tokenizer == CharTokenizer("abc") and hash(tokenizer) == hash(CharTokenizer("abc"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        tokenizer.characters = "xyz"


def test_an_unknown_character_is_named_with_its_position():
    tokenizer = CharTokenizer.from_text("hello")
    message = "character 'é' at position 3 is not among the 4 characters of the vocabulary"
    with pytest.raises(ValueError, match=re.escape(message)):
        tokenizer.encode("heléo!")


@pytest.mark.parametrize("token", [-1, 4])
def test_a_token_outside_the_vocabulary_is_refused(token):
    tokenizer = CharTokenizer.from_text("hello")
    with pytest.raises(ValueError, match=rf"between 0 and 3: got {token} at position 1"):
        tokenizer.decode([0, token])


def test_a_vocabulary_needs_characters_once_each():
    with pytest.raises(ValueError, match="at least one character"):
        CharTokenizer.from_text("")
    with pytest.raises(ValueError, match="'a' is at 0 and 2"):
        CharTokenizer("aba")
