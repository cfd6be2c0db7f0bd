"""What a learner meets in a notebook: check, verdict, hint, start, and the progress that is kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import torch

import autograder
from autograder import notebook, panel, progress
from autograder.grading import grade_callable
from autograder.report import Counterexample, Report
from llmlib import attention


def mask_right(length):
    return torch.tril(torch.ones(length, length, dtype=torch.bool))


def mask_inverted(length):
    return ~mask_right(length)


def test_a_right_answer_comes_back_as_the_learners_own(capsys):
    assert autograder.check(mask_right, "3.3") is mask_right
    assert autograder.verdict() == notebook.exercises.find("3.3").points
    assert "passed" in capsys.readouterr().out


def test_a_wrong_answer_gives_back_a_working_function_and_names_the_mistake(capsys):
    lent = autograder.check(mask_inverted, "3.3")
    assert torch.equal(lent(4), mask_right(4))
    assert autograder.verdict() == 0
    printed = capsys.readouterr()
    assert "Likely mistake: it looks as if" in printed.out and "smallest example" in printed.out
    assert printed.err == ""  # nbgrader takes anything there for a failure


def test_what_was_lent_is_never_a_pass_and_never_progress(capsys):
    lent = autograder.check(mask_inverted, "3.3")
    before = list(progress.events())
    again = autograder.check(lent, "3.3")
    assert autograder.verdict() == 0
    assert "the course's own function" in capsys.readouterr().out
    assert list(progress.events()) == before
    assert torch.equal(again(3), mask_right(3))


def test_the_imported_reference_is_not_an_answer(capsys):
    autograder.check(attention.causal_mask, "3.3")
    assert autograder.verdict() == 0
    assert "the course's own function" in capsys.readouterr().out


def test_a_verdict_counts_once():
    autograder.check(mask_right, "3.3")
    assert autograder.verdict() > 0
    again = autograder.verdict()
    assert again == 0 and again.in_words() == "no points: no check has just run"


def test_a_name_that_was_never_defined_is_not_a_traceback(capsys):
    namespace = {}
    exec("from autograder import start\nstart(3)", namespace)
    notebook.check(namespace["causal_mask"], "3.3")
    assert "is not defined yet" in capsys.readouterr().out
    exec("def causal_mask(length): return 1\nstart(3)", namespace)
    assert namespace["causal_mask"](1) == 1, "running the set-up cell again must not take an answer away"


def test_an_unknown_number_offers_the_nearest(capsys):
    assert autograder.check(mask_right, "3.33") is mask_right
    assert autograder.verdict() == 0
    assert "did you mean" in capsys.readouterr().out


def test_hints_come_one_by_one_and_are_counted(capsys):
    notebook._session.hints_shown.clear()
    hints = notebook.exercises.find("3.3").hints
    for _ in range(len(hints) + 1):
        autograder.hint("3.3")
    out = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in out] == [*hints, hints[0]]
    assert notebook.progress.standings([notebook.exercises.find("3.3")])[0].hints == len(hints) + 1


def test_a_prediction_comes_back_and_its_confidence_is_kept():
    guess = {"value": 0.1, "confidence": 0.7}
    assert autograder.check(guess, "3.6") is guess
    autograder.check({"value": 0.2, "confidence": 0.9}, "3.6")
    (standing,) = progress.standings([notebook.exercises.find("3.6")])
    assert standing.first_prediction == guess and standing.first_right is False and standing.tries == 2


def test_an_untouched_prediction_is_not_attempted(capsys):
    autograder.check({"value": ..., "confidence": ...}, "3.6")
    assert "not attempted" in capsys.readouterr().out and not list(progress.events())


def test_a_fault_of_the_grader_leaves_full_marks_to_nbgrader(monkeypatch, capsys):
    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("autograder.grading.compare", broken)
    lent = autograder.check(mask_right, "3.3")
    assert autograder.verdict() is None
    assert "the grader broke, not you" in capsys.readouterr().out and torch.equal(lent(2), mask_right(2))


def test_the_html_panel_says_what_the_text_says_and_escapes_it():
    exercise = notebook.exercises.find("3.3")
    report = grade_callable(exercise, mask_inverted)
    html, text = panel.as_html(report, hints=exercise.hints), panel.as_text(report)
    plain = re.sub(r"<[^>]+>", " ", html)
    for part in (
        report.title,
        report.misconception.advice[:30],
        "expected",
        "got",
        f"Hint 1 of {len(exercise.hints)}",
    ):
        assert panel.escape(part) in html or part in plain
    assert report.misconception.title in text
    undefined = grade_callable(exercise, 7)
    assert undefined.status == "failed" and "Hint 1" not in panel.as_html(undefined, hints=exercise.hints)
    hostile = grade_callable(exercise, lambda length: 1 / 0 if length else "<script>alert(1)</script>")
    assert "<script>" not in panel.as_html(hostile)


def test_damaged_progress_is_passed_over_and_kept(tmp_path, monkeypatch):
    path = tmp_path / "p.jsonl"
    monkeypatch.setenv("AUTOGRADER_PROGRESS", str(path))
    path.write_bytes(b'{"exercise": 5}\n\xff\xfe not json\n[]\n')
    autograder.check(mask_right, "3.3")
    (standing,) = progress.standings([notebook.exercises.find("3.3")])
    assert standing.status == "passed"
    assert path.read_bytes().startswith(b'{"exercise": 5}\n')


def test_progress_that_cannot_be_saved_is_said_and_the_check_goes_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUTOGRADER_PROGRESS", str(tmp_path / "file" / "progress.jsonl"))
    autograder.check(mask_right, "3.3")
    out = capsys.readouterr().out
    assert "could not be saved" in out and "passed" in out


def test_progress_lives_in_the_workbook(tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOGRADER_PROGRESS")
    (tmp_path / "workbook" / ".autograder").mkdir(parents=True)
    (tmp_path / "workbook" / "03-attention").mkdir()
    expected = tmp_path / "workbook" / ".autograder" / "progress.jsonl"
    assert progress.progress_file(tmp_path / "workbook" / "03-attention") == expected
    assert progress.progress_file(tmp_path) == expected


def test_the_learners_face_needs_neither_nbgrader_nor_jupyter():
    """Colab has none of these."""
    code = """
