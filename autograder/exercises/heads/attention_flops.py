"""Exercise 4.7: count the operations of a layer of attention."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import accounting


def _draw(g: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _case(n_queries: int, n_keys: int, d_model: int, batch: int | None = None) -> Case:
    arguments = {"n_queries": n_queries, "n_keys": n_keys, "d_model": d_model}
    return Case(arguments if batch is None else {**arguments, "batch": batch})


def _self_attention(g: torch.Generator) -> Iterator[Case]:
    yield _case(3, 3, 2)
    n = _draw(g, 4, 9)
    yield _case(n, n, _draw(g, 10, 20))


def _cross_attention(g: torch.Generator) -> Iterator[Case]:
    yield _case(2, 5, 3)
    yield _case(_draw(g, 6, 9), _draw(g, 2, 5), _draw(g, 10, 20))


def _batches(g: torch.Generator) -> Iterator[Case]:
    yield _case(3, 3, 2, 5)
    yield _case(_draw(g, 6, 9), _draw(g, 2, 5), _draw(g, 10, 20), _draw(g, 3, 8))


def _large(g: torch.Generator) -> Iterator[Case]:
    yield _case(1024, 1024, 768, 8)
    # Odd sizes: a product of powers of two would fit into a float.
    yield _case(100_003, 200_001, 16_385, 2 * _draw(g, 250, 500) + 1)


# --- Mistakes


def _count(projections, meetings, batch):
    return 2 * batch * (projections + meetings)


def _multiply_adds(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model**2, 2 * n_queries * n_keys * d_model, batch) // 2


def _no_output(n_queries, n_keys, d_model, batch=1):
    return _count((n_queries + 2 * n_keys) * d_model**2, 2 * n_queries * n_keys * d_model, batch)


def _only_the_meetings(n_queries, n_keys, d_model, batch=1):
    return _count(0, 2 * n_queries * n_keys * d_model, batch)


def _only_the_projections(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model**2, 0, batch)


def _only_the_scores(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model**2, n_queries * n_keys * d_model, batch)


def _keys_as_long_as_queries(n_queries, n_keys, d_model, batch=1):
    return _count(4 * n_queries * d_model**2, 2 * n_queries * n_keys * d_model, batch)


def _everything_as_long_as_queries(n_queries, n_keys, d_model, batch=1):
    return _count(4 * n_queries * d_model**2, 2 * n_queries**2 * d_model, batch)


def _d_model_once(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model, 2 * n_queries * n_keys * d_model, batch)


def _d_model_twice(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model**2, 2 * n_queries * n_keys * d_model**2, batch)


def _no_batch(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model**2, 2 * n_queries * n_keys * d_model, 1)


def _texts_see_each_other(n_queries, n_keys, d_model, batch=1):
    projections = batch * 2 * (n_queries + n_keys) * d_model**2
    return 2 * (projections + 2 * (batch * n_queries) * (batch * n_keys) * d_model)


def _output_on_the_keys(n_queries, n_keys, d_model, batch=1):
    return _count((n_queries + 3 * n_keys) * d_model**2, 2 * n_queries * n_keys * d_model, batch)


def _per_position(n_queries, n_keys, d_model, batch=1):
    return _count(4 * d_model**2, 2 * n_queries * n_keys * d_model, batch)


def _through_floats(n_queries, n_keys, d_model, batch=1):
    projections = 4.0 * (n_queries + n_keys) * d_model**2
    return int(batch * (projections + 4 * n_queries * n_keys * d_model))


def _batch_on_the_meetings_only(n_queries, n_keys, d_model, batch=1):
    return 4 * (n_queries + n_keys) * d_model**2 + 4 * batch * n_queries * n_keys * d_model


def _three_from_the_queries(n_queries, n_keys, d_model, batch=1):
    return _count((3 * n_queries + n_keys) * d_model**2, 2 * n_queries * n_keys * d_model, batch)


def _positions_added(n_queries, n_keys, d_model, batch=1):
    return _count(2 * (n_queries + n_keys) * d_model**2, 2 * (n_queries + n_keys) * d_model, batch)


def _with_the_backward_pass(n_queries, n_keys, d_model, batch=1):
    return 3 * _count(2 * (n_queries + n_keys) * d_model**2, 2 * n_queries * n_keys * d_model, batch)


def _one_addition_fewer(n_queries, n_keys, d_model, batch=1):
    projections = 2 * (n_queries + n_keys) * d_model * (2 * d_model - 1)
    meetings = n_queries * n_keys * (2 * d_model - 1) + n_queries * d_model * (2 * n_keys - 1)
    return batch * (projections + meetings)


def _meetings_not_doubled(n_queries, n_keys, d_model, batch=1):
    return batch * (4 * (n_queries + n_keys) * d_model**2 + n_queries * n_keys * d_model)


MISCONCEPTIONS = (
    Misconception(
        "multiply-adds",
        "a multiplication and its addition are counted as one operation",
        "Some tables do that. Here the convention is that they are two.",
        _multiply_adds,
    ),
    Misconception(
        "no-output",
        "the output projection is not counted",
        "After the heads are merged there is one more matrix.",
        _no_output,
    ),
    Misconception(
        "only-the-meetings",
        "only the scores and the averages are counted, no projection",
        "Each position is also multiplied by four matrices.",
        _only_the_meetings,
    ),
    Misconception(
        "only-the-projections",
        "only the four projections are counted",
        "What do the heads do between them? Each query meets each key.",
        _only_the_projections,
    ),
    Misconception(
        "only-the-scores",
        "the averages of the values are not counted",
        "The scores are half of it. Then the weights are multiplied with the values.",
        _only_the_scores,
    ),
    Misconception(
        "keys-as-long-as-queries",
        "keys and values are projected at as many positions as there are queries",
        "In cross-attention they come from another text, of another length.",
        _keys_as_long_as_queries,
    ),
    Misconception(
        "everything-as-long-as-queries",
        "the number of keys does not appear in the count",
        "It is self-attention's count. Where would another number of keys change it?",
        _everything_as_long_as_queries,
    ),
    Misconception(
        "d-model-once",
        "a projection is counted as d_model multiplications a position, not d_model²",
        "A matrix of d_model × d_model, times a vector: how many products is that?",
        _d_model_once,
    ),
    Misconception(
        "d-model-twice",
        "a score is counted as d_model² multiplications",
        "A score is one dot product. Over all heads together its vectors have d_model numbers.",
        _d_model_twice,
    ),
    Misconception(
        "no-batch",
        "the batch is not counted",
        "Each text of the batch costs as much as the first one.",
        _no_batch,
    ),
    Misconception(
        "texts-see-each-other",
        "the texts of a batch are counted as if they attended to each other",
        "A text attends within itself. Twice the batch is twice the cost, no more.",
        _texts_see_each_other,
    ),
    Misconception(
        "output-on-the-keys",
        "the output projection is counted once for each key",
        "What comes out of attention: one vector for each query, or one for each key?",
        _output_on_the_keys,
    ),
    Misconception(
        "per-position",
        "the projections are counted for one position only",
        "Every position of the text has a query, a key and a value of its own.",
        _per_position,
    ),
    Misconception(
        "through-floats",
        "the count goes through a float, which keeps some 16 digits",
        "`2.0 *`, `/` and `1e3` make floats. Stay with whole numbers: `2 *`, and `//` if you must divide.",
        _through_floats,
    ),
    Misconception(
        "batch-on-the-meetings-only",
        "the batch multiplies the scores and averages, and not the projections",
        "The vectors of each text are projected as well.",
        _batch_on_the_meetings_only,
    ),
    Misconception(
        "three-from-the-queries",
        "three projections are counted at the queries and one at the keys",
        "Which text do the keys come from, and which the values?",
        _three_from_the_queries,
    ),
    Misconception(
        "positions-added",
        "queries and keys are added where each one meets each other",
        "3 queries and 5 keys: how many pairs are there?",
        _positions_added,
    ),
    Misconception(
        "with-the-backward-pass",
        "everything is counted three times, as for a step of training",
        "Here only the way forwards is asked for.",
        _with_the_backward_pass,
    ),
    Misconception(
        "one-addition-fewer",
        "a sum of n products is counted with n - 1 additions",
        "True, but the convention is simpler: a multiplication and an addition for each product.",
        _one_addition_fewer,
    ),
    Misconception(
        "meetings-not-doubled",
        "scores and averages together are counted as one operation for each pair and number",
        "They are two matrix products, and in each a multiply-add counts as two.",
        _meetings_not_doubled,
    ),
)


# --- Right answers in another form


def _matrix_product(rows, inner, columns):
    return 2 * rows * inner * columns


def _product_by_product(n_queries, n_keys, d_model, batch=1):
    total = 2 * _matrix_product(n_queries, d_model, d_model)
    total += 2 * _matrix_product(n_keys, d_model, d_model)
    total += _matrix_product(n_queries, d_model, n_keys) + _matrix_product(n_queries, n_keys, d_model)
    return batch * total


def _factored(n_queries, n_keys, d_model, batch=1):
    return 4 * batch * d_model * ((n_queries + n_keys) * d_model + n_queries * n_keys)


def _batch_in_the_rows(n_queries, n_keys, d_model, batch=1):
    projections = sum(2 * batch * n * d_model**2 for n in (n_queries, n_keys, n_keys, n_queries))
    return projections + 4 * batch * n_queries * n_keys * d_model


def _multiplications_and_additions(n_queries, n_keys, d_model, batch=1):
    multiplications = batch * (
        2 * n_queries * d_model**2 + 2 * n_keys * d_model**2 + 2 * n_queries * n_keys * d_model
    )
    additions = multiplications
    return multiplications + additions


ALTERNATIVES = (
    Alternative("product by product", _product_by_product),
    Alternative("one factored formula", _factored),
    Alternative("the batch among the rows", _batch_in_the_rows),
    Alternative("multiplications, then as many additions", _multiplications_and_additions),
)

EXERCISE = Exercise(
    name="accounting.attention_flops",
    number="4.7",
    title="Count the operations",
    minutes=8,
    difficulty=2,
    reference=accounting.attention_flops,
    checks=(
        Check("counts self-attention", 2, _self_attention),
        Check("counts cross-attention, where keys and queries differ in number", 1, _cross_attention),
        Check("counts a batch", 1, _batches),
        Check("stays exact for very large sizes", 1, _large),
    ),
    hints=(
        "List every matrix product of the layer, with its shapes. There are four projections. What else?",
        "A product of a matrix (a, b) with a matrix (b, c) takes 2abc operations. Which products have as "
        "many rows as there are queries, and which as there are keys?",
        "Queries and output are projected at each query, keys and values at each key, each with a square "
        "matrix. The scores and the averages take one product each; all heads together have d_model "
        "numbers a position, so the number of heads does not appear. Stay in whole numbers.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
