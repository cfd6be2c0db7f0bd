"""Exercise 2.3: the cosine of the angle between two vectors, and what to do with zeros."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal, transposed
from llmlib import embedding


def _two_vectors(g: torch.Generator) -> Iterator[Case]:
    yield Case({"a": normal(g, 4), "b": 3 * normal(g, 4)})
    a = normal(g, 3)
    yield Case({"a": a, "b": -2 * a + 0.3 * normal(g, 3)})


def _many_vectors(g: torch.Generator) -> Iterator[Case]:
    yield Case({"a": normal(g, 3, 5), "b": 2 * normal(g, 3, 5)})
    yield Case({"a": normal(g, 4, 4), "b": normal(g, 4, 4) + 1})  # square: the wrong dimension fits
    yield Case({"a": normal(g, 2, 3, 4), "b": normal(g, 2, 3, 4) - 1})


def _broadcast(g: torch.Generator) -> Iterator[Case]:
    yield Case({"a": normal(g, 5), "b": normal(g, 3, 5)})
    yield Case({"a": normal(g, 4, 1, 5), "b": normal(g, 3, 5)})


def _no_direction(g: torch.Generator) -> Iterator[Case]:
    a, b = normal(g, 4, 3), normal(g, 4, 3)
    a[0], b[1], a[2], b[2] = 0.0, 0.0, 0.0, 0.0
    yield Case({"a": a, "b": b})
    yield Case({"a": normal(g, 2), "b": torch.zeros(2)})


def _short_and_long(g: torch.Generator) -> Iterator[Case]:
    yield Case({"a": 1e-5 * normal(g, 3, 4), "b": 1e-5 * normal(g, 3, 4)})
    yield Case({"a": 1e5 * normal(g, 3, 4), "b": 1e-5 * normal(g, 3, 4)})


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    a, b = (normal(g, 3, 4, dtype=torch.float64) for _ in range(2))
    yield Case({"a": a, "b": b}, gradient=True)
    yield Case({"a": transposed(g, 3, 5), "b": normal(g, 3, 5)})


# --- Mistakes


def _safe(lengths):
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))


def _size(x):
    return x.square().sum(-1).sqrt()


def _dot(a, b):
    return torch.einsum("...d,...d->...", *torch.broadcast_tensors(a, b))


def _right(a, b):
    return _dot(a, b) / _safe(_size(a) * _size(b))


def _dot_product(a, b):
    return _dot(a, b)


def _nan_for_zeros(a, b):
    return _dot(a, b) / (_size(a) * _size(b))


def _one_for_zeros(a, b):
    return torch.where(_size(a) * _size(b) > 0, _right(a, b), 1.0)


def _eps_added(a, b):
    return _dot(a, b) / (_size(a) * _size(b) + 1e-8)


def _absolute(a, b):
    return _right(a, b).abs()


def _distance(a, b):
    return 1 - _right(a, b)


def _angle(a, b):
    return torch.acos(_right(a, b).clamp(-1, 1))


def _first_length_only(a, b):
    return _dot(a, b) / _safe(_size(a) * torch.ones_like(_size(b)))


def _second_length_only(a, b):
    return _dot(a, b) / _safe(torch.ones_like(_size(a)) * _size(b))


def _without_roots(a, b):
    return _dot(a, b) / _safe(a.square().sum(-1) * b.square().sum(-1))


def _lengths_added(a, b):
    return _dot(a, b) / _safe(_size(a) + _size(b))


def _sums_of_magnitudes(a, b):
    return _dot(a, b) / _safe(a.abs().sum(-1) * b.abs().sum(-1))


def _first_dimension(a, b):
    if min(a.ndim, b.ndim) < 2:
        return _right(a, b)
    a, b = torch.broadcast_tensors(a, b)
    return _right(a.movedim(0, -1), b.movedim(0, -1))


def _over_everything(a, b):
    return _dot(a, b) / _safe(a.square().sum().sqrt() * b.square().sum().sqrt())


def _dimension_kept(a, b):
    return _right(a, b)[..., None]


def _centred(a, b):
    return _right(a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True))


def _in_place(a, b):
    a /= _safe(_size(a))[..., None]
    return _right(a, b)


def _detached(a, b):
    return _right(a.detach(), b.detach())


def _one_if_for_all(a, b):
    lengths = a.norm(dim=-1) * b.norm(dim=-1)
    if lengths == 0:
        return torch.zeros_like(lengths)
    return (a * b).sum(dim=-1) / lengths


def _product_raised(a, b):
    return _dot(a, b) / (_size(a) * _size(b)).clamp(min=1e-8)


def _short_is_zero(a, b):
    lengths = _size(a) * _size(b)
    return torch.where(lengths < 1e-6, torch.zeros_like(lengths), _right(a, b))


def _matrix_product(a, b):
    return a @ b / _safe(_size(a) * _size(b))


def _all_pairs(a, b):
    return _dot(a, b) / _safe(_size(a) * _size(b)) if a.ndim == 1 else _units(a) @ _units(b).transpose(-2, -1)


def _units(x):
    return x / _safe(_size(x))[..., None]


def _lengths_kept_a_dimension(a, b):
    return _dot(a, b) / _safe(_size(a) * _size(b))[..., None]


def _dimension_1(a, b):
    lengths = a.norm(dim=1) * b.norm(dim=1)
    return (a * b).sum(1) / _safe(lengths)


def _averaged(a, b):
    return _right(a, b) / a.shape[-1]


MISCONCEPTIONS = (
    Misconception(
        "dot-product",
        "nothing is divided: this is the dot product",
        "Make one vector twice as long: should it be twice as similar?",
        _dot_product,
    ),
    Misconception(
        "nan-for-zeros",
        "a vector of zeros gives NaN",
        "Its length is 0, and 0/0 is not a number. Which divisor would give the 0 that is asked for?",
        _nan_for_zeros,
    ),
    Misconception(
        "one-for-zeros",
        "a vector of zeros is similar to everything",
        "A vector without direction is asked to be similar to nothing: 0, not 1.",
        _one_for_zeros,
    ),
    Misconception(
        "eps-added",
        "a small number is added to the product of the lengths",
        "Against very short vectors that number is not small. It is needed only where the product is 0.",
        _eps_added,
    ),
    Misconception(
        "absolute",
        "the sign is lost",
        "Opposite directions have similarity -1.",
        _absolute,
    ),
    Misconception(
        "distance",
        "this is a distance: 0 for equal directions",
        "One minus the similarity is a measure of difference. What is asked for grows with likeness.",
        _distance,
    ),
    Misconception(
        "angle",
        "the angle comes back instead of its cosine",
        "The formula gives the cosine itself, without an inverse function.",
        _angle,
    ),
    Misconception(
        "first-length-only",
        "only the length of the first vector is divided out",
        "Make the second vector twice as long: should it be twice as similar?",
        _first_length_only,
    ),
    Misconception(
        "second-length-only",
        "only the length of the second vector is divided out",
        "Make the first vector twice as long: should it be twice as similar?",
        _second_length_only,
    ),
    Misconception(
        "without-roots",
        "the squared lengths are divided out",
        "The length of (3, 4) is 5, not 25.",
        _without_roots,
    ),
    Misconception(
        "lengths-added",
        "the lengths are added, not multiplied",
        "The dot product grows with each of the two lengths as a factor.",
        _lengths_added,
    ),
    Misconception(
        "sums-of-magnitudes",
        "the sums of absolute values are taken for lengths",
        "The length of (3, 4) is 5, not 7.",
        _sums_of_magnitudes,
    ),
    Misconception(
        "first-dimension",
        "the first dimension is taken for the vectors",
        "The numbers of one vector stand along the last dimension.",
        _first_dimension,
    ),
    Misconception(
        "over-everything",
        "one length is taken of the whole tensor",
        "A norm without a dimension adds up everything. Each vector has its own length.",
        _over_everything,
    ),
    Misconception(
        "dimension-kept",
        "the result has a dimension of size 1 too many",
        "One number for each pair: the last dimension disappears.",
        _dimension_kept,
    ),
    Misconception(
        "centred",
        "the mean of each vector is subtracted first: this is a correlation",
        "The angle is measured from the origin, not from a vector's own mean.",
        _centred,
    ),
    Misconception(
        "in-place",
        "`a` itself is changed",
        "`/=` writes into the caller's tensor. Make a new one.",
        _in_place,
    ),
    Misconception(
        "detached",
        "no gradient flows back",
        "Look for `.detach()`, `.item()`, `.numpy()` or `no_grad` on the way.",
        _detached,
    ),
    Misconception(
        "one-if-for-all",
        "an `if` asks all vectors at once whether they are zeros",
        "`if` needs one answer, and here each vector has its own. Decide place by place, with a tensor.",
        _one_if_for_all,
    ),
    Misconception(
        "product-raised",
        "the product of the lengths is never taken to be smaller than 1e-8",
        "Two vectors of length 1e-5 have a product of 1e-10. Only a product of 0 needs help.",
        _product_raised,
    ),
    Misconception(
        "short-is-zero",
        "short vectors are treated as if they were zeros",
        "However short a vector is, it has a direction. Ask for exactly 0.",
        _short_is_zero,
    ),
    Misconception(
        "matrix-product",
        "`@` stands between a and b: a dot product for two vectors, a matrix product for more",
        "Multiply number by number, then add up along the last dimension: that works for any shape.",
        _matrix_product,
    ),
    Misconception(
        "all-pairs",
        "every vector of a is compared with every vector of b",
        "Row i of a belongs to row i of b. Who wants all pairs gives a one dimension more, and broadcasts.",
        _all_pairs,
    ),
    Misconception(
        "lengths-kept-a-dimension",
        "the lengths have a dimension of size 1 that the dot products have not",
        "Print both shapes. Three sums over the last dimension: all with `keepdim=True`, or none.",
        _lengths_kept_a_dimension,
    ),
    Misconception(
        "dimension-1",
        "the vectors are taken along dimension 1, which is the last one only in a table",
        "Count from the end: −1 is the last dimension of any shape.",
        _dimension_1,
    ),
    Misconception(
        "averaged",
        "the products are averaged, not summed",
        "A dot product is a sum. (2, 0) and (2, 0) have the similarity 1.",
        _averaged,
    ),
)


# --- Right answers in another form


def _unit_vectors(a, b):
    units = [x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12) for x in (a, b)]
    return (units[0] * units[1]).sum(-1)


def _normalised(a, b):
    return (torch.nn.functional.normalize(a, dim=-1) * torch.nn.functional.normalize(b, dim=-1)).sum(-1)


def _einsum(a, b):
    lengths = torch.einsum("...d,...d->...", a, a).sqrt() * torch.einsum("...d,...d->...", b, b).sqrt()
    dots = torch.einsum("...d,...d->...", *torch.broadcast_tensors(a, b))
    return torch.where(lengths == 0, torch.zeros_like(lengths), dots / torch.where(lengths == 0, 1, lengths))


def _where(a, b):
    lengths = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return torch.where(lengths > 0, (a * b).sum(-1) / torch.where(lengths > 0, lengths, 1.0), 0.0)


def _rows_times_columns(a, b):
    a, b = torch.broadcast_tensors(a, b)
    dots = (a.unsqueeze(-2) @ b.unsqueeze(-1)).squeeze(-1).squeeze(-1)
    return dots / a.norm(dim=-1).clamp(min=1e-10) / b.norm(dim=-1).clamp(min=1e-10)


def _root_of_both(a, b):
    squares = a.square().sum(-1) * b.square().sum(-1)
    return (a * b).sum(-1) * torch.where(squares > 0, squares, torch.ones_like(squares)).rsqrt()


def _written_where_it_is_defined(a, b):
    lengths = a.norm(dim=-1) * b.norm(dim=-1)
    result, some = torch.zeros_like(lengths), lengths != 0
    result[some] = (a * b).sum(-1)[some] / lengths[some]
    return result


def _distance_of_the_units(a, b):
    units = [x / x.norm(dim=-1, keepdim=True).clamp(min=1e-30) for x in (a, b)]
    nothing = (units[0] == 0).all(-1) | (units[1] == 0).all(-1)
    return (1 - (units[0] - units[1]).square().sum(-1) / 2).masked_fill(nothing, 0.0)


ALTERNATIVES = (
    Alternative("unit vectors first", _unit_vectors),
    Alternative("torch's normalize", _normalised),
    Alternative("einsum", _einsum),
    Alternative("where", _where),
    Alternative("rows times columns", _rows_times_columns),
    Alternative("one root of both squares", _root_of_both),
    Alternative("written only where it is defined", _written_where_it_is_defined),
    Alternative("the distance of the unit vectors", _distance_of_the_units),
)

EXERCISE = Exercise(
    name="embedding.cosine_similarity",
    number="2.3",
    title="Cosine similarity",
    minutes=10,
    difficulty=2,
    reference=embedding.cosine_similarity,
    checks=(
        Check("gives the cosine for two vectors", 2, _two_vectors),
        Check("works along the last dimension of many vectors", 1, _many_vectors),
        Check("compares one vector with many", 1, _broadcast),
        Check("gives 0 for a vector of zeros", 1, _no_direction),
        Check("does not care how short or long the vectors are", 1, _short_and_long),
        Check("keeps the dtype, lets gradients through and leaves its inputs alone", 1, _types_and_gradients),
    ),
    hints=(
        "Three numbers are needed for each pair: the dot product and two lengths. All three are sums over "
        "the last dimension.",
        "Where the product of the lengths is 0, the dot product is 0 as well. Any divisor other than 0 is "
        "right there.",
        "`masked_fill(m, x)` puts x wherever m is True. Fill only the places where the divisor is 0.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={
        "return (a * b).sum(dim=-1) / lengths.masked_fill(lengths == 0, 1.0)  ⟶  1.0 becomes 2.0": (
            "where the product of the lengths is 0 the dot product is 0, and 0 divided by 2 is 0 as well"
        ),
    },
    forbidden=(
        "torch.cosine_similarity",
        "torch.nn.functional.cosine_similarity",
        "torch.nn.functional.cosine_embedding_loss",
        "aten::cosine_similarity",
    ),
)
