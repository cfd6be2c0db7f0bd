"""Exercise 2.4: every word with its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import skipgram


def _case(g: torch.Generator, length: int, window: int) -> Case:
    """All tokens different, so that every pair shows where it comes from."""
    return Case({"tokens": (10 + torch.randperm(30, generator=g)[:length]).tolist(), "window": window})


def _window_of_one(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 4, 1)
    yield _case(g, 6, 1)


def _wider_windows(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 7, 2)
    yield _case(g, 9, 3)


def _short_texts(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 5)
    yield _case(g, 2, 2)
    yield _case(g, 1, 2)
    yield Case({"tokens": [], "window": 2})


def _repeated_words(g: torch.Generator) -> Iterator[Case]:
    a, b, c = torch.randperm(30, generator=g)[:3].tolist()
    yield Case({"tokens": [a, a, b, a, c, a], "window": 2})
    yield Case({"tokens": [b, a, b, a], "window": 3})
    yield Case({"tokens": [c, c], "window": 1})


# --- Mistakes


def _pairs(tokens, window, keep, begin=0):
    """All pairs of places (centre, other) that `keep` accepts, as tokens."""
    places = range(begin, len(tokens))
    return [(tokens[i], tokens[j]) for i in places for j in places if keep(i, j)]


def _with_itself(tokens, window):
    return _pairs(tokens, window, lambda i, j: abs(i - j) <= window)


def _right_only(tokens, window):
    return _pairs(tokens, window, lambda i, j: 0 < j - i <= window)


def _left_only(tokens, window):
    return _pairs(tokens, window, lambda i, j: 0 < i - j <= window)


def _right_end_missing(tokens, window):
    return _pairs(tokens, window, lambda i, j: i != j and -window <= j - i < window)


def _window_too_wide(tokens, window):
    return _pairs(tokens, window, lambda i, j: 0 < abs(i - j) <= window + 1)


def _window_in_all(tokens, window):
    return _pairs(tokens, window, lambda i, j: 0 < abs(i - j) <= window // 2)


def _edge_only(tokens, window):
    return _pairs(tokens, window, lambda i, j: abs(i - j) == window)


def _full_windows_only(tokens, window):
    return _pairs(
        tokens, window, lambda i, j: 0 < abs(i - j) <= window and window <= i < len(tokens) - window
    )


def _wraps_around(tokens, window):
    steps = [*range(-window, 0), *range(1, window + 1)]
    return [(t, tokens[(i + s) % len(tokens)]) for i, t in enumerate(tokens) for s in steps]


def _negative_places(tokens, window):
    return [
        (t, tokens[j])
        for i, t in enumerate(tokens)
        for j in range(i - window, min(len(tokens), i + window + 1))
        if j != i and j >= -len(tokens)
    ]


def _negative_slice(tokens, window):
    pairs = []
    for i, centre in enumerate(tokens):
        around = tokens[i - window : i] + tokens[i + 1 : i + window + 1]
        pairs += [(centre, other) for other in around]
    return pairs


def _neighbour_first(tokens, window):
    return [(b, a) for a, b in _pairs(tokens, window, lambda i, j: 0 < abs(i - j) <= window)]


def _same_word_skipped(tokens, window):
    return _pairs(tokens, window, lambda i, j: abs(i - j) <= window and tokens[i] != tokens[j])


def _no_pair_twice(tokens, window):
    return list(dict.fromkeys(_pairs(tokens, window, lambda i, j: 0 < abs(i - j) <= window)))


def _places_not_tokens(tokens, window):
    places = list(range(len(tokens)))
    return _pairs(places, window, lambda i, j: 0 < abs(i - j) <= window)


def _index_of(tokens, window):
    """Looks for the place of a word by its value, and finds the first."""
    pairs = []
    for centre in tokens:
        i = tokens.index(centre)
        around = tokens[max(0, i - window) : i] + tokens[i + 1 : i + window + 1]
        pairs += [(centre, other) for other in around]
    return pairs


def _past_the_ends(tokens, window):
    pairs = []
    for i in range(len(tokens)):
        for j in range(i - window, i + window + 1):
            if j != i:
                pairs.append((tokens[i], tokens[j]))
    return pairs


def _nearest_first(tokens, window):
    pairs = []
    for i, centre in enumerate(tokens):
        for distance in range(1, window + 1):
            places = (j for j in (i - distance, i + distance) if 0 <= j < len(tokens))
            pairs += [(centre, tokens[j]) for j in places]
    return pairs


def _both_orders_at_once(tokens, window):
    pairs = []
    for i in range(len(tokens)):
        for j in range(i + 1, min(len(tokens), i + window + 1)):
            pairs += [(tokens[i], tokens[j]), (tokens[j], tokens[i])]
    return pairs


def _stops_at_the_edge(tokens, window):
    pairs = []
    for i in range(len(tokens)):
        for j in range(i - window, i + window + 1):
            if not 0 <= j < len(tokens):
                break
            if j != i:
                pairs.append((tokens[i], tokens[j]))
    return pairs


def _last_word_missing(tokens, window):
    last = len(tokens) - 1
    return _pairs(tokens, window, lambda i, j: 0 < abs(i - j) <= window and j < last)


def _first_centre_only(tokens, window):
    return [(tokens[0], other) for other in tokens[1 : window + 1]] if tokens else None


def _pushed_inwards(tokens, window):
    pairs = []
    for i in range(len(tokens)):
        places = (min(max(j, 0), len(tokens) - 1) for j in range(i - window, i + window + 1))
        pairs += [(tokens[i], tokens[j]) for j in places if j != i]
    return pairs


def _grouped(tokens, window):
    return [
        (t, tokens[max(0, i - window) : i] + tokens[i + 1 : i + window + 1]) for i, t in enumerate(tokens)
    ]


def _one_long_list(tokens, window):
    return [t for pair in _pairs(tokens, window, lambda i, j: 0 < abs(i - j) <= window) for t in pair]


MISCONCEPTIONS = (
    Misconception(
        "with-itself",
        "a word is its own neighbour",
        "A word at the distance 0 is no neighbour. Leave out the place, not the word.",
        _with_itself,
    ),
    Misconception(
        "right-only", "only neighbours to the right are found", "A window has two sides.", _right_only
    ),
    Misconception(
        "left-only", "only neighbours to the left are found", "A window has two sides.", _left_only
    ),
    Misconception(
        "right-end-missing",
        "the last neighbour to the right is missing",
        "`range` and slices stop before their end.",
        _right_end_missing,
    ),
    Misconception(
        "window-too-wide",
        "the window reaches one place too far",
        "With `window=1` the first word has one neighbour, and inner words have two.",
        _window_too_wide,
    ),
    Misconception(
        "window-in-all",
        "the window counts the neighbours of both sides together",
        "`window` places to the left and `window` places to the right.",
        _window_in_all,
    ),
    Misconception(
        "edge-only",
        "only the neighbours at the edge of the window are found",
        "All distances from 1 up to `window` count.",
        _edge_only,
    ),
    Misconception(
        "full-windows-only",
        "words near the ends of the text are left out as centres",
        "At the ends the window is cut off, but the word is still a centre.",
        _full_windows_only,
    ),
    Misconception(
        "wraps-around",
        "the text is closed to a ring",
        "Behind the last word there is nothing, and before the first as well.",
        _wraps_around,
    ),
    Misconception(
        "negative-places",
        "places before the beginning of the text are read from its end",
        "In Python `tokens[-1]` is the last element. Where should the window begin for the first word?",
        _negative_places,
    ),
    Misconception(
        "negative-slice",
        "the first words lose their left neighbours",
        "A slice that begins at a negative place counts from the end, and is mostly empty.",
        _negative_slice,
    ),
    Misconception(
        "neighbour-first",
        "the neighbour comes first in each pair, and the centre second",
        "A pair is (centre, neighbour), and the pairs of one centre stand together.",
        _neighbour_first,
    ),
    Misconception(
        "same-word-skipped",
        "a neighbour that is the same word again is left out",
        "Compare places, not words: a word can stand beside itself.",
        _same_word_skipped,
    ),
    Misconception(
        "no-pair-twice",
        "a pair that occurs twice is kept once",
        "How often a pair occurs is what is to be learned.",
        _no_pair_twice,
    ),
    Misconception(
        "places-not-tokens",
        "the pairs hold places in the text, not tokens",
        "One look-up is missing: which token stands at that place?",
        _places_not_tokens,
    ),
    Misconception(
        "index-of",
        "the place of a word is searched by its value, and the first one is found",
        "`tokens.index(…)` does not know which occurrence you mean. `enumerate` gives place and token.",
        _index_of,
    ),
    Misconception(
        "past-the-ends",
        "neighbours are looked for beyond the ends of the text",
        "The first word has no left neighbour, and place −1 is the last one. Where must the window stop?",
        _past_the_ends,
    ),
    Misconception(
        "nearest-first",
        "the neighbours come in the order of their distance, not from left to right",
        "All pairs are there. Let one loop run over the places of the window, from the left to the right.",
        _nearest_first,
    ),
    Misconception(
        "both-orders-at-once",
        "each two neighbours are written in both orders at once",
        "All pairs are there. Those of one centre belong together, and the centres follow the text.",
        _both_orders_at_once,
    ),
    Misconception(
        "stops-at-the-edge",
        "the loop ends at the first place outside the text",
        "`break` leaves the loop, `continue` goes on with the next place. A window may begin outside.",
        _stops_at_the_edge,
    ),
    Misconception(
        "last-word-missing",
        "the last word of the text is nobody's neighbour",
        "`range` stops before its end: `len(tokens)` is that end, and the last place is one less.",
        _last_word_missing,
    ),
    Misconception(
        "first-centre-only",
        "only the first word is a centre",
        "Is the `return` indented into the loop? Then the function ends with the first round.",
        _first_centre_only,
    ),
    Misconception(
        "pushed-inwards",
        "places beyond the ends are moved to the end, which then counts more than once",
        "There is no neighbour beyond the end: leave the place out, do not take another one for it.",
        _pushed_inwards,
    ),
    Misconception(
        "grouped",
        "each word comes once, with a list of its neighbours",
        "A pair for each neighbour: (centre, neighbour), two integers.",
        _grouped,
    ),
    Misconception(
        "one-long-list",
        "the pairs have run together into one list of integers",
        "`+=` with a pair adds its two numbers one by one. `append` adds the pair.",
        _one_long_list,
    ),
)


# --- Right answers in another form


def _slices(tokens, window):
    pairs = []
    for i, centre in enumerate(tokens):
        around = tokens[max(0, i - window) : i] + tokens[i + 1 : i + 1 + window]
        pairs.extend((centre, other) for other in around)
    return pairs


def _distances(tokens, window):
    pairs = []
    for i in range(len(tokens)):
        for distance in (*range(-window, 0), *range(1, window + 1)):
            if 0 <= i + distance < len(tokens):
                pairs.append((tokens[i], tokens[i + distance]))
    return pairs


def _comprehension(tokens, window):
    n = len(tokens)
    return [(tokens[i], tokens[j]) for i in range(n) for j in range(n) if 0 < abs(i - j) <= window]


def _generator(tokens, window):
    def pairs():
        for i, centre in enumerate(tokens):
            for j, other in enumerate(tokens):
                if i != j and abs(i - j) <= window:
                    yield centre, other

    return list(pairs())


def _padded(tokens, window):
    padded = [None] * window + list(tokens) + [None] * window
    pairs = []
    for i, centre in enumerate(tokens):
        around = padded[i : i + window] + padded[i + window + 1 : i + 2 * window + 1]
        pairs += [(centre, other) for other in around if other is not None]
    return pairs


def _through_numpy(tokens, window):
    import numpy as np

    text, places = np.array(tokens, dtype=int), np.arange(len(tokens))
    apart = np.abs(places[:, None] - places)
    centres, others = np.nonzero((apart > 0) & (apart <= window))
    return list(zip(text[centres], text[others], strict=True))


def _lists_for_pairs(tokens, window):
    found = _comprehension(tokens, window)
    return [[centre, other] for centre, other in found]


ALTERNATIVES = (
    Alternative("two slices", _slices),
    Alternative("distances instead of places", _distances),
    Alternative("every place with every place", _comprehension),
    Alternative("a generator", _generator),
    Alternative("a padded text", _padded),
    Alternative("NumPy's nonzero, with its numbers", _through_numpy),
    Alternative("lists in the place of pairs", _lists_for_pairs),
)

EXERCISE = Exercise(
    name="skipgram.skipgram_pairs",
    number="2.4",
    title="Every word with its neighbours",
    minutes=10,
    difficulty=1,
    reference=skipgram.skipgram_pairs,
    checks=(
        Check("finds the neighbours next door", 2, _window_of_one),
        Check("finds all neighbours in a wider window", 1, _wider_windows),
        Check("stays inside a short text", 1, _short_texts),
        Check("counts words that stand there more than once", 1, _repeated_words),
    ),
    hints=(
        "`enumerate(tokens)` gives each place with its token. Between which two places do its neighbours "
        "stand?",
        "The window of the first word would begin before the text. Python reads a negative place from the "
        "end, so begin at place 0 at the earliest, and stop at the end of the text at the latest.",
        "Two loops: over centres, and over the places of the window. Leave out the place of the centre.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
