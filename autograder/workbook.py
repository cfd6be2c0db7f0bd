"""The learner's workbook: a copy of each chapter that is theirs, brought up to date and never overwritten.

    workbook/03-attention/03-attention.ipynb          the learner's
    workbook/.base/03-attention/03-attention.ipynb    the chapter that it was made from, or last merged with
    workbook/.backup/03-attention/                    the learner's file as it was before each merge
    workbook/.autograder/                             their progress

A notebook that cannot be read is left exactly as it is, and the chapter is put beside it under another name.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from autograder.files import write_atomically
from autograder.merging import merge
from autograder.variants import CHECKED

BASE, BACKUP, HOME = ".base", ".backup", ".autograder"
FRESH = "-fresh"  # the ending of the chapter that is put beside a damaged notebook


class Damaged(ValueError):
    """A file is no notebook that can be read; the message says why."""


@dataclass(frozen=True)
class Update:
    """What happened to one chapter: "new", "unchanged", "merged" or "damaged"."""

    slug: str
    action: str
    notebook: Path
    notes: tuple[str, ...] = ()


def update(chapters: Path, workbook: Path) -> list[Update]:
    """Bring the workbook up to date with all of `chapters`.

    Raises:
        OSError: the workbook cannot be written; what was there is untouched.
        Damaged: a notebook of the course itself cannot be read.
    """
    (workbook / HOME).mkdir(parents=True, exist_ok=True)
    with _alone(workbook):
        return [
            found
            for source in sorted(chapters.glob("[0-9][0-9]-*/*.ipynb"))
            for found in _update(source, workbook, source.stem)
        ]


def _update(source: Path, workbook: Path, name: str) -> list[Update]:
    slug = source.parent.name
    target = workbook / slug / f"{name}.ipynb"
    kept = workbook / BASE / slug / f"{name}.ipynb"
    data = source.read_bytes()
    try:
        new = read_notebook(source)
    except Damaged as damage:
        raise Damaged(
            f"{source} is damaged: {damage}. Get the course's file again: git restore {source}"
        ) from None
    if not target.exists() and not target.is_symlink():
        write_atomically(target, data)
        write_atomically(kept, data)
        return [Update(slug, "new", target)]
    try:
        mine = read_notebook(target)
    except (Damaged, FileNotFoundError) as damage:  # not found: a link that leads nowhere
        report = Update(slug, "damaged", target, (str(damage),))
        # Whoever damages the fresh one as well gets another one beside it.
        return [report, *_update(source, workbook, f"{name}{FRESH}")]
    if kept.is_file() and kept.read_bytes() == data:
        return [Update(slug, "unchanged", target)]
    if any(CHECKED.search(cell["source"]) for cell in mine["cells"]):
        note = "it is your class's own notebook, with variants of some exercises: left as it is"
        return [Update(slug, "unchanged", target, (note,))]
    try:
        base = read_notebook(kept)
    except (Damaged, OSError):
        base = new  # nothing is known about the start: whatever differs is taken for the learner's
    merged = merge(base["cells"], new["cells"], mine["cells"])
    result = _assemble(mine, new, merged.cells)
    changed = result != target.read_bytes()
    if changed:
        _back_up(target, workbook / BACKUP / slug)
        write_atomically(target.resolve(), result)
    # Last: until it is written, the same merge is made again, and makes no difference.
    write_atomically(kept, data)
    return [Update(slug, "merged" if changed else "unchanged", target, tuple(merged.notes))]


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as plain dictionaries, its sources joined. Missing or doubled cell ids are no damage.

    Raises:
        Damaged: it cannot be read as a notebook.
        FileNotFoundError: there is no such file.
    """
    try:
        raw = json.loads(path.read_bytes())
        if raw.get("nbformat") == 3:
            raw = json.loads(nbformat.writes(nbformat.convert(nbformat.from_dict(raw), 4)))
        if raw.get("nbformat") != 4:
            raise Damaged(f"it says that its format is {raw.get('nbformat')!r}; 4 is expected")
        for cell in raw["cells"]:
            cell["source"] = _joined(cell["source"])
            cell.setdefault("metadata", {})
            if cell["cell_type"] == "code":
                cell.setdefault("outputs", [])
                cell.setdefault("execution_count", None)
        nbformat.validate(_numbered(raw))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror}") from None
    except Damaged:
        raise
    except Exception as error:  # whatever a broken file makes of the reader
        first = (str(error) or type(error).__name__).split("\n")[0][:200]
        raise Damaged(f"it is not a whole notebook: {first}") from None
    return raw


def _joined(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def _numbered(raw: dict[str, Any]) -> Any:
    """A copy for the validator, which insists on ids."""
    notebook = copy.deepcopy(raw)
    for place, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{place}"
    return nbformat.from_dict({**notebook, "nbformat_minor": 5})


def _assemble(mine: dict[str, Any], new: dict[str, Any], cells: list[dict[str, Any]]) -> bytes:
    # The kernel is the learner's business; what else the course says of a notebook is the course's.
    metadata = {**new["metadata"], **mine.get("metadata", {})}
    plain = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    notebook = nbformat.from_dict(plain)
    nbformat.validate(notebook)
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def _back_up(path: Path, folder: Path) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    copies = (folder / f"{path.stem}-{now}{n}.ipynb" for n in ("", *(f"-{k}" for k in range(2, 1000))))
    write_atomically(next(copy for copy in copies if not copy.exists()), path.read_bytes())


@contextlib.contextmanager
def _alone(workbook: Path) -> Iterator[None]:
    """Two updates at once would merge one file twice: the second waits for the first."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(workbook / HOME / "lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
