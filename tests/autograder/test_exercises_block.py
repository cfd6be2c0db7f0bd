"""What is particular to chapter 5: roads around its exercises, the bug hunt, the prediction, the mutants."""

from __future__ import annotations

import ast
import inspect
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograder.exercises import find
from autograder.exercises.block import expose_norm_mutants, predict_stream_size
from autograder.grading import grade_callable
from llmlib.feedforward import FeedForward
from llmlib.normalization import layer_norm

MANUSCRIPT = Path(__file__).resolve().parents[2] / "book" / "05-the-block.md"

# --- A library function that is the answer is refused, by whatever road it is reached

ROADS = {
    "5.1": {
        "functional": lambda x, approximate="none": F.gelu(x, approximate=approximate),
        "module": lambda x, approximate="none": nn.GELU(approximate)(x),
        "torch._C": lambda x, approximate="none": torch._C._nn.gelu(x, approximate=approximate),
        "operator": lambda x, approximate="none": torch.ops.aten.gelu(x, approximate=approximate),
    },
    "5.3": {
        "functional": lambda gate, value: F.silu(gate) * value,
        "module": lambda gate, value: nn.SiLU()(gate) * value,
        "operator": lambda gate, value: torch.ops.aten.silu(gate) * value,
        "glu": lambda gate, value: F.glu(torch.cat([value, gate], -1)) * gate,
    },
    "5.4": {
        "functional": lambda x, w, b=None, eps=1e-5: F.layer_norm(x, w.shape, w, b, eps),
        "torch": lambda x, w, b=None, eps=1e-5: torch.layer_norm(x, w.shape, w, b, eps),
        "native": lambda x, w, b=None, eps=1e-5: torch.native_layer_norm(x, w.shape, w, b, eps)[0],
        "module": lambda x, w, b=None, eps=1e-5: nn.LayerNorm(len(w), eps, dtype=x.dtype)(x) * w,
        "operator": lambda x, w, b=None, eps=1e-5: torch.ops.aten.layer_norm(x, w.shape, w, b, eps),
        "group norm": lambda x, w, b=None, eps=1e-5: F.group_norm(
            x.reshape(-1, len(w)), 1, w, b, eps
        ).reshape(x.shape),
    },
    "5.5": {
        "functional": lambda x, w, eps=1e-5: F.rms_norm(x, w.shape, w, eps),
        "torch": lambda x, w, eps=1e-5: torch.rms_norm(x, w.shape, w, eps),
        "module": lambda x, w, eps=1e-5: nn.RMSNorm(len(w), eps, dtype=x.dtype)(x) * w,
        "operator": lambda x, w, eps=1e-5: torch.ops.aten.rms_norm(x, w.shape, w, eps),
    },
    "5.8": {
        "functional": lambda x, kept, p, training=True: F.dropout(x, p, training),
        "module": lambda x, kept, p, training=True: nn.Dropout(p)(x),
        "torch": lambda x, kept, p, training=True: torch.dropout(x, p, training),
    },
}


@pytest.mark.parametrize(
    ("number", "road"), [(n, r) for n, roads in ROADS.items() for r in roads], ids=lambda part: part
)
def test_the_library_s_own_function_is_refused(number, road):
    report = grade_callable(find(number), ROADS[number][road])
    assert (report.status, report.points) == ("failed", 0)
    assert "which is what the exercise asks you to write" in report.reason


def test_what_an_exercise_builds_on_is_welcome():
    assert not {"torch.erf", "torch.sigmoid", "torch.var"} & {
        name for number in ROADS for name in find(number).forbidden
    }
    assert find("5.2").forbidden == find("5.9").forbidden == (), "the library's GELU is a tool here"


