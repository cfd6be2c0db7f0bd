"""Stop texts: found at the earliest place, and never shown in part."""

from __future__ import annotations

import itertools
import random

import pytest

from llmlib.stopping import split_at_stop


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two", ["END"], ("one two", "", False)),
        ("oneENDtwo", ["END"], ("one", "", True)),
        ("one EN", ["END"], ("one ", "EN", False)),
        ("one E", ["END"], ("one ", "E", False)),
        ("", ["END"], ("", "", False)),
        ("END", ["END"], ("", "", True)),
        ("ab", [], ("ab", "", False)),
        ("x##y\n", ["\n", "##"], ("x", "", True)),  # the first in the text, not the first in the list
        ("aab", ["aac"], ("aab", "", False)),
        ("aa", ["aac"], ("", "aa", False)),
        ("aaa", ["aac"], ("a", "aa", False)),  # held back overlaps itself
        ("say </", ["</s>", "/"], ("say <", "", True)),
        ("a.\nQ", ["\nQ:", "Q: "], ("a.", "\nQ", False)),  # the longer beginning waits
    ],
)
def test_split(text, stops, expected):
    assert split_at_stop(text, stops) == expected


def streamed(pieces, stops):
    """As a user sees it: shown at once, never taken back."""
    waiting, shown = "", ""
    for piece in pieces:
        ready, waiting, over = split_at_stop(waiting + piece, stops)
        shown += ready
        if over:
            return shown
    return shown + waiting


def test_however_the_text_comes_in_pieces_what_is_shown_is_the_same():
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choice("ab") for _ in range(9))
        stops = ["".join(rng.choice("ab") for _ in range(rng.randint(2, 4))) for _ in range(2)]
        places = sorted(rng.sample(range(1, 9), 3))
        pieces = [text[a:b] for a, b in itertools.pairwise([0, *places, 9])]
        # The end that comes first in time stops; with one stop text it is the first in the text.
        first = min((text.index(s) for s in stops[:1] if s in text), default=len(text))
        assert streamed(pieces, stops[:1]) == text[:first], (pieces, stops[:1])
        assert not any(stop in streamed(pieces, stops) for stop in stops)


def test_an_empty_stop_text_is_refused():
    with pytest.raises(ValueError, match="at least one character"):
        split_at_stop("abc", ["x", ""])
