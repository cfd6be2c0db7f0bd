"""The learner's work is never lost: merging, damaged files, interruptions."""

from __future__ import annotations

import copy
import json
import os
import threading

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder import workbook as module
from autograder.merging import identify, merge
from autograder.workbook import Damaged, update

SLUG = "03-small"


def prose(identifier, source):
    return {"id": identifier, "cell_type": "markdown", "metadata": {}, "source": source}


def code(identifier, source, outputs=(), **metadata):
    made = [{"output_type": "stream", "name": "stdout", "text": text} for text in outputs]
    return {
        "id": identifier, "cell_type": "code", "metadata": metadata, "source": source,
        "outputs": made, "execution_count": 1 if made else None,
    }  # fmt: skip


def answer(name, source):
    meta = {
        "grade_id": name,
        "grade": False,
        "solution": True,
        "locked": False,
        "schema_version": 3,
        "task": False,
    }
    return code(name, source, nbgrader=meta, deletable=False)


def check(name):
    meta = {
        "grade_id": f"{name}-check",
        "grade": True,
        "solution": False,
        "locked": True,
        "schema_version": 3,
    }
    source = f'{name} = check({name}, "3.1")\nverdict()'
    return code(f"{name}-check", source, nbgrader={**meta, "points": 1, "task": False}, editable=False)


def course():
    """A chapter with prose, code, and one exercise."""
    return [
        prose("t", "# Title"),
        code("a", "x = 1"),
        prose("f-statement", "Write f."),
        answer("f", "def f():\n    raise NotImplementedError"),
        check("f"),
        prose("p", "A paragraph about something."),
        code("b", "print(x)"),
    ]


def texts(cells):
    return [cell["source"] for cell in cells]


def get(cells, identifier):
    return next(cell for cell in cells if cell["id"] == identifier)


def edit(cells, identifier, source):
    get(cells, identifier)["source"] = source
    return cells


def solved():
    """The learner's notebook after an hour."""
    mine = edit(course(), "f", "def f():\n    return 1")
    get(mine, "b")["outputs"] = code("b", "", outputs=["1\n"])["outputs"]
    get(mine, "b")["execution_count"] = 9
    mine.insert(2, code("mine-1", "my_experiment()"))
    mine.append(prose("mine-2", "My note."))
    return mine


# Merging.


def test_an_answer_stays_and_the_rest_is_brought_up_to_date():
    new = edit(course(), "f-statement", "Write f, well.")
    new[5] = prose("p2", "A better paragraph.")
    merged = merge(course(), new, solved()).cells
    assert texts(merged) == [
        "# Title", "x = 1", "my_experiment()", "Write f, well.", "def f():\n    return 1",
        'f = check(f, "3.1")\nverdict()', "A better paragraph.", "print(x)", "My note.",
    ]  # fmt: skip


def test_outputs_of_unchanged_cells_stay_and_those_of_changed_cells_go():
    new = edit(course(), "a", "x = 2")
    mine = solved()
    get(mine, "a")["outputs"] = code("a", "", outputs=["old"])["outputs"]
    merged = merge(course(), new, mine).cells
    assert (
        get(merged, "b")["outputs"] == get(mine, "b")["outputs"] and get(merged, "b")["execution_count"] == 9
    )
    assert get(merged, "a")["source"] == "x = 2" and get(merged, "a")["outputs"] == []


def test_an_edited_cell_stays_where_the_course_did_not_touch_it():
    mine = edit(course(), "a", "x = 1  # mine")
    new = edit(course(), "b", "print(x, x)")
    assert texts(merge(course(), new, mine).cells)[1] == "x = 1  # mine"


def test_a_cell_that_both_changed_is_there_twice_and_said():
    mine = edit(course(), "f-statement", "Write f. (I think it is easy.)")
    merged = merge(course(), edit(course(), "f-statement", "Write f, well."), mine)
    place = texts(merged.cells).index("Write f, well.")
    assert merged.cells[place + 1]["source"] == "Write f. (I think it is easy.)"
    assert merged.notes == [
        "you and the course both changed the cell f-statement: yours stands below the course's"
    ]


