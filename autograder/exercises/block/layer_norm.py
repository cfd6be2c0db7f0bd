"""Exercise 5.4: layer normalization. Its wrong answers are also the mutants of exercise 5.6."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.block import norm_mistakes as shared
from autograder.exercises.probes import normal, transposed
from llmlib import normalization


def _case(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float | None = None, gradient: bool = False
) -> Case:
    arguments = {"x": x, "weight": weight, "bias": bias, "eps": eps}
    return Case({n: v for n, v in arguments.items() if v is not None}, gradient=gradient)


# --- Probes: before the check of eps the numbers are so large that an eps of 1e-5 changes nothing.


def _mean_and_variance(g: torch.Generator) -> Iterator[Case]:
    yield _case(30 * normal(g, 4) + 10, torch.ones(4))
    yield _case(20 * normal(g, 3, 5) - 10, torch.ones(5))


def _leading_dimensions(g: torch.Generator) -> Iterator[Case]:
    # Square: a mean without keepdim broadcasts wrongly.
    yield _case(20 * normal(g, 3, 3) + 10, torch.ones(3))
    yield _case(20 * normal(g, 2, 4, 4) + 10, torch.ones(4))
    yield _case(20 * normal(g, 2, 3, 4) + 10, torch.ones(4))
    yield _case(20 * normal(g, 2, 2, 3, 5) + 10, torch.ones(5))


def _weight_and_bias(g: torch.Generator) -> Iterator[Case]:
    yield _case(20 * normal(g, 3, 4), normal(g, 4))
    yield _case(20 * normal(g, 3, 4), normal(g, 4), normal(g, 4))
    yield _case(20 * normal(g, 2, 3, 5), normal(g, 5), normal(g, 5))


def _eps(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 3, 5), normal(g, 5), normal(g, 5), eps=0.5 + float(torch.rand((), generator=g)))
    yield _case(normal(g, 2, 4), normal(g, 4), eps=4.0)
    # Here the default decides, 1e-5: the variance is of the same size.
    yield _case(3e-3 * normal(g, 2, 6), normal(g, 6), normal(g, 6))
    yield _case(normal(g, 2, 1).expand(2, 5).contiguous(), normal(g, 5), normal(g, 5))  # constant vectors


def _far_from_zero(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 4, 6) + 3000.0, torch.ones(6))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    x, weight, bias = (normal(g, *shape, dtype=torch.float64) for shape in ((3, 4), (4,), (4,)))
    yield _case(x, weight, bias, gradient=True)
    yield _case(transposed(g, 2, 3, 4), normal(g, 4))


# --- Mistakes


def _finish(normed: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    normed = normed * weight
    return normed if bias is None else normed + bias


def _parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """The centred vector and its biased variance."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred, (centred * centred).mean(dim=-1, keepdim=True)


def _unbiased(x, weight, bias=None, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    return _finish(centred / torch.sqrt(x.var(dim=-1, keepdim=True) + eps), weight, bias)


def _eps_outside(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / (torch.sqrt(variance) + eps), weight, bias)


def _without_eps(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance), weight, bias)


def _fixed_eps(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance + 1e-5), weight, bias)


def _eps_squared(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance + eps**2), weight, bias)


def _eps_as_a_floor(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance.clamp(min=eps)), weight, bias)


def _without_root(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / (variance + eps), weight, bias)


def _not_centred(x, weight, bias=None, eps=1e-5):
    return _finish(x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + eps), weight, bias)


def _centred_below_only(x, weight, bias=None, eps=1e-5):
    return _finish(x / torch.sqrt(_parts(x)[1] + eps), weight, bias)


def _only_centred(x, weight, bias=None, eps=1e-5):
    return _finish(_parts(x)[0], weight, bias)


def _sum_of_squares(x, weight, bias=None, eps=1e-5):
    centred = _parts(x)[0]
    return _finish(centred / torch.sqrt((centred**2).sum(dim=-1, keepdim=True) + eps), weight, bias)


def _mean_deviation(x, weight, bias=None, eps=1e-5):
    centred = _parts(x)[0]
    return _finish(centred / (centred.abs().mean(dim=-1, keepdim=True) + eps), weight, bias)


