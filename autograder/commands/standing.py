"""`autograder progress`: what the learner has done so far, and what comes next."""

from __future__ import annotations

import argparse
import json

from autograder import exercises as catalogue
from autograder import progress as log
from autograder.table import print_table
from autograder.usage import UsageError


def progress(options: argparse.Namespace) -> int:
    try:
        standings = log.standings(catalogue.all_exercises())
    except OSError as error:
        raise UsageError(f"cannot read your progress in {error.filename}: {error.strerror}") from None
    if options.json:
        keys = ("status", "points", "tries", "hints", "first_prediction")
        plain = [
            {"exercise": s.exercise.name, "number": s.exercise.number, "max_points": s.exercise.points}
            | {key: getattr(s, key) for key in keys}
            for s in standings
        ]
        print(json.dumps(plain, ensure_ascii=False))
        return 0
    marks = {"passed": "✓ passed", "tried": "… tried", "open": "○ open"}
    rows = [
        (
            s.exercise.number,
            s.exercise.title,
            marks[s.status],
            f"{s.points}/{s.exercise.points}",
            s.tries,
            s.hints,
        )
        for s in standings
    ]
    print_table("Your progress", ("number", "exercise", "state", "points", "tries", "hints"), rows)
    points, most = sum(s.points for s in standings), sum(s.exercise.points for s in standings)
    print(f"{points} of {most} points.", end=" ")
    upcoming = next((s for s in standings if s.status != "passed"), None)
    print(f"Next: {upcoming.exercise.number}, {upcoming.exercise.title}." if upcoming else "All done.")
    for s in standings:
        if s.first_prediction:
            verb = "right" if s.first_right else "not right"
            confidence = s.first_prediction.get("confidence")
            print(f"Prediction {s.exercise.number}: your first was {verb}; you gave it {confidence}.")
    return 0
