"""Exercise 5.5: RMS normalization."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.block import norm_mistakes as shared
from autograder.exercises.block.layer_norm import FORBIDDEN as NORMS
from autograder.exercises.probes import normal, transposed
from llmlib import normalization


def _case(x: Tensor, weight: Tensor, eps: float | None = None, gradient: bool = False) -> Case:
    arguments = {"x": x, "weight": weight}
    return Case(arguments if eps is None else {**arguments, "eps": eps}, gradient=gradient)


# --- Probes: before the check of eps the numbers are so large that an eps of 1e-5 changes nothing.


def _size(g: torch.Generator) -> Iterator[Case]:
    yield _case(30 * normal(g, 4) + 20, torch.ones(4))
    yield _case(20 * normal(g, 3, 5) - 20, torch.ones(5))


def _leading_dimensions(g: torch.Generator) -> Iterator[Case]:
    # Square: a mean without keepdim broadcasts wrongly.
    yield _case(20 * normal(g, 3, 3) + 20, torch.ones(3))
    yield _case(20 * normal(g, 2, 4, 4) + 20, torch.ones(4))
    yield _case(20 * normal(g, 2, 3, 4) + 20, torch.ones(4))
    yield _case(20 * normal(g, 2, 2, 3, 5) + 20, torch.ones(5))


def _weight(g: torch.Generator) -> Iterator[Case]:
    yield _case(20 * normal(g, 3, 4) + 10, normal(g, 4))
    yield _case(20 * normal(g, 2, 3, 5) + 10, normal(g, 5))


def _eps(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 3, 5), normal(g, 5), eps=0.5 + float(torch.rand((), generator=g)))
    yield _case(normal(g, 2, 4), normal(g, 4), eps=4.0)
    # Here the default decides, 1e-5: the mean square is of the same size.
    yield _case(3e-3 * normal(g, 2, 6), normal(g, 6))
    yield _case(torch.zeros(2, 5), normal(g, 5))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 3, 4, dtype=torch.float64), normal(g, 4, dtype=torch.float64), gradient=True)
    yield _case(transposed(g, 2, 3, 4), normal(g, 4))


# --- Mistakes


def _mean_square(x: Tensor) -> Tensor:
    return (x * x).mean(dim=-1, keepdim=True)


def _centred(x, weight, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    return weight * centred / torch.sqrt(_mean_square(centred) + eps)


def _variance_below(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(x.var(dim=-1, keepdim=True, correction=0) + eps)


def _one_fewer(x, weight, eps=1e-5):
    return weight * x / torch.sqrt((x * x).sum(dim=-1, keepdim=True) / (x.shape[-1] - 1) + eps)


def _eps_outside(x, weight, eps=1e-5):
    return weight * x / (torch.sqrt(_mean_square(x)) + eps)


def _without_eps(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x))


def _fixed_eps(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x) + 1e-5)


def _ten_times_eps(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x) + 10 * eps)


def _eps_as_a_floor(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x).clamp(min=eps))


def _eps_in_the_sum(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(((x * x).sum(dim=-1, keepdim=True) + eps) / x.shape[-1])


def _length(x, weight, eps=1e-5):
    return weight * x / torch.sqrt((x * x).sum(dim=-1, keepdim=True) + eps)


def _without_root(x, weight, eps=1e-5):
    return weight * x / (_mean_square(x) + eps)


def _multiplied(x, weight, eps=1e-5):
    return weight * x * torch.sqrt(_mean_square(x) + eps)


def _mean_magnitude(x, weight, eps=1e-5):
    return weight * x / (x.abs().mean(dim=-1, keepdim=True) + eps)


def _over(dim: tuple[int, ...] | None) -> Callable[..., Tensor]:
    def normed(x, weight, eps=1e-5):
        dims = tuple(range(x.dim())) if dim is None else dim
        return weight * x / torch.sqrt((x * x).mean(dim=dims, keepdim=True) + eps)

    return normed


def _without_keepdim(x, weight, eps=1e-5):
    return weight * x / torch.sqrt((x * x).mean(dim=-1) + eps)


def _weight_ignored(x, weight, eps=1e-5):
    return x / torch.sqrt(_mean_square(x) + eps)


def _one_plus_weight(x, weight, eps=1e-5):
    return (1 + weight) * x / torch.sqrt(_mean_square(x) + eps)


def _weight_first(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(weight * x) + eps)


def _weight_added(x, weight, eps=1e-5):
    return x / torch.sqrt(_mean_square(x) + eps) + weight


def _size_detached(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x.detach()) + eps)


def _in_place(x, weight, eps=1e-5):
    x /= torch.sqrt(_mean_square(x) + eps)
    return weight * x


def _always_float32(x, weight, eps=1e-5):
    return weight.float() * x.float() / torch.sqrt(_mean_square(x.float()) + eps)


def _mean_then_square(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(x.mean(dim=-1, keepdim=True) ** 2 + eps)


def _not_squared(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(x.mean(dim=-1, keepdim=True) + eps)


def _torch_s_variance(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(x.var(dim=-1, keepdim=True) + eps)


def _length_over_d(x, weight, eps=1e-5):
    return weight * x / (torch.sqrt((x * x).sum(dim=-1, keepdim=True)) / x.shape[-1] + eps)


def _root_twice(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(torch.sqrt(_mean_square(x) + eps))


def _x_squared(x, weight, eps=1e-5):
    return weight * x**2 / torch.sqrt(_mean_square(x) + eps)


def _eps_squared(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x) + eps**2)


def _eps_twice(x, weight, eps=1e-5):
    return weight * x / (torch.sqrt(_mean_square(x) + eps) + eps)


def _eps_with_the_vector(x, weight, eps=1e-5):
    return weight * (x + eps) / torch.sqrt(_mean_square(x + eps))


def _root_kept_above_eps(x, weight, eps=1e-5):
    return weight * x / torch.sqrt(_mean_square(x)).clamp(min=eps)


def _llama_s_default(x, weight, eps=1e-6):
    return weight * x / torch.sqrt(_mean_square(x) + eps)


def _last_two(x, weight, eps=1e-5):
    return _over((-1,) if x.dim() == 1 else (-2, -1))(x, weight, eps)


def _weight_divides(x, weight, eps=1e-5):
    return x / torch.sqrt(_mean_square(x) + eps) / weight


def _dot_product(x, weight, eps=1e-5):
    return (x / torch.sqrt(_mean_square(x) + eps)) @ weight


MISCONCEPTIONS = (
    Misconception(
        "centred",
        "the mean is taken away first: that is layer normalization",
        "RMS normalization leaves the mean where it is.",
        _centred,
    ),
    Misconception(
        "variance-below",
        "the vector is divided by its standard deviation, which is measured from the mean",
        "The root mean square is measured from zero.",
        _variance_below,
    ),
    Misconception(
        "one-fewer",
        "the sum of squares is divided by d − 1",
        "It is a plain mean: of how many numbers?",
        _one_fewer,
    ),
    Misconception("eps-outside", *shared.eps_outside("a mean square"), _eps_outside),
    Misconception(
        "without-eps",
        "eps does not appear at all",
        "What comes out for a vector of zeros?",
        _without_eps,
    ),
    Misconception("fixed-eps", *shared.FIXED_EPS, _fixed_eps),
    Misconception(
        "ten-times-eps",
        "eps is ten times as large as it should be",
        "With ordinary numbers nobody would notice. Try numbers of the size 0.003.",
        _ten_times_eps,
    ),
    Misconception(
        "eps-as-a-floor",
        "the mean square is kept from falling below eps, and eps is not added",
        "It is always added, also to a mean square that is large enough.",
        _eps_as_a_floor,
    ),
    Misconception(
        "eps-in-the-sum",
        "eps is added to the sum of squares and divided along with it",
        "First the mean, then eps.",
        _eps_in_the_sum,
    ),
    Misconception(
        "length",
        "the vector is divided by its length: the squares are added up and not averaged",
        "What is the mean of the squares of your result? It should be 1.",
        _length,
    ),
    Misconception(
        "without-root",
        "the vector is divided by its mean square, without the root",
        shared.TEN_TIMES_AS_LONG,
        _without_root,
    ),
    Misconception(
        "multiplied",
        "the vector is multiplied by its size instead of divided",
        "Small vectors should come out larger, and large ones smaller.",
        _multiplied,
    ),
    Misconception(
        "mean-magnitude",
        "the mean of the absolute values is used",
        shared.SQUARE_FIRST,
        _mean_magnitude,
    ),
    Misconception("over-everything", "one size serves the whole tensor", shared.EACH_ALONE, _over(None)),
    Misconception("over-first-axis", "the mean runs over the first axis", shared.NO_OTHER_TEXT, _over((0,))),
    Misconception(
        "over-axis-1",
        "the mean runs over axis 1, which is the last one only for a matrix",
        shared.FROM_THE_END,
        _over((1,)),
    ),
    Misconception(
        "without-keepdim",
        "the mean has lost its dimension and divides along the wrong one",
        "Print the shapes of x and of the mean square side by side: do they line up as you mean?",
        _without_keepdim,
    ),
    Misconception("weight-ignored", *shared.WEIGHT_IGNORED, _weight_ignored),
    Misconception("one-plus-weight", *shared.ONE_PLUS_WEIGHT, _one_plus_weight),
    Misconception(
        "weight-first",
        "the size is measured after the weight was applied",
        "Then norming undoes part of what was learned. Measure x itself.",
        _weight_first,
    ),
    Misconception(
        "weight-added",
        "the weight is added, as a shift",
        "This norm has a scale and no shift.",
        _weight_added,
    ),
    Misconception(
        "size-detached",
        "the gradient does not see that the size depends on x",
        "Remove `.detach()` and `no_grad`: the size is part of the function.",
        _size_detached,
    ),
    Misconception("in-place", *mistakes.in_place("x", "/="), _in_place),
    Misconception("always-float32", *mistakes.always_float32(), _always_float32),
    Misconception(
        "mean-then-square",
        "the mean is taken first and squared afterwards",
        "Numbers of both signs would cancel. Square each of them before the mean.",
        _mean_then_square,
    ),
    Misconception(
        "not-squared",
        "the root is taken of the mean of x, and nothing is squared",
        "The name says three things: square, mean, root.",
        _not_squared,
    ),
    Misconception(
        "torch-s-variance",
        "the vector is divided by the root of torch's variance, measured from the mean and with d − 1",
        "The root mean square is measured from zero, and is a plain mean.",
        _torch_s_variance,
    ),
    Misconception(
        "length-over-d",
        "the vector's length is divided by d, not by √d",
        "The mean stands under the root: what becomes of d there? And eps belongs there too.",
        _length_over_d,
    ),
    Misconception("root-twice", "the root is taken twice", shared.TEN_TIMES_AS_LONG, _root_twice),
    Misconception(
        "x-squared",
        "the squares stand above the fraction line too",
        "The squares only measure the size. What is divided is x itself.",
        _x_squared,
    ),
    Misconception("eps-squared", *shared.EPS_SQUARED, _eps_squared),
    Misconception("eps-twice", *shared.EPS_TWICE, _eps_twice),
    Misconception(
        "eps-with-the-vector", "eps is added to x itself", shared.AWAY_FROM_0, _eps_with_the_vector
    ),
    Misconception(
        "root-kept-above-eps",
        "the root mean square is kept from falling below eps, and eps is not added",
        "It is always added, under the root, also to a mean square that is large enough.",
        _root_kept_above_eps,
    ),
    Misconception(
        "llama-s-default",
        "the default of eps is 1e-6",
        "That is what Llama uses. The first line that was given says 1e-5.",
        _llama_s_default,
    ),
    Misconception("last-two", "the mean runs over the last two axes", shared.NO_OTHER_POSITION, _last_two),
    Misconception(
        "weight-divides",
        "the result is divided by the weight",
        "A weight of 2 should double the number at its place.",
        _weight_divides,
    ),
    Misconception("dot-product", *shared.DOT_PRODUCT, _dot_product),
)


# --- Right answers in another form


def _rsqrt(x, weight, eps=1e-5):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def _from_the_length(x, weight, eps=1e-5):
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.sqrt(length * length / x.shape[-1] + eps) * weight


def _einsum(x, weight, eps=1e-5):
    mean_square = torch.einsum("...d,...d->...", x, x) / x.shape[-1]
    return torch.einsum("...d,d,...->...d", x, weight, (mean_square + eps) ** -0.5)


def _variance_and_mean(x, weight, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return weight * (x / (variance + mean**2 + eps).sqrt())


def _in_double_precision(x, weight, eps=1e-5):
    wide = x.double()
    normed = wide / torch.sqrt((wide**2).mean(-1).unsqueeze(-1) + eps)
    return (normed * weight.double()).to(x.dtype)


def _as_llama_does(x, weight, eps=1e-5):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).type_as(x) * weight


ALTERNATIVES = (
    Alternative("by way of float32, as Llama does", _as_llama_does),
    Alternative("rsqrt", _rsqrt),
    Alternative("from the vector's length", _from_the_length),
    Alternative("einsum", _einsum),
    Alternative("variance plus squared mean", _variance_and_mean),
    Alternative("computed in float64, returned in the input's dtype", _in_double_precision),
)

FORBIDDEN = (*NORMS, "torch.rms_norm", "torch.ops.aten.rms_norm", "aten::rms_norm")

SIZE = "brings each vector to root mean square 1"
LEADING = "norms each vector alone, whatever dimensions lie before it"

EXERCISE = Exercise(
    name="normalization.rms_norm",
    number="5.5",
    title="RMS normalization",
    minutes=8,
    difficulty=1,
    reference=normalization.rms_norm,
    checks=(
        Check(SIZE, 2, _size),
        Check(LEADING, 1, _leading_dimensions),
        Check("applies the learned scale", 1, _weight),
        Check("adds eps where it belongs", 2, _eps),
        Check(
            "keeps the dtype, lets gradients through and leaves its inputs alone",
            1,
            _types_and_gradients,
            after=(SIZE, LEADING),
        ),
    ),
    hints=(
        "Read the name from its end: square, mean, root. Which of the three does torch have as a method?",
        "It is your layer normalization with one step left out, and without the shift. eps stays where it "
        "was.",
        "Square x, average over the last dimension and keep that dimension, add eps, take the root, divide x "
        "by it, multiply by the weight.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
