"""An exercise may be a class: a module with weights, or a plain class whose methods are called.

The exercises here are the tests' own. In a worker process they need a module that it can import, so that half
is proved on the catalogue's class exercises in test_catalogue.py and test_cli.py.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from autograder import notebook
from autograder.calling import Made
from autograder.exercise import Case, Check, Exercise, Misconception
from autograder.exercises import probes
from autograder.grading import grade_callable


class Gate(nn.Module):
    """A linear layer, gated by another one."""

    def __init__(self, d_model: int, d_out: int) -> None:
        super().__init__()
        self.value = nn.Linear(d_model, d_out)
        self.gate = nn.Linear(d_model, d_out, bias=False)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_out"]:
        return self.value(x) * torch.sigmoid(self.gate(x))


class ReluGate(Gate):
    def forward(self, x):
        return self.value(x) * torch.relu(self.gate(x))


class Right(nn.Module):
    def __init__(self, d_model, d_out):
        super().__init__()
        self.value = nn.Linear(d_model, d_out)
        self.gate = nn.Linear(d_model, d_out, bias=False)

    def forward(self, x):
        return self.value(x) / (1 + torch.exp(-self.gate(x)))


def values(g):
    for dtype in (torch.float32, torch.float64):
        weights = {n: w.to(dtype) for n, w in probes.weights(Gate(3, 2), g).items()}
        x = probes.normal(g, 2, 4, 3, dtype=dtype)
        yield Case({"x": x}, construct={"d_model": 3, "d_out": 2}, weights=weights)


def gradients(g):
    x, weights = probes.normal(g, 4, 3), probes.weights(Gate(3, 2), g)
    yield Case({"x": x}, construct={"d_model": 3, "d_out": 2}, weights=weights, gradient=True)


@pytest.fixture
def gate():
    return Exercise(
        name="feedforward.Gate.forward",
        number="5.1",
        title="a gate",
        minutes=5,
        difficulty=1,
        checks=(Check("gates the values", 2, values), Check("lets gradients through", 1, gradients)),
        hints=("Which layer says how much?",),
        reference=Gate,
        misconceptions=(
            Misconception("relu", "the gate is a ReLU", "A gate lies between 0 and 1.", ReluGate),
        ),
    )


def test_the_class_is_the_answer_s_name(gate):
    assert (gate.answer_name, gate.grade_id) == ("Gate", "feedforward-Gate-forward")


def test_a_right_class_passes_and_a_wrong_one_is_named(gate):
    report = grade_callable(gate, Right)
    assert (report.status, report.points, report.reason) == ("passed", 3, None)
    report = grade_callable(gate, ReluGate)
    assert (report.status, report.points, report.misconception.id) == ("failed", 0, "relu")
    assert {"d_model", "d_out", "x", "gate.weight", "value.bias"} <= set(report.counterexample.inputs)


def test_a_weight_without_gradient_fails(gate):
    class Frozen(Right):
        def forward(self, x):
            return self.value(x) * torch.sigmoid(x @ self.gate.weight.detach().T)

    report = grade_callable(gate, Frozen)
    assert report.points == 2 and "gate.weight" in report.reason and "gradient" in report.reason


def test_the_course_s_own_method_is_refused(gate):
    class Borrowed(Gate):
        def forward(self, x):
            return super().forward(x)

    for answer in (Gate, Borrowed):
        report = grade_callable(gate, answer)
        assert report.points == 0 and "course's own solution" in report.reason


def test_a_method_that_changes_its_weights_is_told_so(gate):
    class Changing(Right):
        def forward(self, x):
            result = super().forward(x)
            with torch.no_grad():
                self.value.bias.add_(1)
            return result

    report = grade_callable(gate, Changing)
    assert report.points == 0 and "`value.bias` in place" in report.reason


def test_another_init_is_told_what_is_missing(gate):
    class Renamed(nn.Module):
        def __init__(self, d_model, d_out):
            super().__init__()
            self.values = nn.Linear(d_model, d_out)
            self.gate = nn.Linear(d_model, d_out, bias=False)

        def forward(self, x):
            return self.values(x) * torch.sigmoid(self.gate(x))

    class Turned(Right):
        def __init__(self, d_model, d_out):
            super().__init__(d_out, d_model)

    report = grade_callable(gate, Renamed)
    assert report.reason == (
        "expected a parameter `value.bias` of shape (2,), got none: put the given `__init__` back"
    )
    assert "expected a parameter `gate.weight` of shape (2, 3)" in grade_callable(gate, Turned).reason


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda x: x, "should be a class, but it is a function"),
        (3, "should be a class, but it is a value of type int"),
        (type("Gate", (), {}), "no method `forward`"),
        (type("Gate", (Right,), {"forward": lambda self: 0}), "Gate.forward` should take (self, x)"),
        (type("Gate", (Right,), {"forward": 3}), "no method `forward`"),
    ],
)
def test_what_is_no_such_class_is_told_so(gate, answer, complaint):
    report = grade_callable(gate, answer)
    assert report.points == 0 and complaint in report.reason


def test_a_stub_is_not_an_attempt(gate):
    class Stub(Right):
        def forward(self, x):
            raise NotImplementedError("Exercise 5.1: write Gate.forward")

    assert grade_callable(gate, Stub).status == "not_attempted"


def test_the_lent_class_works_and_is_nobody_s_answer(gate):
    lent = notebook.lend(gate)
    assert notebook.lent_for(lent) == gate.name and lent.__name__ == "Gate"
    x = torch.ones(2, 3)
    lent_one = lent(3, 2)
    own = Gate(3, 2)
    own.load_state_dict(lent_one.state_dict())
    assert torch.equal(lent_one(x), own(x))
    assert notebook.lent_for(type("Gate", (lent,), {})) is None  # somebody's own, made from it


# --- Plain classes, dicts, configurations


@dataclass(frozen=True)
class Settings:
    step: int


class Counter:
    """Counts pairs of neighbours at a distance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def count(self, items: list[int]) -> dict[tuple[int, int], int]:
        counts: dict[tuple[int, int], int] = {}
        for pair in zip(items, items[self.settings.step :], strict=False):
            counts[pair] = counts.get(pair, 0) + 1
        return counts


