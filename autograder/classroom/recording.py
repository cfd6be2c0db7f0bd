"""Put a verdict where nbgrader looks: a notebook in `autograded/`, and the gradebook through its own API.

The notebook is the rebuilt one. Its check cells show the verdict; what the learner's other cells had shown
stays, or what they showed when the grader executed them, cleaned of everything that a browser could run and
marked as what it is. The points are entered by nbgrader's own rules, so that comments, late submissions and
whatever penalty the course has configured work as they always do.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import AssignLatePenalties

from autograder import panel
from autograder.classroom.configured import configured
from autograder.classroom.entering import enter_chapter
from autograder.classroom.gradebook import REFUSALS, GradebookError, in_words
from autograder.classroom.grader import Verdict
from autograder.classroom.submissions import Unreadable, read_bytes
from autograder.exercises import find
from autograder.files import write_atomically
from autograder.merging import Cell, grade_id, is_answer
from autograder.report import CheckResult, Mistake, Report

MOST_OUTPUT = 10_000  # characters of one output that are kept
MOST_PICTURE = 2 << 20
TIMESTAMP = "timestamp.txt"
SUBMITTED = "as-submitted"  # the tag of a cell whose outputs nobody has verified
EXECUTED = "as-executed"  # the tag of a cell whose outputs `grade --execute` made


class Book:
    """The course's gradebook and its folder `autograded/`. `root`: where `nbgrader_config.py` lies.

    notes: what an instructor should know of what was recorded.

    Raises:
        UsageError: `nbgrader_config.py` cannot be run, or says what nbgrader does not understand.
    """

    def __init__(self, root: Path, chapter: str, release: Path):
        self.chapter, self.release = chapter, release
        self.notes: list[str] = []
        self.config, self.course = configured(root)
        self._prepared = False
        self._gradebook: Gradebook | None = None

    def record(self, verdict: Verdict, submitted: Path | None = None) -> None:
        """
        Raises:
            GradebookError: it could not be written. The verdict is in the journal, and is recorded later.
        """
        with in_words():
            self._record(verdict, submitted)

    def holds(self) -> set[str]:
        """Whose submissions the gradebook has, with their notebook in `autograded/`.

        Somebody may have put an older gradebook back, or have deleted it, a student or the folder.

        Raises:
            GradebookError: it cannot be read.
        """
        with in_words():
            self._prepare()
            try:
                found = {s.student_id for s in self._open().assignment_submissions(self.chapter)}
            except MissingEntry:
                return set()
            finally:
                self.close()
        return {student for student in found if self._path(student).is_file()}

    def _path(self, student: str) -> Path:
        folder = self.course.format_path(self.course.autograded_directory, student, self.chapter)
        return Path(folder) / f"{self.chapter}.ipynb"

    def _record(self, verdict: Verdict, submitted: Path | None) -> None:
        self._prepare()
        notebook = self._notebook(verdict)
        self._enter(verdict, notebook, submitted)
        write_atomically(self._path(verdict.student), json.dumps(notebook).encode())

    def _prepare(self) -> None:
        if not self._prepared:
            course = self.course
            enter_chapter(self.chapter, self.release, course.db_url, course.course_id, self.config)
            self._prepared = True

    def _about(self, student: str) -> dict[str, Any]:
        about = {"notebook": self.chapter, "assignment": self.chapter, "student": student}
        return {"nbgrader": {**about, "db_url": self.course.db_url}}

    def _enter(self, verdict: Verdict, notebook: nbformat.NotebookNode, submitted: Path | None) -> None:
        handed_in = None if submitted is None else self._handed_in(verdict.student, submitted / TIMESTAMP)
        when = {"timestamp": handed_in} if handed_in else {}
        gradebook = self._open()
        try:
            gradebook.update_or_create_student(verdict.student)
            submission = gradebook.update_or_create_submission(self.chapter, verdict.student, **when)
            self._mark(gradebook, verdict, notebook)
            late = submission.total_seconds_late > 0 or submission.late_submission_penalty
            gradebook.db.commit()
        except REFUSALS:
            self.close()
            raise
        if late:
            self._assign_late_penalty(verdict.student, notebook)
            gradebook.db.expire_all()

    def _handed_in(self, student: str, path: Path) -> datetime | None:
        """When, if the file says so. A file that says nothing costs a note, and not the class its marks."""
        if not os.path.lexists(path):
            return None
        try:
            text = read_bytes(path).decode().strip()
            return utils.parse_utc(text) if text else None
        except Unreadable as problem:
            why = str(problem)
        except (ValueError, TypeError, AttributeError, ArithmeticError):  # dateutil's
            why = f"{path.name} says no time such as 2030-01-31 10:00:00 UTC"
        self.notes.append(
            f"{student}: recorded without the time of handing in: {why}. Mend {path} and grade with --again"
        )
        return None

    def _assign_late_penalty(self, student: str, notebook: nbformat.NotebookNode) -> None:
        """By the plugin that the course has configured, which is a program of the instructor's."""
        try:
            AssignLatePenalties(config=self.config).preprocess(notebook, self._about(student))
        except REFUSALS:
            raise
        except Exception as error:
            raise GradebookError(
                f"the course's rule for late submissions failed: {type(error).__name__}: {str(error)[:200]}"
            ) from None

    def _mark(self, gradebook: Gradebook, verdict: Verdict, notebook: nbformat.NotebookNode) -> None:
        """What nbgrader's SaveAutoGrades enters, in one transaction: it makes one for every cell."""
        row = gradebook.find_submission_notebook(self.chapter, self.chapter, verdict.student)
        grades = {grade.name: grade for grade in row.grades}
        comments = {comment.name: comment for comment in row.comments}
        faults = {f"{find(name).grade_id}-check" for name in verdict.faults}
        for cell in notebook.cells:
            name = grade_id(cell)
            if name in grades:
                # A fault of the grader is never a zero, and never full marks: a person decides.
                score = None if name in faults else utils.determine_grade(cell)[0]
                grades[name].auto_score = score
                grades[name].needs_manual_grade = score is None or grades[name].manual_score is not None
            if name in comments:
                untouched = cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
                comments[name].auto_comment = "No response." if untouched else None

    def _open(self) -> Gradebook:
        if self._gradebook is None:
            self._gradebook = Gradebook(self.course.db_url, self.course.course_id)
        return self._gradebook

    def close(self) -> None:
        """Let go of the gradebook; what was recorded is in it."""
        gradebook, self._gradebook = self._gradebook, None
        if gradebook is not None:
            gradebook.close()

    def _notebook(self, verdict: Verdict) -> nbformat.NotebookNode:
        release = json.loads(self.release.read_text("utf-8"))
        given = [{**cell, "source": "".join(cell["source"])} for cell in release["cells"]]
        reports = {f"{find(r['exercise']).grade_id}-check": r for r in verdict.exercises}
        cells = []
        for cell in verdict.cells or given:
            report = reports.get(grade_id(cell) or "")
            cells.append(checked(cell, report) if report else cleaned(cell))
        notes = "\n".join(f"- {_words(note)}" for note in verdict.notes)
        if notes:
            text = f"**On receipt: {verdict.outcome.replace('_', ' ')}.**\n\n{notes}"
            cells.insert(0, {"cell_type": "markdown", "id": "on-receipt", "metadata": {}, "source": text})
        whole = {**release, "cells": cells}
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