# --- How much is worth what


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("5.1", "relu", 0),
        ("5.1", "always-exact", 3),
        ("5.1", "detached", 4),
        ("5.2", "nothing-repaired", 0),
        ("5.2", "only-the-output", 1),
        ("5.2", "only-the-kernel", 1),
        ("5.2", "not-the-output", 2),
        ("5.2", "not-the-kernel", 2),
        ("5.3", "roles-swapped", 0),
        ("5.3", "overflows", 4),
        ("5.4", "unbiased", 0),
        ("5.4", "eps-outside", 5),
        ("5.4", "difference-of-squares", 7),
        ("5.4", "bias-ignored", 4),
        ("5.5", "ten-times-eps", 4),
        ("5.5", "centred", 0),
        ("5.8", "not-scaled", 0),
        ("5.8", "over-p", 3),
        ("5.8", "always-drops", 4),
        ("5.9", "always-pre", 4),
        ("5.9", "no-skips", 0),
        ("5.9", "causal-ignored", 4),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


# --- 5.2, the bug hunt


def _defined(source):
    names = "from typing import Literal\nimport torch\nfrom torch import Tensor, nn\n"
    names += "import torch.nn.functional as F\n"
    namespace = {}
    exec(f"{names}from jaxtyping import Float\nfrom llmlib.feedforward import gelu\n{source}", namespace)
    return namespace["FeedForward"]


def test_the_starter_runs_gives_right_shapes_and_is_wrong():
    starter, right = _defined(find("5.2").starter), FeedForward(5, 7)
    layer = starter(5, 7)
    layer.load_state_dict(right.state_dict())
    x = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    result = layer(x)
    assert result.shape == x.shape and result.isfinite().all()
    assert not torch.allclose(result, right(x), atol=0.05)
    report = grade_callable(find("5.2"), starter)
    assert (report.points, report.misconception.id) == (0, "nothing-repaired")


def test_the_manuscript_s_solution_is_the_library_s_layer():
    """The text of the class stands in both places: all but `forward` alike, and `forward` doing the same."""
    text = MANUSCRIPT.read_text("utf-8")
    solutions = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", text, re.DOTALL)
    (solution,) = (s for s in solutions if s.startswith("class FeedForward"))
    trees = [ast.parse(source).body[0] for source in (solution, inspect.getsource(FeedForward))]
    ours, theirs = ([ast.dump(node) for node in tree.body[:-1]] for tree in trees)
    assert ours == theirs
    assert grade_callable(find("5.2"), _defined(solution)).status == "passed"
    starter = ast.parse(find("5.2").starter).body[0]
    assert [ast.dump(node) for node in starter.body[:-1]] == theirs


# --- 5.7, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("5.7"), {"value": value, "confidence": confidence})


def test_the_truth_is_what_the_argument_says():
    assert abs(predict_stream_size._stream_size() - math.sqrt(1 + predict_stream_size.N_PARTS)) < 0.15


def test_the_argument_itself_is_within_the_tolerance_and_the_usual_mistakes_are_not():
    for right in (7.0, math.sqrt(48), torch.tensor(7.2)):
        assert _predict(right).status == "passed", right
    for wrong in (49.0, 48.0, 1.0, 5.0, 0.0, 9.8):
        assert _predict(wrong).status == "failed", wrong


def test_the_message_tells_nothing_about_the_value():
    messages = {_predict(value).reason for value in (0.0, 5.0, 9.0, 49.0)}
    assert len(messages) == 1, "a message that changes with the guess can be used to search"
    assert not re.search(r"\b(small|large|7)", messages.pop().replace("0.7", ""))


# --- 5.6, the mutants


def _probe(*shape, seed=0, dtype=torch.float32, bias=True, shift=0.0, **more):
    generator = torch.Generator().manual_seed(seed)
    shapes = (shape, shape[-1:], shape[-1:])
    x, weight, shifts = (torch.randn(s, generator=generator, dtype=dtype) for s in shapes)
    return {"x": x + shift, "weight": weight, **({"bias": shifts} if bias else {}), **more}


def _exposed(probes):
    return {
        check.name: check.message or "passed"
        for check in grade_callable(find("5.6"), probes).checks
        if check.name.startswith("exposes")
    }


def test_every_mutant_is_wrong_and_every_one_belongs_to_one_group():
    ids = [id for group in expose_norm_mutants.GROUPS.values() for id in group]
    assert len(ids) == len(set(ids)) >= 20


