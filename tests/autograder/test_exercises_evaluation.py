"""What is particular to chapter 9's code exercises: partial points; answers from the field's libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import f1_score, precision_recall_fscore_support, precision_score, recall_score

from autograder.exercises import find
from autograder.grading import grade_callable

torch.set_num_threads(1)

# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("9.2", "per-token", 0),
        ("9.2", "per-character", 2),
        ("9.2", "stripped", 3),
        ("9.3", "f1-of-averages", 0),
        ("9.3", "always-macro", 2),
        ("9.3", "nothing-is-nan", 3),
        ("9.3", "only-there", 3),
        ("9.4", "each-answer", 0),
        ("9.4", "no-bins", 1),
        ("9.4", "certainty-apart", 4),
        ("9.5", "last-lost", 0),
        ("9.5", "not-clipped", 3),
        ("9.5", "glued", 4),
        ("9.5", "small-letters", 4),
        ("9.6", "one-run", 0),
        ("9.6", "greedy", 2),
        ("9.6", "small-letters", 4),
        ("9.7", "next-draw", 0),
        ("9.7", "ties-won", 3),
        ("9.7", "ties-left-out", 3),
        ("9.8", "kinds", 0),
        ("9.8", "as-letters", 4),
        ("9.8", "small-letters", 4),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- What the checks expect is what the field's own libraries give


def _labels(confusion):
    targets = [i for i, row in enumerate(confusion.tolist()) for count in row for _ in range(count)]
    said = [j for row in confusion.tolist() for j, count in enumerate(row) for _ in range(count)]
    return targets, said


def _as_scikit_learn(confusion, average):
    labels = range(len(confusion))
    return precision_recall_fscore_support(
        *_labels(confusion), labels=labels, average=average, zero_division=0
    )[:3]


def _as_scikit_learn_s_three(confusion, average):
    options = {"labels": range(len(confusion)), "average": average, "zero_division": 0}
    return [score(*_labels(confusion), **options) for score in (precision_score, recall_score, f1_score)]


def _as_scikit_learn_alone(confusion, average):
    """Without being told the classes, it leaves those out that are nowhere."""
    scores = precision_recall_fscore_support(*_labels(confusion), average=average, zero_division=0)
    return tuple(map(float, scores[:3]))


def _as_scikit_learn_s_counts(test, training, n):
    if min(len(test), len(training)) < n:
        return 0.0
    options = {"token_pattern": r"\S+", "ngram_range": (n, n), "lowercase": False}
    known = CountVectorizer(**options).fit([" ".join(training)])
    found, there = (
        vectorizer.transform([" ".join(test)]).sum()
        for vectorizer in (known, CountVectorizer(**options).fit([" ".join(test)]))
    )
    return found / there


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


def _as_numpy_s_counts(candidate, reference, n):
    """NumPy's whole numbers are whole numbers."""
    has, offered = (["\0".join(t[i : i + n]) for i in range(len(t) - n + 1)] for t in (candidate, reference))
    kinds, counts = np.unique(np.array(has, dtype=str), return_counts=True)
    limits = [offered.count(kind) for kind in kinds]
    return np.minimum(counts, limits).sum(dtype=np.int64), counts.sum(dtype=np.int64)


def _as_scipy(first, second, draws):
    pairs = zip(first[draws].double().numpy(), second[draws].double().numpy(), strict=True)
    # The sign of the paired t statistic is that of the difference of the averages.
    signs = [stats.ttest_rel(a, b).statistic if (a != b).any() else 0.0 for a, b in pairs]
    return sum(sign > 0 for sign in signs) / len(signs)


@pytest.mark.filterwarnings("ignore")  # scipy warns where all differences of a row are equal
@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("9.3", _as_scikit_learn),
        ("9.3", _as_scikit_learn_s_three),
        ("9.4", _as_scikit_learn_s_diagram),
        ("9.5", _as_sacrebleu),
        ("9.7", _as_scipy),
        ("9.5", _as_numpy_s_counts),
        ("9.8", _as_scikit_learn_s_counts),
    ],
)
def test_answers_from_the_field_s_libraries_pass(number, answer):
    report = grade_callable(find(number), answer)
    assert (report.status, report.reason) == ("passed", None)


def test_a_library_that_was_not_told_the_classes_is_wrong_under_that_name():
    report = grade_callable(find("9.3"), _as_scikit_learn_alone)
    assert (report.status, report.points) == ("failed", 3)
    assert report.misconception is not None and report.misconception.id == "nowhere-left-out"


# --- Wrong answers are told why, whatever they raise


@pytest.mark.parametrize(
    ("number", "answer", "words"),
    [
        ("9.4", lambda confidences, correct, n_bins: confidences.mean(), "expected a number, got a Tensor"),
        ("9.5", lambda candidate, reference, n: reference.remove(reference[0]), "its input `reference`"),
        ("9.6", lambda first, second: [w for w in first if w in second], "expected an int, got a list"),
        ("9.7", lambda first, second, draws: bool(first.mean() > second.mean()), "got a bool"),
        ("9.8", lambda test, training, n: None, "is a `return` missing?"),
    ],
)
def test_what_cannot_be_compared_is_told_why(number, answer, words):
    report = grade_callable(find(number), answer)
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason and "Traceback" not in report.reason