def cleaned(cell: Cell) -> Cell:
    """A cell of the learner's that no browser can be made to run."""
    made: Cell = {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": {}, "source": cell["source"]}
    about = cell.get("metadata", {}).get("nbgrader")
    learners = about is None or is_answer(cell)
    if about is not None:
        made["metadata"]["nbgrader"] = about
    if cell["cell_type"] == "markdown" and learners and cell["id"].startswith("learner-") | is_answer(cell):
        made["source"] = _words(cell["source"])
    if cell["cell_type"] == "code":
        made["execution_count"] = None
        made["outputs"] = [o for o in map(_output, cell.get("outputs") or []) if o]
        if made["outputs"]:
            made["metadata"]["tags"] = [EXECUTED if cell.get("executed") else SUBMITTED]
    return made


def _words(text: str) -> str:
    """Markdown in which nothing is a tag and no link runs anything."""
    return escape(text, quote=False).replace("javascript:", "javascript ").replace("data:", "data ")


def _output(output: dict[str, Any]) -> dict[str, Any] | None:
    """Plain text and pictures made of pixels; everything else could be a script."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": _short(output.get("text"))}
    if kind == "error":
        return {
            "output_type": "error",
            "ename": _short(output.get("ename"))[:100],
            "evalue": _short(output.get("evalue"))[:1000],
            "traceback": [],
        }
    if kind not in ("display_data", "execute_result"):
        return None
    data = output.get("data")
    kept = _data(data) if isinstance(data, dict) else {}
    if not kept:
        return None
    return {"output_type": "display_data", "data": kept, "metadata": {}}


def _data(data: dict[str, Any]) -> dict[str, str]:
    kept = {"text/plain": _short(data["text/plain"])} if "text/plain" in data else {}
    for kind in ("image/png", "image/jpeg"):
        picture = _text(data.get(kind))
        if 0 < len(picture) <= MOST_PICTURE:
            try:
                kept[kind] = base64.b64encode(base64.b64decode(picture, validate=False)).decode()
            except (binascii.Error, ValueError):
                continue
    return kept


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "".join(value)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= MOST_OUTPUT else f"{text[:MOST_OUTPUT]}\n[{len(text):,} characters in all]"
