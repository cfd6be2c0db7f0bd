"""The command line as a stranger uses it: every verdict and every message, never a traceback of ours."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import textwrap
from contextlib import nullcontext

import nbformat
import pytest

from autograder import cli
from autograder.child import AnswerProcess
from autograder.classroom.exporting import ExportError, filled
from autograder.commands import checking
from autograder.exercises import all_exercises, find
from autograder.files import write_atomically
from autograder.isolation import LEVELS

RIGHT = """
def causal_mask(length):
    return torch.ones(length, length, dtype=torch.bool).tril()
"""
FIELDS = {
    *("schema", "exercise", "status", "points", "max_points", "checks", "misconception", "hint"),
    *("reason", "line", "duration", "seed", "device", "isolation"),
}


@pytest.fixture(scope="module")
def worker():
    """One process for all answers: each runs in a fork of its own, as in a notebook with many."""
    with AnswerProcess() as process:
        yield process


@pytest.fixture
def run(capfd, tmp_path, worker, monkeypatch):
    """Call the command line with an answer's text; gives the exit code, the parsed JSON and stderr."""
    monkeypatch.setattr(checking, "AnswerProcess", lambda device: nullcontext(worker))

    def call(exercise, answer, *options):
        path = tmp_path / "answer.py"
        path.write_text(textwrap.dedent(answer))
        code = cli.main(["check", exercise, "--file", str(path), "--json", *options])
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return code, json.loads(printed.out), printed.err

    return call


@pytest.fixture
def refused(capfd):
    """Call the command line wrongly; gives the message."""

    def call(*arguments):
        try:
            code = cli.main(list(map(str, arguments)))
        except SystemExit as stop:
            code = stop.code
        printed = capfd.readouterr()
        assert code == 2 and "Traceback" not in printed.err
        return printed.err

    return call


def test_right_answer(run):
    code, verdict, error = run("3.3", RIGHT)
    assert code == 0 and error == ""
    assert verdict["status"] == "passed" and verdict["points"] == verdict["max_points"] == find("3.3").points
    assert set(verdict) >= FIELDS
    assert all(set(c) == {"name", "passed", "message"} for c in verdict["checks"])
    assert verdict["isolation"] in LEVELS and verdict["misconception"] is None and verdict["hint"] is None


def test_a_right_number_of_numpy_is_a_right_number(run):
    answer = """
        import numpy as np

        def paired_bootstrap(first, second, draws):
            a, b = (scores.double().numpy()[draws.numpy()].mean(axis=1) for scores in (first, second))
            return np.mean(a > b)
    """
    _, verdict, _ = run("9.7", answer)
    assert verdict["status"] == "passed", verdict["reason"]


def test_by_dotted_name_and_with_a_seed(run):
    _, verdict, _ = run("attention.causal_mask", RIGHT, "--seed", "7")
    assert verdict["seed"] == 7 and verdict["exercise"] == "attention.causal_mask"


def test_wrong_answer_is_named(run):
    code, verdict, _ = run("3.3", RIGHT.replace("return ", "return ~"))
    assert code == 0 and verdict["status"] == "failed" and verdict["points"] == 0
    assert set(verdict["misconception"]) == {"id", "title", "advice"}
    assert verdict["hint"] == find("3.3").hints[0]
    assert all(c["message"] for c in verdict["checks"] if not c["passed"])


def test_answer_may_build_on_the_chapters_imports_and_earlier_exercises(run):
    answer = """
        def scaled_dot_product_attention(query: Float[Tensor, "q d"], key, value, mask=None):
            scores = attention_scores(query, key)
            if mask is None:
                return softmax(scores) @ value
            weights = softmax(scores.masked_fill(~mask, -1e30))
            return weights.masked_fill(~mask, 0.0) @ value
    """
    _, verdict, _ = run("3.5", answer)
    assert verdict["status"] == "passed", verdict["reason"]


