"""Exercise 2.1: tokens as one-hot vectors."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import embedding


def _tokens(g: torch.Generator, vocab_size: int, *shape: int) -> Tensor:
    return torch.randint(0, vocab_size, shape, generator=g)


def _one_text(g: torch.Generator) -> Iterator[Case]:
    yield Case({"tokens": torch.randperm(6, generator=g)[:4], "vocab_size": 6})
    yield Case({"tokens": torch.cat([_tokens(g, 5, 3), torch.tensor([0, 4])]), "vocab_size": 5})


def _words_that_do_not_occur(g: torch.Generator) -> Iterator[Case]:
    yield Case({"tokens": _tokens(g, 3, 4), "vocab_size": 7})
    yield Case({"tokens": _tokens(g, 1, 2), "vocab_size": 1})


def _any_shape(g: torch.Generator) -> Iterator[Case]:
    yield Case({"tokens": _tokens(g, 5, 2, 3), "vocab_size": 5})
    yield Case({"tokens": _tokens(g, 4, 4, 4), "vocab_size": 4})
    yield Case({"tokens": _tokens(g, 6, 2, 3, 4), "vocab_size": 6})
    yield Case({"tokens": _tokens(g, 6), "vocab_size": 6})


# --- Mistakes


def _ones(tokens: Tensor, vocab_size: int) -> Tensor:
    """The right result, by another road than the reference."""
    return torch.eye(vocab_size, device=tokens.device)[tokens]


def _integers(tokens, vocab_size):
    return _ones(tokens, vocab_size).long()


def _booleans(tokens, vocab_size):
    return _ones(tokens, vocab_size).bool()


def _counted_from_one(tokens, vocab_size):
    places = torch.arange(1, vocab_size + 1, device=tokens.device)
    return (tokens[..., None] == places).float()


def _as_wide_as_the_largest(tokens, vocab_size):
    return _ones(tokens, int(tokens.max()) + 1)


def _one_place_too_many(tokens, vocab_size):
    return _ones(tokens, vocab_size + 1)


def _vocabulary_first(tokens, vocab_size):
    return _ones(tokens, vocab_size).movedim(-1, 0)


def _flattened(tokens, vocab_size):
    return _ones(tokens.reshape(-1), vocab_size)


def _many_hot(tokens, vocab_size):
    vectors = _ones(tokens, vocab_size)
    return vectors.sum(dim=-2) if tokens.ndim else vectors


def _up_to_the_token(tokens, vocab_size):
    return _ones(tokens, vocab_size).flip(-1).cumsum(-1).flip(-1)


def _token_itself(tokens, vocab_size):
    return _ones(tokens, vocab_size) * tokens[..., None]


def _inverted(tokens, vocab_size):
    return 1 - _ones(tokens, vocab_size)


def _every_row_the_same(tokens, vocab_size):
    vectors = torch.zeros(*tokens.shape, vocab_size, device=tokens.device)
    vectors[..., tokens] = 1.0
    return vectors


def _axis_after_the_first(tokens, vocab_size):
    return (tokens[:, None] == torch.arange(vocab_size, device=tokens.device)).float()


def _no_new_axis(tokens, vocab_size):
    return (tokens == torch.arange(vocab_size, device=tokens.device)).float()


def _one_row_for_each_text(tokens, vocab_size):
    vectors = torch.zeros(len(tokens), vocab_size, device=tokens.device)
    for place, token in enumerate(tokens):
        vectors[place, token] = 1.0
    return vectors


def _one_row_up(tokens, vocab_size):
    return _ones(tokens, vocab_size).roll(-1, dims=-1)


def _float64(tokens, vocab_size):
    return _ones(tokens, vocab_size).double()


MISCONCEPTIONS = (
    Misconception(
        "integers",
        "the result holds integers",
        "Integers cannot be multiplied with a matrix of floats. Which dtype has the table?",
        _integers,
    ),
    Misconception(
        "booleans",
        "the result holds True and False",
        "A comparison gives truth values. One step more makes numbers of them.",
        _booleans,
    ),
    Misconception(
        "counted-from-one",
        "the places are counted from 1",
        "The first word of the vocabulary is token 0, and its 1 stands at place 0.",
        _counted_from_one,
    ),
    Misconception(
        "as-wide-as-the-largest",
        "the vectors are only as long as the largest token needs",
        "The vocabulary may hold words that do not occur in this text.",
        _as_wide_as_the_largest,
    ),
    Misconception(
        "one-place-too-many",
        "the vectors have one place too many",
        "With tokens from 0 to vocab_size - 1, how many places are there?",
        _one_place_too_many,
    ),
    Misconception(
        "vocabulary-first",
        "the dimension of the vocabulary comes first instead of last",
        "Each token becomes a vector: the new dimension stands behind the old ones.",
        _vocabulary_first,
    ),
    Misconception(
        "flattened",
        "the shape of the tokens is lost",
        "Only the last dimension is new. All dimensions of `tokens` stay in front of it.",
        _flattened,
    ),
    Misconception(
        "many-hot",
        "the vectors of a text are added up",
        "Each token has its own vector; a sum over the text forgets which token stood where.",
        _many_hot,
    ),
    Misconception(
        "up-to-the-token",
        "there is a 1 at every place up to the token",
        "A comparison with `<=` is not one with `==`. How many ones has each vector?",
        _up_to_the_token,
    ),
    Misconception(
        "token-itself",
        "the token stands where a 1 should stand",
        "What is multiplied with the row of the table should leave it as it is.",
        _token_itself,
    ),
    Misconception(
        "inverted",
        "zeros and ones have changed places",
        "One place is hot, all others are cold.",
        _inverted,
    ),
    Misconception(
        "every-row-the-same",
        "every vector has a 1 at the places of all the tokens",
        "`vectors[:, tokens] = 1` fills whole columns. Each row needs its own column: give the rows, too.",
        _every_row_the_same,
    ),
    Misconception(
        "axis-after-the-first",
        "the new axis stands behind the first one, which is the last only as long as there is no batch",
        "`tokens[:, None]` counts from the front. With three dots the new axis comes last, in any shape.",
        _axis_after_the_first,
    ),
    Misconception(
        "no-new-axis",
        "the tokens are compared with the places one by one, token 0 with place 0 and so on",
        "Every token must meet every place. Which shape must the tokens have for that?",
        _no_new_axis,
    ),
    Misconception(
        "one-row-for-each-text",
        "`tokens` is taken to be a single text, and a batch gets one row for each text",
        "`len(tokens)` is the size of the first dimension alone. Work on a shape that you do not know.",
        _one_row_for_each_text,
    ),
    Misconception(
        "one-row-up",
        "every 1 stands one place too early, and that of token 0 at the end",
        "Token 0 is row 0 of the identity matrix. A row of −1 is the last one.",
        _one_row_up,
    ),
    Misconception(
        "float64",
        "the result is float64",
        "NumPy's default is float64, PyTorch's is float32. `x.float()` makes float32 of anything.",
        _float64,
    ),
)


# --- Right answers in another form


def _rows_of_the_identity(tokens, vocab_size):
    return torch.eye(vocab_size, device=tokens.device)[tokens]


def _scattered(tokens, vocab_size):
    zeros = torch.zeros(*tokens.shape, vocab_size, device=tokens.device)
    return zeros.scatter(-1, tokens.unsqueeze(-1), 1.0)


def _written_one_by_one(tokens, vocab_size):
    flat = tokens.reshape(-1)
    vectors = torch.zeros(len(flat), vocab_size, device=tokens.device)
    for place, token in enumerate(flat.tolist()):
        vectors[place, token] = 1.0
    return vectors.reshape(*tokens.shape, vocab_size)


def _indexed(tokens, vocab_size):
    flat = tokens.reshape(-1)
    vectors = torch.zeros(len(flat), vocab_size, device=tokens.device)
    vectors[torch.arange(len(flat), device=tokens.device), flat] = 1
    return vectors.reshape(*tokens.shape, vocab_size)


def _compared(tokens, vocab_size):
    return torch.eq(tokens.unsqueeze(-1), torch.arange(vocab_size, device=tokens.device)).float()


def _by_columns(tokens, vocab_size):
    return torch.stack([(tokens == word).float() for word in range(vocab_size)], dim=-1)


def _through_numpy(tokens, vocab_size):
    import numpy as np

    return torch.from_numpy(np.eye(vocab_size, dtype=np.float32)[tokens.cpu().numpy()]).to(tokens.device)


def _by_distance(tokens, vocab_size):
    distance = (tokens[..., None] - torch.arange(vocab_size, device=tokens.device)).abs()
    return (1 - distance).clamp(min=0).float()


ALTERNATIVES = (
    Alternative("rows of the identity matrix", _rows_of_the_identity),
    Alternative("scatter", _scattered),
    Alternative("one 1 after the other", _written_one_by_one),
    Alternative("indexed with two lists", _indexed),
    Alternative("eq and float", _compared),
    Alternative("column by column", _by_columns),
    Alternative("NumPy's identity matrix", _through_numpy),
    Alternative("the distance to each place", _by_distance),
)

EXERCISE = Exercise(
    name="embedding.one_hot",
    number="2.1",
    title="One-hot vectors",
    minutes=6,
    difficulty=1,
    reference=embedding.one_hot,
    checks=(
        Check("puts a 1 at the place of each token", 2, _one_text),
        Check("gives every word of the vocabulary a place", 1, _words_that_do_not_occur),
        Check("works for tokens of any shape", 1, _any_shape),
    ),
    hints=(
        "A list of all places is `torch.arange(vocab_size)`. What does comparing one token with it give?",
        "To compare every token with every place, give the tokens a last dimension of size 1, and "
        "broadcasting does the rest.",
        "The comparison gives truth values: turn them into floats.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=("torch.nn.functional.one_hot", "aten::one_hot"),
)
