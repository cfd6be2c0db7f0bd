"""Exercise 4.9: probes that tell right multi-head attention from wrong.

The learner writes inputs; the layer's weights are ours. They are measured as `differences` says, against the
right answers of exercise 4.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise
from autograder.exercises import probes as inputs
from autograder.exercises import reading
from autograder.exercises.differences import Measure, Measured
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.heads.multi_head_attention import ALTERNATIVES
from autograder.exercises.heads.wrong_heads import MISCONCEPTIONS
from autograder.exercises.reading import Unusable
from llmlib.attention import MultiHeadAttention, combined_mask

GROUPS = {
    "heads": (
        "split-without-transpose",
        "merge-without-transpose",
        "neither-transposed",
        "heads-as-positions",
        "heads-mixed-with-batch",
        "one-head",
        "first-head-only",
    ),
    "scale": ("scaled-by-d-model", "not-scaled", "scaled-by-heads", "softmax-over-heads"),
    "projections": (
        "no-output-projection",
        "output-twice",
        "key-and-value-swapped",
        "query-and-key-swapped",
        "not-projected",
        "residual-added",
    ),
    "context": ("context-ignored", "queries-from-context", "values-from-x", "everything-from-context"),
    "mask": ("mask-ignored", "mask-inverted", "mask-transposed", "mask-after-softmax"),
    "both masks": (
        "causal-ignored",
        "always-causal",
        "causal-replaces-mask",
        "mask-replaces-causal",
        "one-mask-is-enough",
    ),
}


def _called(kind: Callable[..., Any]) -> Callable[..., Tensor]:
    """What a layer of this kind does in one call, its number of heads among the arguments.

    The weights depend on d_model alone, and are such that scores are of a size near 1.
    """

    def call(x: Tensor, n_heads: int, **others: Any) -> Tensor:
        d_model = x.shape[-1]
        layer = kind(d_model, n_heads)
        drawn = inputs.weights(layer, torch.Generator().manual_seed(d_model), scale=d_model**-0.5)
        layer.load_state_dict(drawn)
        return layer.to(x.dtype).eval()(x=x, **others)

    return call


RIGHT = tuple(map(_called, (MultiHeadAttention, *(right.answer for right in ALTERNATIVES))))
MEASURE = Measure(RIGHT, fair=1e-4, exposed=1e-3)

_floats = partial(
    reading.floats,
    dims=(3, 3),
    longest=32,
    largest=100.0,
    dtypes=(torch.float32,),
    axes="(batch, length, d_model)",
)


def _read(name: str, probe: Any) -> Measured:
    given = reading.fields(name, probe, ("x", "n_heads"), ("mask", "context", "is_causal"))
    x = _floats(f"the x of {name}", given["x"])
    n_heads, is_causal = given["n_heads"], given.get("is_causal", False)
    if type(n_heads) is not int or n_heads < 1 or x.shape[-1] % n_heads:
        raise Unusable(f"n_heads of {name} should be a whole number that divides d_model = {x.shape[-1]}")
    if type(is_causal) is not bool:
        raise Unusable(f"is_causal of {name} should be True or False")
    arguments: dict[str, Any] = {"x": x, "n_heads": n_heads, "is_causal": is_causal}
    context = x
    if given.get("context") is not None:
        arguments["context"] = context = _floats(f"the context of {name}", given["context"])
        if (context.shape[0], context.shape[2]) != (x.shape[0], x.shape[2]):
            raise Unusable(
                f"x and context of {name} should agree in batch and d_model: they have the shapes "
                f"{tuple(x.shape)} and {tuple(context.shape)}"
            )
    if is_causal and context.shape[1] != x.shape[1]:
        raise Unusable(f"is_causal in {name} needs x and context of the same length")
    scores = reading.few_scores(name, (x.shape[0], n_heads, x.shape[1], context.shape[1]))
    if given.get("mask") is not None:
        arguments["mask"] = reading.mask(f"the mask of {name}", given["mask"], scores)
    return Measured(MEASURE, arguments)


def _unfair(probes: list[Measured]) -> str | None:
    advice = "see that every query has something to attend to, and use smaller numbers"
    return MEASURE.fairness(probes, f"; {advice}")


EXPOSING = Exposing(
    mutants=grouped([replace(m, answer=_called(m.answer)) for m in MISCONCEPTIONS], GROUPS),
    read=_read,
    exposes=Measured.exposes,
    most=8,
    made_of="plain lists, dicts and tensors",
    unfit=_unfair,
)


# --- Right answers


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _one_for_each_kind() -> list[dict[str, Any]]:
    padded = torch.tensor([[True, True, True, False, False], [True, True, True, True, True]])
    return [
        {"x": 2 * _normal(0, 2, 4, 6), "n_heads": 3},
        {"x": _normal(1, 2, 4, 6), "context": _normal(2, 2, 5, 6), "n_heads": 2},
        {"x": _normal(3, 2, 5, 8), "n_heads": 2, "mask": padded[:, None, None, :]},
        {"x": _normal(4, 2, 4, 6), "n_heads": 2, "is_causal": True},
        {"x": _normal(5, 2, 5, 6), "n_heads": 3, "mask": padded[:, None, None, :], "is_causal": True},
    ]


def _few_but_dense() -> list[dict[str, Any]]:
    mask = torch.tensor([[True, False, True, True], [True, True, False, True], [True, True, True, False]])
    past = torch.tensor(
        [
            [True, True, False, True],
            [True, False, True, True],
            [True, True, True, False],
            [False, True, True, True],
        ]
    )
    return [
        {"x": 3 * _normal(6, 2, 3, 12), "context": 3 * _normal(7, 2, 4, 12), "n_heads": 3, "mask": mask},
        {"x": 3 * _normal(8, 3, 4, 12), "n_heads": 2, "mask": past, "is_causal": True},
        {"x": 3 * _normal(9, 3, 4, 12), "n_heads": 4},
    ]


def _ready_made_masks() -> list[dict[str, Any]]:
    real = torch.arange(6) < torch.tensor([4, 6, 2])[:, None]
    x, other = _normal(10, 3, 6, 10), _normal(11, 3, 4, 10)
    return [
        {"x": x, "n_heads": 5, "mask": combined_mask(real)},
        {"x": other, "context": x, "n_heads": 2, "mask": real[:, None, None, :]},
        {"x": x, "n_heads": 2, "is_causal": True, "context": None},
        {"x": x, "n_heads": 2, "is_causal": True, "mask": real[:, None, None, :]},
        {"x": 2 * x, "n_heads": 5, "mask": None},
    ]


EXERCISE = Exercise(
    name="heads.expose_heads",
    number="4.9",
    title="Kill the mutants: expose wrong multi-head attention",
    kind="mutants",
    answer_name="probes",
    minutes=15,
    difficulty=3,
    checks=(
        EXPOSING.first("is a list of fair probes that exposes something"),
        EXPOSING.all_of("heads", "exposes heads that are split or merged wrongly"),
        EXPOSING.all_of("scale", "exposes a wrong scale and a wrong softmax"),
        EXPOSING.all_of("projections", "exposes wrong projections"),
        EXPOSING.all_of("context", "exposes a context in the wrong place"),
        EXPOSING.all_of("mask", "exposes every misreading of the mask"),
        EXPOSING.all_of("both masks", "exposes one mask replacing the other"),
    ),
    hints=(
        "With one position every weight is 1, and with one head there is nothing to split. What is the "
        "smallest input on which heads, positions and texts could be confused?",
        "Think of one probe for each thing the layer promises: several heads, a batch, a context of another "
        "length, a mask that differs from text to text, the future hidden, and both masks at once.",
        "Read the list of what is not exposed yet and take the first entry. On which input does this mistake "
        "give the right result by luck? For two masks at once: is there a key that only one of them hides?",
    ),
    alternatives=(
        Alternative("one probe for each kind of mistake", _one_for_each_kind),
        Alternative("three dense probes", _few_but_dense),
        Alternative("masks from the chapter", _ready_made_masks),
    ),
)
