"""`autograder grade --execute`: a notebook run whole in the sandbox, whatever it does, and compared."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader_class import ROOT, answers

from autograder.bubblewrap import has_bubblewrap
from autograder.classroom.cleaning import cleaned
from autograder.classroom.grader import Verdict, release_of
from autograder.classroom.journal import Journal
from autograder.classroom.rerunning import NotebookProcess, compared, rerun
from autograder.cli import main
from autograder.comparing import differences
from autograder.exercises import find_chapter

TOOLS = "00-tools"
ATTENTION = "03-attention"


@pytest.fixture(scope="module")
def process():
    with NotebookProcess(seconds=600) as process:
        yield process


def cells_of(*sources):
    return [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "source": source, "outputs": ["old"]}
        for n, source in enumerate(sources)
    ]


def run(process, *sources, cells=None):
    """The verdict on a notebook of these cells, with points that must stay."""
    reports = [{"exercise": "attention.causal_mask", "points": 3, "max_points": 3, "status": "passed"}]
    before = Verdict("ann", ATTENTION, "graded", [], "x", reports, {}, cells or cells_of(*sources))
    after = rerun(before, process)
    assert (after.points, after.outcome, after.executed) == (3, "graded", True)
    return after


def shown(verdict):
    return [cell["outputs"] for cell in verdict.cells]


def printed(verdict):
    return ["".join(o["text"] for o in outputs if "text" in o) for outputs in shown(verdict)]


# --- As a kernel does it


def test_a_cell_shows_what_it_prints_displays_and_ends_with(process):
    verdict = run(
        process,
        "x = 2\nprint('a'); print('b', end='')\nx + 1",
        "from IPython.display import display, HTML\ndisplay(HTML('<b>bold</b>'))\nprint('after')",
        "x;",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "import sys; print('unseen', file=sys.stderr)",
        "h = display('first', display_id=True); h.update('second')",
    )
    first, second, third, fourth, fifth, sixth = shown(verdict)
    assert first[0] == {"output_type": "stream", "name": "stdout", "text": "a\nb"}
    assert first[1]["output_type"] == "execute_result" and first[1]["data"]["text/plain"] == "3"
    assert second[0]["data"]["text/html"] == "<b>bold</b>" and second[1]["text"] == "after\n"
    assert third == fifth == []
    assert fourth[-1]["data"]["image/png"].startswith("iVBOR")
    assert [output["data"]["text/plain"] for output in sixth] == ["'second'"]


def test_an_error_is_an_output_and_the_next_cells_run(process):
    verdict = run(process, "1 / 0", "raise SystemExit", "def (", "print('on')")
    assert [output[0].get("ename") for output in shown(verdict)] == [
        "ZeroDivisionError", "SystemExit", "SyntaxError", None,
    ]  # fmt: skip
    assert printed(verdict)[-1] == "on\n" and not verdict.notes


def test_the_whole_library_and_a_check_are_there(process):
    wrong = "import torch\ndef causal_mask(length):\n    return torch.ones(length, length).bool()"
    verdict = run(
        process,
        "from autograder import check, verdict, start\nstart(3)",
        wrong,
        'causal_mask = check(causal_mask, "3.3")\nverdict()',
        "print(causal_mask(2).tolist())",
    )
    assert "The chapter goes on with the course's own" in shown(verdict)[2][0]["data"]["text/plain"]
    assert printed(verdict)[3] == "[[True, False], [True, True]]\n"


def test_long_cells_are_left_out(process):
    cells = cells_of("print(1)", "print(2)")
    cells[0]["metadata"]["tags"] = ["long"]
    verdict = run(process, cells=cells)
    assert shown(verdict)[0] == ["old"] and printed(run(process, "print(1)")) == ["1\n"]
    assert [cell.get("executed", False) for cell in verdict.cells] == [False, True]


@pytest.mark.parametrize("bubblewrap", [True, False], ids=["bubblewrap", "kernel"])
def test_a_solved_chapter_shows_what_the_solution_shows(bubblewrap):
    if bubblewrap and not has_bubblewrap():
        pytest.skip("bubblewrap is not installed, or may not make namespaces here")
    solution, release = (release_of(ROOT / f / TOOLS / f"{TOOLS}.ipynb") for f in ("solutions", "chapters"))
    cells = [{**c, "outputs": []} if c["cell_type"] == "code" else c for c in solution]
    with NotebookProcess(bubblewrap=bubblewrap) as process:
        verdict = compared(run(process, cells=cells), solution, release, "cpu")
    assert verdict.notes == []
    code = [cell for cell in verdict.cells if cell["cell_type"] == "code"]
    assert len(code) > 50 and all(cell["executed"] for cell in code)


# --- Compared


def reference_of(*outputs, tags=()):
    texts = (
        o if isinstance(o, list) else [{"output_type": "stream", "name": "stdout", "text": o}]
        for o in outputs
    )
    return [{**cell, "outputs": text, "execution_count": 1, "metadata": {"tags": [*tags]}}
            for cell, text in zip(cells_of(*["…"] * len(outputs)), texts, strict=True)]  # fmt: skip


def test_a_difference_is_a_note_and_no_point_less(process):
    verdict = run(process, "print('loss', 1.25)", "print('same')")
    reference = reference_of("loss 1.5\n", "same\n")
    noted = compared(verdict, reference, reference, "cpu")
    assert noted.notes == ["executed: the cell `…`: 1 of 1 numbers differ: expected 1.5, got 1.25"]
    assert noted.points == 3 and noted.outcome == "graded"


def test_an_exercise_s_own_cells_are_not_compared(process):
    verdict = run(process, "print(1)")
    reference = reference_of("2\n")
    reference[0]["metadata"]["nbgrader"] = {"grade_id": "attention-x-check", "grade": True, "solution": False}
    assert compared(verdict, reference, reference, "cpu").notes == []


def test_many_differences_do_not_bury_the_verdict(process):
    verdict = run(process, *["print(1)"] * 30)
    reference = reference_of(*["2\n"] * 30)
    noted = compared(verdict, reference, reference, "cpu")
    assert len(noted.notes) == 13 and noted.notes[-1] == "executed: 18 more differences"


SLOW_TO_READ = {
    "digits": "1" * 45_000,
    "brackets": "tensor(" * 6_000,
    "commas": "1" + ",111" * 11_000 + ",",
    "exponents": "1e400 1e" + "9" * 5_000,
    "a number of a million digits": "9" * 10**6,
}


@pytest.mark.parametrize("text", SLOW_TO_READ.values(), ids=SLOW_TO_READ)
def test_no_text_keeps_the_comparison_busy(text):
    """It would be hours, if a pattern went back and forth over it."""

    def output(text):
        return [{"output_type": "stream", "name": "stdout", "text": text}]

    assert differences(output("x 1.0 tensor([1., 2.]) " * 200), output(text))


def test_no_html_keeps_the_comparison_busy():
    page = [{"output_type": "display_data", "data": {"text/html": "<" * (4 << 20)}}]
    assert differences([{"output_type": "display_data", "data": {"text/html": "a"}}], page)


# --- Whatever a notebook does


HOSTILE = {
    "exit": ("import os\nos._exit(3)", "it ended its own process (exit code 3)"),
    "kill": ("import os\nfor who in (os.getppid(), os.getpid()): os.kill(who, 9)\nos._exit(1)", "it"),
    "forged": ("import os, socket\nfor f in range(3, 64):\n"
               "    try: os.write(f, b'\\xff' * 99)\n    except OSError: pass", "unreadable"),
    "hang": ("while True:\n    try:\n        while True: pass\n    except BaseException: pass",
             "its time was over"),
    "flood of figures": ("from IPython.display import display\nfor _ in range(10):\n"
                         "    display({'text/html': 'x' * (4 << 20)}, raw=True)", "larger than 32 MB"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_ends_a_run_costs_that_run_alone(process, monkeypatch, name):
    body, words = HOSTILE[name]
    if name == "hang":  # its time is short, and begins when the cell before it is done
        receive = process._receive

        def soon_over():
            received = receive()
            if process._line is not None:
                process._line.deadline = time.monotonic() + 1
            return received

        monkeypatch.setattr(process, "_receive", soon_over)
    verdict = run(process, "print('before')", body, "print('after')")
    before, _, after = shown(verdict)
    assert before[0]["text"] == "before\n" and after == ["old"]
    assert len(verdict.notes) == 1 and words in verdict.notes[0]
    assert f"`{body.splitlines()[0][:60]}`" in verdict.notes[0]
    monkeypatch.undo()
    assert printed(run(process, "print('the next one')")) == ["the next one\n"]


def test_a_flood_of_words_is_cut_and_the_run_goes_on(process):
    verdict = run(process, "for _ in range(300): print('x' * 1_000_000)", "print('on')")
    text, on = printed(verdict)
    assert len(text) < 200_100 and text.endswith("[and so on]") and on == "on\n"


def test_memory_is_bounded(process):
    verdict = run(process, "x = bytearray(8 << 30)", "print('on')")
    assert shown(verdict)[0][0]["ename"] == "MemoryError" and printed(verdict)[1] == "on\n"


def test_nothing_of_the_instructor_s_and_no_network_is_there(process, tmp_path):
    if process.isolation.level == "limits":
        pytest.skip("this machine has neither bubblewrap nor Landlock to keep a notebook from files")
    (tmp_path / "gradebook.db").write_text("marks")
    tmp_path.chmod(0o777)
    paths = [tmp_path / "gradebook.db", ROOT / "solutions" / TOOLS / f"{TOOLS}.ipynb", ROOT / "README.md",
             ROOT / "tests" / "course" / "attacks.py", "/etc/passwd"]  # fmt: skip
    reads = [f"open({str(path)!r}).read()" for path in paths]
    verdict = run(
        process, *reads, "import socket\nsocket.socket()", "!ls", "open('own', 'w').write('ok')",
        f"open({str(ROOT / 'llmlib' / 'new.py')!r}, 'w')", "import os\nsorted(os.environ)",
    )  # fmt: skip
    *refused, own, library, environment = shown(verdict)
    for outputs in refused[: len(reads) + 1]:
        assert outputs[0]["ename"] in ("FileNotFoundError", "PermissionError"), outputs
    assert own[0]["data"]["text/plain"] == "2"
    assert library[0]["ename"] in ("OSError", "PermissionError", "FileNotFoundError")
    assert not (ROOT / "llmlib" / "new.py").exists()
    assert set(environment[0]["data"]["text/plain"]) and "TOKEN" not in environment[0]["data"]["text/plain"]


def test_what_it_shows_is_cleaned_like_a_submission(process):
    body = "from IPython.display import display, HTML, Javascript\n"
    body += "display(HTML('<script>alert(1)</script>'), Javascript('alert(2)'))\nprint('<script>')"
    (cell,) = (cleaned(cell) for cell in run(process, body).cells)
    assert cell["metadata"]["tags"] == ["as-executed"]
    kinds = {kind for output in cell["outputs"] for kind in output.get("data", ())}
    assert kinds <= {"text/plain", "image/png", "image/jpeg"}


# --- The command


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A class of chapter 0, graded with --execute: solved; solved with an exit in it; blank."""
    root = tmp_path_factory.mktemp("executed")
    for folder in ("solutions", "chapters"):
        shutil.copytree(ROOT / folder / TOOLS, root / folder / TOOLS)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    released = nbformat.read(ROOT / "chapters" / TOOLS / f"{TOOLS}.ipynb", 4)
    solved = answers(nbformat.read(ROOT / "solutions" / TOOLS / f"{TOOLS}.ipynb", 4))
    for student in ("right", "leaves", "blank"):
        notebook = copy.deepcopy(released)
        for grade_id, cell in answers(notebook).items():
            if student != "blank":
                cell.source = solved[grade_id].source
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [nbformat.v4.new_output("stream", text="as handed in")]
        if student == "leaves":
            notebook.cells.insert(20, nbformat.v4.new_code_cell("import os\nos._exit(0)"))
        folder = root / "submitted" / student / TOOLS
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{TOOLS}.ipynb")
    command = ["grade", TOOLS, "--jobs", "1", "--json", "--course", str(root)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        assert main([*command, "--execute"]) == 0
    return root, command


FULL = sum(exercise.points for exercise in find_chapter(0).exercises)


def test_the_class_has_its_points_and_its_notes(executed):
    root, _ = executed
    verdicts = {e.verdict.student: e.verdict for e in Journal(root / "grades", TOOLS)}
    assert {s: v.points for s, v in verdicts.items()} == {"right": FULL, "leaves": FULL, "blank": 0}
    assert not verdicts["right"].notes and verdicts["right"].outcome == "graded"
    assert verdicts["leaves"].notes == [
        "executed up to the cell `import os`: it ended its own process (exit code 0) instead of returning"
    ]
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        assert gradebook.find_submission(TOOLS, "leaves").score == FULL


def test_the_graded_notebook_shows_what_was_executed(executed):
    root, _ = executed
    for student, old in (("right", False), ("leaves", True)):
        text = (root / "autograded" / student / TOOLS / f"{TOOLS}.ipynb").read_text()
        assert ("as handed in" in text) is old
        nbformat.validate(notebook := nbformat.reads(text, 4))
        tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
        assert tags == {"as-executed", *(["as-submitted"] if old else [])}


def test_executed_once_is_executed(executed, capsys):
    _, command = executed
    for extra in ([], ["--execute"]):
        assert main([*command[:-3], *command[-2:], *extra]) == 0
        out = capsys.readouterr().out
        assert "0 of 3 submissions to grade" in out
        assert "Executed: 2 of 3 notebooks show what the solution shows." in out


def test_without_the_solutions_it_is_told_why(executed, tmp_path, capsys):
    root, _ = executed
    for name in ("chapters", "submitted"):
        shutil.copytree(root / name, tmp_path / name)
    assert main(["grade", TOOLS, "--execute", "--course", str(tmp_path)]) == 2
    assert "--execute compares with its outputs" in capsys.readouterr().err
    assert json.loads((root / "grades" / TOOLS / "right.json").read_text())["verdict"]["executed"]
