"""A verdict: what the learner reads, what the gradebook stores, what `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "not_attempted", "grader_error"]
SCHEMA = 1
OPEN = "counts once this passes: "  # how the message of a check begins that waits for another one


@dataclass(frozen=True)
class CheckResult:
    name: str
    points: int
    passed: bool
    message: str = ""


@dataclass(frozen=True)
class Mistake:
    """A misconception, recognised in an answer."""

    id: str
    title: str
    advice: str


@dataclass(frozen=True)
class Counterexample:
    """A small call on which the answer is wrong, as text: inputs by name, expected beside got."""

    inputs: Mapping[str, str]
    expected: str
    got: str
    of: str = "the result"


@dataclass(frozen=True)
class Report:
    """The verdict on one exercise. `reason` says in one sentence why it is not passed."""

    exercise: str
    number: str
    title: str
    status: Status
    checks: tuple[CheckResult, ...] = ()
    max_points: int = 0
    misconception: Mistake | None = None
    counterexample: Counterexample | None = None
    hint: str | None = None
    reason: str | None = None
    line: int | None = None
    line_text: str = ""
    duration: float = 0.0
    seed: int = 0
    device: str = "cpu"
    isolation: str = "none"
    failure: str | None = None  # what kind of end stopped the answer: "timeout", "died", "forbidden", …
    notes: tuple[str, ...] = field(default=())
    variant: str = ""

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks if check.passed)

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "exercise": self.exercise,
            "number": self.number,
            "status": self.status,
            "points": self.points,
            "max_points": self.max_points,
            "checks": [{"name": c.name, "passed": c.passed, "message": c.message} for c in self.checks],
            "misconception": vars(self.misconception).copy() if self.misconception else None,
            "counterexample": (
                {**vars(self.counterexample), "inputs": dict(self.counterexample.inputs)}
                if self.counterexample
                else None
            ),
            "hint": self.hint,
            "reason": self.reason,
            "line": self.line,
            "duration": round(self.duration, 4),
            "seed": self.seed,
            "device": self.device,
            "isolation": self.isolation,
            **({"variant": self.variant} if self.variant else {}),
        }