def test_a_check_cell_is_the_courses_and_an_edited_one_is_kept_as_a_plain_cell():
    mine = edit(course(), "f-check", "f = check(f)\nverdict()\nprint('mine')")
    merged = merge(course(), edit(course(), "f-check", 'f = check(f, "3.2")\nverdict()'), mine).cells
    place = [c["id"] for c in merged].index("f-check")
    assert merged[place]["source"] == 'f = check(f, "3.2")\nverdict()'
    kept = merged[place + 1]
    assert "print('mine')" in kept["source"] and "nbgrader" not in kept["metadata"]
    assert "editable" not in kept["metadata"]


def test_an_edited_answer_stays_when_its_stub_changes_and_it_is_said():
    new = edit(course(), "f", "def f(y):\n    raise NotImplementedError")
    merged = merge(course(), new, solved())
    assert get(merged.cells, "f")["source"] == "def f():\n    return 1"
    assert merged.notes == ["your answer in f stays; its starting text is another one now"]
    untouched = merge(course(), new, course())
    assert get(untouched.cells, "f")["source"] == "def f(y):\n    raise NotImplementedError"
    assert untouched.notes == []


def test_a_cell_that_the_course_took_out_goes_unless_it_was_edited():
    new = [cell for cell in course() if cell["id"] not in ("a", "p")]
    mine = edit(course(), "p", "A paragraph about something. I disagree.")
    assert texts(merge(course(), new, mine).cells) == [
        "# Title", "Write f.", "def f():\n    raise NotImplementedError",
        'f = check(f, "3.1")\nverdict()', "A paragraph about something. I disagree.", "print(x)",
    ]  # fmt: skip


def test_an_answer_to_an_exercise_that_is_no_more_stays_as_a_plain_cell():
    new = [cell for cell in course() if not cell["id"].startswith("f")]
    merged = merge(course(), new, solved()).cells
    kept = next(cell for cell in merged if cell["source"] == "def f():\n    return 1")
    assert "nbgrader" not in kept["metadata"] and "deletable" not in kept["metadata"]


def test_a_cell_that_the_learner_took_out_stays_out_unless_it_belongs_to_an_exercise():
    mine = [cell for cell in course() if cell["id"] not in ("p", "f-check", "f-statement")]
    new = edit(course(), "b", "print(x, x)")
    merged = [cell["id"] for cell in merge(course(), new, mine).cells]
    assert merged == ["t", "a", "f-statement", "f", "f-check", "b"]


def test_a_new_exercise_arrives_between_its_neighbours():
    new = course()
    new[6:6] = [prose("g-statement", "Write g."), answer("g", "def g(): raise"), check("g")]
    merged = [cell["id"] for cell in merge(course(), new, solved()).cells]
    assert merged == [
        "t",
        "a",
        "mine-1",
        "f-statement",
        "f",
        "f-check",
        "p",
        "g-statement",
        "g",
        "g-check",
        "b",
        "mine-2",
    ]


def test_a_scratch_cell_is_not_taken_for_the_answer_of_a_new_exercise():
    new = course()
    new[6:6] = [
        prose("g-statement", "Write g."),
        answer("g", "def g():\n    raise NotImplementedError"),
        check("g"),
    ]
    mine = course()
    mine.insert(6, code("scratch", "def g():\n    return 'mine'"))
    merged = merge(course(), new, mine).cells
    assert get(merged, "g")["source"] == "def g():\n    raise NotImplementedError"
    assert "nbgrader" not in get(merged, "scratch")["metadata"]


def test_cells_before_the_first_stay_before_the_first():
    mine = [code("own", "import os"), *course()]
    assert texts(merge(course(), edit(course(), "a", "x = 2"), mine).cells)[:2] == ["import os", "# Title"]


