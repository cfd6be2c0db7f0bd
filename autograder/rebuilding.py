"""Rebuild a submission: the learner's answers, put into the instructor's notebook.

Only answers are taken over, each known by its grade_id, then by its cell id, then by its place. Everything
else comes from the released notebook. So a copied, deleted, moved, retyped or re-flagged cell, a save without
cell ids and a renamed kernel need no rules of their own. Cells that the learner added stay, as plain cells,
where they stood: an answer may lean on them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from autograder.answers import definitions
from autograder.merging import Cell, grade_id, identify, is_answer


@dataclass
class Rebuilt:
    """The notebook's cells, and what had to be repaired, in words."""

    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rebuild(release: list[Cell], submitted: list[Cell]) -> Rebuilt:
    """Put the answers of `submitted` into the cells of `release`. Sources are strings; `release` has ids."""
    identities = identify(release, [], submitted)
    held = {i: cell for i, cell in zip(identities, submitted, strict=True) if i is not None}
    rebuilt = Rebuilt()
    extras = _extras(release, submitted, identities)
    rebuilt.cells += extras.get(None, [])
    edited = 0
    for cell in release:
        made, mine = copy.deepcopy(cell), held.get(cell["id"])
        if is_answer(cell):
            made["source"] = _answer(cell, mine, submitted, rebuilt.notes)
        elif mine is not None:
            changed = mine["source"].strip() != cell["source"].strip()
            edited += changed and grade_id(cell) is None and cell["cell_type"] == "code"
        elif _belongs_to_an_exercise(cell):
            rebuilt.notes.append(f"the cell {cell['id']} was missing and was put back")
        if cell["cell_type"] == "code":
            made["outputs"] = copy.deepcopy((mine or {}).get("outputs") or [])
        rebuilt.cells.append(made)
        rebuilt.cells += extras.get(cell["id"], [])
    if edited:
        were = "cell was" if edited == 1 else "cells were"
        rebuilt.notes.append(
            f"{edited} of the course's own code {were} edited: the course's text stands again, "
            "followed by what the edited text defines"
        )
    return rebuilt


def _belongs_to_an_exercise(cell: Cell) -> bool:
    return grade_id(cell) is not None or cell["id"].endswith("-statement")


def _answer(cell: Cell, mine: Cell | None, submitted: list[Cell], notes: list[str]) -> str:
    """The text of an answer: of copies, the last one that somebody has begun to fill in."""
    name = grade_id(cell)
    copies = [one for one in submitted if grade_id(one) == name] or ([mine] if mine is not None else [])
    if not copies:
        notes.append(f"the answer cell {name} was missing: it counts as not attempted")
        return cell["source"]
    begun = [one for one in copies if one["source"].strip() not in ("", cell["source"].strip())]
    chosen = begun[-1] if begun else copies[-1]
    if len(copies) > 1:
        notes.append(
            f"the answer cell {name} was there {len(copies)} times: the last copy that is an answer counts"
        )
    if chosen["cell_type"] != cell["cell_type"]:
        notes.append(f"the answer cell {name} had become a {chosen['cell_type']} cell: read as it was given")
    return chosen["source"]


def _extras(
    release: list[Cell], submitted: list[Cell], identities: list[str | None]
) -> dict[str | None, list[Cell]]:
    """By the cell of the release that they follow: the learner's own cells."""
    names = {grade_id(cell) for cell in release} - {None}
    given = {cell["id"]: cell for cell in release}
    extras: dict[str | None, list[Cell]] = {}
    anchor: str | None = None
    for identity, cell in zip(identities, submitted, strict=True):
        source = cell["source"]
        if identity is not None:
            anchor, course = identity, given[identity]
            own = course["cell_type"] == "code" and grade_id(course) is None
            if not own or source.strip() == course["source"].strip():
                continue
            source = _new_definitions(source, course["source"])
        elif grade_id(cell) in names:
            continue  # a copy of an exercise's cell
        if source.strip():
            kind = "code" if cell["cell_type"] == "code" else "markdown"
            extras.setdefault(anchor, []).append(
                _plain(kind, source, len(release) + sum(map(len, extras.values())))
            )
    return extras


def _new_definitions(source: str, given: str) -> str:
    """What an edited cell of the course defines that the course's own text does not."""
    known = set(_statements(definitions(given)))
    return "\n".join(s for s in _statements(definitions(source)) if s not in known)


def _statements(source: str) -> Iterator[str]:
    return (ast.unparse(node) for node in ast.parse(source).body)  # of `definitions`, which always parse


def _plain(kind: str, source: str, number: int) -> Cell:
    cell: Cell = {"cell_type": kind, "id": f"learner-{number}", "metadata": {}, "source": source}
    return {**cell, "outputs": [], "execution_count": None} if kind == "code" else cell
