"""Exercise 2.9: probes that tell a right cosine similarity from wrong ones.

The learner writes pairs of tensors. They are measured as `differences` says, against the right answers of
exercise 2.3.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise
from autograder.exercises import reading
from autograder.exercises.differences import Measure, Measured
from autograder.exercises.embeddings.cosine_similarity import ALTERNATIVES, MISCONCEPTIONS
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.reading import Unusable
from llmlib.embedding import cosine_similarity

GROUPS = {
    "lengths": (
        "dot-product",
        "first-length-only",
        "second-length-only",
        "without-roots",
        "lengths-added",
        "sums-of-magnitudes",
        "centred",
    ),
    "results": ("absolute", "distance", "angle", "dimension-kept", "in-place"),
    "axes": ("first-dimension", "over-everything"),
    "zeros": ("nan-for-zeros", "one-for-zeros", "eps-added"),
}
RIGHT = (cosine_similarity, *(right.answer for right in ALTERNATIVES))
# A cosine lies between -1 and 1, so differences count as they are.
MEASURE = Measure(RIGHT, fair=0.001, exposed=0.01, size=lambda exact, arguments: 1.0)

_floats = partial(reading.floats, dims=(1, 4), longest=32, largest=1e6, most=4096)


def _read(name: str, probe: Any) -> Measured:
    if not isinstance(probe, list | tuple) or len(probe) != 2:
        raise Unusable(f"{name} should be a pair (a, b) of tensors: it is {reading.kind(probe)}")
    a, b = (_floats(f"the {what} of {name}", x) for what, x in zip("ab", probe, strict=True))
    if a.dtype != b.dtype:
        raise Unusable(f"both tensors of {name} should have one dtype")
    if a.shape[-1] != b.shape[-1]:
        raise Unusable(
            f"the vectors of {name} should be equally long: a has {a.shape[-1]} numbers, b {b.shape[-1]}"
        )
    try:
        torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        raise Unusable(
            f"the shapes {tuple(a.shape)} and {tuple(b.shape)} of {name} do not fit together"
        ) from None
    return Measured(MEASURE, {"a": a, "b": b})


def _unfair(probes: list[Measured]) -> str | None:
    return MEASURE.fairness(probes, ", because of rounding; use vectors that are not quite so short")


EXPOSING = Exposing(
    mutants=grouped(MISCONCEPTIONS, GROUPS),
    read=_read,
    exposes=Measured.exposes,
    most=20,
    made_of="plain lists, pairs and tensors",
    unfit=_unfair,
    of="pairs",
)


# --- Right answers

Pair = tuple[Tensor, Tensor]


def _by_hand() -> list[Pair]:
    return [
        (torch.tensor([3.0, 4.0]), torch.tensor([-4.0, 2.0])),
        (torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.tensor([[5.0, 1.0], [2.0, 2.0]])),
        (torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])),
        (torch.tensor([2e-5, 1e-5]), torch.tensor([1e-5, 3e-5])),
    ]


def _one_dense_pair() -> list[Pair]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    a[0], b[1] = 0.0, -a[1]
    a[2], b[2] = 1e-5 * a[2], 1e-5 * b[2]
    return [(a, b)]


def _drawn() -> list[Pair]:
    generator = torch.Generator().manual_seed(1)
    probes = [(torch.randn(3, 3, generator=generator), torch.randn(3, 3, generator=generator))]
    probes += [(3 * a, b / 3) for a, b in probes]
    probes += [(1e-5 * a, 1e-5 * b) for a, b in probes[:1]]
    return [*probes, (torch.randn(2, generator=generator), torch.zeros(5, 2))]


EXERCISE = Exercise(
    name="embedding.expose_mutants",
    number="2.9",
    title="Kill the mutants: find the vectors that expose a wrong similarity",
    kind="mutants",
    answer_name="probes",
    minutes=12,
    difficulty=2,
    checks=(
        EXPOSING.first("is a list of fair probes that exposes something"),
        EXPOSING.all_of("lengths", "exposes wrong lengths"),
        EXPOSING.all_of("results", "exposes wrong signs, wrong shapes and changed inputs"),
        EXPOSING.all_of("axes", "exposes wrong dimensions"),
        EXPOSING.all_of("zeros", "exposes what goes wrong with zeros and with very short vectors"),
    ),
    hints=(
        "Vectors of length 1 hide every mistake in the lengths, and vectors with positive numbers hide a "
        "lost sign.",
        "A single vector has one dimension only, so a wrong dimension cannot show. Which shape accepts both "
        "dimensions?",
        "Somebody adds 1e-8 to a product of two lengths. How short must the vectors be for that to matter?",
    ),
    alternatives=(
        Alternative("small numbers by hand", _by_hand),
        Alternative("one pair that holds everything", _one_dense_pair),
        Alternative("drawn, stretched and shrunk", _drawn),
    ),
)
