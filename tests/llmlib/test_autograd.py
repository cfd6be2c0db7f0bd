"""The tiny engine against torch.autograd, and against finite differences."""

from __future__ import annotations

import pytest
import torch

from llmlib.autograd import Scalar, gradients, topological_order

EXPRESSIONS = {
    "a line": lambda a, b, c: a * b + c,
    "used twice": lambda a, b, c: a * a + a * b,
    "added to itself": lambda a, b, c: (a + a) * (b + b + c),
    "a diamond": lambda a, b, c: (a * b + c) * (a * b - c),
    "powers": lambda a, b, c: a**3 + b**-2 + (b * b) ** 0.5 + c**1,
    "quotients": lambda a, b, c: a / b - 2 / c + 1 - c / 4,
    "plain numbers on the left": lambda a, b, c: 3 * a + (2 + b) - (1 - c),
    "exp and tanh": lambda a, b, c: (a * b).tanh() * (-c).exp() + a.exp(),
    "softmax of three": lambda a, b, c: a.exp() / (a.exp() + b.exp() + c.exp()),
    "a neuron": lambda a, b, c: ((a * b + c).tanh() - 0.5) ** 2,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("values", [(0.5, -1.25, 2.0), (-0.75, 1.5, 0.3)])
def test_values_and_gradients_agree_with_torch(name, values):
    ours = [Scalar(value) for value in values]
    theirs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    result, expected = EXPRESSIONS[name](*ours), EXPRESSIONS[name](*theirs)
    assert result.value == pytest.approx(expected.item(), rel=1e-12)
    result.backward()
    expected.backward()
    for scalar, tensor in zip(ours, theirs, strict=True):
        want = 0.0 if tensor.grad is None else tensor.grad.item()
        assert scalar.grad == pytest.approx(want, rel=1e-12, abs=1e-12), name


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_gradients_are_slopes(name):
    values, step = [0.5, -1.25, 2.0], 1e-6
    numbers = [Scalar(value) for value in values]
    EXPRESSIONS[name](*numbers).backward()
    for place, number in enumerate(numbers):
        above, below = list(values), list(values)
        above[place] += step
        below[place] -= step
        rise = EXPRESSIONS[name](*map(Scalar, above)).value - EXPRESSIONS[name](*map(Scalar, below)).value
        assert number.grad == pytest.approx(rise / (2 * step), rel=1e-5, abs=1e-7)


def test_gradients_of_two_calls_add_up_as_in_torch():
    a, b = Scalar(3.0), torch.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (a * a).backward()
        (b * b).backward()
    assert a.grad == b.grad.item() == 12.0


def test_a_power_of_zero_is_constant():
    a = Scalar(0.0)
    (a**0).backward()
    assert a.grad == 0.0


def test_an_exponent_that_is_a_scalar_is_refused():
    with pytest.raises(TypeError, match="plain number: got a Scalar"):
        Scalar(2.0) ** Scalar(3.0)


def test_each_number_comes_after_its_sources_and_once():
    a = Scalar(2.0)
    b = a * a
    c = b + a
    d = c * b
    order = topological_order(d)
    assert len(order) == 4 and order[0] is a and order[1] is b and order[2] is c and order[3] is d


def test_a_long_chain_does_not_reach_the_limit_of_recursion():
    first = number = Scalar(0.0)
    for _ in range(20_000):
        number = number + 1.0
    number.backward()
    assert (number.value, first.grad) == (20_000.0, 1.0)


def test_gradients_of_a_list():
    # 0: x = 3, 1: w = 2, 2: w x, 3: (w x)²; written by hand.
    assert gradients([[], [], [(1, 3.0), (0, 2.0)], [(2, 12.0)]]) == [24.0, 36.0, 12.0, 1.0]
    assert gradients([[]]) == [1.0]
    assert gradients([[], [(0, 1.0), (0, 1.0)]]) == [2.0, 1.0]


@pytest.mark.parametrize(
    ("slopes", "words"), [([], "empty list"), ([[(0, 1.0)]], "got 0"), ([[], [(-1, 1.0)]], "got -1")]
)
def test_a_list_that_is_no_computation_is_refused(slopes, words):
    with pytest.raises(ValueError, match=words):
        gradients(slopes)


def test_its_text_shows_value_and_gradient():
    assert repr(Scalar(2.5)) == "Scalar(2.5, grad=0)"
