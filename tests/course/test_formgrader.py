"""From release to exported marks: nbgrader's commands, our grading, and its formgrader in Chromium.

A chapter is released, fetched, handed in and collected by nbgrader; `autograder grade` grades it; a person
marks the answer in words in the formgrader; `autograder feedback` and `autograder export` hold that mark.
Beside it, JupyterLab as the instructor sees it: Validate, the assignment list.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from machine import free_port
from nbgrader.api import Gradebook
from nbgrader_class import ENVIRONMENT, SLUG, WORDS, class_of, submission

from autograder.cli import main
from autograder.exercises import find_chapter

pytestmark = pytest.mark.browser
TOKEN = "only-for-this-test"
STUDENT = "ada"
AUTOMATIC = sum(exercise.points for exercise in find_chapter(3).exercises)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    one = class_of(tmp_path_factory.mktemp("formgrader"), ())
    home = one.root / "home of a student"
    home.mkdir()
    mine = [f"--Exchange.root={one.root / 'exchange'}", f"--Exchange.cache={home / 'cache'}"]
    mine += ["--course=from-tokens-to-gpt"]
    one.must_each(
        ("generate_assignment", SLUG), ("release_assignment", SLUG), (home, "fetch_assignment", SLUG, *mine)
    )
    notebook = home / SLUG / f"{SLUG}.ipynb"
    assert notebook.read_bytes() == (one.root / "chapters" / SLUG / f"{SLUG}.ipynb").read_bytes()
    nbformat.write(submission("right"), notebook)
    one.must_each((home, "submit", SLUG, *mine, f"--student={STUDENT}"), ("collect", SLUG))
    assert main(["grade", SLUG, "--course", str(one.root)]) == 0
    return one


@pytest.fixture(scope="module")
def lab(course):
    """The address of a JupyterLab whose root is the course."""
    port = free_port()
    settings = {"port": port, "ServerApp.port_retries": 0, "IdentityProvider.token": TOKEN}
    flags = [f"--{key}={value}" for key, value in settings.items()]
    log = course.root / "lab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", *flags],
            cwd=course.root, stdout=output, stderr=output, env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=300)
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # on a busy machine it takes its time
            server.wait(30)
        server.kill()
        server.wait()


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(300_000)
    yield page
    page.close()


def _is_kept(kind):
    return lambda r: f"/api/{kind}/" in r.url and r.request.method == "PUT"


def test_a_mark_given_by_hand_reaches_the_student_and_the_table(page, lab, course, tmp_path):
    page.goto(f"{lab}/formgrader?token={TOKEN}")
    page.get_by_text("Manage Assignments").first.wait_for()
    page.goto(f"{lab}/formgrader/gradebook/{SLUG}/{SLUG}")
    page.get_by_text("Submission #1").click()
    answer = page.locator(".nbgrader_cell", has_text="the gradient dies").last
    for field in ("input.extra-credit", "textarea.comment"):  # it has a hint in it when the page listens
        answer.locator(f"{field}[placeholder]").wait_for()
    for field, kind, text in (
        ("input.score", "grade", "2.5"),
        ("textarea.comment", "comment", "Say how large the scores get."),
    ):
        answer.locator(field).fill(text)
        with page.expect_response(_is_kept(kind)) as kept:  # each is a request of its own
            answer.locator(field).blur()
        assert kept.value.ok

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_submission_notebook(SLUG, SLUG, STUDENT)
        (grade,) = [g for g in notebook.grades if g.name == WORDS]
        assert (grade.manual_score, grade.needs_manual_grade) == (2.5, False)
    where = ["--course", str(course.root)]
    assert main(["feedback", SLUG, *where]) == 0
    feedback = (course.root / "feedback" / STUDENT / SLUG / f"{SLUG}.html").read_text("utf-8")
    assert "Say how large the scores get." in feedback and "2.5 of 3 points" in feedback
    assert main(["export", SLUG, "--output", str(tmp_path / "marks.csv"), *where]) == 0
    (row,) = csv.DictReader((tmp_path / "marks.csv").open())
    assert row["student"] == STUDENT and float(row["score"]) == AUTOMATIC + 2.5
    assert not row["waiting_for_a_person"]


def test_nbgrader_s_own_feedback_and_export_hold_it_too(course):
    """After the mark above; the feedback is nbgrader's page of the notebook that we graded."""
    course.must_each(("generate_feedback", SLUG, "--force"), ("export",))
    feedback = (course.root / "feedback" / STUDENT / SLUG / f"{SLUG}.html").read_text("utf-8")
    assert "Say how large the scores get." in feedback
    assert re.search(r"2\.5\s*/\s*3", feedback)
    (row,) = csv.DictReader((course.root / "grades.csv").open())
    assert row["student_id"] == STUDENT and float(row["score"]) == AUTOMATIC + 2.5


@pytest.mark.long
def test_a_notebook_has_the_validate_button_and_nbgrader_its_menu(page, lab):
    page.goto(f"{lab}/lab/tree/chapters/{SLUG}/{SLUG}.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel")
    page.get_by_text("Validate", exact=True).wait_for()
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.wait_for_timeout(500)
    entries = page.locator(".lm-Menu-itemLabel").all_inner_texts()
    assert {"Assignment List", "Formgrader"} <= set(entries)


@pytest.mark.long
def test_the_assignment_list_offers_what_was_released(page, lab):
    page.goto(f"{lab}/lab?token={TOKEN}")
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_text("Assignment List", exact=True).click()
    released = page.locator("#nbgrader-assignment-list, .nbgrader-assignment-list, .assignments").first
    released.get_by_text(SLUG, exact=True).first.wait_for()
