"""Exercise 8.5: inputs that tell right filters of logits from wrong ones.

A probe names a filter and gives its arguments. It exposes a wrong filter of that name if the wrong one gives
other probabilities than the right one, raises an error, or changes the logits' shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Check, Exercise, Misconception
from autograder.exercises.generation.filters import MIN_P, REPETITION, TOP_K, TOP_P
from autograder.judging import is_number
from llmlib import sampling

MOST_PROBES, MOST_NUMBERS, LARGEST = 12, 64, 50.0
EXPOSED = 1e-6  # a smaller difference may be rounding

RIGHT: dict[str, Callable[..., Tensor]] = {
    "top_k": sampling.top_k,
    "top_p": sampling.top_p,
    "min_p": sampling.min_p,
    "repetition_penalty": sampling.repetition_penalty,
}
MUTANTS: dict[str, tuple[Misconception, ...]] = {
    "top_k": TOP_K,
    "top_p": TOP_P,
    "min_p": MIN_P,
    "repetition_penalty": REPETITION,
}


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


@dataclass(frozen=True)
class _Probe:
    """One probe: a filter and its arguments."""

    filter: str
    logits: Tensor
    value: float
    tokens: Tensor | None

    def _answer(self, implementation: Callable[..., Tensor]) -> Tensor:
        said = () if self.tokens is None else (self.tokens.clone(),)
        return implementation(self.logits.clone(), *said, self.value)

    @cached_property
    def right(self) -> Tensor:
        return self._answer(RIGHT[self.filter])

    def exposes(self, mutant: Misconception) -> bool:
        try:
            wrong = self._answer(mutant.answer)
        except (ValueError, IndexError, RuntimeError):
            return True
        if wrong.shape != self.right.shape or not torch.equal(wrong.isinf(), self.right.isinf()):
            return True
        finite = self.right.isfinite()
        return not torch.allclose(wrong[finite], self.right[finite], rtol=EXPOSED, atol=EXPOSED)


def _read(probes: Any) -> list[_Probe]:
    """The learner's list as probes.

    Raises:
        Unusable: with a sentence for the learner.
    """
    if not isinstance(probes, list | tuple):
        raise Unusable(f"`probes` should be a list of dicts, but it is {_kind(probes)}")
    if not probes:
        raise Unusable("the list is empty: write at least one probe")
    if len(probes) > MOST_PROBES:
        raise Unusable(f"at most {MOST_PROBES} probes, please: there are {len(probes)}")
    return [_read_one(f"`probes[{place}]`", probe) for place, probe in enumerate(probes)]


def _read_one(name: str, probe: Any) -> _Probe:
    if not isinstance(probe, dict):
        raise Unusable(f"{name} should be a dict with filter, logits and value: it is {_kind(probe)}")
    if missing := [key for key in ("filter", "logits", "value") if key not in probe]:
        raise Unusable(f"{name} has no {missing[0]!r}")
    kind = probe["filter"]
    if not isinstance(kind, str) or kind not in RIGHT:
        raise Unusable(f"the filter of {name} should be one of {', '.join(RIGHT)}")
    names = ("filter", "logits", "value", "tokens")[: 4 if kind == "repetition_penalty" else 3]
    if unknown := [key for key in probe if key not in names]:
        raise Unusable(
            f"{name} has an unknown key {str(unknown[0])[:40]!r}: for {kind} use {', '.join(names)}"
        )
    logits = _read_rows(f"the logits of {name}", probe["logits"]).double()
    if logits.abs().max() > LARGEST or logits.isnan().any():
        raise Unusable(f"the logits of {name} should lie between {-LARGEST:g} and {LARGEST:g}")
    tokens = None
    if kind == "repetition_penalty":
        if "tokens" not in probe:
            raise Unusable(f"{name} has no 'tokens': one row of tokens for each row of logits")
        tokens = _read_rows(f"the tokens of {name}", probe["tokens"])
        if tokens.is_floating_point() or len(tokens) != len(logits):
            raise Unusable(f"the tokens of {name} should be whole numbers, in as many rows as the logits")
        if tokens.min() < 0 or tokens.max() >= logits.shape[1]:
            raise Unusable(f"the tokens of {name} should lie between 0 and {logits.shape[1] - 1}")
    return _Probe(kind, logits, _read_value(name, kind, probe["value"]), tokens)


def _read_value(name: str, kind: str, value: Any) -> float:
    if not is_number(value):
        raise Unusable(f"the value of {name} should be a number: it is {_kind(value)}")
    if kind == "top_k":
        if not isinstance(value, int) or not 1 <= value <= MOST_NUMBERS:
            raise Unusable(f"the value of {name}, k, should be a whole number from 1 to {MOST_NUMBERS}")
        return value
    most = 10 if kind == "repetition_penalty" else 1
    if not 0.001 <= value <= most:
        raise Unusable(f"the value of {name} should lie between 0.001 and {most}")
    return float(value)


def _read_rows(name: str, rows: Any) -> Tensor:
    if isinstance(rows, list | tuple):
        try:
            rows = torch.tensor(rows)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise Unusable(f"{name} should be rows of equal length, each a list of numbers") from None
    if not isinstance(rows, Tensor) or rows.layout is not torch.strided or rows.device.type == "meta":
        raise Unusable(f"{name} should be a list of rows or a tensor: they are {_kind(rows)}")
    if rows.dtype == torch.bool or rows.is_complex():
        raise Unusable(f"{name} should be numbers: they are of {rows.dtype}")
    if rows.dim() != 2 or not 1 <= rows.numel() <= MOST_NUMBERS:
        raise Unusable(
            f"{name} should be a list of rows with at most {MOST_NUMBERS} numbers in all: the shape is "
            f"{tuple(rows.shape)}"
        )
    rows = rows.detach().as_subclass(Tensor).cpu()
    return rows if rows.is_floating_point() else rows.long()


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"


def _judge(judgement: Callable[[list[_Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        try:
            usable = _read(probes)
        except Unusable as problem:
            return str(problem)
        except Exception as problem:  # an object that only pretends to be a list, a dict or a tensor
            return f"the probes cannot be read ({type(problem).__name__}): use plain lists and dicts"
        with torch.no_grad():
            return judgement(usable)

    return judge


def _useful(probes: list[_Probe]) -> str | None:
    if not any(probe.exposes(mutant) for probe in probes for mutant in MUTANTS[probe.filter]):
        return "no wrong filter is exposed yet: on these probes they all answer like the right ones"
    return None


def _exposes(kind: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = MUTANTS[kind]

    def judgement(probes: list[_Probe]) -> str | None:
        fitting = [probe for probe in probes if probe.filter == kind]
        alive = [m for m in mutants if not any(probe.exposes(m) for probe in fitting)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


# --- Right answers


def _two_rows() -> list[dict[str, Any]]:
    rows = [[1.0, 3.0, -1.0, 2.0, 0.0], [2.0, -1.5, 0.5, -0.5, 1.5]]
    return [
        {"filter": "top_k", "logits": rows, "value": 2},
        {"filter": "top_p", "logits": rows, "value": 0.8},
        {"filter": "top_p", "logits": rows, "value": 0.5},
        {"filter": "top_p", "logits": rows, "value": 0.95},
        {"filter": "min_p", "logits": rows, "value": 0.2},
        {"filter": "repetition_penalty", "logits": rows, "value": 2.0, "tokens": [[1, 2, 1], [3, 0, 3]]},
    ]


def _one_for_each() -> list[dict[str, Any]]:
    rows = [[0.0, 4.0, 3.0, -2.0, 1.0, 2.5], [5.0, -3.0, 1.0, 2.0, 4.0, -1.0]]
    said = [[1, 3, 3], [4, 1, 1]]
    return [
        {"filter": "top_k", "logits": torch.tensor(rows), "value": 3},
        {"filter": "top_p", "logits": torch.tensor(rows), "value": 0.85},
        {"filter": "top_p", "logits": torch.tensor(rows), "value": 0.97},
        {"filter": "min_p", "logits": torch.tensor(rows), "value": 0.2},
        {"filter": "repetition_penalty", "logits": rows, "value": 1.5, "tokens": torch.tensor(said)},
    ]


def _drawn() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(2)
    rows = 2 * torch.randn(3, 7, generator=generator)
    said = torch.tensor([[0, 5, 0, 5], [6, 2, 2, 4], [1, 4, 4, 3]])
    return [
        *({"filter": "top_k", "logits": rows, "value": k} for k in (2, 3)),
        *({"filter": "top_p", "logits": rows, "value": p} for p in (0.5, 0.7, 0.9)),
        *({"filter": "min_p", "logits": rows, "value": p} for p in (0.05, 0.3)),
        {"filter": "repetition_penalty", "logits": rows, "value": 1.7, "tokens": said},
    ]


EXERCISE = Exercise(
    name="generation.expose_mutants",
    number="8.5",
    title="Kill the mutants: expose wrong filters",
    kind="mutants",
    answer_name="probes",
    minutes=15,
    difficulty=2,
    checks=(
        Check("is a list of probes that exposes something", 1, judge=_judge(_useful)),
        Check("exposes every wrong top-k", 1, judge=_exposes("top_k")),
        Check("exposes every wrong top-p", 2, judge=_exposes("top_p")),
        Check("exposes every wrong min-p", 1, judge=_exposes("min_p")),
        Check("exposes every wrong repetition penalty", 1, judge=_exposes("repetition_penalty")),
    ),
    hints=(
        "Sorted logits hide whatever has to do with sorting. One row hides whatever mixes rows up.",
        "Positive logits alone hide what happens to negative ones. Tokens that occur once hide how often is "
        "counted.",
        "Take two rows of five unsorted logits of both signs, whose likeliest tokens differ, and for each "
        "filter a value that keeps some tokens and rules out others.",
    ),
    alternatives=(
        Alternative("two rows for all", _two_rows),
        Alternative("one probe for each filter", _one_for_each),
        Alternative("drawn numbers", _drawn),
    ),
)