def _over(dim: tuple[int, ...] | None) -> Callable[..., Tensor]:
    def normed(x, weight, bias=None, eps=1e-5):
        dims = tuple(range(x.dim())) if dim is None else dim
        centred = x - x.mean(dim=dims, keepdim=True)
        variance = centred.square().mean(dim=dims, keepdim=True)
        return _finish(centred / torch.sqrt(variance + eps), weight, bias)

    return normed


def _last_two(x, weight, bias=None, eps=1e-5):
    return _over((-1,) if x.dim() == 1 else (-2, -1))(x, weight, bias, eps)


def _mean_without_keepdim(x, weight, bias=None, eps=1e-5):
    centred = x - x.mean(dim=-1)
    return _finish(centred / torch.sqrt(x.var(dim=-1, keepdim=True, correction=0) + eps), weight, bias)


def _neither_with_keepdim(x, weight, bias=None, eps=1e-5):
    return _finish((x - x.mean(dim=-1)) / torch.sqrt(x.var(dim=-1, correction=0) + eps), weight, bias)


def _weight_ignored(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance + eps), torch.ones_like(weight), bias)


def _one_plus_weight(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance + eps), 1 + weight, bias)


def _bias_ignored(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance + eps), weight, None)


def _bias_weighted(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    normed = centred / torch.sqrt(variance + eps)
    return weight * (normed if bias is None else normed + bias)


def _weight_first(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(weight * x)
    return _finish(centred / torch.sqrt(variance + eps), torch.ones_like(weight), bias)


def _difference_of_squares(x, weight, bias=None, eps=1e-5):
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x * x).mean(dim=-1, keepdim=True) - mean * mean
    return _finish((x - mean) / torch.sqrt(variance + eps), weight, bias)


def _statistics_detached(x, weight, bias=None, eps=1e-5):
    mean, variance = x.detach().mean(dim=-1, keepdim=True), _parts(x.detach())[1]
    return _finish((x - mean) / torch.sqrt(variance + eps), weight, bias)


def _in_place(x, weight, bias=None, eps=1e-5):
    x -= x.mean(dim=-1, keepdim=True)
    return _finish(x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps), weight, bias)


def _always_float32(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x.float())
    normed = centred / torch.sqrt(variance + eps)
    return _finish(normed, weight.float(), None if bias is None else bias.float())


def _torch_s_std(x, weight, bias=None, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    return _finish(centred / (x.std(dim=-1, keepdim=True) + eps), weight, bias)


def _square_from_zero(x, weight, bias=None, eps=1e-5):
    mean_square = (x * x).mean(dim=-1, keepdim=True)
    return _finish(_parts(x)[0] / torch.sqrt(mean_square + eps), weight, bias)


def _variance_without_keepdim(x, weight, bias=None, eps=1e-5):
    return _finish(_parts(x)[0] / torch.sqrt(x.var(dim=-1, correction=0) + eps), weight, bias)


def _multiplied(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred * torch.sqrt(variance + eps), weight, bias)


def _eps_twice(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / (torch.sqrt(variance + eps) + eps), weight, bias)


def _eps_taken_away(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance - eps), weight, bias)


def _eps_with_the_vector(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish((centred + eps) / torch.sqrt(variance), weight, bias)


def _root_kept_above_eps(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance).clamp(min=eps), weight, bias)


def _right(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance + eps), weight, bias)


def _exchanged(x, weight, bias=None, eps=1e-5):
    return _right(x, weight, None, eps) if bias is None else _right(x, bias, weight, eps)


def _bias_taken_away(x, weight, bias=None, eps=1e-5):
    return _right(x, weight, None if bias is None else -bias, eps)


def _bias_first(x, weight, bias=None, eps=1e-5):
    return _right(x if bias is None else x + bias, weight, None, eps)


def _weight_squared(x, weight, bias=None, eps=1e-5):
    return _right(x, weight * weight, bias, eps)


def _dot_product(x, weight, bias=None, eps=1e-5):
    normed = _right(x, torch.ones_like(weight), None, eps) @ weight
    return normed if bias is None else normed + bias