@pytest.mark.parametrize(
    ("answer", "status", "sentence", "line"),
    [
        (
            "def causal_mask(length):\n    raise NotImplementedError('Exercise 3.3: …')",
            "not_attempted",
            "no answer yet",
            None,
        ),
        ("def causal_mask(length)\n    return 1", "failed", "this is not Python", 1),
        ("x = 1\ny = x / 0", "failed", "ZeroDivisionError", 2),
        ("def casual_mask(length):\n    return 1", "failed", "did you mean `casual_mask`", None),
        ("", "failed", "`causal_mask` is not defined", None),
        ("causal_mask = 5", "failed", "should be a function", None),
        ("def causal_mask():\n    return 1", "failed", "should take (length)", None),
        ("def causal_mask(length):\n    z = 1\n    return z[0]", "failed", "TypeError", 3),
        ("def causal_mask(length):\n    while True: pass", "failed", "no answer after 2 seconds", None),
        ("while True: pass", "failed", "no answer after 2 seconds", None),
        ("import os\ndef causal_mask(length):\n    os._exit(0)", "failed", "ended its own process", None),
        ("import os\nos._exit(3)", "failed", "exit code 3", None),
        ("import ctypes\ndef causal_mask(length):\n    ctypes.string_at(0)", "failed", "SIGSEGV", None),
        ("import sys\ndef causal_mask(length):\n    sys.exit('6/6')", "failed", "SystemExit", 3),
        ("def causal_mask(length):\n    return object()", "failed", "cannot be read", None),
        (
            "import llmlib\nfrom llmlib.attention import causal_mask",
            "failed",
            "the course's own solution",
            None,
        ),
        (
            "import llmlib.attention as a\ndef causal_mask(length):\n    return a.causal_mask(length)",
            "failed",
            "the course's own solution",
            None,
        ),
    ],
)
def test_every_bad_answer_has_a_clear_verdict(run, answer, status, sentence, line):
    seconds = "2" if "after 2 seconds" in sentence else "600"  # who does not hang is never late
    code, verdict, _ = run("3.3", answer, "--timeout", seconds)
    assert code == 0
    assert verdict["status"] == status and sentence in verdict["reason"] and verdict["line"] == line
    assert verdict["points"] == 0 and all(c["message"] for c in verdict["checks"])


def test_noise_is_harmless(run):
    noisy = "import sys, warnings\nprint('x' * 100000)\n" + RIGHT.replace(
        "    return",
        "    print('hi'); sys.stderr.write('no'); warnings.warn('w'); sys.__stdout__.write('{}')\n    return",
    )
    _, verdict, error = run("3.3", noisy)
    assert verdict["status"] == "passed" and error == ""


def test_a_prediction_from_a_file(run):
    _, verdict, _ = run("3.6", "prediction = {'value': 0.0, 'confidence': 1.0}")
    assert verdict["status"] == "failed" and verdict["points"] == 0
    _, verdict, _ = run("3.6", "prediction = {'value': ..., 'confidence': ...}")
    assert verdict["status"] == "not_attempted"


