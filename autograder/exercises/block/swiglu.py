"""Exercise 5.3: SwiGLU, a value behind a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.probes import normal, transposed
from llmlib import feedforward


def _case(gate: Tensor, value: Tensor, gradient: bool = False) -> Case:
    return Case({"gate": gate, "value": value}, gradient=gradient)


def _gated(g: torch.Generator) -> Iterator[Case]:
    yield _case(2 * normal(g, 5), 2 * normal(g, 5))
    yield _case(2 * normal(g, 2, 3), normal(g, 2, 3) - 1)


def _any_shape(g: torch.Generator) -> Iterator[Case]:
    yield _case(2 * normal(g, 2, 3, 4), normal(g, 2, 3, 4))
    yield _case(transposed(g, 3, 2, 5), transposed(g, 3, 2, 5))


def _wide_gates(g: torch.Generator) -> Iterator[Case]:
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    yield _case((95 + 900 * torch.rand(4, generator=g)) * signs, normal(g, 4))


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 2, 3, dtype=torch.float64), normal(g, 2, 3, dtype=torch.float64), gradient=True)


# --- Mistakes


def _silu(x):
    return x * torch.sigmoid(x)


def _roles_swapped(gate, value):
    return gate * _silu(value)


def _both_activated(gate, value):
    return _silu(gate) * _silu(value)


def _glu(gate, value):
    return torch.sigmoid(gate) * value


def _reglu(gate, value):
    return gate.clamp(min=0) * value


def _geglu(gate, value):
    return gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2))) * value


def _sum(gate, value):
    return _silu(gate) + value


def _after_the_product(gate, value):
    return _silu(gate * value)


def _bilinear(gate, value):
    return gate * value


def _value_ignored(gate, value):
    return _silu(gate)


def _gate_from_value(gate, value):
    return gate * torch.sigmoid(value)


def _tanh_gate(gate, value):
    return gate * torch.tanh(gate) * value


def _overflows(gate, value):
    exponential = gate.exp()
    return gate * exponential / (1 + exponential) * value


def _softmax(gate, value):
    return gate * torch.softmax(gate, dim=-1) * value


def _in_place(gate, value):
    gate *= torch.sigmoid(gate)
    return gate * value


def _gate_detached(gate, value):
    return _silu(gate.detach()) * value


def _always_float32(gate, value):
    return _silu(gate.float()) * value.float()


def _shut_when_large(gate, value):
    return gate * torch.sigmoid(-gate) * value


def _quick(gate, value):
    return gate * torch.sigmoid(1.702 * gate) * value


def _sigmoid_of_silu(gate, value):
    return torch.sigmoid(_silu(gate)) * value


def _added_up(gate, value):
    return (_silu(gate) * value).sum(dim=-1)


def _matrix_product(gate, value):
    return _silu(gate) @ value


def _side_by_side(gate, value):
    return torch.cat([_silu(gate), value], dim=-1)


def _cut_in_two(gate, value):
    left, right = gate.chunk(2, dim=-1)
    return _silu(left) * right


def _math_exp(gate, value):
    return gate * value / (1 + math.exp(-gate))


def _softplus(gate, value):
    return torch.log1p(torch.exp(-gate.abs())) * value + gate.clamp(min=0) * value


MISCONCEPTIONS = (
    Misconception(
        "roles-swapped",
        "the value is activated, and the gate is not",
        "Which of the two opens and closes, and which is let through?",
        _roles_swapped,
    ),
    Misconception(
        "both-activated",
        "both the gate and the value are activated",
        "The value goes through as it is: it may be negative and large.",
        _both_activated,
    ),
    Misconception(
        "glu",
        "the gate is a bare sigmoid: that is GLU",
        "The S and the w stand for Swish: the sigmoid is multiplied by something first.",
        _glu,
    ),
    Misconception(
        "reglu",
        "the gate is a ReLU: that is ReGLU",
        "A slightly negative gate should still let a little through, with its sign turned.",
        _reglu,
    ),
    Misconception(
        "geglu",
        "the gate is a GELU: that is GEGLU",
        "The two bends look alike. This one uses the sigmoid.",
        _geglu,
    ),
    Misconception(
        "sum",
        "gate and value are added",
        "A closed gate should let nothing through. What does a sum do with a 0?",
        _sum,
    ),
    Misconception(
        "after-the-product",
        "the product of gate and value is activated",
        "The order matters: first the gate is bent, then it meets the value.",
        _after_the_product,
    ),
    Misconception(
        "bilinear",
        "nothing is bent: gate times value",
        "A very negative gate should be closed. Yours lets a large number through.",
        _bilinear,
    ),
    Misconception(
        "value-ignored",
        "the value does not appear in the result",
        "You have bent the gate. What does it let through?",
        _value_ignored,
    ),
    Misconception(
        "gate-from-value",
        "the sigmoid is taken of the value",
        "Whose sigmoid decides how far the gate is open?",
        _gate_from_value,
    ),
    Misconception(
        "tanh-gate",
        "the gate uses tanh in the place of the sigmoid",
        "tanh runs from −1 to 1. Which function runs from 0 to 1?",
        _tanh_gate,
    ),
    Misconception(
        "overflows",
        "exp overflows for a large gate",
        "exp(89) does not fit into float32, and infinity over infinity is not a number. torch has a sigmoid.",
        _overflows,
    ),
    Misconception(
        "softmax",
        "the gates of a row compete, as in softmax",
        "Each gate opens for itself, whatever its neighbours do.",
        _softmax,
    ),
    Misconception("in-place", *mistakes.in_place("the gate", "*="), _in_place),
    Misconception(
        "gate-detached",
        "no gradient flows back to the gate",
        "Then no gate could ever learn. Look for `.detach()` or `no_grad`.",
        _gate_detached,
    ),
    Misconception("always-float32", *mistakes.always_float32("inputs"), _always_float32),
    Misconception(
        "shut-when-large",
        "the gate closes as it grows",
        "A large gate should be open. Look at the sign in the exponent: σ(x) is 1 / (1 + exp(−x)).",
        _shut_when_large,
    ),
    Misconception(
        "quick",
        "the sigmoid is taken of 1.702 times the gate",
        "That number belongs to an approximation of GELU. Here the gate goes in as it is.",
        _quick,
    ),
    Misconception(
        "sigmoid-of-silu",
        "the sigmoid is taken twice, once more of the bent gate",
        "The bent gate is itself what the value is multiplied by.",
        _sigmoid_of_silu,
    ),
    Misconception(
        "added-up",
        "the products are added up along the last dimension",
        "Place by place: as many numbers come out as go in.",
        _added_up,
    ),
    Misconception(
        "matrix-product",
        "gate and value are multiplied as matrices",
        "`@` adds up along an axis. Place by place multiplies `*`.",
        _matrix_product,
    ),
    Misconception(
        "side-by-side",
        "gate and value are put side by side",
        "The gate lets the value through: what does a gate of 0 do to it, and what of 1?",
        _side_by_side,
    ),
    Misconception(
        "cut-in-two",
        "the gate is cut into two halves",
        "That is how one wide layer can serve for both. Here gate and value come apart already.",
        _cut_in_two,
    ),
    Misconception("math-exp", *mistakes.MATH_FUNCTION, _math_exp),
    Misconception(
        "softplus",
        "the gate is bent by softplus, which is never negative",
        "A slightly negative gate should still let a little through, with its sign turned.",
        _softplus,
    ),
)


# --- Right answers in another form


def _with_exp(gate, value):
    return gate * value / (1 + torch.exp(-gate))


def _with_tanh(gate, value):
    return 0.5 * gate * (1 + torch.tanh(0.5 * gate)) * value


def _with_the_logarithm(gate, value):
    return torch.nn.functional.logsigmoid(gate).exp() * gate * value


def _two_sides(gate, value):
    small = torch.exp(-gate.abs())
    return torch.where(gate >= 0, gate / (1 + small), gate * small / (1 + small)) * value


def _einsum(gate, value):
    return torch.einsum("...,...,...->...", gate, gate.sigmoid(), value)


_ANSWERS: dict[str, Callable[..., Tensor]] = {
    "exp written out": _with_exp,
    "the sigmoid as a tanh": _with_tanh,
    "the logarithm of the sigmoid": _with_the_logarithm,
    "both signs on their own": _two_sides,
    "einsum": _einsum,
}
ALTERNATIVES = tuple(Alternative(title, answer) for title, answer in _ANSWERS.items())

FORBIDDEN = (
    "torch.nn.functional.silu",
    "torch.nn.functional.glu",
    "aten::silu",
    "aten::silu_",
    "aten::glu",
)

EXERCISE = Exercise(
    name="feedforward.swiglu",
    number="5.3",
    title="SwiGLU: a value behind a gate",
    minutes=6,
    difficulty=1,
    reference=feedforward.swiglu,
    checks=(
        Check("bends the gate and lets the value through it", 2, _gated),
        Check("works place by place in any shape", 1, _any_shape),
        Check("stays right when the gate is wide open or tightly shut", 1, _wide_gates),
        Check("keeps the dtype, lets gradients through and changes no input", 1, _types_and_gradients),
    ),
    hints=(
        "Three factors meet at each place. Two of them are made of the gate.",
        "The sigmoid of the gate lies between 0 and 1. The gate itself is another factor, and what is let "
        "through is the third.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
