"""Exercise 1.3: one token in the place of a pair."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.tokens.drawn import letters, number, piece
from llmlib import bpe


def _case(tokens: list[int], pair: tuple[int, int], g: torch.Generator) -> Case:
    return Case({"tokens": tokens, "pair": pair, "new_token": number(g, 256, 400)})


def _everywhere(g: torch.Generator) -> Iterator[Case]:
    a, b, c, d = letters(g, 4)
    yield _case([a, b, c, d], (a, b), g)
    yield _case([c, a, b, a, d, a, b, c], (a, b), g)
    yield _case([a, b, b, a, c, b, a, b, d], (a, b), g)


def _runs(g: torch.Generator) -> Iterator[Case]:
    a, b = letters(g, 2)
    yield _case([a, a, a], (a, a), g)
    yield _case([b, a, a, a, a, a, b], (a, a), g)
    yield _case([*piece(g, 5, [a, b]), a, a, a, b], (a, a), g)


def _edges(g: torch.Generator) -> Iterator[Case]:
    a, b, c = letters(g, 3)
    yield _case([], (a, b), g)
    yield _case([a], (a, b), g)
    yield _case([b, a, c, a], (a, b), g)
    yield Case({"tokens": [a, b, c, 256, 257], "pair": (256, 257), "new_token": 258})


# --- Mistakes


def _correct(tokens, pair, new_token):
    merged = []
    for token in tokens:
        merged.append(token)
    place = 0
    while place + 1 < len(merged):
        if merged[place] == pair[0] and merged[place + 1] == pair[1]:
            merged[place : place + 2] = [new_token]
        place += 1
    return merged


def _overlapping(tokens, pair, new_token):
    merged = []
    for place, token in enumerate(tokens):
        if (token, *tokens[place + 1 : place + 2]) == pair:
            merged.append(new_token)
        elif not (place and (tokens[place - 1], token) == pair):
            merged.append(token)
    return merged


def _keeps_the_right(tokens, pair, new_token):
    return [
        new_token if (token, *tokens[place + 1 : place + 2]) == pair else token
        for place, token in enumerate(tokens)
    ]


def _from_the_right(tokens, pair, new_token):
    return _correct(tokens[::-1], pair[::-1], new_token)[::-1]


def _only_the_first(tokens, pair, new_token):
    for place in range(len(tokens) - 1):
        if (tokens[place], tokens[place + 1]) == pair:
            return [*tokens[:place], new_token, *tokens[place + 2 :]]
    return list(tokens)


def _walk(tokens, is_pair, written, jump=2, end=0):
    """The loop of most answers: where a pair begins, write and jump; elsewhere copy a token."""
    merged, place = [], 0
    while place < len(tokens) - end:
        if is_pair(place):
            merged += written(place)
            place += jump
        else:
            merged.append(tokens[place])
            place += 1
    return merged


def _last_dropped(tokens, pair, new_token):
    return _walk(tokens, lambda p: (tokens[p], tokens[p + 1]) == pair, lambda p: [new_token], end=1)


def _either_order(tokens, pair, new_token):
    return _walk(tokens, lambda p: tuple(tokens[p : p + 2]) in (pair, pair[::-1]), lambda p: [new_token])


def _left_alone(tokens, pair, new_token):
    return _walk(tokens, lambda p: tokens[p] == pair[0], lambda p: [new_token])


def _inserted(tokens, pair, new_token):
    return _walk(tokens, lambda p: tuple(tokens[p : p + 2]) == pair, lambda p: [*pair, new_token])


def _skips_one_more(tokens, pair, new_token):
    return _walk(
        tokens,
        lambda p: tuple(tokens[p : p + 2]) == pair,
        lambda p: [new_token, *tokens[p + 2 : p + 3]],
        jump=3,
    )


def _always_256(tokens, pair, new_token):
    return _correct(tokens, pair, 256)


def _list_beside_tuple(tokens, pair, new_token):
    return _walk(tokens, lambda p: tokens[p : p + 2] == pair, lambda p: [new_token])


def _past_the_end(tokens, pair, new_token):
    return _walk(tokens, lambda p: (tokens[p], tokens[p + 1]) == pair, lambda p: [new_token])


def _in_place(tokens, pair, new_token):
    tokens[:] = _correct(tokens, pair, new_token)
    return tokens


MISCONCEPTIONS = (
    Misconception(
        "overlapping",
        "merged pairs overlap: one token is used for two of them",
        "In aaa, after the first two are merged only one a is left. How far must you jump after a merge?",
        _overlapping,
    ),
    Misconception(
        "keeps-the-right",
        "the right token of the pair stays behind the new one",
        "The new token stands for both. Go on after the pair, not inside it.",
        _keeps_the_right,
    ),
    Misconception(
        "from-the-right",
        "runs are merged from the right",
        "aaa becomes the new token and then a: the pair that begins first is taken.",
        _from_the_right,
    ),
    Misconception(
        "only-the-first",
        "only the first pair is merged",
        "After a merge the search goes on to the end of the list.",
        _only_the_first,
    ),
    Misconception(
        "last-dropped",
        "a last token that has no right neighbour is lost",
        "A loop that stops one place early never sees it. Try a list of one token.",
        _last_dropped,
    ),
    Misconception(
        "either-order",
        "the pair is merged in the other order as well",
        "The pair (a, b) is a followed by b. What stands the other way round stays.",
        _either_order,
    ),
    Misconception(
        "left-alone",
        "the left token is enough for a merge, whatever follows",
        "Compare both tokens of the pair.",
        _left_alone,
    ),
    Misconception(
        "inserted",
        "the new token is added and the pair stays",
        "The list must get shorter by one with each merge.",
        _inserted,
    ),
    Misconception(
        "skips-one-more",
        "the token after a merged pair is never looked at",
        "A pair is two tokens long: the next one begins two places further.",
        _skips_one_more,
    ),
    Misconception(
        "always-256",
        "the new token is always 256",
        "The third argument says which token to write.",
        _always_256,
    ),
    Misconception(
        "list-beside-tuple",
        "a list is compared with a tuple, and the two are never equal",
        "`[1, 2] == (1, 2)` is False in Python. A slice of a list is a list; `tuple(…)` makes a tuple of it.",
        _list_beside_tuple,
    ),
    Misconception(
        "past-the-end",
        "the last token is asked for its right neighbour",
        "The last place has nothing on its right. Ask first whether there is a neighbour, or take a slice.",
        _past_the_end,
    ),
    Misconception(
        "in-place",
        "the list that was given is changed",
        "Fill a list of your own: the caller may still need the old one.",
        _in_place,
    ),
)


# --- Right answers in another form


def _looking_back(tokens, pair, new_token):
    merged = []
    free = False  # whether the last token may still be the left one of a pair
    for token in tokens:
        if free and merged[-1] == pair[0] and token == pair[1]:
            merged[-1] = new_token
            free = False
        else:
            merged.append(token)
            free = True
    return merged


def _with_an_iterator(tokens, pair, new_token):
    merged = []
    places = iter(range(len(tokens)))
    for place in places:
        if place + 1 < len(tokens) and tokens[place] == pair[0] and tokens[place + 1] == pair[1]:
            merged.append(new_token)
            next(places)
        else:
            merged.append(tokens[place])
    return merged


def _recursive(tokens, pair, new_token):
    if len(tokens) < 2:
        return list(tokens)
    if (tokens[0], tokens[1]) == tuple(pair):
        return [new_token, *_recursive(tokens[2:], pair, new_token)]
    return [tokens[0], *_recursive(tokens[1:], pair, new_token)]


def _as_text(tokens, pair, new_token):
    text = "".join(map(chr, tokens)).replace("".join(map(chr, pair)), chr(new_token))
    return [ord(character) for character in text]


ALTERNATIVES = (
    Alternative("on a copy, in place", _correct),
    Alternative("looking back at the last token", _looking_back),
    Alternative("an iterator that skips", _with_an_iterator),
    Alternative("recursion", _recursive),
    Alternative("tokens as characters, and str.replace", _as_text),
)

EXERCISE = Exercise(
    name="bpe.merge",
    number="1.3",
    title="Merge a pair",
    minutes=10,
    difficulty=1,
    reference=bpe.merge,
    checks=(
        Check("replaces the pair everywhere and leaves the rest", 2, _everywhere),
        Check("takes runs of one token from the left, without overlap", 1, _runs),
        Check("handles short lists, the last token and pairs of merged tokens", 1, _edges),
    ),
    hints=(
        "Merge (1, 1) in `[1, 1, 1]` by hand, with a finger on the list. Where is the finger after the "
        "merge?",
        "A `for` loop moves by one each time. You need a place that moves by one or by two: a `while` loop.",
        "A slice of two places at the end of a list is shorter, but no error. So comparing a slice needs no "
        "special case for the last token.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
