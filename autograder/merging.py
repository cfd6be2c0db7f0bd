"""Merge a newer chapter into a learner's notebook, against the chapter that the learner started from.

Three notebooks, as lists of cells: `base` (the course's, then), `new` (the course's, now) and `mine` (the
learner's). Nothing that the learner wrote is ever lost, and every cell of the new chapter is there:

- an answer that the learner has begun stays; so does every cell that they added, after the cell it followed;
- a cell that they left alone becomes what the course has now, and keeps its outputs if it did not change;
- a cell that they edited stays; if the course changed the same cell too, the course's comes first and
  theirs stands right below it;
- a cell that the course took out goes, unless they had edited it;
- a cell that they took out stays out, unless it belongs to an exercise.

Merging the result again changes nothing, so a run that was cut short can be repeated.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Cell = dict[str, Any]

ALIKE = 0.6  # how similar two texts must be to count as one cell that lost its id
MOST_LETTERS = 4_000  # a longer text is compared by its lines
MARK = "yours"  # in the metadata of a cell that was found to be the learner's alone: nothing is guessed again


@dataclass
class Merged:
    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def grade_id(cell: Cell) -> str | None:
    found = cell.get("metadata", {}).get("nbgrader")
    return found.get("grade_id") if isinstance(found, dict) else None


def is_answer(cell: Cell) -> bool:
    return grade_id(cell) is not None and bool(cell["metadata"]["nbgrader"].get("solution"))


def merge(base: list[Cell], new: list[Cell], mine: list[Cell]) -> Merged:
    """The learner's cells brought up to date. Cells of `base` and `new` have ids; sources are strings."""
    # A cell that is only in the new chapter may be in the learner's too: from a run that was cut short.
    old = {cell["id"]: cell for cell in base}
    identities = identify(base, [cell for cell in new if cell["id"] not in old], mine)
    held = {identity: cell for identity, cell in zip(identities, mine, strict=True) if identity is not None}
    coming = {cell["id"] for cell in new}
    merged = Merged()

    after: dict[str | None, list[Cell]] = {}  # what stands behind each cell of the new chapter
    anchor: str | None = None
    for identity, cell in zip(identities, mine, strict=True):
        if identity in coming:
            anchor = identity
        elif identity is None or not _same(cell, old[identity]):
            after.setdefault(anchor, []).append(_kept(cell, coming))

    merged.cells += after.get(None, [])
    for cell in new:
        merged.cells += _one(cell, old.get(cell["id"]), held.get(cell["id"]), merged.notes)
        merged.cells += after.get(cell["id"], [])
    _number(merged.cells)
    return merged


def _one(new: Cell, old: Cell | None, mine: Cell | None, notes: list[str]) -> list[Cell]:
    """What becomes of one cell of the new chapter."""
    if mine is None:
        taken_out = old is not None and _same(old, new) and not _of_exercise(new)
        return [] if taken_out else [copy.deepcopy(new)]
    if _same(mine, new):
        return [_dressed(mine, new, old)]
    edited = old is None or not _same(mine, old)
    if not edited:
        return [copy.deepcopy(new)]
    if is_answer(new):
        if old is not None and not _same(old, new):
            notes.append(f"your answer in {new['id']} stays; its starting text is another one now")
        return [_dressed(mine, new, old)]
    if old is not None and _same(old, new):
        return [_dressed(mine, new, old)]
    notes.append(f"you and the course both changed the cell {new['id']}: yours stands below the course's")
    yours = {**_kept(mine), "id": f"{new['id'][:50]}-yours"}
    return [copy.deepcopy(new), yours]


def _dressed(mine: Cell, new: Cell, old: Cell | None) -> Cell:
    """The learner's cell under the course's id, and with what the course says about it now."""
    said = {} if old is None else old.get("metadata", {})
    own = {key: value for key, value in mine.get("metadata", {}).items() if key not in {*said, MARK}}
    return copy.deepcopy({**mine, "id": new["id"], "metadata": {**own, **new.get("metadata", {})}})


def _kept(cell: Cell, taken: Iterable[str] = ()) -> Cell:
    """A cell that is the learner's alone: it must not pass for a cell of the course."""
    cell = copy.deepcopy(cell)
    if "id" in cell and cell["id"] in taken:
        del cell["id"]
    for key in ("nbgrader", "deletable", "editable"):
        cell.get("metadata", {}).pop(key, None)
    cell.setdefault("metadata", {})[MARK] = True
    return cell


def _same(one: Cell, other: Cell) -> bool:
    pictures = (one.get("attachments") or {}) == (other.get("attachments") or {})
    return _text(one) == _text(other) and pictures


def _text(cell: Cell) -> tuple[str, str]:
    return cell["cell_type"], cell["source"].rstrip()


def _of_exercise(cell: Cell) -> bool:
    return grade_id(cell) is not None or cell["id"].endswith("-statement")


