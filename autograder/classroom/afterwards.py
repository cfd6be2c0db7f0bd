"""What an instructor does with a graded chapter: `replay`, `feedback`, `export`, `similar`, `report`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from autograder import exercises as catalogue
from autograder import panel
from autograder.child import AnswerProcess
from autograder.classroom import exporting, feedback, lecture, similarity
from autograder.classroom.chapters import find_chapter, release_path
from autograder.classroom.gradebook import GradebookError, file_of
from autograder.classroom.journal import Entry, Journal
from autograder.classroom.recording import Book
from autograder.exercise import Chapter
from autograder.files import write_atomically
from autograder.usage import UsageError


def replay(options: argparse.Namespace) -> int:
    """Exit code 0 if the verdict is the same again."""
    try:
        exercise = catalogue.find(options.exercise)
    except catalogue.UnknownExercise as unknown:
        raise UsageError(str(unknown)) from None
    slug = catalogue.find_chapter(exercise.chapter).slug
    entry = Journal(options.course.absolute() / "grades", slug)[options.student]
    if entry is None:
        raise UsageError(f"there is no verdict on {options.student!r} in {slug}: was it graded here?")
    before = next((r for r in entry.verdict.exercises if r["exercise"] == exercise.name), None)
    if before is None:
        raise UsageError(
            f"{options.student} was graded by a version of the course without {exercise.number}: "
            f"autograder grade {exercise.chapter}"
        )
    exercise = catalogue.find(exercise.name, before.get("variant"))
    answer = entry.verdict.answers.get(exercise.name)
    if answer is None:
        raise UsageError(f"{options.student} gave no answer to {exercise.number}: {before['reason']}")
    with AnswerProcess(device=before["device"]) as process:
        report = process.grade(exercise, answer["source"], prelude=tuple(answer["helpers"]), seed=entry.seed)
    same = (report.status, report.points) == (before["status"], before["points"])
    if options.json:
        print(json.dumps({"same": same, "before": before, "now": report.as_json()}, ensure_ascii=False))
    else:
        print(panel.as_text(report))
        print("The same verdict as when it was graded." if same else
              f"It was {before['status']} with {before['points']} points when it was graded.")  # fmt: skip
    return int(not same)


def _graded(options: argparse.Namespace) -> tuple[Chapter, Path, list[Entry]]:
    chapter, course = find_chapter(options.chapter), options.course.absolute()
    entries = list(Journal(course / "grades", chapter.slug))
    if not entries:
        raise UsageError(f"nothing of {chapter.slug} has been graded here: autograder grade {chapter.slug}")
    return chapter, course, entries


def _entries(options: argparse.Namespace) -> tuple[Chapter, Path, list[Entry]]:
    """What can be shown: a verdict of another version of the course may name what this one does not have."""
    chapter, course, graded = _graded(options)
    entries = [entry for entry in graded if _is_of_this_version(entry, chapter)]
    for entry in graded:
        if entry not in entries:
            print(f"! {entry.verdict.student} was graded by another version of the course and is left out: "
                  f"autograder grade {chapter.number}, and this again", file=sys.stderr)  # fmt: skip
    if not entries:
        raise UsageError(f"nobody was graded by this version: autograder grade {chapter.number}")
    reports = (report for entry in entries for report in entry.verdict.exercises)
    return chapter.varied({r["exercise"]: r["variant"] for r in reports if r.get("variant")}), course, entries


def _is_of_this_version(entry: Entry, chapter: Chapter) -> bool:
    reports = entry.verdict.exercises
    try:
        checks = {r["exercise"]: catalogue.find(r["exercise"], r.get("variant")).checks for r in reports}
    except catalogue.UnknownExercise:
        return False
    known = {name: {check.name for check in several} for name, several in checks.items()}
    named = all(check["name"] in known[r["exercise"]] for r in reports for check in r["checks"])
    return named and set(known) == {exercise.name for exercise in chapter.exercises}


def _book(course: Path, chapter: Chapter) -> Book:
    """The gradebook, if there is one: to look into one that is not there would make it."""
    book = Book(course, chapter.slug, release_path(course, chapter.slug))
    file = file_of(book.course.db_url)
    if file is not None and not file.exists():
        raise UsageError(
            f"there is no gradebook {file}, so nothing has been graded yet: "
            f"autograder grade {chapter.number}, and this again"
        )
    return book


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except GradebookError as error:
        raise UsageError(f"the gradebook cannot be read: {error}. Run the command again") from None


def give_feedback(options: argparse.Namespace) -> int:
    chapter, course, entries = _entries(options)
    book = _book(course, chapter)
    lacking = []
    for entry in tqdm(entries, desc="feedback", disable=not sys.stderr.isatty()):
        verdict = entry.verdict
        about = (book.course.db_url, book.course.course_id, chapter.slug, verdict.student)
        with _readable():
            by_hand = feedback.marks_by_hand(*about)
        lacking += [] if by_hand else [verdict.student]
        path = feedback.path_of(course / "feedback", verdict)
        write_atomically(path, feedback.page(verdict, by_hand).encode())
    for student in lacking:
        print(f"! {student} is not in the gradebook, so the page shows no marks by hand: "
              f"autograder grade {chapter.number}, and this again")  # fmt: skip
    print(f"{len(entries)} pages in {course / 'feedback'}, STUDENT/{chapter.slug}/{chapter.slug}.html")
    return 0


def export(options: argparse.Namespace) -> int:
    chapter, course, entries = _graded(options)
    book = _book(course, chapter)
    try:
        with _readable():
            found = exporting.marks(book.course.db_url, book.course.course_id, chapter.slug)
        if options.format == "generic":
            table = exporting.generic(found, chapter.slug)
        elif options.roster is None:
            raise exporting.ExportError(f"name the file that {options.format} gave out: --roster CSV")
        else:
            table = exporting.filled(found, chapter.slug, options.format, options.roster)
        if options.output is not None:
            write_atomically(options.output.absolute(), table.text.encode())
    except exporting.ExportError as error:
        raise UsageError(str(error)) from None
    for student, before, after in table.changes:
        print(f"{student}: {before or 'nothing'} → {after}")
    for student in table.missing:
        print(f"! {student} is in no row and was left out")
    marked = {mark.student for mark in found}
    for entry in entries:
        if not entry.recorded or entry.verdict.student not in marked:
            print(f"! {entry.verdict.student} was graded and is not in the gradebook: "
                  f"autograder grade {chapter.number}")  # fmt: skip
    waiting = sum(mark.waiting for mark in found)
    if waiting:
        print(f"! {waiting} of {len(found)} have answers that a person has still to mark")
    done = f"written to {options.output}" if options.output else "nothing written: add --output FILE"
    print(f"{len(table.changes)} marks change; {done}.")
    return 0


def similar(options: argparse.Namespace) -> int:
    chapter, course, entries = _entries(options)
    found = []
    for exercise in chapter.exercises:
        if exercise.takes_value or exercise.starter is not None:  # every repair of one text is alike
            continue
        answers = {
            entry.verdict.student: answer["source"]
            for entry in entries
            for report in entry.verdict.exercises
            if report["exercise"] == exercise.name and report["status"] in ("passed", "failed")
            if (answer := entry.verdict.answers.get(exercise.name))
        }
        found += similarity.pairs(exercise, answers, options.least)
    if options.json:
        print(json.dumps([vars(pair) for pair in found], ensure_ascii=False))
        return 0
    for pair in found:
        exercise = catalogue.find(pair.exercise)
        shared = f", a text that {pair.shared_by} share" if pair.shared_by > 2 else ""
        print(f"{exercise.number}  {pair.likeness:4.0%}  {pair.authors[0]}  and  {pair.authors[1]}{shared}")
    path = course / "grades" / f"{chapter.slug}-similar.html"
    write_atomically(path, similarity.page(found).encode())
    print(
        f"{len(found)} pairs; side by side in {path}. Likeness proves nothing: short answers are often alike."
    )
    return 0


def report(options: argparse.Namespace) -> int:
    chapter, course, entries = _entries(options)
    path = course / "grades" / f"{chapter.slug}-report.html"
    write_atomically(path, lecture.page(chapter, [entry.verdict for entry in entries]).encode())
    print(f"{len(entries)} submissions: {path}")
    return 0
