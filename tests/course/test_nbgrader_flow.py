"""nbgrader's own commands on a small class: release, validate, autograde, feedback.

One submission is right, one half right, one empty, one right but noisy on stderr; one comes back from another
tool, without cell ids and with a kernel of its own name; one carries copied cells, which by themselves end
nbgrader's whole batch. The marks are read from nbgrader's gradebook through its own API.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.exercises import all_exercises, find

ROOT = Path(__file__).resolve().parents[2]
SLUG = "03-attention"
WORDS = "attention-why-divide"
AUTOMATIC = sum(e.points for e in all_exercises() if e.chapter == 3)


STUDENTS = ("right", "half", "empty", "noisy", "foreign", "copied")


def answers(notebook):
    """The answer cells, by grade id."""
    return {
        cell.metadata.nbgrader.grade_id: cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "code"
    }


def submission(student: str) -> nbformat.NotebookNode:
    released = nbformat.read(ROOT / "chapters" / SLUG / f"{SLUG}.ipynb", 4)
    solved = answers(nbformat.read(ROOT / "solutions" / SLUG / f"{SLUG}.ipynb", 4))
    half = {find("3.1").grade_id, find("3.3").grade_id}
    for grade_id, cell in answers(released).items():
        if student in ("right", "noisy", "foreign", "copied") or (student == "half" and grade_id in half):
            cell.source = solved[grade_id].source
    if student == "right":
        words = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade_id") == WORDS)
        words.source = "Without the division softmax saturates, and the gradient dies."
    if student == "noisy":
        cell = answers(released)[find("3.3").grade_id]
        cell.source += "\n\nimport sys, warnings\nwarnings.warn('careful')\nprint('note', file=sys.stderr)"
    if student == "foreign":  # as Colab and old tools save it
        for cell in released.cells:
            del cell["id"]
        released.nbformat_minor = 4
        kernel = {"name": "my-own-kernel", "display_name": "Mine", "language": "python"}
        released.metadata["kernelspec"] = kernel
    if student == "copied":
        kept = answers(released)[find("3.3").grade_id]
        place = released.cells.index(kept)
        earlier_try = {**kept, "id": "a-try", "source": kept.source.replace("return", "return 1 #")}
        check = released.cells[place + 1]
        copies = [nbformat.from_dict(earlier_try), nbformat.from_dict({**check, "id": "a-check"})]
        released.cells[place:place] = copies
    return released


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the course with six submissions, taken through nbgrader's commands."""
    root = tmp_path_factory.mktemp("nbgrader")
    for folder in ("solutions", "chapters"):
        shutil.copytree(ROOT / folder, root / folder)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    for student in STUDENTS:
        folder = root / "submitted" / student / SLUG
        folder.mkdir(parents=True)
        nbformat.write(submission(student), folder / f"{SLUG}.ipynb")
    environment = {**os.environ, "AUTOGRADER_PROGRESS": "off", "OMP_NUM_THREADS": "1", "LLMLIB_DEVICE": "cpu"}

    def nbgrader(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=root, capture_output=True, text=True, env=environment, timeout=500, check=False,
        )  # fmt: skip

    for command in ("generate_assignment", "autograde", "generate_feedback"):
        ran = nbgrader(command, SLUG)
        assert ran.returncode == 0, f"{command}: {ran.stderr[-3000:]}"
    return root


@pytest.mark.parametrize(
    ("student", "points"),
    [
        ("right", AUTOMATIC),
        ("half", find("3.1").points + find("3.3").points),
        ("empty", 0),
        ("noisy", AUTOMATIC),
        ("foreign", AUTOMATIC),
        ("copied", AUTOMATIC),
    ],
)
def test_the_gradebook_holds_the_honest_mark(course, student, points):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        marked = gradebook.find_submission(SLUG, student)
        assert marked.score == points


def test_the_answer_in_words_is_left_for_a_person(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_submission_notebook(SLUG, SLUG, "right")
        waiting = [grade.name for grade in notebook.grades if grade.needs_manual_grade]
        assert waiting == [WORDS]
        assert notebook.max_score > AUTOMATIC


def test_what_was_repaired_is_said_in_the_graded_notebook(course):
    graded = nbformat.read(course / "autograded" / "copied" / SLUG / f"{SLUG}.ipynb", 4)
    assert "attention-causal-mask was there 2 times" in graded.cells[0].source
    for student in ("right", "empty", "noisy"):
        graded = nbformat.read(course / "autograded" / student / SLUG / f"{SLUG}.ipynb", 4)
        assert not any("Repaired on receipt" in cell.source for cell in graded.cells)


def test_the_feedback_names_the_mistakes_and_shows_no_solution(course):
    page = (course / "feedback" / "half" / SLUG / f"{SLUG}.html").read_text()
    assert "passed" in page and "not attempted" in page
    assert "exponentials / exponentials.sum" not in page


def test_a_solved_chapter_validates(course):
    ran = subprocess.run(
        [sys.executable, "-m", "nbgrader", "validate", f"solutions/{SLUG}/{SLUG}.ipynb"],
        cwd=course, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "AUTOGRADER_PROGRESS": "off", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0 and "Success! Your notebook passes all the tests." in ran.stdout, ran.stdout
