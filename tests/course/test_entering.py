"""A chapter is in the gradebook whole, whenever a run that entered it was killed."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pytest
from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader_class import ROOT, SLUG
from traitlets.config import Config

from autograder.classroom.entering import enter_chapter
from autograder.exercises import find_chapter

RELEASE = ROOT / "chapters" / SLUG / f"{SLUG}.ipynb"


class Killed(BaseException):
    pass


@pytest.fixture
def db_url(tmp_path):
    return f"sqlite:///{tmp_path / 'gradebook.db'}"


def enter(db_url):
    enter_chapter(SLUG, RELEASE, db_url, "default_course", Config())


def entered(db_url):
    with Gradebook(db_url) as gradebook:
        notebook = gradebook.find_notebook(SLUG, SLUG)
        kinds = ("grade_cells", "solution_cells", "source_cells")
        points = gradebook.find_assignment(SLUG).max_score
        return {kind: Counter(cell.name for cell in getattr(notebook, kind)) for kind in kinds}, points


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('whole') / 'gradebook.db'}"
    enter(url)
    return entered(url)


def kill_at(monkeypatch, name, place):
    """The method's call number `place`, counted from 0, ends the run before anything is written."""
    method, calls = getattr(Gradebook, name), []

    def call(self, *positional, **named):
        calls.append(name)
        if len(calls) > place:
            raise Killed
        return method(self, *positional, **named)

    monkeypatch.setattr(Gradebook, name, call)


def killed_at(monkeypatch, db_url, name, place):
    with monkeypatch.context() as patched:
        kill_at(patched, name, place)
        with pytest.raises(Killed):
            enter(db_url)


def test_all_of_the_chapter_is_entered_once(whole):
    cells, points = whole
    exercises = [exercise for exercise in find_chapter(3).exercises]
    assert {f"{exercise.grade_id}-check" for exercise in exercises} <= set(cells["grade_cells"])
    assert set(cells["grade_cells"]) | set(cells["solution_cells"]) <= set(cells["source_cells"])
    assert {most for names in cells.values() for most in names.values()} == {1}
    assert points >= sum(exercise.points for exercise in exercises)


def test_to_enter_it_again_changes_nothing(db_url, whole):
    enter(db_url)
    enter(db_url)
    assert entered(db_url) == whole


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("check_course", 0),
        ("update_or_create_assignment", 0),
        ("add_notebook", 0),
        ("update_or_create_grade_cell", 0),
        ("update_or_create_grade_cell", 1),
        ("update_or_create_solution_cell", 2),
        ("update_or_create_source_cell", 0),
        ("update_or_create_source_cell", 5),
    ],
)
def test_what_a_killed_run_left_is_completed(db_url, monkeypatch, whole, method, place):
    killed_at(monkeypatch, db_url, method, place)
    enter(db_url)
    assert entered(db_url) == whole


def test_a_killed_repair_is_completed_too(db_url, monkeypatch, whole):
    killed_at(monkeypatch, db_url, "update_or_create_solution_cell", 2)
    killed_at(monkeypatch, db_url, "add_notebook", 0)
    killed_at(monkeypatch, db_url, "update_or_create_source_cell", 3)
    enter(db_url)
    assert entered(db_url) == whole


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's own use of it
@pytest.mark.parametrize("again", [None, "update_or_create_grade_cell", "update_or_create_source_cell"])
def test_a_submission_of_a_chapter_that_lacked_exercises_gets_their_places(db_url, monkeypatch, whole, again):
    killed_at(monkeypatch, db_url, "update_or_create_grade_cell", 1)
    with Gradebook(db_url) as gradebook:
        gradebook.add_student("early")
        gradebook.add_submission(SLUG, "early")
        (grade,) = gradebook.find_submission_notebook(SLUG, SLUG, "early").grades
        grade.auto_score, grade.extra_credit, name = 5.0, 0.5, grade.name
        gradebook.db.commit()
    if again is not None:
        killed_at(monkeypatch, db_url, again, 2)
    enter(db_url)
    assert entered(db_url) == whole
    with Gradebook(db_url) as gradebook:
        gradebook.add_student("late")
        gradebook.add_submission(SLUG, "late")
        early, late = (
            gradebook.find_submission_notebook(SLUG, SLUG, student) for student in ("early", "late")
        )
        assert Counter(g.name for g in early.grades) == Counter(g.name for g in late.grades)
        assert Counter(c.name for c in early.comments) == Counter(c.name for c in late.comments)
        assert early.score == 5.5, "what stood there stays"
        kept = gradebook.find_grade(name, SLUG, SLUG, "early")
        assert (kept.auto_score, kept.extra_credit) == (5.0, 0.5)


@pytest.mark.parametrize("statement", ["drop table alembic_version", "delete from alembic_version"])
def test_the_version_of_the_schema_is_entered_where_a_killed_run_left_it_out(
    db_url, tmp_path, monkeypatch, statement
):
    # nbgrader asks the command `alembic`, which lies beside Python.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    enter(db_url)
    version = api.get_alembic_version()
    for _ in range(2):
        with sqlite3.connect(tmp_path / "gradebook.db") as connection:
            found = connection.execute("select version_num from alembic_version").fetchall()
            assert found == [(version,)]
            connection.execute(statement)
        connection.close()
        enter(db_url)