def test_pictures_pasted_into_a_cell_are_an_edit():
    mine = course()
    get(mine, "p")["attachments"] = {"a.png": {"image/png": "AAAA"}}
    new = [cell for cell in course() if cell["id"] != "p"]
    assert get(merge(course(), new, mine).cells, "p")["attachments"]


def test_what_the_course_says_of_a_cell_is_renewed_and_the_rest_is_the_learners():
    base, mine, new = course(), course(), course()
    get(base, "b")["metadata"] = {"tags": ["long"], "old": 1}
    get(mine, "b")["metadata"] = {"tags": ["long"], "old": 1, "collapsed": True}
    get(new, "b")["metadata"] = {"tags": ["timing"]}
    assert get(merge(base, new, mine).cells, "b")["metadata"] == {"tags": ["timing"], "collapsed": True}


# Identity: grade_id, then cell id, then place.


def without_ids(cells, metadata=True):
    """As Colab and old tools save."""
    for place, cell in enumerate(cells):
        del cell["id"]
        if not metadata:
            cell["metadata"] = {}
        assert place < 100
    return cells


@pytest.mark.parametrize("metadata", [True, False])
def test_a_notebook_without_ids_is_merged_alike(metadata):
    new = edit(course(), "f-statement", "Write f, well.")
    mine = solved()
    edit(mine, "p", "A paragraph about something (!).")
    merged = merge(course(), new, without_ids(copy.deepcopy(mine), metadata)).cells
    assert texts(merged) == texts(merge(course(), new, mine).cells)
    assert get(merged, "f")["source"] == "def f():\n    return 1"
    assert get(merged, "f")["metadata"]["nbgrader"]["grade_id"] == "f"
    assert get(merged, "p")["source"] == "A paragraph about something (!)."


def test_ids_that_a_tool_drew_at_random_do_not_matter():
    mine = solved()
    for place, cell in enumerate(mine):
        cell["id"], cell["metadata"] = f"random-{place}", {}
    merged = merge(course(), edit(course(), "f-statement", "Write f, well."), mine).cells
    assert get(merged, "f")["source"] == "def f():\n    return 1"
    assert texts(merged).count("Write f.") == 0 and texts(merged).count("# Title") == 1


def test_an_answer_that_was_written_anew_is_known_by_the_name_that_it_defines():
    mine = without_ids(course(), metadata=False)
    mine[3]["source"] = (
        "import torch\n\n\ndef f():\n    return torch.zeros(3).sum().item() + something_else()"
    )
    mine.insert(3, {"cell_type": "code", "metadata": {}, "source": "scratch = 3"})
    assert identify(course(), [], mine) == ["t", "a", "f-statement", None, "f", "f-check", "p", "b"]


def test_of_a_copied_answer_the_one_with_the_id_counts():
    mine = course()
    twin = copy.deepcopy(get(mine, "f"))
    twin.update(id="copied", source="def f():\n    return 'copy'")
    mine.insert(3, twin)
    edit(mine, "f", "def f():\n    return 'mine'")
    assert identify(course(), [], mine)[3:5] == [None, "f"]
    merged = merge(course(), edit(course(), "a", "x = 2"), mine).cells
    assert get(merged, "f")["source"] == "def f():\n    return 'mine'"
    assert "nbgrader" not in get(merged, "copied")["metadata"]


def test_two_cells_with_one_id_both_stay():
    mine = course()
    mine.insert(2, code("a", "y = 2"))
    merged = merge(course(), edit(course(), "b", "print(x, x)"), mine).cells
    assert texts(merged).count("x = 1") == texts(merged).count("y = 2") == 1
    assert len({cell["id"] for cell in merged}) == len(merged)


