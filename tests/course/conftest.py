"""A small course, and the real chapters: each solution is executed at most once in a test run."""

from __future__ import annotations

import json
import os

import nbformat
import pytest
import torch
from filelock import FileLock
from small_course import ADDRESS, SMALL, TEXT, solve_real

from autograder import exercises
from autograder.executing import ExecutionFailed, execute


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    """No test writes into a learner's progress."""
    monkeypatch.setenv("AUTOGRADER_PROGRESS", str(tmp_path / "progress.jsonl"))


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The root of a small course with one chapter, which the catalogue then has alone."""
    root = tmp_path / "course"
    (root / "book").mkdir(parents=True)
    (root / "book" / "03-small.md").write_text(TEXT, "utf-8")
    (root / "pyproject.toml").write_text(
        f'[project.urls]\nRepository = "{ADDRESS}"\n'.replace(
            "[project.urls]", "[project]\nname = 'x'\n[project.urls]"
        ),
        "utf-8",
    )
    monkeypatch.setattr(exercises, "chapters", lambda: (SMALL,))
    return root


REAL = [chapter.slug for chapter in exercises.chapters()]


@pytest.fixture(params=REAL)
def solved(request):
    """Each real chapter, solved and not executed."""
    return solve_real(request.param)


@pytest.fixture(scope="session")
def execute_once(tmp_path_factory):
    """`execute_once(solved)`: the executed solution, made by whichever worker comes first and read by all.

    Its long cells, which train for a minute or two, are left out: they run when the notebooks are made.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "executed"
    folder.mkdir(exist_ok=True)

    def run(solved):
        path = folder / f"{solved.slug}.json"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                try:
                    text = nbformat.writes(execute(solved.notebook, skip_tag="long"))
                except ExecutionFailed as failure:
                    # Kept too: a solution that fails is not executed again by each test that wants it.
                    text = json.dumps({"failure": f"{solved.lines.get(failure.cell_id)}: {failure}"})
                path.write_text(text, "utf-8")
        found = path.read_text("utf-8")
        if failure := json.loads(found).get("failure"):
            pytest.fail(f"{solved.manuscript.path}:{failure}")
        return nbformat.reads(found, as_version=4)

    return run


@pytest.fixture
def executed(solved, execute_once):
    """Each real chapter's solution, executed."""
    return execute_once(solved)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
