"""Do two executed cells show the same? Outputs compared as a person would: shapes, then numbers, then words.

Numbers agree within a tolerance, because sums depend on the number of threads, the processor and the device.
How wide it is says a tag of the cell: none for computed numbers, `trained` for the results of a training,
`timing` for what belongs to the machine, `varies` for what comes out differently on each machine, such as the
texts that a trained model writes: of these two only the kinds of output are compared. Times, memory
addresses, temporary files and the device's name never count, and neither does anything on stderr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import unescape
from itertools import zip_longest
from typing import Any

Output = Mapping[str, Any]

NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?!\w)"
    r"|(?<![\w.])[-+−]?(?:nan|inf)\b"
)
# What differs from machine to machine, and what stands in its place on both sides.
NEVER_COUNTS = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),  # colours of a terminal
    (re.compile(r",?\s*device='?(?:cuda|mps|cpu)(?::\d+)?'?"), ""),
    (re.compile(r"\b(?:cuda|mps|cpu)(?::\d+)?\b"), "DEVICE"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "ADDRESS"),
    (re.compile(r"(?:/private)?/(?:tmp|var/folders)/[^\s'\",)]+"), "FILE"),
    (
        re.compile(
            r"[-+]?\d[\d,.]*(?:[eE][-+]?\d+)?\s?"
            r"(?:(?:ns|µs|us|ms|s|sec|seconds?|min|minutes?|hours?)\b|(?:it|tokens|steps|characters)/s\b)"
        ),
        "TIME",
    ),
)
SHAPE_SHOWN = re.compile(r"torch\.Size\(\[([\d,\s]*)\]\)|\bshape[ =:]*\(([\d,\s]*)\)")
NESTED = re.compile(r"\b(?:tensor|array)\(")
# A text may be made to keep a pattern busy for hours: how much longer than the expected one it may be, and
# how long a row of digits.
MOST_TIMES, MOST_MORE = 10, 2_000
DIGITS = re.compile(r"([\d,.]{200})[\d,.]+")


@dataclass(frozen=True)
class Tolerance:
    """How far a printed number may lie from the expected one.

    relative: as a share of the larger of the two.
    units:    besides, this many units of the last digit that is printed.
    whole:    whether whole numbers have this freedom too; else they must be equal.
    """

    relative: float
    units: float = 1.0
    whole: bool = False


COMPUTED = Tolerance(1e-4)
TRAINED = Tolerance(0.1, units=2, whole=True)
ON_CUDA = Tolerance(1e-3)  # other kernels, another order of summation
# By what a tensor's text says of its dtype: half precision keeps three digits, float64 many more.
BY_DTYPE = {"float16": 1e-2, "bfloat16": 2e-2, "float64": 1e-6}


def tolerance_of(tags: Sequence[str], device: str = "cpu") -> Tolerance | None:
    """The tolerance for a cell with these tags; None where what it shows is the machine's own."""
    if "timing" in tags or "varies" in tags:
        return None
    if "trained" in tags:
        return TRAINED
    return COMPUTED if device == "cpu" else ON_CUDA


def differences(
    expected: Sequence[Output], got: Sequence[Output], *, tags: Sequence[str] = (), device: str = "cpu"
) -> list[str]:
    """What a reader would call different, in words; nothing if the outputs agree."""
    wanted, came = list(_pieces(expected)), list(_pieces(got))
    for kind, text in came:
        if kind == "an error" and kind not in [k for k, _ in wanted]:
            return [f"it stopped with {text}"]
    if [kind for kind, _ in wanted] != [kind for kind, _ in came]:
        return [f"expected {_listed(wanted)}, got {_listed(came)}"]
    tolerance = tolerance_of(tags, device)
    found = (
        _text_difference(want, have, tolerance)
        for (_, want), (_, have) in zip(wanted, came, strict=True)
        if tolerance is not None
    )
    return [difference for difference in found if difference]


def _pieces(outputs: Sequence[Output]) -> Iterator[tuple[str, str]]:
    """The outputs as kinds and texts: what was printed in one go is one piece."""
    printed: list[str] = []
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            if output.get("name") == "stdout":
                printed.append(_joined(output.get("text", "")))
            continue
        if printed:
            yield "printed text", "".join(printed)
            printed = []
        if kind == "error":
            yield "an error", f"{output.get('ename')}: {output.get('evalue')}"
        elif kind in ("display_data", "execute_result"):
            data = output.get("data")
            shown = data if isinstance(data, dict) else {}
            yield _displayed(shown, "a result" if kind == "execute_result" else "a display")
    if "".join(printed).strip():
        yield "printed text", "".join(printed)


def _displayed(data: Mapping[str, Any], kind: str) -> tuple[str, str]:
    plain, html = _joined(data.get("text/plain", "")), _joined(data.get("text/html", ""))
    if any(name.startswith("image/") for name in data) or "<svg" in html:
        # A picture's bytes differ between versions of the drawing library; what it shows is its alt text.
        return "a figure", plain if plain.startswith("Figure: ") else ""
    return kind, plain or unescape(re.sub(r"<[^<>]*>", " ", html))


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _listed(pieces: Sequence[tuple[str, str]]) -> str:
    return " and ".join(kind for kind, _ in pieces) or "no output"


