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

from jupytext.myst import MystMetadataParsingError, get_parser, myst_to_notebook, read_fenced_cell
from nbformat import ValidationError

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
    text = _without_header(text.replace("\r\n", "\n"))
    problems, exercises = _check_lines(text)
    if problems:
        return [], problems
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except (MystMetadataParsingError, ValidationError) as error:
        found = re.search(r"at line (\d+)", str(error))
        return [], [(int(found.group(1)) if found else 1, f"this cannot be read: {_first_line(error)}")]
    lines = text.split("\n")
    cells = []
    for cell, start in zip(notebook.cells, notebook.metadata["source_map"], strict=True):
        # The map counts from zero, from the line after a fence or a `+++`: which is that line, from one.
        line = start
        if cell.cell_type == "markdown" and not (start and lines[start - 1].startswith("+++")):
            line = next(i for i in range(start, len(lines)) if lines[i].strip()) + 1
        cells.append(Cell(cell.cell_type, cell.source, line, json.loads(json.dumps(cell.metadata))))
    kept = {cell.line for cell in cells}
    for line, name in exercises.items():
        if line not in kept:  # with nothing between it and the next cell, jupytext leaves the line out
            what = "write what is to be done below this line"
            problems.append((line, f"exercise {name} has no statement: {what}"))
    return cells, problems


def _without_header(text: str) -> str:
    """Blank lines for the header: it tells editors what the file is, and says nothing about the chapter."""
    found = re.match(r"---\n.*?\n---(?=\n|$)", text, re.DOTALL)
    return "\n" * found.group().count("\n") + text[found.end() :] if found else text


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
            problems += _tag_problems(line, metadata)
            if "exercise" in metadata:
                exercises[line] = str(metadata["exercise"])
        elif token.type == "fence" and token.info.startswith("{code-cell}"):
            closing = lines[min(token.map[1], len(lines)) - 1].strip()
            if closing.strip(token.markup[0]) or len(closing) < len(token.markup) or token.map[1] == line:
                problems.append((line, f"this code cell is never closed: end it with {token.markup}"))
            try:
                problems += _tag_problems(line, read_fenced_cell(token, 0, "Code")[0])
            except MystMetadataParsingError as error:
                problems.append((line, f"the cell's options cannot be read: {_first_line(error)}"))
    return problems, exercises


def _tag_problems(line: int, metadata: Any) -> list[Problem]:
    tags = metadata.get("tags", []) if isinstance(metadata, dict) else None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return [(line, "tags must be a list of words: write :tags: [long]")]
    return []


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def _json_object(text: str) -> dict[str, Any] | str:
    """The object, or why there is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return str(error)
    return value if isinstance(value, dict) else "an object in braces is expected"
