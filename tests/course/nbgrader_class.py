"""A copy of the course as an instructor has it, with submissions made from the real chapter's answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from autograder.exercises import find

ROOT = Path(__file__).resolve().parents[2]
SLUG = "03-attention"
WORDS = "attention-why-divide"
ENVIRONMENT = {"AUTOGRADER_PROGRESS": "off", "OMP_NUM_THREADS": "1", "LLMLIB_DEVICE": "cpu"}


# One process imports nbgrader and forks for each command: to import it takes longer than most of them.
SEVERAL = """
import json, os, sys
from nbgrader.apps import nbgraderapp
for folder, *words in json.loads(sys.argv[1]):
    if (pid := os.fork()) == 0:
        os.chdir(folder)
        sys.argv = ["nbgrader", *words]
        nbgraderapp.main()
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"nbgrader {' '.join(words)} failed")
"""


@dataclass(frozen=True)
class Class:
    """The course's root, and nbgrader's commands in it."""

    root: Path

    def nbgrader(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.root, capture_output=True, text=True, timeout=1800, check=False,
            env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip

    def must(self, *arguments):
        ran = self.nbgrader(*arguments)
        assert ran.returncode == 0, f"{arguments}: {ran.stderr[-3000:]}"

    def must_each(self, *commands):
        """nbgrader's commands, one after the other. One that begins with a folder runs there."""
        asked = [[*([] if isinstance(c[0], Path) else [str(self.root)]), *map(str, c)] for c in commands]
        ran = subprocess.run(
            [sys.executable, "-c", SEVERAL, json.dumps(asked)],
            cwd=self.root, capture_output=True, text=True, timeout=1800, check=False,
            env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-3000:]


def class_of(root: Path, students) -> Class:
    """Lay out the course below `root`, with a submission of each student."""
    for folder in ("solutions", "chapters"):
        shutil.copytree(ROOT / folder / SLUG, root / folder / SLUG)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    for student in students:
        folder = root / "submitted" / student / SLUG
        folder.mkdir(parents=True)
        nbformat.write(submission(student), folder / f"{SLUG}.ipynb")
    return Class(root)


def answers(notebook):
    """The answer cells, by grade id."""
    return {
        cell.metadata.nbgrader.grade_id: cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "code"
    }


def submission(student: str) -> nbformat.NotebookNode:
    """What a student of this name hands in: right, half, empty, noisy, foreign, copied, copied-and-noisy."""
    released = nbformat.read(ROOT / "chapters" / SLUG / f"{SLUG}.ipynb", 4)
    solved = answers(nbformat.read(ROOT / "solutions" / SLUG / f"{SLUG}.ipynb", 4))
    half = {find("3.1").grade_id, find("3.3").grade_id}
    for grade_id, cell in answers(released).items():
        if student not in ("half", "empty") or (student == "half" and grade_id in half):
            cell.source = solved[grade_id].source
    if student == "right":
        words = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade_id") == WORDS)
        words.source = "Without the division softmax saturates, and the gradient dies."
    if "noisy" in student:
        cell = answers(released)[find("3.3").grade_id]
        cell.source += "\n\nimport sys, warnings\nwarnings.warn('careful')\nprint('note', file=sys.stderr)"
    if student == "foreign":  # as Colab and old tools save it
        for cell in released.cells:
            del cell["id"]
        released.nbformat_minor = 4
        kernel = {"name": "my-own-kernel", "display_name": "Mine", "language": "python"}
        released.metadata["kernelspec"] = kernel
    if "copied" in student:
        kept = answers(released)[find("3.3").grade_id]
        place = released.cells.index(kept)
        earlier_try = {**kept, "id": "a-try", "source": kept.source.replace("return", "return 1 #")}
        check = released.cells[place + 1]
        copies = [nbformat.from_dict(earlier_try), nbformat.from_dict({**check, "id": "a-check"})]
        released.cells[place:place] = copies
    return released
