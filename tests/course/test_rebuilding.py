"""Whatever was done to a notebook, its answers are found, and everything else is the instructor's again."""

from __future__ import annotations

import copy
import random

import pytest
from small_course import ROOT

from autograder.outputs import read_notebook
from autograder.rebuilding import rebuild

SLUG = "03-attention"
SOFTMAX, MASK, WORDS = "attention-softmax", "attention-causal-mask", "attention-why-divide"
MY_MASK = "def causal_mask(length):\n    return mine(length)"
MY_WORDS = "Because the slopes vanish."


def part(source, identifier, kind="code", **flags):
    meta = (
        {"nbgrader": {"grade_id": identifier, "schema_version": 3, "task": False, **flags}} if flags else {}
    )
    cell = {"cell_type": kind, "id": identifier, "metadata": meta, "source": source}
    return {**cell, "outputs": [], "execution_count": None} if kind == "code" else cell


@pytest.fixture
def release():
    answer = {"grade": False, "solution": True, "locked": False}
    check = {"grade": True, "solution": False, "locked": True, "points": 3}
    return [
        part("# Title", "title", "markdown"),
        part("import torch", "set-up"),
        part("Write it.", f"{MASK}-statement", "markdown"),
        part("def causal_mask(length):\n    raise NotImplementedError('3.3')", MASK, **answer),
        part('causal_mask = check(causal_mask, "3.3")\nverdict()', f"{MASK}-check", **check),
        part("print(causal_mask(3))", "show"),
        part("Why?", f"{WORDS}-statement", "markdown"),
        part("*Your answer*", WORDS, "markdown", **{**answer, "grade": True, "points": 3}),
    ]


@pytest.fixture
def mine(release):
    cells = copy.deepcopy(release)
    cells[3]["source"], cells[7]["source"] = MY_MASK, MY_WORDS
    return cells


def sources(rebuilt):
    return {cell["id"]: cell["source"] for cell in rebuilt.cells}


def assert_right(rebuilt, release):
    """The answers arrived, and every cell of the release is there in its order with its own metadata."""
    ours = [cell for cell in rebuilt.cells if not cell["id"].startswith("learner-")]
    assert [c["id"] for c in ours] == [c["id"] for c in release]
    assert [c["metadata"] for c in ours] == [c["metadata"] for c in release]
    assert [c["cell_type"] for c in ours] == [c["cell_type"] for c in release]
    answers = {MASK: MY_MASK, WORDS: MY_WORDS}
    assert [c["source"] for c in ours] == [answers.get(c["id"], c["source"]) for c in release]


def test_an_honest_notebook_needs_no_repair(release, mine):
    rebuilt = rebuild(release, mine)
    assert_right(rebuilt, release)
    assert rebuilt.notes == [] and len(rebuilt.cells) == len(release)


def copied_before(cells):
    cells.insert(3, copy.deepcopy(cells[3]) | {"source": "def causal_mask(length):\n    return 1"})


def copied_stub_after(cells):
    stub = "def causal_mask(length):\n    raise NotImplementedError('3.3')"
    cells.insert(5, copy.deepcopy(cells[3]) | {"source": stub, "id": "another"})


def copied_check(cells):
    cells.append(copy.deepcopy(cells[4]))


def copied_everything(cells):
    cells += copy.deepcopy(cells)


def without_ids(cells):
    for cell in cells:
        cell["id"] = None


def without_metadata(cells):
    for cell in cells:
        cell["metadata"] = {}


def without_anything_but_text(cells):
    without_ids(cells)
    without_metadata(cells)


def retyped(cells):
    cells[3]["cell_type"], cells[7]["cell_type"] = "raw", "code"


def reflagged(cells):
    cells[3]["metadata"]["nbgrader"] |= {"solution": False, "grade": True, "points": 100, "locked": True}
    cells[4]["metadata"]["nbgrader"] |= {"points": 100, "solution": True}


def check_rewritten(cells):
    cells[4]["source"] = "100"


def check_deleted(cells):
    del cells[4]


def moved(cells):
    random.Random(1).shuffle(cells)


def statement_deleted(cells):
    del cells[2]


DAMAGES = [
    (copied_before, "there 2 times"),
    (copied_stub_after, "there 2 times"),
    (copied_check, ""),
    (copied_everything, "there 2 times"),
    (without_ids, ""),
    (without_metadata, ""),
    (without_anything_but_text, ""),
    (retyped, "had become a raw cell"),
    (reflagged, ""),
    (check_rewritten, ""),
    (check_deleted, "attention-causal-mask-check was missing and was put back"),
    (moved, ""),
    (statement_deleted, "-statement was missing"),
]


@pytest.mark.parametrize(("damage", "note"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_repaired_and_said(release, mine, damage, note):
    damage(mine)
    rebuilt = rebuild(release, mine)
    assert_right(rebuilt, release)
    assert note in " ".join(rebuilt.notes)


def test_a_deleted_answer_counts_as_not_attempted(release, mine):
    del mine[3]
    rebuilt = rebuild(release, mine)
    assert sources(rebuilt)[MASK] == release[3]["source"]
    assert any("counts as not attempted" in note for note in rebuilt.notes)


def test_cells_of_the_learner_s_own_stay_where_they_stood_as_plain_cells(release, mine):
    flagged = {"nbgrader": {"grade_id": "my-own", "grade": True, "points": 50}, "tags": ["long"]}
    helper = {**part("def mine(length):\n    return length", "h"), "metadata": flagged}
    mine.insert(3, helper)
    rebuilt = rebuild(release, mine)
    assert_right(rebuilt, release)
    place = [cell["id"] for cell in rebuilt.cells].index(MASK)
    assert rebuilt.cells[place - 1]["source"] == helper["source"]
    assert rebuilt.cells[place - 1]["metadata"] == {} and rebuilt.notes == []


def test_what_an_edited_cell_of_the_course_defines_is_kept_beside_the_course_s_text(release, mine):
    mine[1]["source"] = (
        "import torch\nimport math\n\ndef mine(length):\n    return length\n\nprint('train for an hour')"
    )
    rebuilt = rebuild(release, mine)
    assert_right(rebuilt, release)
    extra = next(cell for cell in rebuilt.cells if cell["id"].startswith("learner-"))
    assert "import math" in extra["source"] and "def mine" in extra["source"]
    assert "import torch" not in extra["source"] and "print" not in extra["source"]
    assert "1 of the course's own code cell was edited" in rebuilt.notes[0]


def test_rebuilding_twice_changes_nothing_more(release, mine):
    copied_before(mine)
    once = rebuild(release, mine)
    again = rebuild(release, copy.deepcopy(once.cells))
    assert [(c["id"], c["source"]) for c in again.cells if not c["id"].startswith("learner")] == [
        (c["id"], c["source"]) for c in once.cells if not c["id"].startswith("learner")
    ]
    assert again.notes == []


def test_the_real_chapter_is_rebuilt_from_its_solution():
    release = read_notebook(ROOT / "chapters" / SLUG / f"{SLUG}.ipynb")
    solved = read_notebook(ROOT / "solutions" / SLUG / f"{SLUG}.ipynb")
    rebuilt = rebuild(release, solved)
    assert [cell["source"] for cell in rebuilt.cells] == [cell["source"] for cell in solved]
    assert rebuilt.notes == []