def test_a_moved_cell_is_still_known():
    mine = edit(course(), "f", "def f():\n    return 1")
    mine.append(mine.pop(3))
    merged = merge(course(), edit(course(), "a", "x = 2"), mine).cells
    assert texts(merged).count("def f():\n    return 1") == 1
    assert get(merged, "f")["source"] == "def f():\n    return 1"


SOURCES = st.sampled_from(["", "x = 1", "y = 2", "print(x)", "def f():\n    return 1", "words"])


@st.composite
def histories(draw):
    """A chapter, a later one, and what a learner made of the first, by random steps."""
    base = course()
    new, mine = copy.deepcopy(base), copy.deepcopy(base)
    for cells, prefix in ((new, "new"), (mine, "mine")):
        for step in range(draw(st.integers(0, 6))):
            place = draw(st.integers(0, max(0, len(cells) - 1)))
            action = draw(st.sampled_from(["edit", "delete", "insert", "move", "drop id"]))
            if action == "edit" and cells:
                if prefix == "new" and "nbgrader" not in cells[place]["metadata"]:
                    cells[place]["id"] = f"new-e{step}"  # the course's ids follow the text
                cells[place]["source"] = draw(SOURCES) + f"\n# {prefix} {step}"
            elif action == "delete" and cells:
                del cells[place]
            elif action == "insert":
                cells.insert(place, code(f"{prefix}-{step}", draw(SOURCES) + f"\n# {prefix} {step}"))
            elif action == "move" and cells and prefix == "mine":
                cells.append(cells.pop(place))
            elif action == "drop id" and cells and prefix == "mine":
                cells[place].pop("id", None)
    return base, new, mine


@settings(max_examples=300, deadline=None)
@given(histories())
def test_nothing_that_the_learner_wrote_is_lost_and_nothing_new_is_missing(history):
    base, new, mine = history
    before = copy.deepcopy(history)
    merged = merge(base, new, mine).cells
    assert history == before  # the inputs are left alone
    result = texts(merged)
    written = [cell["source"] for cell in mine if cell["source"] not in texts(base) + texts(new)]
    for source in written:
        assert result.count(source) >= written.count(source)
    old = {cell["id"] for cell in base}
    mine_answers = [c for c in mine if "nbgrader" in c["metadata"] and c["source"] in written]
    for cell in new:
        if cell["id"] not in old:
            assert cell["source"] in result
        if cell["id"] in ("f", "f-check"):
            assert [c["id"] for c in merged].count(cell["id"]) == 1
    assert mine_answers == [] or all(c["source"] in result for c in mine_answers)
    assert len({cell["id"] for cell in merged}) == len(merged)
    # Cut short before the base was renewed, the same merge comes again; afterwards, one with nothing new.
    assert merge(base, new, merged).cells == merged
    assert merge(new, new, merged).cells == merged


# Files.


def as_notebook(cells, **metadata):
    cells = [{k: v for k, v in cell.items() if v is not None or k == "execution_count"} for cell in cells]
    plain = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    return json.dumps(plain, indent=1).encode()


@pytest.fixture
def place(tmp_path):
    """A course with one chapter; `publish(cells)` writes a new edition of it."""

    class Place:
        chapters, workbook = tmp_path / "chapters", tmp_path / "workbook"
        mine = workbook / SLUG / f"{SLUG}.ipynb"
        base = workbook / ".base" / SLUG / f"{SLUG}.ipynb"
        backups = workbook / ".backup" / SLUG

        def publish(self, cells):
            path = self.chapters / SLUG / f"{SLUG}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_notebook(cells))

        def update(self):
            return update(self.chapters, self.workbook)

        def write(self, cells, **metadata):
            self.mine.write_bytes(as_notebook(cells, **metadata))

        def cells(self, path=None):
            cells = json.loads((path or self.mine).read_bytes())["cells"]
            return [{**cell, "source": "".join(cell["source"])} for cell in cells]

    made = Place()
    made.publish(course())
    return made


