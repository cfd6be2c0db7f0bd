"""Exercise 0.1: the average of the squared differences."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import tensors


def _case(prediction: Tensor, target: Tensor, gradient: bool = False) -> Case:
    return Case({"prediction": prediction, "target": target}, gradient=gradient)


def _rows(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 3), normal(g, 3))
    yield _case(3 + normal(g, 5), normal(g, 5))


def _any_shape(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3), normal(g, 2, 3))
    yield _case(normal(g, 4, 2, 3), normal(g, 4, 2, 3))
    yield _case(normal(g), normal(g))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    double = [normal(g, 2, 3, dtype=torch.float64) for _ in range(2)]
    yield _case(double[0], double[1], gradient=True)
    yield _case(normal(g, 4), normal(g, 4), gradient=True)


# --- Mistakes


def _summed(prediction, target):
    return ((prediction - target) ** 2).sum()


def _halved(prediction, target):
    return ((prediction - target) ** 2).mean() / 2


def _rooted(prediction, target):
    return ((prediction - target) ** 2).mean().sqrt()


def _absolute(prediction, target):
    return (prediction - target).abs().mean()


def _not_squared(prediction, target):
    return (prediction - target).mean()


def _mean_then_square(prediction, target):
    return (prediction - target).mean() ** 2


def _squares_subtracted(prediction, target):
    return (prediction**2 - target**2).mean()


def _times_two(prediction, target):
    return ((prediction - target) * 2).mean()


def _one_a_number(prediction, target):
    return (prediction - target) ** 2


def _by_the_rows(prediction, target):
    rows = prediction.shape[0] if prediction.ndim else 1
    return ((prediction - target) ** 2).sum() / rows


def _one_a_row(prediction, target):
    return ((prediction - target) ** 2).mean(dim=-1)


def _plain_number(prediction, target):
    return ((prediction - target) ** 2).mean().item()


def _detached(prediction, target):
    return ((prediction - target) ** 2).mean().detach()


def _always_float32(prediction, target):
    return ((prediction - target) ** 2).mean().float()


def _in_place(prediction, target):
    prediction -= target
    return (prediction**2).mean()


def _caret(prediction, target):
    return ((prediction - target) ^ 2).mean()


def _row_by_row(prediction, target):
    total = 0
    for p, t in zip(prediction, target, strict=True):
        total = total + (p - t) ** 2
    return total / len(prediction)


def _one_fewer(prediction, target):
    return ((prediction - target) ** 2).sum() / (prediction.numel() - 1)


def _only_the_target_squared(prediction, target):
    return (prediction - target**2).mean()


def _only_the_prediction_squared(prediction, target):
    return (prediction**2 - target).mean()


def _added(prediction, target):
    return ((prediction + target) ** 2).mean()


def _product(prediction, target):
    return (prediction * target).mean()


def _relative(prediction, target):
    return (((prediction - target) / target) ** 2).mean()


def _cubed(prediction, target):
    return ((prediction - target) ** 3).mean()


def _negative(prediction, target):
    return -((prediction - target) ** 2).mean()


def _the_largest(prediction, target):
    return ((prediction - target) ** 2).max()


def _an_axis_of_one(prediction, target):
    return ((prediction - target) ** 2).mean()[None]


def _matrix_product(prediction, target):
    error = prediction - target
    return error @ error / len(error)


def _math_functions(prediction, target):
    return math.pow(prediction - target, 2)


def _made_anew(prediction, target):
    pairs = zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True)
    return torch.tensor([(p - t) ** 2 for p, t in pairs]).mean()


def _over_the_rows(prediction, target):
    return ((prediction - target) ** 2).mean(dim=0)


MISCONCEPTIONS = (
    Misconception(
        "summed",
        "the squares are added up, but not averaged",
        "Twice as many numbers should not make the error twice as large.",
        _summed,
    ),
    Misconception(
        "halved",
        "the average is divided by 2",
        "Some books halve the error to make its derivative shorter. Here the plain average is wanted.",
        _halved,
    ),
    Misconception(
        "rooted",
        "the root of the average is taken",
        "That is another useful error, with its own name. The one in the exercise stays squared.",
        _rooted,
    ),
    Misconception(
        "absolute",
        "the differences are made positive by leaving out their sign, not by squaring",
        "Is your result for a difference of 3 equal to 9?",
        _absolute,
    ),
    Misconception(
        "not-squared",
        "the differences are averaged without being squared",
        "A difference of 5 and one of -5 should not cancel.",
        _not_squared,
    ),
    Misconception(
        "mean-then-square",
        "the average comes first and the square after it",
        "A difference of 5 and one of -5 average to 0. Square each difference before they can cancel.",
        _mean_then_square,
    ),
    Misconception(
        "squares-subtracted",
        "the squares of both are subtracted, not the difference squared",
        "For prediction 3 and target 1 the difference is 2, and its square 4. What does your way give?",
        _squares_subtracted,
    ),
    Misconception(
        "times-two",
        "the differences are doubled, not squared",
        "In Python two stars mean “to the power of”, one star means “times”.",
        _times_two,
    ),
    Misconception(
        "one-a-number",
        "there is one squared difference for each number, and no average",
        "The result should be a single number, of shape ().",
        _one_a_number,
    ),
    Misconception(
        "by-the-rows",
        "the sum is divided by the number of rows, not by the number of all numbers",
        "`len(x)` and `x.shape[0]` count along the first axis alone.",
        _by_the_rows,
    ),
    Misconception(
        "one-a-row",
        "there is one average for each row",
        "Average over everything: leave `dim` out.",
        _one_a_row,
    ),
    Misconception(
        "plain-number",
        "a plain Python number comes back, not a tensor",
        "`.item()` forgets how the number was made, and later in this chapter that is needed. Leave it out.",
        _plain_number,
    ),
    Misconception(
        "detached",
        "no gradient flows back to the predictions",
        "Look for `.detach()`, `torch.tensor(…)` or `no_grad` on the way.",
        _detached,
    ),
    Misconception(
        "always-float32",
        "the result is float32 whatever comes in",
        "Keep the dtype of the inputs: leave `.float()` out.",
        _always_float32,
    ),
    Misconception(
        "in-place",
        "the predictions themselves are changed",
        "`-=` writes into the caller's tensor. Write `x - y`, which makes a new one.",
        _in_place,
    ),
    Misconception(
        "caret",
        "`^` is written for “to the power of”",
        "In Python two stars mean “to the power of”. The caret compares bits, and floats have no such thing.",
        _caret,
    ),
    Misconception(
        "row-by-row",
        "a loop goes through the first axis, and every other axis is still there at the end",
        "A loop over a table yields its rows, not its numbers. Tensors can be averaged without any loop.",
        _row_by_row,
    ),
    Misconception(
        "one-fewer",
        "the sum is divided by one number fewer than there are",
        "A plain average divides by how many there are.",
        _one_fewer,
    ),
    Misconception(
        "only-the-target-squared",
        "only the target is squared",
        "`**` binds tighter than `-`. Put the difference in brackets.",
        _only_the_target_squared,
    ),
    Misconception(
        "only-the-prediction-squared",
        "only the prediction is squared",
        "It is the difference that is squared.",
        _only_the_prediction_squared,
    ),
    Misconception(
        "added",
        "prediction and target are added, not subtracted",
        "Where both are equal the error is 0. What does your way give?",
        _added,
    ),
    Misconception(
        "product",
        "prediction and target are multiplied",
        "How far are they apart? That is a difference.",
        _product,
    ),
    Misconception(
        "relative",
        "the difference is divided by the target",
        "That is another error, a relative one. Here the difference counts as it is.",
        _relative,
    ),
    Misconception(
        "cubed",
        "the differences are raised to the third power",
        "Then a difference of −2 takes away from the error. A square never does.",
        _cubed,
    ),
    Misconception(
        "negative",
        "the sign is turned",
        "An error that grows as the predictions get worse is positive.",
        _negative,
    ),
    Misconception(
        "the-largest",
        "the largest squared difference is taken, not the average",
        "Every difference should count.",
        _the_largest,
    ),
    Misconception(
        "an-axis-of-one",
        "the result has an axis of length 1",
        "A single number has the shape (): no axis at all.",
        _an_axis_of_one,
    ),
    Misconception(
        "over-the-rows",
        "there is one average for each column",
        "Average over everything: leave `dim` out.",
        _over_the_rows,
    ),
    Misconception(
        "matrix-product",
        "`@` is used, which works for a row of numbers and not for a table",
        "A matrix product wants fitting shapes. Number by number multiplies `*`, for any shape.",
        _matrix_product,
    ),
    Misconception(
        "math-functions",
        "a function of `math` is given a tensor",
        "The functions of `math` take one number at a time. Tensors have operators of their own.",
        _math_functions,
    ),
    Misconception(
        "made-anew",
        "the numbers are taken out and a new tensor is made, of float32",
        "A new tensor forgets dtype and origin. Compute with the tensors themselves.",
        _made_anew,
    ),
)


# --- Right answers in another form


def _sum_by_count(prediction, target):
    return torch.sum((prediction - target) ** 2) / prediction.numel()


def _square_and_mean(prediction, target):
    return torch.mean(torch.square(target - prediction))


def _error_times_itself(prediction, target):
    error = prediction - target
    return (error * error).mean()


def _as_dot_product(prediction, target):
    error = (prediction - target).flatten()
    return error @ error / len(error)


def _loop(prediction, target):
    total = torch.zeros((), dtype=prediction.dtype, device=prediction.device)
    for p, t in zip(prediction.flatten(), target.flatten(), strict=True):
        total = total + (p - t) ** 2
    return total / prediction.numel()


def _einsum(prediction, target):
    error = prediction - target
    return torch.einsum("...,...->", error, error) / error.numel()


ALTERNATIVES = (
    Alternative("einsum", _einsum),
    Alternative("the sum divided by the count", _sum_by_count),
    Alternative("torch.square and torch.mean", _square_and_mean),
    Alternative("the error times itself", _error_times_itself),
    Alternative("the dot product of the error with itself", _as_dot_product),
    Alternative("a loop over all numbers", _loop),
)

EXERCISE = Exercise(
    name="tensors.mean_squared_error",
    number="0.1",
    title="The mean squared error",
    minutes=4,
    difficulty=1,
    reference=tensors.mean_squared_error,
    checks=(
        Check("averages the squared differences of a row of numbers", 2, _rows),
        Check("averages over everything, whatever the shape", 1, _any_shape),
        Check("keeps the dtype, lets gradients through and leaves its inputs alone", 1, _types_and_gradients),
    ),
    hints=(
        "Take three predictions and three targets, and write down on paper what you do with them. It is "
        "three steps.",
        "Tensors are subtracted number by number with `-`. `**` raises every number to a power. One method "
        "of tensors averages all their numbers.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=("torch.nn.functional.mse_loss", "aten::mse_loss"),
)
