"""What can be handed in: any damage to a notebook gives a verdict, and honest damage is repaired."""

from __future__ import annotations

import copy
import json
import os
import random

import pytest
from nbgrader_class import ROOT, SLUG, submission

from autograder.classroom import submissions
from autograder.classroom.crew import Plan
from autograder.classroom.grader import OUTCOMES, Verdict
from autograder.classroom.journal import Entry, Journal
from autograder.classroom.submissions import NothingSubmitted, Submission, Unreadable

RELEASE = ROOT / "chapters" / SLUG / f"{SLUG}.ipynb"
FULL = 42


@pytest.fixture(scope="module")
def grader():
    with Plan(SLUG, RELEASE.read_bytes(), seed=5, timeout=600.0).grader() as grader:
        yield grader


@pytest.fixture(scope="module")
def right():
    return json.loads(json.dumps(submission("right")))


def verdict_of(grader, tmp_path, data):
    path = tmp_path / f"{SLUG}.ipynb"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return grader.grade(Submission("somebody", path))


def old_format(notebook):
    """As notebooks were saved before 2014."""
    cells = [{**c, "input": c["source"]} for c in copy.deepcopy(notebook["cells"])]
    return {"nbformat": 3, "worksheets": [{"cells": cells}], "metadata": {}}


def without(cell, key):
    return {k: v for k, v in cell.items() if k != key}


