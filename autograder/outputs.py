"""Compare a learner's executed notebook with the reference outputs, cell by cell.

The cells are matched by the rule of identity; what counts and how closely is said by the tags of the
instructor's notebook. Nothing that stands in the learner's notebook (a tag, a marker in a comment) can
switch a comparison off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.comparing import differences
from autograder.files import be_plain
from autograder.merging import Cell, grade_id, identify

MOST_BYTES = 50 * 2**20


class OutputsError(ValueError):
    """A notebook cannot be read or compared; the message says why and what to do."""


@dataclass(frozen=True)
class CellReport:
    """What came of one cell. `state`: "same", "different", "not run", "missing" or "long" (left out)."""

    cell_id: str
    number: int
    first_line: str
    state: str
    differences: tuple[str, ...] = ()
    edited: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "cell": self.cell_id,
            "number": self.number,
            "first_line": self.first_line,
            "state": self.state,
            "differences": list(self.differences),
            "edited": self.edited,
        }


def read_notebook(path: Path) -> list[Cell]:
    """A notebook's cells, with what this module needs of each made sure of.

    Raises:
        OutputsError: missing, unreadable, too large, or not a notebook.
    """
    try:
        be_plain(path)
        if path.stat().st_size > MOST_BYTES:
            raise OutputsError(
                f"{path} is larger than {MOST_BYTES >> 20} MB: clear its outputs, run it again"
            )
        return [as_cell(cell) for cell in json.loads(path.read_text("utf-8"))["cells"]]
    except OSError as error:
        raise OutputsError(f"cannot read {path}: {error.strerror or error}") from None
    except OutputsError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OutputsError(f"{path} is not a Jupyter notebook: {type(error).__name__}: {error}") from None


def as_cell(cell: Any) -> Cell:
    """One cell of a notebook's JSON, with its fields made sure of."""
    source, metadata = cell["source"], cell.get("metadata")
    outputs = cell.get("outputs")
    return {
        "cell_type": str(cell["cell_type"]),
        "id": cell["id"] if isinstance(cell.get("id"), str) else None,
        "source": source if isinstance(source, str) else "".join(source),
        "metadata": metadata if isinstance(metadata, dict) else {},
        "outputs": [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else [],
        "execution_count": cell.get("execution_count"),
    }


def compare_notebooks(
    reference: list[Cell], chapter: list[Cell], mine: list[Cell], *, device: str | None = None
) -> list[CellReport]:
    """A report for every code cell of the reference, in its order.

    reference: the executed solution. chapter: the same cells as the learner received them. mine: theirs.
    device:    where theirs ran; None to tell from their outputs.

    Raises:
        OutputsError: the notebook has hardly a cell of this chapter.
    """
    identities = identify(chapter, [], mine)
    held = {identity: cell for identity, cell in zip(identities, mine, strict=True) if identity is not None}
    code = [cell for cell in reference if cell["cell_type"] == "code"]
    if not any(cell["id"] in held for cell in code):
        raise OutputsError("the notebook holds no cell of this chapter: name the chapter with --chapter")
    given = {cell["id"]: cell["source"] for cell in chapter}
    device = device or _device_of(mine)
    reports = []
    for number, cell in enumerate(code, start=1):
        state, found = _judge(cell, held.get(cell["id"]), device)
        theirs = held.get(cell["id"])
        locked = grade_id(cell) is None or not cell["metadata"]["nbgrader"].get("solution")
        edited = theirs is not None and locked and theirs["source"].strip() != given[cell["id"]].strip()
        first_line = next((line for line in cell["source"].splitlines() if line.strip()), "")
        reports.append(CellReport(cell["id"], number, first_line, state, tuple(found), edited))
    return reports


def _judge(reference: Cell, mine: Cell | None, device: str) -> tuple[str, list[str]]:
    if mine is None:
        return "missing", ["the cell is not in the notebook: take it from a fresh copy of the chapter"]
    tags = reference["metadata"].get("tags", [])
    if mine["execution_count"] is None and not mine["outputs"]:
        if "long" in tags:
            return "long", []
        if reference["outputs"]:
            return "not run", ["the cell has not been run"]
        return "same", []
    found = differences(reference["outputs"], mine["outputs"], tags=tags, device=device)
    return ("different" if found else "same"), found


def _device_of(cells: list[Cell]) -> str:
    text = json.dumps([cell["outputs"] for cell in cells], default=str)
    return "cuda" if "cuda:" in text else "cpu"
