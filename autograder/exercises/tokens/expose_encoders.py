"""Exercise 1.8: pieces and merges that tell a right encoder from a wrong one."""

from __future__ import annotations

from typing import Any

from autograder.exercise import Alternative, Exercise, Misconception
from autograder.exercises import reading
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.reading import Unusable
from autograder.exercises.tokens.wrong_encoders import MISCONCEPTIONS
from llmlib.bpe import encode_piece

LONGEST_PIECE, MOST_MERGES = 30, 20
GROUPS = {
    "order": ("left-to-right", "right-to-left", "latest", "most-frequent", "smallest-pair", "longest-match"),
    "repetition": ("one-merge", "one-pass", "first-place-only", "bytes-only"),
    "details": ("runs-from-the-right", "either-order", "in-place", "keeps-the-right", "last-lost"),
}
_Probe = tuple[list[int], dict[tuple[int, int], int]]


def _read(name: str, probe: Any) -> _Probe:
    given = reading.fields(name, probe, ("text", "pairs"))
    text, pairs = given["text"], given["pairs"]
    if not isinstance(text, str) or not 1 <= len(text.encode("utf-8", "replace")) <= LONGEST_PIECE:
        raise Unusable(f'"text" of {name} should be a text of 1 to {LONGEST_PIECE} bytes')
    if not isinstance(pairs, list | tuple) or len(pairs) > MOST_MERGES:
        raise Unusable(f'"pairs" of {name} should be a list of at most {MOST_MERGES} pairs of texts')
    tokens = {bytes([byte]): byte for byte in range(256)}
    merges: dict[tuple[int, int], int] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
            raise Unusable(f'each of the "pairs" of {name} should be two texts, such as ("a", "b")')
        left, right = (part.encode("utf-8", "replace") for part in pair)
        for part in (left, right):
            if part not in tokens:
                raise Unusable(f"{name} merges {part.decode('utf-8', 'replace')!r} before any pair makes it")
        if left + right in tokens:
            raise Unusable(f"{name} makes {(left + right).decode('utf-8', 'replace')!r} twice")
        merges[tokens[left], tokens[right]] = tokens[left + right] = 256 + len(merges)
    return list(text.encode("utf-8", "replace")), merges


def _exposes(probe: _Probe, mutant: Misconception) -> bool:
    tokens, merges = probe
    given = list(tokens)
    try:
        result = mutant.answer(given, dict(merges))
    except Exception:
        return True
    return given != tokens or result != encode_piece(tokens, merges)


EXPOSING = Exposing(
    mutants=grouped(MISCONCEPTIONS, GROUPS),
    read=_read,
    exposes=_exposes,
    most=12,
    made_of="plain lists, dicts and texts",
    nothing="no wrong order is exposed yet: on these probes all orders of merging give the same tokens",
)


# --- Right answers


def _one_for_each() -> list[dict[str, Any]]:
    return [
        {"text": "abc", "pairs": [("b", "c"), ("a", "b")]},
        {"text": "abc", "pairs": [("a", "b"), ("b", "c")]},
        {"text": "cba", "pairs": [("c", "b"), ("b", "a")]},
        {"text": "abcdab", "pairs": [("b", "c"), ("a", "b")]},
        {"text": "abcd", "pairs": [("c", "d"), ("a", "b"), ("ab", "c")]},
        {"text": "ababab", "pairs": [("a", "b"), ("ab", "ab")]},
        {"text": "aaa", "pairs": [("a", "a")]},
        {"text": "baab", "pairs": [("a", "b")]},
    ]


def _few() -> list[dict[str, Any]]:
    return [
        {"text": "xyzwxyz", "pairs": [("z", "w"), ("x", "y"), ("xy", "z")]},
        {"text": "zyxzyx qqq", "pairs": [("z", "y"), ("y", "x"), ("q", "q")]},
        {"text": "mnomn lmn", "pairs": [("n", "o"), ("m", "n"), ("l", "mn")]},
        {"text": "ababba", "pairs": [("a", "b"), ("ab", "ab")]},
    ]


EXERCISE = Exercise(
    name="bpe.expose_encoders",
    number="1.8",
    title="Kill the mutants: find the words that expose wrong encoders",
    kind="mutants",
    answer_name="probes",
    minutes=15,
    difficulty=2,
    checks=(
        # What is wrong with every mutant of a group must show: losing the last token shows on any probe.
        EXPOSING.first("is a list of good probes that shows a wrong order", "order"),
        EXPOSING.all_of("order", "exposes every wrong order of merging", 2),
        EXPOSING.all_of("repetition", "exposes those who stop too early"),
        EXPOSING.all_of("details", "exposes mistakes in runs, mirror images and lists"),
    ),
    hints=(
        "An order can only show where two merges compete for one letter. What is the shortest such text?",
        "Give one text and two pairs, and then the same two pairs in the other order. Which mutants can now "
        "be "
        "right both times?",
        "For what is still alive: which text would this mutant get right by luck? A pair that stands there "
        "twice, letters in descending order, a merge of merged tokens, three equal letters, a pair "
        "backwards: "
        "each takes the luck from one of them.",
    ),
    alternatives=(
        Alternative("one probe for each kind of mistake", _one_for_each),
        Alternative("few probes that hold several", _few),
    ),
)