def _text_difference(want: str, got: str, tolerance: Tolerance) -> str | None:
    if len(got) > MOST_TIMES * len(want) + MOST_MORE:
        return f"expected {len(want):,} characters, got {len(got):,}"
    if (wrong := _shape_difference(want, got)) is not None:
        return wrong
    for dtype, relative in BY_DTYPE.items():
        if f"dtype=torch.{dtype}" in want:
            tolerance = replace(tolerance, relative=max(relative, tolerance.relative * (dtype != "float64")))
    want, got = _plain(want), _plain(got)
    words = [_words(want), _words(got)]
    if words[0] != words[1]:
        return _word_difference(want, got)
    wrong_numbers = [
        (a, b)
        for a, b in zip(NUMBER.findall(want), NUMBER.findall(got), strict=True)
        if not _agree(a, b, tolerance)
    ]
    if not wrong_numbers:
        return None
    a, b = max(wrong_numbers, key=lambda pair: _distance(*pair))
    total = len(NUMBER.findall(want))
    return f"{len(wrong_numbers)} of {total} numbers differ: expected {a}, got {b}" + (
        " (the largest difference)" if len(wrong_numbers) > 1 else ""
    )


def _plain(text: str) -> str:
    text = DIGITS.sub(r"\1", text)
    for pattern, instead in NEVER_COUNTS:
        text = pattern.sub(instead, text)
    return text.replace("−", "-")


def _words(text: str) -> list[str]:
    """The text between the numbers. Blanks only align, and a number's width moves them."""
    return [re.sub(r"\s+", "", part) for part in NUMBER.split(text)]


def _word_difference(want: str, got: str) -> str:
    """The first line whose words differ."""
    lines = zip_longest(
        (line for line in want.splitlines() if line.strip()),
        (line for line in got.splitlines() if line.strip()),
        fillvalue=None,
    )
    for a, b in lines:
        if a is None or b is None or _words(a) != _words(b):
            return f"expected {_quoted(a)}, got {_quoted(b)}"
    return "the text differs"


def _quoted(line: str | None) -> str:
    if line is None:
        return "no further line"
    line = " ".join(line.split())
    return f"“{line[:120]}…”" if len(line) > 120 else f"“{line}”"


def _agree(a: str, b: str, tolerance: Tolerance) -> bool:
    x, y = _value(a), _value(b)
    if x != x or y != y:
        return x != x and y != y
    if x == y:
        return True
    if float("inf") in (abs(x), abs(y)):
        return False
    whole = _is_whole(a) and _is_whole(b)
    if whole and not tolerance.whole:
        return False
    units = tolerance.units * max(_last_digit(a), _last_digit(b))
    return abs(x - y) <= tolerance.relative * max(abs(x), abs(y)) + units * (1 + 1e-9)


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _distance(a: str, b: str) -> float:
    difference = abs(_value(a) - _value(b))
    return float("inf") if difference != difference else difference


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[-+]?[\d,]+", text) is not None


def _last_digit(text: str) -> float:
    """What one unit of the last printed digit is worth: 0.001 in "2.718"."""
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 10.0 ** max(-400, min(int(exponent[:9] or 0) - decimals, 300))


def _shape_difference(want: str, got: str) -> str | None:
    """Shapes first: a wrong shape makes every number look wrong."""
    as_many = len(NESTED.findall(want)) == len(NESTED.findall(got))
    pairs: list[tuple[Sequence[Any], Sequence[Any]]] = [
        (list(_shapes(want)), list(_shapes(got))) if as_many else ([], []),
        ([_sizes(m) for m in SHAPE_SHOWN.findall(want)], [_sizes(m) for m in SHAPE_SHOWN.findall(got)]),
    ]
    for wanted, came in pairs:
        if len(wanted) != len(came):
            continue
        for a, b in zip(wanted, came, strict=True):
            if a != b and a is not None and b is not None:
                return f"expected shape {a}, got {b}"
    return None


def _sizes(groups: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", "".join(groups)))


def _shapes(text: str) -> Iterator[tuple[int, ...] | None]:
    """The shape of each tensor that is written out; None where it is cut short or ragged."""
    for match in NESTED.finditer(text):
        depth, start = 0, match.end()
        sizes: list[set[int]] = []
        counts: list[int] = []
        body = ""
        for place in range(start, len(text)):
            character = text[place]
            body += character
            if character == "[":
                depth += 1
                counts.append(1)
            elif character == "]":
                size = counts.pop() if counts else 0
                level = depth - 1
                while len(sizes) <= level:
                    sizes.append(set())
                sizes[level].add(size)
                depth -= 1
                if depth == 0:
                    break
            elif character == "," and counts:
                counts[-1] += 1
            elif character == ")" and depth == 0:
                break
        whole = "..." not in body and all(len(size) == 1 for size in sizes)
        yield tuple(next(iter(size)) for size in sizes) if whole else None
