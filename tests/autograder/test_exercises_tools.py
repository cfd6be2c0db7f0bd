"""What is particular to chapter 0: the mutants, the prediction, the bug hunt, refusals, partial points."""

from __future__ import annotations

import itertools

import pytest
import torch

from autograder.exercises import find
from autograder.exercises.tools import expose_mutants, predict_wrong_pairs
from autograder.exercises.tools.broadcast_shape import ALTERNATIVES
from autograder.exercises.tools.repair_line_step import repair_line_step
from autograder.grading import grade_callable
from llmlib.tensors import broadcast_shape

# --- Library functions that are the answer are refused, by whatever road they are reached

ROADS = {
    "0.1 functional": ("0.1", lambda p, t: torch.nn.functional.mse_loss(p, t)),
    "0.1 module": ("0.1", lambda p, t: torch.nn.MSELoss()(p, t)),
    "0.1 operator": ("0.1", lambda p, t: torch.ops.aten.mse_loss(p, t)),
    "0.5 torch": ("0.5", lambda p, o: torch.cdist(p, o)),
    "0.5 functional": ("0.5", lambda p, o: torch.nn.functional.pairwise_distance(p[:, None], o, eps=0)),
    "0.6 method": ("0.6", lambda tokens, length: tokens.unfold(0, length, 1)),
    "0.6 operator": ("0.6", lambda tokens, length: torch.ops.aten.unfold(tokens, 0, length, 1)),
}


@pytest.mark.parametrize("road", ROADS)
def test_a_library_function_that_is_the_answer_is_refused(road):
    number, answer = ROADS[road]
    report = grade_callable(find(number), answer)
    assert (report.status, report.points) == ("failed", 0)
    assert "which is what the exercise asks you to write" in report.reason


# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("0.1", "summed", 0),
        ("0.1", "by-the-rows", 2),
        ("0.1", "plain-number", 0),
        ("0.1", "detached", 3),
        ("0.2", "aligned-left", 3),
        ("0.2", "never-refuses", 3),
        ("0.2", "larger-size", 4),
        ("0.5", "squared", 0),
        ("0.5", "detached", 4),
        ("0.6", "no-overlap", 0),
        ("0.6", "always-int64", 3),
        ("0.7", "no-chain", 0),
        ("0.7", "overwrites", 4),
        ("0.7", "same-source-once", 4),
        ("0.8", "nothing-repaired", 0),
        ("0.8", "only-the-direction", 1),
        ("0.8", "not-the-shapes", 2),
        ("0.8", "not-the-average", 2),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- 0.3, the mutants


def _expose(probes):
    return grade_callable(find("0.3"), probes)


def test_every_mutant_differs_from_the_right_rule_somewhere_and_right_ones_nowhere():
    shapes = [shape for n in range(4) for shape in itertools.product((0, 1, 2, 4), repeat=n)]
    pairs = list(itertools.product(shapes, repeat=2))
    for mutant in itertools.chain(*expose_mutants.EXPOSING.mutants.values()):
        assert any(expose_mutants.exposes(pair, mutant) for pair in pairs), mutant.id
    for pair in pairs[::7]:
        expected = expose_mutants._outcome(broadcast_shape, pair)
        for right in ALTERNATIVES:
            assert expose_mutants._outcome(right.answer, pair) == expected, (right.title, pair)


def test_the_worked_example_exposes_almost_nobody():
    report = _expose([((2, 3), (2, 3))])
    assert report.points < 3
    assert [check.passed for check in report.checks[1:]] == [False] * 4


def test_the_mutants_that_live_are_named():
    report = _expose([((2, 1), (1, 3))])
    refusals = next(check for check in report.checks if "accept" in check.name)
    assert (
        "0 of 4 exposed" in refusals.message and "sizes that do not fit are not refused" in refusals.message
    )


def test_each_of_the_answer_s_pairs_is_needed():
    """The solution in the chapter holds no pair that could be left out without losing points."""
    pairs = expose_mutants._one_for_each_question()
    assert _expose(pairs).points == find("0.3").points
    few = expose_mutants._as_few_as_we_found()
    for place in range(len(few)):
        assert _expose(few[:place] + few[place + 1 :]).points < find("0.3").points, few[place]


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ([((3), (3,))], "written with a comma"),
        ([((2, 3),)], "should be a pair of shapes"),
        ([((2.0,), (2,))], "a whole number from 0 to 99"),
        ([((True,), (2,))], "a whole number from 0 to 99"),
        ([((-1,), (2,))], "a whole number from 0 to 99"),
        ([((1,) * 7, (2,))], "at most 6"),
        ([((1,), (2,))] * 9, "at most 8 pairs"),
        ([], "the list is empty"),
        (7, "should be a list of pairs"),
    ],
)
def test_a_list_that_cannot_be_used_is_told_why(probes, words):
    report = _expose(probes)
    assert (report.status, report.points) == ("failed", 0) and words in report.reason


# --- 0.4, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("0.4"), {"value": value, "confidence": confidence})


def test_the_truth_is_the_share_of_pairs_that_differ():
    target = torch.cat([torch.ones(300), torch.zeros(700)])
    truth = float(((target[:, None] - target) ** 2).mean())
    assert truth == pytest.approx(2 * 0.3 * 0.7, abs=1e-6)
    assert predict_wrong_pairs._wrong_error() == pytest.approx(truth, abs=1e-6)


def test_a_prediction_is_right_within_three_hundredths():
    assert _predict(0.391).status == _predict(0.449).status == "passed"
    assert _predict(0.389).status == _predict(0.451).status == "failed"


# --- 0.8, the bug hunt


def test_the_repaired_step_follows_torch_s_gradient():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 1, generator=generator, dtype=torch.float64)
    y = torch.randn(7, generator=generator, dtype=torch.float64)
    line = torch.randn(2, generator=generator, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.mse_loss(line[0] * x[:, 0] + line[1], y)
    (gradient,) = torch.autograd.grad(loss, line)
    torch.testing.assert_close(repair_line_step(x, y, line, 0.3), line - 0.3 * gradient)


def test_the_worked_examples_of_the_bug_hunt():
    x, y, line = torch.tensor([[3.0]]), torch.tensor([5.0]), torch.tensor([2.0, 1.0])
    torch.testing.assert_close(repair_line_step(x, y, line, 0.1), torch.tensor([0.8, 0.6]))
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, 2.0])
    torch.testing.assert_close(repair_line_step(x, y, torch.zeros(2), 0.5), torch.tensor([1.0, 1.0]))


# --- Honest forms that a too narrow probe would refuse


def test_integers_among_the_gradients_pass():
    def gradients(slopes):
        result = [0] * len(slopes)
        result[-1] = 1
        for number in range(len(slopes) - 1, -1, -1):
            for source, slope in slopes[number]:
                result[source] += slope * result[number]
        return result

    assert grade_callable(find("0.7"), gradients).status == "passed"


def test_torch_s_own_rule_lacks_only_the_kind_of_error():
    """No tensor takes part in it, so nothing could refuse it; it raises a RuntimeError."""
    report = grade_callable(find("0.2"), lambda a, b: tuple(torch.broadcast_shapes(a, b)))
    assert [check.passed for check in report.checks] == [True, True, False, False]


def test_the_words_of_the_error_are_free():
    def shape(first, second):
        try:
            return broadcast(first, second)
        except ValueError as error:
            raise ValueError("these two do not go together") from error

    broadcast = next(right.answer for right in ALTERNATIVES)
    assert grade_callable(find("0.2"), shape).status == "passed"
