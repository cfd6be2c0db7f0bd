"""Exercise 1.5: encode one piece, in the order in which the merges were learned."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.tokens.drawn import letters, piece
from autograder.exercises.tokens.wrong_encoders import MISCONCEPTIONS, merged
from llmlib import bpe


def _case(tokens: list[int], *pairs: tuple[int, int]) -> Case:
    return Case({"tokens": tokens, "merges": {pair: 256 + place for place, pair in enumerate(pairs)}})


def _no_conflict(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = letters(g, 4)
    yield _case([c, a, b, d], (a, b))
    yield _case([a, b, c, d, d], (a, b), (256, c))
    yield _case([a, b, c, a, b, c, d], (a, b), (256, c), (257, 257))


def _conflicts(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = letters(g, 4)
    low, middle, high = sorted((a, b, c))
    yield _case([a, b, c], (b, c), (a, b))
    yield _case([a, b, c], (a, b), (b, c))
    yield _case([low, middle, high], (middle, high), (low, middle))
    yield _case([a, b, c, d], (b, c), (a, b), (c, d))
    # ab stands there twice, bc once; bc was learned first.
    yield _case([a, b, c, d, a, b], (b, c), (a, b))
    # From the left, ab goes first, and abc is never reached.
    yield _case([a, b, c], (b, c), (a, 256), (a, b))
    # The longest token that begins here is abc; the merges never make it, since bd goes first.
    yield _case([a, b, c, d, a, b, c], (c, d), (a, b), (257, c))
    for _ in range(3):
        some = [piece(g, 6, [a, b, c]) for _ in range(4)]
        yield Case({"tokens": piece(g, 9, [a, b, c]), "merges": bpe.train_bpe(some, 6)})


def _edges(g: torch.Generator) -> Iterator[Case]:
    a, b, c = letters(g, 3)
    yield _case([], (a, b))
    yield _case([a], (a, b))
    yield _case([a, b])
    yield _case([b, a, c], (a, b))
    yield _case([a, a, a, b, b, b, b, b], (a, a), (b, b), (257, 257))
    yield _case([c, a, b, a, b, a, b], (a, b), (256, 256))


# --- Right answers in another form


def _merge_after_merge(tokens, merges):
    for pair, token in sorted(merges.items(), key=lambda item: item[1]):
        tokens = merged(tokens, pair, token)
    return list(tokens)


def _with_infinity(tokens, merges):
    tokens = list(tokens)
    while len(tokens) > 1:
        ranks = [merges.get(pair, float("inf")) for pair in pairwise(tokens)]
        best = min(ranks)
        if best == float("inf"):
            break
        place = ranks.index(best)
        tokens[place : place + 2] = [best]
    return tokens


def _recursive(tokens, merges):
    possible = {merges[pair]: pair for pair in pairwise(tokens) if pair in merges}
    if not possible:
        return list(tokens)
    token = min(possible)
    return _recursive(merged(tokens, possible[token], token), merges)


def _sets(tokens, merges):
    while pairs := set(pairwise(tokens)) & merges.keys():
        pair = min(pairs, key=merges.get)
        tokens = merged(tokens, pair, merges[pair])
    return [*tokens]


ALTERNATIVES = (
    Alternative("every merge in turn, in the order of learning", _merge_after_merge),
    Alternative("one place at a time, by rank", _with_infinity),
    Alternative("recursion", _recursive),
    Alternative("sets of pairs", _sets),
)

EXERCISE = Exercise(
    name="bpe.encode_piece",
    number="1.5",
    title="Encode a piece",
    minutes=15,
    difficulty=2,
    reference=bpe.encode_piece,
    checks=(
        Check("merges what can be merged, until nothing is left", 2, _no_conflict),
        Check("merges in the order of learning where merges compete", 2, _conflicts),
        Check("handles runs, short pieces, and nothing to merge", 1, _edges),
    ),
    hints=(
        "Take `[1, 2, 3]` with the merges {(2, 3): 256, (1, 2): 257}. Training merged (2, 3) first. "
        "What is left of this piece after that?",
        "Repeat: collect the neighbours that are keys of `merges`; if there are none, you are done; else "
        "choose "
        "one of them and merge it everywhere.",
        "The choice needs the number that a pair becomes: the smaller, the earlier it was learned. `min` "
        "takes "
        "a `key`.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
