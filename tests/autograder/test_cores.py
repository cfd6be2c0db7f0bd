"""A core for each grader: others' are left alone, and what was taken is given back."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from autograder import cores
from autograder.bubblewrap import has_bubblewrap
from autograder.parents import Parent
from autograder.sandbox import Confined

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system lets no process choose its core"
)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Whatever grades on this machine meanwhile has its locks elsewhere."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_graders_take_different_cores_until_there_are_no_more():
    before = os.sched_getaffinity(0)

    def next_one(count: int) -> list[int | None]:
        if count == 0:
            return []
        with ThreadPoolExecutor(1) as another, cores.own_core() as core:
            assert os.sched_getaffinity(0) == (before if core is None else {core})
            return [core, *another.submit(_anywhere, before, next_one, count - 1).result()]

    got = next_one(len(before) + 1)
    assert sorted(got[:-1]) == sorted(before) and got[-1] is None
    assert os.sched_getaffinity(0) == before
    assert next_one(1) == got[:1]  # it was given back


def _anywhere(allowed, work, *arguments):
    os.sched_setaffinity(0, allowed)  # a new thread has the cores of the one that made it
    return work(*arguments)


def test_the_second_half_of_a_core_comes_after_all_first_ones(monkeypatch):
    siblings = {0: "0,2\n", 1: "1,3\n", 2: "0,2\n", 3: "1,3\n"}
    monkeypatch.setattr(cores.Path, "read_text", lambda path: siblings[int(path.parts[5][3:])])
    assert cores._in_order({0, 1, 2, 3}) == [0, 1, 2, 3]
    siblings.update(dict.fromkeys((0, 1), "0-1\n") | dict.fromkeys((2, 3), "2-3\n"))
    assert cores._in_order({0, 1, 2, 3}) == [0, 2, 1, 3]


def test_a_further_parent_stays_where_its_grader_is():
    worker = Confined(bubblewrap=has_bubblewrap(), device="cpu")
    try:
        first = Parent(worker.control)
        first.wait()
        before = _of_children(worker.process.pid)
        with cores.own_core() as core:
            further = first.another()
            try:
                new = {p: a for p, a in _of_children(worker.process.pid).items() if p not in before}
                assert list(new.values()) == [{core}]
            finally:
                further.close()
    finally:
        worker.end()


def _of_children(root: int) -> dict[int, set[int]]:
    """The cores of all processes below `root`."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        pid = int(name)
        try:
            if _is_below(pid, root):
                found[pid] = os.sched_getaffinity(pid)
        except (OSError, IndexError):
            continue  # it has ended
    return found


def _is_below(pid: int, root: int) -> bool:
    while pid > 1 and pid != root:
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rsplit(")", 1)[1].split()[1])
    return pid == root
