"""Exercise 2.2: the gradient of an embedding table."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import embedding


def _case(tokens: Tensor, gradient: Tensor, vocab_size: int) -> Case:
    return Case({"tokens": tokens, "gradient": gradient, "vocab_size": vocab_size})


def _each_token_once(g: torch.Generator) -> Iterator[Case]:
    yield _case(torch.randperm(6, generator=g)[:4], normal(g, 4, 3), 6)
    yield _case(torch.randperm(5, generator=g), normal(g, 5, 2), 7)


def _repeated_tokens(g: torch.Generator) -> Iterator[Case]:
    a, b, c = torch.randperm(6, generator=g)[:3].tolist()
    yield _case(torch.tensor([a, b, a, c, a]), normal(g, 5, 3), 6)
    yield _case(torch.tensor([b, b, b, b]), normal(g, 4, 3), 6)


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(torch.randint(0, 4, (2, 5), generator=g), normal(g, 2, 5, 3), 6)
    yield _case(torch.randint(0, 4, (3, 3), generator=g), normal(g, 3, 3, 4), 4)
    yield _case(torch.randint(0, 3, (2, 3, 4), generator=g), normal(g, 2, 3, 4, 2), 5)


def _float64(g: torch.Generator) -> Iterator[Case]:
    yield _case(torch.randint(0, 3, (6,), generator=g), normal(g, 6, 2, dtype=torch.float64), 5)


# --- Mistakes


def _summed(tokens: Tensor, gradient: Tensor, vocab_size: int) -> Tensor:
    """The right result, by another road than the reference."""
    table = torch.zeros(vocab_size, gradient.shape[-1], dtype=gradient.dtype, device=gradient.device)
    return table.index_add(0, tokens.reshape(-1), gradient.reshape(-1, gradient.shape[-1]))


def _counts(tokens: Tensor, vocab_size: int) -> Tensor:
    return torch.bincount(tokens.reshape(-1), minlength=vocab_size)[:, None]


def _last_one_wins(tokens, gradient, vocab_size):
    rows = list(gradient.new_zeros(vocab_size, gradient.shape[-1]))
    for token, row in zip(tokens.reshape(-1).tolist(), gradient.flatten(0, -2), strict=True):
        rows[token] = row
    return torch.stack(rows)


def _first_one_wins(tokens, gradient, vocab_size):
    return _last_one_wins(tokens.reshape(-1).flip(0), gradient.flatten(0, -2).flip(0), vocab_size)


def _averaged(tokens, gradient, vocab_size):
    return _summed(tokens, gradient, vocab_size) / _counts(tokens, vocab_size).clamp(min=1)


def _over_all_tokens(tokens, gradient, vocab_size):
    return _summed(tokens, gradient, vocab_size) / tokens.numel()


def _counted(tokens, gradient, vocab_size):
    return _counts(tokens, vocab_size).to(gradient.dtype).expand(-1, gradient.shape[-1]).clone()


def _to_every_row(tokens, gradient, vocab_size):
    return gradient.flatten(0, -2).sum(0).expand(vocab_size, -1).clone()


def _next_row(tokens, gradient, vocab_size):
    return _summed(tokens, gradient, vocab_size).roll(1, 0)


def _by_place(tokens, gradient, vocab_size):
    flat = gradient.flatten(0, -2)
    places = torch.arange(len(flat), device=tokens.device) % vocab_size
    return _summed(places, flat, vocab_size)


def _as_wide_as_the_largest(tokens, gradient, vocab_size):
    return _summed(tokens, gradient, int(tokens.max()) + 1)


def _downhill(tokens, gradient, vocab_size):
    return -_summed(tokens, gradient, vocab_size)


def _first_text_only(tokens, gradient, vocab_size):
    if tokens.ndim > 1:
        tokens, gradient = tokens[0], gradient[0]
    return _summed(tokens, gradient, vocab_size)


def _a_table_for_each_text(tokens, gradient, vocab_size):
    if tokens.ndim < 2:
        return _summed(tokens, gradient, vocab_size)
    return torch.stack([_summed(t, row, vocab_size) for t, row in zip(tokens, gradient, strict=True)])


def _always_float32(tokens, gradient, vocab_size):
    return _summed(tokens, gradient.float(), vocab_size)


def _makes_float32(tokens, gradient, vocab_size):
    hot = (tokens.reshape(-1)[:, None] == torch.arange(vocab_size, device=tokens.device)).float()
    return hot.T @ gradient.reshape(-1, gradient.shape[-1])


def _once_for_each_text(tokens, gradient, vocab_size):
    table = gradient.new_zeros(vocab_size, gradient.shape[-1])
    for text, arrived in zip(tokens, gradient, strict=True):
        table[text] += arrived
    return table


def _averaged_over_texts(tokens, gradient, vocab_size):
    texts = tokens.shape[0] if tokens.ndim > 1 else 1
    return _summed(tokens, gradient, vocab_size) / texts


def _only_what_occurs(tokens, gradient, vocab_size):
    return torch.stack([gradient[tokens == token].sum(0) for token in tokens.unique()])


def _last_dimension_summed(tokens, gradient, vocab_size):
    return _summed(tokens, gradient, vocab_size).sum(-1)


def _transposed(tokens, gradient, vocab_size):
    return _summed(tokens, gradient, vocab_size).T


MISCONCEPTIONS = (
    Misconception(
        "last-one-wins",
        "of several gradients of one token only the last is kept",
        "`table[tokens] = …` and `table[tokens] += …` write each row once, however often its token occurs.",
        _last_one_wins,
    ),
    Misconception(
        "first-one-wins",
        "of several gradients of one token only the first is kept",
        "A token that occurs three times changed the loss in three places.",
        _first_one_wins,
    ),
    Misconception(
        "averaged",
        "the gradients of a repeated token are averaged",
        "Nudge a row that is used three times: how many places feel it?",
        _averaged,
    ),
    Misconception(
        "over-all-tokens",
        "everything is divided by the number of tokens",
        "If the loss is an average, the gradients that arrive are already divided.",
        _over_all_tokens,
    ),
    Misconception(
        "counted",
        "the tokens are counted, and the gradients that arrive are not used",
        "A count would be right only if every gradient were 1.",
        _counted,
    ),
    Misconception(
        "to-every-row",
        "every row receives the sum of all gradients",
        "A row that was not looked up had no influence on the loss.",
        _to_every_row,
    ),
    Misconception(
        "next-row",
        "every gradient arrives one row too late",
        "Token 0 reads row 0.",
        _next_row,
    ),
    Misconception(
        "by-place",
        "the gradients go to rows by their place in the text, not by their token",
        "Which row of the table did the vector at place 0 come from?",
        _by_place,
    ),
    Misconception(
        "as-wide-as-the-largest",
        "the table has only as many rows as the largest token needs",
        "The gradient has the shape of the table, rows of zeros included.",
        _as_wide_as_the_largest,
    ),
    Misconception(
        "downhill",
        "the sign is turned",
        "The gradient points uphill. That a step goes downhill is the business of the optimizer.",
        _downhill,
    ),
    Misconception(
        "first-text-only",
        "only the first text of a batch counts",
        "All texts of the batch read the same table.",
        _first_text_only,
    ),
    Misconception(
        "a-table-for-each-text",
        "each text of a batch gets a table of its own",
        "There is one table. What arrives from several texts is added up, too.",
        _a_table_for_each_text,
    ),
    Misconception(
        "always-float32",
        "the result is float32 whatever comes in",
        "The gradient has the dtype of what arrives.",
        _always_float32,
    ),
    Misconception(
        "makes-float32",
        "what is made on the way is float32, and meets gradients of another dtype",
        "Both factors of a product need one dtype. Give your own one that of `gradient`: `x.to(…)` takes it.",
        _makes_float32,
    ),
    Misconception(
        "once-for-each-text",
        "a loop over the first dimension writes whole texts, each row once",
        "With a batch, what your loop hands out is a text, in which a token may occur twice. Flatten first.",
        _once_for_each_text,
    ),
    Misconception(
        "averaged-over-texts",
        "the sum is divided by the number of texts",
        "If the loss is an average over the batch, the gradients that arrive are already divided.",
        _averaged_over_texts,
    ),
    Misconception(
        "only-what-occurs",
        "there are rows only for the tokens that occur",
        "The gradient has the shape of the table. What is the row of a token that stood nowhere?",
        _only_what_occurs,
    ),
    Misconception(
        "last-dimension-summed",
        "each row has become a single number",
        "Add up over the places. The d_model numbers of a gradient stay apart.",
        _last_dimension_summed,
    ),
    Misconception(
        "transposed",
        "rows and columns have changed places",
        "One row for each token of the vocabulary, as in the table.",
        _transposed,
    ),
)


# --- Right answers in another form


def _index_add(tokens, gradient, vocab_size):
    table = gradient.new_zeros(vocab_size, gradient.shape[-1])
    return table.index_add_(0, tokens.flatten(), gradient.flatten(0, -2))


def _accumulated(tokens, gradient, vocab_size):
    table = gradient.new_zeros(vocab_size, gradient.shape[-1])
    return table.index_put((tokens,), gradient, accumulate=True)


def _loop(tokens, gradient, vocab_size):
    table = gradient.new_zeros(vocab_size, gradient.shape[-1])
    for token, row in zip(tokens.reshape(-1).tolist(), gradient.flatten(0, -2), strict=True):
        table[token] += row
    return table


def _row_by_row(tokens, gradient, vocab_size):
    return torch.stack([gradient[tokens == token].sum(dim=0) for token in range(vocab_size)])


def _einsum(tokens, gradient, vocab_size):
    hot = (tokens[..., None] == torch.arange(vocab_size, device=tokens.device)).to(gradient.dtype)
    return torch.einsum("...v,...d->vd", hot, gradient)


def _scatter_add(tokens, gradient, vocab_size):
    d_model = gradient.shape[-1]
    rows = tokens.reshape(-1, 1).expand(-1, d_model)
    table = gradient.new_zeros(vocab_size, d_model)
    return table.scatter_add(0, rows, gradient.reshape(-1, d_model))


def _through_numpy(tokens, gradient, vocab_size):
    import numpy as np

    arrived = gradient.detach().cpu().numpy()
    table = np.zeros((vocab_size, arrived.shape[-1]), dtype=arrived.dtype)
    np.add.at(table, tokens.cpu().numpy(), arrived)
    return torch.from_numpy(table).to(gradient.device)


ALTERNATIVES = (
    Alternative("index_add", _index_add),
    Alternative("index_put with accumulate", _accumulated),
    Alternative("one place after the other", _loop),
    Alternative("one row after the other", _row_by_row),
    Alternative("einsum", _einsum),
    Alternative("scatter_add", _scatter_add),
    Alternative("NumPy's add.at", _through_numpy),
)

EXERCISE = Exercise(
    name="embedding.embedding_gradient",
    number="2.2",
    title="Which rows learn",
    minutes=10,
    difficulty=2,
    reference=embedding.embedding_gradient,
    checks=(
        Check("brings each gradient to the row of its token", 2, _each_token_once),
        Check("adds up what a repeated token receives", 2, _repeated_tokens),
        Check("adds up over all texts of a batch", 1, _batches),
        Check("keeps the dtype", 1, _float64),
    ),
    hints=(
        "Write the lookup as a matrix product, one-hot vectors times table. Which entry of the one-hot "
        "matrix joins place p of the text with row v of the table?",
        "Flatten the tokens and the gradients first, so that there is one list of places. Keep the last "
        "dimension of the gradients.",
        "Row v of the result is a sum over places, so the one-hot matrix has to be turned: vocabulary down, "
        "places across.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=(
        "torch.nn.functional.embedding",
        "torch.embedding",
        "torch.Tensor.backward",
        "torch.autograd.backward",
        "torch.autograd.grad",
        "aten::embedding",
        "aten::embedding_dense_backward",
    ),
)
