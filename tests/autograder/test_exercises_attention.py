"""What is particular to chapter 3: roads around its exercises, the bug hunt, the prediction, the mutants."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from autograder.exercises import find
from autograder.exercises.attention import expose_mutants, predict_top_weight
from autograder.exercises.attention.repair_attention import repair_attention
from autograder.grading import grade_callable
from llmlib.attention import causal_mask, scaled_dot_product_attention

# --- 3.2 and 3.5: a library function that is the answer is refused, by whatever road it is reached

SOFTMAX_ROADS = {
    "torch.softmax": lambda x, dim: torch.softmax(x, dim),
    "method": lambda x, dim: x.softmax(dim),
    "functional": lambda x, dim: F.softmax(x, dim=dim),
    "module": lambda x, dim: torch.nn.Softmax(dim)(x),
    "special": lambda x, dim: torch.special.softmax(x, dim),
    "log_softmax": lambda x, dim: torch.log_softmax(x, dim).exp(),
    "functional log_softmax": lambda x, dim: F.log_softmax(x, dim=dim).exp(),
    "module log_softmax": lambda x, dim: torch.nn.LogSoftmax(dim)(x).exp(),
    "softmin": lambda x, dim: F.softmin(-x, dim=dim),
    "operator": lambda x, dim: torch.ops.aten.softmax(x, dim),
    "inner operator": lambda x, dim: torch._softmax(x, dim, False),
    "torch._C": lambda x, dim: torch._C._VariableFunctions.softmax(x, dim),
}


@pytest.mark.parametrize("road", SOFTMAX_ROADS)
def test_the_library_s_softmax_is_refused(road):
    report = grade_callable(find("3.2"), lambda x, dim=-1: SOFTMAX_ROADS[road](x, dim))
    assert (report.status, report.points) == ("failed", 0)
    assert "which is what the exercise asks you to write" in report.reason


ATTENTION_ROADS = {
    "functional": lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m),
    "torch._C": lambda q, k, v, m: torch._C._nn.scaled_dot_product_attention(q, k, v, attn_mask=m),
    "operator": lambda q, k, v, m: torch.ops.aten.scaled_dot_product_attention(q, k, v, m),
    "inner operator": lambda q, k, v, m: torch.ops.aten._scaled_dot_product_attention_math(q, k, v, m)[0],
    "module": lambda q, k, v, m: torch.nn.MultiheadAttention(q.shape[-1], 1)(q, k, k)[0],
}


@pytest.mark.parametrize("road", ATTENTION_ROADS)
def test_the_library_s_attention_is_refused(road):
    report = grade_callable(
        find("3.5"), lambda query, key, value, mask=None: ATTENTION_ROADS[road](query, key, value, mask)
    )
    assert (report.status, report.points) == ("failed", 0)
    assert "which is what the exercise asks you to write" in report.reason


def test_logsumexp_and_torch_softmax_are_welcome_where_they_are_not_the_exercise():
    assert not {"torch.logsumexp", "aten::logsumexp"} & set(find("3.2").forbidden)
    assert not {"torch.softmax", "aten::_softmax"} & set(find("3.5").forbidden)
    assert find("3.3").forbidden == ()


# --- Honest forms that a too narrow probe would refuse


def test_a_root_taken_in_float32_is_no_mistake():
    def answer(query, key):
        return query @ key.transpose(-2, -1) / torch.tensor(query.shape[-1] ** 0.5)

    for seed in range(10):
        assert grade_callable(find("3.1"), answer, seed=seed).status == "passed"


def test_float64_inside_does_not_replace_a_stable_softmax():
    def answer(x, dim=-1):
        exponentials = x.double().exp()
        return (exponentials / exponentials.sum(dim, keepdim=True)).to(x.dtype)

    report = grade_callable(find("3.2"), answer)
    assert [check.passed for check in report.checks] == [True, True, False, True]


# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("3.1", "not-scaled", 1),
        ("3.1", "d-k-from-axis-1", 3),
        ("3.1", "detached", 4),
        ("3.2", "overflows", 4),
        ("3.2", "always-last", 4),
        ("3.3", "strict", 0),
        ("3.4", "as-long-as-the-longest", 3),
        ("3.4", "never-empty", 3),
        ("3.5", "not-scaled", 5),
        ("3.5", "mask-inverted", 5),
        ("3.5", "nan-in-empty-rows", 9),
        ("3.5", "over-queries", 0),
        ("3.7", "nothing-repaired", 0),
        ("3.7", "only-the-softmax", 1),
        ("3.7", "not-the-scale", 2),
        ("3.7", "not-the-mask", 2),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


def test_weights_shared_out_again_after_softmax_fail_on_high_hidden_scores_alone():
    exercise = find("3.5")
    answer = next(m.answer for m in exercise.misconceptions if m.id == "shared-out-again")
    for seed in range(10):
        report = grade_callable(exercise, answer, seed=seed)
        assert report.points == 9 and report.misconception.id == "shared-out-again"


# --- 3.7, the bug hunt


@pytest.mark.parametrize("shape", [(5,), (2, 4), (2, 3, 6)])
def test_the_repaired_function_agrees_with_torch(shape):
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(*shape, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    value = torch.randn(*shape, 4, generator=generator, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(repair_attention(query, key, value), expected)


def _defined(source):
    namespace = {}
    exec(
        "import math\nimport torch\nfrom jaxtyping import Float\nfrom torch import Tensor\n" + source,
        namespace,
    )
    return namespace["repair_attention"]


def test_the_starter_runs_gives_right_shapes_and_is_wrong():
    starter = _defined(find("3.7").starter)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 5, d, generator=generator) for d in (3, 3, 4))
    result = starter(query, key, value)
    assert result.shape == (2, 5, 4) and result.isfinite().all()
    assert not torch.allclose(result, repair_attention(query, key, value), atol=0.05)
    report = grade_callable(find("3.7"), starter)
    assert (report.points, report.misconception.id) == (0, "nothing-repaired")


# --- 3.6, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("3.6"), {"value": value, "confidence": confidence})


def test_the_truth_agrees_with_an_experiment_that_draws_the_keys():
    generator = torch.Generator().manual_seed(1)
    largest = []
    for _ in range(8):
        query = torch.randn(64, 1, 256, generator=generator)
        key = torch.randn(64, 64, 256, generator=generator)
        largest.append(torch.softmax((query * key).sum(-1), dim=-1).amax(-1))
    largest = torch.cat(largest)
    standard_error = float(largest.std()) / math.sqrt(len(largest))
    assert abs(float(largest.mean()) - predict_top_weight._top_weight()) < 4 * standard_error + 0.01


def test_a_prediction_is_right_within_eight_hundredths():
    truth = predict_top_weight._top_weight()
    assert _predict(truth - 0.079).status == _predict(min(truth + 0.079, 1.0)).status == "passed"
    assert _predict(truth - 0.081).status == _predict(truth + 0.081).status == "failed"
    assert _predict(torch.tensor(truth)).status == "passed"


def test_the_message_tells_nothing_about_the_value():
    messages = {_predict(value).reason for value in (0.0, 0.3, 0.81, 0.985, 1.0)}
    assert len(messages) == 1, "a message that changes with the guess can be used to search"
    words = messages.pop()
    assert "small" not in words and "large" not in words and "0.9" not in words


# --- 3.8, the mutants


def _probe(*shapes, seed=0, dtype=torch.float32, **more):
    generator = torch.Generator().manual_seed(seed)
    tensors = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return {**dict(zip(("query", "key", "value"), tensors, strict=True)), **more}


def _exposed(probes):
    return {
        check.name: check.message or "passed"
        for check in grade_callable(find("3.8"), probes).checks
        if check.name.startswith("exposes")
    }


def test_every_mutant_is_wrong_and_every_one_belongs_to_one_group():
    ids = [id for group in expose_mutants.GROUPS.values() for id in group]
    assert len(ids) == len(set(ids)) >= 20


def test_a_list_that_exposes_nothing_scores_nothing():
    nothing = {name: torch.zeros(2, 2) for name in ("query", "key", "value")}
    report = grade_callable(find("3.8"), [nothing] * 3)
    assert (report.status, report.points) == ("failed", 0)
    assert "no wrong implementation is exposed yet" in report.reason


def test_equal_sizes_hide_mistakes_and_unequal_ones_show_them():
    same = _exposed([_probe((3, 3), (3, 3), (3, 3))])["exposes every wrong scale"]
    assert "√d_v" in same and "number of keys" in same
    different = _exposed([_probe((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7))])
    assert different["exposes every wrong scale"] == "passed"
    assert different["exposes wrong axes, and inputs mixed up or changed"] == "passed"


def test_without_a_mask_no_mistake_in_the_mask_is_exposed_but_one():
    message = _exposed([_probe((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7))])[
        "exposes every misreading of the mask"
    ]
    assert message.startswith("1 of 6 exposed; not yet: ") and "the mask has no effect" in message


def test_points_come_group_by_group():
    probes = [_probe((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7))]
    assert grade_callable(find("3.8"), probes).points == 3
    probes.append(_probe((4, 5), (4, 5), (4, 3), mask=causal_mask(4)))
    assert grade_callable(find("3.8"), probes).points == 5
    probes.append(
        _probe((2, 5), (3, 5), (3, 2), mask=torch.tensor([[True, False, True], [False, False, False]]))
    )
    assert grade_callable(find("3.8"), probes).points == 6


def test_a_message_shows_no_probe():
    message = " ".join(_exposed([_probe((3, 3), (3, 3), (3, 3))]).values())
    assert "tensor(" not in message and "torch." not in message


def test_a_close_race_of_large_scores_is_fair():
    """0.985 against 0.015 at scores of 2,500: right forms differ in the fifth digit, and that is no fault."""
    probe = {
        "query": torch.tensor([[60.0, 0.0], [-60.0, 0.0]]),
        "key": torch.tensor([[60.0, 1.0], [59.9, 0.0], [80.0, 0.0]]),
        "value": torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 9.0]]),
        "mask": torch.tensor([[True, True, False], [True, True, False]]),
    }
    report = grade_callable(find("3.8"), [probe])
    assert report.checks[0].passed, report.checks[0].message


def test_a_probe_made_of_rounding_errors_is_not_fair():
    generator = torch.Generator().manual_seed(0)
    query = torch.full((1, 30), 1000.0)
    key = 900 + torch.rand(4, 30, generator=generator) * 1e-3
    probe = {"query": query, "key": key, "value": torch.eye(4)}
    report = grade_callable(find("3.8"), [_probe((2, 3), (4, 3), (4, 2)), probe])
    assert report.points == 0
    assert report.reason.startswith("`probes[1]` is not fair")


TENSORS = _probe((2, 3), (4, 3), (4, 2))
BAD_PROBES = {
    "not a dict": ("query", "should be a dict"),
    "a missing key": ({"query": TENSORS["query"], "key": TENSORS["key"]}, "has no 'value'"),
    "an unknown key": ({**TENSORS, "msak": None}, "unknown key 'msak'"),
    "a list in place of a tensor": (
        {**TENSORS, "query": [[1.0, 2.0, 3.0]]},
        "should be a float32 or float64 tensor",
    ),
    "whole numbers": (
        {**TENSORS, "query": torch.ones(2, 3, dtype=torch.long)},
        "it is a tensor of torch.int64",
    ),
    "one dimension": ({**TENSORS, "query": torch.ones(3)}, "from 2 to 5 dimensions"),
    "an empty tensor": ({**TENSORS, "query": torch.ones(0, 3)}, "between 1 and 32"),
    "a huge tensor": ({**TENSORS, "query": torch.ones(100_000, 3)}, "between 1 and 32"),
    "too many scores": (_probe((8, 32, 3), (8, 32, 3), (8, 32, 2)), "at most 4096 scores"),
    "NaN": ({**TENSORS, "value": torch.full((4, 2), torch.nan)}, "NaN or infinity"),
    "huge numbers": ({**TENSORS, "query": torch.full((2, 3), 1e9)}, "beyond ±1000"),
    "two dtypes": ({**TENSORS, "query": TENSORS["query"].double()}, "one dtype"),
    "another d_k": (_probe((2, 3), (4, 5), (4, 2)), "agree in d_k"),
    "another length": (_probe((2, 3), (4, 3), (5, 2)), "agree in length"),
    "another batch": (_probe((2, 2, 3), (3, 4, 3), (3, 4, 2)), "same leading dimensions"),
    "a float mask": ({**TENSORS, "mask": torch.ones(2, 4)}, "should be a boolean tensor"),
    "a mask that does not fit": (
        {**TENSORS, "mask": torch.ones(3, 4).bool()},
        "should broadcast to the scores",
    ),
    "a mask that enlarges": (
        {**TENSORS, "mask": torch.ones(5, 2, 4).bool()},
        "should broadcast to the scores",
    ),
    "a sparse tensor": ({**TENSORS, "query": TENSORS["query"].to_sparse()}, "ordinary, dense tensor"),
    "a tensor without numbers": (
        {**TENSORS, "query": torch.ones(2, 3, device="meta")},
        "ordinary, dense tensor",
    ),
}


@pytest.mark.parametrize("bad", BAD_PROBES)
def test_an_unusable_probe_is_named_and_told_why(bad):
    probe, words = BAD_PROBES[bad]
    report = grade_callable(find("3.8"), [TENSORS, probe])
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason and "probes[1]" in report.reason


class _Pretender(dict):
    def __iter__(self):
        raise RuntimeError("not really a dict")


def test_too_many_probes_and_a_probe_that_only_pretends_to_be_a_dict_are_told_so():
    assert "at most 20 probes" in grade_callable(find("3.8"), [TENSORS] * 21).reason
    assert "cannot be read (RuntimeError)" in grade_callable(find("3.8"), [_Pretender()]).reason


def test_the_learner_s_tensors_are_left_as_they_were():
    query = torch.nn.Parameter(TENSORS["query"].clone())
    probe = {**TENSORS, "query": query}
    assert grade_callable(find("3.8"), [probe]).points > 0
    assert query.requires_grad and query.grad is None and query.equal(TENSORS["query"])


def test_the_oracle_of_the_mutants_agrees_with_torch():
    for probe in expose_mutants._few_but_dense():
        expected = F.scaled_dot_product_attention(
            probe["query"], probe["key"], probe["value"], attn_mask=probe.get("mask")
        )
        torch.testing.assert_close(scaled_dot_product_attention(**probe), expected, atol=1e-4, rtol=1e-4)
