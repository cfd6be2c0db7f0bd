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


def _marked(*marks: int):
    """The right digits, with these marks on the first byte for two, three and four bytes."""

    def utf8_bytes(code_point):
        first, *rest = _written(code_point)
        if not rest:
            return bytes([first])
        digit = first - (0xC0, 0xE0, 0xF0)[len(rest) - 1]
        return bytes([(marks[len(rest) - 1] + digit) % 256, *rest])

    return utf8_bytes


def _three_at_most(code_point):
    if code_point < 0x10000:
        return _written(code_point)
    return bytes([(0xE0 + code_point // 4096) % 256, 0x80 + code_point // 64 % 64, 0x80 + code_point % 64])


def _text(code_point):
    return chr(code_point)


def _digits_as_text(code_point):
    return str(code_point).encode()


def _binary_as_text(code_point):
    return format(code_point, "b").encode()


def _zeros(code_point):
    return bytes(code_point) if code_point < 0x80 else _written(code_point)


def _higher_digits_kept(code_point):
    if code_point < 0x800:
        return _written(code_point)
    digits = [code_point // 64**place for place in range(2 if code_point < 0x10000 else 3, 0, -1)]
    mark = 0xE0 if code_point < 0x10000 else 0xF0
    return bytes([mark + digits[0], *(0x80 + digit for digit in digits[1:]), 0x80 + code_point % 64])


def _plain_division(code_point):
    if code_point < 0x80:
        return bytes([code_point])
    return bytes([0xC0 + code_point / 64, 0x80 + code_point % 64])


def _always_one_byte(code_point):
    return bytes([code_point])


def _signed(code_point):
    return chr(code_point).encode("utf-8-sig")


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
    Misconception(
        "first-mark-of-two",
        "the first byte has the mark of two bytes, however many follow",
        "The number of ones at its front says how many bytes there are: `110`, `1110`, `11110`.",
        _marked(0xC0, 0xC0, 0xC0),
    ),
    Misconception(
        "first-mark-one-lower",
        "the first byte has one 1 too few in its mark",
        "Two bytes begin with `110`. `10` is the mark of those that follow.",
        _marked(0x80, 0xC0, 0xE0),
    ),
    Misconception(
        "three-at-most",
        "three bytes are used for everything that does not fit into two",
        "The last row of the table begins at 0x10000.",
        _three_at_most,
    ),
    Misconception(
        "text",
        "a text comes back, not bytes",
        "The numbers of the bytes are asked for, packed by `bytes([...])`.",
        _text,
    ),
    Misconception(
        "digits-as-text",
        "the number's decimal digits are written as characters",
        "It is the number itself that goes into the byte, not the digits by which we write it.",
        _digits_as_text,
    ),
    Misconception(
        "binary-as-text",
        "the number's bits are written as characters, a byte for each",
        "Eight bits make one byte. `bytes([...])` takes the numbers, not their bits as text.",
        _binary_as_text,
    ),
    Misconception(
        "zeros",
        "`bytes(n)` makes n zero bytes",
        "A list goes into the brackets: `bytes([n])` is the one byte n.",
        _zeros,
    ),
    Misconception(
        "higher-digits-kept",
        "the bytes in the middle still hold the digits in front of them",
        "Each digit in base 64 is below 64. What must be cut off on the left?",
        _higher_digits_kept,
    ),
    Misconception(
        "plain-division",
        "`/` makes a float, and a byte is a whole number",
        "`//` divides whole numbers, and `divmod` gives quotient and remainder at once.",
        _plain_division,
    ),
    Misconception(
        "always-one-byte",
        "every number is put into a single byte",
        "A byte holds 0 to 255, and in UTF-8 only up to 127 alone. Go down the rows of the table.",
        _always_one_byte,
    ),
    Misconception(
        "with-a-signature",
        "three bytes stand in front that belong to no character",
        "That is a file's signature, which some programs write. A character does not have it.",
        _signed,
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


def _a_bytearray(code_point):
    if code_point < 0x80:
        return bytearray([code_point])
    following = (code_point >= 0x800) + (code_point >= 0x10000) + 1
    out = bytearray()
    for _ in range(following):
        out.insert(0, 0x80 | code_point & 0x3F)
        code_point >>= 6
    out.insert(0, (0xC0, 0xE0, 0xF0)[following - 1] | code_point)
    return out


ALTERNATIVES = (
    Alternative("a bytearray, filled from its end", _a_bytearray),
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
