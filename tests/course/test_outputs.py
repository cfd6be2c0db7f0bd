"""The stored outputs are what the code shows, and `autograder outputs` tells where a learner's differ."""

from __future__ import annotations

import copy
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from small_course import ROOT

from autograder.cli import main
from autograder.outputs import OutputsError, as_cell, compare_notebooks, read_notebook

SLUG = "03-attention"


def stored(folder, slug=SLUG):
    return read_notebook(ROOT / folder / slug / f"{slug}.ipynb")


@pytest.fixture
def learner():
    """A learner's notebook with everything right: the solution as it was executed."""
    return stored("solutions")


def compare(mine, **about):
    return compare_notebooks(stored("solutions"), stored("chapters"), mine, **about)


def wrong(mine, **about):
    return {
        report.cell_id: report for report in compare(mine, **about) if report.state not in ("same", "long")
    }


def saved(tmp_path, cells, name=f"{SLUG}.ipynb"):
    plain = [{key: value for key, value in cell.items() if value is not None} for cell in cells]
    for cell in plain:
        if cell["cell_type"] == "code":
            cell.setdefault("execution_count", None)
    path = tmp_path / name
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": plain}), "utf-8")
    return path


def test_the_stored_outputs_are_what_the_code_shows(solved, executed):
    """What nbval asks, on the run that every test of the chapter shares."""
    slug = solved.slug
    mine = [as_cell(cell) for cell in json.loads(nbformat.writes(executed))["cells"]]
    reports = compare_notebooks(stored("solutions", slug), stored("chapters", slug), mine)
    assert [(r.first_line, r.differences) for r in reports if r.state not in ("same", "long")] == []
    assert sum(r.state == "same" for r in reports) > 10


# --- What is found


def printed_numbers(cells):
    """Code cells that print a computed number with decimals, and a place to damage."""
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if {"timing", "trained", "varies", "long"} & set(tags):
            continue
        for output in cell["outputs"]:
            if output.get("name") == "stdout" and re.search(r"\d\.\d{2,}", "".join(output["text"])):
                yield cell, output


def damaged(text, how):
    text = "".join(text)
    number = re.search(r"-?\d+\.\d{2,}", text)
    value = number.group()
    decimals = len(value.partition(".")[2])
    other = {
        "another sign": value[1:] if value.startswith("-") else f"-{value}",
        "one percent": f"{float(value) * 1.01 + 3 * 10**-decimals:.{decimals}f}",
        "nan": "nan",
    }[how]
    return text[: number.start()] + other + text[number.end() :]


@pytest.mark.parametrize("how", ["another sign", "one percent", "nan"])
def test_a_wrong_number_anywhere_in_the_real_chapter_is_found(learner, how):
    places = list(printed_numbers(learner))
    assert len(places) > 10
    for cell, output in places:
        before = copy.deepcopy(output["text"])
        if float(re.search(r"-?\d+\.\d{2,}", "".join(before)).group()) == 0 and how == "another sign":
            continue  # minus nought is nought
        output["text"] = damaged(before, how)
        assert cell["id"] in wrong(learner), (cell["source"], before)
        output["text"] = before
    assert wrong(learner) == {}


def test_a_cell_that_was_not_run_and_one_that_is_gone_are_named(learner):
    (cell, _), (other, _), *_ = printed_numbers(learner)
    cell["outputs"], cell["execution_count"] = [], None
    gone = [c for c in learner if c is not other]
    found = wrong(gone)
    assert found[cell["id"]].differences == ("the cell has not been run",)
    assert found[other["id"]].state == "missing"


def test_an_edited_cell_is_said_to_be_edited(learner):
    cell, output = next(printed_numbers(learner))
    cell["source"] += "\nprint('more')"
    output["text"] = "".join(output["text"]) + "more\n"
    report = wrong(learner)[cell["id"]]
    assert report.edited and "got “more”" in report.differences[0]


def test_a_learner_cannot_switch_the_comparison_off(learner):
    cell, output = next(printed_numbers(learner))
    output["text"] = damaged(output["text"], "one percent")
    cell["metadata"] = {"tags": ["timing", "long", "trained", "nbval-skip", "nbval-ignore-output"]}
    cell["source"] = "# NBVAL_SKIP\n# NBVAL_IGNORE_OUTPUT\n" + cell["source"]
    assert cell["id"] in wrong(learner)


def test_cells_are_known_without_their_ids_and_in_another_place(learner):
    cell, output = next(printed_numbers(learner))
    identifier = cell["id"]
    output["text"] = damaged(output["text"], "one percent")
    extra = {**copy.deepcopy(learner[0]), "cell_type": "code", "source": "my_own = 1", "id": None}
    for one in learner:
        one["id"] = None
    assert set(wrong([extra, *learner])) == {identifier}


def test_what_ran_on_a_gpu_is_compared_too(learner):
    for _, output in printed_numbers(learner):
        output["text"] = "".join(output["text"]).replace("tensor(0.5", "tensor(0.5, device='cuda:0'")
    assert wrong(learner, device="cuda") == {}
    cell, output = next(printed_numbers(learner))
    output["text"] = damaged(output["text"], "one percent")
    assert set(wrong(learner, device="cuda")) == {cell["id"]}


# --- The command


