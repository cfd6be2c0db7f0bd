"""Exercise 9.4: how far sureness is from being right.

The wrong answers stand in `wrong_calibration`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.evaluation.drawn import whole
from autograder.exercises.evaluation.wrong_calibration import MISCONCEPTIONS
from llmlib import calibration


def _inside(g: torch.Generator, places: torch.Tensor, n_bins: int) -> torch.Tensor:
    """Confidences well inside their bins: what belongs to an edge is not asked here."""
    spread = 0.15 + 0.7 * torch.rand(len(places), generator=g, dtype=torch.float64)
    return (places + spread) / n_bins


def _truth(g: torch.Generator, n: int) -> torch.Tensor:
    correct = torch.rand(n, generator=g) < 0.5
    correct[0], correct[1] = True, False
    return correct


def _case(confidences: torch.Tensor, correct: torch.Tensor, n_bins: int, g: torch.Generator) -> Case:
    order = torch.randperm(len(confidences), generator=g)
    return Case({"confidences": confidences[order], "correct": correct[order], "n_bins": n_bins})


def _one_bin(g: torch.Generator) -> Iterator[Case]:
    # Too sure, and too modest.
    for low, share in ((0.75, 0.4), (0.05, 0.7)):
        confidences = low + 0.2 * torch.rand(6, generator=g, dtype=torch.float64)
        correct = torch.arange(6) < round(6 * share)
        yield _case(confidences, correct, 1, g)


def _equal_bins(g: torch.Generator) -> Iterator[Case]:
    for n_bins in (2, 4):
        places = torch.arange(n_bins).repeat(3)
        # The first bin is too modest, the last too sure: without the absolute value they cancel.
        correct = torch.where(places == 0, True, _truth(g, len(places)) & (places < n_bins - 1))
        yield _case(_inside(g, places, n_bins), correct, n_bins, g)
    # All in the upper half, the less sure ones right: bins within their own range would take them apart.
    confidences = _inside(g, torch.ones(6), 2).sort().values
    yield _case(confidences, torch.arange(6) < 3, 2, g)


def _unequal_bins(g: torch.Generator) -> Iterator[Case]:
    for n_bins in (3, 5, 10):
        places = torch.cat([torch.zeros(whole(g, 1, 2)), torch.full((whole(g, 4, 7),), n_bins - 1)]).long()
        correct = torch.where(places == 0, True, torch.rand(len(places), generator=g) < 0.3)
        yield _case(_inside(g, places, n_bins), correct, n_bins, g)
    places = torch.tensor([0, 1, 1, 1, 3, 3])
    yield _case(_inside(g, places, 4).float(), _truth(g, 6), 4, g)


def _certain(g: torch.Generator) -> Iterator[Case]:
    for n_bins in (2, 5):
        confidences = torch.cat([_inside(g, torch.full((3,), n_bins - 1), n_bins), torch.ones(2).double()])
        # Sure and wrong beside less sure and right: in one bin they make up for each other.
        yield _case(confidences, torch.tensor([True, True, True, False, False]), n_bins, g)


# --- Right answers in another form


def _with_masks(confidences, correct, n_bins):
    error = 0.0
    for b in range(n_bins):
        inside = (confidences > b / n_bins) & (confidences <= (b + 1) / n_bins)
        if inside.any():
            gap = correct[inside].double().mean() - confidences[inside].double().mean()
            error += float(gap.abs()) * int(inside.sum()) / len(confidences)
    return error


def _with_counts(confidences, correct, n_bins):
    places = (confidences * n_bins).long().clamp(max=n_bins - 1)
    count = torch.bincount(places, minlength=n_bins)
    sure = torch.bincount(places, confidences.double(), minlength=n_bins) / count.clamp(min=1)
    right = torch.bincount(places, correct.double(), minlength=n_bins) / count.clamp(min=1)
    return ((right - sure).abs() * count).sum().item() / count.sum().item()


def _with_a_matrix(confidences, correct, n_bins):
    edges = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64, device=confidences.device)[1:-1]
    member = torch.nn.functional.one_hot(torch.bucketize(confidences.double(), edges), n_bins).double()
    return float(
        (member.T @ (correct.double() - confidences.double())).abs().mean() * n_bins / len(confidences)
    )


def _with_lists(confidences, correct, n_bins):
    bins = [[] for _ in range(n_bins)]
    for sure, right in zip(confidences.tolist(), correct.tolist(), strict=True):
        bins[min(int(sure * n_bins), n_bins - 1)].append(right - sure)
    return sum(abs(sum(answers)) for answers in bins) / sum(len(answers) for answers in bins)


def _with_histograms(confidences, correct, n_bins):
    sure, right = confidences.double().cpu().numpy(), correct.double().cpu().numpy()
    sums = [np.histogram(sure, n_bins, (0, 1), weights=weights)[0] for weights in (sure, right)]
    return np.abs(sums[0] - sums[1]).sum() / len(sure)


def _sorted_and_grouped(confidences, correct, n_bins):
    answers = sorted(zip(confidences.tolist(), correct.tolist(), strict=True))
    total = 0.0
    for _, group in groupby(answers, key=lambda answer: min(int(answer[0] * n_bins), n_bins - 1)):
        sure, right = zip(*group, strict=True)
        total += abs(sum(right) / len(right) - sum(sure) / len(sure)) * len(sure) / len(answers)
    return total


def _rounded_up(confidences, correct, n_bins):
    places = (confidences * n_bins).ceil() - 1
    leads = correct.to(confidences) - confidences
    return sum(leads[places == b].sum().abs().item() for b in range(n_bins)) / len(leads)


ONE = "is right for a single bin"
BINS = "compares within each bin"

EXERCISE = Exercise(
    name="calibration.expected_calibration_error",
    number="9.4",
    title="The calibration error",
    minutes=15,
    difficulty=2,
    reference=calibration.expected_calibration_error,
    checks=(
        Check(ONE, 1, _one_bin),
        Check(BINS, 2, _equal_bins, after=(ONE,)),
        Check("weighs each bin by its answers", 1, _unequal_bins, after=(ONE, BINS)),
        Check("puts a confidence of 1 into the last bin", 1, _certain, after=(ONE, BINS)),
    ),
    hints=(
        "Which bin does a confidence belong to? Multiply it by the number of bins and look at the whole "
        "part. For what confidence is that number one too large?",
        "Go through the bins. In each, take the average of the confidences and the share of right answers; "
        "skip a bin that is empty.",
        "There is a short way: a bin's number of answers times its gap is the sum of (right - sure) over its "
        "answers.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("bin by bin, with masks", _with_masks),
        Alternative("counts with weights", _with_counts),
        Alternative("a matrix of memberships", _with_a_matrix),
        Alternative("plain lists", _with_lists),
        Alternative("two histograms of NumPy", _with_histograms),
        Alternative("sorted and grouped", _sorted_and_grouped),
        Alternative("places rounded up", _rounded_up),
    ),
)
