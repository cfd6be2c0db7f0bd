"""JupyterLab as the instructor sees it: Validate, the assignment list, the formgrader, a mark by hand."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from nbgrader.api import Gradebook
from nbgrader_class import ENVIRONMENT, SLUG, WORDS, class_of

pytestmark = [pytest.mark.browser, pytest.mark.long]
TOKEN = "only-for-this-test"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    one = class_of(tmp_path_factory.mktemp("formgrader"), ("right",))
    one.must("generate_assignment", SLUG)
    one.must("release_assignment", SLUG)
    one.must("autograde", SLUG)
    return one


@pytest.fixture(scope="module")
def lab(course):
    """The address of a JupyterLab whose root is the course."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2)
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(30_000)
    yield page
    page.close()


def test_a_notebook_has_the_validate_button_and_nbgrader_its_menu(page, lab):
    page.goto(f"{lab}/lab/tree/chapters/{SLUG}/{SLUG}.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel")
    page.get_by_text("Validate", exact=True).wait_for()
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.wait_for_timeout(500)
    entries = page.locator(".lm-Menu-itemLabel").all_inner_texts()
    assert {"Assignment List", "Formgrader"} <= set(entries)


def test_the_assignment_list_offers_what_was_released(page, lab):
    page.goto(f"{lab}/lab?token={TOKEN}")
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_text("Assignment List", exact=True).click()
    released = page.locator("#nbgrader-assignment-list, .nbgrader-assignment-list, .assignments").first
    released.get_by_text(SLUG, exact=True).first.wait_for()


def test_a_mark_given_by_hand_reaches_the_gradebook_and_the_student(page, lab, course):
    page.goto(f"{lab}/formgrader?token={TOKEN}")
    page.get_by_text("Manage Assignments").first.wait_for()
    page.goto(f"{lab}/formgrader/gradebook/{SLUG}/{SLUG}")
    page.get_by_text("Submission #1").click()
    answer = page.locator(".nbgrader_cell", has_text="the gradient dies").last
    answer.locator("input.score").fill("2.5")
    comment = answer.locator("textarea.comment")
    comment.fill("Say how large the scores get.")
    comment.blur()
    page.wait_for_timeout(1500)

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_submission_notebook(SLUG, SLUG, "right")
        (grade,) = [g for g in notebook.grades if g.name == WORDS]
        assert (grade.manual_score, grade.needs_manual_grade) == (2.5, False)
    course.must("generate_feedback", SLUG)
    feedback = (course.root / "feedback" / "right" / SLUG / f"{SLUG}.html").read_text("utf-8")
    assert "Say how large the scores get." in feedback
    assert re.search(r"2\.5\s*/\s*3", feedback)
