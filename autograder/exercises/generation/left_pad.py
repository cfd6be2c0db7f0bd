"""Exercise 8.8: texts of different lengths in one batch, padded on the left."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import padding


def _case(g: torch.Generator, *lengths: int, filler: int | None = None) -> Case:
    texts = [torch.randint(1, 20, (length,), generator=g).tolist() for length in lengths]
    return Case(
        {"texts": texts, "filler": int(torch.randint(20, 30, (), generator=g)) if filler is None else filler}
    )


def _different(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 4)
    yield _case(g, 5, 1, 3)


def _shortest_first_and_last(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 1, 6, 2, 4)
    yield _case(g, 3, 2, 5, 1, 5)


def _equal(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 3)
    yield _case(g, 4)


def _filler_in_the_text(g: torch.Generator) -> Iterator[Case]:
    filler = int(torch.randint(0, 9, (), generator=g))
    yield Case({"texts": [[filler, 11, filler], [12, 13, filler, 14, 15]], "filler": filler})
    yield Case({"texts": [[11, 12], [filler, filler, filler]], "filler": filler})


# --- Mistakes


def _variant(*, left=True, clamp=True, first=0, real=None, places=None, backwards=False, longest=max):
    def pad(texts, filler):
        size = longest(len(text) for text in texts)
        rows, seen = [], []
        for text in texts:
            text = (list(text)[::-1] if backwards else list(text))[-size:]
            empty = size - len(text)
            rows.append([filler] * empty + text if left else text + [filler] * empty)
            mask = [False] * empty + [True] * len(text)
            seen.append(mask if left else mask[::-1])
        tokens, mask = torch.tensor(rows), torch.tensor(seen)
        where = mask.long().cumsum(dim=1) - 1 + first
        if not clamp:
            where = torch.arange(size) - (~mask).sum(dim=1, keepdim=True)
        elif left:
            where = where.clamp(min=0)
        return tokens, real(tokens, mask, filler) if real else mask, places(tokens, mask) if places else where

    return pad


def _right(texts, filler):
    """On the right in every respect: the padding's places are 0 there, too."""
    tokens, mask, places = _variant(left=False)(texts, filler)
    return tokens, mask, places * mask


def _sorted_by_length(texts, filler):
    return _variant()(sorted(texts, key=len, reverse=True), filler)


def _places_second(texts, filler):
    tokens, mask, places = _variant()(texts, filler)
    return tokens, places, mask


def _fillers_in_front(texts, filler):
    """Whatever equals the filler is padding up to the first other token."""
    tokens = _variant()(texts, filler)[0]
    mask = (tokens != filler).cumsum(dim=1) > 0
    return tokens, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


def _all_from_the_filler(texts, filler):
    tokens = _variant()(texts, filler)[0]
    mask = tokens != filler
    return tokens, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