def _truth_of_bias(x, weight, bias=None, eps=1e-5):
    normed = _right(x, weight, None, eps)
    return normed + bias if bias else normed


def _none_added(x, weight, bias=None, eps=1e-5):
    return _right(x, weight, None, eps) + bias


def _stream_added(x, weight, bias=None, eps=1e-5):
    return x + _right(x, weight, bias, eps)


def _between_0_and_1(x, weight, bias=None, eps=1e-5):
    least, most = x.amin(dim=-1, keepdim=True), x.amax(dim=-1, keepdim=True)
    return _finish((x - least) / (most - least + eps), weight, bias)


def _variance_detached(x, weight, bias=None, eps=1e-5):
    centred, variance = _parts(x)
    return _finish(centred / torch.sqrt(variance.detach() + eps), weight, bias)


def _mean_detached(x, weight, bias=None, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True).detach()
    return _finish(centred / torch.sqrt(_parts(x)[1] + eps), weight, bias)


def _all_detached(x, weight, bias=None, eps=1e-5):
    return _right(x.detach(), weight, bias, eps)


MISCONCEPTIONS = (
    Misconception(
        "unbiased",
        "the variance is divided by d − 1, not by d",
        "`var` and `std` of torch divide by d − 1 unless told otherwise. Layer normalization takes the plain "
        "mean of the squares.",
        _unbiased,
    ),
    Misconception("eps-outside", *shared.eps_outside("a variance"), _eps_outside),
    Misconception(
        "without-eps",
        "eps does not appear at all",
        "A vector of equal numbers has the variance 0. What is 0/0?",
        _without_eps,
    ),
    Misconception("fixed-eps", *shared.FIXED_EPS, _fixed_eps),
    Misconception("eps-squared", *shared.EPS_SQUARED, _eps_squared),
    Misconception(
        "eps-as-a-floor",
        "the variance is kept from falling below eps, and eps is not added",
        "It is always added, also to a variance that is large enough.",
        _eps_as_a_floor,
    ),
    Misconception(
        "without-root",
        "the vector is divided by its variance, not by its standard deviation",
        shared.TEN_TIMES_AS_LONG,
        _without_root,
    ),
    Misconception(
        "not-centred",
        "the mean is not taken away: that is RMS normalization",
        "What is the mean of your result?",
        _not_centred,
    ),
    Misconception(
        "centred-below-only",
        "the mean is taken away for the variance, but not from the vector itself",
        "What is the mean of your result?",
        _centred_below_only,
    ),
    Misconception(
        "only-centred",
        "the mean is taken away, and nothing is divided",
        "What is the variance of your result?",
        _only_centred,
    ),
    Misconception(
        "sum-of-squares",
        "the squares are added up and not averaged",
        "The variance is an average: what is the sum divided by?",
        _sum_of_squares,
    ),
    Misconception(
        "mean-deviation",
        "the mean distance from the mean is used, not the root of the mean square",
        shared.SQUARE_FIRST,
        _mean_deviation,
    ),
    Misconception(
        "over-everything",
        "one mean and one variance serve the whole tensor",
        shared.EACH_ALONE,
        _over(None),
    ),
    Misconception(
        "over-first-axis",
        "mean and variance run over the first axis, as in batch normalization",
        shared.NO_OTHER_TEXT,
        _over((0,)),
    ),
    Misconception(
        "over-axis-1",
        "mean and variance run over axis 1, which is the last one only for a matrix",
        shared.FROM_THE_END,
        _over((1,)),
    ),
    Misconception(
        "last-two", "mean and variance run over the last two axes", shared.NO_OTHER_POSITION, _last_two
    ),
    Misconception(
        "mean-without-keepdim",
        "the mean has lost its dimension and is taken away along the wrong one",
        "Print the shapes of x and of the mean side by side: do they line up as you mean?",
        _mean_without_keepdim,
    ),
    Misconception(
        "neither-with-keepdim",
        "mean and variance have both lost their dimension",
        "A reduction drops its dimension unless told to keep it. On a square matrix that goes unnoticed.",
        _neither_with_keepdim,
    ),
    Misconception("weight-ignored", *shared.WEIGHT_IGNORED, _weight_ignored),
    Misconception("one-plus-weight", *shared.ONE_PLUS_WEIGHT, _one_plus_weight),
    Misconception(
        "bias-ignored",
        "the learned shift is not applied",
        "`bias` belongs in the result, unless it is None.",
        _bias_ignored,
    ),
    Misconception(
        "bias-weighted",
        "the shift is multiplied by the weight too",
        "First scale, then shift.",
        _bias_weighted,
    ),
    Misconception(
        "weight-first",
        "the weight is applied before the vector is normed",
        "Then norming undoes half of what was learned. The scale comes after.",
        _weight_first,
    ),
    Misconception(
        "difference-of-squares",
        "the variance is computed as mean of squares less square of the mean, which loses all digits far "
        "from zero",
        "Two numbers near 9,000,000 are subtracted there. Take the mean away first, then square.",
        _difference_of_squares,
    ),
    Misconception(
        "statistics-detached",
        "the gradient does not see that mean and variance depend on x",
        "Remove `.detach()` and `no_grad`: mean and variance are part of the function.",
        _statistics_detached,
    ),
    Misconception("in-place", *mistakes.in_place("x", "-="), _in_place),
    Misconception("always-float32", *mistakes.always_float32(), _always_float32),
    Misconception(
        "torch-s-std",
        "`std` of torch is used, which divides by d − 1, and eps is added to it",
        "Two things at once: which variance divides by d, and on which side of the root does eps stand?",
        _torch_s_std,
    ),
    Misconception(
        "square-from-zero",
        "the mean is taken away from the vector, but not before the squares are averaged",
        "The variance is measured from the mean: square what is left once the mean is gone.",
        _square_from_zero,
    ),
    Misconception(
        "variance-without-keepdim",
        "the variance has lost its dimension and divides along the wrong one",
        "Print the shapes of x and of the variance side by side: do they line up as you mean?",
        _variance_without_keepdim,
    ),
    Misconception(
        "multiplied",
        "the vector is multiplied by its standard deviation, not divided",
        "A wide vector should come out narrower.",
        _multiplied,
    ),
    Misconception("eps-twice", *shared.EPS_TWICE, _eps_twice),
    Misconception(
        "eps-taken-away",
        "eps is subtracted from the variance",
        "A small variance would become negative, and has no root then.",
        _eps_taken_away,
    ),
    Misconception(
        "eps-with-the-vector",
        "eps is added above the fraction line",
        shared.AWAY_FROM_0,
        _eps_with_the_vector,
    ),
    Misconception(
        "root-kept-above-eps",
        "the standard deviation is kept from falling below eps, and eps is not added",
        "It is always added, to the variance, also to one that is large enough.",
        _root_kept_above_eps,
    ),
    Misconception(
        "exchanged",
        "weight and bias have changed places",
        "Which of the two multiplies, and which is added?",
        _exchanged,
    ),
    Misconception(
        "bias-taken-away",
        "the learned shift is subtracted",
        "A bias of 1 should make every number larger by 1.",
        _bias_taken_away,
    ),
    Misconception(
        "bias-first",
        "the shift is added before the vector is normed",
        "Then norming takes part of it away again. The shift comes last.",
        _bias_first,
    ),
    Misconception(
        "weight-squared",
        "the weight is applied twice",
        "Follow `weight` through your lines: how often is it multiplied in?",
        _weight_squared,
    ),
    Misconception("dot-product", *shared.DOT_PRODUCT, _dot_product),
    Misconception(
        "truth-of-bias",
        "a tensor is asked whether it is true",
        "A tensor of several numbers is neither true nor false. Ask whether `bias` is None.",
        _truth_of_bias,
    ),
    Misconception(
        "none-added",
        "`bias` is added even when it is None",
        "None is no number. Ask first whether there is a bias.",
        _none_added,
    ),
    Misconception(
        "stream-added",
        "x is added to the normed vector",
        "That sum belongs to the block, further down. Here only the normed vector comes back.",
        _stream_added,
    ),
    Misconception(
        "between-0-and-1",
        "the vector is brought to the range from 0 to 1",
        "That is another way of norming. What are mean and variance of your result?",
        _between_0_and_1,
    ),
    Misconception(
        "variance-detached",
        "the gradient does not see that the variance depends on x",
        "Remove `.detach()` and `no_grad`: the variance is part of the function.",
        _variance_detached,
    ),
    Misconception(
        "mean-detached",
        "the gradient does not see that the mean depends on x",
        "Remove `.detach()` and `no_grad`: the mean is part of the function.",
        _mean_detached,
    ),
    Misconception("all-detached", *mistakes.detached("x"), _all_detached),
)


