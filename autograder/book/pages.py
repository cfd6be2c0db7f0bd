"""A chapter's page: the learner's notebook, finished with the executed solution.

The notebook in `chapters/` has stubs and no outputs; the one in `solutions/` has the same cells, by id,
solved and executed. The page shows the learner's cells, under each the output of its twin, and after each
answer cell the solution, folded. Nothing is executed here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from autograder.markers import BEGIN, END
from autograder.sources import OURS

NOT_FOR_READERS = ("colab",)  # installs the course on Colab

Notebook = dict[str, Any]
Cell = dict[str, Any]

# A widget needs a live kernel and a script from elsewhere; its text form says the same.
NOT_FOR_PAPER = ("application/vnd.jupyter.widget-view+json", "application/javascript")


class PageError(ValueError):
    """The two notebooks do not belong together; the message says which cell and what to run."""


def finish(
    chapter: Notebook,
    solution: Notebook,
    *,
    name: str,
    reference_link: Callable[[str], str | None] = lambda grade_id: None,
) -> Notebook:
    """The notebook that the book shows: `chapter` with outputs and folded solutions from `solution`.

    `reference_link` gives, for an answer's `grade_id`, the Markdown link to its function in the library.

    Raises:
        PageError: a cell of the chapter is not in the solution, or a cell that both share differs.
    """
    solved = {cell.get("id"): cell for cell in solution["cells"]}
    page = {**chapter, "cells": []}
    for cell in chapter["cells"]:
        twin = solved.get(cell.get("id"))
        if twin is None or twin["cell_type"] != cell["cell_type"]:
            raise PageError(
                f"{name}: cell {cell.get('id')!r} of the chapter is not in the executed solution. "
                "Run `make notebooks`."
            )
        answer = is_answer(cell)
        if not answer and text(cell) != text(twin):
            raise PageError(
                f"{name}: cell {cell['id']!r} reads differently in the executed solution. "
                "Run `make notebooks`."
            )
        shown = copy.deepcopy(cell)
        if cell["cell_type"] == "code":
            shown["outputs"] = [
                cleaned(output) for output in twin.get("outputs", []) if not _is_bare_score(cell, output)
            ]
            shown["execution_count"] = None
        if cell["id"] in NOT_FOR_READERS:
            shown["metadata"]["tags"] = [*shown["metadata"].get("tags", []), "remove-cell"]
        if answer:
            _label_heading(page["cells"], grade_id(cell))
        page["cells"].append(shown)
        if answer:
            page["cells"].append(_folded_solution(twin, reference_link(grade_id(cell))))
    return page


def be_fresh(solution: Notebook, sources: str, name: str) -> None:
    """See that the solution's outputs come from the sources with this hash.

    Raises:
        PageError: they come from others, or nothing says from which, or a cell was not executed.
    """
    recorded = solution["metadata"].get(OURS, {}).get("sources")
    code = [cell for cell in solution["cells"] if cell["cell_type"] == "code"]
    if recorded != sources or any(cell.get("execution_count") is None for cell in code):
        raise PageError(
            f"{name}: the outputs in solutions/ do not come from the present sources. Run `make notebooks`."
        )


def text(cell: Cell) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def is_answer(cell: Cell) -> bool:
    return bool(cell.get("metadata", {}).get("nbgrader", {}).get("solution"))


def grade_id(cell: Cell) -> str:
    return cell["metadata"]["nbgrader"]["grade_id"]


def _is_bare_score(cell: Cell, output: Mapping[str, Any]) -> bool:
    """The number under a check is for nbgrader; the panel above it tells the reader."""
    checks = cell.get("metadata", {}).get("nbgrader", {}).get("grade") and not is_answer(cell)
    return bool(checks) and output.get("output_type") == "execute_result"


def exercise_label(identifier: str) -> str:
    """The name of the place in the book where an exercise stands: "exercise-attention-softmax"."""
    return f"exercise-{identifier}"


def cleaned(output: Mapping[str, Any]) -> dict[str, Any]:
    """An output without what a page on paper cannot show."""
    kept = {key: copy.deepcopy(value) for key, value in output.items() if key != "execution_count"}
    if kept.get("output_type") == "execute_result":
        kept["execution_count"] = None
    if "data" in kept:
        kept["data"] = {kind: value for kind, value in kept["data"].items() if kind not in NOT_FOR_PAPER}
    return kept


def fence(code: str, language: str) -> str:
    """`code` in a Markdown fence longer than any that it contains."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{code.rstrip()}\n{ticks}"


def _folded_solution(twin: Cell, link: str | None) -> Cell:
    # The markers mean something to the maker of the notebooks, and nothing to a reader.
    lines = (line for line in text(twin).split("\n") if not (BEGIN in line or END in line))
    body = fence("\n".join(lines), "python") if twin["cell_type"] == "code" else text(twin)
    title = "Solution" if twin["cell_type"] == "code" else "A model answer"
    more = f"\n\nIn the library: {link}" if link else ""
    colons = ":" * max(4, 1 + max((len(run) for run in re.findall(r":{3,}", body)), default=0))
    source = f"{colons}{{dropdown}} {title}\n:class-container: course-solution\n\n{body}{more}\n{colons}\n"
    return {
        "cell_type": "markdown",
        "id": f"{twin['id'][:50]}-solution",
        "metadata": {},
        "source": source,
    }


def _label_heading(before: list[Cell], identifier: str) -> None:
    """Put the exercise's label in front of the heading of its statement."""
    for cell in before:
        if cell["id"] == f"{identifier}-statement":
            cell["source"] = f"({exercise_label(identifier)})=\n\n{text(cell)}"
