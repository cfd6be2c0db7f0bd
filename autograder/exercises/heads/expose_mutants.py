"""Exercise 4.9: probes that tell right multi-head attention from wrong.

The learner writes inputs; the layer's weights are ours. A probe exposes a wrong layer if on it the layer
fails, changes its input, or gives another shape or other numbers than the exact result. It must be fair: the
reference and every right alternative of exercise 4.5 agree on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Check, Exercise
from autograder.exercises import probes as inputs
from autograder.exercises.heads.multi_head_attention import ALTERNATIVES
from autograder.exercises.heads.wrong_heads import MISCONCEPTIONS
from llmlib.attention import MultiHeadAttention, combined_mask

MOST_PROBES, LONGEST_AXIS, MOST_SCORES, LARGEST_NUMBER = 8, 32, 4096, 100.0
# Differences count relative to the largest output. On a fair probe right answers agree within FAIR; a mutant
# must be further off than EXPOSED.
FAIR, EXPOSED = 1e-4, 1e-3

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
RIGHT = (MultiHeadAttention, *(right.answer for right in ALTERNATIVES))
MUTANTS = {m.id: m for m in MISCONCEPTIONS if any(m.id in ids for ids in GROUPS.values())}


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


@dataclass(frozen=True)
class _Probe:
    """One probe: the call's arguments, the number of heads, and the exact result."""

    arguments: dict[str, Any]
    n_heads: int
    exact: Tensor

    @classmethod
    def of(cls, arguments: dict[str, Any], n_heads: int) -> _Probe:
        wide = {n: t.double() if n in ("x", "context") else t for n, t in arguments.items()}
        exact = _layer(MultiHeadAttention, arguments["x"].shape[-1], n_heads).double()(**wide)
        return cls(arguments, n_heads, exact)

    def difference(self, kind: Callable[..., Any]) -> float:
        """How far a layer is from the exact result; infinity if it breaks a promise."""
        copies = {n: t.clone() if isinstance(t, Tensor) else t for n, t in self.arguments.items()}
        try:
            result = _layer(kind, self.arguments["x"].shape[-1], self.n_heads)(**copies)
        except Exception:
            return float("inf")
        if any(isinstance(t, Tensor) and not t.equal(copies[n]) for n, t in self.arguments.items()):
            return float("inf")
        if result.shape != self.exact.shape:
            return float("inf")
        size = float(self.exact.abs().max()) or 1.0
        difference = float((result.double() - self.exact).abs().max()) / size
        return float("inf") if math.isnan(difference) else difference

    @cached_property
    def fair(self) -> bool:
        return max(self.difference(right) for right in RIGHT) <= FAIR


def _layer(kind: Callable[..., Any], d_model: int, n_heads: int) -> torch.nn.Module:
    """A layer with weights that depend on d_model alone, so that scores are of a size near 1."""
    layer = kind(d_model, n_heads)
    drawn = inputs.weights(layer, torch.Generator().manual_seed(d_model), scale=d_model**-0.5)
    layer.load_state_dict(drawn)
    return layer.eval()


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
    return [_Probe.of(*_read_one(f"`probes[{place}]`", probe)) for place, probe in enumerate(probes)]


