"""Exercise 8.5: inputs that tell right filters of logits from wrong ones.

A probe names a filter and gives its arguments. It exposes a wrong filter of that name if the wrong one gives
other probabilities than the right one, raises an error, or changes the logits' shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise, Misconception
from autograder.exercises import reading
from autograder.exercises.exposing import Exposing
from autograder.exercises.generation.filters import MIN_P, REPETITION, TOP_K, TOP_P
from autograder.exercises.reading import Unusable
from autograder.judging import is_number
from llmlib import sampling

MOST_NUMBERS, LARGEST = 64, 50.0
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
        if mutant not in MUTANTS[self.filter]:
            return False
        try:
            wrong = self._answer(mutant.answer)
        except (ValueError, IndexError, RuntimeError):
            return True
        if wrong.shape != self.right.shape or not torch.equal(wrong.isinf(), self.right.isinf()):
            return True
        finite = self.right.isfinite()
        return not torch.allclose(wrong[finite], self.right[finite], rtol=EXPOSED, atol=EXPOSED)


_read_rows = partial(reading.rows, most=MOST_NUMBERS, axes="(batch, numbers)")


def _read(name: str, probe: Any) -> _Probe:
    given = reading.fields(name, probe, ("filter", "logits", "value"), ("tokens",))
    kind = given["filter"]
    if not isinstance(kind, str) or kind not in RIGHT:
        raise Unusable(f"the filter of {name} should be one of {', '.join(RIGHT)}")
    penalizes = kind == "repetition_penalty"
    if penalizes != ("tokens" in given):
        needs = "one row of tokens for each row of logits" if penalizes else f"{kind} knows nothing of them"
        raise Unusable(f"{name} has {'no' if penalizes else 'an unknown key'} 'tokens': {needs}")
    logits = _read_rows(f"the logits of {name}", given["logits"]).double()
    if logits.abs().max() > LARGEST or logits.isnan().any():
        raise Unusable(f"the logits of {name} should lie between {-LARGEST:g} and {LARGEST:g}")
    tokens = None
    if penalizes:
        tokens = _read_rows(f"the tokens of {name}", given["tokens"], whole=True)
        if len(tokens) != len(logits):
            raise Unusable(f"the tokens of {name} should stand in as many rows as the logits")
        if tokens.min() < 0 or tokens.max() >= logits.shape[1]:
            raise Unusable(f"the tokens of {name} should lie between 0 and {logits.shape[1] - 1}")
    return _Probe(kind, logits, _read_value(name, kind, given["value"]), tokens)


def _read_value(name: str, kind: str, value: Any) -> float:
    if not is_number(value):
        raise Unusable(f"the value of {name} should be a number: it is {reading.kind(value)}")
    if kind == "top_k":
        if not isinstance(value, int) or not 1 <= value <= MOST_NUMBERS:
            raise Unusable(f"the value of {name}, k, should be a whole number from 1 to {MOST_NUMBERS}")
        return value
    most = 10 if kind == "repetition_penalty" else 1
    if not 0.001 <= value <= most:
        raise Unusable(f"the value of {name} should lie between 0.001 and {most}")
    return float(value)


EXPOSING = Exposing(
    mutants=MUTANTS,
    read=_read,
    exposes=_Probe.exposes,
    most=12,
    made_of="plain lists and dicts",
    nothing="no wrong filter is exposed yet: on these probes they all answer like the right ones",
)


# --- Right answers


def _two_rows() -> list[dict[str, Any]]:
    rows = [[1.0, 3.0, -1.0, 2.0, 0.0], [2.0, -1.5, 0.5, -0.5, 1.5]]
    return [
        {"filter": "top_k", "logits": rows, "value": 2},
        {"filter": "top_k", "logits": [[1.0, 2.0, 2.0]], "value": 1},
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
        {"filter": "top_k", "logits": torch.tensor([*rows, [1.0, 1.0, 2.0, 3.0, 1.0, 0.0]]), "value": 3},
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
        {"filter": "top_k", "logits": torch.zeros(1, 4), "value": 3},
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
        EXPOSING.first("is a list of probes that exposes something"),
        EXPOSING.all_of("top_k", "exposes every wrong top-k"),
        EXPOSING.all_of("top_p", "exposes every wrong top-p", 2),
        EXPOSING.all_of("min_p", "exposes every wrong min-p"),
        EXPOSING.all_of("repetition_penalty", "exposes every wrong repetition penalty"),
    ),
    hints=(
        "Sorted logits hide whatever has to do with sorting. One row hides whatever mixes rows up.",
        "Positive logits alone hide what happens to negative ones. Tokens that occur once hide how often is "
        "counted. And where no two logits are equal, nobody sees what a filter does with equals.",
        "Take two rows of five unsorted logits of both signs, whose likeliest tokens differ, and for each "
        "filter a value that keeps some tokens and rules out others.",
    ),
    alternatives=(
        Alternative("two rows for all", _two_rows),
        Alternative("one probe for each filter", _one_for_each),
        Alternative("drawn numbers", _drawn),
    ),
)
