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
    yield _case(b" " + some[:2], b" " + some[2:], b"\n", g=g)
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
    yield _case(letter, b"\x80\x81", b"\xff", g=g)  # a mark for each


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


def _stripped(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8", "replace").strip()


def _one_mark_a_run(tokens, vocabulary):
    text = _joined(tokens, vocabulary).decode("utf-8", "replace")
    while "\ufffd\ufffd" in text:
        text = text.replace("\ufffd\ufffd", "\ufffd")
    return text


def _backwards(tokens, vocabulary):
    return _joined(tokens[::-1], vocabulary).decode("utf-8", "replace")


def _each_token_once(tokens, vocabulary):
    return _joined(dict.fromkeys(tokens), vocabulary).decode("utf-8", "replace")


def _whole_vocabulary(tokens, vocabulary):
    return b"".join(vocabulary.values()).decode("utf-8", "replace")


def _tokens_as_characters(tokens, vocabulary):
    return "".join(map(chr, tokens))


def _tokens_as_numbers(tokens, vocabulary):
    return " ".join(map(str, tokens))


def _bytes_joined_as_text(tokens, vocabulary):
    return "".join(vocabulary[token] for token in tokens)


def _ignored_token_by_token(tokens, vocabulary):
    return "".join(vocabulary[token].decode("utf-8", "ignore") for token in tokens)


def _otherwise(tokens, vocabulary, instead):
    try:
        return _joined(tokens, vocabulary).decode("utf-8")
    except UnicodeDecodeError:
        return instead(_joined(tokens, vocabulary))


def _otherwise_latin_1(tokens, vocabulary):
    return _otherwise(tokens, vocabulary, lambda data: data.decode("latin-1"))


def _otherwise_nothing(tokens, vocabulary):
    return _otherwise(tokens, vocabulary, lambda data: "")


def _otherwise_one_mark(tokens, vocabulary):
    return _otherwise(tokens, vocabulary, lambda data: "\ufffd")


def _none_for_nothing(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8", "replace") if tokens else None


def _surrogates(tokens, vocabulary):
    return _joined(tokens, vocabulary).decode("utf-8", "surrogateescape")


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
    Misconception(
        "stripped",
        "blanks and line ends at both ends are cut off",
        "They were in the text, and must come back.",
        _stripped,
    ),
    Misconception(
        "one-mark-a-run",
        "several marks for invalid bytes in a row are made into one",
        "`decode` says how many marks there should be. Leave them as they are.",
        _one_mark_a_run,
    ),
    Misconception(
        "backwards",
        "the tokens are read from the last to the first",
        "Join them in the order in which they stand.",
        _backwards,
    ),
    Misconception(
        "each-token-once",
        "a token that comes again is left out",
        "Every place of the list counts, also with a token that was there before.",
        _each_token_once,
    ),
    Misconception(
        "whole-vocabulary",
        "all of the vocabulary is joined, not the tokens that are given",
        "Go through `tokens`, and look each one up.",
        _whole_vocabulary,
    ),
    Misconception(
        "tokens-as-characters",
        "the tokens' numbers are taken for characters",
        "A token's number is its place in the vocabulary. The bytes stand there.",
        _tokens_as_characters,
    ),
    Misconception(
        "tokens-as-numbers",
        "the tokens' numbers are written out",
        "Look each of them up in the vocabulary.",
        _tokens_as_numbers,
    ),
    Misconception(
        "bytes-joined-as-text",
        "bytes are joined with an empty text",
        "A text joins texts. Bytes are joined with empty bytes.",
        _bytes_joined_as_text,
    ),
    Misconception(
        "ignored-token-by-token",
        "each token is decoded on its own, and what is no character of its own vanishes",
        "A character may be spread over two tokens. Join the bytes first.",
        _ignored_token_by_token,
    ),
    Misconception(
        "otherwise-latin-1",
        "a text with one invalid byte is read as Latin-1 from end to end",
        "Then every é of it is lost as well. Only the invalid bytes should be marked.",
        _otherwise_latin_1,
    ),
    Misconception(
        "otherwise-nothing",
        "one invalid byte makes the whole text vanish",
        "Only the invalid bytes should be marked. `decode` does that, with no `try` at all.",
        _otherwise_nothing,
    ),
    Misconception(
        "otherwise-one-mark",
        "one invalid byte turns the whole text into a single mark",
        "Only the invalid bytes should be marked. `decode` does that, with no `try` at all.",
        _otherwise_one_mark,
    ),
    Misconception(
        "none-for-nothing",
        "`None` comes back where the text is empty",
        "No tokens make the empty text.",
        _none_for_nothing,
    ),
    Misconception(
        "surrogates",
        "invalid bytes become half characters that cannot be printed",
        "Python keeps bytes through a text in that way. Here the replacement mark is wanted.",
        _surrogates,
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
