"""Exercise 9.4: how far sureness is from being right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.evaluation.drawn import whole
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


# --- Mistakes


def _bins(confidences, n_bins):
    return (confidences * n_bins).floor().long().clamp(max=n_bins - 1)


def _binned(combine, place=_bins, sure=None):
    def answer(confidences, correct, n_bins):
        places = place(confidences, n_bins)
        gaps, counts = [], []
        for b in range(int(places.max()) + 1):
            inside = places == b
            if inside.any():
                stand_in = {"middle": (b + 0.5) / n_bins, "upper": (b + 1) / n_bins}
                confidence = stand_in[sure] if sure else confidences[inside].mean()
                gaps.append(float(correct[inside].double().mean() - confidence))
                counts.append(int(inside.sum()))
        return combine(gaps, counts, n_bins)

    return answer


def _weighted(gaps, counts, n_bins):
    return sum(abs(gap) * count for gap, count in zip(gaps, counts, strict=True)) / sum(counts)


def _by_rank(confidences, n_bins):
    ranks = confidences.argsort().argsort()
    return ranks * n_bins // len(confidences)


def _below_the_upper_edge(confidences, correct, n_bins):
    """Bins that leave their upper edge to the next one, and there is none behind the last."""
    error = 0.0
    for b in range(n_bins):
        inside = (confidences >= b / n_bins) & (confidences < (b + 1) / n_bins)
        if inside.any():
            gap = correct[inside].double().mean() - confidences[inside].mean()
            error += float(gap.abs() * inside.double().mean())
    return error


def _truths_averaged(confidences, correct, n_bins):
    places, error = _bins(confidences, n_bins), 0.0
    for b in range(n_bins):
        inside = places == b
        if inside.any():
            gap = correct[inside].mean() - confidences[inside].mean()
            error += float(gap.abs() * inside.sum() / len(confidences))
    return error


def _share_of_all(confidences, correct, n_bins):
    places, error = _bins(confidences, n_bins), 0.0
    for b in range(n_bins):
        inside = places == b
        if inside.any():
            right = correct[inside].double().sum() / len(correct)
            error += float((right - confidences[inside].mean()).abs() * inside.double().mean())
    return error


def _within_their_range(confidences, n_bins):
    low, high = confidences.min(), confidences.max()
    return _bins((confidences - low) / (high - low).clamp(min=1e-9), n_bins)


def _empty_is_nan(confidences, correct, n_bins):
    places, error = _bins(confidences, n_bins), 0.0
    for b in range(n_bins):
        inside = places == b
        gap = correct[inside].double().mean() - confidences[inside].mean()
        error += float(gap.abs() * inside.double().mean())
    return error


def _no_place_for_certainty(confidences, correct, n_bins):
    sums = [0.0] * n_bins
    for sure, right in zip(confidences.tolist(), correct.tolist(), strict=True):
        sums[int(sure * n_bins)] += right - sure
    return sum(map(abs, sums)) / len(confidences)


MISCONCEPTIONS = (
    Misconception(
        "certainty-lost",
        "a confidence of exactly 1 falls into no bin",
        "Each bin leaves its upper edge to the next one. To which does the last one leave it?",
        _below_the_upper_edge,
    ),
    Misconception(
        "no-place-for-certainty",
        "a confidence of exactly 1 asks for a bin behind the last one",
        "With 5 bins, 1.0 times 5 is 5, and the last bin is number 4.",
        _no_place_for_certainty,
    ),
    Misconception(
        "empty-is-nan",
        "the average over an empty bin makes NaN of everything",
        "An empty bin has no average. Ask first whether anything is in it.",
        _empty_is_nan,
    ),
    Misconception(
        "no-bins",
        "only the averages over all answers count: there are no bins, or their gaps cancel",
        "Then a model that is too sure here and too modest there looks calibrated. Where does the absolute "
        "value belong?",
        lambda confidences, correct, n_bins: float((correct.double().mean() - confidences.mean()).abs()),
    ),
    Misconception(
        "unweighted",
        "every bin counts the same, however many answers it holds",
        "A bin with one answer should not weigh as much as a bin with a thousand.",
        _binned(lambda gaps, counts, n_bins: sum(map(abs, gaps)) / len(gaps)),
    ),
    Misconception(
        "empty-bins-count",
        "the gaps are divided by the number of bins, the empty ones too",
        "The weight of a bin is its share of the answers.",
        _binned(lambda gaps, counts, n_bins: sum(map(abs, gaps)) / n_bins),
    ),
    Misconception(
        "signed",
        "the gaps keep their signs, so they cancel",
        "Too sure in one bin is not made good by too modest in another.",
        _binned(
            lambda gaps, counts, n_bins: sum(g * c for g, c in zip(gaps, counts, strict=True)) / sum(counts)
        ),
    ),
    Misconception(
        "squared",
        "the gaps are squared",
        "The definition takes their absolute values.",
        _binned(
            lambda gaps, counts, n_bins: (
                sum(g * g * c for g, c in zip(gaps, counts, strict=True)) / sum(counts)
            )
        ),
    ),
    Misconception(
        "largest",
        "this is the largest gap, not the average one",
        "The largest gap has a name of its own, maximum calibration error. *Expected* means averaged.",
        _binned(lambda gaps, counts, n_bins: max(map(abs, gaps))),
    ),
    Misconception(
        "each-answer",
        "every answer is compared with its own confidence",
        "One answer is right or wrong, never 70 % right. Only averages over a bin can be compared.",
        lambda confidences, correct, n_bins: float((correct.double() - confidences).abs().mean()),
    ),
    Misconception(
        "truths-averaged",
        "truths are averaged as they are, which PyTorch does not do",
        "Make numbers of them first: `.float()` makes 1 of True and 0 of False.",
        _truths_averaged,
    ),
    Misconception(
        "root-of-squares",
        "the gaps are squared, averaged, and the root is taken",
        "That is a variant. The definition averages their absolute values.",
        _binned(
            lambda gaps, counts, n_bins: (
                (sum(g * g * c for g, c in zip(gaps, counts, strict=True)) / sum(counts)) ** 0.5
            )
        ),
    ),
    Misconception(
        "too-sure-only",
        "only bins in which the model is too sure count",
        "A model that is too modest is not calibrated either.",
        _binned(
            lambda gaps, counts, n_bins: (
                sum(max(0.0, -g) * c for g, c in zip(gaps, counts, strict=True)) / sum(counts)
            )
        ),
    ),
    Misconception(
        "added-up",
        "the gaps of the bins are added up without weights",
        "A sum of gaps grows with the number of bins. The weight of a bin is its share of the answers.",
        _binned(lambda gaps, counts, n_bins: sum(map(abs, gaps))),
    ),
    Misconception(
        "counts-as-weights",
        "a bin's weight is its number of answers, not its share of them",
        "Then ten times as many answers make ten times the error. By what are the counts to be divided?",
        _binned(lambda gaps, counts, n_bins: sum(abs(g) * c for g, c in zip(gaps, counts, strict=True))),
    ),
    Misconception(
        "share-of-all",
        "a bin's right answers are divided by all answers, not by those of the bin",
        "How often was the model right *in this bin*? Its own answers stand below the line.",
        _share_of_all,
    ),
    Misconception(
        "squared-error",
        "this is the mean squared distance of confidence and truth, the Brier score",
        "The Brier score compares single answers. Here only averages over a bin are compared.",
        lambda confidences, correct, n_bins: float((confidences - correct.double()).square().mean()),
    ),
    Misconception(
        "ten-bins",
        "there are ten bins, whatever `n_bins` says",
        "How many bins there are is an input.",
        lambda confidences, correct, n_bins: _binned(_weighted)(confidences, correct, 10),
    ),
    Misconception(
        "nearest-edge",
        "a confidence goes to the nearest edge, so that the first and the last bin are half as wide",
        "Rounding looks for the nearest whole number. Which bin does 0.9 belong to, if there are two?",
        _binned(_weighted, place=lambda confidences, n_bins: (confidences * n_bins).round().long()),
    ),
    Misconception(
        "one-edge-too-few",
        "there are as many edges as bins, and so one bin too few",
        "Two bins have three edges: 0, 0.5 and 1.",
        _binned(
            _weighted,
            place=lambda confidences, n_bins: torch.bucketize(
                confidences.double(), torch.linspace(0, 1, n_bins, dtype=torch.float64)
            ),
        ),
    ),
    Misconception(
        "within-their-range",
        "the bins divide the range from the smallest to the largest confidence",
        "A histogram often does so unless it is told the range. Here the bins divide 0 to 1.",
        _binned(_weighted, place=_within_their_range),
    ),
    Misconception(
        "upper-edge",
        "the upper edge of the bin stands for its answers' confidence",
        "Take the average confidence of the answers that are really there.",
        _binned(_weighted, sure="upper"),
    ),
    Misconception(
        "middle-of-the-bin",
        "the middle of the bin stands for its answers' confidence",
        "Take the average confidence of the answers that are really there.",
        _binned(_weighted, sure="middle"),
    ),
    Misconception(
        "equally-filled",
        "the bins hold equally many answers, instead of being equally wide",
        "That is a variant. Here the bins divide the numbers from 0 to 1 evenly.",
        _binned(_weighted, place=_by_rank),
    ),
    Misconception(
        "certainty-apart",
        "a confidence of exactly 1 falls into a bin of its own",
        "The last bin ends at 1, and 1 belongs to it.",
        _binned(_weighted, place=lambda confidences, n_bins: (confidences * n_bins).floor().long()),
    ),
)


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
    sure, right = confidences.double().numpy(), correct.double().numpy()
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