def test_grader_faults_exit_with_3_and_the_same_json(run, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("autograder.grading.compare", broken)
    code, verdict, _ = run("3.3", RIGHT)
    assert code == 3 and verdict["status"] == "grader_error" and set(verdict) >= FIELDS
    assert "not your answer" in verdict["reason"]


def test_wrong_usage_says_what_to_do(refused, tmp_path):
    answer = tmp_path / "a.py"
    answer.write_text(RIGHT)
    assert "did you mean" in refused("check", "casual_mask", "--file", answer)
    assert "there is no file" in refused("check", "3.3", "--file", tmp_path / "none.py")
    assert "is a folder" in refused("check", "3.3", "--file", tmp_path)
    assert "say where the answer is" in refused("check", "3.3")
    assert "more than 0" in refused("check", "3.3", "--file", answer, "--timeout", "-1")
    assert "expected a number of seconds" in refused("check", "3.3", "--file", answer, "--timeout", "soon")
    for seed in ("lucky", "-1", "1.5", str(2**31)):
        said = refused("check", "3.3", "--file", answer, "--seed", seed)
        assert "expected a whole number from 0 to 2147483647" in said
    assert "invalid choice" in refused("check", "3.3", "--file", answer, "--device", "tpu")
    assert "COMMAND" in refused()
    answer.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refused("check", "3.3", "--file", answer)
    answer.write_text("#" * 2**21)
    assert "larger than 1 MB" in refused("check", "3.3", "--file", answer)


@pytest.mark.parametrize("what", ["pipe", "socket", "device"])
def test_what_is_no_file_is_not_waited_for(refused, tmp_path, what):
    path, words = tmp_path / "answer.ipynb", "it is no file but a device, a pipe or a socket"
    with socket.socket(socket.AF_UNIX) as listening:
        if what == "pipe":
            os.mkfifo(path)
        elif what == "socket":
            listening.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        assert f"cannot read {path}: {words}" in refused("check", "3.3", "--file", path)
        assert f"cannot read {path}: {words}" in refused("check", path)
        assert f"cannot read {path}: {words}" in refused("outputs", path, "--chapter", "03-attention")
    table = tmp_path / "roster.csv"
    os.mkfifo(table)
    with pytest.raises(ExportError, match=f"cannot read {table}: {words}"):
        filled([], "03-attention", "moodle", table)


def test_cuda_where_there_is_none(refused, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    (tmp_path / "a.py").write_text(RIGHT)
    assert "needs a CUDA device" in refused("check", "3.3", "--file", tmp_path / "a.py", "--device", "cuda")


def test_a_gpu_that_a_locked_in_answer_cannot_use(refused, tmp_path, monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as the trusted side sees it
    (tmp_path / "a.py").write_text(RIGHT)
    said = refused("check", "3.3", "--file", tmp_path / "a.py", "--device", "cuda")
    assert "answers that are locked in cannot use this machine's GPU (" in said and "leave it out" in said


def test_exercises_lists_everything(capsys):
    assert cli.main(["exercises", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["number"] for r in rows] == [e.number for e in all_exercises()]
    wanted = {"id", "number", "chapter", "kind", "points", "minutes", "misconceptions", "alternatives"}
    assert all(wanted <= set(r) for r in rows)
    assert cli.main(["exercises"]) == 0
    assert "attention.causal_mask" in capsys.readouterr().out


def test_progress_as_table_and_json(capsys):
    import autograder

    autograder.check(lambda length: None, "3.3")
    capsys.readouterr()
    assert cli.main(["progress"]) == 0
    table = capsys.readouterr().out
    assert "tried" in table and f"Next: {all_exercises()[0].number}" in table
    assert cli.main(["progress", "--json"]) == 0
    rows = {r["number"]: r for r in json.loads(capsys.readouterr().out)}
    assert rows["3.3"]["status"] == "tried" and rows["3.1"]["status"] == "open"


def notebook_of(path, *cells):
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return path


def answer_cell(exercise, source):
    about = {"grade": False, "grade_id": find(exercise).grade_id, "locked": False, "schema_version": 3}
    return nbformat.v4.new_code_cell(
        source, metadata={"nbgrader": {**about, "solution": True, "task": False}}
    )


def test_a_whole_notebook(tmp_path, capfd):
    path = notebook_of(
        tmp_path / "n.ipynb",
        nbformat.v4.new_code_cell("def helper(n):\n    return torch.ones(n, n)\nprint(1/0)"),
        answer_cell("3.3", "def causal_mask(length):\n    return helper(length).tril().bool()"),
        nbformat.v4.new_code_cell("causal_mask = check(causal_mask, '3.3')\nverdict()"),
        answer_cell("3.2", "import os\nos._exit(0)"),
        nbformat.v4.new_code_cell("def padding_mask(lengths, max_length):\n    return lengths"),
    )
    assert cli.main(["check", str(path), "--json"]) == 0
    verdicts = {v["number"]: v for v in json.loads(capfd.readouterr().out)}
    assert len(verdicts) == len([e for e in all_exercises() if e.chapter == 3])
    assert verdicts["3.3"]["status"] == "passed", verdicts["3.3"]["reason"]
    assert verdicts["3.2"]["status"] == "failed" and "ended its own process" in verdicts["3.2"]["reason"]
    assert verdicts["3.4"]["status"] == "failed"
    assert verdicts["3.1"]["status"] == "not_attempted"
    assert cli.main(["check", str(path)]) == 0
    assert "1 of " in capfd.readouterr().out


def test_a_notebook_that_is_none(refused, tmp_path):
    path = tmp_path / "n.ipynb"
    assert "cannot read" in refused("check", path)
    for junk in ("", "{", "[]", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', "[" * 100000):
        path.write_text(junk)
        assert "is not a Jupyter notebook" in refused("check", path)
    notebook_of(path, nbformat.v4.new_code_cell("1 + 1"))
    assert "holds no answer" in refused("check", path)


@pytest.mark.parametrize(
    "left",
    ['"points": null', '"points": "x"', '"points": -5', '"prediction": 3', '"more": ' + "[" * 100_000],
    ids=["nothing", "text", "negative", "number", "deep"],
)
def test_an_event_that_is_none_is_passed_over(tmp_path, monkeypatch, capsys, left):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("AUTOGRADER_PROGRESS", str(path))
    event = '{"exercise": "attention.causal_mask", "event": "check", "status": "passed", "points": 3'
    path.write_text(f"{event}, {left}}}\n")
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out.count("\n0 of ") == 1
    with path.open("a") as file:
        file.write(event + "}\n")
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out.count("\n3 of ") == 1


def test_what_is_no_file_is_never_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="it is ") as refused:
            write_atomically(tmp_path / name, b"text")
        assert refused.value.filename == str(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo() and sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_terminal_without_the_letters_costs_no_traceback(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    monkeypatch.setenv("AUTOGRADER_PROGRESS", "off")
    assert cli.main(["progress"]) == 0
    sys.stdout.flush()
    assert b"? open" in shown.getvalue() and b"points. Next: 0.1" in shown.getvalue()