def test_a_workbook_is_made_with_a_home_for_progress(place):
    [found] = place.update()
    assert (found.slug, found.action, found.notebook) == (SLUG, "new", place.mine)
    assert place.mine.read_bytes() == place.base.read_bytes() == as_notebook(course())
    assert (place.workbook / ".autograder").is_dir() and not place.backups.exists()


def test_an_unchanged_chapter_leaves_the_learners_file_alone(place):
    place.update()
    place.write(solved())
    before, stamp = place.mine.read_bytes(), place.mine.stat().st_mtime_ns
    [found] = place.update()
    assert found.action == "unchanged"
    assert place.mine.read_bytes() == before and place.mine.stat().st_mtime_ns == stamp
    assert not place.backups.exists()


def test_a_new_edition_is_merged_after_a_backup(place):
    place.update()
    place.write(solved(), kernelspec={"name": "mine", "display_name": "Mine"})
    before = place.mine.read_bytes()
    place.publish(edit(course(), "f-statement", "Write f, well."))
    [found] = place.update()
    assert found.action == "merged" and found.notes == ()
    assert get(place.cells(), "f")["source"] == "def f():\n    return 1"
    assert get(place.cells(), "f-statement")["source"] == "Write f, well."
    assert json.loads(place.mine.read_bytes())["metadata"]["kernelspec"]["name"] == "mine"
    nbformat.validate(nbformat.read(place.mine, as_version=4))
    [backup] = place.backups.iterdir()
    assert backup.read_bytes() == before
    assert place.base.read_bytes() == (place.chapters / SLUG / f"{SLUG}.ipynb").read_bytes()
    assert [u.action for u in place.update()] == ["unchanged"]


def test_two_backups_in_one_second_are_two_files(place):
    place.update()
    for edition in ("one", "two", "three"):
        place.publish(edit(course(), "a", f"x = '{edition}'"))
        place.update()
    assert len(list(place.backups.iterdir())) == 3


def test_a_notebook_that_the_learner_removed_is_made_again(place):
    place.update()
    place.mine.unlink()
    assert [u.action for u in place.update()] == ["new"]
    assert place.mine.read_bytes() == as_notebook(course())


