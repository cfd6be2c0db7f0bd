"""Find the learner's answers in a notebook: by grade id, then by the name that a cell defines."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from autograder.exercise import Exercise
from autograder.files import be_plain

MOST_BYTES = 50 * 2**20


class NotebookError(ValueError):
    """The file is no notebook that can be read; the message says why."""


@dataclass(frozen=True)
class Answer:
    """An answer cell's text, and the learner's own helper cells that stand before it."""

    source: str
    helpers: tuple[str, ...]


def read_cells(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook, with their sources joined.

    Raises:
        NotebookError: missing, unreadable, too large, or not a notebook.
    """
    try:
        be_plain(path)
        if path.stat().st_size > MOST_BYTES:
            raise NotebookError(
                f"{path} is larger than {MOST_BYTES >> 20} MB: clear its outputs and try again"
            )
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        return [
            {
                "source": c["source"] if isinstance(c["source"], str) else "".join(c["source"]),
                "nbgrader": (c.get("metadata") or {}).get("nbgrader") or {},
            }
            for c in cells
        ]
    except OSError as error:
        raise NotebookError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, NotebookError):
            raise
        raise NotebookError(f"{path} is not a Jupyter notebook: {type(error).__name__}: {error}") from None


def find_answer(cells: list[dict[str, Any]], exercise: Exercise) -> Answer | None:
    """The last cell that answers the exercise, or None."""
    place = _last(
        cells, lambda c: c["nbgrader"].get("grade_id") == exercise.grade_id and not c["nbgrader"].get("grade")
    )
    if place is None:
        place = _last(cells, lambda c: exercise.answer_name in _defined(c["source"]))
    if place is None:
        return None
    helpers = (c["source"] for c in cells[:place] if not c["nbgrader"])
    return Answer(cells[place]["source"], tuple(filter(None, map(definitions, helpers))))


def _last(cells: list[dict[str, Any]], wanted: Any) -> int | None:
    return max((i for i, cell in enumerate(cells) if wanted(cell)), default=None)


def _defined(source: str) -> set[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in body:
        if isinstance(node, ast.Assign):
            called = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
            if not (called and node.value.func.id == "check"):  # type: ignore[attr-defined]
                names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return names


@lru_cache(maxsize=1024)  # the course's own cells are the same in every submission
def definitions(source: str) -> str:
    """Imports, functions and plain assignments of a helper cell: what an answer may lean on.

    Its experiments are left out: statements, and assignments that call something (a training, say).
    """
    try:
        return "\n".join(ast.unparse(node) for node in ast.parse(source).body if _is_definition(node))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    return isinstance(node.value, ast.Lambda) or not any(
        isinstance(n, ast.Call) for n in ast.walk(node.value)
    )
