"""Exercise 1.4: learn the merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.tokens.drawn import letters, number
from llmlib import bpe


def _clear(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = letters(g, 4)
    # Counts of 5, 4 and 2: ab, then ab c, then a mirror image; no two are ever equally frequent.
    yield Case({"pieces": [[a, b, c]] * 4 + [[a, b]] + [[d, c]] * 2, "n_merges": 3})
    times = number(g, 3, 5)
    yield Case({"pieces": [[a, b, a, b, c]] * times + [[d, a, b]] * (times - 2), "n_merges": 1})
    # A pair with the new token is more frequent than one of bytes, and no piece comes twice.
    yield Case({"pieces": [[a, b, c], [d, a, b, c], [a, b, d], [c, d]], "n_merges": 2})
    # Two pieces side by side would make the pair (c, a) the most frequent.
    yield Case({"pieces": [[a, b, c]] * 3 + [[a, d, c]] * 2 + [[a, b]], "n_merges": 2})


def _ties(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = sorted(letters(g, 4))
    yield Case({"pieces": [[c, d], [c, d], [a, b], [a, b]], "n_merges": 2})
    yield Case({"pieces": [[c, d], [b, a], [a, d], [a, c]], "n_merges": 3})
    yield Case({"pieces": [[d, a, c, b], [b, d, c, a]], "n_merges": 4})


def _ends(g: torch.Generator) -> Iterator[Case]:
    a, b, c = letters(g, 3)
    yield Case({"pieces": [[a, b, c], [a, b]], "n_merges": 9})
    yield Case({"pieces": [[a, a, a, a]], "n_merges": 5})
    yield Case({"pieces": [[a, a, a]], "n_merges": 2})  # from the left: what is left over stands on the right
    yield Case({"pieces": [[a], []], "n_merges": 2})
    yield Case({"pieces": [[a, b]], "n_merges": 0})


# --- Mistakes


def _merged(piece, pair, token):
    result = []
    for item in piece:
        result.append(item)
    place = 0
    while place + 1 < len(result):
        if (result[place], result[place + 1]) == pair:
            result[place : place + 2] = [token]
        place += 1
    return result


def _counted(pieces):
    return Counter(pair for piece in pieces for pair in pairwise(piece))


def _smallest(counts):
    return min(counts, key=lambda pair: (-counts[pair], *pair))


def _learned(pieces, n_merges, choose=_smallest, first=256, count=_counted, least=1, step=1):
    merges = {}
    for round_ in range(n_merges):
        counts = count(pieces)
        if not counts or max(counts.values()) < least:
            break
        pair = choose(counts)
        token = first + step * round_
        pieces = [_merged(piece, pair, token) for piece in pieces]
        merges[pair] = token
    return merges


def _first_seen(pieces, n_merges):
    return _learned(pieces, n_merges, choose=lambda counts: max(counts, key=counts.__getitem__))


def _largest_pair(pieces, n_merges):
    return _learned(pieces, n_merges, choose=lambda counts: max(counts, key=lambda p: (counts[p], p)))


def _rarest(pieces, n_merges):
    return _learned(pieces, n_merges, choose=lambda counts: min(counts, key=lambda p: (counts[p], p)))


def _counted_once(pieces, n_merges):
    counts = _counted(pieces)
    best = sorted(counts, key=lambda pair: (-counts[pair], pair))[:n_merges]
    return {pair: 256 + place for place, pair in enumerate(best)}


def _never_merged(pieces, n_merges):
    merges = {}
    for token in range(256, 256 + n_merges):
        counts = _counted(pieces)
        if counts:
            merges[_smallest(counts)] = token
    return merges


def _across(pieces, n_merges):
    joined = [[token for piece in pieces for token in piece]]
    return _learned(joined, n_merges)


def _from_257(pieces, n_merges):
    return _learned(pieces, n_merges, first=257)


def _from_0(pieces, n_merges):
    return _learned(pieces, n_merges, first=0)


def _twice_at_least(pieces, n_merges):
    return _learned(pieces, n_merges, least=2)


def _vocabulary_size(pieces, n_merges):
    return _learned(pieces, max(0, n_merges - 256))


def _one_too_many(pieces, n_merges):
    return _learned(pieces, n_merges + 1)


def _a_list(pieces, n_merges):
    return list(_learned(pieces, n_merges))


def _other_way_round(pieces, n_merges):
    return {token: pair for pair, token in _learned(pieces, n_merges).items()}


def _distinct(pieces, n_merges):
    return _learned([list(piece) for piece in dict.fromkeys(map(tuple, pieces))], n_merges)


def _nothing_to_choose(pieces, n_merges):
    merges = {}
    for token in range(256, 256 + n_merges):
        pair = _smallest(_counted(pieces))
        pieces = [_merged(piece, pair, token) for piece in pieces]
        merges[pair] = token
    return merges


def _in_place(pieces, n_merges):
    merges = _learned(pieces, n_merges)
    for pair, token in merges.items():
        pieces[:] = [_merged(piece, pair, token) for piece in pieces]
    return merges


def _right_token_first(pieces, n_merges):
    return _learned(
        pieces, n_merges, choose=lambda counts: min(counts, key=lambda p: (-counts[p], p[1], p[0]))
    )


def _last_seen(pieces, n_merges):
    def choose(counts):
        most = max(counts.values())
        return [pair for pair in counts if counts[pair] == most][-1]

    return _learned(pieces, n_merges, choose=choose)


def _smallest_sum(pieces, n_merges):
    return _learned(pieces, n_merges, choose=lambda counts: min(counts, key=lambda p: (-counts[p], sum(p))))


def _smallest_tokens(pieces, n_merges):
    return _learned(pieces, n_merges, choose=min)


def _first_piece_only(pieces, n_merges):
    return _learned(pieces[:1], n_merges)


def _one_too_few(pieces, n_merges):
    return _learned(pieces, n_merges - 1)


def _from_255(pieces, n_merges):
    return _learned(pieces, n_merges, first=255)


def _always_256(pieces, n_merges):
    return _learned(pieces, n_merges, step=0)


def _after_the_largest(pieces, n_merges):
    return _learned(
        pieces, n_merges, first=max((token for piece in pieces for token in piece), default=0) + 1
    )


def _counts_as_tokens(pieces, n_merges):
    merges = {}
    for token in _learned(pieces, n_merges).items():
        counts = _counted(pieces)
        merges[token[0]] = counts[token[0]]
        pieces = [_merged(piece, *token) for piece in pieces]
    return merges


def _first_place_only(pieces, n_merges):
    merges = {}
    for token in range(256, 256 + n_merges):
        counts = _counted(pieces)
        if not counts:
            break
        pair = _smallest(counts)
        pieces = [_once(piece, pair, token) for piece in pieces]
        merges[pair] = token
    return merges


def _once(piece, pair, token):
    for place, both in enumerate(pairwise(piece)):
        if both == pair:
            return [*piece[:place], token, *piece[place + 2 :]]
    return piece


def _runs_from_the_right(pieces, n_merges):
    mirrored = [piece[::-1] for piece in pieces]

    def choose(counts):
        return min(counts, key=lambda pair: (-counts[pair], pair[::-1]))

    return {pair[::-1]: token for pair, token in _learned(mirrored, n_merges, choose=choose).items()}


def _with_the_pieces(pieces, n_merges):
    return _learned(pieces, n_merges), pieces


MISCONCEPTIONS = (
    Misconception(
        "first-seen",
        "among equally frequent pairs the one that was seen first is taken",
        "`max` keeps the first of equals. Our rule for ties looks at the tokens, so that the order of the "
        "text "
        "does not matter.",
        _first_seen,
    ),
    Misconception(
        "largest-pair",
        "among equally frequent pairs the one with the largest tokens is taken",
        "For the count large is first, for the tokens small is first. How can one comparison do both?",
        _largest_pair,
    ),
    Misconception(
        "rarest",
        "the rarest pair is merged first",
        "A merge saves one token at each place where the pair stands. Which pair saves most?",
        _rarest,
    ),
    Misconception(
        "counted-once",
        "the pairs are counted once, at the start, and the most frequent ones taken from that list",
        "After a merge the neighbours are others, and the new token has pairs of its own. When must you "
        "count?",
        _counted_once,
    ),
    Misconception(
        "never-merged",
        "the pieces stay as they were, so every round finds the same pair",
        "What the next round counts must be the pieces after this round's merge.",
        _never_merged,
    ),
    Misconception(
        "across-pieces",
        "the pieces are joined first, so that pairs reach across their borders",
        "Count with the function from exercise 1.2: it knows where a piece ends.",
        _across,
    ),
    Misconception(
        "from-257",
        "the first new token is 257",
        "The bytes are 0 to 255. Which number is free next?",
        _from_257,
    ),
    Misconception(
        "from-0",
        "the new tokens are numbered from 0, where the bytes already are",
        "A number can stand for one thing only. The bytes have the first 256.",
        _from_0,
    ),
    Misconception(
        "twice-at-least",
        "training stops when no pair occurs twice",
        "Some libraries do that. Here training goes on while there is any pair.",
        _twice_at_least,
    ),
    Misconception(
        "vocabulary-size",
        "`n_merges` is taken for the size of the vocabulary",
        "The vocabulary has 256 tokens more than there are merges. Which of the two is given?",
        _vocabulary_size,
    ),
    Misconception(
        "one-too-many",
        "there is one merge too many",
        "Count the rounds of your loop for `n_merges` = 0.",
        _one_too_many,
    ),
    Misconception(
        "a-list",
        "the result is a list of pairs, without their tokens",
        "A dict keeps the order in which it was filled, and the new token belongs to each pair.",
        _a_list,
    ),
    Misconception(
        "other-way-round",
        "the dict leads from the token to the pair",
        "Encoding will ask: is this pair in there, and what does it become? So what is the key?",
        _other_way_round,
    ),
    Misconception(
        "distinct-pieces",
        "equal pieces are counted once",
        "A frequent word must weigh more than a rare one. If you keep equal pieces once, keep their number.",
        _distinct,
    ),
    Misconception(
        "nothing-to-choose",
        "a pair is chosen where none is left",
        "`min` and `max` of nothing are an error. What should happen when nothing can be merged any more?",
        _nothing_to_choose,
    ),
    Misconception(
        "in-place",
        "the list `pieces` that was given is changed",
        "Give the merged pieces a list of their own: the caller may want to train again.",
        _in_place,
    ),
    Misconception(
        "right-token-first",
        "among equally frequent pairs the right tokens are compared first",
        "Tuples are compared from the left, and so are pairs in our rule.",
        _right_token_first,
    ),
    Misconception(
        "last-seen",
        "among equally frequent pairs the one that was seen last is taken",
        "Our rule for ties looks at the tokens, so that the order of the text does not matter.",
        _last_seen,
    ),
    Misconception(
        "smallest-sum",
        "among equally frequent pairs the one with the smaller sum is taken",
        "Compare the left tokens, and only where they are equal the right ones.",
        _smallest_sum,
    ),
    Misconception(
        "smallest-tokens",
        "the pair with the smallest tokens is taken, however rare it is",
        "`min` of a dict looks at its keys. Give it a `key` that looks at the counts first.",
        _smallest_tokens,
    ),
    Misconception(
        "first-piece-only",
        "only the first piece is looked at",
        "Counting and merging both go over all the pieces.",
        _first_piece_only,
    ),
    Misconception(
        "one-too-few",
        "there is one merge too few",
        "Count the rounds of your loop for `n_merges` = 1.",
        _one_too_few,
    ),
    Misconception(
        "from-255",
        "the first new token is 255, which is a byte already",
        "The bytes are 0 to 255. Which number is free next?",
        _from_255,
    ),
    Misconception(
        "always-256",
        "every merge makes the token 256",
        "Each round needs a number of its own: one more than the round before.",
        _always_256,
    ),
    Misconception(
        "after-the-largest",
        "the first new token is the next after the largest in the text",
        "Another text may hold the other bytes: all 256 of them have their numbers already.",
        _after_the_largest,
    ),
    Misconception(
        "counts-as-tokens",
        "the dict leads from the pair to its count, not to its new token",
        "The count only helps to choose. What takes the pair's place?",
        _counts_as_tokens,
    ),
    Misconception(
        "first-place-only",
        "in each piece the pair is merged at one place only",
        "A round merges the pair everywhere: the function from exercise 1.3 does.",
        _first_place_only,
    ),
    Misconception(
        "runs-from-the-right",
        "runs are merged from the right",
        "In aaa the pair that begins first is taken, as in exercise 1.3.",
        _runs_from_the_right,
    ),
    Misconception(
        "with-the-pieces",
        "the pieces come back as well",
        "The merges alone are asked for: one dict.",
        _with_the_pieces,
    ),
)


# --- Right answers in another form


def _own_loop(pieces, n_merges):
    return _learned(pieces, n_merges)


def _sorted_twice(pieces, n_merges):
    words = [tuple(piece) for piece in pieces]
    merges = {}
    while len(merges) < n_merges:
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            return merges
        pair = sorted(sorted(counts), key=counts.__getitem__, reverse=True)[0]
        merges[pair] = 256 + len(merges)
        words = [tuple(_merged(word, pair, merges[pair])) for word in words]
    return merges


def _with_frequencies(pieces, n_merges):
    words = Counter(map(tuple, pieces))
    merges = {}
    for token in range(256, 256 + n_merges):
        counts = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                counts[pair] += times
        if not counts:
            break
        most = max(counts.values())
        pair = min(pair for pair in counts if counts[pair] == most)
        after = Counter()
        for word, times in words.items():
            after[tuple(_merged(word, pair, token))] += times
        words = after
        merges[pair] = token
    return merges


def _negative_tokens(pieces, n_merges):
    def best(counts):
        return max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))

    return _learned(pieces, n_merges, choose=best)


ALTERNATIVES = (
    Alternative("a loop with a Counter", _own_loop),
    Alternative("sorted twice: by tokens, then by count", _sorted_twice),
    Alternative("equal pieces once, with their number", _with_frequencies),
    Alternative("the maximum with negative tokens", _negative_tokens),
)

EXERCISE = Exercise(
    name="bpe.train_bpe",
    number="1.4",
    title="Learn the merges",
    minutes=15,
    difficulty=2,
    reference=bpe.train_bpe,
    checks=(
        Check("merges the most frequent pair, round after round", 3, _clear),
        Check("breaks ties by the smaller tokens", 1, _ties),
        Check("ends when it should", 1, _ends),
    ),
    hints=(
        "One round is: count, choose, merge everywhere, note down. You have written two of these four "
        "already.",
        "The pieces of the next round are the merged pieces of this one. And the dict must hold the pair "
        "under "
        "the token that the merge wrote.",
        "For the choice, give `min` or `max` a `key` that returns a tuple: tuples are compared from the "
        "left. "
        "A minus sign turns large into small. Before choosing, ask whether there is anything to choose from.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={
        "break  ⟶  break becomes continue": "no pair is left, and none comes back: nothing more happens",
    },
)