MISCONCEPTIONS = (
    Misconception(
        "on-the-right",
        "the padding stands on the right",
        "The next token is asked for in the last column. What stands there in a short text?",
        _right,
    ),
    Misconception(
        "on-the-right-and-counted",
        "the padding stands on the right and has places of its own",
        "The next token is asked for in the last column. What stands there in a short text?",
        _variant(left=False),
    ),
    Misconception(
        "places-of-the-columns",
        "places are counted from the first column, padding included",
        "A text's first real token has place 0, wherever it stands.",
        _variant(places=lambda tokens, mask: torch.arange(tokens.shape[1]).expand(tokens.shape)),
    ),
    Misconception(
        "negative-places",
        "the places of the padding are negative",
        "There is no position below 0 in the table of positions. Padding gets 0.",
        _variant(clamp=False),
    ),
    Misconception(
        "padding-at-minus-one",
        "the padding has the place -1",
        "There is no position below 0 in the table of positions. Padding gets 0.",
        _variant(places=lambda tokens, mask: mask.cumsum(dim=1) - 1),
    ),
    Misconception(
        "padding-at-one",
        "the padding has the place 1",
        "Some libraries do so, since nobody looks there. Here padding gets 0.",
        _variant(places=lambda tokens, mask: (mask.cumsum(dim=1) - 1).masked_fill(~mask, 1)),
    ),
    Misconception(
        "places-of-the-columns-but-padding",
        "the padding has place 0, but the texts' places go on from the columns of the padding",
        "A text's first real token has place 0, wherever it stands.",
        _variant(places=lambda tokens, mask: torch.arange(tokens.shape[1]) * mask),
    ),
    Misconception(
        "places-from-one",
        "places begin at 1",
        "The first row of the table of positions is row 0.",
        _variant(first=1),
    ),
    Misconception(
        "inverted",
        "it is padding that is marked with True",
        "In this course a mask is True where something may be seen.",
        _variant(real=lambda tokens, mask, filler: ~mask),
    ),
    Misconception(
        "filler-means-padding",
        "every filler counts as padding, even where it is a token of the text",
        "The filler is an ordinary token that may occur in a text. The lengths tell what is real.",
        _variant(real=lambda tokens, mask, filler: tokens != filler),
    ),
    Misconception(
        "places-without-the-filler",
        "every filler counts as padding, and the places are counted without it",
        "The filler is an ordinary token that may occur in a text. The lengths tell what is real.",
        _all_from_the_filler,
    ),
    Misconception(
        "fillers-in-front",
        "every filler before the first other token counts as padding, even where the text begins with it",
        "The filler is an ordinary token that may occur in a text. The lengths tell what is real.",
        _fillers_in_front,
    ),
    Misconception(
        "zero-for-filler",
        "the padding is 0, whatever the filler",
        "The second argument says what to fill up with.",
        lambda texts, filler: _variant()(texts, 0),
    ),
    Misconception(
        "sorted-by-length",
        "the texts come back in the order of their lengths",
        "The third row of the result belongs to the third text.",
        _sorted_by_length,
    ),
    Misconception(
        "places-second",
        "the places come before what is real",
        "First the tokens, then what is real, then the places.",
        _places_second,
    ),
    Misconception(
        "all-real",
        "nothing is marked as padding",
        "Attention has to know what it may not see.",
        _variant(real=lambda tokens, mask, filler: torch.ones_like(mask)),
    ),
    Misconception(
        "mask-on-the-right",
        "the tokens are padded on the left and the mask on the right",
        "Compare the two rectangles row by row.",
        _variant(real=lambda tokens, mask, filler: mask.flip(1)),
    ),
    Misconception(
        "backwards",
        "the texts are reversed",
        "Only the place of the padding changes. The text keeps its order.",
        _variant(backwards=True),
    ),
    Misconception(
        "cut-to-the-shortest",
        "the texts are cut to the length of the shortest",
        "The rectangle is as wide as the longest text.",
        _variant(longest=min),
    ),
)


# --- Right answers in another form


def _by_loops(texts, filler):
    longest = max(map(len, texts))
    tokens = torch.full((len(texts), longest), filler)
    real = torch.zeros(len(texts), longest, dtype=torch.bool)
    places = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, text in enumerate(texts):
        for place, token in enumerate(text):
            column = longest - len(text) + place
            tokens[row, column], real[row, column], places[row, column] = token, True, place
    return tokens, real, places


def _by_slices(texts, filler):
    longest = max(len(text) for text in texts)
    tokens = torch.full((len(texts), longest), filler, dtype=torch.long)
    real = torch.zeros_like(tokens, dtype=torch.bool)
    for row, text in enumerate(texts):
        tokens[row, -len(text) :] = torch.tensor(text)
        real[row, -len(text) :] = True
    return tokens, real, (real.cumsum(dim=1) - 1).clamp(min=0)


def _by_pad(texts, filler):
    longest = max(len(text) for text in texts)
    tokens = torch.stack([F.pad(torch.tensor(t), (longest - len(t), 0), value=filler) for t in texts])
    places = torch.stack([F.pad(torch.arange(len(t)), (longest - len(t), 0)) for t in texts])
    real = torch.arange(longest, 0, -1) <= torch.tensor([[len(t)] for t in texts])
    return tokens, real, places


def _turned(texts, filler):
    """Padded on the right and backwards, then turned round."""
    rows = [torch.tensor(list(text)[::-1]) for text in texts]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler).flip(1)
    lengths = torch.tensor([len(text) for text in texts])[:, None]
    places = torch.arange(tokens.shape[1]) - tokens.shape[1] + lengths
    return tokens, ~(places < 0), torch.relu(places)


ALTERNATIVES = (
    Alternative("token by token", _by_loops),
    Alternative("slices, and a running count", _by_slices),
    Alternative("torch's own padding", _by_pad),
    Alternative("padded on the right and turned round", _turned),
)

EXERCISE = Exercise(
    name="padding.left_pad",
    number="8.8",
    title="Padding on the left",
    minutes=10,
    difficulty=1,
    reference=padding.left_pad,
    checks=(
        Check("puts texts of different lengths at the right edge", 2, _different),
        Check("takes the texts in any order of lengths", 1, _shortest_first_and_last),
        Check("pads nothing when all are equally long", 1, _equal),
        Check("knows the filler from the same token in a text", 1, _filler_in_the_text),
    ),
    hints=(
        "Draw the three rectangles for the texts [5, 6] and [7, 8, 9]. All have two rows and three columns.",
        "`[filler] * n + list(text)` pads one text. How large is n?",
        "In row r the column c holds place c - n, where n is the padding of that row. Where that is "
        "negative, there is padding; `clamp(min=0)` puts zeros there.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