def _read_one(name: str, probe: Any) -> tuple[dict[str, Any], int]:
    if not isinstance(probe, dict):
        raise Unusable(
            f'{name} should be a dict with "x" and "n_heads": it is of type {type(probe).__name__}'
        )
    known = ("x", "n_heads", "mask", "context", "is_causal")
    if unknown := [key for key in probe if key not in known]:
        raise Unusable(f"{name} has an unknown key {str(unknown[0])[:40]!r}: use {', '.join(known)}")
    if missing := [key for key in ("x", "n_heads") if key not in probe]:
        raise Unusable(f"{name} has no {missing[0]!r}")
    x = _read_tensor(f"the x of {name}", probe["x"])
    n_heads, is_causal = probe["n_heads"], probe.get("is_causal", False)
    if type(n_heads) is not int or n_heads < 1 or x.shape[-1] % n_heads:
        raise Unusable(f"n_heads of {name} should be a whole number that divides d_model = {x.shape[-1]}")
    if type(is_causal) is not bool:
        raise Unusable(f"is_causal of {name} should be True or False")
    arguments: dict[str, Any] = {"x": x, "is_causal": is_causal}
    context = x
    if probe.get("context") is not None:
        arguments["context"] = context = _read_tensor(f"the context of {name}", probe["context"])
        if (context.shape[0], context.shape[2]) != (x.shape[0], x.shape[2]):
            raise Unusable(
                f"x and context of {name} should agree in batch and d_model: they have the shapes "
                f"{tuple(x.shape)} and {tuple(context.shape)}"
            )
    if is_causal and context.shape[1] != x.shape[1]:
        raise Unusable(f"is_causal in {name} needs x and context of the same length")
    scores = (x.shape[0], n_heads, x.shape[1], context.shape[1])
    if math.prod(scores) > MOST_SCORES:
        raise Unusable(
            f"{name} is too large: at most {MOST_SCORES} scores, please; small inputs show as much"
        )
    if probe.get("mask") is not None:
        arguments["mask"] = _read_mask(name, probe["mask"], scores)
    return arguments, n_heads


def _read_tensor(name: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32 or tensor.ndim != 3:
        raise Unusable(f"{name} should be a float32 tensor of shape (batch, length, d_model)")
    if not all(1 <= size <= LONGEST_AXIS for size in tensor.shape):
        raise Unusable(f"every dimension of {name} should lie between 1 and {LONGEST_AXIS}")
    tensor = _plain(name, tensor)
    if not tensor.isfinite().all() or tensor.abs().max() > LARGEST_NUMBER:
        raise Unusable(f"{name} should hold numbers between −{LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}")
    return tensor


def _read_mask(name: str, mask: Any, scores: tuple[int, ...]) -> Tensor:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise Unusable(f"the mask of {name} should be a boolean tensor")
    mask = _plain(f"the mask of {name}", mask)
    try:
        mask.expand(scores)
    except RuntimeError:
        raise Unusable(
            f"the mask of {name} should broadcast to the scores {scores}: it has shape {tuple(mask.shape)}"
        ) from None
    return mask


def _plain(name: str, tensor: Tensor) -> Tensor:
    """On the CPU, without history, subclass or special layout."""
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise Unusable(f"{name} should be an ordinary, dense tensor")
    return tensor.detach().as_subclass(Tensor).cpu()


def _judge(judgement: Callable[[list[_Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        # Layers are made with random weights before ours are loaded: nobody else's draws may notice.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                usable = _read(probes)
            except Unusable as problem:
                return str(problem)
            except Exception as problem:  # an object that only pretends to be a list, a dict or a tensor
                return (
                    f"the probes cannot be read ({type(problem).__name__}): use plain lists, dicts, tensors"
                )
            return judgement(usable)

    return judge


def _fair_and_useful(probes: list[_Probe]) -> str | None:
    for place, probe in enumerate(probes):
        if not probe.fair:
            return (
                f"`probes[{place}]` is not fair: even right implementations disagree on it; see that every "
                "query has something to attend to, and use smaller numbers"
            )
    if not any(probe.difference(mutant.answer) > EXPOSED for probe in probes for mutant in MUTANTS.values()):
        return "no wrong implementation is exposed yet: on these probes they all give the right result"
    return None


def _exposes(group: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = [MUTANTS[id] for id in GROUPS[group]]

    def judgement(probes: list[_Probe]) -> str | None:
        alive = [m for m in mutants if not any(probe.difference(m.answer) > EXPOSED for probe in probes)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


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
        Check("is a list of fair probes that exposes something", 1, judge=_judge(_fair_and_useful)),
        Check("exposes heads that are split or merged wrongly", 1, judge=_exposes("heads")),
        Check("exposes a wrong scale and a wrong softmax", 1, judge=_exposes("scale")),
        Check("exposes wrong projections", 1, judge=_exposes("projections")),
        Check("exposes a context in the wrong place", 1, judge=_exposes("context")),
        Check("exposes every misreading of the mask", 1, judge=_exposes("mask")),
        Check("exposes one mask replacing the other", 1, judge=_exposes("both masks")),
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
