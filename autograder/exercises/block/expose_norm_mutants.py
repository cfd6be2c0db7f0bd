"""Exercise 5.6: probes that tell right layer normalization from wrong.

The learner writes inputs. They are measured as `differences` says, against the right answers of exercise 5.4.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise
from autograder.exercises import reading
from autograder.exercises.block.layer_norm import ALTERNATIVES, MISCONCEPTIONS
from autograder.exercises.differences import Measure, Measured
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.reading import Unusable
from autograder.judging import is_number
from llmlib.normalization import layer_norm

GROUPS = {
    "statistics": (
        "unbiased",
        "without-root",
        "not-centred",
        "centred-below-only",
        "only-centred",
        "sum-of-squares",
        "mean-deviation",
    ),
    "eps": ("eps-outside", "without-eps", "fixed-eps", "eps-squared", "eps-as-a-floor"),
    "axes": (
        "over-everything",
        "over-first-axis",
        "over-axis-1",
        "last-two",
        "mean-without-keepdim",
        "neither-with-keepdim",
    ),
    "learned": ("weight-ignored", "one-plus-weight", "bias-ignored", "bias-weighted", "weight-first"),
    "numbers": ("difference-of-squares", "in-place", "always-float32"),
}
MEASURE = Measure((layer_norm, *(right.answer for right in ALTERNATIVES)), fair=0.01, exposed=0.001)

_floats = partial(reading.floats, dims=(1, 4), longest=32, largest=10_000.0, most=4096)


def _read(name: str, probe: Any) -> Measured:
    given = reading.fields(name, probe, ("x", "weight"), ("bias", "eps"))
    tensors = ["x", "weight"] + (["bias"] if given.get("bias") is not None else [])
    arguments: dict[str, Any] = {key: _floats(f"the {key} of {name}", given[key]) for key in tensors}
    x = arguments["x"]
    for key in tensors[1:]:
        if arguments[key].shape != x.shape[-1:]:
            raise Unusable(
                f"the {key} of {name} should have the shape {tuple(x.shape[-1:])}, one number for each of "
                f"the last dimension of x: it has {tuple(arguments[key].shape)}"
            )
        if arguments[key].dtype != x.dtype:
            raise Unusable(f"x and {key} of {name} should have one dtype")
    if "eps" in given:
        eps = given["eps"]
        if not is_number(eps) or not 1e-8 <= eps <= 100:
            raise Unusable(f"the eps of {name} should be a number from 1e-8 to 100")
        arguments["eps"] = float(eps)
    return Measured(MEASURE, arguments)


def _unfair(probes: list[Measured]) -> str | None:
    advice = "use smaller numbers, or numbers that differ more among themselves"
    return MEASURE.fairness(probes, f", because of rounding; {advice}")


EXPOSING = Exposing(
    mutants=grouped(MISCONCEPTIONS, GROUPS),
    read=_read,
    exposes=Measured.exposes,
    most=20,
    made_of="plain lists, dicts, tensors and numbers",
    unfit=_unfair,
)


# --- Right answers


def _normal(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """x, weight and bias, all drawn."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"x": shape, "weight": shape[-1:], "bias": shape[-1:]}
    return {n: torch.randn(s, generator=generator, dtype=dtype) for n, s in shapes.items()}


def _one_for_each_kind() -> list[dict[str, Any]]:
    far = _normal(1, 2, 6)
    far["x"] = far["x"] + 3000
    return [
        _normal(0, 2, 3, 5),
        {**_normal(2, 4, 5), "eps": 2.0},
        {"x": torch.ones(2, 3), "weight": torch.ones(3)},
        _normal(3, 4, 4),
        {n: v for n, v in _normal(4, 3, 5).items() if n != "bias"},
        _normal(5, 3, 4, dtype=torch.float64),
        far,
    ]


def _few_but_dense() -> list[dict[str, Any]]:
    dense = _normal(6, 2, 4, 4, dtype=torch.float64)
    dense["x"][0, 1] = 7.0  # equal numbers: variance 0
    far = _normal(7, 3, 5)
    far["x"] = far["x"] + 4000
    return [{**dense, "eps": 0.5}, far]


def _by_hand() -> list[dict[str, Any]]:
    x = torch.tensor(
        [[2.0, 4.0, 6.0, 8.0], [1.0, 0.0, 0.0, 3.0], [5.0, 5.0, 5.0, 5.0], [0.0, -1.0, 2.0, 9.0]]
    )
    weight, bias = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([10.0, 0.0, -1.0, 1.0])
    return [
        {"x": x, "weight": weight},
        {"x": x, "weight": weight, "bias": bias, "eps": 4},
        {"x": torch.stack([x, 3 * x.flip(-1)]), "weight": weight, "bias": bias},
        {"x": x.double(), "weight": weight.double(), "bias": bias.double(), "eps": 1.0},
        {"x": x / 10 + 5000, "weight": weight},
    ]


EXERCISE = Exercise(
    name="normalization.expose_norm_mutants",
    number="5.6",
    title="Kill the mutants: find the inputs that expose a wrong norm",
    kind="mutants",
    answer_name="probes",
    minutes=15,
    difficulty=3,
    checks=(
        EXPOSING.first("is a list of fair probes that exposes something"),
        EXPOSING.all_of("statistics", "exposes wrong statistics"),
        EXPOSING.all_of("eps", "exposes every wrong place for eps"),
        EXPOSING.all_of("axes", "exposes norms over wrong axes"),
        EXPOSING.all_of("learned", "exposes a wrong use of what is learned"),
        EXPOSING.all_of("numbers", "exposes lost digits, a wrong dtype and changed inputs"),
    ),
    hints=(
        "What does eps = 1e-5 change in a vector whose numbers are of the size 1? Which eps would you need "
        "to see where it stands?",
        "Think of one probe for each thing that the function promises: weights other than 1, a shift, an eps "
        "that matters, a vector of equal numbers, two leading dimensions, a square shape, float64, numbers "
        "far from zero.",
        "Read the list of what is not exposed yet and take the first entry. Ask: for which shape, or for "
        "which numbers, would this mistake give the right result by luck? Then write a probe that takes that "
        "luck away.",
    ),
    alternatives=(
        Alternative("one probe for each kind of mistake", _one_for_each_kind),
        Alternative("two probes that hold everything", _few_but_dense),
        Alternative("small numbers by hand", _by_hand),
    ),
)
