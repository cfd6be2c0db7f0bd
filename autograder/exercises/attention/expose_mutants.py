"""Exercise 3.8: probes that tell right attention from wrong.

The learner writes inputs. A probe exposes a wrong implementation if on it the implementation fails, changes
its input, or gives another shape, another dtype or other numbers than the exact result. It must be fair: the
reference and every right alternative of exercise 3.5 agree on it, so that no point is won by rounding errors.
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
from autograder.exercises.attention.scaled_dot_product_attention import ALTERNATIVES
from autograder.exercises.attention.wrong_attention import MISCONCEPTIONS
from llmlib.attention import causal_mask, padding_mask, scaled_dot_product_attention

MOST_PROBES, LONGEST_AXIS, MOST_SCORES, LARGEST_NUMBER = 20, 32, 4096, 1000.0
# Differences count relative to the largest output. On a fair probe right answers agree within FAIR; a mutant
# must be further off than EXPOSED, and CLEAR times further than any right answer.
FAIR, EXPOSED, CLEAR = 0.01, 0.001, 10.0

GROUPS = {
    "scale": (
        "not-scaled",
        "over-d-k",
        "over-root-d-v",
        "over-root-d-model",
        "over-root-keys",
        "weights-scaled",
    ),
    "axes": (
        "over-queries",
        "over-axis-1",
        "over-everything",
        "no-softmax",
        "reversed-axes",
        "key-and-value-swapped",
        "query-and-value-swapped",
        "in-place",
    ),
    "mask": (
        "mask-inverted",
        "mask-ignored",
        "always-causal",
        "masked-with-zero",
        "mask-added",
        "masked-after",
    ),
    "mask shapes": ("mask-transposed", "mask-unsqueezed", "mask-of-the-first"),
    "empty rows": ("nan-in-empty-rows", "uniform-in-empty-rows"),
    "numbers": ("overflows", "always-float32"),
}
RIGHT = (scaled_dot_product_attention, *(right.answer for right in ALTERNATIVES))
MUTANTS = {m.id: m for m in MISCONCEPTIONS if any(m.id in ids for ids in GROUPS.values())}


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


@dataclass(frozen=True)
class _Probe:
    """One probe's arguments, the exact result, and the size against which differences count."""

    arguments: dict[str, Tensor | None]
    exact: Tensor
    size: float

    @classmethod
    def of(cls, arguments: dict[str, Tensor | None]) -> _Probe:
        wide = {n: t.double() if t is not None and n != "mask" else t for n, t in arguments.items()}
        exact = scaled_dot_product_attention(**wide)  # type: ignore[arg-type]
        value = arguments["value"]
        assert value is not None
        return cls(arguments, exact, float(exact.abs().max()) or float(value.abs().max()) or 1.0)

    def difference(self, implementation: Callable[..., Any]) -> float:
        """How far an implementation is from the exact result; infinity if it breaks a promise."""
        copies = {n: None if t is None else t.clone() for n, t in self.arguments.items()}
        try:
            result = implementation(**copies)
        except Exception:
            return float("inf")
        if any(t is not None and not t.equal(copies[n]) for n, t in self.arguments.items()):  # type: ignore[arg-type]
            return float("inf")
        query = self.arguments["query"]
        assert query is not None
        if not isinstance(result, Tensor) or result.shape != self.exact.shape or result.dtype != query.dtype:
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


def _read_one(name: str, probe: Any) -> dict[str, Tensor | None]:
    if not isinstance(probe, dict):
        raise Unusable(
            f"{name} should be a dict with query, key, value and, if you like, mask: it is {_kind(probe)}"
        )
    if unknown := [key for key in probe if key not in ("query", "key", "value", "mask")]:
        raise Unusable(f"{name} has an unknown key {str(unknown[0])[:40]!r}: use query, key, value and mask")
    if missing := [key for key in ("query", "key", "value") if key not in probe]:
        raise Unusable(f"{name} has no {missing[0]!r}")
    query, key, value = (_read_tensor(f"the {n} of {name}", probe[n]) for n in ("query", "key", "value"))
    if not query.dtype == key.dtype == value.dtype:
        raise Unusable(f"query, key and value of {name} should have one dtype")
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        raise Unusable(
            f"query, key and value of {name} should have the same leading dimensions: {_shapes(probe)}"
        )
    if query.shape[-1] != key.shape[-1]:
        raise Unusable(f"query and key of {name} should agree in d_k: {_shapes(probe)}")
    if key.shape[-2] != value.shape[-2]:
        raise Unusable(f"key and value of {name} should agree in length: {_shapes(probe)}")
    scores = (*query.shape[:-1], key.shape[-2])
    if torch.Size(scores).numel() > MOST_SCORES:
        raise Unusable(
            f"{name} is too large: at most {MOST_SCORES} scores, please; small inputs show as much"
        )
    mask = probe.get("mask")
    if mask is not None:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            raise Unusable(f"the mask of {name} should be a boolean tensor: it is {_kind(mask)}")
        mask = _plain(f"the mask of {name}", mask)
        try:
            mask.expand(scores)
        except RuntimeError:
            raise Unusable(
                f"the mask of {name} should broadcast to the scores {scores}: it has shape "
                f"{tuple(mask.shape)}"
            ) from None
    return {"query": query, "key": key, "value": value, "mask": mask}