DAMAGE = {
    "empty": b"",
    "cut off": as_notebook(course())[:300],
    "no JSON": b"hello",
    "another JSON": b"[1, 2]",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells that are none": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}',
    "another format": b'{"nbformat": 9, "cells": []}',
    "not text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "merge marks": b"<<<<<<< HEAD\n" + as_notebook(course()),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("newer", [False, True])
def test_a_damaged_notebook_is_left_untouched_with_a_fresh_one_beside_it(place, damage, newer):
    place.update()
    place.mine.write_bytes(DAMAGE[damage])
    if newer:
        place.publish(edit(course(), "a", "x = 2"))
    bad, fresh = place.update()
    assert bad.action == "damaged" and bad.notes and place.mine.read_bytes() == DAMAGE[damage]
    assert fresh.action == "new" and fresh.notebook == place.mine.with_name(f"{SLUG}-fresh.ipynb")
    assert get(place.cells(fresh.notebook), "a")["source"] == ("x = 2" if newer else "x = 1")
    # The fresh one is the learner's from now on: it is merged, not written over.
    fresh.notebook.write_bytes(as_notebook(edit(place.cells(fresh.notebook), "f", "def f():\n    return 1")))
    place.publish(edit(course(), "a", "x = 3"))
    assert [u.action for u in place.update()] == ["damaged", "merged"]
    assert get(place.cells(fresh.notebook), "f")["source"] == "def f():\n    return 1"
    assert get(place.cells(fresh.notebook), "a")["source"] == "x = 3"
    assert place.mine.read_bytes() == DAMAGE[damage]


def test_a_folder_in_the_place_of_the_notebook_is_left_alone(place):
    place.mine.mkdir(parents=True)
    assert [u.action for u in place.update()] == ["damaged", "new"]
    assert place.mine.is_dir()


def test_a_link_is_followed_not_replaced(place, tmp_path):
    place.update()
    elsewhere = tmp_path / "drive.ipynb"
    elsewhere.write_bytes(as_notebook(solved()))
    place.mine.unlink()
    place.mine.symlink_to(elsewhere)
    place.publish(edit(course(), "a", "x = 2"))
    assert [u.action for u in place.update()] == ["merged"]
    assert place.mine.is_symlink() and get(place.cells(elsewhere), "a")["source"] == "x = 2"
    elsewhere.unlink()
    assert [u.action for u in place.update()] == ["damaged", "new"]


def test_notebooks_of_old_formats_are_read(place):
    place.update()
    old = json.loads(as_notebook(solved()))
    old["nbformat_minor"] = 2
    for cell in old["cells"]:
        del cell["id"]
        cell["source"] = cell["source"].splitlines(keepends=True)
    place.mine.write_text(json.dumps(old))
    place.publish(edit(course(), "a", "x = 2"))
    assert [u.action for u in place.update()] == ["merged"]
    assert get(place.cells(), "f")["source"] == "def f():\n    return 1"


def test_without_a_base_everything_that_differs_is_taken_for_the_learners(place):
    place.update()
    place.write(edit(solved(), "a", "x = 'mine'"))
    place.base.write_text("damaged")
    place.publish(edit(course(), "a", "x = 2"))
    assert [u.action for u in place.update()] == ["merged"]
    assert get(place.cells(), "a")["source"] == "x = 'mine'"
    assert get(place.cells(), "f")["source"] == "def f():\n    return 1"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("writes", range(4))
def test_killed_at_any_moment_it_loses_nothing_and_the_next_run_finishes(place, monkeypatch, writes):
    place.update()
    place.write(solved())
    before = place.mine.read_bytes()
    place.publish(edit(course(), "f-statement", "Write f, well."))
    done = []
    original = module.write_atomically

    def dying(path, data):
        if len(done) == writes:
            raise Killed
        done.append(path)
        original(path, data)

    monkeypatch.setattr(module, "write_atomically", dying)
    try:
        place.update()
    except Killed:
        assert get(place.cells(), "f")["source"] == "def f():\n    return 1"
    monkeypatch.setattr(module, "write_atomically", original)
    place.update()
    result = place.cells()
    assert [c["id"] for c in result] == [
        "t",
        "a",
        "mine-1",
        "f-statement",
        "f",
        "f-check",
        "p",
        "b",
        "mine-2",
    ]
    assert get(result, "f-statement")["source"] == "Write f, well."
    assert any(backup.read_bytes() == before for backup in place.backups.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(place, monkeypatch):
    place.update()
    place.write(solved())
    before = place.mine.read_bytes()
    place.publish(edit(course(), "a", "x = 2"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        place.update()
    assert place.mine.read_bytes() == before
    assert not list(place.workbook.rglob("*.part"))


def test_a_damaged_chapter_of_the_course_is_said(place):
    (place.chapters / SLUG / f"{SLUG}.ipynb").write_text("x")
    with pytest.raises(Damaged, match=r"is damaged: .* Get the course's file again: git restore"):
        place.update()


def test_a_chapter_that_is_no_more_leaves_the_learners_file(place):
    place.update()
    place.write(solved())
    (place.chapters / SLUG / f"{SLUG}.ipynb").unlink()
    assert place.update() == [] and place.mine.read_bytes() == as_notebook(solved())


def test_two_updates_at_once_merge_once(place):
    place.update()
    place.write(solved())
    place.publish(edit(course(), "a", "x = 2"))
    found = []
    threads = [threading.Thread(target=lambda: found.extend(place.update())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(u.action for u in found) == ["merged", "unchanged", "unchanged", "unchanged"]
    assert len(list(place.backups.iterdir())) == 1
