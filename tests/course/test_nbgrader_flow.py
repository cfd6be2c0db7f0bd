"""nbgrader's own commands on a small class: release, validate, autograde, feedback.

One submission is right, one half right and else empty; one comes back from another tool, without cell ids and
with a kernel of its own name; one is right but noisy on stderr, and carries copied cells, which by themselves
end nbgrader's whole batch. The marks are read from nbgrader's gradebook through its own API.
"""

from __future__ import annotations

import shutil

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader_class import ROOT, SLUG, WORDS, class_of

from autograder.exercises import all_exercises, find

AUTOMATIC = sum(e.points for e in all_exercises() if e.chapter == 3)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """The class, taken through nbgrader's commands."""
    students = ("right", "half", "foreign", "copied-and-noisy")
    marked = class_of(tmp_path_factory.mktemp("nbgrader"), students)
    marked.must_each(("generate_assignment", SLUG), ("autograde", SLUG), ("generate_feedback", SLUG))
    return marked


@pytest.fixture
def course(marked):
    return marked.root


@pytest.mark.parametrize(
    ("student", "points"),
    [
        ("right", AUTOMATIC),
        ("half", find("3.1").points + find("3.3").points),
        ("foreign", AUTOMATIC),
        ("copied-and-noisy", AUTOMATIC),
    ],
)
def test_the_gradebook_holds_the_honest_mark(course, student, points):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        submitted = gradebook.find_submission(SLUG, student)
        assert submitted.score == points


def test_the_answer_in_words_is_left_for_a_person(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_submission_notebook(SLUG, SLUG, "right")
        waiting = [grade.name for grade in notebook.grades if grade.needs_manual_grade]
        assert waiting == [WORDS]
        assert notebook.max_score > AUTOMATIC


def test_what_was_repaired_is_said_in_the_graded_notebook(course):
    graded = nbformat.read(course / "autograded" / "copied-and-noisy" / SLUG / f"{SLUG}.ipynb", 4)
    assert "attention-causal-mask was there 2 times" in graded.cells[0].source
    for student in ("right", "half"):
        graded = nbformat.read(course / "autograded" / student / SLUG / f"{SLUG}.ipynb", 4)
        assert not any("Repaired on receipt" in cell.source for cell in graded.cells)


def test_the_feedback_names_the_mistakes_and_shows_no_solution(course):
    page = (course / "feedback" / "half" / SLUG / f"{SLUG}.html").read_text()
    assert "passed" in page and "not attempted" in page
    assert "exponentials / exponentials.sum" not in page


def test_a_solved_chapter_validates(marked):
    shutil.copytree(ROOT / "solutions" / "00-tools", marked.root / "solutions" / "00-tools")  # the quickest
    ran = marked.nbgrader("validate", "solutions/00-tools/00-tools.ipynb")
    assert ran.returncode == 0 and "Success! Your notebook passes all the tests." in ran.stdout, ran.stdout
