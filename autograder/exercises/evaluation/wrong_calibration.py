"""Wrong answers to exercise 9.4, how far sureness is from being right."""

from __future__ import annotations

import torch

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import TRUTHS_AVERAGED


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


def _last_bin_missing(confidences, correct, n_bins):
    places, error = _bins(confidences, n_bins), 0.0
    for b in range(n_bins - 1):
        inside = places == b
        if inside.any():
            gap = correct[inside].double().mean() - confidences[inside].mean()
            error += float(gap.abs() * inside.double().mean())
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
    Misconception("truths-averaged", *TRUTHS_AVERAGED, _truths_averaged),
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
                confidences.double(),
                torch.linspace(0, 1, n_bins, dtype=torch.float64, device=confidences.device),
            ),
        ),
    ),
    Misconception(
        "one-bin-too-few",
        "the confidence is multiplied by one less than the number of bins",
        "With five bins, 0.9 is in the last one, number 4. What is the whole part of 0.9 times 5?",
        _binned(_weighted, place=lambda confidences, n_bins: (confidences * (n_bins - 1)).long()),
    ),
    Misconception(
        "last-bin-missing",
        "the last bin is never looked at",
        "`range` ends before its end. Between 5 edges there are 4 bins.",
        _last_bin_missing,
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
