"""Exercise 0.5: all distances between two sets of points, by broadcasting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal, transposed
from llmlib import tensors


def _case(points: Tensor, others: Tensor, gradient: bool = False) -> Case:
    return Case({"points": points, "others": others}, gradient=gradient)


# --- Probes: points, others and features differ in number, unless their being equal is the point. The others
# --- lie apart from the points, since the root is steep where a distance is nearly 0: upwards in one feature
# --- and downwards in the next, so that differences can cancel.


def _apart(others: Tensor) -> Tensor:
    signs = torch.tensor([1.0, -1.0], dtype=others.dtype).repeat(others.shape[-1])[: others.shape[-1]]
    return others + 4 * signs


def _numbers(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3), _apart(normal(g, 5, 3)))
    yield _case(normal(g, 4, 2), _apart(normal(g, 3, 2)))


def _sizes(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 3, 3), _apart(normal(g, 3, 3)))
    yield _case(normal(g, 1, 5), _apart(normal(g, 4, 5)))
    yield _case(normal(g, 6, 1), _apart(normal(g, 2, 1)))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    points = normal(g, 2, 4, dtype=torch.float64)
    yield _case(points, _apart(normal(g, 3, 4, dtype=torch.float64)), gradient=True)
    yield _case(transposed(g, 3, 2), _apart(transposed(g, 5, 2)), gradient=True)


# --- Mistakes


def _differences(points, others):
    return points[:, None, :] - others[None, :, :]


def _squared(points, others):
    return (_differences(points, others) ** 2).sum(dim=-1)


def _street_by_street(points, others):
    return _differences(points, others).abs().sum(dim=-1)


def _largest_difference(points, others):
    return _differences(points, others).abs().amax(dim=-1)


def _averaged(points, others):
    return (_differences(points, others) ** 2).mean(dim=-1).sqrt()


def _sum_then_square(points, others):
    return (_differences(points, others).sum(dim=-1) ** 2).sqrt()


def _turned(points, others):
    return (_differences(others, points) ** 2).sum(dim=-1).sqrt()


def _over_the_others(points, others):
    return (_differences(points, others) ** 2).sum(dim=1).sqrt()


def _over_the_points(points, others):
    return (_differences(points, others) ** 2).sum(dim=0).sqrt()


def _row_with_row(points, others):
    return ((points - others) ** 2).sum(dim=-1).sqrt()


def _added(points, others):
    return ((points[:, None, :] + others[None, :, :]) ** 2).sum(dim=-1).sqrt()


def _dot_products(points, others):
    return points @ others.T


def _not_added_up(points, others):
    return (_differences(points, others) ** 2).sqrt()


def _among_themselves(points, others):
    return (_differences(points, points) ** 2).sum(dim=-1).sqrt()


def _axis_kept(points, others):
    return (_differences(points, others) ** 2).sum(dim=-1, keepdim=True).sqrt()


def _detached(points, others):
    return (_differences(points, others) ** 2).sum(dim=-1).sqrt().detach()


def _always_float32(points, others):
    return (_differences(points, others) ** 2).sum(dim=-1).sqrt().float()


def _pairs_only(points, others):
    pairs = zip(points, others, strict=False)
    return torch.stack([((point - other) ** 2).sum().sqrt() for point, other in pairs])


def _all_in_one_row(points, others):
    return _differences(points, others).square().sum(dim=-1).sqrt().flatten()


def _one_number(points, others):
    return _differences(points, others).square().sum().sqrt()


def _product_once(points, others):
    squares = (points**2).sum(dim=1)[:, None] + (others**2).sum(dim=1)
    return (squares - points @ others.T).sqrt()


def _halved(points, others):
    return _squared(points, others) / 2


def _lengths_compared(points, others):
    return (points.norm(dim=1)[:, None] - others.norm(dim=1)).abs()


def _angles(points, others):
    return (points @ others.T) / (points.norm(dim=1)[:, None] * others.norm(dim=1))


def _lists(points, others):
    return [[((point - other) ** 2).sum().sqrt() for other in others] for point in points]


def _new_axis_last(points, others):
    return ((points[:, :, None] - others[None, :, :]) ** 2).sum(dim=-1).sqrt()


def _features_in_the_middle(points, others):
    return ((points[:, :, None] - others[:, None, :]) ** 2).sum(dim=1).sqrt()


def _a_little_more(points, others):
    return (_squared(points, others) + 1e-3).sqrt()


def _in_place(points, others):
    points -= others.mean(dim=0)
    return (_differences(points, others - others.mean(dim=0)) ** 2).sum(dim=-1).sqrt()


MISCONCEPTIONS = (
    Misconception(
        "squared",
        "the squared distances come back: the root is missing",
        "The distance of (0, 0) and (3, 4) is 5, not 25.",
        _squared,
    ),
    Misconception(
        "street-by-street",
        "the differences are added up without being squared",
        "That is how far one walks in a town with a grid of streets. Here the straight line counts.",
        _street_by_street,
    ),
    Misconception(
        "largest-difference",
        "only the largest of the differences counts",
        "Every feature adds its squared difference.",
        _largest_difference,
    ),
    Misconception(
        "averaged",
        "the squared differences are averaged, not added up",
        "The distance of (0, 0) and (3, 4) is 5. What does your way give?",
        _averaged,
    ),
    Misconception(
        "sum-then-square",
        "the differences are added up before they are squared",
        "A difference of 3 and one of -3 would cancel. Square each of them first.",
        _sum_then_square,
    ),
    Misconception(
        "turned",
        "the rows belong to the others and the columns to the points",
        "Which of the two got the new axis in front, and which in the middle?",
        _turned,
    ),
    Misconception(
        "over-the-others",
        "the sum runs over the others, not over the features",
        "The differences have three axes: points, others, features. Which one should disappear?",
        _over_the_others,
    ),
    Misconception(
        "over-the-points",
        "the sum runs over the points, not over the features",
        "The differences have three axes: points, others, features. Which one should disappear?",
        _over_the_points,
    ),
    Misconception(
        "row-with-row",
        "each point is compared with the other in the same row alone",
        "Every point should meet every other one: one of the two needs a new axis of size 1.",
        _row_with_row,
    ),
    Misconception(
        "added",
        "the coordinates are added where they should be subtracted",
        "Two points at the same place have the distance 0.",
        _added,
    ),
    Misconception(
        "dot-products",
        "the dot products come back, which say how alike two vectors are, not how far apart",
        "Start from the difference of two points.",
        _dot_products,
    ),
    Misconception(
        "not-added-up",
        "the features are still there: their squares are not added up",
        "The result has two axes, points and others.",
        _not_added_up,
    ),
    Misconception(
        "among-themselves",
        "the points are compared with themselves, and the others are not used",
        "Look at which tensor stands behind the minus sign.",
        _among_themselves,
    ),
    Misconception(
        "axis-kept",
        "the numbers are right, but an axis of size 1 is left at the end",
        "`keepdim=True` keeps the axis that was summed over. Here it should go.",
        _axis_kept,
    ),
    Misconception(
        "detached",
        "no gradient flows back to the points",
        "Look for `.detach()`, `.item()`, `torch.tensor(…)` or `no_grad` on the way.",
        _detached,
    ),
    Misconception(
        "always-float32",
        "the result is float32 whatever comes in",
        "Keep the dtype of the inputs: leave `.float()` out, and give new tensors the dtype of the old ones.",
        _always_float32,
    ),
    Misconception(
        "pairs-only",
        "each point meets only the other of its own place",
        "Every point is compared with every other: a table, not a row.",
        _pairs_only,
    ),
    Misconception(
        "all-in-one-row",
        "all distances stand in one row",
        "The result is a table: a row for each point, a column for each of the others.",
        _all_in_one_row,
    ),
    Misconception(
        "one-number",
        "everything is added up to a single number",
        "Only the features disappear in the sum. Which `dim` is that?",
        _one_number,
    ),
    Misconception(
        "product-once",
        "the product of point and other is taken away once, not twice",
        "(a − b)² = a² − 2ab + b².",
        _product_once,
    ),
    Misconception(
        "halved",
        "half of the squared distances come back",
        "A half is not a root. The distance of (0, 0) and (3, 4) is 5.",
        _halved,
    ),
    Misconception(
        "lengths-compared",
        "the lengths of point and other are compared",
        "Two arrows may be equally long and point apart. Subtract the points themselves.",
        _lengths_compared,
    ),
    Misconception(
        "angles",
        "the cosine of the angle comes back",
        "That is how alike two directions are. Here the distance is wanted.",
        _angles,
    ),
    Misconception(
        "lists",
        "lists of tensors come back, not one tensor",
        "`torch.stack` makes one of them. Broadcasting needs no loop at all.",
        _lists,
    ),
    Misconception(
        "new-axis-last",
        "the points get their new axis at the end, so features meet others",
        "Write the three shapes below each other. Where must the points have a 1?",
        _new_axis_last,
    ),
    Misconception(
        "features-in-the-middle",
        "the features of one are laid against the points of the other",
        "Write the three shapes below each other. Where must each of the two have a 1?",
        _features_in_the_middle,
    ),
    Misconception(
        "a-little-more",
        "a small number is added under the root",
        "It keeps a gradient finite where a distance is 0. Here the exact distances are asked for.",
        _a_little_more,
    ),
    Misconception(
        "in-place",
        "the points themselves are changed",
        "`-=` writes into the caller's tensor. Write `x - y`, which makes a new one.",
        _in_place,
    ),
)


# --- Right answers in another form


def _unsqueezed(points, others):
    return torch.sqrt(torch.sum((points.unsqueeze(1) - others.unsqueeze(0)) ** 2, dim=2))


def _by_norm(points, others):
    return (others - points[:, None]).norm(dim=-1)


def _by_einops(points, others):
    differences = rearrange(points, "p f -> p 1 f") - rearrange(others, "o f -> 1 o f")
    return differences.square().sum(-1) ** 0.5


def _by_products(points, others):
    squares = (points**2).sum(dim=1, keepdim=True) + (others**2).sum(dim=1) - 2 * points @ others.T
    return squares.clamp(min=0).sqrt()


def _loops(points, others):
    rows = [torch.stack([((p - o) ** 2).sum().sqrt() for o in others]) for p in points]
    return torch.stack(rows)


def _feature_by_feature(points, others):
    total = 0
    for feature in range(points.shape[1]):
        total = total + (points[:, feature, None] - others[:, feature]) ** 2
    return total**0.5


ALTERNATIVES = (
    Alternative("unsqueeze, and torch.sum and torch.sqrt", _unsqueezed),
    Alternative("the length of the difference by norm", _by_norm),
    Alternative("einops", _by_einops),
    Alternative("the binomial formula and a matrix product", _by_products),
    Alternative("loops over both", _loops),
    Alternative("one feature after the other", _feature_by_feature),
)

EXERCISE = Exercise(
    name="tensors.pairwise_distances",
    number="0.5",
    title="All distances at once",
    minutes=10,
    difficulty=2,
    reference=tensors.pairwise_distances,
    checks=(
        Check("finds the distance of every point to every other one", 3, _numbers),
        Check("takes one feature, one point, and as many points as others", 1, _sizes),
        Check("keeps the dtype and lets gradients through", 1, _types_and_gradients),
    ),
    hints=(
        "For one point and one other: subtract, square, add up, take the root. Now read this again with "
        "tensors, and ask which axes each step should have.",
        "Give each of the two tensors a new axis of size 1, in different places, so that their difference "
        "has the shape (points, others, features). Exercise 0.2 tells you where.",
        "With `None` in the square brackets you can turn (p, f) into (p, 1, f) and (o, f) into (1, o, f). "
        "After the subtraction, sum the squares over the axis of the features.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=(
        "torch.cdist",
        "torch.nn.functional.pairwise_distance",
        "torch.pairwise_distance",
        "aten::cdist",
        "aten::_cdist_forward",
        "aten::_euclidean_dist",
    ),
)