def _number(cells: list[Cell]) -> None:
    """Give an id to each cell that has none, or somebody else's."""
    seen: set[str] = set()
    for place, cell in enumerate(cells):
        wanted = cell.get("id") or f"yours-{place}"
        name, count = wanted, 1
        while name in seen:
            count += 1
            name = f"{wanted[:56]}-{count}"
        cell["id"] = name
        seen.add(name)


# Which cell of the course a learner's cell is.


def identify(base: list[Cell], added: list[Cell], mine: list[Cell]) -> list[str | None]:
    """For each of the learner's cells, the id of the course's cell that it is, or None.

    `base` is what they started from; `added`, cells of the course that they can only have if they were merged
    in before, with their ids: for these nothing is guessed.

    By grade_id, then by cell id, then by its place between cells that are known: Colab and old tools drop
    ids. No two get the same one: of copies, the one that kept the cell id, else the first.
    """
    found: list[str | None] = [None] * len(mine)
    known = {cell["id"] for cell in base + added}
    by_grade = {grade_id(cell): cell["id"] for cell in base + added if grade_id(cell)}

    def claim(place: int, identity: str | None) -> None:
        if identity is not None and found[place] is None and identity not in found:
            found[place] = identity

    for place, cell in enumerate(mine):
        if by_grade.get(grade_id(cell)) == cell.get("id"):
            claim(place, cell.get("id"))
    for place, cell in enumerate(mine):
        claim(place, by_grade.get(grade_id(cell)))
    for place, cell in enumerate(mine):
        if cell.get("id") in known:
            claim(place, cell["id"])
    _by_place(base, mine, found)
    return found


def _by_place(course: list[Cell], mine: list[Cell], found: list[str | None]) -> None:
    """Fill in what can be told from the text and the neighbours, for cells that were not judged before."""
    if None not in found:
        return
    open_ = {place for place, cell in enumerate(mine) if not cell.get("metadata", {}).get(MARK)}
    places = {cell["id"]: place for place, cell in enumerate(course)}
    for start, end, first, last in _gaps(course, mine, found, places):
        ours = [p for p in range(first, last) if course[p]["id"] not in found]
        theirs = [p for p in range(start, end) if found[p] is None and p in open_]
        texts = [_text(course[p]) for p in ours], [_text(mine[p]) for p in theirs]
        for block in difflib.SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks():
            for step in range(block.size):
                found[theirs[block.b + step]] = course[ours[block.a + step]]["id"]
    for start, end, first, last in _gaps(course, mine, found, places):
        _by_likeness(
            [course[p] for p in range(first, last) if course[p]["id"] not in found],
            [p for p in range(start, end) if found[p] is None and p in open_],
            mine,
            found,
        )


def _by_likeness(ours: list[Cell], theirs: list[int], mine: list[Cell], found: list[str | None]) -> None:
    """In one gap: an answer is the cell that defines its name; any other, a cell with much the same text."""
    for cell in ours:
        same_kind = [p for p in theirs if found[p] is None and mine[p]["cell_type"] == cell["cell_type"]]
        names = _defined(cell["source"]) if is_answer(cell) else set()
        defining = [p for p in same_kind if names & _defined(mine[p]["source"])]
        if defining:
            found[defining[-1]] = cell["id"]
        elif is_answer(cell) and len(same_kind) == 1 and len(ours) == 1:
            found[same_kind[0]] = cell["id"]
        elif same_kind:
            likeness = {p: _likeness(cell["source"], mine[p]["source"]) for p in same_kind}
            best = max(same_kind, key=lambda p: likeness[p])
            if likeness[best] >= ALIKE:
                found[best] = cell["id"]


def _gaps(
    course: list[Cell], mine: list[Cell], found: list[str | None], places: dict[str, int]
) -> list[tuple[int, int, int, int]]:
    """The stretches between neighbouring known cells: in `mine` (start, end), in `course` (first, last)."""
    anchors = [(place, places[identity]) for place, identity in enumerate(found) if identity in places]
    ordered = [(-1, -1), *_rising(anchors), (len(mine), len(course))]
    return [(a + 1, b, p + 1, q) for (a, p), (b, q) in pairwise(ordered)]


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose second parts rise: what a moved cell does not disturb."""
    best: list[list[tuple[int, int]]] = []
    for pair in pairs:
        longest = max((chain for chain in best if chain[-1][1] < pair[1]), key=len, default=[])
        best.append([*longest, pair])
    return max(best, key=len, default=[])


def _likeness(one: str, other: str) -> float:
    if max(len(one), len(other)) > MOST_LETTERS:  # the letters of a long text would be compared for minutes
        return difflib.SequenceMatcher(None, one.split("\n"), other.split("\n")).quick_ratio()
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _defined(source: str) -> set[str]:
    try:
        body: Iterable[ast.stmt] = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return names | {
        target.id
        for node in body
        if isinstance(node, ast.Assign) and not _is_check(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _is_check(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "check"
