"""What is particular to chapter 7: partial points, the prediction, the probes, what the experiments show."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from autograder.exercises import find
from autograder.exercises.pretraining import expose_mutants, predict_repeats
from autograder.exercises.pretraining.wrong_clipping import HOW, MEASURE, RETURNS, WHEN, right
from autograder.grading import grade_callable
from llmlib.gpt import GPT, GPTConfig
from llmlib.training import TrainingConfig, train

torch.set_num_threads(1)

# --- From scratch means from scratch


def _borrowed(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    parameter = torch.nn.Parameter(parameter.clone())
    optimizer = torch.optim.AdamW([parameter], learning_rate, (beta1, beta2), eps, weight_decay)
    averages = {"exp_avg": average.clone(), "exp_avg_sq": square_average.clone()}
    optimizer.state[parameter] = {"step": torch.tensor(step - 1.0), **averages}
    parameter.grad = gradient
    optimizer.step()
    after = optimizer.state[parameter]
    return parameter.detach(), after["exp_avg"], after["exp_avg_sq"]


def test_pytorchs_adamw_is_right_and_refused():
    exercise = find("7.3")
    assert grade_callable(replace(exercise, forbidden=()), _borrowed).points == exercise.points
    report = grade_callable(exercise, _borrowed)
    assert report.points == 0
    assert "this calls `torch.optim.AdamW.step`" in report.checks[0].message


# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("7.2", "sum", 0),
        ("7.2", "bits", 0),
        ("7.2", "overflows", 5),
        ("7.2", "log-of-softmax", 5),
        ("7.2", "ignored-are-counted", 6),
        ("7.2", "cut-off", 6),
        ("7.2", "more-digits", 5),
        ("7.2", "divided-by-the-texts", 2),
        ("7.2", "token-0-ignored", 0),
        ("7.3", "no-bias-correction", 0),
        ("7.3", "eps-in-the-root", 5),
        ("7.3", "l2-in-the-gradient", 4),
        ("7.3", "momentum", 0),
        ("7.3", "no-decay", 4),
        ("7.3", "decay-over-the-root", 4),
        ("7.3", "step-one-too-low", 0),
        ("7.3", "eps-as-the-least", 5),
        ("7.4", "starts-at-zero", 3),
        ("7.4", "straight-line", 3),
        ("7.4", "rises-again", 4),
        ("7.4", "all-but-one-step", 3),
        ("7.4", "a-step-ahead", 3),
        ("7.4", "zero-after-the-end", 4),
        ("7.6", "sum-of-means", 1),
        ("7.6", "mean-of-means", 4),
        ("7.6", "zeroed-in-the-loop", 1),
        ("7.6", "ignored-places-counted", 7),
        ("7.6", "old-gradients-kept", 7),
        ("7.6", "without-enable-grad", 0),
        ("7.6", "counted-so-far", 1),
        ("7.6", "weighed-by-places", 7),
        ("7.6", "with-its-graph", 7),
        ("7.9", "in-place", 4),
        ("7.10", "scored-in-one-piece", 5),
        ("7.10", "zeroed-before-the-step", 0),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- 7.1, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("7.1"), {"value": value, "confidence": confidence})


def test_the_count_over_windows_is_the_calculation_by_hand():
    assert predict_repeats.least_loss() == pytest.approx(2 / 3 * math.log(2) / 4)
    assert predict_repeats.least_loss(context=8) == pytest.approx(2 / 3 * math.log(2) / 8)
    assert predict_repeats.least_loss("ab") == 0
    # aaab: after one a of three, after aa of two, and after aaa all is certain.
    expected = (3 / 4 * (math.log(3) - 2 / 3 * math.log(2)) + 2 / 4 * math.log(2)) / 4
    assert predict_repeats.least_loss("aaab") == pytest.approx(expected)


def test_a_trained_model_arrives_there_and_not_below():
    text = torch.tensor([0, 0, 1] * 100)
    recipe = TrainingConfig(
        steps=200, batch_size=16, learning_rate=1e-2, warmup_steps=10, evaluation_interval=200
    )
    model = GPT(GPTConfig(2, context_length=4, d_model=16, n_layers=1, n_heads=2), 0)
    train(model, text, text, recipe, context_length=4, progress=False)
    windows = text.unfold(0, 5, 1)[:3]  # one of each kind
    with torch.no_grad():
        logits = model(windows[:, :-1])
    loss = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()))
    assert predict_repeats.least_loss() - 1e-6 <= loss <= predict_repeats.least_loss() + 0.02


def test_a_prediction_is_right_within_two_hundredths():
    truth = predict_repeats.least_loss()
    assert _predict(truth - 0.019).status == _predict(truth + 0.019).status == "passed"
    assert _predict(truth - 0.021).status == _predict(truth + 0.021).status == "failed"
    assert _predict(torch.tensor(truth)).status == "passed"


# --- 7.5, the probes


@pytest.mark.parametrize("gradients", [[[3.0], [4.0]], [[0.1, -0.2], [0.2]], [[0.0], [0.0, 0.0]]])
@pytest.mark.parametrize("limit", [0.5, 1.0, 7.0])
def test_the_right_clipping_is_pytorchs(gradients, limit):
    tensors = [torch.tensor(gradient, dtype=torch.float64) for gradient in gradients]
    clipped, length = right(tensors, limit)
    parameters = [torch.nn.Parameter(torch.zeros_like(t)) for t in tensors]
    for parameter, tensor in zip(parameters, tensors, strict=True):
        parameter.grad = tensor.clone()
    torch.testing.assert_close(length, torch.nn.utils.clip_grad_norm_(parameters, limit))
    torch.testing.assert_close(clipped, [parameter.grad for parameter in parameters])


def test_the_number_of_mutants_is_the_one_that_the_chapter_names():
    assert len(MEASURE + WHEN + HOW + RETURNS) == 23


def test_one_usual_probe_leaves_mutants_alive():
    report = grade_callable(find("7.5"), [{"gradients": [[3.0, 4.0]], "max_norm": 1.0}])
    assert 0 < report.points < report.max_points
    assert "not yet" in report.reason


def test_a_gradient_of_zeros_exposes_nothing_and_breaks_nothing():
    report = grade_callable(find("7.5"), [{"gradients": [[0.0], [0.0, 0.0]], "max_norm": 1.0}])
    assert report.status == "failed" and report.points <= 1


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"gradients": [[1.0]]}, "has no 'max_norm'"),
        ({"max_norm": 1.0}, "has no 'gradients'"),
        ({"gradients": [[1.0]], "max_norm": 1.0, "lr": 2}, "unknown key 'lr'"),
        ({"gradients": [], "max_norm": 1.0}, "should be a list of 1 to 6 lists"),
        ({"gradients": [[]], "max_norm": 1.0}, "a list of 1 to 24 numbers"),
        ({"gradients": [[[1.0]]], "max_norm": 1.0}, "numbers between -1000 and 1000"),
        ({"gradients": [["a"]], "max_norm": 1.0}, "numbers between -1000 and 1000"),
        ({"gradients": [[math.nan]], "max_norm": 1.0}, "numbers between -1000 and 1000"),
        ({"gradients": [[1.0] * 25], "max_norm": 1.0}, "a list of 1 to 24 numbers"),
        ({"gradients": [[1.0]], "max_norm": 0}, "a number from 0.001 to 1000"),
        ("text", "should be a dict"),
    ],
)
def test_an_unusable_probe_is_told_why(probe, words):
    report = grade_callable(find("7.5"), [probe])
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason


def test_at_most_six_probes():
    probes = [{"gradients": [[1.0]], "max_norm": 1.0}] * 7
    assert "at most 6 probes" in grade_callable(find("7.5"), probes).reason
    assert expose_mutants.EXPOSING.most == 6
