"""The graded notebook, as it goes back to the student.

It is the rebuilt one. Its check cells show the verdict, without what the class's hidden inputs were; what the
learner's other cells had shown stays, or what they showed when the grader executed them, cleaned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat

from autograder import panel
from autograder.classroom.cleaning import cleaned, harmless
from autograder.classroom.grader import Verdict
from autograder.exercises import find
from autograder.merging import Cell, grade_id
from autograder.report import CheckResult, Mistake, Report


def notebook_of(verdict: Verdict, release: Path) -> nbformat.NotebookNode:
    """The notebook that nbgrader keeps of the verdict. `release`: the chapter as it was given out."""
    released = json.loads(release.read_text("utf-8"))
    given = [{**cell, "source": "".join(cell["source"])} for cell in released["cells"]]
    reports = {f"{find(r['exercise']).grade_id}-check": r for r in verdict.exercises}
    cells = []
    for cell in verdict.cells or given:
        report = reports.get(grade_id(cell) or "")
        cells.append(checked(cell, report) if report else cleaned(cell))
    notes = "\n".join(f"- {harmless(note)}" for note in verdict.notes)
    if notes:
        text = f"**On receipt: {verdict.outcome.replace('_', ' ')}.**\n\n{notes}"
        cells.insert(0, {"cell_type": "markdown", "id": "on-receipt", "metadata": {}, "source": text})
    whole = {**released, "cells": cells}
    return nbformat.from_dict(whole)


def checked(cell: Cell, report: dict[str, Any]) -> Cell:
    """A check cell with its verdict as its output. Its points are where nbgrader reads them."""
    shown = public(report)
    outputs: list[dict[str, Any]] = [
        {
            "output_type": "display_data",
            "data": {"text/html": panel.as_html(shown), "text/plain": panel.as_text(shown)},
            "metadata": {},
        }
    ]
    if report["status"] != "grader_error":
        points = panel.Points(report["points"], report["max_points"])
        data = {"text/html": points.in_words(), "text/plain": str(points)}
        outputs.append(
            {"output_type": "execute_result", "execution_count": None, "data": data, "metadata": {}}
        )
    made = {key: cell[key] for key in ("cell_type", "id", "metadata", "source")}
    return {**made, "outputs": outputs, "execution_count": None}


def public(report: dict[str, Any]) -> Report:
    """The report as a student may read it after grading: no probe of the class's, no expected value."""
    exercise = find(report["exercise"], report.get("variant"))
    mistake = report["misconception"]
    named = {check.name: check.points for check in exercise.checks}
    return Report(
        exercise.name,
        exercise.number,
        exercise.title,
        report["status"],
        tuple(
            CheckResult(c["name"], named[c["name"]], c["passed"], without_values(c["message"]))
            for c in report["checks"]
        ),
        exercise.points,
        misconception=Mistake(**mistake) if mistake else None,
        reason=without_values(report["reason"] or "") or None,
        line=report["line"],
    )


def without_values(message: str) -> str:
    """A check's message without the value that a hidden input should have given."""
    before, expected, after = message.partition(": expected ")
    return before if expected and " shape " not in after else message