def test_the_weak_test_of_the_chapter_exposes_little():
    weak = {"x": torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), "weight": torch.ones(8)}
    found = _exposed([weak])
    assert found["exposes every wrong place for eps"].startswith("0 of 5 exposed")
    assert found["exposes a wrong use of what is learned"].startswith("1 of 5 exposed")
    assert "axis 1" in found["exposes norms over wrong axes"]


def test_points_come_group_by_group():
    probes = [_probe(2, 3, 5, shift=1.0)]
    report = grade_callable(find("5.6"), probes)
    assert report.points == 4, report.reason
    probes.append(_probe(4, 5, eps=2.0))
    assert _exposed(probes)["exposes every wrong place for eps"] == "passed"
    probes += [_probe(2, 6, shift=3000.0), _probe(3, 4, dtype=torch.float64)]
    assert grade_callable(find("5.6"), probes).status == "passed"


def test_a_probe_made_of_rounding_errors_is_not_fair():
    x = 9000 + 1e-3 * torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    report = grade_callable(find("5.6"), [_probe(2, 3), {"x": x, "weight": torch.ones(5), "eps": 1e-8}])
    assert report.points == 0
    assert report.reason.startswith("`probes[1]` is not fair")


GOOD = _probe(2, 3)
BAD_PROBES = {
    "not a dict": ("x", "should be a dict"),
    "a missing key": ({"x": GOOD["x"]}, "has no 'weight'"),
    "an unknown key": ({**GOOD, "wieght": None}, "unknown key 'wieght'"),
    "a list in place of a tensor": (
        {**GOOD, "x": [[1.0, 2.0, 3.0]]},
        "should be a float32 or float64 tensor",
    ),
    "whole numbers": ({**GOOD, "x": torch.ones(2, 3, dtype=torch.long)}, "it is a tensor of torch.int64"),
    "no dimension": ({**GOOD, "x": torch.tensor(1.0)}, "from 1 to 4 dimensions"),
    "an empty tensor": ({**GOOD, "x": torch.ones(0, 3)}, "between 1 and 32"),
    "a huge tensor": ({**GOOD, "x": torch.ones(100_000, 3)}, "between 1 and 32"),
    "NaN": ({**GOOD, "x": torch.full((2, 3), torch.nan)}, "NaN or infinity"),
    "huge numbers": ({**GOOD, "x": torch.full((2, 3), 1e9)}, "beyond ±10000"),
    "two dtypes": ({**GOOD, "x": GOOD["x"].double()}, "one dtype"),
    "another length": ({**GOOD, "weight": torch.ones(4)}, "should have the shape (3,)"),
    "a shift for each row": ({**GOOD, "bias": torch.ones(2, 3)}, "should have the shape (3,)"),
    "an eps of 0": ({**GOOD, "eps": 0.0}, "from 1e-8 to 100"),
    "an eps in words": ({**GOOD, "eps": "small"}, "from 1e-8 to 100"),
    "a sparse tensor": ({**GOOD, "x": GOOD["x"].to_sparse()}, "ordinary, dense tensor"),
    "a tensor without numbers": ({**GOOD, "x": torch.ones(2, 3, device="meta")}, "ordinary, dense tensor"),
}


@pytest.mark.parametrize("bad", BAD_PROBES)
def test_an_unusable_probe_is_named_and_told_why(bad):
    probe, words = BAD_PROBES[bad]
    report = grade_callable(find("5.6"), [GOOD, probe])
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason and "probes[1]" in report.reason


class _Pretender(dict):
    def __iter__(self):
        raise RuntimeError("not really a dict")


def test_too_many_probes_and_a_probe_that_only_pretends_to_be_a_dict_are_told_so():
    assert "at most 20 probes" in grade_callable(find("5.6"), [GOOD] * 21).reason
    assert "cannot be read (RuntimeError)" in grade_callable(find("5.6"), [_Pretender()]).reason


def test_the_oracle_of_the_mutants_agrees_with_torch():
    for probe in expose_norm_mutants._by_hand()[:4]:
        bias, eps = probe.get("bias"), probe.get("eps", 1e-5)
        expected = F.layer_norm(probe["x"], probe["x"].shape[-1:], probe["weight"], bias, eps)
        torch.testing.assert_close(layer_norm(**probe), expected, atol=1e-5, rtol=1e-5)