HONEST = {
    "windows line ends": lambda n: json.dumps(n, indent=1).replace("\n", "\r\n").encode(),
    "UTF-16": lambda n: json.dumps(n, ensure_ascii=False).encode("utf-16"),
    "byte-order mark": lambda n: json.dumps(n, ensure_ascii=False).encode("utf-8-sig"),
    "Windows-1252": lambda n: json.dumps(n, ensure_ascii=False).encode("cp1252", errors="replace"),
    "old format": lambda n: json.dumps(old_format(n)).encode(),
    "no ids": lambda n: json.dumps({**n, "cells": [without(c, "id") for c in n["cells"]]}).encode(),
    "no metadata": lambda n: json.dumps({**n, "cells": [{**c, "metadata": {}} for c in n["cells"]]}).encode(),
    "a lone surrogate": lambda n: json.dumps(
        {**n, "cells": [*n["cells"], {"cell_type": "markdown", "source": "\ud800", "metadata": {}}]}
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_what_an_honest_tool_does_costs_nothing(grader, right, tmp_path, name):
    verdict = verdict_of(grader, tmp_path, HONEST[name](right))
    assert (verdict.points, verdict.outcome in ("graded", "repaired")) == (FULL, True), verdict.notes


HOPELESS = {
    "nothing": (b"", "is not a notebook"),
    "no JSON": (b"{" * 50, "is not a notebook"),
    "half a file": (b'{"cells": [{"cell_type": "code"', "is not a notebook"),
    "a list": (b"[1, 2]", "no list of cells"),
    "deep": (b"[" * 200_000, "is not a notebook"),
    "many cells": (json.dumps({"cells": [{}] * 5000}).encode(), "5,000 cells"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a notebook"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_is_no_notebook_is_told_so(grader, tmp_path, name):
    data, words = HOPELESS[name]
    verdict = verdict_of(grader, tmp_path, data)
    assert verdict.points == 0 and verdict.outcome in ("crashed", "tampered")
    assert words in verdict.notes[0]


def test_a_file_too_large_is_not_even_read(tmp_path):
    path = tmp_path / "huge.ipynb"
    with path.open("wb") as file:
        file.truncate(submissions.MOST_BYTES + 1)
    with pytest.raises(Unreadable, match="larger than 50 MB"):
        submissions.read_bytes(path)


def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    for name in ("pipe.ipynb", "folder.ipynb"):
        with pytest.raises(Unreadable, match=r"no plain file|cannot read"):
            submissions.read_bytes(tmp_path / name)


def damage(notebook, chance: random.Random) -> bytes:
    """One random thing wrong with a notebook."""
    kind = chance.choice(["cut", "flip", "retype", "drop", "huge", "nest", "encode"])
    if kind in ("retype", "drop", "huge", "nest"):
        notebook = copy.deepcopy(notebook)
        holder = notebook if chance.random() < 0.1 else chance.choice(notebook["cells"])
        key = chance.choice(sorted(holder))
        nested: object = []
        for _ in range(900):
            nested = [nested]
        junk = [None, 7, "x", [], {}, [1, 2], {"a": []}, True, [None], 1e308]
        if kind == "drop":
            del holder[key]
        else:
            holder[key] = {"retype": chance.choice(junk), "huge": "x" * 300_000, "nest": nested}[kind]
        return json.dumps(notebook).encode()
    data = bytearray(json.dumps(notebook, ensure_ascii=False).encode())
    if kind == "cut":
        return bytes(data[: chance.randrange(len(data))])
    if kind == "encode":
        return data.decode().encode(chance.choice(["utf-16", "utf-32", "cp1252", "utf-7"]), errors="replace")
    for _ in range(chance.randrange(1, 20)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


@pytest.mark.parametrize(
    "start", [0, *(pytest.param(s, marks=pytest.mark.long) for s in range(40, 2000, 40))]
)
def test_a_damaged_notebook_has_a_verdict(grader, right, tmp_path, start):
    """A blank one and a right one by turns: damage earns nothing, and what it costs has a reason."""
    blank = json.loads(RELEASE.read_text())
    for seed in range(start, start + 40):
        notebook = right if seed % 2 else blank
        verdict = verdict_of(grader, tmp_path, damage(notebook, random.Random(seed)))
        assert verdict.outcome in OUTCOMES and verdict.outcome != "grader_fault", (seed, verdict.notes)
        assert verdict.max_points == FULL, (seed, verdict.notes)
        assert verdict.points == 0 or notebook is right, (seed, verdict.notes)
        for report in verdict.exercises:
            assert report["points"] == report["max_points"] or report["reason"], (seed, report)
        json.dumps(verdict.as_plain()).encode()


def test_an_answer_leans_on_the_learner_s_own_cells(grader, right, tmp_path):
    notebook = copy.deepcopy(right)
    answer = next(c for c in notebook["cells"] if "def causal_mask" in "".join(c["source"]))
    answer["source"] = "def causal_mask(length):\n    return upto(length, LIMIT)"
    helper = "import torch\nLIMIT: int = 2 - 2\nprint(1 / 0)\n"
    helper += "def upto(n, d):\n    return torch.ones(n, n).tril(d).bool()"
    notebook["cells"].insert(
        1, {"cell_type": "code", "id": "own", "metadata": {}, "source": helper, "outputs": []}
    )
    verdict = verdict_of(grader, tmp_path, notebook)
    assert (verdict.points, verdict.outcome) == (FULL, "graded"), verdict.notes


# --- Finding them


def test_nbgrader_s_layout_and_a_renamed_notebook(tmp_path):
    for student, name in (("ann", f"{SLUG}.ipynb"), ("bob", f"{SLUG} (1).ipynb"), ("carl", "notes.txt")):
        (tmp_path / student / SLUG).mkdir(parents=True)
        (tmp_path / student / SLUG / name).write_text("{}")
    found = {s.student: s for s in submissions.find(tmp_path, SLUG)}
    assert found["bob"].path.name == f"{SLUG} (1).ipynb"
    with pytest.raises(Unreadable, match="nothing was handed in"):
        submissions.read_bytes(found["carl"].path)


def test_a_folder_of_downloads(tmp_path):
    for name in ("Ann Lee_123_assign.ipynb", "bob_x.ipynb", "bob_y.ipynb", "..hidden_1.ipynb"):
        (tmp_path / name).write_text("{}")
    found = {s.student: s for s in submissions.find(tmp_path, SLUG)}
    assert found["Ann Lee"].refused == ""
    assert "2 files are bob's" in found["bob"].refused
    (hidden,) = (s for s in found.values() if s.student.startswith("hidden-"))
    assert "'..hidden' cannot be a student's name" in hidden.refused


@pytest.mark.parametrize("layout", ["{}/" + f"{SLUG}/{SLUG}.ipynb", "{}_1.ipynb"])
def test_names_that_cannot_be_kept_take_nobody_else_s(tmp_path, layout):
    """Not each other's, and not that of a student whose name is what is left of theirs."""
    penguin, cat = "\N{PENGUIN}", "\N{CAT FACE}"
    names = [penguin, cat, "bob", f"{cat}bob", "-bob", f"{penguin}bob", "…", "鈴木", "鈴" * 70, "\udcff"]
    for name in names:
        path = tmp_path / layout.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    found = submissions.find(tmp_path, SLUG)
    assert len({s.student for s in found}) == len(names)
    assert {s.student for s in found if not s.refused} == {"bob", "鈴木"}
    assert all("cannot be a student's name: rename it" in s.refused for s in found if s.student not in names)
    journal = Journal(tmp_path / "grades", SLUG)
    for one in found:
        journal.write(Entry(Verdict(one.student, SLUG, "graded", [], "none", []), "key", 1))
    assert len(list(journal)) == len(names)


def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path, monkeypatch):
    """Its student is not passed over in silence. (The superuser may look into all.)"""
    for student in ("ann", "bob"):
        (tmp_path / student / SLUG).mkdir(parents=True)
        (tmp_path / student / SLUG / f"{SLUG}.ipynb").write_text("{}")
    monkeypatch.setattr("os.access", lambda path, how: path.name != "bob")
    found = {s.student: s.refused for s in submissions.find(tmp_path, SLUG)}
    assert found == {"ann": "", "bob": f"its folder {tmp_path / 'bob'} is not yours to read"}


def test_another_pattern_and_a_file_that_does_not_fit(tmp_path):
    for name in ("hw3-ann.ipynb", "other.ipynb"):
        (tmp_path / name).write_text("{}")
    found = {s.student: s.refused for s in submissions.find(tmp_path, SLUG, r"hw3-(?P<student>\w+)\.ipynb")}
    assert found == {"ann": "", "other": "its name does not fit --pattern"}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(", "no regular expression"), ("x", "needs a group"), (r"(?P<student>x)", "holds neither")],
)
def test_nothing_to_grade_is_told_why(tmp_path, pattern, words):
    with pytest.raises(NothingSubmitted, match=words):
        submissions.find(tmp_path, SLUG, pattern)
