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


def cut(text, stops):
    """Independent oracle: every stop text at every place, and every beginning of one at the end."""
    found = [i for i in range(len(text)) for stop in stops if text[i : i + len(stop)] == stop]
    if found:
        return text[: min(found)], "", True
    beginnings = {stop[:n] for stop in stops for n in range(len(stop))}
    waiting = max((b for b in beginnings if text.endswith(b)), key=len, default="")
    return text[: len(text) - len(waiting)], waiting, False


def test_all_short_texts_with_all_pairs_of_short_stop_texts():
    words = ["".join(letters) for n in range(1, 4) for letters in itertools.product("ab", repeat=n)]
    texts = ["", *("".join(letters) for n in range(1, 7) for letters in itertools.product("ab", repeat=n))]
    for stops in itertools.product(words, repeat=2):
        for text in texts:
            assert split_at_stop(text, stops) == cut(text, stops), (text, stops)


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
        # With one stop text it does not matter how the pieces fall; with two the piece decides that ends one.
        assert streamed(pieces, stops[:1]) == cut(text, stops[:1])[0] + cut(text, stops[:1])[1]
        so_far = list(itertools.accumulate(pieces))
        told = next((part for part in so_far if any(stop in part for stop in stops)), text)
        assert streamed(pieces, stops) == cut(told, stops)[0] + cut(told, stops)[1], (pieces, stops)


def test_an_empty_stop_text_is_refused():
    with pytest.raises(ValueError, match="at least one character"):
        split_at_stop("abc", ["x", ""])
