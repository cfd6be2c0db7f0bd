"""Exercise 1.2: how often each pair of neighbours occurs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby, pairwise

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.tokens.drawn import letters, piece
from llmlib import bpe


def _one_piece(g: torch.Generator) -> Iterator[Case]:
    a, b, c = letters(g, 3)
    yield Case({"pieces": [[a, b, c, a, b]]})
    yield Case({"pieces": [[b, a, a, b, c, b, b]]})
    yield Case({"pieces": [[*piece(g, 6, [a, b, c]), a, b, a, b]]})


def _several(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = letters(g, 4)
    yield Case({"pieces": [[a, b], [c, d]]})
    yield Case({"pieces": [[a, b, c], [a, b, c], [b, a]]})
    yield Case({"pieces": [piece(g, 5, [a, b, c]) for _ in range(3)]})


def _edges(g: torch.Generator) -> Iterator[Case]:
    a, b = letters(g, 2)
    yield Case({"pieces": [[a, a, a, a], [b, b, b]]})
    yield Case({"pieces": [[a], [], [b, a]]})
    yield Case({"pieces": []})
    yield Case({"pieces": [[256, a, 300, 256, a]]})


# --- Mistakes


def _count(pairs):
    return dict(Counter(pairs))


def _across(pieces):
    return _count(pairwise([token for part in pieces for token in part]))


def _without_overlap(pieces):
    counts = Counter()
    for part in pieces:
        place = 0
        last = None
        while place < len(part) - 1:
            pair = (part[place], part[place + 1])
            if pair == last and pair[0] == pair[1]:
                last = None
            else:
                counts[pair] += 1
                last = pair
            place += 1
    return dict(counts)


def _every_second(pieces):
    return _count((part[i], part[i + 1]) for part in pieces for i in range(0, len(part) - 1, 2))


def _once_a_piece(pieces):
    return _count(pair for part in pieces for pair in set(pairwise(part)))


def _unordered(pieces):
    return _count(tuple(sorted(pair)) for part in pieces for pair in pairwise(part))


def _last_missing(pieces):
    return _count((part[i], part[i + 1]) for part in pieces for i in range(len(part) - 2))


def _wraps_round(pieces):
    return _count((part[i - 1], part[i]) for part in pieces for i in range(len(part)))


def _distinct_pieces(pieces):
    return _count(pair for part in set(map(tuple, pieces)) for pair in pairwise(part))


def _tokens(pieces):
    return _count(token for part in pieces for token in part)


def _any_distance(pieces):
    return _count(
        (part[i], part[j]) for part in pieces for i in range(len(part)) for j in range(i + 1, len(part))
    )


def _as_text(pieces):
    return _count(f"{a} {b}" for part in pieces for a, b in pairwise(part))


def _never_more_than_one(pieces):
    return {pair: 1 for part in pieces for pair in pairwise(part)}


def _never_begun(pieces):
    counts = {}
    for part in pieces:
        for pair in pairwise(part):
            counts[pair] += 1
    return counts


def _list_of_items(pieces):
    return list(_count(pair for part in pieces for pair in pairwise(part)).items())


def _most_common(pieces):
    return Counter(pair for part in pieces for pair in pairwise(part)).most_common()


def _lists_as_keys(pieces):
    counts = {}
    for part in pieces:
        for i in range(len(part) - 1):
            pair = part[i : i + 2]
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def _first_missing(pieces):
    return _count((part[i], part[i + 1]) for part in pieces for i in range(1, len(part) - 1))


def _past_the_end(pieces):
    return _count((part[i], part[i + 1]) for part in pieces for i in range(len(part)))


def _last_piece_only(pieces):
    counts = {}
    for part in pieces:
        counts = _count(pairwise(part))
    return counts


def _later_pieces_overwrite(pieces):
    counts = {}
    for part in pieces:
        counts.update(_count(pairwise(part)))
    return counts


def _mirrored(pieces):
    return _count((right, left) for part in pieces for left, right in pairwise(part))


def _starts_at_zero(pieces):
    return {pair: n - 1 for pair, n in _count(p for part in pieces for p in pairwise(part)).items()}


def _equal_neighbours_left_out(pieces):
    return _count((a, b) for part in pieces for a, b in pairwise(part) if a != b)


def _only_repeated(pieces):
    return {pair: n for pair, n in _count(p for part in pieces for p in pairwise(part)).items() if n > 1}


def _pieces_paired(pieces):
    return _count(pairwise(map(tuple, pieces)))


def _first_piece_only(pieces):
    for part in pieces:
        return _count(pairwise(part))
    return {}


MISCONCEPTIONS = (
    Misconception(
        "across-pieces",
        "pairs are counted across the border of two pieces",
        "The last token of one piece and the first of the next are no neighbours. Finish each piece first.",
        _across,
    ),
    Misconception(
        "without-overlap",
        "pairs that overlap are counted once",
        "In aaa there are two places at which two a stand side by side. Counting takes both.",
        _without_overlap,
    ),
    Misconception(
        "every-second",
        "the tokens are taken two by two, so every second pair is missed",
        "A token in the middle belongs to two pairs: once on the right, once on the left.",
        _every_second,
    ),
    Misconception(
        "once-a-piece",
        "a pair is counted once in each piece, however often it stands there",
        "Every place counts, also a second one in the same piece.",
        _once_a_piece,
    ),
    Misconception(
        "unordered",
        "a pair and its mirror image are counted together",
        "`th` and `ht` are different pairs: the order of the two tokens belongs to the key.",
        _unordered,
    ),
    Misconception(
        "last-missing",
        "the last pair of each piece is left out",
        "A piece of n tokens has n − 1 pairs. Count them for a piece of two.",
        _last_missing,
    ),
    Misconception(
        "wraps-round",
        "the last token of a piece is paired with its first",
        "A piece is no circle. In Python the index −1 means the last place.",
        _wraps_round,
    ),
    Misconception(
        "distinct-pieces",
        "equal pieces are counted once",
        "A word that stands in the text twice brings all its pairs twice.",
        _distinct_pieces,
    ),
    Misconception(
        "single-tokens",
        "single tokens are counted, not pairs",
        "The key is a tuple of two neighbours.",
        _tokens,
    ),
    Misconception(
        "any-distance",
        "tokens that do not stand side by side are counted as pairs",
        "Only neighbours can be merged into one token.",
        _any_distance,
    ),
    Misconception(
        "text-as-key",
        "the keys are texts, not tuples of two tokens",
        "A tuple can be a key as it is: `counts[left, right]`.",
        _as_text,
    ),
    Misconception(
        "never-more-than-one",
        "every count is 1",
        "When a pair comes again, its count must go on from where it was.",
        _never_more_than_one,
    ),
    Misconception(
        "never-begun",
        "a count is raised by one before it has any value",
        "The first time, the pair is not in the dict, and there is nothing that one could be added to.",
        _never_begun,
    ),
    Misconception(
        "list-of-items",
        "a list of pairs and counts comes back, not a dict",
        "Whoever asks for the count of a pair wants to look it up: return the dict itself.",
        _list_of_items,
    ),
    Misconception(
        "most-common",
        "a list comes back, sorted by count",
        "`most_common` makes a list. The `Counter` itself is a dict.",
        _most_common,
    ),
    Misconception(
        "lists-as-keys",
        "a list is used as a key",
        "A slice of a list is a list, and a key must not change: `tuple(…)` makes one of it that cannot.",
        _lists_as_keys,
    ),
    Misconception(
        "first-missing",
        "the first pair of each piece is left out",
        "Where does a list begin: at 0, or at 1?",
        _first_missing,
    ),
    Misconception(
        "past-the-end",
        "the last token is asked for its right neighbour",
        "The last place has nothing on its right. Up to which place may a pair begin?",
        _past_the_end,
    ),
    Misconception(
        "last-piece-only",
        "only the last piece is counted",
        "The counting begins anew with every piece: make the dict once, before the loop.",
        _last_piece_only,
    ),
    Misconception(
        "first-piece-only",
        "only the first piece is counted",
        "A `return` inside the loop ends it. How far is it indented?",
        _first_piece_only,
    ),
    Misconception(
        "later-pieces-overwrite",
        "a later piece overwrites the counts of those before it",
        "`update` of a dict replaces. Counts must add up over the pieces.",
        _later_pieces_overwrite,
    ),
    Misconception(
        "mirrored",
        "the right token stands first in the key",
        "The key is (left, right), as they stand in the text.",
        _mirrored,
    ),
    Misconception(
        "starts-at-zero",
        "every count is one too small",
        "The first time that a pair is seen, it has been seen once.",
        _starts_at_zero,
    ),
    Misconception(
        "equal-neighbours-left-out",
        "two equal tokens side by side are not counted",
        "`ll` is a pair like any other.",
        _equal_neighbours_left_out,
    ),
    Misconception(
        "only-repeated",
        "pairs that occur once are left out",
        "They may be rare, but they are there.",
        _only_repeated,
    ),
    Misconception(
        "pieces-paired",
        "whole pieces are paired with their neighbours, not the tokens within them",
        "`pieces` is a list of lists: one more loop is needed.",
        _pieces_paired,
    ),
)


# --- Right answers in another form


def _counter(pieces):
    return Counter((part[i], part[i + 1]) for part in pieces for i in range(len(part) - 1))


def _indices(pieces):
    counts = {}
    for part in pieces:
        for i in range(1, len(part)):
            pair = (part[i - 1], part[i])
            if pair not in counts:
                counts[pair] = 0
            counts[pair] += 1
    return counts


def _default_dict(pieces):
    counts = defaultdict(int)
    for part in pieces:
        for pair in pairwise(part):
            counts[pair] += 1
    return counts


def _list_count(pieces):
    pairs = [pair for part in pieces for pair in pairwise(part)]
    return {pair: pairs.count(pair) for pair in set(pairs)}


def _sorted_and_grouped(pieces):
    pairs = sorted(pair for part in pieces for pair in pairwise(part))
    return {pair: len(list(equal)) for pair, equal in groupby(pairs)}


ALTERNATIVES = (
    Alternative("sorted and grouped", _sorted_and_grouped),
    Alternative("a Counter over all pairs", _counter),
    Alternative("places instead of pairs", _indices),
    Alternative("a defaultdict", _default_dict),
    Alternative("a list of all pairs, counted", _list_count),
)

EXERCISE = Exercise(
    name="bpe.pair_counts",
    number="1.2",
    title="Count the pairs",
    minutes=8,
    difficulty=1,
    reference=bpe.pair_counts,
    checks=(
        Check("counts every pair of neighbours in one piece", 2, _one_piece),
        Check("adds up over pieces and never crosses a border", 1, _several),
        Check("handles runs of one token and pieces that are short or empty", 1, _edges),
    ),
    hints=(
        "Write the pairs of `[1, 2, 1, 2]` down. There are three. Which tuple occurs twice?",
        "Two loops: the outer over the pieces, the inner over the places of one piece that have a right "
        "neighbour.",
        "`pairwise` gives the neighbours of one list. For a key that may not be there yet, `dict.get` takes "
        "a "
        "second argument: what to return then.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
