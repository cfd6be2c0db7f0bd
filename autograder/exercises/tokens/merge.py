"""Exercise 1.3: one token in the place of a pair."""

from __future__ import annotations

import re
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
    # In decimal the one ends as a begins to look, and the other begins as b does.
    yield _case([1000 + a, b, a, 10 * b, a, b], (a, b), g)
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


def _single_tokens(tokens, pair, new_token):
    return [new_token if token in pair else token for token in tokens]


def _left_replaced_right_removed(tokens, pair, new_token):
    return [new_token if token == pair[0] else token for token in tokens if token != pair[1]]


def _two_by_two(tokens, pair, new_token):
    merged = []
    for place in range(0, len(tokens), 2):
        both = tokens[place : place + 2]
        merged += [new_token] if tuple(both) == pair else both
    return merged


def _keeps_the_left(tokens, pair, new_token):
    return _walk(tokens, lambda p: tuple(tokens[p : p + 2]) == pair, lambda p: [pair[0], new_token])


def _at_the_end(tokens, pair, new_token):
    rest = _walk(tokens, lambda p: tuple(tokens[p : p + 2]) == pair, lambda p: [])
    return rest + [new_token] * ((len(tokens) - len(rest)) // 2)


def _shrinks_under_the_loop(tokens, pair, new_token):
    merged = list(tokens)
    for place in range(len(merged) - 1):
        if (merged[place], merged[place + 1]) == pair:
            merged[place : place + 2] = [new_token]
    return merged


def _new_ones_merged_again(tokens, pair, new_token):
    return _correct(_correct(tokens, pair, new_token), (new_token, new_token), new_token)


def _next_free_number(tokens, pair, new_token):
    return _correct(tokens, pair, max([255, *tokens]) + 1)


def _sum_of_the_pair(tokens, pair, new_token):
    return _correct(tokens, pair, sum(pair))


def _pair_kept_as_one(tokens, pair, new_token):
    return _correct(tokens, pair, pair)


def _list_in_the_list(tokens, pair, new_token):
    return _correct(tokens, pair, [new_token])


def _digits_as_text(tokens, pair, new_token):
    text = " ".join(map(str, tokens)).replace(f"{pair[0]} {pair[1]}", str(new_token))
    return [int(number) for number in text.split()]


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
    Misconception(
        "single-tokens",
        "each token of the pair is replaced on its own",
        "Only both together, side by side and in this order, become the new token.",
        _single_tokens,
    ),
    Misconception(
        "right-ones-removed",
        "every left token is replaced and every right one removed, also where they stand alone",
        "Compare two neighbours at a time.",
        _left_replaced_right_removed,
    ),
    Misconception(
        "two-by-two",
        "the tokens are taken two by two, so a pair that begins at an odd place is missed",
        "A pair may begin anywhere. Move by two only after a merge.",
        _two_by_two,
    ),
    Misconception(
        "keeps-the-left",
        "the left token of the pair stays in front of the new one",
        "The new token stands for both.",
        _keeps_the_left,
    ),
    Misconception(
        "at-the-end",
        "the new tokens stand at the end of the list",
        "The new token takes the pair's place.",
        _at_the_end,
    ),
    Misconception(
        "shrinks-under-the-loop",
        "the list gets shorter under a loop that still counts on its old length",
        "`range(len(…))` is worked out once. Fill a new list, or use a `while` loop.",
        _shrinks_under_the_loop,
    ),
    Misconception(
        "new-ones-merged-again",
        "two new tokens side by side are merged once more",
        "Only the given pair is merged. What to merge next is decided by counting anew.",
        _new_ones_merged_again,
    ),
    Misconception(
        "next-free-number",
        "the new token is chosen here, as the next free number",
        "The third argument says which token to write.",
        _next_free_number,
    ),
    Misconception(
        "sum-of-the-pair",
        "the two numbers are added",
        "They are names, not amounts. The third argument says which token to write.",
        _sum_of_the_pair,
    ),
    Misconception(
        "pair-kept-as-one",
        "the pair itself stands in the list, as a tuple",
        "One number is to take its place: the new token.",
        _pair_kept_as_one,
    ),
    Misconception(
        "list-in-the-list",
        "the new token stands in a list of its own inside the list",
        "`append` puts in what it is given, brackets included.",
        _list_in_the_list,
    ),
    Misconception(
        "digits-as-text",
        "the numbers are joined as text, where 97 is also found at the end of 1097",
        "Compare whole tokens: numbers, not their digits.",
        _digits_as_text,
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


def _regular_expression(tokens, pair, new_token):
    both = re.escape(chr(pair[0]) + chr(pair[1]))
    return [ord(character) for character in re.sub(both, chr(new_token), "".join(map(chr, tokens)))]


ALTERNATIVES = (
    Alternative("tokens as characters, and a regular expression", _regular_expression),
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
