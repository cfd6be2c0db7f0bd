"""Wrong ways to encode one piece: misconceptions of exercise 1.5, mutants of exercise 1.8."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from autograder.exercise import Misconception


def merged(tokens, pair, token):
    result, place = [], 0
    while place < len(tokens):
        if tuple(tokens[place : place + 2]) == pair:
            result.append(token)
            place += 2
        else:
            result.append(tokens[place])
            place += 1
    return result


def by(tokens, choose):
    """Encode, with `choose` deciding among the possible pairs."""
    tokens = list(tokens)
    while possible := [pair for pair in pairwise(tokens) if pair in choose[1]]:
        pair = choose[0](possible, choose[1], tokens)
        tokens = merged(tokens, pair, choose[1][pair])
    return tokens


def _left_to_right(tokens, merges):
    return by(tokens, (lambda possible, merges, tokens: possible[0], merges))


def _right_to_left(tokens, merges):
    return by(tokens, (lambda possible, merges, tokens: possible[-1], merges))


def _latest(tokens, merges):
    return by(tokens, (lambda possible, merges, tokens: max(possible, key=merges.__getitem__), merges))


def _most_frequent(tokens, merges):
    def choose(possible, merges, tokens):
        counts = Counter(possible)
        return min(counts, key=lambda pair: (-counts[pair], merges[pair]))

    return by(tokens, (choose, merges))


def _smallest_pair(tokens, merges):
    return by(tokens, (lambda possible, merges, tokens: min(possible), merges))


def _longest(tokens, merges):
    bytes_of = {token: (token,) for token in [*tokens, *(t for pair in merges for t in pair)]}
    for pair, token in merges.items():
        bytes_of[token] = bytes_of[pair[0]] + bytes_of[pair[1]]
    by_bytes = {word: token for token, word in bytes_of.items()}
    result, place = [], 0
    while place < len(tokens):
        length = max(
            n for n in range(1, len(tokens) - place + 1) if tuple(tokens[place : place + n]) in by_bytes
        )
        result.append(by_bytes[tuple(tokens[place : place + length])])
        place += length
    return result


def _one_merge(tokens, merges):
    possible = [pair for pair in pairwise(tokens) if pair in merges]
    if not possible:
        return list(tokens)
    pair = min(possible, key=merges.__getitem__)
    return merged(tokens, pair, merges[pair])


def _one_pass(tokens, merges):
    result, place = [], 0
    while place < len(tokens):
        pair = tuple(tokens[place : place + 2])
        result.append(merges.get(pair, tokens[place]))
        place += 2 if pair in merges else 1
    return result


def _only_the_first_place(tokens, merges):
    tokens = list(tokens)
    for pair, token in merges.items():
        for place in range(len(tokens) - 1):
            if (tokens[place], tokens[place + 1]) == pair:
                tokens[place : place + 2] = [token]
                break
    return tokens


def _bytes_only(tokens, merges):
    tokens = list(tokens)
    for pair, token in merges.items():
        if max(pair) < 256:
            tokens = merged(tokens, pair, token)
    return tokens


def _runs_from_the_right(tokens, merges):
    mirrored = {(right, left): token for (left, right), token in merges.items()}
    return by(tokens[::-1], (lambda possible, merges, _: min(possible, key=merges.__getitem__), mirrored))[
        ::-1
    ]


def _either_order(tokens, merges):
    both = {(right, left): token for (left, right), token in merges.items()} | dict(merges)
    return by(tokens, (lambda possible, merges, _: min(possible, key=merges.__getitem__), both))


def _in_place(tokens, merges):
    for pair, token in merges.items():
        tokens[:] = merged(tokens, pair, token)
    return tokens


def _keeps_the_right(tokens, merges):
    tokens = list(tokens)
    for pair, token in merges.items():
        tokens = [
            token if (t, *tokens[place + 1 : place + 2]) == pair else t for place, t in enumerate(tokens)
        ]
    return tokens


def _last_lost(tokens, merges):
    return by(tokens[:-1], (lambda possible, merges, _: min(possible, key=merges.__getitem__), merges))


def _never_done(tokens, merges):
    while True:
        pair = min((pair for pair in pairwise(tokens) if pair in merges), key=merges.__getitem__)
        tokens = merged(tokens, pair, merges[pair])


def _every_pair_asked(tokens, merges):
    tokens = list(tokens)
    while len(tokens) > 1:
        pair = min(pairwise(tokens), key=lambda pair: merges[pair])
        tokens = merged(tokens, pair, merges[pair])
    return tokens


def _lists_as_keys(tokens, merges):
    tokens = list(tokens)
    for place in range(len(tokens) - 1):
        if tokens[place : place + 2] in merges:
            tokens[place : place + 2] = [merges[tokens[place : place + 2]]]
    return tokens


def _last_learned_first(tokens, merges):
    tokens = list(tokens)
    for pair, token in reversed(merges.items()):
        tokens = merged(tokens, pair, token)
    return tokens


def _largest_sum(tokens, merges):
    return by(tokens, (lambda possible, merges, tokens: max(possible, key=sum), merges))


def _nothing_without_merges(tokens, merges):
    return (
        by(tokens, (lambda possible, merges, _: min(possible, key=merges.__getitem__), merges))
        if merges
        else []
    )


def _unknown_dropped(tokens, merges):
    encoded = by(tokens, (lambda possible, merges, _: min(possible, key=merges.__getitem__), merges))
    return [token for token in encoded if token > 255]


def _single_tokens(tokens, merges):
    return [merges.get(token, token) for token in tokens]


MISCONCEPTIONS = (
    Misconception(
        "left-to-right",
        "the first pair from the left that can be merged is merged, whenever it was learned",
        "Training merged in its own order all over the text. Which of the possible merges did it do first?",
        _left_to_right,
    ),
    Misconception(
        "right-to-left",
        "the last pair from the left that can be merged is merged first",
        "The place in the text does not decide. What number says when a merge was learned?",
        _right_to_left,
    ),
    Misconception(
        "latest",
        "the merge that was learned last goes first",
        "Early merges have small new tokens. Training did them first, and so does encoding.",
        _latest,
    ),
    Misconception(
        "most-frequent",
        "the pair that is most frequent in this piece is merged first",
        "Counting belongs to training. Encoding only follows the order that was learned.",
        _most_frequent,
    ),
    Misconception(
        "smallest-pair",
        "the pair with the smallest tokens is merged first",
        "Compare what the pairs become, not the pairs themselves.",
        _smallest_pair,
    ),
    Misconception(
        "longest-match",
        "the longest token that fits is cut off from the left",
        "That is another family of tokenizers (WordPiece). BPE repeats its merges, and may end elsewhere.",
        _longest,
    ),
    Misconception(
        "one-merge",
        "only one pair is merged, and then it ends",
        "After a merge new pairs may be possible. When is there nothing left to do?",
        _one_merge,
    ),
    Misconception(
        "one-pass",
        "the piece is gone through once, so merged tokens never merge again",
        "A new token can be a part of the next pair. Look at the whole piece again after each merge.",
        _one_pass,
    ),
    Misconception(
        "first-place-only",
        "each merge is done at one place only",
        "A merge is done wherever its pair stands.",
        _only_the_first_place,
    ),
    Misconception(
        "bytes-only",
        "only pairs of bytes are merged, never pairs of merged tokens",
        "The keys of `merges` may hold tokens from 256 on, as well.",
        _bytes_only,
    ),
    Misconception(
        "runs-from-the-right",
        "runs of one token are merged from the right",
        "aaa is (aa)a, as in training.",
        _runs_from_the_right,
    ),
    Misconception(
        "either-order",
        "pairs are merged in the other order as well",
        "`ab` and `ba` are different pairs.",
        _either_order,
    ),
    Misconception(
        "in-place",
        "the list that was given is changed",
        "Work on a list of your own: the caller may still need the bytes.",
        _in_place,
    ),
    Misconception(
        "keeps-the-right",
        "the right token of a merged pair stays behind",
        "Use your function from exercise 1.3: it goes on after the pair.",
        _keeps_the_right,
    ),
    Misconception(
        "last-lost",
        "the last token of the piece is lost",
        "Put the bytes of all tokens together: they must be the bytes you began with.",
        _last_lost,
    ),
    Misconception(
        "never-done",
        "there is no end: a pair is chosen where none is left",
        "`min` of nothing is an error. When should the loop stop?",
        _never_done,
    ),
    Misconception(
        "every-pair-asked",
        "every pair of neighbours is looked up in `merges`, also those that are not in there",
        "Most neighbours were never merged. Keep those that are keys, or use `get`.",
        _every_pair_asked,
    ),
    Misconception(
        "lists-as-keys",
        "a list is used as a key",
        "A slice of a list is a list: `tuple(…)` makes a key of it.",
        _lists_as_keys,
    ),
    Misconception(
        "last-learned-first",
        "the merges are done in reverse order",
        "What was learned late is made of what was learned early: begin at the front of the dict.",
        _last_learned_first,
    ),
    Misconception(
        "largest-sum",
        "the pair with the largest tokens is merged first",
        "The tokens of the pair do not decide. Which number says when the pair was learned?",
        _largest_sum,
    ),
    Misconception(
        "nothing-without-merges",
        "without any merges nothing comes back",
        "Then the tokens stay as they are.",
        _nothing_without_merges,
    ),
    Misconception(
        "unknown-dropped",
        "tokens that no merge has made are dropped",
        "A byte that is not merged stays what it is.",
        _unknown_dropped,
    ),
    Misconception(
        "single-tokens-looked-up",
        "single tokens are looked up in `merges`",
        "Its keys are pairs: look at two neighbours at a time.",
        _single_tokens,
    ),
)