def test_the_command_says_in_words_what_differs(learner, tmp_path, capsys):
    assert main(["outputs", str(saved(tmp_path, learner))]) == 0
    assert "code cells show what they should." in capsys.readouterr().out

    cell, output = next(printed_numbers(learner))
    output["text"] = damaged(output["text"], "one percent")
    path = saved(tmp_path, learner)
    assert main(["outputs", str(path)]) == 1
    out = capsys.readouterr().out
    assert cell["source"].splitlines()[0] in out and "expected" in out and "got" in out
    assert main(["outputs", str(path), "--json"]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain["chapter"] == SLUG and plain["same"] is False
    assert [c["cell"] for c in plain["cells"] if c["state"] == "different"] == [cell["id"]]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.ipynb"], "cannot read"),
        (["foreign.ipynb"], "cannot tell which chapter"),
        (["foreign.ipynb", "--chapter", SLUG], "holds no cell of this chapter"),
        (["foreign.ipynb", "--chapter", "99-none"], "there is no chapter '99-none'"),
        (["text.ipynb"], "is not a Jupyter notebook"),
    ],
)
def test_what_cannot_be_compared_is_told_without_a_traceback(arguments, complaint, tmp_path, capsys):
    foreign = [{"cell_type": "code", "id": "x", "source": "1 + 1", "metadata": {}, "outputs": []}]
    saved(tmp_path, foreign, "foreign.ipynb")
    (tmp_path / "text.ipynb").write_text("no notebook", "utf-8")
    assert main(["outputs", str(tmp_path / arguments[0]), *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert complaint in error and "Traceback" not in error


def test_a_copy_is_executed_on_request(tmp_path, capsys):
    cells = stored("chapters")
    code = [c for c in cells if c["cell_type"] == "code"]
    # Only what needs no answer: the set-up and the first cells of the chapter.
    path = saved(tmp_path, code[:3])
    before = path.read_bytes()
    assert main(["outputs", str(path), "--chapter", SLUG, "--execute", "--json"]) == 1
    plain = json.loads(capsys.readouterr().out)
    assert [c["state"] for c in plain["cells"][:3]] == ["same", "same", "same"]
    assert {c["state"] for c in plain["cells"][3:]} == {"missing"}
    assert path.read_bytes() == before


def test_damaged_notebooks_get_an_answer_each(tmp_path):
    """Bytes cut, fields of another type, fields gone: a verdict or a sentence, never another exception."""
    draw = random.Random(0)
    text = (ROOT / "solutions" / SLUG / f"{SLUG}.ipynb").read_text("utf-8")
    whole = json.loads(text)
    reference, chapter = stored("solutions"), stored("chapters")
    path = tmp_path / "damaged.ipynb"
    outcomes = set()
    for _ in range(60):
        notebook = copy.deepcopy(whole)
        for _ in range(draw.randint(1, 6)):
            cell = draw.choice(notebook["cells"])
            if not isinstance(cell, dict) or not cell:
                continue
            junk = draw.choice([None, 7, [], {}, "x", [1], [None], {"a": 1}, [[]], True])
            if isinstance(cell.get("outputs"), list) and cell["outputs"] and draw.random() < 0.5:
                output = draw.choice(cell["outputs"])
                if isinstance(output, dict) and output:
                    output[draw.choice(sorted(output))] = junk
            else:
                cell[draw.choice(sorted(cell))] = junk
        damaged_text = json.dumps(notebook)
        if draw.random() < 0.2:
            damaged_text = damaged_text[: draw.randrange(len(damaged_text))]
        path.write_text(damaged_text, "utf-8")
        try:
            compare_notebooks(reference, chapter, read_notebook(path))
            outcomes.add("compared")
        except OutputsError as error:
            assert str(error)
            outcomes.add("refused")
    assert outcomes == {"compared", "refused"}


# --- pytest --nbval


def nbval(folder: Path, *cells):
    notebook = new_notebook(cells=list(cells))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "small.ipynb")
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "small.ipynb"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800, check=False)
    return done.returncode, done.stdout


def code(source, printed="", tags=()):
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    return new_code_cell(source, outputs=outputs, execution_count=1, metadata={"tags": list(tags)})


def test_nbval_compares_by_tolerance_and_in_words(tmp_path):
    status, out = nbval(
        tmp_path,
        code("import os, sys\nprint('noise', file=sys.stderr)"),
        code("print(1.00001)", "1.00002\n"),
        code("print('took 3 s')", "took 9 s\n"),
        code("print(0.5)", "0.52\n", tags=["trained"]),
        code("print(os.environ['OMP_NUM_THREADS'])", "1\n"),
        code("print(1.5)", "2.5\n"),
        code("print(7)", "7\n"),
    )
    assert status == 1 and "1 failed, 6 passed" in out
    assert "1 of 1 numbers differ: expected 2.5, got 1.5" in out


def test_nbval_reports_a_dead_kernel_at_once(tmp_path):
    status, out = nbval(tmp_path, code("import os\nos._exit(1)"), code("print(1)", "1\n"))
    assert status == 1 and "the kernel died while this cell ran" in out and "2 failed" in out


@pytest.mark.long
@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "solutions").glob("*/*.ipynb")), ids=lambda path: path.stem
)
def test_nbval_over_the_solutions(notebook, request):
    if 'load_corpus(\\"shakespeare\\")' in notebook.read_text("utf-8"):
        request.getfixturevalue("shakespeare")
    command = [sys.executable, "-m", "pytest", "--nbval", str(notebook), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