# --- Right answers in another form


def _library_variance(x, weight, bias=None, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    normed = (x - mean) * torch.rsqrt(variance + eps)
    return normed * weight if bias is None else torch.addcmul(bias, normed, weight)


def _sums(x, weight, bias=None, eps=1e-5):
    d = x.shape[-1]
    centred = x - (x.sum(-1) / d).unsqueeze(-1)
    variance = (centred**2).sum(-1) / d
    result = weight * (centred / (variance + eps).sqrt()[..., None])
    return result if bias is None else result + bias


def _corrected(x, weight, bias=None, eps=1e-5):
    d = x.size(-1)
    unbiased = x.std(-1, keepdim=True, unbiased=True) ** 2
    result = (x - x.mean(-1, keepdim=True)) / (unbiased * (d - 1) / d + eps).pow(0.5) * weight
    if bias is not None:
        result = result + bias
    return result


def _as_matrices(x, weight, bias=None, eps=1e-5):
    d = x.shape[-1]
    averaging = torch.full((d, d), 1 / d, dtype=x.dtype, device=x.device)
    centred = x - x @ averaging
    result = centred / torch.sqrt(centred.pow(2) @ averaging + eps) * weight
    return result if bias is None else result + bias


def _vector_by_vector(x, weight, bias=None, eps=1e-5):
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        centred = row - row.mean()
        rows.append(centred / torch.sqrt((centred @ centred) / len(row) + eps) * weight)
    result = torch.stack(rows).reshape(x.shape)
    return result if bias is None else result + bias


ALTERNATIVES = (
    Alternative("var_mean with correction 0, rsqrt and addcmul", _library_variance),
    Alternative("sums divided by d", _sums),
    Alternative("torch's std, corrected", _corrected),
    Alternative("the mean as a matrix product", _as_matrices),
    Alternative("vector by vector", _vector_by_vector),
)

FORBIDDEN = (
    "torch.layer_norm",
    "torch.native_layer_norm",
    "torch.nn.functional.layer_norm",
    "torch.group_norm",
    "torch.nn.functional.group_norm",
    "torch.nn.functional.instance_norm",
    "torch.nn.functional.batch_norm",
    "torch.nn.functional.rms_norm",
    "aten::layer_norm",
    "aten::native_layer_norm",
    "aten::native_group_norm",
    "aten::native_batch_norm",
    "aten::_fused_rms_norm",
)

STATISTICS = "brings each vector to mean 0 and variance 1"
LEADING = "norms each vector alone, whatever dimensions lie before it"

EXERCISE = Exercise(
    name="normalization.layer_norm",
    number="5.4",
    title="Layer normalization",
    minutes=12,
    difficulty=2,
    reference=normalization.layer_norm,
    checks=(
        Check(STATISTICS, 2, _mean_and_variance),
        Check(LEADING, 1, _leading_dimensions),
        Check("applies the learned scale, then the learned shift", 1, _weight_and_bias),
        Check("adds eps where it belongs", 2, _eps),
        Check("keeps its digits far from zero", 1, _far_from_zero),
        Check(
            "keeps the dtype, lets gradients through and leaves its inputs alone",
            1,
            _types_and_gradients,
            after=(STATISTICS, LEADING),
        ),
    ),
    hints=(
        "Two statistics of each vector are needed: its mean, and the mean of its squared distances from "
        "that. `dim=-1` asks for the last dimension; `keepdim=True` keeps it, with length 1.",
        "Where does eps act: on the variance, or on its root? And which of torch's variances divides by d?",
        "Take the mean away. Average the squares of what is left. Add eps, take the root, divide by it. Then "
        "multiply by the weight, and add the bias if there is one.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
