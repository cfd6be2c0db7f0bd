"""A MyST Markdown file as a list of cells, each with the line on which it stands.

The reading is jupytext's; here is what an author needs beside it: the lines, and a word about the lines that
jupytext would refuse, misread or silently leave out.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any

from jupytext.myst import MystMetadataParsingError, get_parser, myst_to_notebook

MARKDOWN_KEYS = {"exercise", "kind", "number", "title", "points", "minutes", "difficulty", "answer", "tags"}

Problem = tuple[int, str]


@dataclass(frozen=True)
class Cell:
    """A cell as the manuscript has it. `line` is that of its fence, its `+++` or the text's first."""

    kind: str
    source: str
    line: int
    metadata: dict[str, Any]


def read_cells(text: str) -> tuple[list[Cell], list[Problem]]:
    """The cells of a file, and what is wrong with its lines. With problems, the cells are not to be used."""
    text = text.replace("\r\n", "\n")
    problems, exercises = _check_lines(text)
    if problems:
        return [], problems
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        found = re.search(r"at line (\d+)", str(error))
        return [], [(int(found.group(1)) if found else 1, f"this cannot be read: {error}")]
    # The map counts from the line after a fence or a `+++`, from zero: which is that line, from one.
    starts = notebook.metadata["source_map"]
    cells = [
        Cell(cell.cell_type, cell.source, max(1, line), json.loads(json.dumps(cell.metadata)))
        for cell, line in zip(notebook.cells, starts, strict=True)
    ]
    kept = {cell.line for cell in cells}
    for line, name in exercises.items():
        if line not in kept:  # with nothing between it and the next cell, jupytext leaves the line out
            what = "write what is to be done below this line"
            problems.append((line, f"exercise {name} has no statement: {what}"))
    return cells, problems


def _check_lines(text: str) -> tuple[list[Problem], dict[int, str]]:
    """What is wrong with single lines, and the exercises that are named, by their lines."""
    lines = text.split("\n")
    problems: list[Problem] = []
    exercises: dict[int, str] = {}
    for token in get_parser().parse(text + "\n"):
        if token.map is None:
            continue
        line = token.map[0] + 1
        if token.type == "myst_block_break" and token.content.strip():
            metadata = _json_object(token.content)
            if isinstance(metadata, str):
                example = '+++ {"exercise": "module.name"}'
                problems.append((line, f"this is not JSON ({metadata}): write {example}"))
                continue
            for key in sorted(set(metadata) - MARKDOWN_KEYS):
                near = difflib.get_close_matches(key, MARKDOWN_KEYS, n=1)
                offer = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(MARKDOWN_KEYS))}"
                problems.append((line, f"unknown key {key!r}: {offer}"))
            if "exercise" in metadata:
                exercises[line] = str(metadata["exercise"])
        elif token.type == "fence" and token.info.startswith("{code-cell}"):
            closing = lines[min(token.map[1], len(lines)) - 1].strip()
            if closing.strip(token.markup[0]) or len(closing) < len(token.markup) or token.map[1] == line:
                problems.append((line, f"this code cell is never closed: end it with {token.markup}"))
    return problems, exercises


def _json_object(text: str) -> dict[str, Any] | str:
    """The object, or why there is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return str(error)
    return value if isinstance(value, dict) else "an object in braces is expected"
