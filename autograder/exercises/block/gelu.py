"""Exercise 5.1: GELU, exact and in GPT-2's approximation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.probes import normal, transposed
from llmlib import feedforward


def _where_forms_differ(g: torch.Generator, *shape: int) -> Tensor:
    """Numbers from 2.4 to 3.4 of both signs: there the two forms of GELU lie 0.0003 and more apart."""
    signs = torch.randint(0, 2, shape, generator=g) * 2.0 - 1
    return signs * (2.4 + torch.rand(shape, generator=g))


def _near_zero(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": normal(g, 5)})
    yield Case({"x": 2 * normal(g, 2, 3)})
    yield Case({"x": _where_forms_differ(g, 3, 2)})


def _far_away(g: torch.Generator) -> Iterator[Case]:
    distance = 5 + 25 * torch.rand(6, generator=g)
    yield Case({"x": distance * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])})
    yield Case({"x": torch.cat([torch.zeros(2), 1000 * normal(g, 3)])})


def _tanh(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": normal(g, 2, 3), "approximate": "tanh"})
    yield Case({"x": _where_forms_differ(g, 4), "approximate": "tanh"})
    yield Case({"x": _where_forms_differ(g, 4), "approximate": "none"})


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield Case({"x": 2 * normal(g, 2, 3, dtype=torch.float64)}, gradient=True)
    yield Case({"x": 2 * normal(g, 4, dtype=torch.float64), "approximate": "tanh"}, gradient=True)
    yield Case({"x": transposed(g, 2, 4, 3)})


# --- Mistakes


def _phi(x):
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


ROOT = math.sqrt(2 / math.pi)


def _tanh_form(x, root=ROOT, cubic=0.044715, power=3):
    return 0.5 * x * (1 + torch.tanh(root * (x + cubic * x**power)))


def _either(x, approximate, exact):
    return exact(x) if approximate == "none" else _tanh_form(x)


def _relu(x, approximate="none"):
    return x.clamp(min=0)


def _silu(x, approximate="none"):
    return x * torch.sigmoid(x)


def _quick(x, approximate="none"):
    return x * torch.sigmoid(1.702 * x)


def _without_root_two(x, approximate="none"):
    return _either(x, approximate, lambda x: 0.5 * x * (1 + torch.erf(x)))


def _gate_alone(x, approximate="none"):
    return _either(x, approximate, _phi)


def _not_halved(x, approximate="none"):
    return _either(x, approximate, lambda x: x * (1 + torch.erf(x / math.sqrt(2))))


def _without_one(x, approximate="none"):
    return _either(x, approximate, lambda x: 0.5 * x * torch.erf(x / math.sqrt(2)))


def _density(x, approximate="none"):
    return _either(x, approximate, lambda x: x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def _larger_draw(x, approximate="none"):
    return _either(x, approximate, lambda x: x * (1 - _phi(x)))


def _always_exact(x, approximate="none"):
    return x * _phi(x)


def _always_tanh(x, approximate="none"):
    return _tanh_form(x)


def _swapped(x, approximate="none"):
    return _tanh_form(x) if approximate == "none" else x * _phi(x)


def _tanh_without_root(x, approximate="none"):
    return x * _phi(x) if approximate == "none" else _tanh_form(x, root=2 / math.pi)


def _tanh_without_cube(x, approximate="none"):
    return x * _phi(x) if approximate == "none" else _tanh_form(x, cubic=0.0)


def _tanh_lost_a_zero(x, approximate="none"):
    return x * _phi(x) if approximate == "none" else _tanh_form(x, cubic=0.44715)


def _tanh_with_square(x, approximate="none"):
    return x * _phi(x) if approximate == "none" else _tanh_form(x, power=2)


def _detached(x, approximate="none"):
    return _either(x.detach(), approximate, lambda x: x * _phi(x))


def _gate_detached(x, approximate="none"):
    return _either(x, approximate, lambda x: x * _phi(x.detach()))


def _always_float32(x, approximate="none"):
    return _either(x.float(), approximate, lambda x: x * _phi(x))


def _in_place(x, approximate="none"):
    gate = _phi(x)
    if approximate != "none":
        gate = _tanh_form(x) / x
    x *= gate
    return x


def _in_the_tanh_form(tanh_form):
    def gelu(x, approximate="none"):
        return x * _phi(x) if approximate == "none" else tanh_form(x)

    return gelu


def _math_functions(x, approximate="none"):
    if approximate == "none":
        return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))
    return 0.5 * x * (1 + math.tanh(ROOT * (x + 0.044715 * x**3)))


def _torch_root_of_a_number(x, approximate="none"):
    if approximate == "none":
        return 0.5 * x * (1 + torch.erf(x / torch.sqrt(2)))
    return 0.5 * x * (1 + torch.tanh(torch.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _half_in_the_error_function(x, approximate="none"):
    return _either(x, approximate, lambda x: 0.5 * x * (1 + torch.erf(x / 2)))


def _times_root_two(x, approximate="none"):
    return _either(x, approximate, lambda x: 0.5 * x * (1 + torch.erf(x * math.sqrt(2))))


def _without_brackets(x, approximate="none"):
    return _either(x, approximate, lambda x: 0.5 * x * 1 + torch.erf(x / math.sqrt(2)))


def _error_function_divided(x, approximate="none"):
    return _either(x, approximate, lambda x: 0.5 * x * (1 + torch.erf(x) / math.sqrt(2)))


MISCONCEPTIONS = (
    Misconception(
        "relu",
        "negative numbers are cut to 0, as ReLU does",
        "GELU lets a little of a small negative number through. What is it at −1?",
        _relu,
    ),
    Misconception(
        "silu",
        "the gate is the sigmoid of x: that is SiLU",
        "The gate of GELU is a probability of the bell curve. Compare both at x = 1.",
        _silu,
    ),
    Misconception(
        "quick",
        "the gate is σ(1.702 x), a rougher approximation",
        "Close, but off in the second digit. Use the error function.",
        _quick,
    ),
    Misconception(
        "without-root-two",
        "the error function gets x and not x/√2",
        "The error function belongs to a bell curve of variance ½. What must x be divided by?",
        _without_root_two,
    ),
    Misconception(
        "gate-alone",
        "the gate comes back, without the number that it lets through",
        "A gate between 0 and 1 is only half of it. What should 10 come out as?",
        _gate_alone,
    ),
    Misconception(
        "not-halved",
        "the gate lies between 0 and 2",
        "A probability is at most 1. What should 10 come out as?",
        _not_halved,
    ),
    Misconception(
        "without-one",
        "the 1 beside the error function is missing, so the gate runs from −½ to ½",
        "The error function runs from −1 to 1. Bring it to the range from 0 to 1.",
        _without_one,
    ),
    Misconception(
        "density",
        "x is multiplied by the height of the bell curve, not by the area left of x",
        "The gate should approach 1 for large x. The height approaches 0.",
        _density,
    ),
    Misconception(
        "larger-draw",
        "the gate is the probability of a larger draw",
        "Large numbers should pass and very negative ones should not: yours do the opposite.",
        _larger_draw,
    ),
    Misconception(
        "always-exact",
        "`approximate` is ignored and the exact form always used",
        'With "tanh" the numbers differ from the fourth digit on. GPT-2 needs those.',
        _always_exact,
    ),
    Misconception(
        "always-tanh",
        "the tanh form is used although the exact one was asked for",
        'The default is "none": exact.',
        _always_tanh,
    ),
    Misconception(
        "swapped",
        "the two forms are exchanged",
        '"none" means that nothing is approximated.',
        _swapped,
    ),
    Misconception(
        "tanh-without-root",
        "the factor in the tanh form is 2/π, without its root",
        "Look at the formula again: how far does the root sign reach?",
        _tanh_without_root,
    ),
    Misconception(
        "tanh-without-cube",
        "the tanh form lacks its term with 0.044715",
        "Two terms stand inside the bracket.",
        _tanh_without_cube,
    ),
    Misconception(
        "tanh-lost-a-zero",
        "the number before the cube is ten times too large",
        "Count the zeros behind the point.",
        _tanh_lost_a_zero,
    ),
    Misconception(
        "tanh-with-square",
        "x is squared where the tanh form takes its cube",
        "Inside tanh everything should change its sign with x. A square does not.",
        _tanh_with_square,
    ),
    Misconception("detached", *mistakes.detached("x"), _detached),
    Misconception(
        "gate-detached",
        "the gradient does not see that the gate depends on x too",
        "The slope of a product has two parts. Nothing here may be detached.",
        _gate_detached,
    ),
    Misconception("always-float32", *mistakes.always_float32(), _always_float32),
    Misconception("in-place", *mistakes.in_place("x", "*="), _in_place),
    Misconception(
        "tanh-cube-outside",
        "in the tanh form only x is multiplied by the root, and the term with the cube is not",
        "The root stands in front of a bracket: it multiplies both terms.",
        _in_the_tanh_form(lambda x: 0.5 * x * (1 + torch.tanh(ROOT * x + 0.044715 * x**3))),
    ),
    Misconception(
        "tanh-root-of-everything",
        "in the tanh form the root is taken of the bracket as well",
        "The root ends after 2/π. The bracket is negative for negative x, and has no root there.",
        _in_the_tanh_form(lambda x: x / 2 * (1 + torch.sqrt(2 / math.pi * (x + 0.044715 * x**3)).tanh())),
    ),
    Misconception(
        "tanh-fraction-upside-down",
        "the root in the tanh form is that of π/2",
        "The fraction stands the other way up: the factor is a little less than 1.",
        _in_the_tanh_form(lambda x: _tanh_form(x, root=math.sqrt(math.pi / 2))),
    ),
    Misconception(
        "tanh-root-of-two-only",
        "the root in the tanh form is taken of 2 alone, and not of the fraction",
        "Look at the formula again: how far does the root sign reach?",
        _in_the_tanh_form(lambda x: _tanh_form(x, root=math.sqrt(2) / math.pi)),
    ),
    Misconception(
        "tanh-digits-exchanged",
        "two digits of 0.044715 have changed places",
        "Compare the constant with the formula, digit by digit.",
        _in_the_tanh_form(lambda x: _tanh_form(x, cubic=0.044175)),
    ),
    Misconception(
        "tanh-not-halved",
        "the gate of the tanh form lies between 0 and 2",
        "tanh runs from −1 to 1, and 1 more from 0 to 2. What brings that to a probability?",
        _in_the_tanh_form(lambda x: 2 * _tanh_form(x)),
    ),
    Misconception(
        "tanh-gate-alone",
        "the tanh form gives the gate without the number that it lets through",
        "A gate is only half of it. What should 10 come out as?",
        _in_the_tanh_form(lambda x: 0.5 * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3)))),
    ),
    Misconception(
        "tanh-without-one",
        "in the tanh form the 1 beside tanh is missing, so the gate runs from −½ to ½",
        "tanh runs from −1 to 1. Bring it to the range from 0 to 1.",
        _in_the_tanh_form(lambda x: 0.5 * x * torch.tanh(ROOT * (x + 0.044715 * x**3))),
    ),
    Misconception(
        "half-in-the-error-function",
        "the error function gets x/2",
        "What must x be divided by, so that its square is halved?",
        _half_in_the_error_function,
    ),
    Misconception(
        "times-root-two",
        "x is multiplied by √2 on its way into the error function",
        "Its bell curve is narrower than the one meant here: is x to grow or to shrink?",
        _times_root_two,
    ),
    Misconception(
        "error-function-divided",
        "the error function's result is divided by √2, not what goes in",
        "Follow the bracket: what stands above the fraction line?",
        _error_function_divided,
    ),
    Misconception(
        "without-brackets",
        "brackets are missing: only the 1 is multiplied, and the error function added",
        "A product binds tighter than a sum. Both terms of the gate belong in brackets.",
        _without_brackets,
    ),
    Misconception("math-functions", *mistakes.MATH_FUNCTION, _math_functions),
    Misconception(
        "torch-root-of-a-number",
        "`torch.sqrt` is given a plain number",
        "It takes tensors only. The root of a plain number is in `math`.",
        _torch_root_of_a_number,
    ),
)


# --- Right answers in another form


def _normal_distribution(x, approximate="none"):
    if approximate == "tanh":
        return _tanh_form(x)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    return x * torch.distributions.Normal(zero, zero + 1, validate_args=False).cdf(x)


def _complement(x, approximate="none"):
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)
        return 0.5 * x + 0.5 * x * inner.tanh()
    return 0.5 * x * torch.erfc(-x * math.sqrt(0.5))


def _as_a_sigmoid(x, approximate="none"):
    if approximate == "tanh":  # ½(1 + tanh a) = σ(2a)
        return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))
    return x * torch.special.ndtr(x)


def _term_by_term(x, approximate="none"):
    gate = torch.ones_like(x)
    if approximate == "none":
        gate = gate + (x * 2**-0.5).erf()
    else:
        gate = gate + ((2 / math.pi) ** 0.5 * (x + 0.044715 * x * x * x)).tanh()
    return gate * x / 2


def _constants_of_torch(x, approximate="none"):
    if approximate == "tanh":
        root = torch.sqrt(torch.tensor(2 / torch.pi, device=x.device))
        return 0.5 * x * (1 + torch.tanh(root * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x / torch.sqrt(torch.tensor(2.0, device=x.device))))


ALTERNATIVES = (
    Alternative("constants as tensors, of float32", _constants_of_torch),
    Alternative("the library's normal distribution", _normal_distribution),
    Alternative("the complementary error function", _complement),
    Alternative("ndtr, and tanh as a sigmoid", _as_a_sigmoid),
    Alternative("term by term", _term_by_term),
)

FORBIDDEN = ("torch.nn.functional.gelu", "aten::gelu", "aten::gelu_")

EXERCISE = Exercise(
    name="feedforward.gelu",
    number="5.1",
    title="GELU, the soft gate",
    minutes=8,
    difficulty=1,
    reference=feedforward.gelu,
    checks=(
        Check("lets x through by the probability of a smaller draw", 2, _near_zero),
        Check("is right far from zero, and at zero", 1, _far_away),
        Check("has both forms, and takes the one that is asked for", 1, _tanh),
        Check("keeps the dtype, lets gradients through and leaves x alone", 1, _types_and_gradients),
    ),
    hints=(
        "The result is a product of two things: the number itself, and how far its gate is open. `torch.erf` "
        "is the error function.",
        "The error function runs from −1 to 1 and the gate from 0 to 1: add something, then halve. Mind what "
        "the error function is asked about: not x itself.",
        "Write the two formulas of this section one below the other, each as one `return`, and choose by "
        "`approximate`. Test them at x = 1: both give 0.841 and a little more.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
