"""From a manuscript to the chapter's solved notebook, not yet executed.

An exercise with the grade_id G has the cells G-statement, G and G-check; any other cell's id is a hash of its
text. Below the title stand the cell that installs the course on Colab and the one that sets the chapter up.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from autograder import slicing
from autograder.manuscript import Manuscript
from autograder.myst import Cell
from autograder.placing import Placed
from autograder.sources import OURS, digest
from autograder.stubs import NOTEBOOK_METADATA
from autograder.variants import check_cell

FACE = "from autograder import check, hint, start, verdict"


@dataclass(frozen=True)
class Solved:
    """A chapter's solution before it is executed, and the line of the manuscript behind each cell's id."""

    manuscript: Manuscript
    notebook: NotebookNode
    lines: dict[str, int]

    @property
    def slug(self) -> str:
        return self.manuscript.chapter.slug


def solve(manuscript: Manuscript, address: str) -> Solved:
    """The chapter's solution, not yet executed."""
    maker = _Maker(manuscript, address)
    for part in manuscript.parts:
        if isinstance(part, Placed):
            maker.exercise(part)
        else:
            maker.ordinary(part)
    notebook = new_notebook(cells=maker.cells, metadata=copy.deepcopy(NOTEBOOK_METADATA))
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    notebook.metadata[OURS] = {"manuscript": manuscript.path, "sources": digest(manuscript.chapter, code)}
    return Solved(manuscript, notebook, maker.lines)


class _Maker:
    def __init__(self, manuscript: Manuscript, address: str):
        self.manuscript, self.address = manuscript, address
        self.cells: list[NotebookNode] = []
        self.lines: dict[str, int] = {}
        self.seen: dict[str, int] = {}

    def ordinary(self, part: Cell) -> None:
        key = f"{part.kind}\n{part.source}"
        self.seen[key] = self.seen.get(key, 0) + 1
        identifier = hashlib.sha256(f"{key}\n{self.seen[key]}".encode()).hexdigest()[:12]
        new = {"markdown": new_markdown_cell, "code": new_code_cell, "raw": new_raw_cell}[part.kind]
        self._add(new(part.source), identifier, part.line, tags=part.metadata.get("tags"))
        if len(self.cells) == 1:  # below the title
            self._add(new_code_cell(self._colab()), "colab", part.line, tags=["hide-input"])
            self._add(new_code_cell(self._set_up()), "set-up", part.line)

    def exercise(self, placed: Placed) -> None:
        line, identifier = placed.statement.line, placed.grade_id
        statement = f"{_heading(placed)}\n\n{placed.statement.source}"
        self._add(new_markdown_cell(statement), f"{identifier}-statement", line)
        if placed.exercise is None:
            assert placed.answer is not None
            answer = new_markdown_cell(placed.answer.source)
            meta = _nbgrader(identifier, grade=True, solution=True, locked=False, points=placed.points)
            self._add(answer, identifier, placed.answer.line, nbgrader=meta)
            return
        if placed.answer is None:
            answer, tags = new_code_cell(slicing.definition(*slicing.library_source(placed.name))), None
        else:
            line, tags = placed.answer.line, placed.answer.metadata.get("tags")
            answer = new_code_cell(placed.answer.source)
        meta = _nbgrader(identifier, grade=False, solution=True, locked=False)
        self._add(answer, identifier, line, nbgrader=meta, tags=tags)
        name, check = placed.answer_name, f"{identifier}-check"
        meta = _nbgrader(check, grade=True, solution=False, locked=True, points=placed.points)
        self._add(new_code_cell(check_cell(name, placed.number)), check, line, nbgrader=meta)

    def _add(self, cell: NotebookNode, identifier: str, line: int, **metadata: Any) -> None:
        cell.id = identifier
        cell.metadata.update({key: value for key, value in metadata.items() if value})
        self.cells.append(cell)
        self.lines[identifier] = line

    def _colab(self) -> str:
        return (
            f"# Made from {self.manuscript.path}. On Colab, this installs the course.\n"
            "from importlib.util import find_spec\n\n"
            'if find_spec("autograder") is None:\n'
            f'    %pip install --quiet "git+{self.address}.git"'
        )

    def _set_up(self) -> str:
        chapter = self.manuscript.chapter
        return f"{chapter.imports.strip()}\n{FACE}\n\nstart({chapter.number})"


def _heading(placed: Placed) -> str:
    dots = "●" * placed.difficulty + "○" * (3 - placed.difficulty)
    points = f"{placed.points} point{'s' * (placed.points != 1)}"
    minutes = f"{placed.minutes} minute{'s' * (placed.minutes != 1)}"
    by = " · marked by a person" if placed.exercise is None else ""
    return (
        f"### Exercise {placed.number}: {placed.title}\n\n"
        f"**{points} · {minutes} · difficulty {dots} ({placed.difficulty} of 3){by}**"
    )


def _nbgrader(grade_id: str, **flags: Any) -> dict[str, Any]:
    return {"schema_version": 3, "grade_id": grade_id, "task": False, **flags}
