"""Exercise 1.8: pieces and merges that tell a right encoder from a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from autograder.exercise import Alternative, Check, Exercise
from autograder.exercises.tokens.wrong_encoders import MISCONCEPTIONS
from llmlib.bpe import encode_piece

MOST_PROBES, LONGEST_PIECE, MOST_MERGES = 12, 30, 20
GROUPS = {
    "order": ("left-to-right", "right-to-left", "latest", "most-frequent", "smallest-pair", "longest-match"),
    "repetition": ("one-merge", "one-pass", "first-place-only", "bytes-only"),
    "details": ("runs-from-the-right", "either-order", "in-place", "keeps-the-right", "last-lost"),
}
MUTANTS = {m.id: m for m in MISCONCEPTIONS}
_Probe = tuple[list[int], dict[tuple[int, int], int]]


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


def _read(probes: Any) -> list[_Probe]:
    if not isinstance(probes, list | tuple):
        raise Unusable(f"`probes` should be a list of dicts, but it is of type {type(probes).__name__}")
    if not probes:
        raise Unusable("the list is empty: write at least one probe")
    if len(probes) > MOST_PROBES:
        raise Unusable(f"at most {MOST_PROBES} probes, please: there are {len(probes)}")
    return [_read_one(f"`probes[{place}]`", probe) for place, probe in enumerate(probes)]


def _read_one(name: str, probe: Any) -> _Probe:
    if not isinstance(probe, dict) or set(probe) != {"text", "pairs"}:
        raise Unusable(f'{name} should be a dict with "text" and "pairs", and nothing else')
    text, pairs = probe["text"], probe["pairs"]
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


def _exposes(probe: _Probe, mutant: Callable[..., Any]) -> bool:
    tokens, merges = probe
    given = list(tokens)
    try:
        result = mutant(given, dict(merges))
    except Exception:
        return True
    return given != tokens or result != encode_piece(tokens, merges)


def _judge(judgement: Callable[[list[_Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        try:
            usable = _read(probes)
        except Unusable as problem:
            return str(problem)
        except Exception as problem:  # an object that only pretends to be a list or a dict
            return f"the probes cannot be read ({type(problem).__name__}): use plain lists, dicts and texts"
        return judgement(usable)

    return judge


def _useful(probes: list[_Probe]) -> str | None:
    # What is wrong with every mutant of a group must show: losing the last token shows on any probe.
    if not any(_exposes(probe, MUTANTS[id].answer) for probe in probes for id in GROUPS["order"]):
        return "no wrong order is exposed yet: on these probes all orders of merging give the same tokens"
    return None


def _exposes_all(group: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = [MUTANTS[id] for id in GROUPS[group]]

    def judgement(probes: list[_Probe]) -> str | None:
        alive = [m for m in mutants if not any(_exposes(probe, m.answer) for probe in probes)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


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
        Check("is a list of good probes that shows a wrong order", 1, judge=_judge(_useful)),
        Check("exposes every wrong order of merging", 2, judge=_exposes_all("order")),
        Check("exposes those who stop too early", 1, judge=_exposes_all("repetition")),
        Check("exposes mistakes in runs, mirror images and lists", 1, judge=_exposes_all("details")),
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
