"""Exercise 1.1: the UTF-8 bytes of one character."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.tokens.drawn import number
from llmlib import bpe


def _each_length(g: torch.Generator) -> Iterator[Case]:
    for low, high in ((0x41, 0x7A), (0x100, 0x77F), (0x900, 0xD7FF), (0x10100, 0x1FFFF)):
        yield Case({"code_point": number(g, low, high)})


def _limits(g: torch.Generator) -> Iterator[Case]:
    for code_point in (0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF, 0):
        yield Case({"code_point": code_point})
    yield Case({"code_point": number(g, 0xE000, 0xFFFE)})


# --- Mistakes


def _written(code_point, base=64, mark=0x80, limits=(0x80, 0x800, 0x10000), marks=(0xC0, 0xE0, 0xF0)):
    if code_point < limits[0]:
        return bytes([code_point])
    digits = []
    for place, mark_of_first in enumerate(marks):
        code_point, digit = divmod(code_point, base)
        digits.insert(0, mark + digit)
        if place == 2 or code_point < (limits[place + 1] // 64 ** (place + 1)):
            digits.insert(0, (mark_of_first + code_point) % 256)
            return bytes(digits)
    raise AssertionError


def _utf_16(code_point):
    return chr(code_point).encode("utf-16-be")


def _utf_32(code_point):
    return code_point.to_bytes(4, "big")


def _base_256(code_point):
    return code_point.to_bytes(max(1, (code_point.bit_length() + 7) // 8), "big")


def _reversed(code_point):
    return _written(code_point)[::-1]


def _no_mark(code_point):
    return _written(code_point, mark=0)


def _seven_bits(code_point):
    return _written(code_point, base=128)


def _surrogate_pairs(code_point):
    units = chr(code_point).encode("utf-16-be")
    numbers = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return b"".join(_written(unit) for unit in numbers)


def _limit_included(code_point):
    if code_point in (0x80, 0x800, 0x10000):
        limits = (0x81, 0x801, 0x10001)
        if code_point == 0x80:
            return bytes([0x80])
        high = code_point // (64 if code_point == 0x800 else 64**2)
        head = (0xC0 if code_point == 0x800 else 0xE0) + high
        return bytes([head % 256, *([0x80] * (limits.index(code_point + 1)))])
    return _written(code_point)


def _a_list(code_point):
    return list(_written(code_point))


def _two_at_most(code_point):
    if code_point < 0x80:
        return bytes([code_point])
    return bytes([(0xC0 + code_point // 64) % 256, 0x80 + code_point % 64])


def _utf_7_limit(code_point):
    return bytes([code_point]) if code_point < 0x100 else _written(code_point)


def _limit_excluded(code_point):
    limits = (0x7F, 0x7FF, 0xFFFF)
    if code_point not in limits:
        return _written(code_point)
    following = limits.index(code_point) + 1
    digits = [code_point // 64**place for place in range(following, -1, -1)]
    return bytes(
        [(0xC0, 0xE0, 0xF0)[following - 1] + digits[0], *(0x80 + digit % 64 for digit in digits[1:])]
    )


MISCONCEPTIONS = (
    Misconception(
        "utf-16",
        "the bytes are those of UTF-16, two or four a character",
        "In UTF-8 an English letter is a single byte. Start from the table above.",
        _utf_16,
    ),
    Misconception(
        "utf-32",
        "every character has four bytes",
        "The first row of the table has one byte, and the number itself in it.",
        _utf_32,
    ),
    Misconception(
        "base-256",
        "the number is written in base 256, without any marks",
        "A reader must see where a character begins. Which bits of each byte say so?",
        _base_256,
    ),
    Misconception(
        "reversed",
        "the bytes stand in reverse order",
        "The first byte holds the highest bits, as in our way of writing numbers.",
        _reversed,
    ),
    Misconception(
        "no-mark",
        "the following bytes lack their mark `10`",
        "Look at é: its second byte is 169, not 41. What was added?",
        _no_mark,
    ),
    Misconception(
        "seven-bits",
        "the following bytes carry seven bits instead of six",
        "Eight bits minus the two of the mark: how many are left, and how many values is that?",
        _seven_bits,
    ),
    Misconception(
        "surrogate-pairs",
        "a character above 0xFFFF becomes two groups of three bytes",
        "That is UTF-16's way out. UTF-8 has a row of its own for large numbers.",
        _surrogate_pairs,
    ),
    Misconception(
        "limit-included",
        "a number at a limit still gets the shorter form",
        "How many bits does 0x80 need? Try the first number of each row.",
        _limit_included,
    ),
    Misconception(
        "one-byte-to-255",
        "all numbers below 256 are written as one byte, as in Latin-1",
        "In UTF-8 a byte of 128 or more is always a part of something longer.",
        _utf_7_limit,
    ),
    Misconception(
        "two-at-most",
        "two bytes are used for everything that does not fit into one",
        "A pair of bytes has room for eleven bits. What about the Euro sign?",
        _two_at_most,
    ),
    Misconception(
        "a-list",
        "the result is a list of numbers, not `bytes`",
        "The numbers are right: `bytes([...])` makes bytes of them.",
        _a_list,
    ),
    Misconception(
        "limit-excluded",
        "the last number of a row already gets the longer form",
        "The table says “up to 0x7F”, and 0x7F itself belongs to its row: `<` or `<=`?",
        _limit_excluded,
    ),
)


# --- Right answers in another form


def _python_s_own(code_point):
    return chr(code_point).encode("utf-8")


def _shifts(code_point):
    if code_point < 0x80:
        return bytes([code_point])
    if code_point < 0x800:
        return bytes([0xC0 | code_point >> 6, 0x80 | code_point & 0x3F])
    if code_point < 0x10000:
        return bytes([0xE0 | code_point >> 12, 0x80 | code_point >> 6 & 0x3F, 0x80 | code_point & 0x3F])
    tail = [0x80 | code_point >> shift & 0x3F for shift in (12, 6, 0)]
    return bytes([0xF0 | code_point >> 18, *tail])


def _bits_as_text(code_point):
    if code_point < 0x80:
        return bytes([code_point])
    following = 1 if code_point < 0x800 else 2 if code_point < 0x10000 else 3
    first = 6 - following
    bits = format(code_point, f"0{first + 6 * following}b")
    parts = ["1" * (following + 1) + "0" + bits[:first]]
    parts += ["10" + bits[at : at + 6] for at in range(first, len(bits), 6)]
    return bytes(int(part, 2) for part in parts)


def _loop(code_point):
    if code_point <= 127:
        return bytes((code_point,))
    out = bytearray()
    room = 64
    while code_point >= room or not out:
        out.append(128 + code_point % 64)
        code_point //= 64
        room = 32 >> (len(out) - 1)
    out.append((0, 192, 224, 240)[len(out)] + code_point)
    return bytes(reversed(out))


ALTERNATIVES = (
    Alternative("Python's own encoder", _python_s_own),
    Alternative("shifts and masks", _shifts),
    Alternative("bits as text", _bits_as_text),
    Alternative("a loop from the right", _loop),
)

EXERCISE = Exercise(
    name="bpe.utf8_bytes",
    number="1.1",
    title="A character as bytes",
    minutes=12,
    difficulty=2,
    reference=bpe.utf8_bytes,
    checks=(
        Check("writes characters of one, two, three and four bytes", 2, _each_length),
        Check("changes to the longer form exactly at the limits", 1, _limits),
    ),
    hints=(
        "Do it once on paper for é, number 233. In base 64 it is 3 and 41. What is added to each?",
        "Division by 64 with remainder cuts off the last six bits: the remainder goes into the last byte, "
        "and "
        "the quotient is what remains to be written. `divmod` gives both.",
        "Four cases, one for each row of the table. Each has one division more than the row above it, and "
        "another mark on its first byte: 0, 192, 224 or 240.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
