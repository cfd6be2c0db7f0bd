"""Put a chapter into nbgrader's gradebook, as `nbgrader generate_assignment` does, and see that it is whole.

nbgrader commits each cell of a chapter by itself. A run that is killed in between leaves a chapter that is
there and lacks exercises, whose points would never be counted. So the gradebook is compared with the notebook
that was handed out, and what is missing is added.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from alembic.script import ScriptDirectory
from nbgrader import api, utils
from nbgrader.api import Comment, Grade, Gradebook, MissingEntry
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.preprocessors import SaveCells
from sqlalchemy import text
from traitlets.config import Config

from autograder.merging import grade_id


def enter_chapter(chapter: str, release: Path, db_url: str, course_id: str, config: Config) -> None:
    """The chapter is in the gradebook, with every cell of its notebook that nbgrader knows by name.

    Raises:
        OSError, SQLAlchemyError, InvalidEntry: the notebook cannot be read, or the gradebook not be written.
    """
    notebook = nbformat.read(release, as_version=4)
    wanted = {grade_id(cell) for cell in notebook.cells if _is_entered(cell)}
    with _known_schema(), Gradebook(db_url, course_id) as gradebook:
        _stamp(gradebook)
        try:
            # These are entered after the graded ones: where they are all there, so are the others.
            entered = {cell.name for cell in gradebook.find_notebook(chapter, chapter).source_cells}
        except MissingEntry:
            gradebook.update_or_create_assignment(chapter)
            entered = set()
    if not wanted <= entered:
        about = {"notebook": chapter, "assignment": chapter, "student": ".", "db_url": db_url}
        _EnterCells(config=config).preprocess(notebook, {"nbgrader": about})


def _is_entered(cell: nbformat.NotebookNode) -> bool:
    return any(kind(cell) for kind in (utils.is_grade, utils.is_solution, utils.is_locked, utils.is_task))


class _EnterCells(SaveCells):
    """nbgrader's own step, which also completes a chapter that somebody has handed in: theirs refuses to."""

    def _create_notebook(self, nb: nbformat.NotebookNode) -> None:
        try:
            notebook = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        except MissingEntry:
            notebook = None
        if notebook is None or not notebook.submissions:
            super()._create_notebook(nb)
            return
        where, book = (self.notebook_id, self.assignment_id), self.gradebook
        for name, about in self.new_grade_cells.items():
            book.update_or_create_grade_cell(name, *where, **about)
        for name, about in self.new_solution_cells.items():
            book.update_or_create_solution_cell(name, *where, **about)
        for name, about in self.new_task_cells.items():
            book.update_or_create_task_cell(name, *where, **about)
        for submission in notebook.submissions:
            marked = [*notebook.grade_cells, *notebook.task_cells]
            self._add_rows(submission, marked, submission.grades, Grade)
            commented = [*notebook.solution_cells, *notebook.task_cells]
            self._add_rows(submission, commented, submission.comments, Comment)
        book.db.commit()
        for name, about in self.new_source_cells.items():
            book.update_or_create_source_cell(name, *where, **about)

    def _add_rows(self, submission: Any, cells: list[Any], rows: list[Any], kind: type) -> None:
        """A place for a mark, or a comment, on every cell that has none in this submission."""
        held = {row.cell_id for row in rows}
        self.gradebook.db.add_all(
            kind(cell_id=cell.id, notebook=submission) for cell in cells if cell.id not in held
        )


def _stamp(gradebook: Gradebook) -> None:
    """The schema's version stands in it, by which `nbgrader db upgrade` knows what to do.

    nbgrader writes it after the tables, and a run that was killed in between has not.
    """
    with gradebook.engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
        )
        if not connection.execute(text("SELECT count(*) FROM alembic_version")).scalar():
            connection.execute(
                text("INSERT INTO alembic_version (version_num) VALUES (:version)"),
                {"version": _newest_schema()},
            )


def _newest_schema() -> str:
    return str(ScriptDirectory(ALEMBIC_DIR).get_current_head())


@contextmanager
def _known_schema() -> Iterator[None]:
    """For a new gradebook nbgrader asks the command `alembic` for its schema's version: two seconds.

    The answer is a name of one of its files, and here it is read from there.
    """
    theirs = api.get_alembic_version
    api.get_alembic_version = _newest_schema
    try:
        yield
    finally:
        api.get_alembic_version = theirs
