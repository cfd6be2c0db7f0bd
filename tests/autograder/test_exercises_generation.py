"""What is particular to chapter 8: partial points, the prediction, the probes, the statistic."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from autograder.exercises import find
from autograder.exercises.generation import expose_mutants, predict_tail
from autograder.grading import grade_callable
from llmlib.chi_square import chi_square_statistic, p_value

torch.set_num_threads(1)

# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("8.2", "stops-short", 0),
        ("8.2", "left-sorted", 2),
        ("8.2", "left-sorted-below-one", 3),
        ("8.2", "over-the-whole-batch", 3),
        ("8.3", "always-divided", 1),
        ("8.3", "once-for-each-time", 3),
        ("8.4", "impossible-are-free", 2),
        ("8.4", "not-drawn-left-out", 3),
        ("8.4", "impossible-forgiven", 3),
        ("8.6", "scores-ignored", 0),
        ("8.6", "first-beam", 1),
        ("8.6", "best-beams-first", 3),
        ("8.6", "not-limited", 4),
        ("8.7", "no-mask", 2),
        ("8.7", "cache-not-grown", 0),
        ("8.8", "filler-means-padding", 4),
        ("8.8", "on-the-right", 0),
        ("8.9", "nothing-waits", 2),
        ("8.9", "shortest-wait", 4),
        ("8.9", "stripped", 4),
        ("8.9", "first-to-end", 4),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- 8.1, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("8.1"), {"value": value, "confidence": confidence})


def test_the_experiment_agrees_with_the_formula():
    assert predict_tail.share_of_texts() == pytest.approx(1 - 0.99**200, abs=0.01)


def test_a_prediction_is_right_within_six_hundredths():
    truth = predict_tail.share_of_texts()
    assert _predict(truth - 0.059).status == _predict(truth + 0.059).status == "passed"
    assert _predict(truth - 0.061).status == _predict(truth + 0.061).status == "failed"
    assert _predict(torch.tensor(truth)).status == "passed"


# --- 8.4, the statistic


@pytest.mark.parametrize("seed", range(5))
def test_the_statistic_and_its_p_value_are_scipy_s(seed):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(6, generator=generator, dtype=torch.float64)
    probabilities /= probabilities.sum()
    counts = torch.bincount(torch.multinomial(probabilities, 300, True, generator=generator), minlength=6)
    statistic, freedom = chi_square_statistic(counts, probabilities)
    expected = stats.chisquare(counts.numpy(), 300 * probabilities.numpy())
    assert statistic == pytest.approx(expected.statistic)
    assert freedom == 5
    assert p_value(statistic, freedom) == pytest.approx(expected.pvalue, rel=1e-6)


# --- 8.5, the probes


def test_one_row_of_sorted_logits_leaves_mutants_alive():
    row = [[3.0, 2.0, 1.0, 0.0]]
    probes = [
        {"filter": "top_k", "logits": row, "value": 2},
        {"filter": "top_p", "logits": row, "value": 0.8},
        {"filter": "min_p", "logits": row, "value": 0.2},
        {"filter": "repetition_penalty", "logits": row, "value": 2.0, "tokens": [[0]]},
    ]
    report = grade_callable(find("8.5"), probes)
    assert 0 < report.points < report.max_points
    assert "not yet" in report.reason


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ([], "the list is empty"),
        ({"filter": "top_k"}, "should be a list of dicts"),
        ([{"filter": "top_k", "logits": [[1.0]]}], "has no 'value'"),
        ([{"filter": "typical", "logits": [[1.0]], "value": 1}], "should be one of top_k"),
        ([{"filter": "top_k", "logits": [[1.0, 2.0]], "value": 0.5}], "whole number"),
        ([{"filter": "top_p", "logits": [1.0, 2.0], "value": 0.5}], "list of rows"),
        ([{"filter": "min_p", "logits": [[1.0, 99.0]], "value": 0.5}], "should lie between"),
        ([{"filter": "repetition_penalty", "logits": [[1.0]], "value": 2.0}], "has no 'tokens'"),
    ],
)
def test_an_unusable_probe_is_told_why(probes, words):
    report = grade_callable(find("8.5"), probes)
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason


def test_every_mutant_differs_from_the_right_filter():
    assert set(expose_mutants.MUTANTS) == set(expose_mutants.RIGHT)
    assert all(len(mutants) >= 3 for mutants in expose_mutants.MUTANTS.values())
