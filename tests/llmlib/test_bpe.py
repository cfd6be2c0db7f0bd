"""Byte-pair encoding against `tokenizers` (training), Python (UTF-8) and itself (fast equals naive)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from llmlib.bpe import (
    decode,
    encode_piece,
    merge,
    pair_counts,
    train_bpe,
    train_bpe_fast,
    utf8_bytes,
    vocabulary_of,
)
from llmlib.gpt2_vocabulary import byte_characters

PIECES = st.lists(st.lists(st.integers(97, 100), max_size=9), max_size=12)


def test_every_character_has_python_s_utf8_bytes():
    wrong = [
        point
        for point in (*range(0xD800), *range(0xE000, 0x110000, 7), 0x10FFFF)
        if utf8_bytes(point) != chr(point).encode()
    ]
    assert wrong == []


@pytest.mark.parametrize("number", [-1, 0xD800, 0xDFFF, 0x110000])
def test_a_number_without_a_character_is_refused(number):
    with pytest.raises(ValueError, match="expected a code point"):
        utf8_bytes(number)


def test_pairs_stay_inside_their_piece_and_overlap():
    assert pair_counts([[1, 1, 1], [1, 2], []]) == {(1, 1): 2, (1, 2): 1}


def test_merge_goes_from_left_to_right_without_overlap():
    assert merge([1, 1, 1], (1, 1), 9) == [9, 1]
    assert merge([1, 2, 1, 2, 1], (1, 2), 9) == [9, 9, 1]
    assert merge([], (1, 2), 9) == []


@given(PIECES, st.integers(0, 30))
def test_fast_training_learns_what_naive_training_learns(pieces, n_merges):
    slow, fast = train_bpe(pieces, n_merges), train_bpe_fast(pieces, n_merges)
    assert list(fast.items()) == list(slow.items())


@given(PIECES)
def test_training_never_makes_one_text_twice_and_encodes_its_own_pieces_as_it_left_them(pieces):
    merges = train_bpe(pieces, 50)
    words = list(vocabulary_of(merges).values())
    assert len(words) == len(set(words))
    left = pieces
    for pair, token in merges.items():
        left = [merge(piece, pair, token) for piece in left]
    assert [encode_piece(piece, merges) for piece in pieces] == left


def test_training_agrees_with_the_tokenizers_library():
    """It numbers the bytes by their stand-in characters, so its numbers go in; ties then fall alike."""
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdeé ", k=generator.randint(1, 9))) for _ in range(400)]
    characters = sorted(byte_characters())
    token_of_byte = {byte_characters()[character]: token for token, character in enumerate(characters)}
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 150, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    theirs.train_from_iterator(words, trainer)
    names = {token: name for name, token in theirs.get_vocab().items()}
    assert [names[token] for token in range(256)] == characters

    ours = train_bpe_fast([[token_of_byte[byte] for byte in word.encode()] for word in words], 150)
    learned = vocabulary_of(ours)
    back = {token: byte for byte, token in token_of_byte.items()}
    as_named = {byte: character for character, byte in byte_characters().items()}
    for token in range(256, 256 + 150):
        assert "".join(as_named[back[t]] for t in learned[token]) == names[token], token
    for word in words:
        tokens = encode_piece([token_of_byte[byte] for byte in word.encode()], ours)
        assert tokens == theirs.encode(word).ids


def test_the_earliest_merge_goes_first_wherever_it_stands():
    # "abc" with bc learned before ab.
    assert encode_piece([97, 98, 99], {(98, 99): 256, (97, 98): 257}) == [97, 256]


@given(st.binary(max_size=30))
def test_any_bytes_decode_as_python_decodes_them(data):
    assert decode(list(data), vocabulary_of({})) == data.decode("utf-8", errors="replace")


def test_a_token_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="got 256 at position 1"):
        decode([1, 256], vocabulary_of({}))
