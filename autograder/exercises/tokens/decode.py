"""Exercise 1.6: from tokens back to text."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.tokens.drawn import letters, number
from llmlib import bpe


def _case(*parts: bytes, others: tuple[bytes, ...] = (b"q",), g: torch.Generator) -> Case:
    """The parts as tokens of a vocabulary in which others come first."""
    words = list(dict.fromkeys([*others, *parts]))
    first = number(g, 256, 300)
    tokens = {word: first + place for place, word in enumerate(words)}
    return Case(
        {
            "tokens": [tokens[part] for part in parts],
            "vocabulary": {token: word for word, token in tokens.items()},
        }
    )


def _whole_characters(g: torch.Generator) -> Iterator[Case]:
    some = bytes(letters(g, 5))
    yield _case(some[:2], some[2:3], b" ", some[3:], g=g)
    yield _case(chr(number(g, 0xE0, 0xF6)).encode(), some[:2], chr(number(g, 0x4E00, 0x9F00)).encode(), g=g)


def _spread(g: torch.Generator) -> Iterator[Case]:
    euro = chr(number(g, 0x20A0, 0x20BF)).encode()
    face = chr(number(g, 0x1F600, 0x1F640)).encode()
    yield _case(euro[:1], euro[1:], g=g)
    yield _case(b"a" + face[:2], face[2:3], face[3:] + b"b", g=g)


def _invalid(g: torch.Generator) -> Iterator[Case]:
    letter = bytes(letters(g, 1))
    yield _case(letter, bytes([number(g, 0x80, 0xBF)]), letter, g=g)
    yield _case(letter, chr(number(g, 0x1F600, 0x1F640)).encode()[:3], g=g)
    yield _case(b"\xff", letter, b"\xc3", letter, g=g)


def _nothing(g: torch.Generator) -> Iterator[Case]:
    yield Case({"tokens": [], "vocabulary": {number(g, 0, 255): b"a"}})


# --- Mistakes


def _joined(tokens, vocabulary):
    return b"".join([vocabulary[token] for token in tokens])


def _token_by_token(tokens, vocabulary):
    return "".join(vocabulary[token].decode("utf-8", "replace") for token in tokens)


def _strict(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8")


def _ignored(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8", "ignore")


def _latin_1(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("latin-1")


def _question_mark(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8", "replace").replace("\ufffd", "?")


def _backslash(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8", "backslashreplace")


def _shown(tokens, vocabulary):
    return str(_joined(tokens, vocabulary))


def _with_blanks(tokens, vocabulary):
    return b" ".join([vocabulary[token] for token in tokens]).decode("utf-8", "replace")


def _still_bytes(tokens, vocabulary):
    return _joined(tokens, vocabulary)


def _ascii(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("ascii", "replace")


def _a_list(tokens, vocabulary):
    return [vocabulary[token].decode("utf-8", "replace") for token in tokens]


MISCONCEPTIONS = (
    Misconception(
        "token-by-token",
        "each token is decoded on its own",
        "A character of three bytes may be spread over two tokens: neither half is a character. Join first.",
        _token_by_token,
    ),
    Misconception(
        "strict",
        "invalid bytes raise an error",
        "A model can write any tokens one after another. `decode` of bytes has a parameter for such cases.",
        _strict,
    ),
    Misconception(
        "ignored",
        "invalid bytes vanish without a trace",
        "Whoever reads the text should see that something was there. Which mark does Unicode have for that?",
        _ignored,
    ),
    Misconception(
        "latin-1",
        "each byte becomes a character of its own, as in Latin-1",
        "`é` is two bytes and one character. The bytes are UTF-8.",
        _latin_1,
    ),
    Misconception(
        "question-mark",
        "a question mark stands in the place of invalid bytes",
        "A question mark may be real. Unicode has a mark of its own, U+FFFD.",
        _question_mark,
    ),
    Misconception(
        "backslash",
        "invalid bytes are spelled out with a backslash",
        "That is for programmers. Here the replacement mark is wanted.",
        _backslash,
    ),
    Misconception(
        "shown",
        "the bytes are shown as Python shows them, with b and quotes",
        "`str` of bytes shows them. To read them as text, they have a method.",
        _shown,
    ),
    Misconception(
        "with-blanks",
        "a blank is put between the tokens",
        "Blanks are tokens, or parts of tokens, themselves.",
        _with_blanks,
    ),
    Misconception(
        "still-bytes",
        "the result is bytes, not text",
        "One step is missing: from bytes to a `str`.",
        _still_bytes,
    ),
    Misconception(
        "ascii",
        "only ASCII is understood, and every other byte replaced",
        "The bytes are UTF-8, which has more characters than those of English.",
        _ascii,
    ),
    Misconception(
        "a-list",
        "the result is a list with one text for each token",
        "One text is wanted. And join the bytes, not the texts.",
        _a_list,
    ),
)


# --- Right answers in another form


def _bytearray(tokens, vocabulary):
    data = bytearray()
    for token in tokens:
        data += vocabulary[token]
    return data.decode(errors="replace")


def _added(tokens, vocabulary):
    return str(functools.reduce(lambda a, b: a + b, (vocabulary[t] for t in tokens), b""), "utf-8", "replace")


def _incremental(tokens, vocabulary):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return "".join(decoder.decode(vocabulary[token]) for token in tokens) + decoder.decode(b"", final=True)


def _byte_by_byte(tokens, vocabulary):
    return bytes(byte for token in tokens for byte in vocabulary[token]).decode("utf-8", "replace")


ALTERNATIVES = (
    Alternative("a bytearray", _bytearray),
    Alternative("bytes added up", _added),
    Alternative("a decoder that remembers half characters", _incremental),
    Alternative("byte by byte", _byte_by_byte),
)

EXERCISE = Exercise(
    name="bpe.decode",
    number="1.6",
    title="Back to text",
    minutes=8,
    difficulty=1,
    reference=bpe.decode,
    checks=(
        Check("turns tokens of whole characters into text", 2, _whole_characters),
        Check("puts characters together that are spread over tokens", 1, _spread),
        Check("writes U+FFFD for what is no valid UTF-8", 1, _invalid),
        Check("gives an empty text for no tokens", 1, _nothing),
    ),
    hints=(
        "Two steps: from tokens to bytes, from bytes to text. When is the first one finished?",
        'Bytes are joined as texts are joined, with an empty `b""` in front of `.join`.',
        "Bytes have a method `decode` with a parameter `errors`. Its values include “strict”, “ignore” and "
        '“replace”: try them on `b"a\\xff"`.',
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
