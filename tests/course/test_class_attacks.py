"""Every attack of the table, inside one class between honest neighbours whose marks stay."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import Counter

import pytest
from attacks import ATTACKS, FILE_ATTACKS, FULL, VARIATIONS, Clock
from machine import processes, wait_until
from nbgrader.api import Gradebook
from nbgrader_class import SLUG, class_of

from autograder.classroom import crew, submissions
from autograder.classroom.recording import Book

IN_NOTEBOOKS = (*ATTACKS, *VARIATIONS)
HONEST = {"right": FULL, "zzz-right": FULL, "empty": 0, "half": 8}


RECORDED = {
    "right": FULL, "html-script": FULL, "html-elsewhere": FULL, "overmax": FULL, "negative-score": FULL,
    "forge-result": 0, "points-100": 0, "negative-points": FULL,
}  # fmt: skip
NEED_ISOLATION = (21, 22, 23, 33, 34, 35)
ORPHAN = f"orphan{os.getpid()}"  # another run of the tests on this machine has its own


def _notebook(student):
    """The notebook that a student's folder holds as a plain file of a bearable size."""
    path = student / SLUG / f"{SLUG}.ipynb"
    linked = any(part.is_symlink() for part in (student, student / SLUG, path))
    return path if not linked and path.is_file() and path.stat().st_size < 1 << 28 else None


def _listening():
    """A server that counts who comes."""
    visits = []
    server = socket.create_server(("127.0.0.1", 0))

    def wait():
        while True:
            try:
                visits.append(server.accept())
            except OSError:
                return

    threading.Thread(target=wait, daemon=True).start()
    return server, visits


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class, its verdicts by student, and what was seen beside them."""
    root = tmp_path_factory.mktemp("attacked")
    course = class_of(root, ())
    server, visits = _listening()
    from nbgrader_class import submission

    texts = {name: json.dumps(submission(name.removeprefix("zzz-"))) for name in HONEST}
    for attack in IN_NOTEBOOKS:
        text = json.dumps(attack.notebook()).replace("COURSE", str(root)).replace("ORPHAN", ORPHAN)
        texts[attack.name] = text.replace("PORT", str(server.getsockname()[1]))
    for student, text in texts.items():
        folder = root / "submitted" / student / SLUG
        folder.mkdir(parents=True)
        (folder / f"{SLUG}.ipynb").write_text(text)
    for attack in FILE_ATTACKS:
        attack.make(root / "submitted" / attack.name / SLUG, root, texts["right"])
    before = {p: p.read_bytes() for p in map(_notebook, (root / "submitted").iterdir()) if p is not None}
    release = root / "chapters" / SLUG / f"{SLUG}.ipynb"
    plan = Clock(SLUG, release.read_bytes(), seed=17)
    found = submissions.find(root / "submitted", SLUG)
    verdicts = {verdict.student: verdict for verdict in crew.grade_all(plan, found, 2)}
    book = Book(root, SLUG, release)
    for student in RECORDED:
        book.record(verdicts[student])
    server.close()
    return course, verdicts, before, visits


@pytest.mark.parametrize(("student", "points"), HONEST.items())
def test_honest_neighbours_keep_their_marks(graded, student, points):
    verdict = graded[1][student]
    assert (verdict.points, verdict.outcome) == (points, "graded"), verdict.notes


@pytest.mark.parametrize("attack", IN_NOTEBOOKS, ids=lambda attack: f"{attack.number}-{attack.name}")
def test_an_attack_earns_its_honest_value(graded, attack):
    verdict = graded[1][attack.name]
    if verdict.isolation == "limits" and attack.number in NEED_ISOLATION:
        pytest.skip("this machine has neither bubblewrap nor Landlock to keep an answer from files")
    told = [*verdict.notes, *(report["reason"] or "" for report in verdict.exercises)]
    assert verdict.points == attack.points, told
    assert verdict.outcome != "grader_fault", told
    if attack.outcome is not None:
        assert verdict.outcome == attack.outcome, told
    assert attack.says in "\n".join(told)


def test_every_verdict_gives_a_reason_for_every_lost_point(graded):
    for verdict in graded[1].values():
        for report in verdict.exercises:
            assert report["points"] == report["max_points"] or report["reason"], (verdict.student, report)


@pytest.mark.parametrize("attack", FILE_ATTACKS, ids=lambda attack: f"{attack.number}-{attack.name}")
def test_a_file_that_is_no_plain_notebook_is_graded_as_what_it_is(graded, attack):
    verdict = graded[1][attack.name]
    assert (verdict.points, verdict.outcome) == (attack.points, attack.outcome), verdict.notes
    assert attack.says in "\n".join(verdict.notes)


def test_each_row_of_the_table_is_tried_in_more_than_one_way():
    tried = Counter(attack.number for attack in (*IN_NOTEBOOKS, *FILE_ATTACKS))
    # A GPU's memory needs one: tests/course/test_gpu.py tries that row, in two ways.
    assert [row for row in range(1, 48) if tried[row] < 2] == [46]


def test_no_submission_was_changed(graded):
    if graded[1]["right"].isolation == "limits":
        pytest.skip("this machine has neither bubblewrap nor Landlock to keep an answer from files")
    changed = [path.parent.parent.name for path, data in graded[2].items() if path.read_bytes() != data]
    assert not changed


def test_nothing_reached_the_network(graded):
    assert not graded[3]


def test_no_process_is_left(graded):
    wait_until(lambda: ORPHAN not in processes())  # it would sleep for an hour; killed, it may take a moment


def test_forged_outputs_never_reach_the_gradebook(graded):
    with Gradebook(f"sqlite:///{graded[0].root / 'gradebook.db'}") as gradebook:
        scores = {s.id: gradebook.find_submission(SLUG, s.id).score for s in gradebook.students}
    assert scores == RECORDED


def test_no_script_reaches_the_autograded_notebook(graded):
    for student in ("html-script", "html-elsewhere"):
        text = (graded[0].root / "autograded" / student / SLUG / f"{SLUG}.ipynb").read_text()
        assert "alert(" in text, "the learner's words are still there"
        for danger in (
            "<script>alert(2)",
            "<img",
            "onload",
            "](javascript:",
            "alert(1)",
            "alert(3)",
            "alert(4)",
        ):
            assert danger not in text
