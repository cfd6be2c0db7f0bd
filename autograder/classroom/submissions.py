"""Find the notebooks that were handed in, and read them without trusting them.

A file may be anything: a link to the gradebook, a device, a gigabyte, a truncated or re-encoded notebook.
What an honest tool or a hasty hand can do to a notebook is repaired and noted; the rest is refused in words.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.merging import Cell

MOST_BYTES = 50 << 20
MOST_CELLS = 1_000
MOST_SOURCE = 200_000  # characters in one cell

# A student as part of a path and of a table. Moodle's and Canvas's downloads begin with it, up to a "_".
MOST_NAME = 200  # bytes, which leave room for what comes before and behind it in a file's name
STUDENT = re.compile(r"[^\W_][\w.@+ -]{0,99}")
FROM_FILE = r"(?P<student>[^_]+?)(_.*)?\.ipynb"


class Unreadable(ValueError):
    """The file cannot be graded; the message says why. `tampered`: no honest tool makes such a file."""

    def __init__(self, message: str, *, tampered: bool = False):
        super().__init__(message)
        self.tampered = tampered


@dataclass(frozen=True)
class Submission:
    """Whose it is, where it lies, and, where it cannot be graded at all, why.

    data: its bytes, on a machine that does not have the file.
    """

    student: str
    path: Path
    refused: str = ""
    data: bytes | None = field(default=None, repr=False)


@dataclass
class Received:
    """A notebook's cells with joined sources, and what had to be repaired to read them."""

    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class NothingSubmitted(ValueError):
    """There is nothing to grade; the message says where it was looked for."""


def find(folder: Path, chapter: str, pattern: str = FROM_FILE) -> list[Submission]:
    """The submissions of a chapter, by student: nbgrader's layout, or a folder of notebooks.

    folder:  `<folder>/<student>/<chapter>/<chapter>.ipynb`, or `<folder>/*.ipynb`.
    pattern: for a folder of notebooks, a regular expression for the whole file name with a group `student`.

    Raises:
        NothingSubmitted: no such folder, nothing in it, or a pattern without the group.
    """
    if not folder.is_dir():
        raise NothingSubmitted(
            f"there is no folder {folder}: say where the submissions are, --submissions DIR"
        )
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise NothingSubmitted(f"--pattern is no regular expression: {error}") from None
    if "student" not in wanted.groupindex:
        raise NothingSubmitted("--pattern needs a group for the student: (?P<student>...)")
    found = _in_students_folders(folder, chapter) or _in_one_folder(folder, wanted)
    if not found:
        raise NothingSubmitted(
            f"{folder} holds neither STUDENT/{chapter}/{chapter}.ipynb nor notebooks named after students"
        )
    by_student: dict[str, list[Submission]] = {}
    for submission in found:
        by_student.setdefault(submission.student, []).append(submission)
    return [_only(student, several) for student, several in sorted(by_student.items())]


def _in_students_folders(folder: Path, chapter: str) -> list[Submission]:
    found = []
    for own in sorted(folder.iterdir()):
        path = own / chapter / f"{chapter}.ipynb"
        if own.name.startswith("."):
            continue
        if own.is_dir() and not os.access(own, os.X_OK):
            found.append(Submission(_student(own.name), path, f"its folder {own} is not yours to read"))
            continue
        if not os.path.lexists(own / chapter):
            continue
        links = [part.name for part in (own, own / chapter, path) if part.is_symlink()]
        others = [] if links or path.exists() else sorted((own / chapter).glob("*.ipynb"))
        if len(others) == 1:  # a renamed notebook: "03-attention (1).ipynb"
            path = others[0]
        refused = f"{links[0]} is a link: links are not followed" if links else ""
        found.append(Submission(_student(own.name), path, refused or _unfit(own.name)))
    return found


def _in_one_folder(folder: Path, pattern: re.Pattern[str]) -> list[Submission]:
    found = []
    for path in sorted(folder.glob("*.ipynb")):
        match = pattern.fullmatch(path.name)
        if match is None:
            found.append(Submission(_student(path.stem), path, "its name does not fit --pattern"))
            continue
        name = match["student"]
        refused = "it is a link: links are not followed" if path.is_symlink() else _unfit(name)
        found.append(Submission(_student(name), path, refused))
    return found


