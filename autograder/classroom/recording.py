"""Put a verdict where nbgrader looks: a notebook in `autograded/`, and the gradebook through its own API.

The points are entered by nbgrader's own rules, so that comments, late submissions and whatever penalty the
course has configured work as they always do.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import AssignLatePenalties

from autograder.classroom.configured import configured
from autograder.classroom.entering import enter_chapter
from autograder.classroom.gradebook import REFUSALS, GradebookError, in_words
from autograder.classroom.grader import Verdict
from autograder.classroom.returning import notebook_of
from autograder.exercises import find
from autograder.files import write_atomically
from autograder.merging import grade_id


class Book:
    """The course's gradebook and its folder `autograded/`. `root`: where `nbgrader_config.py` lies.

    Raises:
        UsageError: `nbgrader_config.py` cannot be run, or says what nbgrader does not understand.
    """

    def __init__(self, root: Path, chapter: str, release: Path):
        self.chapter, self.release = chapter, release
        self.config, self.course = configured(root)
        self._prepared = False
        self._gradebook: Gradebook | None = None

    def record(self, verdict: Verdict, handed_in: datetime | None = None, untimed: bool = False) -> None:
        """
        handed_in: when; if nobody knows, a time that is in the gradebook stays there.
        untimed:   unless this says that it goes.

        Raises:
            GradebookError: it could not be written. The verdict is in the journal, and is recorded later.
        """
        when = {"timestamp": handed_in} if handed_in or untimed else {}
        with in_words():
            self._record(verdict, when)

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

    def _record(self, verdict: Verdict, when: dict[str, datetime | None]) -> None:
        self._prepare()
        notebook = notebook_of(verdict, self.release)
        self._enter(verdict, notebook, when)
        write_atomically(self._path(verdict.student), json.dumps(notebook).encode())

    def _prepare(self) -> None:
        if not self._prepared:
            course = self.course
            enter_chapter(self.chapter, self.release, course.db_url, course.course_id, self.config)
            self._prepared = True

    def _about(self, student: str) -> dict[str, Any]:
        about = {"notebook": self.chapter, "assignment": self.chapter, "student": student}
        return {"nbgrader": {**about, "db_url": self.course.db_url}}

    def _enter(
        self, verdict: Verdict, notebook: nbformat.NotebookNode, when: dict[str, datetime | None]
    ) -> None:
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
