"""Exercise 9.2: the surprise at a text, whatever its tokens."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.evaluation.drawn import whole, words
from llmlib import perplexity as library

FOREIGN = ("é", "e\u0301", "ß", "猫", "я", "🦉", "œ", "ñ", "雨")


def _nats(g: torch.Generator, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return 0.2 + 3 * torch.rand(whole(g, 3, 6), generator=g, dtype=dtype)


def _ascii(g: torch.Generator) -> Iterator[Case]:
    for dtype in (torch.float32, torch.float64, torch.float32):
        yield Case({"nats": _nats(g, dtype), "text": " ".join(words(g, 3))})


def _foreign(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        letters = [FOREIGN[int(i)] for i in torch.randint(len(FOREIGN), (2,), generator=g)]
        yield Case({"nats": _nats(g), "text": letters[0].join(words(g, 2)) + letters[1]})
    # The same letter, as one character and as two: both as they are.
    yield Case({"nats": _nats(g), "text": "\u00e9e\u0301".join(words(g, 2))})


def _blanks_around(g: torch.Generator) -> Iterator[Case]:
    for end in ("\n", "  ", "\n\n"):
        yield Case({"nats": _nats(g), "text": f" {' '.join(words(g, 2))}.{end}"})


MISCONCEPTIONS = (
    Misconception(
        "per-character",
        "the surprise is divided by the number of characters",
        "One character may be several bytes. How long is the text in UTF-8?",
        lambda nats, text: nats.sum().item() / math.log(2) / len(text),
    ),
    Misconception(
        "per-token",
        "the surprise is divided by the number of tokens",
        "Then the number depends on the tokenizer again. What do all tokenizers share?",
        lambda nats, text: nats.mean().item() / math.log(2),
    ),
    Misconception(
        "in-nats",
        "the result is in nats, not in bits",
        "How many nats is one bit?",
        lambda nats, text: nats.sum().item() / len(text.encode()),
    ),
    Misconception(
        "multiplied",
        "nats are multiplied by ln 2 where they should be divided",
        "A bit is less than a nat, so there must be more of them.",
        lambda nats, text: nats.sum().item() * math.log(2) / len(text.encode()),
    ),
    Misconception(
        "logarithm-to-ten",
        "the logarithm of 2 is taken to base 10",
        "Nats belong to the natural logarithm.",
        lambda nats, text: nats.sum().item() / math.log10(2) / len(text.encode()),
    ),
    Misconception(
        "perplexity",
        "this is the perplexity",
        "Bits per byte are a sum divided by bytes, without an exponential.",
        lambda nats, text: math.exp(nats.mean().item()),
    ),
    Misconception(
        "averaged-twice",
        "the average surprise is divided by the bytes, not the sum",
        "The text as a whole has a surprise: that of all its tokens together.",
        lambda nats, text: nats.mean().item() / math.log(2) / len(text.encode()),
    ),
    Misconception(
        "two-bytes-each",
        "the bytes are counted in UTF-16",
        "The question names the encoding: UTF-8.",
        lambda nats, text: nats.sum().item() / math.log(2) / len(text.encode("utf-16-le")),
    ),
    Misconception(
        "upside-down",
        "bytes are divided by bits",
        "Bits *per* byte: the bytes stand below the line.",
        lambda nats, text: len(text.encode()) * math.log(2) / nats.sum().item(),
    ),
    Misconception(
        "logarithm-again",
        "the logarithm of the nats is taken",
        "Nats are logarithms already. What is left to do is what one does from feet to metres.",
        lambda nats, text: nats.double().log2().sum().item() / len(text.encode()),
    ),
    Misconception(
        "logarithm-of-the-sum",
        "the logarithm of the summed nats is taken",
        "Nats are logarithms already. What is left to do is what one does from feet to metres.",
        lambda nats, text: math.log2(nats.sum().item()) / len(text.encode()),
    ),
    Misconception(
        "exponential-at-the-end",
        "the result is 2 to the power of the bits per byte",
        "That makes a perplexity per byte of it. Bits per byte are a sum of bits, divided.",
        lambda nats, text: 2 ** (nats.sum().item() / math.log(2) / len(text.encode())),
    ),
    Misconception(
        "average-of-exponentials",
        "each surprise is put into the exponential, and then they are averaged",
        "Bits per byte need no exponential: a sum of bits, divided by bytes.",
        lambda nats, text: nats.double().exp().mean().item(),
    ),
    Misconception(
        "nats-per-character",
        "nats are divided by characters",
        "Two things are still to be done: nats are to become bits, and characters bytes.",
        lambda nats, text: nats.sum().item() / len(text),
    ),
    Misconception(
        "per-word",
        "the surprise is divided by the number of words",
        "Words are another way to cut a text. Bytes are counted.",
        lambda nats, text: nats.sum().item() / math.log(2) / len(text.split()),
    ),
    Misconception(
        "without-blanks",
        "white space is not counted",
        "The model has to predict the blanks, too, and they are bytes like all others.",
        lambda nats, text: nats.sum().item() / math.log(2) / len("".join(text.split()).encode()),
    ),
    Misconception(
        "stripped",
        "white space at the ends of the text is not counted",
        "The text counts as it is: a newline at its end is a byte that had to be predicted.",
        lambda nats, text: nats.sum().item() / math.log(2) / len(text.strip().encode()),
    ),
    Misconception(
        "normalised",
        "a letter and its accent are made one character first, which takes fewer bytes",
        "The text counts as it is: every byte of it had to be predicted.",
        lambda nats, text: nats.sum().item() / math.log(2) / len(unicodedata.normalize("NFC", text).encode()),
    ),
    Misconception(
        "ascii-only",
        "characters outside ASCII are not counted",
        "A character like é or 猫 is text as well. How many bytes has it in UTF-8?",
        lambda nats, text: nats.sum().item() / math.log(2) / len(text.encode("ascii", "ignore")),
    ),
    Misconception(
        "one-byte-each",
        "the text is encoded with one byte for each character, which not every character fits into",
        "The question names the encoding: UTF-8.",
        lambda nats, text: nats.sum().item() / math.log(2) / len(text.encode("latin-1")),
    ),
    Misconception(
        "below-zero",
        "the sign is turned",
        "The nats are surprises: minus the logarithm was taken before they came to you.",
        lambda nats, text: -nats.sum().item() / math.log(2) / len(text.encode()),
    ),
    Misconception(
        "bits-of-the-text",
        "the bits of the surprise are divided by the bits of the text",
        "Bits per *byte*: how many bytes has the text?",
        lambda nats, text: nats.sum().item() / math.log(2) / (8 * len(text.encode())),
    ),
)


def _by_a_loop(nats, text):
    bits = 0.0
    for surprise in nats.tolist():
        bits += surprise / math.log(2)
    return bits / len(bytes(text, "utf-8"))


def _by_probabilities(nats, text):
    return float(-torch.log2(torch.exp(-nats.double())).sum()) / len(text.encode())


def _with_numpy(nats, text):
    bits = nats.cpu().numpy().astype(np.float64) / np.log(2)
    return bits.sum() / np.frombuffer(text.encode(), dtype=np.uint8).size


def _by_a_product(nats, text):
    probability = math.prod(math.exp(-surprise) for surprise in nats.tolist())
    return -math.log2(probability) / sum(len(character.encode()) for character in text)


def _by_code_points(nats, text):
    size = sum(1 + (ord(c) > 0x7F) + (ord(c) > 0x7FF) + (ord(c) > 0xFFFF) for c in text)
    return nats.double().sum().item() * math.log2(math.e) / size


def _by_the_average(nats, text):
    return (
        nats.double().mean() * len(nats) / len(text.encode("utf8")) / torch.tensor(2.0).double().log()
    ).item()


EXERCISE = Exercise(
    name="perplexity.bits_per_byte",
    number="9.2",
    title="Bits per byte",
    minutes=6,
    difficulty=1,
    reference=library.bits_per_byte,
    checks=(
        Check("gives the bits for each byte of an English text", 1, _ascii),
        Check("counts the bytes of a text in any language", 2, _foreign),
        Check("counts white space at the ends of the text", 1, _blanks_around),
    ),
    hints=(
        "Two things are to be found: how many bits the whole text costs, and how many bytes it has.",
        "All tokens together cost the sum of their nats, and a bit is ln 2 = 0.693 nats: 0.693 nats should "
        "become 1 bit.",
        "A Python text knows its bytes: look at its method `encode`.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("with NumPy", _with_numpy),
        Alternative("the product of the probabilities", _by_a_product),
        Alternative("token by token", _by_a_loop),
        Alternative("from the probabilities", _by_probabilities),
        Alternative("bytes from the code points", _by_code_points),
        Alternative("the average, times the number of tokens", _by_the_average),
    ),
)
