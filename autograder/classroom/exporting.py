"""Marks as a table for Canvas, for Moodle, or for anything that reads CSV.

Canvas and Moodle take a file back in the form in which they gave it out, so theirs is filled in: a student is
found by the columns that name an account, and whoever fits two rows, or shares one, is refused.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry

from autograder.classroom.gradebook import in_words
from autograder.files import be_plain

ACCOUNTS = {
    "canvas": ("SIS Login ID", "SIS User ID", "ID"),
    "moodle": ("Username", "ID number", "Email address"),
}


class ExportError(ValueError):
    """The marks cannot be exported as asked; the message says what to do."""


@dataclass(frozen=True)
class Mark:
    """A student's mark after penalties. `waiting`: a person has still to mark something."""

    student: str
    score: float
    max_score: float
    late_penalty: float
    waiting: bool


@dataclass(frozen=True)
class Table:
    """The file to be, the rows whose mark changes (who, before, after), and who is in no row."""

    text: str
    changes: list[tuple[str, str, str]]
    missing: list[str]


def marks(url: str, course: str, chapter: str) -> list[Mark]:
    """
    Raises:
        ExportError: the gradebook does not know the chapter.
        GradebookError: it cannot be read.
    """
    with in_words(), Gradebook(url, course) as gradebook:
        try:
            submitted = gradebook.assignment_submissions(chapter)
        except MissingEntry:
            raise ExportError(f"the gradebook has no marks for {chapter}: grade it first") from None
        found = []
        for one in submitted:
            penalty = one.late_submission_penalty or 0.0
            score = max(0.0, one.score - penalty)
            found.append(Mark(one.student.id, score, one.max_score, penalty, bool(one.needs_manual_grade)))
        return sorted(found, key=lambda mark: mark.student)


def generic(found: list[Mark], chapter: str) -> Table:
    rows = [["student", "chapter", "score", "max_score", "late_penalty", "waiting_for_a_person"]]
    rows += [
        [
            m.student,
            chapter,
            f"{m.score:g}",
            f"{m.max_score:g}",
            f"{m.late_penalty:g}",
            "yes" if m.waiting else "",
        ]
        for m in found
    ]
    return Table(_csv(rows), [(m.student, "", f"{m.score:g}") for m in found], [])


def filled(found: list[Mark], chapter: str, form: str, roster: Path) -> Table:
    """The roster that Canvas or Moodle gave out, with the marks in it.

    Raises:
        ExportError: it is not such a file, or a student cannot be told from another.
    """
    header, rows = _read(roster)
    accounts = [name for name in ACCOUNTS[form] if name in header]
    if not accounts:
        raise ExportError(
            f"{roster} has none of the columns {', '.join(ACCOUNTS[form])}: is it {form}'s export?"
        )
    column = "Grade" if form == "moodle" else chapter
    if column not in header:
        header = [*header, column]
    changes: list[tuple[str, str, str]] = []
    missing: list[str] = []
    taken: dict[int, str] = {}
    for mark in found:
        fitting = [
            place
            for place, row in enumerate(rows)
            if any(mark.student.casefold() in _names(row.get(name, "")) for name in accounts)
        ]
        if len(fitting) > 1:
            raise ExportError(f"{mark.student} fits {len(fitting)} rows of {roster}: nothing was written")
        if not fitting:
            missing.append(mark.student)
            continue
        if fitting[0] in taken:
            raise ExportError(
                f"{mark.student} and {taken[fitting[0]]} are both row {fitting[0] + 2} of {roster}: "
                "nothing was written"
            )
        taken[fitting[0]] = mark.student
        row, new = rows[fitting[0]], f"{mark.score:g}"
        if row.get(column, "") != new:
            changes.append((mark.student, row.get(column, ""), new))
            row[column] = new
    return Table(_csv([header, *([row.get(name, "") for name in header] for row in rows)]), changes, missing)


def _names(account: str) -> set[str]:
    """What a submission may call an account: its name, or what stands before the @ of its address."""
    account = account.strip().casefold()
    return {account, account.partition("@")[0]} - {""}


def _read(roster: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        be_plain(roster)
        with roster.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            if twice := [name for name in header if header.count(name) > 1]:
                raise ExportError(
                    f"{roster} has two columns {twice[0]!r}, and one would be lost: rename one of them"
                )
            rows = []
            for row in reader:
                if None in row:
                    raise ExportError(
                        f"line {reader.line_num} of {roster} has more fields than the first, which names "
                        f"{len(header)} columns, and they would be lost: name their columns there"
                    )
                rows.append({name: value or "" for name, value in row.items()})
            return header, rows
    except UnicodeDecodeError:
        raise ExportError(f"{roster} is not in UTF-8: save it as CSV UTF-8, and name that file") from None
    except (OSError, csv.Error) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise ExportError(f"cannot read {roster}: {why}") from None


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
