"""`autograder assemble`: a package from the answers that pass, equal to the course's at equal weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nbformat
import pytest
from small_course import ROOT

from autograder import exercises
from autograder.assembling import modules_needed, parts_of_the_model
from autograder.cli import main

SCORES = exercises.find("attention.attention_scores")
MASK = exercises.find("attention.causal_mask")
SOFTMAX = exercises.find("attention.softmax")
# A right answer in another form, with a helper in a cell of its own and one beside it.
MY_HELPER = (
    "import math as arithmetic\n\nSCALE = 1.0\n\ndef my_root(x):\n    return arithmetic.sqrt(x) * SCALE"
)
MY_SCORES = """\
def dotted(query, key):
    return torch.einsum("...qd,...kd->...qk", query, key)

def attention_scores(query, key):
    return dotted(query, key) / my_root(query.shape[-1])

print("a trial")
"""
WRONG_MASK = "def causal_mask(length):\n    return torch.ones(length, length).bool()"


def answered(notebook, grade_id, source):
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)
    cell.source = source
    return notebook.cells.index(cell)


@pytest.fixture
def workbook(tmp_path):
    """Chapter 3 with one right answer of the learner's own, one wrong, and the rest untouched."""
    slug = "03-attention"
    notebook = nbformat.read(ROOT / "chapters" / slug / f"{slug}.ipynb", 4)
    place = answered(notebook, SCORES.grade_id, MY_SCORES)
    answered(notebook, MASK.grade_id, WRONG_MASK)
    notebook.cells.insert(place, nbformat.v4.new_code_cell(MY_HELPER))
    (tmp_path / "workbook" / slug).mkdir(parents=True)
    nbformat.write(notebook, tmp_path / "workbook" / slug / f"{slug}.ipynb")
    return tmp_path / "workbook"


@pytest.fixture
def solved_workbook(tmp_path):
    """Every chapter as the solutions answer it."""
    for chapter in exercises.chapters():
        folder = tmp_path / "workbook" / chapter.slug
        folder.mkdir(parents=True)
        text = (ROOT / "solutions" / chapter.slug / f"{chapter.slug}.ipynb").read_text("utf-8")
        (folder / f"{chapter.slug}.ipynb").write_text(text, "utf-8")
    return tmp_path / "workbook"


def assemble(workbook, *more):
    return main(["assemble", "--workbook", str(workbook), "--output", str(workbook.parent / "mygpt"), *more])


def whose(out):
    return {part["exercise"]: part for part in json.loads(out)["parts"]}


def test_the_package_is_what_a_gpt_needs():
    needed = set(modules_needed())
    assert {"gpt", "attention", "transformer", "training", "tokenization", "generation"} <= needed
    assert {"attention.softmax", "attention.causal_mask"} <= {e.name for e in parts_of_the_model()}


def test_what_passed_is_the_learner_s_and_the_rest_is_marked(workbook, capsys):
    assert assemble(workbook, "--json") == 0
    out = capsys.readouterr().out
    parts = whose(out)
    assert parts[SCORES.name]["whose"] == "yours"
    assert parts[MASK.name]["whose"] == "the course's" and "nothing is hidden" in parts[MASK.name]["why"]
    assert parts[SOFTMAX.name]["why"] == "not attempted"
    assert "differ by at most" in json.loads(out)["agreement"]

    text = (workbook.parent / "mygpt" / "attention.py").read_text("utf-8")
    assert "# Yours: exercise 3.1" in text and 'torch.einsum("...qd,...kd->...qk", query, key)' in text
    assert "def my_root" in text and "SCALE = 1.0" in text and "import math as arithmetic" in text
    assert "a trial" not in text and "llmlib" not in text
    assert text.index("def my_root") < text.index("def attention_scores")
    assert "# The course's own, until your answer to exercise 3.3 passes." in text
    card = (workbook.parent / "mygpt" / "MODEL_CARD.md").read_text("utf-8")
    assert f"1 of {len(parts)} parts written by you" in card and "| 3.1 |" in card


def test_everything_right_is_everything_yours_and_it_trains_and_samples(solved_workbook, capsys):
    assert assemble(solved_workbook, "--json") == 0
    parts = whose(capsys.readouterr().out)
    assert {part["whose"] for part in parts.values()} == {"yours"}, parts
    run = [sys.executable, "-m", "mygpt.train", "--corpus", "stories", "--preset", "tiny", "--steps", "20"]
    done = subprocess.run(
        [*run, "--out", "run", "--json"], cwd=solved_workbook.parent, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.strip().splitlines()[-1])["validation_loss"] > 0
    assert "llmlib" not in done.stdout


def test_nothing_that_a_person_wrote_is_overwritten(workbook, capsys):
    assert assemble(workbook) == 0
    assert "parts are yours" in capsys.readouterr().out
    package = workbook.parent / "mygpt"
    assert assemble(workbook) == 0  # its own work it may replace
    capsys.readouterr()

    edited = package / "gpt.py"
    before = edited.read_text("utf-8") + "\n# my note\n"
    edited.write_text(before, "utf-8")
    assert assemble(workbook) == 2
    assert "gpt.py was edited since the package was assembled" in capsys.readouterr().err
    assert edited.read_text("utf-8") == before


@pytest.mark.parametrize("what", ["strange file", "strange folder"])
def test_a_folder_that_holds_something_else_is_left_alone(workbook, capsys, what):
    package = workbook.parent / "mygpt"
    if what == "strange file":
        assert assemble(workbook) == 0
    else:
        package.mkdir()
    (package / "diary.txt").write_text("dear diary")
    assert assemble(workbook) == 2
    complaint = "diary.txt was added" if what == "strange file" else "was not made by `autograder assemble`"
    assert complaint in capsys.readouterr().err
    assert (package / "diary.txt").read_text() == "dear diary"


def test_without_a_workbook_one_is_told_so(tmp_path, capsys):
    assert main(["assemble", "--workbook", str(tmp_path / "none")]) == 2
    assert "there is no workbook at" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert (
        main(["assemble", "--workbook", str(tmp_path / "empty"), "--output", str(tmp_path / "my gpt")]) == 2
    )
    assert "a package's name is letters" in capsys.readouterr().err


def test_an_empty_workbook_gives_the_course_s_own_gpt(tmp_path, capsys):
    (tmp_path / "workbook").mkdir()
    assert assemble(tmp_path / "workbook", "--json") == 0
    parts = whose(capsys.readouterr().out)
    assert {part["why"] for part in parts.values()} == {"the chapter is not in the workbook"}


def test_an_answer_that_leans_on_what_nobody_defines_stays_the_course_s(workbook, capsys):
    slug = "03-attention"
    path = workbook / slug / f"{slug}.ipynb"
    notebook = nbformat.read(path, 4)
    source = "import os\nattention_scores = lambda query, key: query @ key.mT / query.shape[-1] ** 0.5"
    answered(notebook, SCORES.grade_id, source)
    nbformat.write(notebook, path)
    assert assemble(workbook, "--json") == 0
    part = whose(capsys.readouterr().out)[SCORES.name]
    assert part["whose"] == "the course's" and "no `def` or `class`" in part["why"]
