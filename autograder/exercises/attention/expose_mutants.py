"""Exercise 3.8: probes that tell right attention from wrong.

The learner writes inputs. They are measured as `differences` says, against the right answers of exercise 3.5.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise
from autograder.exercises import reading
from autograder.exercises.attention.scaled_dot_product_attention import ALTERNATIVES
from autograder.exercises.attention.wrong_attention import MISCONCEPTIONS
from autograder.exercises.differences import Measure, Measured
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.reading import Unusable
from llmlib.attention import causal_mask, padding_mask, scaled_dot_product_attention

LONGEST_AXIS, LARGEST_NUMBER = 32, 1000.0

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


def _size(exact: Tensor, arguments: Any) -> float:
    """The largest number of the result, or of the values where nothing may be attended to."""
    return float(exact.abs().max()) or float(arguments["value"].abs().max()) or 1.0


MEASURE = Measure(RIGHT, fair=0.01, exposed=0.001, size=_size)

_floats = partial(reading.floats, dims=(2, 5), longest=LONGEST_AXIS, largest=LARGEST_NUMBER)


def _read(name: str, probe: Any) -> Measured:
    given = reading.fields(name, probe, ("query", "key", "value"), ("mask",))
    query, key, value = (_floats(f"the {n} of {name}", given[n]) for n in ("query", "key", "value"))
    if not query.dtype == key.dtype == value.dtype:
        raise Unusable(f"query, key and value of {name} should have one dtype")
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        raise Unusable(
            f"query, key and value of {name} should have the same leading dimensions: {_shapes(given)}"
        )
    if query.shape[-1] != key.shape[-1]:
        raise Unusable(f"query and key of {name} should agree in d_k: {_shapes(given)}")
    if key.shape[-2] != value.shape[-2]:
        raise Unusable(f"key and value of {name} should agree in length: {_shapes(given)}")
    scores = reading.few_scores(name, (*query.shape[:-1], key.shape[-2]))
    mask = given.get("mask")
    if mask is not None:
        mask = reading.mask(f"the mask of {name}", mask, scores)
    return Measured(MEASURE, {"query": query, "key": key, "value": value, "mask": mask})


def _shapes(probe: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(probe[name].shape)}" for name in ("query", "key", "value"))


def _unfair(probes: list[Measured]) -> str | None:
    return MEASURE.fairness(probes, ", because of rounding; use smaller numbers")


EXPOSING = Exposing(
    mutants=grouped(MISCONCEPTIONS, GROUPS),
    read=_read,
    exposes=Measured.exposes,
    most=20,
    made_of="plain lists, dicts and tensors",
    unfit=_unfair,
)


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
        EXPOSING.first("is a list of fair probes that exposes something"),
        EXPOSING.all_of("scale", "exposes every wrong scale"),
        EXPOSING.all_of("axes", "exposes wrong axes, and inputs mixed up or changed"),
        EXPOSING.all_of("mask", "exposes every misreading of the mask", 2),
        EXPOSING.all_of("mask shapes", "exposes masks that only fit by chance"),
        EXPOSING.all_of("empty rows", "exposes wrong rows where there is nothing to attend to"),
        EXPOSING.all_of("numbers", "exposes what breaks on large scores and on float64"),
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