class OffByOne(Counter):
    def count(self, items):
        return {pair: 1 for pair in zip(items, items[self.settings.step :], strict=False)}


class WithLibrary(Counter):
    def count(self, items):
        import collections

        return collections.Counter(zip(items, items[self.settings.step :], strict=False))


def pairs(g):
    for length in (6, 20):
        items = torch.randint(3, (length,), generator=g).tolist()
        settings = Made(f"{__name__}:Settings", {"step": 1})
        yield Case({"items": items}, construct={"settings": settings}, method="count")


def test_a_plain_class_with_a_made_argument_and_a_dict_of_pairs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, __name__, inspect.getmodule(Settings))
    exercise = Exercise(
        name="bpe.Counter",
        number="1.1",
        title="count",
        minutes=5,
        difficulty=1,
        checks=(Check("counts every pair", 1, pairs),),
        hints=("Look at neighbours.",),
        reference=Counter,
        misconceptions=(Misconception("set", "each pair counts once", "Count them all.", OffByOne),),
    )
    assert grade_callable(exercise, WithLibrary).status == "passed"
    report = grade_callable(exercise, OffByOne)
    assert report.misconception.id == "set"
    # The smallest list on which counting once goes wrong: three alike in a row.
    assert len(eval(report.counterexample.inputs["items"])) <= 4

    missing = type("Missing", (Counter,), {"count": lambda self, items: {}})
    assert "keys, got 0" in grade_callable(exercise, missing).reason


# --- As while training


class Dropping(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(p)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 2 * self.dropout(x)


class Keeping(Dropping):
    def forward(self, x):
        return 2 * x


def test_a_case_may_ask_what_a_module_does_while_training():
    def exercise(training):
        cases = lambda g: [Case({"x": torch.ones(3)}, construct={"p": 1.0}, training=training)]  # noqa: E731
        return Exercise(
            name="dropping.Dropping.forward",
            number="0.1",
            title="dropping",
            minutes=1,
            difficulty=1,
            checks=(Check("drops", 1, cases),),
            hints=("a", "b"),
            reference=Dropping,
        )

    twin = type("Dropping", (Dropping,), {"forward": lambda self, x: self.dropout(x) + self.dropout(x)})
    assert grade_callable(exercise(True), twin).status == "passed"
    assert grade_callable(exercise(True), Keeping).status == "failed"
    assert grade_callable(exercise(False), Keeping).status == "passed", (
        "outside of training nothing is dropped"
    )
