"""What the learner has done so far: one line of JSON per event, only ever appended.

It lives in `.autograder/progress.jsonl` of the nearest folder above the notebook that has an `.autograder`
folder (`make learn` lays one into `workbook/`), else in the home folder. `AUTOGRADER_PROGRESS` names another
file, or switches it `off`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder.exercise import Exercise
from autograder.report import Report

FILE = "progress.jsonl"


def progress_file(start: Path | None = None) -> Path | None:
    """Where progress is kept, or None if it is switched off."""
    named = os.environ.get("AUTOGRADER_PROGRESS")
    if named:
        return None if named == "off" else Path(named)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        for home in (folder / ".autograder", folder / "workbook" / ".autograder"):
            if home.is_dir():
                return home / FILE
    return Path.home() / ".from-tokens-to-gpt" / FILE


def record(event: str, exercise: str, **details: Any) -> str | None:
    """Append one event. Returns None, or a sentence that says why it could not be kept."""
    path = progress_file()
    if path is None:
        return None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "event": event, "exercise": exercise, **details}, default=str)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write of one whole line: two notebooks at once cannot tear each other's.
        with open(path, "ab") as file:
            file.write(line.encode() + b"\n")
    except OSError as error:
        return f"Your progress could not be saved ({error.strerror or error}): {path}"
    return None


def record_check(report: Report, answer: Any = None) -> str | None:
    details: dict[str, Any] = {
        "status": report.status,
        "points": report.points,
        "max_points": report.max_points,
    }
    if report.misconception:
        details["misconception"] = report.misconception.id
    if isinstance(answer, dict) and "confidence" in answer:
        details["prediction"] = {k: answer[k] for k in ("value", "confidence") if k in answer}
    return record("check", report.exercise, **details)


def events(path: Path | None = None) -> Iterator[dict[str, Any]]:
    """All events, oldest first; a damaged line is passed over."""
    path = path or progress_file()
    if path is None or not os.path.isfile(path):
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if _is_event(event):
                yield event


def _is_event(event: Any) -> bool:
    """Whether it is one of ours, and not what a crash or another program left in the file."""
    if not isinstance(event, dict) or not isinstance(event.get("exercise"), str):
        return False
    points, prediction = event.get("points", 0), event.get("prediction", {})
    return isinstance(points, int) and points >= 0 and isinstance(prediction, dict)


@dataclass(frozen=True)
class Standing:
    """Where the learner stands with one exercise. `status` is the best so far."""

    exercise: Exercise
    status: str
    points: int
    tries: int
    hints: int
    first_prediction: dict[str, Any] | None = None
    first_right: bool | None = None


def standings(exercises: Iterable[Exercise], path: Path | None = None) -> list[Standing]:
    log = list(events(path))
    return [_standing(exercise, [e for e in log if e["exercise"] == exercise.name]) for exercise in exercises]


def _standing(exercise: Exercise, log: list[dict[str, Any]]) -> Standing:
    checks = [e for e in log if e.get("event") == "check" and e.get("status") in ("passed", "failed")]
    points = max((int(e.get("points", 0)) for e in checks), default=0)
    passed = any(e["status"] == "passed" for e in checks)
    predicted = [e for e in checks if "prediction" in e]
    return Standing(
        exercise,
        status="passed" if passed else "tried" if checks else "open",
        points=min(points, exercise.points),
        tries=len(checks),
        hints=sum(e.get("event") == "hint" for e in log),
        first_prediction=predicted[0]["prediction"] if predicted else None,
        first_right=predicted[0]["status"] == "passed" if predicted else None,
    )
