"""Exercise 5.6: probes that tell right layer normalization from wrong.

The learner writes inputs. A probe exposes a wrong implementation if on it the implementation fails, changes
its input, or gives another shape, another dtype or other numbers than the exact result. It must be fair: the
reference and every right alternative of exercise 5.4 agree on it, so that no point is won by rounding errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Check, Exercise, Misconception
from autograder.exercises.block.layer_norm import ALTERNATIVES, MISCONCEPTIONS
from autograder.judging import is_number
from llmlib.normalization import layer_norm

MOST_PROBES, LONGEST_AXIS, MOST_NUMBERS, LARGEST_NUMBER = 20, 32, 4096, 10_000.0
KEYS = ("x", "weight", "bias", "eps")
# Differences count relative to the largest output. On a fair probe right answers agree within FAIR; a mutant
# must be further off than EXPOSED, and CLEAR times further than any right answer.
FAIR, EXPOSED, CLEAR = 0.01, 0.001, 10.0

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
RIGHT = (layer_norm, *(right.answer for right in ALTERNATIVES))
MUTANTS = {m.id: m for m in MISCONCEPTIONS if any(m.id in ids for ids in GROUPS.values())}


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


@dataclass(frozen=True)
class _Probe:
    """One probe's arguments, the exact result, and the size against which differences count."""

    arguments: dict[str, Any]
    exact: Tensor
    size: float

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> _Probe:
        wide = {n: v.double() if isinstance(v, Tensor) else v for n, v in arguments.items()}
        exact = layer_norm(**wide)
        return cls(arguments, exact, float(exact.abs().max()) or 1.0)

    def difference(self, implementation: Callable[..., Any]) -> float:
        """How far an implementation is from the exact result; infinity if it breaks a promise."""
        copies = {n: v.clone() if isinstance(v, Tensor) else v for n, v in self.arguments.items()}
        try:
            result = implementation(**copies)
        except Exception:
            return float("inf")
        if any(isinstance(v, Tensor) and not v.equal(copies[n]) for n, v in self.arguments.items()):
            return float("inf")
        if not isinstance(result, Tensor) or result.shape != self.exact.shape:
            return float("inf")
        if result.dtype != self.arguments["x"].dtype:
            return float("inf")
        difference = float((result.double() - self.exact).abs().max()) / self.size
        return float("inf") if math.isnan(difference) else difference

    @cached_property
    def rounding(self) -> float:
        """How far right implementations are from the exact result."""
        return max(self.difference(right) for right in RIGHT)

    def exposes(self, mutant: Misconception) -> bool:
        difference = self.difference(mutant.answer)
        # The right ones need not run where nothing that is fair could make up for the difference.
        return difference > EXPOSED and (difference > CLEAR * FAIR or difference > CLEAR * self.rounding)


def _read(probes: Any) -> list[_Probe]:
    """The learner's list as probes.

    Raises:
        Unusable: with a sentence for the learner.
    """
    if not isinstance(probes, list | tuple):
        raise Unusable(f"`probes` should be a list of dicts, but it is of type {type(probes).__name__}")
    if not probes:
        raise Unusable("the list is empty: write at least one probe")
    if len(probes) > MOST_PROBES:
        raise Unusable(f"at most {MOST_PROBES} probes, please: there are {len(probes)}")
    return [_Probe.of(_read_one(f"`probes[{place}]`", probe)) for place, probe in enumerate(probes)]


def _read_one(name: str, probe: Any) -> dict[str, Any]:
    if not isinstance(probe, dict):
        raise Unusable(
            f"{name} should be a dict with x, weight and, if you like, bias and eps: it is {_kind(probe)}"
        )
    if unknown := [key for key in probe if key not in KEYS]:
        raise Unusable(f"{name} has an unknown key {str(unknown[0])[:40]!r}: use x, weight, bias and eps")
    if missing := [key for key in ("x", "weight") if key not in probe]:
        raise Unusable(f"{name} has no {missing[0]!r}")
    given = ["x", "weight"] + (["bias"] if probe.get("bias") is not None else [])
    read: dict[str, Any] = {key: _read_tensor(f"the {key} of {name}", probe[key]) for key in given}
    x = read["x"]
    for key in given[1:]:
        if read[key].shape != x.shape[-1:]:
            raise Unusable(
                f"the {key} of {name} should have the shape {tuple(x.shape[-1:])}, one number for each of "
                f"the last dimension of x: it has {tuple(read[key].shape)}"
            )
        if read[key].dtype != x.dtype:
            raise Unusable(f"x and {key} of {name} should have one dtype")
    if "eps" in probe:
        eps = probe["eps"]
        if not is_number(eps) or not 1e-8 <= eps <= 100:
            raise Unusable(f"the eps of {name} should be a number from 1e-8 to 100")
        read["eps"] = float(eps)
    return read


def _read_tensor(name: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
        raise Unusable(f"{name} should be a float32 or float64 tensor: it is {_kind(tensor)}")
    if not 1 <= tensor.ndim <= 4:
        raise Unusable(f"{name} should have from 1 to 4 dimensions: it has shape {tuple(tensor.shape)}")
    if not all(1 <= size <= LONGEST_AXIS for size in tensor.shape) or tensor.numel() > MOST_NUMBERS:
        raise Unusable(
            f"every dimension of {name} should lie between 1 and {LONGEST_AXIS}, with at most {MOST_NUMBERS} "
            f"numbers in all: it has shape {tuple(tensor.shape)}"
        )
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise Unusable(f"{name} should be an ordinary, dense tensor")
    tensor = tensor.detach().as_subclass(Tensor).cpu()
    if not tensor.isfinite().all():
        raise Unusable(
            f"{name} holds NaN or infinity: with such inputs there is no right answer to compare with"
        )
    if tensor.abs().max() > LARGEST_NUMBER:
        raise Unusable(f"{name} holds numbers beyond ±{LARGEST_NUMBER:g}: smaller ones are enough")
    return tensor


def _kind(value: Any) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"


def _judge(judgement: Callable[[list[_Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        with torch.no_grad():
            try:
                usable = _read(probes)
            except Unusable as problem:
                return str(problem)
            except Exception as problem:  # an object that only pretends to be a list, a dict or a tensor
                kind = type(problem).__name__
                return f"the probes cannot be read ({kind}): use plain lists, dicts, tensors and numbers"
            return judgement(usable)

    return judge


def _fair_and_useful(probes: list[_Probe]) -> str | None:
    for place, probe in enumerate(probes):
        if probe.rounding > FAIR:
            return (
                f"`probes[{place}]` is not fair: even right implementations disagree on it, because of "
                "rounding; use smaller numbers, or numbers that differ more among themselves"
            )
    if not any(probe.exposes(mutant) for probe in probes for mutant in MUTANTS.values()):
        return "no wrong implementation is exposed yet: on these probes they all give the right result"
    return None


def _exposes(group: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = [MUTANTS[id] for id in GROUPS[group]]

    def judgement(probes: list[_Probe]) -> str | None:
        alive = [m for m in mutants if not any(probe.exposes(m) for probe in probes)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


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
        Check("is a list of fair probes that exposes something", 1, judge=_judge(_fair_and_useful)),
        Check("exposes wrong statistics", 1, judge=_exposes("statistics")),
        Check("exposes every wrong place for eps", 1, judge=_exposes("eps")),
        Check("exposes norms over wrong axes", 1, judge=_exposes("axes")),
        Check("exposes a wrong use of what is learned", 1, judge=_exposes("learned")),
        Check("exposes lost digits, a wrong dtype and changed inputs", 1, judge=_exposes("numbers")),
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
