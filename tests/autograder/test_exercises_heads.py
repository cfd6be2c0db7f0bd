"""What is particular to chapter 4: roads around the layer, partial points, the prediction, the mutants."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from autograder.exercises import find
from autograder.exercises.heads import expose_mutants, predict_quadratic_share, wrong_heads
from autograder.exercises.heads.wrong_heads import Steps
from autograder.grading import grade_callable
from llmlib.attention import MultiHeadAttention, causal_mask, merge_heads, split_heads

# --- 4.5: PyTorch's own attention is refused, by whatever road it is reached


class Kernel(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        context = x if context is None else context
        layers = ((self.query, x), (self.key, context), (self.value, context))
        query, key, value = (split_heads(layer(text), self.n_heads) for layer, text in layers)
        heads = F.scaled_dot_product_attention(query, key, value, mask)
        return self.output(merge_heads(heads))


class WholeLayer(MultiHeadAttention):
    def forward(self, x, mask=None, context=None, *, is_causal=False):
        layer = torch.nn.MultiheadAttention(x.shape[-1], self.n_heads, batch_first=True)
        return layer(x, x, x)[0]


@pytest.mark.parametrize("road", [Kernel, WholeLayer], ids=lambda road: road.__name__)
def test_torch_s_own_attention_is_refused(road):
    report = grade_callable(find("4.5"), road)
    assert (report.status, report.points) == ("failed", 0)
    assert "which is what the exercise asks you to write" in report.reason


# --- Honest forms that a too narrow probe would refuse


def test_the_layer_in_steps_is_right():
    for seed in range(5):
        assert grade_callable(find("4.5"), Steps, seed=seed).status == "passed"


def test_a_large_negative_number_without_zeros_for_empty_rows_passes():
    class Finite(Steps):
        def attend(self, query, key, value, mask):
            scores = query @ key.mT / query.shape[-1] ** 0.5
            return (scores if mask is None else scores.masked_fill(~mask, -1e9)).softmax(-1) @ value

    for seed in range(5):
        assert grade_callable(find("4.5"), Finite, seed=seed).status == "passed"


# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("4.1", "view-without-transpose", 0),
        ("4.1", "heads-first", 2),
        ("4.2", "not-transposed", 0),
        ("4.3", "no-axis-for-the-heads", 2),
        ("4.4", "always-itself", 0),
        ("4.4", "pairs", 0),
        ("4.5", "no-output-projection", 0),
        ("4.5", "context-ignored", 6),
        ("4.5", "mask-inverted", 5),
        ("4.5", "causal-replaces-mask", 8),
        ("4.7", "everything-as-long-as-queries", 2),
        ("4.7", "no-batch", 3),
        ("4.8", "second-time-only", 4),
        ("4.8", "heads-averaged", 0),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- 4.6, the prediction


def test_the_share_is_what_the_formula_gives():
    projections, meetings = 4 * 768 * 768, 2 * 1024 * 768  # multiplications for one position
    assert predict_quadratic_share._share() == pytest.approx(meetings / (meetings + projections))


@pytest.mark.parametrize(
    ("value", "right"), [(0.33, True), (0.4, True), (0.47, True), (0.3, False), (0.5, False)]
)
def test_a_prediction_counts_within_its_tolerance(value, right):
    report = grade_callable(find("4.6"), {"value": value, "confidence": 0.5})
    assert (report.status == "passed") is right
    assert right or "0.4" not in report.reason, "the right number must not be told"


# --- 4.9, the mutants


def verdict(probes):
    return grade_callable(find("4.9"), probes)


def x(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ([{"n_heads": 2}], "has no 'x'"),
        ([{"x": x(2, 3, 6)}], "has no 'n_heads'"),
        ([{"x": x(2, 3, 6), "n_heads": 4}], "divides d_model = 6"),
        ([{"x": x(2, 3, 6), "n_heads": True}], "divides d_model = 6"),
        ([{"x": x(3, 6), "n_heads": 2}], "shape (batch, length, d_model)"),
        ([{"x": x(2, 3, 6).double(), "n_heads": 2}], "float32"),
        ([{"x": 1000 * x(2, 3, 6), "n_heads": 2}], "beyond ±100"),
        ([{"x": x(2, 3, 6) / 0, "n_heads": 2}], "NaN or infinity"),
        ([{"x": x(2, 3, 33), "n_heads": 3}], "between 1 and 32"),
        ([{"x": x(8, 32, 32), "n_heads": 8}], "at most 4096 scores"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "context": x(3, 3, 6)}], "agree in batch and d_model"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "mask": torch.ones(3, 3)}], "boolean"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "mask": causal_mask(4)}], "broadcast to the scores (2, 2, 3, 3)"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "is_causal": 1}], "True or False"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "is_causal": True, "context": x(2, 4, 6)}], "same length"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "heads": 3}], "unknown key 'heads'"),
        ([{"x": x(2, 3, 6), "n_heads": 2}] * 9, "at most 8 probes"),
        ([{"x": x(2, 3, 6), "n_heads": 2, "mask": torch.zeros(3, 3).bool()}], "something to attend to"),
    ],
)
def test_probes_that_cannot_be_used_are_told_why(probes, words):
    report = verdict(probes)
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason


def test_a_weak_probe_is_valid_and_exposes_little():
    report = verdict([{"x": torch.ones(1, 1, 6), "n_heads": 2}])
    assert report.status == "failed" and report.points == 1
    assert any("not yet" in (check.message or "") for check in report.checks)


def test_judging_leaves_everybody_s_random_numbers_alone():
    state = torch.random.get_rng_state()
    verdict([{"x": x(2, 3, 6), "n_heads": 2}])
    assert torch.random.get_rng_state().equal(state)


def test_every_wrong_layer_is_a_mutant_in_one_group():
    named = [id for ids in expose_mutants.GROUPS.values() for id in ids]
    assert len(named) == len(set(named))
    assert set(named) == {m.id for m in wrong_heads.MISCONCEPTIONS}
