"""Exercise 3.2: softmax, written so that it survives large scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.probes import normal, transposed, whole
from llmlib import attention


def _case(x: Tensor, dim: int | None = None, gradient: bool = False) -> Case:
    return Case({"x": x} if dim is None else {"x": x, "dim": dim}, gradient=gradient)


def _last_dimension(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 4))
    yield _case(normal(g, 2, 3))
    yield _case(normal(g, 3, 3))  # square: a maximum or a sum without keepdim broadcasts the wrong way


def _any_dimension(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 4, 3), 0)
    yield _case(normal(g, 2, 3, 4), 1)
    yield _case(normal(g, 3, 2, 4), -3)
    yield _case(normal(g, 2, 4, 3), 2)


def _large_scores(g: torch.Generator) -> Iterator[Case]:
    # Beyond what exp can bear in float32, but not beyond 128: there even the logarithm of the sum, which some
    # right answers subtract, still has digits enough, if no score is far ahead of the others: the share of
    # such a one does not depend on the scores' last digits, and so the logarithm's show.
    near = whole(g, 2, 4, largest=2)
    yield _case(near + torch.tensor([[115.0], [-5.0]]))  # the largest of all is out of reach for row 1
    yield _case(near - 115.0)
    # Beyond float64, too; with one score so far ahead of the others, no form loses digits.
    far = 100 * torch.randperm(4, generator=g).float()
    yield _case(torch.stack([far + 700, far - 1000]))
    hidden = normal(g, 2, 4)
    hidden[0, 2], hidden[1, 1:] = -torch.inf, -torch.inf  # what a mask will do; the first one stays
    yield _case(hidden)


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, dtype=torch.float64), -1, gradient=True)
    yield _case(transposed(g, 2, 4, 3), 1)


# --- Mistakes


def _right(x, dim):
    exponentials = (x - x.amax(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _overflows(x, dim=-1):
    exponentials = x.exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _global_maximum(x, dim=-1):
    exponentials = (x - x.max()).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _other_maximum(x, dim=-1):
    other = -1 if dim % x.ndim == 0 else 0
    exponentials = (x - x.amax(dim=other, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _largest_magnitude(x, dim=-1):
    exponentials = (x - x.abs().amax(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _divided_by_maximum(x, dim=-1):
    exponentials = (x / x.amax(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _clamped(x, dim=-1):
    exponentials = x.clamp(-80.0, 80.0).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _maximum_without_keepdim(x, dim=-1):
    exponentials = (x - x.amax(dim=dim)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _sum_without_keepdim(x, dim=-1):
    exponentials = (x - x.amax(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim)


def _neither_with_keepdim(x, dim=-1):
    exponentials = (x - x.amax(dim=dim)).exp()
    return exponentials / exponentials.sum(dim=dim)


def _always_last(x, dim=-1):
    return _right(x, -1)


def _always_first(x, dim=-1):
    return _right(x, 0)


def _flattened(x, dim=-1):
    exponentials = (x - x.max()).exp()
    return exponentials / exponentials.sum()


def _not_normalised(x, dim=-1):
    return (x - x.amax(dim=dim, keepdim=True)).exp()


def _without_exponential(x, dim=-1):
    return x / x.sum(dim=dim, keepdim=True)


def _logarithm(x, dim=-1):
    return _right(x, dim).log()


def _sigmoid(x, dim=-1):
    return x.sigmoid()


def _in_place(x, dim=-1):
    x -= x.amax(dim=dim, keepdim=True)
    return x.exp() / x.exp().sum(dim=dim, keepdim=True)


def _detached(x, dim=-1):
    return _right(x.detach(), dim)


def _always_float32(x, dim=-1):
    return _right(x.float(), dim)


def _max_with_its_places(x, dim=-1):
    exponentials = (x - x.max(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _mean_subtracted(x, dim=-1):
    exponentials = (x - x.mean(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _minimum_subtracted(x, dim=-1):
    exponentials = (x - x.amin(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


def _nan_to_zero(x, dim=-1):
    exponentials = x.exp()
    return (exponentials / exponentials.sum(dim=dim, keepdim=True)).nan_to_num(0.0)


def _infinity_to_zero(x, dim=-1):
    return _right(x.nan_to_num(neginf=0.0), dim)


def _base_two(x, dim=-1):
    powers = (x - x.amax(dim=dim, keepdim=True)).exp2()
    return powers / powers.sum(dim=dim, keepdim=True)


def _summed_along_the_last(x, dim=-1):
    exponentials = (x - x.amax(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


def _unit_length(x, dim=-1):
    exponentials = (x - x.amax(dim=dim, keepdim=True)).exp()
    return exponentials / exponentials.norm(dim=dim, keepdim=True)


MISCONCEPTIONS = (
    Misconception(
        "overflows",
        "exp overflows when the scores are large",
        "exp(89) does not fit into float32, and infinity over infinity is not a number. What can you take "
        "away from every score without changing the weights?",
        _overflows,
    ),
    Misconception(
        "global-maximum",
        "the largest number of the whole tensor is subtracted, not the largest along `dim`",
        "A row far below that number underflows to zeros, and 0/0 follows. Give each row its own maximum.",
        _global_maximum,
    ),
    Misconception(
        "other-maximum",
        "the maximum is taken along another dimension than the sum",
        "Taking a number away changes nothing only if everything in one sum loses the same number.",
        _other_maximum,
    ),
    Misconception(
        "largest-magnitude",
        "the largest absolute value is subtracted, not the largest value",
        "With scores near −1000 that pushes every exponential down to 0. The sign matters.",
        _largest_magnitude,
    ),
    Misconception(
        "divided-by-maximum",
        "the scores are divided by their maximum instead of having it subtracted",
        "exp turns a difference into a ratio that cancels; a division of the scores does not cancel.",
        _divided_by_maximum,
    ),
    Misconception(
        "clamped",
        "large scores are cut off before exp",
        "Two different scores beyond the cut get equal weights. There is a way that loses nothing.",
        _clamped,
    ),
    Misconception(
        "maximum-without-keepdim",
        "the maximum has lost its dimension and is subtracted along the wrong one",
        "Print the shapes of x and of the maximum side by side: do they line up as you mean?",
        _maximum_without_keepdim,
    ),
    Misconception(
        "sum-without-keepdim",
        "the sum has lost its dimension and divides along the wrong one",
        "Print the shapes of the exponentials and of their sum side by side: do they line up as you mean?",
        _sum_without_keepdim,
    ),
    Misconception(
        "neither-with-keepdim",
        "both the maximum and the sum have lost their dimension",
        "A reduction drops its dimension unless told to keep it. On a square matrix that goes unnoticed.",
        _neither_with_keepdim,
    ),
    Misconception(
        "always-last",
        "`dim` is ignored and the last dimension always used",
        "The caller chooses the dimension; −1 is only its default.",
        _always_last,
    ),
    Misconception(
        "always-first",
        "the weights sum to 1 down the first dimension, whatever `dim` says",
        "Sum your result over `dim`: every entry should be 1.",
        _always_first,
    ),
    Misconception(
        "flattened",
        "the whole tensor sums to 1, not each row",
        "A sum without a dimension adds up everything. Each row has its own total.",
        _flattened,
    ),
    Misconception(
        "not-normalised",
        "the exponentials are not divided by their sum",
        "Weights are shares of a whole: what do yours add up to?",
        _not_normalised,
    ),
    Misconception(
        "without-exponential",
        "the scores are divided by their sum, without exp",
        "A score may be negative, a weight may not. Which function makes every number positive?",
        _without_exponential,
    ),
    Misconception(
        "logarithm",
        "the logarithm of the weights comes back",
        "All your numbers are negative. One step too many, or one too few?",
        _logarithm,
    ),
    Misconception(
        "sigmoid",
        "each score is squashed on its own, by a sigmoid",
        "The weights of a row compete: when one score grows, the others' weights must shrink.",
        _sigmoid,
    ),
    Misconception("in-place", *mistakes.in_place("x", "-="), _in_place),
    Misconception("detached", *mistakes.detached("the scores"), _detached),
    Misconception("always-float32", *mistakes.always_float32(), _always_float32),
    Misconception(
        "max-with-its-places",
        "`max` along a dimension gives two tensors, values and places, and both are subtracted",
        "Take its `.values`, or use `amax`, which gives the values alone.",
        _max_with_its_places,
    ),
    Misconception(
        "mean-subtracted",
        "the mean is subtracted, not the maximum",
        "The largest score can still lie far above the mean, and its exponential overflows.",
        _mean_subtracted,
    ),
    Misconception(
        "minimum-subtracted",
        "the smallest number is subtracted, not the largest",
        "Then every difference is positive, and exp of it grows without bound. Which sign is harmless?",
        _minimum_subtracted,
    ),
    Misconception(
        "nan-to-zero",
        "exp overflows, and the NaN that comes of it is replaced by 0",
        "The largest score loses its weight, and the row no longer sums to 1. Do not let it overflow.",
        _nan_to_zero,
    ),
    Misconception(
        "infinity-to-zero",
        "a score of −inf is replaced by a number",
        "exp(−inf) is 0, which is right: such a place gets no weight. It needs no help.",
        _infinity_to_zero,
    ),
    Misconception(
        "base-two",
        "powers of 2 stand in the place of powers of e",
        "A score that is one higher should weigh 2.718 times as much.",
        _base_two,
    ),
    Misconception(
        "summed-along-the-last",
        "the maximum follows `dim`, and the sum always takes the last dimension",
        "Both steps belong to the same rows.",
        _summed_along_the_last,
    ),
    Misconception(
        "unit-length",
        "the squares of each row sum to 1, not the weights",
        "A norm is the root of a sum of squares. Divide by the sum itself.",
        _unit_length,
    ),
)


# --- Right answers in another form


def _logsumexp(x, dim=-1):
    return (x - torch.logsumexp(x, dim=dim, keepdim=True)).exp()


def _max_values(x, dim=-1):
    exponentials = torch.exp(x - x.max(dim=dim, keepdim=True).values)
    return exponentials / torch.sum(exponentials, dim, keepdim=True)


def _detached_maximum(x, dim=-1):
    exponentials = (x - x.detach().amax(dim, keepdim=True)).exp_()
    return exponentials * exponentials.sum(dim, keepdim=True).reciprocal()


def _unsqueeze(x, dim=-1):
    exponentials = torch.exp(x - torch.amax(x, dim).unsqueeze(dim))
    return exponentials / exponentials.sum(dim).unsqueeze(dim)


def _dimension_moved_last(x, dim=-1):
    last = x.movedim(dim, -1)
    exponentials = (last - last.amax(-1)[..., None]).exp()
    return (exponentials / exponentials.sum(-1)[..., None]).movedim(-1, dim)


def _slice_by_slice(x, dim=-1):
    slices = x.unbind(dim)
    largest = slices[0]
    for part in slices[1:]:
        largest = torch.maximum(largest, part)
    exponentials = [(part - largest).exp() for part in slices]
    total = sum(exponentials)
    return torch.stack([part / total for part in exponentials], dim=dim)


def _one_pass(x, dim=-1):
    largest, total = torch.full_like(x.select(dim, 0), -torch.inf), torch.zeros_like(x.select(dim, 0))
    for score in x.unbind(dim):
        larger = torch.maximum(largest, score)
        total = total * (largest - larger).exp() + (score - larger).exp()
        largest = larger
    return (x - largest.unsqueeze(dim)).exp() / total.unsqueeze(dim)


def _powers_of_two(x, dim=-1):
    powers = torch.exp2((x - x.amax(dim, keepdim=True)) / torch.tensor(2.0, dtype=torch.float64).log().item())
    return powers / powers.sum(dim, keepdim=True)


def _in_double_precision(x, dim=-1):
    wide = x.double()
    exponentials = (wide - wide.amax(dim, keepdim=True)).exp()
    return (exponentials / exponentials.sum(dim, keepdim=True)).to(x.dtype)


def _two_at_a_time(x, dim=-1):
    total = x.select(dim, 0)
    for score in x.unbind(dim)[1:]:
        total = torch.logaddexp(total, score)
    return (x - total.unsqueeze(dim)).exp()


def _by_the_library_s_norm(x, dim=-1):
    exponentials = (x - x.topk(1, dim=dim).values).exp()
    return torch.nn.functional.normalize(exponentials, p=1.0, dim=dim)


ALTERNATIVES = (
    Alternative("exp of the score less logsumexp", _logsumexp),
    Alternative("max(…).values instead of amax", _max_values),
    Alternative("the maximum detached, the new tensor changed in place", _detached_maximum),
    Alternative("unsqueeze instead of keepdim", _unsqueeze),
    Alternative("the dimension moved to the end and back", _dimension_moved_last),
    Alternative("slice by slice", _slice_by_slice),
    Alternative("maximum and sum in one pass", _one_pass),
    Alternative("powers of two", _powers_of_two),
    Alternative("computed in float64, returned in the input's dtype", _in_double_precision),
    Alternative("logaddexp, two at a time", _two_at_a_time),
    Alternative("topk and the library's normalize", _by_the_library_s_norm),
)

FORBIDDEN = (
    "torch.softmax",
    "torch.Tensor.softmax",
    "torch.special.softmax",
    "torch.nn.functional.softmax",
    "torch.nn.functional.softmin",
    "torch.nn.functional.gumbel_softmax",
    "torch.log_softmax",
    "torch.Tensor.log_softmax",
    "torch.special.log_softmax",
    "torch.nn.functional.log_softmax",
    "torch.nn.functional.cross_entropy",
    "torch.nn.functional.scaled_dot_product_attention",
    "aten::_softmax",
    "aten::_log_softmax",
    "aten::_safe_softmax",
    "aten::_sparse_softmax",
    "aten::_sparse_log_softmax",
    "aten::_masked_softmax",
)

EXERCISE = Exercise(
    name="attention.softmax",
    number="3.2",
    title="Softmax that survives large scores",
    minutes=12,
    difficulty=2,
    reference=attention.softmax,
    checks=(
        Check("makes weights along the last dimension", 2, _last_dimension),
        Check("makes weights along any other dimension", 1, _any_dimension),
        Check("stays right when scores are very large, very small or −inf", 2, _large_scores),
        Check("keeps the dtype, lets gradients through and leaves x alone", 1, _types_and_gradients),
    ),
    hints=(
        "What does exp(1000) give in float32, and what does infinity divided by infinity give?",
        "Softmax stays the same if one number is subtracted from every score of a row. Which number makes "
        "the largest exponent harmless, and which shape must it have so that every row loses its own?",
        "Find the largest score along `dim`, keeping that dimension, and subtract it. Take exponentials. "
        "Divide by their sum along `dim`, keeping that dimension again.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