def _student(name: str) -> str:
    """A name that can stand in a path and in a table, whatever it was, and that nobody else has."""
    if not _unfit(name):
        return name
    # What is left of two names may be the same, or the name of a third student's.
    safe = re.sub(r"[^\w.@+ -]", "-", name).encode()[: MOST_NAME // 2].decode(errors="ignore").strip(" .-_")
    return f"{safe or 'unnamed'}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def _unfit(name: str) -> str:
    fits = STUDENT.fullmatch(name) and len(name.encode()) <= MOST_NAME
    return "" if fits else f"{name!r} cannot be a student's name: rename it"


def _only(student: str, several: list[Submission]) -> Submission:
    if len(several) == 1:
        return several[0]
    names = ", ".join(one.path.name for one in several)
    return Submission(
        student, several[-1].path, f"{len(several)} files are {student}'s ({names}): leave one of them"
    )


def bytes_of(submission: Submission) -> bytes:
    """What was handed in.

    Raises:
        Unreadable: it was refused, or there is no plain file of a bearable size.
    """
    if submission.refused:
        raise Unreadable(submission.refused, tampered="link" in submission.refused)
    return read_bytes(submission.path) if submission.data is None else submission.data


def read_bytes(path: Path) -> bytes:
    """The file's bytes, if it is a plain file of a bearable size.

    Raises:
        Unreadable: it is missing, a link, a device or a folder, or too large.
    """
    try:
        # Non-blocking: opening a pipe that nobody writes to would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unreadable(f"there is no {path.name}: nothing was handed in") from None
    except OSError as error:
        link = os.path.islink(path)  # which asks for no permission
        why = "it is a link: links are not followed" if link else error.strerror or str(error)
        raise Unreadable(f"cannot read {path.name}: {why}", tampered=link) from None
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise Unreadable(f"{path.name} is no plain file", tampered=True)
    with os.fdopen(handle, "rb") as file:
        data = b"" if about.st_size > MOST_BYTES else file.read(MOST_BYTES + 1)
        if about.st_size > MOST_BYTES or len(data) > MOST_BYTES:
            raise Unreadable(f"{path.name} is larger than {MOST_BYTES >> 20} MB: clear its outputs")
    return data


def digest(path: Path) -> str:
    """What stands for the file's content, readable or not."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except Unreadable as problem:
        return hashlib.sha256(str(problem).encode()).hexdigest()


def parse(data: bytes, name: str = "the file") -> Received:
    """The cells of a notebook.

    Raises:
        Unreadable: it is not JSON, or not a notebook.
    """
    received = Received()
    try:
        notebook = json.loads(_decoded(data, received))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} is not a notebook: {type(error).__name__}: {str(error)[:120]}") from None
    cells = _cells_of(notebook, received)
    if not isinstance(cells, list):
        raise Unreadable(f"{name} is not a notebook: it has no list of cells")
    if len(cells) > MOST_CELLS:
        raise Unreadable(f"{name} has {len(cells):,} cells, more than {MOST_CELLS:,}", tampered=True)
    strange = 0
    for raw in cells:
        cell = _cell(raw, received.notes)
        strange += cell is None
        received.cells += [] if cell is None else [cell]
    if strange:
        received.notes.append(f"{strange} of its cells were no cells and were left out")
    return received


def _decoded(data: bytes, received: Received) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        received.notes.append("the file was encoded in UTF-16")
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        received.notes.append("the file was not encoded in UTF-8: read as Windows-1252")
        return data.decode("cp1252", errors="replace")


def _cells_of(notebook: Any, received: Received) -> Any:
    if not isinstance(notebook, dict):
        return None
    sheets = notebook.get("worksheets")
    if "cells" not in notebook and isinstance(sheets, list) and sheets and isinstance(sheets[0], dict):
        received.notes.append("it was saved in an old notebook format")
        return sheets[0].get("cells")
    return notebook.get("cells")


def _cell(raw: Any, notes: list[str]) -> Cell | None:
    if not isinstance(raw, dict):
        return None
    source = _joined(raw.get("source", raw.get("input", "")))
    if source is None:
        return None
    if len(source) > MOST_SOURCE:
        notes.append(f"a cell of {len(source):,} characters was left out")
        return None
    kind = raw.get("cell_type")
    metadata = raw.get("metadata")
    cell: Cell = {
        "cell_type": kind if kind in ("code", "markdown") else "raw",
        "source": source,
        "metadata": _metadata(metadata) if isinstance(metadata, dict) else {},
    }
    if isinstance(raw.get("id"), str) and 0 < len(raw["id"]) <= 64:
        cell["id"] = raw["id"]
    outputs = raw.get("outputs")
    cell["outputs"] = [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []
    return cell


def _joined(source: Any) -> str | None:
    if isinstance(source, list):
        source = "".join(source) if all(isinstance(line, str) for line in source) else None
    if not isinstance(source, str):
        return None
    # A lone surrogate is legal JSON and no text: it could not be written anywhere again.
    return source.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Only what the rebuilding looks at."""
    about = metadata.get("nbgrader")
    if not isinstance(about, dict) or not isinstance(about.get("grade_id"), str):
        return {}
    return {"nbgrader": about}
