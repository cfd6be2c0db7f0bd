"""What is particular to the exercises of chapter 9 whose answer is a value: the prediction, the probes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from scipy.stats import binom
from sklearn.metrics import precision_recall_fscore_support

from autograder.exercises import find
from autograder.exercises.evaluation import expose_mutants, predict_upset
from autograder.exercises.evaluation.wrong_metrics import MUTANTS
from autograder.grading import grade_callable

torch.set_num_threads(1)

# --- 9.1, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("9.1"), {"value": value, "confidence": confidence})


def test_the_experiment_agrees_with_the_binomial_distribution():
    exact = sum(binom.pmf(k, 100, 0.80) * binom.cdf(k, 100, 0.82) for k in range(101))
    assert predict_upset.share_of_upsets() == pytest.approx(exact, abs=0.01)


def test_a_prediction_is_right_within_six_hundredths():
    truth = predict_upset.share_of_upsets()
    assert _predict(truth - 0.059).status == _predict(truth + 0.059).status == "passed"
    assert _predict(truth - 0.061).status == _predict(truth + 0.061).status == "failed"
    assert _predict(torch.tensor(truth)).status == "passed"


# --- 9.9, the probes


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_the_right_metric_is_scikit_learn_s(average):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        targets, predictions = torch.randint(4, (2, 9), generator=generator).tolist()
        labels = list(range(1 + max(targets + predictions)))
        wanted = precision_recall_fscore_support(
            targets, predictions, labels=labels, average=average, zero_division=0
        )
        assert expose_mutants.right(targets, predictions, average) == pytest.approx(wanted[:3])


def test_every_mutant_is_right_somewhere_and_wrong_somewhere():
    """A mutant that is always wrong would be exposed by any probe, and teach nothing."""
    lists = list(product(range(3), repeat=3))
    for mutant in (m for group in MUTANTS.values() for m in group):
        exposed = {
            expose_mutants._exposes((list(t), list(p), average), mutant)
            for t in lists
            for p in lists
            for average in ("micro", "macro")
        }
        assert exposed == {True, False}, mutant.id


def test_equal_frequencies_leave_mutants_alive():
    probe = {"targets": [0, 0, 1, 1], "predictions": [0, 1, 1, 1], "average": "macro"}
    report = grade_callable(find("9.9"), [probe])
    assert 0 < report.points < report.max_points
    assert "not yet" in report.reason and "precision and recall are confused" not in report.reason


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ([], "the list is empty"),
        ({"targets": [0]}, "should be a list of dicts"),
        ([{"targets": [0], "predictions": [0]}], "has no 'average'"),
        ([{"targets": [0], "predictions": [0], "average": "mean"}], '"micro" or "macro"'),
        ([{"targets": [0, 1], "predictions": [0], "average": "micro"}], "equally many"),
        ([{"targets": [0, 5], "predictions": [0, 1], "average": "micro"}], "from 0 to 4"),
        ([{"targets": [0.0], "predictions": [0], "average": "micro"}], "whole numbers"),
        ([{"targets": [], "predictions": [], "average": "micro"}], "1 to 20 labels"),
        ([{"targets": [0], "predictions": [0], "average": "micro", "beta": 2}], "unknown key 'beta'"),
        ([{"targets": [0], "predictions": [0], "average": "micro"}] * 9, "at most 8"),
    ],
)
def test_an_unusable_probe_is_told_why(probes, words):
    report = grade_callable(find("9.9"), probes)
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason
