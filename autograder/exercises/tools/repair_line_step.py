"""Exercise 0.8: one step of learning with three bugs that raise no error, one of them by broadcasting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal, whole

STARTER = '''\
def repair_line_step(
    x: Float[Tensor, "n 1"], y: Float[Tensor, " n"], line: Float[Tensor, " two"], rate: float
) -> Float[Tensor, " two"]:
    """One step downhill for the line weight * x + bias: the new (weight, bias)."""
    weight, bias = line
    error = weight * x + bias - y
    weight_gradient = (2 * error * x).mean()
    bias_gradient = (2 * error).sum()
    return torch.stack([weight + rate * weight_gradient, bias + rate * bias_gradient])
'''


def repair_line_step(
    x: Float[Tensor, "n 1"], y: Float[Tensor, " n"], line: Float[Tensor, " two"], rate: float
) -> Float[Tensor, " two"]:
    """One step downhill for the line weight * x + bias: the new (weight, bias)."""
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    weight_gradient = (2 * error * x[:, 0]).mean()
    bias_gradient = (2 * error).mean()
    return torch.stack([weight - rate * weight_gradient, bias - rate * bias_gradient])


# --- Probes that show one bug at a time


def _one_point(g: torch.Generator) -> Iterator[Case]:
    # With one point a sum is a mean, and a column is a row: only the direction of the step counts.
    for rate in (0.5, 0.125):
        x = 1 + torch.rand(1, 1, generator=g)
        yield Case({"x": x, "y": 4 + normal(g, 1), "line": normal(g, 2), "rate": rate})


def _balanced_errors(g: torch.Generator) -> Iterator[Case]:
    # The errors add up to exactly 0, so the bias stays, summed or averaged. Whole numbers keep this exact.
    for n in (3, 4):
        x = torch.randperm(9, generator=g)[:n, None].float() - 4
        weight, bias = whole(g, 2, largest=2)
        errors = whole(g, n, largest=4)
        errors[0] += 7 * n  # never all of one size
        errors[-1] -= errors.sum()
        y = weight * x[:, 0] + bias - errors
        yield Case({"x": x, "y": y, "line": torch.stack([weight, bias]), "rate": 0.25})


def _one_place(g: torch.Generator) -> Iterator[Case]:
    # All points at one place: every prediction is the same, so it does not matter which target it meets.
    for n in (3, 5):
        x = (1 + torch.rand(1, 1, generator=g)).expand(n, 1).clone()
        yield Case({"x": x, "y": 4 + normal(g, n), "line": normal(g, 2), "rate": 0.25})


def _everything(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": normal(g, 6, 1), "y": normal(g, 6), "line": normal(g, 2), "rate": 0.1})
    yield Case({"x": normal(g, 2, 1), "y": normal(g, 2), "line": normal(g, 2), "rate": 1.0})
    double = {name: normal(g, *shape, dtype=torch.float64) for name, shape in (("x", (4, 1)), ("y", (4,)))}
    yield Case({**double, "line": normal(g, 2, dtype=torch.float64), "rate": 0.5})


# --- Repairs that stop too early or go wrong


def _variant(column: bool = False, summed: bool = False, sign: float = -1.0, factor: float = 2.0):
    def repair(x, y, line, rate):
        weight, bias = line
        x = x if column else x[:, 0]
        error = weight * x + bias - y
        bias_gradient = (factor * error).sum() if summed else (factor * error).mean()
        return torch.stack(
            [weight + sign * rate * (factor * error * x).mean(), bias + sign * rate * bias_gradient]
        )

    return repair


def _both_summed(x, y, line, rate):
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([weight - rate * (2 * error * x[:, 0]).sum(), bias - rate * (2 * error).sum()])


def _bias_uphill(x, y, line, rate):
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([weight - rate * (2 * error * x[:, 0]).mean(), bias + rate * (2 * error).mean()])


def _weight_uphill(x, y, line, rate):
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([weight + rate * (2 * error * x[:, 0]).mean(), bias - rate * (2 * error).mean()])


def _x_forgotten(x, y, line, rate):
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([weight - rate * (2 * error).mean(), bias - rate * (2 * error).mean()])


def _column_times_row(x, y, line, rate):
    """The error is repaired, but its product with the column x makes a table again."""
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([weight - rate * (2 * error * x).mean(), bias - rate * (2 * error).mean()])


def _rate_forgotten(x, y, line, rate):
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([weight - (2 * error * x[:, 0]).mean(), bias - (2 * error).mean()])


def _only_the_gradient(x, y, line, rate):
    weight, bias = line
    error = weight * x[:, 0] + bias - y
    return torch.stack([-rate * (2 * error * x[:, 0]).mean(), -rate * (2 * error).mean()])


def _one_point_only(x, y, line, rate):
    return _variant()(x[:1], y[:1], line, rate)


def _bias_before_weight(x, y, line, rate):
    return _variant()(x, y, line, rate).flip(0)


MISCONCEPTIONS = (
    Misconception(
        "nothing-repaired",
        "all three bugs are still there",
        "Take two points and print the shape of everything. Then ask in which direction the step goes.",
        _variant(column=True, summed=True, sign=1.0),
    ),
    Misconception(
        "only-the-direction",
        "one bug is repaired, the direction of the step, and two are left",
        "Print the shape of `error` for five points. Then compare the two gradients with each other.",
        _variant(column=True, summed=True),
    ),
    Misconception(
        "only-the-shapes",
        "one bug is repaired, the shapes, and two are left",
        "Does the loss become smaller after a step? Then compare the two gradients with each other.",
        _variant(summed=True, sign=1.0),
    ),
    Misconception(
        "only-the-average",
        "one bug is repaired, the average, and two are left",
        "Does the loss become smaller after a step? Then print the shape of `error` for five points.",
        _variant(column=True, sign=1.0),
    ),
    Misconception(
        "not-the-direction",
        "two bugs are repaired, and the step still goes uphill",
        "The gradient points to where the loss grows.",
        _variant(sign=1.0),
    ),
    Misconception(
        "not-the-shapes",
        "two bugs are repaired, and predictions still meet the targets of other points",
        "Print the shape of `error` for five points. A column meets a row.",
        _variant(column=True),
    ),
    Misconception(
        "not-the-average",
        "two bugs are repaired, and the gradient of the bias still grows with the number of points",
        "The loss is an average over the points. What, then, is its slope: a sum, or an average?",
        _variant(summed=True),
    ),
    Misconception(
        "column-times-row",
        "the error is right now, but it meets the column `x` and becomes a table again",
        "Print the shape of every product. Where do a row and a column still meet?",
        _column_times_row,
    ),
    Misconception(
        "both-summed",
        "both gradients are sums now",
        "There were two ways to make the gradients alike. The loss is an average.",
        _both_summed,
    ),
    Misconception(
        "bias-uphill",
        "the weight goes downhill now, and the bias uphill",
        "The direction is wrong in both places.",
        _bias_uphill,
    ),
    Misconception(
        "weight-uphill",
        "the bias goes downhill now, and the weight uphill",
        "The direction is wrong in both places.",
        _weight_uphill,
    ),
    Misconception(
        "x-forgotten",
        "the gradient of the weight has lost its factor x",
        "How fast does weight · x grow with the weight?",
        _x_forgotten,
    ),
    Misconception(
        "factor-forgotten",
        "the factor 2 is gone",
        "It belongs to the derivative of a square, and it was right.",
        _variant(factor=1.0),
    ),
    Misconception(
        "rate-forgotten",
        "the step is not multiplied by the rate",
        "The rate says how far to go. It was right.",
        _rate_forgotten,
    ),
    Misconception(
        "step-alone",
        "only the step comes back, not the line after it",
        "The new line is the old one and the step.",
        _only_the_gradient,
    ),
    Misconception(
        "first-point-only",
        "only the first point counts",
        "Every point has a say in the average.",
        _one_point_only,
    ),
    Misconception(
        "bias-first",
        "the bias stands in front of the weight",
        "The line is (weight, bias), before the step and after it.",
        _bias_before_weight,
    ),
)


# --- Right answers in another form


def _targets_as_a_column(x, y, line, rate):
    weight, bias = line
    error = weight * x + bias - y[:, None]
    return torch.stack([weight - rate * (2 * error * x).mean(), bias - rate * (2 * error).mean()])


def _by_autograd(x, y, line, rate):
    with torch.enable_grad():
        line = line.detach().clone().requires_grad_()
        loss = ((line[0] * x.squeeze(-1) + line[1] - y) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, line)
    return (line - rate * gradient).detach()


def _by_a_matrix(x, y, line, rate):
    table = torch.cat([x, torch.ones_like(x)], dim=1)
    return line - rate * 2 * table.T @ (table @ line - y) / len(y)


def _point_by_point(x, y, line, rate):
    gradient = torch.zeros_like(line)
    for (position,), target in zip(x, y, strict=True):
        error = line[0] * position + line[1] - target
        gradient = gradient + 2 * error * torch.stack([position, torch.ones_like(position)])
    return line - rate * gradient / len(x)


ALTERNATIVES = (
    Alternative("the targets as a column", _targets_as_a_column),
    Alternative("torch's own gradients", _by_autograd),
    Alternative("one matrix product", _by_a_matrix),
    Alternative("point by point", _point_by_point),
)

PARTNERS = "compares each prediction with its own target"
AVERAGE = "averages both gradients over the points"

EXERCISE = Exercise(
    name="autograd.repair_line_step",
    number="0.8",
    title="Bug hunt: a step of learning that runs and is wrong",
    kind="bug hunt",
    minutes=12,
    difficulty=2,
    reference=repair_line_step,
    starter=STARTER,
    checks=(
        Check("steps downhill", 1, _one_point),
        Check(PARTNERS, 1, _balanced_errors),
        Check(AVERAGE, 1, _one_place),
        Check("is right all together", 1, _everything, after=(PARTNERS, AVERAGE)),
    ),
    hints=(
        "No error is raised and the result has the right shape. What do you know about a good step before "
        "you compute one?",
        "Take two points on a line, and a line that is not theirs. Print the shape of `error`, both "
        "gradients, and the mean squared error before and after the step.",
        "Three questions: in which direction does the gradient point? How many entries should `error` "
        "have for n points? Do the two gradients treat the n points alike?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
