"""What is particular to chapter 9's code exercises: partial points; answers from the field's libraries."""

from __future__ import annotations

import pytest
import torch
from sacrebleu.metrics import BLEU
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_fscore_support

from autograder.exercises import find
from autograder.grading import grade_callable

torch.set_num_threads(1)

# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("9.2", "per-token", 0),
        ("9.2", "per-character", 2),
        ("9.3", "f1-of-averages", 0),
        ("9.3", "always-macro", 2),
        ("9.3", "nothing-is-nan", 3),
        ("9.4", "each-answer", 0),
        ("9.4", "no-bins", 1),
        ("9.4", "certainty-apart", 4),
        ("9.5", "last-lost", 0),
        ("9.5", "not-clipped", 3),
        ("9.5", "glued", 4),
        ("9.6", "one-run", 0),
        ("9.6", "greedy", 2),
        ("9.7", "next-draw", 0),
        ("9.7", "ties-won", 3),
        ("9.8", "kinds", 0),
        ("9.8", "as-letters", 4),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- What the checks expect is what the field's own libraries give


def _as_scikit_learn(confusion, average):
    targets = [i for i, row in enumerate(confusion.tolist()) for count in row for _ in range(count)]
    said = [j for row in confusion.tolist() for j, count in enumerate(row) for _ in range(count)]
    return precision_recall_fscore_support(
        targets, said, labels=range(len(confusion)), average=average, zero_division=0
    )[:3]


def _as_scikit_learn_s_diagram(confidences, correct, n_bins):
    # Its bins take their upper edge; the diagram leaves out how many answers each bin holds.
    right, sure = calibration_curve(correct.numpy(), confidences.double().numpy(), n_bins=n_bins)
    edges = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)[1:-1]
    count = torch.bincount(torch.bucketize(confidences.double(), edges), minlength=n_bins)
    return float((torch.from_numpy(abs(right - sure)) * count[count > 0]).sum() / len(confidences))


def _as_sacrebleu(candidate, reference, n):
    if not candidate:
        return 0, 0
    score = BLEU(tokenize="none", max_ngram_order=n).corpus_score(
        [" ".join(candidate)], [[" ".join(reference)]]
    )
    return score.counts[-1], score.totals[-1]


def _as_scipy(first, second, draws):
    pairs = zip(first[draws].double().numpy(), second[draws].double().numpy(), strict=True)
    # The sign of the paired t statistic is that of the difference of the averages.
    signs = [stats.ttest_rel(a, b).statistic if (a != b).any() else 0.0 for a, b in pairs]
    return sum(sign > 0 for sign in signs) / len(signs)


@pytest.mark.filterwarnings("ignore")  # scipy warns where all differences of a row are equal
@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("9.3", lambda confusion, average: tuple(map(float, _as_scikit_learn(confusion, average)))),
        ("9.4", _as_scikit_learn_s_diagram),
        ("9.5", _as_sacrebleu),
        ("9.7", _as_scipy),
    ],
)
def test_answers_from_the_field_s_libraries_pass(number, answer):
    report = grade_callable(find(number), answer)
    assert (report.status, report.reason) == ("passed", None)
