"""Exercise 2.9: probes that tell a right cosine similarity from wrong ones.

The learner writes pairs of tensors. A probe exposes a wrong implementation if on it the implementation fails,
changes its input, or gives another shape, another dtype or other numbers than the exact result. It must be
fair: the reference and every right alternative of exercise 2.3 agree on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Check, Exercise, Misconception
from autograder.exercises.embeddings.cosine_similarity import ALTERNATIVES, MISCONCEPTIONS
from llmlib.embedding import cosine_similarity

MOST_PROBES, LONGEST_AXIS, MOST_NUMBERS, LARGEST_NUMBER = 20, 32, 4096, 1e6
# On a fair probe right answers agree within FAIR; a mutant must be further off than EXPOSED.
FAIR, EXPOSED = 0.001, 0.01

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
MUTANTS = {m.id: m for m in MISCONCEPTIONS if any(m.id in ids for ids in GROUPS.values())}
Probe = tuple[Tensor, Tensor]


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


def _difference(implementation: Callable[..., Any], a: Tensor, b: Tensor) -> float:
    """How far an implementation is from the exact result; infinity if it breaks a promise."""
    exact = cosine_similarity(a.double(), b.double())
    first, second = a.clone(), b.clone()
    try:
        result = implementation(first, second)
    except Exception:
        return math.inf
    if not (first.equal(a) and second.equal(b)):
        return math.inf
    if not isinstance(result, Tensor) or result.shape != exact.shape or result.dtype != a.dtype:
        return math.inf
    difference = float((result.double() - exact).abs().max())
    return math.inf if math.isnan(difference) else difference


def _read(probes: Any) -> list[Probe]:
    """The learner's list as pairs of tensors.

    Raises:
        Unusable: with a sentence for the learner.
    """
    if not isinstance(probes, list | tuple):
        raise Unusable(f"`probes` should be a list of pairs, but it is of type {type(probes).__name__}")
    if not probes:
        raise Unusable("the list is empty: write at least one probe")
    if len(probes) > MOST_PROBES:
        raise Unusable(f"at most {MOST_PROBES} probes, please: there are {len(probes)}")
    return [_read_one(f"`probes[{place}]`", probe) for place, probe in enumerate(probes)]


def _read_one(name: str, probe: Any) -> Probe:
    if not isinstance(probe, list | tuple) or len(probe) != 2:
        raise Unusable(f"{name} should be a pair (a, b) of tensors: it is of type {type(probe).__name__}")
    a, b = (_read_tensor(f"the {what} of {name}", x) for what, x in zip("ab", probe, strict=True))
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
    return a, b


def _read_tensor(name: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise Unusable(f"{name} should be a float32 or float64 tensor: it is of type {kind}")
    if not 1 <= tensor.ndim <= 4 or not all(1 <= size <= LONGEST_AXIS for size in tensor.shape):
        raise Unusable(
            f"{name} should have from 1 to 4 dimensions of sizes from 1 to {LONGEST_AXIS}: it has shape "
            f"{tuple(tensor.shape)}"
        )
    if tensor.numel() > MOST_NUMBERS:
        raise Unusable(f"{name} should hold at most {MOST_NUMBERS} numbers: it holds {tensor.numel()}")
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise Unusable(f"{name} should be an ordinary, dense tensor")
    tensor = tensor.detach().as_subclass(Tensor).cpu()
    if not tensor.isfinite().all() or tensor.abs().max() > LARGEST_NUMBER:
        raise Unusable(f"{name} should hold numbers between ±{LARGEST_NUMBER:g}, and no NaN or infinity")
    return tensor


def _judge(judgement: Callable[[list[Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        with torch.no_grad():
            try:
                usable = _read(probes)
            except Unusable as problem:
                return str(problem)
            except Exception as problem:  # an object that only pretends to be a list or a tensor
                kind = type(problem).__name__
                return f"the probes cannot be read ({kind}): use plain lists, pairs and tensors"
            for place, probe in enumerate(usable):
                if max(_difference(right, *probe) for right in RIGHT) > FAIR:
                    return (
                        f"`probes[{place}]` is not fair: even right implementations disagree on it, because "
                        "of rounding; use vectors that are not quite so short"
                    )
            return judgement(usable)

    return judge


def _exposed(mutant: Misconception, probes: list[Probe]) -> bool:
    return any(_difference(mutant.answer, *probe) > EXPOSED for probe in probes)


def _useful(probes: list[Probe]) -> str | None:
    if not any(_exposed(mutant, probes) for mutant in MUTANTS.values()):
        return "no wrong implementation is exposed yet: on these probes they all give the right result"
    return None


def _exposes(group: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = [MUTANTS[id] for id in GROUPS[group]]

    def judgement(probes: list[Probe]) -> str | None:
        alive = [m for m in mutants if not _exposed(m, probes)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


# --- Right answers


def _by_hand() -> list[Probe]:
    return [
        (torch.tensor([3.0, 4.0]), torch.tensor([-4.0, 2.0])),
        (torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.tensor([[5.0, 1.0], [2.0, 2.0]])),
        (torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])),
        (torch.tensor([2e-5, 1e-5]), torch.tensor([1e-5, 3e-5])),
    ]


def _one_dense_pair() -> list[Probe]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    a[0], b[1] = 0.0, -a[1]
    a[2], b[2] = 1e-5 * a[2], 1e-5 * b[2]
    return [(a, b)]


def _drawn() -> list[Probe]:
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
        Check("is a list of fair probes that exposes something", 1, judge=_judge(_useful)),
        Check("exposes wrong lengths", 1, judge=_exposes("lengths")),
        Check("exposes wrong signs, wrong shapes and changed inputs", 1, judge=_exposes("results")),
        Check("exposes wrong dimensions", 1, judge=_exposes("axes")),
        Check("exposes what goes wrong with zeros and with very short vectors", 1, judge=_exposes("zeros")),
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