import json, sys
absent = ("nbgrader", "jupytext", "nbclient", "nbformat", "nbval", "jupyterlab", "IPython", "rich", "sklearn")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import torch
from autograder import check, verdict
check(lambda length: torch.ones(length, length).tril().bool(), "3.3")
print(json.dumps(verdict()))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) > 0 and result.stderr == ""


def test_in_ipython_one_output_carries_both_forms():
    pytest.importorskip("IPython", reason="IPython is part of the course extra")
    code = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
with capture_output() as captured:
    shell.run_cell("import torch\\nfrom autograder import check, verdict")
    shell.run_cell("m = check(lambda n: torch.ones(n, n).bool(), '3.3')")
(output,) = captured.outputs
assert set(output.data) == {"text/html", "text/plain"}, output.data
assert "Exercise 3.3" in output.data["text/plain"] and output.data["text/html"].startswith("<div role=")
with capture_output():
    shell.run_cell("m = check(lambda n: torch.ones(n, n).tril().bool(), '3.3')")
value, _ = shell.display_formatter.format(shell.user_ns["verdict"]())
assert value == {"text/plain": "3", "text/html": "3 of 3 points"}, value  # nbgrader reads the first
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr + result.stdout


def test_columns_of_an_example_begin_where_their_names_do():
    """Side by side, `expected` need not make room for a wider number of `got`."""
    case = Counterexample({"x": "1"}, expected="   -3  -4.14", got="-3.25  -0.9662")
    report = Report("e", "1.1", "A title", "failed", max_points=1, counterexample=case)
    assert ">-3  -4.14</pre>" in panel.as_html(report)
    rows = [line for line in panel.as_text(report).splitlines() if line.endswith(("-4.14", "-0.9662"))]
    assert rows == ["    expected      -3  -4.14", "    got        -3.25  -0.9662"]