def _read_tensor(name: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
        raise Unusable(f"{name} should be a float32 or float64 tensor: it is {_kind(tensor)}")
    if not 2 <= tensor.ndim <= 5:
        raise Unusable(f"{name} should have from 2 to 5 dimensions: it has shape {tuple(tensor.shape)}")
    if not all(1 <= size <= LONGEST_AXIS for size in tensor.shape):
        raise Unusable(
            f"every dimension of {name} should lie between 1 and {LONGEST_AXIS}: it has shape "
            f"{tuple(tensor.shape)}"
        )
    tensor = _plain(name, tensor)
    if not tensor.isfinite().all():
        raise Unusable(
            f"{name} holds NaN or infinity: with such inputs there is no right answer to compare with"
        )
    if tensor.abs().max() > LARGEST_NUMBER:
        raise Unusable(f"{name} holds numbers beyond ±{LARGEST_NUMBER:g}: smaller ones are enough")
    return tensor


def _plain(name: str, tensor: Tensor) -> Tensor:
    """On the CPU, without history, subclass or special layout."""
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise Unusable(f"{name} should be an ordinary, dense tensor")
    return tensor.detach().as_subclass(Tensor).cpu()


def _kind(value: Any) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"


def _shapes(probe: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(probe[name].shape)}" for name in ("query", "key", "value"))


def _judge(judgement: Callable[[list[_Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        try:
            with torch.no_grad():
                usable = _read(probes)
        except Unusable as problem:
            return str(problem)
        except Exception as problem:  # an object that only pretends to be a list, a dict or a tensor
            return f"the probes cannot be read ({type(problem).__name__}): use plain lists, dicts and tensors"
        with torch.no_grad():
            return judgement(usable)

    return judge


def _fair_and_useful(probes: list[_Probe]) -> str | None:
    for place, probe in enumerate(probes):
        if probe.rounding > FAIR:
            return (
                f"`probes[{place}]` is not fair: even right implementations disagree on it, because of "
                "rounding; use smaller numbers"
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


def _normal(seed: int, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return dict(zip(("query", "key", "value"), tensors, strict=True))


def _one_for_each_kind() -> list[dict[str, Tensor]]:
    large = _normal(2, (3, 4), (5, 4), (5, 2))
    large["query"] = large["query"] * 100
    return [
        _normal(0, (2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7)),
        _normal(1, (3, 4), (5, 4), (5, 2), dtype=torch.float64),
        large,
        {**_normal(3, (4, 5), (4, 5), (4, 3)), "mask": causal_mask(4)},
        {
            **_normal(4, (2, 3, 5), (2, 4, 5), (2, 4, 3)),
            "mask": padding_mask(torch.tensor([3, 0]), 4)[:, None, :],
        },
    ]


def _few_but_dense() -> list[dict[str, Tensor]]:
    mask = padding_mask(torch.tensor([5, 2]), 6)[:, None, None, :] & causal_mask(6)
    mask[0, 0, 3] = False
    first = _normal(5, (2, 3, 6, 4), (2, 3, 6, 4), (2, 3, 6, 5), dtype=torch.float64)
    second = _normal(6, (2, 4, 3), (2, 3, 3), (2, 3, 2))
    second["key"] = second["key"] * 300
    return [{**first, "mask": mask}, second]


def _by_hand() -> list[dict[str, Any]]:
    query = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
    key = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0], [2.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    value = torch.tensor([[1.0, 2.0], [-3.0, 4.0], [5.0, -6.0], [7.0, 8.0]])
    mask = torch.tensor([[True, False, True, False], [False, False, False, False]])
    batch = {
        n: torch.stack([t, 2 * t.flip(0)]) for n, t in (("query", query), ("key", key), ("value", value))
    }
    heads = {n: torch.stack([t, -t.flip(-1)], dim=1) for n, t in batch.items()}
    return [
        {"query": query, "key": key, "value": value, "mask": None},
        {"query": query, "key": key, "value": value, "mask": mask},
        {"query": query.double(), "key": key.double(), "value": value.double()},
        {"query": 200 * query, "key": key, "value": value},
        {**batch, "mask": torch.stack([mask, ~mask])},
        {**heads, "mask": torch.tensor([True, False, True, True])},
    ]


EXERCISE = Exercise(
    name="attention.expose_mutants",
    number="3.8",
    title="Kill the mutants: find the inputs that expose wrong attention",
    kind="mutants",
    answer_name="probes",
    minutes=20,
    difficulty=3,
    checks=(
        Check("is a list of fair probes that exposes something", 1, judge=_judge(_fair_and_useful)),
        Check("exposes every wrong scale", 1, judge=_exposes("scale")),
        Check("exposes wrong axes, and inputs mixed up or changed", 1, judge=_exposes("axes")),
        Check("exposes every misreading of the mask", 2, judge=_exposes("mask")),
        Check("exposes masks that only fit by chance", 1, judge=_exposes("mask shapes")),
        Check("exposes wrong rows where there is nothing to attend to", 1, judge=_exposes("empty rows")),
        Check("exposes what breaks on large scores and on float64", 1, judge=_exposes("numbers")),
    ),
    hints=(
        "Which mistakes stay invisible when d_k, d_v and the number of keys are all the same?",
        "Think of one probe for each thing that the function promises: sizes that all differ, leading "
        "dimensions, a mask that differs from row to row, a row without any True, large numbers, another "
        "dtype.",
        "Read the list of what is not exposed yet and take the first entry. Ask: for which sizes, or for "
        "which mask, would this mistake give the right result by luck? Then write a probe that takes that "
        "luck away.",
    ),
    alternatives=(
        Alternative("one probe for each kind of mistake", _one_for_each_kind),
        Alternative("two probes that hold everything", _few_but_dense),
        Alternative("small numbers by hand", _by_hand),
    ),
)
