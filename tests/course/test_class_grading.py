"""`autograder grade` as an instructor uses it: again, interrupted, gradebook locked; and what follows it."""

from __future__ import annotations

import builtins
import contextlib
import csv
import dis
import errno
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nbgrader.api import Gradebook, MissingEntry
from nbgrader_class import ROOT, SLUG, answers, class_of, submission

from autograder.child import AnswerProcess
from autograder.classroom import exporting, rehearsal, similarity
from autograder.classroom.gradebook import GradebookError, in_words
from autograder.classroom.handing_in import time_of
from autograder.classroom.journal import Journal
from autograder.classroom.recording import Book
from autograder.cli import main
from autograder.exercises import find, find_chapter
from autograder.expecting import expect
from autograder.usage import UsageError
from autograder.values import text_of

STUDENTS = ("right", "half", "empty", "noisy", "foreign", "copied")
POINTS = {"right": 42, "half": 8, "empty": 0, "noisy": 42, "foreign": 42, "copied": 42}
WRONG = "def causal_mask(length):\n    import torch\n    return torch.ones(length, length).triu().bool()"


def run(course, *arguments):
    return main([*arguments, "--course", str(course)])


def scores(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {s.id: gradebook.find_submission(SLUG, s.id).score for s in gradebook.students}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A graded class: nbgrader's six, and one with a named mistake who was late."""
    course = class_of(tmp_path_factory.mktemp("class"), STUDENTS)
    (course.root / "grades").mkdir()
    (course.root / "grades" / "secret").write_text("the same in every run")
    notebook = submission("right")
    answers(notebook)[find("3.3").grade_id].source = WRONG
    folder = course.root / "submitted" / "late" / SLUG
    folder.mkdir(parents=True)
    (folder / f"{SLUG}.ipynb").write_text(json.dumps(notebook))
    (folder / "timestamp.txt").write_text("2030-01-01 10:00:00 UTC")
    with (course.root / "nbgrader_config.py").open("a") as file:
        file.write("\nc.LateSubmissionPlugin.penalty_method = 'zero'\n")
    # A new gradebook calls `alembic` by its bare name, as nbgrader_config.py knows.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as gradebook:
        gradebook.add_assignment(SLUG, duedate="2029-12-31 10:00:00 UTC")
    assert run(course.root, "grade", SLUG, "--jobs", "2", "--json") == 0
    return course.root


@pytest.fixture
def course(graded, tmp_path):
    """That class in a copy of the test's own, with which all ends that the test does to it, or leaves."""
    return shutil.copytree(graded, tmp_path / "course")


def test_every_student_has_the_honest_mark(course):
    assert scores(course) == {**POINTS, "late": 39}


def test_the_marks_are_nbgrader_s_own_formgrader_s_and_penalties_too(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        late = gradebook.find_submission(SLUG, "late")
        assert late.total_seconds_late > 0 and late.late_submission_penalty == late.score
        waiting = [
            g.name
            for g in gradebook.find_submission_notebook(SLUG, SLUG, "right").grades
            if g.needs_manual_grade
        ]
        assert waiting == ["attention-why-divide"]
    assert (course / "autograded" / "late" / SLUG / f"{SLUG}.ipynb").is_file()


def test_what_has_not_changed_is_not_graded_again(course, capsys):
    assert run(course, "grade", "3") == 0
    assert "0 of 7 submissions to grade" in capsys.readouterr().out


def test_a_changed_submission_alone_is_graded_again(course, capsys):
    path = course / "submitted" / "empty" / SLUG / f"{SLUG}.ipynb"
    before = path.read_bytes()
    try:
        path.write_text(json.dumps(submission("half")))
        assert run(course, "grade", "3") == 0
        assert "1 of 7 submissions to grade" in capsys.readouterr().out
        assert scores(course)["empty"] == POINTS["half"]
    finally:
        path.write_bytes(before)
        assert run(course, "grade", "3") == 0
    assert scores(course)["empty"] == 0


def forget(course, *students):
    """As if these had not been graded yet."""
    for student in students:
        (course / "grades" / SLUG / f"{student}.json").unlink()


def a_book(course):
    return Book(course, SLUG, course / "chapters" / SLUG / f"{SLUG}.ipynb")


@pytest.fixture
def impatient(course):
    """Waits half a second for a locked gradebook, in the place of SQLite's five."""
    path = course / "nbgrader_config.py"
    before = path.read_text()
    path.write_text(
        f"{before}\nc.CourseDirectory.db_url = 'sqlite:///{course / 'gradebook.db'}?timeout=0.5'\n"
    )
    yield
    path.write_text(before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lock_out", ["readers", "writers"])
def test_a_locked_gradebook_loses_nothing(course, capsys, caplog, monkeypatch, lock_out):
    tried = []
    record = Book.record
    monkeypatch.setattr(Book, "record", lambda *about: (tried.append(about[1].student), record(*about)))
    students = ("right", "half", "empty", "noisy")
    forget(course, *students)
    if lock_out == "writers":  # whoever has nothing new to write is not locked out
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            for student in students:
                gradebook.remove_submission(SLUG, student)
    lock = sqlite3.connect(course / "gradebook.db")
    lock.execute("begin exclusive" if lock_out == "readers" else "begin immediate")
    try:
        assert run(course, "grade", "3") == 3
        said = capsys.readouterr()
        told = "not yet in the gradebook (another program is writing into it); run the command again"
        assert said.out.count(told) == 4 and "Traceback" not in said.err + caplog.text
        assert len(tried) == 3, "a class does not wait for each student"
        if lock_out == "readers":
            for command in ("feedback", "export"):  # nothing is given out without what a person wrote
                assert run(course, command, "3") == 2
                assert "cannot be read: another program is writing into it" in capsys.readouterr().err
        else:
            assert run(course, "export", "3") == 0
            assert "! half was graded and is not in the gradebook" in capsys.readouterr().out
    finally:
        lock.close()
    assert {e.verdict.student: e.verdict.points for e in Journal(course / "grades", SLUG)}["right"] == 42
    assert run(course, "grade", "3") == 0
    assert "0 of 7 submissions to grade" in capsys.readouterr().out
    assert all(entry.recorded for entry in Journal(course / "grades", SLUG))


@pytest.mark.parametrize("lost", ["student", "chapter", "gradebook", "notebook"])
def test_what_was_graded_and_is_lost_is_entered_again(course, tmp_path, capsys, lost):
    book = course / "gradebook.db"
    kept = shutil.copy(book, tmp_path)
    before = scores(course)
    if lost == "notebook":
        shutil.rmtree(course / "autograded" / "half")
    elif lost == "gradebook":
        book.unlink()
    else:
        with Gradebook(f"sqlite:///{book}") as gradebook:
            gradebook.remove_student("half") if lost == "student" else gradebook.remove_assignment(SLUG)
    if lost == "gradebook":
        for command in ("export", "feedback"):
            assert run(course, command, "3") == 2
            said = capsys.readouterr().err
            assert f"there is no gradebook {book}, so nothing has been graded yet: autograder grade 3" in said
        assert not book.exists(), "to look for it has not made it"
    elif lost != "notebook":
        assert run(course, "export", "3") == 0
        assert "! half was graded and is not in the gradebook: autograder grade 3" in capsys.readouterr().out
        assert run(course, "feedback", "3") == 0
        assert "! half is not in the gradebook, so the page shows no marks by hand" in capsys.readouterr().out
    assert run(course, "grade", "3") == 0
    said = capsys.readouterr().out
    number = 1 if lost in ("student", "notebook") else 7
    assert "0 of 7 submissions to grade" in said
    assert f"{number} that were graded are not in the gradebook, and are entered again" in said
    # What a person gave is lost with the gradebook.
    assert scores(course) == ({**POINTS, "late": 39} if number == 7 else before)
    assert (course / "autograded" / "half" / SLUG / f"{SLUG}.ipynb").is_file()
    shutil.copy(kept, book)


@pytest.mark.parametrize(
    "content", [b"yesterday", b"99999-01-01", b"\xff\xfe", b"2030-01-01 10:00:00 999999999999", None]
)
def test_a_time_of_handing_in_that_nobody_can_read_is_none_and_said(tmp_path, content):
    path = tmp_path / "timestamp.txt"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    time, wrong = time_of(tmp_path)
    assert time is None and str(path) in wrong
    assert wrong.startswith("recorded without the time of handing in: timestamp.txt ")


def test_a_time_of_handing_in_is_recorded_anew_without_grading_again(course, capsys):
    path = course / "submitted" / "foreign" / SLUG / "timestamp.txt"
    marks = POINTS["foreign"]
    steps = [
        ("2030-01-01 10:00:00 UTC", True, (marks, marks)),  # handed in late, where the rule takes all
        ("2030-01-01T11:00:00+01:00", False, (marks, marks)),  # the same time in other words
        ("last year", True, (marks, 0)),
        ("last year", False, (marks, 0)),
        ("2029-01-01 10:00:00 UTC", True, (marks, 0)),
        (None, True, (marks, 0)),
        (None, False, (marks, 0)),
    ]
    for text, anew, expected in steps:
        path.write_text(text) if text else path.unlink(missing_ok=True)
        assert run(course, "grade", "3") == 0
        said = capsys.readouterr().out
        assert "0 of 7 submissions to grade" in said
        assert ("entered again with another time of handing in: foreign\n" in said) == anew, text
        assert ("! foreign: recorded without the time of handing in" in said) == (text == "last year")
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            found = gradebook.find_submission(SLUG, "foreign")
            assert (found.score, found.late_submission_penalty or 0) == expected
            assert (found.timestamp is None) == (text in (None, "last year"))


def test_a_rule_for_late_submissions_that_fails_costs_no_traceback(course):
    book = a_book(course)
    book.config.AssignLatePenalties.plugin_class = "no.such.Plugin"
    with pytest.raises(GradebookError, match=r"the course's rule for late submissions failed: .*no\.such"):
        book.record(Journal(course / "grades", SLUG)["late"].verdict)
    book.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("def (", "cannot be run: SyntaxError"),
        ("1 / 0", "cannot be run: ZeroDivisionError: division by zero. Mend it"),
        ("raise SystemExit", "cannot be run: SystemExit. Mend it"),
        ("c.CourseDirectory.db_url = 3", "The 'db_url' trait of a CourseDirectory instance expected"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told_with_its_place(course, capsys, line, said):
    path = course / "nbgrader_config.py"
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        for command in ("grade", "feedback", "export"):
            assert run(course, command, "3") == 2
            told = capsys.readouterr().err
            assert str(path) in told and said in told
            assert line != "1 / 0" or f", line {len(before.splitlines()) + 2}," in told
    finally:
        path.write_text(before)


def test_a_gradebook_that_is_none_is_told_with_what_to_do(tmp_path):
    path = tmp_path / "gradebook.db"
    path.write_bytes(b"no gradebook" * 1000)
    with pytest.raises(GradebookError, match="damaged, or no gradebook: put a copy of it back"):
        exporting.marks(f"sqlite:///{path}", "default_course", SLUG)
    with pytest.raises(GradebookError, match="must name a file"):
        exporting.marks(f"sqlite:///{tmp_path / 'nowhere' / 'gradebook.db'}", "default_course", SLUG)
    with pytest.raises(GradebookError, match="needs a module that is not installed"), in_words():
        raise ModuleNotFoundError("No module named 'psycopg'")


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_secret_that_everybody_could_guess_is_refused(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(UsageError, match="put a copy of it back, or delete it for a new one"):
        Journal(tmp_path, SLUG).seed()
    assert (tmp_path / "secret").read_bytes() == content


def test_a_verdict_on_another_student_is_nobody_s(course, tmp_path):
    (tmp_path / SLUG).mkdir()
    shutil.copy(course / "grades" / SLUG / "half.json", tmp_path / SLUG / "right.json")
    journal = Journal(tmp_path, SLUG)
    assert journal["right"] is None and not list(journal)


@pytest.mark.parametrize("other", ["exercise", "check", "fewer"])
def test_a_verdict_of_another_version_of_the_course_is_left_out_and_named(course, capsys, other):
    path = course / "grades" / SLUG / "half.json"
    before = path.read_text()
    plain = json.loads(before)
    report = plain["verdict"]["exercises"][0]
    if other == "exercise":
        report["exercise"] = "attention.gone"
    elif other == "check":
        report["checks"][0]["name"] = "gone"
    else:
        del plain["verdict"]["exercises"][0]
    path.write_text(json.dumps(plain))
    try:
        for command in ("feedback", "report", "similar"):
            assert run(course, command, "3") == 0
            assert "! half was graded by another version of the course and is left" in capsys.readouterr().err
        assert run(course, "export", "3") == 0
        assert "left out" not in "".join(capsys.readouterr()), "marks are the gradebook's"
        if other != "check":
            assert run(course, "replay", "half", "3.1") == 2
            assert "a version of the course without 3.1" in capsys.readouterr().err
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("roster", "said"),
    [
        (b"Student,ID,A,A\nR,right,3,4\n", "has two columns 'A', and one would be lost"),
        (b"Student,ID\nR,right,3\n", "line 2 of .* has more fields than the first, .* would be lost"),
        (b"Student,ID\nJ\xfcrg,right\n", "is not in UTF-8: save it as CSV UTF-8"),
    ],
)
def test_a_roster_that_could_not_be_given_back_whole_is_refused(tmp_path, roster, said):
    path = tmp_path / "roster.csv"
    path.write_bytes(roster)
    with pytest.raises(exporting.ExportError, match=said):
        exporting.filled([exporting.Mark("right", 3, 4, 0, False)], SLUG, "canvas", path)


def test_a_mark_given_by_hand_stays(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        grade = gradebook.find_grade("attention-why-divide", SLUG, SLUG, "right")
        grade.manual_score = 2.5
        comment = gradebook.find_comment("attention-why-divide", SLUG, SLUG, "right")
        comment.manual_comment = "Good, but <b>which</b> variance?"
        gradebook.db.commit()
    forget(course, "right")
    assert run(course, "grade", "3") == 0
    assert scores(course)["right"] == 44.5
    assert run(course, "feedback", "3") == 0
    page = (course / "feedback" / "right" / SLUG / f"{SLUG}.html").read_text()
    assert "2.5 of 3 points" in page and "Good, but &lt;b&gt;which&lt;/b&gt; variance?" in page


def test_feedback_names_the_mistake_and_reveals_no_expected_value(course):
    assert run(course, "feedback", SLUG) == 0
    page = (course / "feedback" / "late" / SLUG / f"{SLUG}.html").read_text()
    report = next(r for e in Journal(course / "grades", SLUG) if e.verdict.student == "late"
                  for r in e.verdict.exercises if r["number"] == "3.3")  # fmt: skip
    assert report["misconception"]["title"] in page
    assert "<script" not in page and "http" not in page
    seed = Journal(course / "grades", SLUG).seed()
    shown = [
        text_of(expect(exercise.reference, case).value)
        for exercise in find_chapter(3).exercises
        if exercise.reference is not None
        for place, check in enumerate(exercise.checks)
        for case in check.cases(torch.Generator().manual_seed(1000 * seed + place))
    ]
    numbers = {n for text in shown for n in re.findall(r"-?\d\.\d{3,}", text)}
    assert len(numbers) > 100
    assert not [n for n in numbers if n in page]


def test_replay_repeats_a_verdict(course, capsys):
    assert run(course, "replay", "late", "3.3") == 0
    out = capsys.readouterr().out
    assert "The same verdict as when it was graded." in out and "The smallest example" in out


def test_check_gives_the_same_verdict_with_the_same_seed(course, capsys):
    """A learner's `check` of a whole notebook is the instructor's engine."""
    entry = Journal(course / "grades", SLUG)["late"]
    path = course / "submitted" / "late" / SLUG / f"{SLUG}.ipynb"
    capsys.readouterr()
    assert main(["check", str(path), "--json", "--seed", str(entry.seed)]) == 0
    mine = json.loads(capsys.readouterr().out)
    for one, other in zip(mine, entry.verdict.exercises, strict=True):
        assert {**one, "duration": 0} == {**other, "duration": 0}


def test_marks_as_a_table(course, tmp_path, capsys):
    assert run(course, "export", "3") == 0
    assert "nothing written" in capsys.readouterr().out
    out = tmp_path / "marks.csv"
    assert run(course, "export", "3", "--output", str(out)) == 0
    rows = {row["student"]: row for row in csv.DictReader(out.open())}
    assert (
        rows["half"]["score"] == "8" and rows["late"]["score"] == "0" and rows["late"]["late_penalty"] == "39"
    )
    assert rows["empty"]["waiting_for_a_person"] == ""


def test_canvas_s_own_file_is_filled_in(course, tmp_path, capsys):
    roster, out = tmp_path / "canvas.csv", tmp_path / "filled.csv"
    roster.write_text(
        "Student,ID,SIS Login ID,Section\nLee,1,half@uni.example,A\nOno,2,right,A\nNew,3,nobody,A\n"
    )
    assert (
        run(course, "export", "3", "--format", "canvas", "--roster", str(roster), "--output", str(out)) == 0
    )
    said = capsys.readouterr().out
    assert "half: nothing → 8" in said and "copied is in no row" in said
    rows = {row["ID"]: row for row in csv.DictReader(out.open())}
    assert rows["1"][SLUG] == "8" and rows["3"][SLUG] == "" and rows["1"]["Section"] == "A"


def test_an_ambiguous_student_is_refused(course, tmp_path, capsys):
    roster = tmp_path / "moodle.csv"
    roster.write_text("Identifier,Email address,Grade\n1,half@uni.example,\n2,half@other.example,\n")
    out = tmp_path / "out.csv"
    assert (
        run(course, "export", "3", "--format", "moodle", "--roster", str(roster), "--output", str(out)) == 2
    )
    assert "half fits 2 rows" in capsys.readouterr().err and not out.exists()


def test_similar_answers_survive_renaming():
    exercise = find("3.3")
    one = "def causal_mask(length):\n    rows = torch.arange(length)\n    return rows[None] <= rows[:, None]"
    same = 'def causal_mask(n: int):\n    """Mine."""\n    p = torch.arange(n)  # places\n'
    same += "    return (p[None] <= p[:, None])"
    other = (
        "def causal_mask(length):\n    return torch.stack([torch.arange(length) <= i for i in range(length)])"
    )
    found = similarity.pairs(exercise, {"ann": one, "bob": same, "carl": other})
    students = [p for p in found if set(p.authors) <= {"ann", "bob", "carl"}]
    assert [(p.authors, p.likeness) for p in students] == [(("ann", "bob"), 1.0)]


def test_the_course_s_solution_counts_as_an_author(course, capsys):
    assert run(course, "similar", "3") == 0
    out = capsys.readouterr().out
    assert "the course's solution" in out and "Likeness proves nothing" in out
    assert (course / "grades" / f"{SLUG}-similar.html").is_file()


def test_the_page_for_the_lecture_tells_the_mistake_and_no_name(course):
    assert run(course, "report", "3") == 0
    page = (course / "grades" / f"{SLUG}-report.html").read_text()
    assert "1 times" in page or "mirrored" in page or "To discuss:" in page
    assert "triu" in page, "the snippet of the one who made it"
    assert not re.search(r"\b(late|noisy|foreign|copied)\b", re.sub(r"<svg.*?</svg>", "", page))
    assert 'role="img"' in page and "<script" not in page


def test_a_rehearsal_finds_everything_as_it_should_be(capsys, monkeypatch):
    """Right alternatives pass, mistakes are named, and nothing hostile earns a point."""
    clock = SimpleNamespace(time_ns=lambda: 5, perf_counter=time.perf_counter)  # from which it takes its seed
    monkeypatch.setattr("autograder.classroom.rehearsing.time", clock)
    assert run(ROOT, "rehearse", "3", "--jobs", "2") == 0
    out = capsys.readouterr().out
    counts = {line.split()[0]: (int(line.split()[1]), int(line.split()[3])) for line in out.splitlines()
              if line.endswith("as they should be")}  # fmt: skip
    assert set(counts) == {"right", "blank", "mistaken", "hostile"}
    assert all(good == all_ for good, all_ in counts.values()) and counts["mistaken"][1] >= 30
    assert "a minute; answers ran at" in out


def test_an_answer_that_leans_on_its_module_is_no_player():
    """Not even by a name inside a comprehension: a learner's cell would not have it."""
    chapter = find_chapter(9)
    stood = 0
    for exercise in chapter.exercises:
        for answer in (*exercise.alternatives, *exercise.misconceptions):
            if (text := rehearsal._text(chapter, exercise, answer.answer)) is not None:
                namespace = {}
                exec(chapter.imports, namespace)
                exec(text, namespace)
                found = {
                    instruction.argval
                    for code in _codes(namespace[exercise.answer_name].__code__)
                    for instruction in dis.get_instructions(code)
                    if instruction.opname == "LOAD_GLOBAL"
                }
                assert all(name in namespace or hasattr(builtins, name) for name in found), (answer, found)
                stood += 1
    assert stood >= 20


def _codes(code):
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from _codes(constant)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grade", "99"), "there is no chapter '99'"),
        (("grade", "3", "--submissions", "nowhere"), "there is no folder"),
        (("feedback", "4"), "nothing of 04-many-heads has been graded here"),
        (("replay", "nobody", "3.3"), "no verdict on 'nobody'"),
        (("export", "3", "--format", "canvas"), "--roster CSV"),
    ],
)
def test_a_call_that_cannot_be_served_is_told_why(course, capsys, arguments, words):
    assert run(course, *arguments) == 2
    assert words in capsys.readouterr().err


def test_a_level_that_this_machine_lacks_is_refused(course, capsys, monkeypatch):
    process = AnswerProcess(bubblewrap=False)
    monkeypatch.setattr("autograder.classroom.grading.AnswerProcess", lambda device, worker: process)
    assert run(course, "grade", "3", "--again", "--require-sandbox", "sandbox") == 2
    assert "at least 'sandbox' is required" in capsys.readouterr().err


def grade_command(course, *more):
    environment = {"PYTHONPATH": str(ROOT), "AUTOGRADER_PROGRESS": "off", "OMP_NUM_THREADS": "1"}
    return {
        "args": [sys.executable, "-m", "autograder.cli", "grade", "3", *more],
        "cwd": course,
        "env": {**os.environ, **environment},
    }


def kill_again_and_again(course, kills, chance):
    """Grade a class until so many runs were killed, each at some instant of it; a few come to their end."""
    known: dict[str, int] = {}
    longest = 8.0  # seconds of a run: guessed, then found, so that every instant of it is as likely
    while kills:
        began = time.monotonic()
        process = subprocess.Popen(
            **grade_command(course, "--again"), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(chance.uniform(0, longest))
            longest = time.monotonic() - began
        except subprocess.TimeoutExpired:
            longest *= 1.05
            kills -= 1
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reached = {e.verdict.student: e.verdict.points for e in Journal(course / "grades", SLUG)}
        assert known.items() <= reached.items(), "a verdict that was there is there"
        assert all(POINTS[student] == points for student, points in reached.items())
        # A submission that was just entered has no marks yet, and the next run enters them.
        assert all(student in reached and score in (0, POINTS[student]) for student, score in kept(course))
        known = reached


def kept(course):
    """What the gradebook holds after a kill; every student at most once."""
    if not (course / "gradebook.db").exists():
        return []
    try:
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            found = [(s.student_id, s.score) for s in gradebook.assignment_submissions(SLUG)]
    except MissingEntry:
        return []
    assert len(found) == len(dict(found))
    return found


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.long)])
def test_killed_at_random_instants_nothing_is_lost_or_doubled(tmp_path, kills):
    """Two classes side by side where there are many kills, which come at all instants of a run."""
    students = STUDENTS if kills > 3 else ("right", "half", "empty")
    courses = [class_of(tmp_path / str(i), students).root for i in range(2 if kills > 3 else 1)]
    each, chances = kills // len(courses), [random.Random(i) for i in range(len(courses))]
    with ThreadPoolExecutor(len(courses)) as pool:
        list(pool.map(kill_again_and_again, courses, [each] * len(courses), chances))
    for course in courses:
        done = subprocess.run(**grade_command(course), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert scores(course) == {student: POINTS[student] for student in students}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["grade", "3", "--again"], "what was graded is kept, and the same command goes on"),
        (["similar", "3"], "nothing was changed"),
    ],
)
def test_an_interrupt_says_what_became_of_the_work(course, capsys, monkeypatch, command, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("autograder.classroom.crew.grade_all", interrupted)
    monkeypatch.setattr("autograder.classroom.similarity.pairs", interrupted)
    assert run(course, *command) == 130
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Permission denied; it and its folder must be yours to read and to write"),
        (errno.ENOSPC, "No space left on device; make room, and run the command again"),
    ],
)
@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["feedback", "3"], f"feedback/copied/{SLUG}/{SLUG}.html"),
        (["similar", "3"], f"grades/{SLUG}-similar.html"),
        (["report", "3"], f"grades/{SLUG}-report.html"),
        (["release", "3"], "grades/variants.json"),
    ],
)
def test_what_the_disk_refuses_is_told_with_its_path(
    course, capsys, monkeypatch, number, advice, command, file
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("autograder.files.tempfile.mkstemp", refuse)
    assert run(course, *command) == 2
    said = capsys.readouterr().err
    assert said.endswith(f"autograder: cannot use {course / file}: {advice}\n")


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["feedback", "3"], f"feedback/copied/{SLUG}/{SLUG}.html"),
        (["similar", "3"], f"grades/{SLUG}-similar.html"),
        (["report", "3"], f"grades/{SLUG}-report.html"),
        (["export", "3", "--output"], "marks.csv"),
    ],
)
def test_an_interrupted_file_is_the_old_one_and_the_same_command_writes_it(
    course, capsys, monkeypatch, command, file
):
    path = course / file
    arguments = [*command, str(path)] if command[-1] == "--output" else command
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("the old one")
    before = set(path.parent.iterdir())

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("autograder.files.os.fsync", interrupted)
        assert run(course, *arguments) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert path.read_text() == "the old one" and set(path.parent.iterdir()) == before
    assert run(course, *arguments) == 0
    assert path.read_text() != "the old one"
