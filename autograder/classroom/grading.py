"""`autograder grade`: what a class handed in is graded, and each verdict written down when it is reached."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from autograder.bubblewrap import bubblewrap_trouble
from autograder.child import AnswerProcess
from autograder.classroom import cluster, crew, rerunning, submissions
from autograder.classroom.chapters import find_chapter, of_class, release_path
from autograder.classroom.gradebook import GradebookError
from autograder.classroom.grader import Verdict, release_of
from autograder.classroom.handing_in import as_text, time_of
from autograder.classroom.journal import Entry, Journal, version
from autograder.classroom.recording import Book
from autograder.isolation import LEVELS, SandboxError, require
from autograder.sandbox import Confined
from autograder.usage import GRADER_BROKE, UsageError, refusal

MEGABYTE = 1 << 20
Grading = Callable[[list[submissions.Submission]], Generator[Verdict, None, None]]
tqdm.monitor_interval = 0  # its thread, which does little here, would keep graders from being forked
MOST_ATTEMPTS = 2  # to write into a gradebook that refuses


def grade_class(options: argparse.Namespace, worker: Confined | None = None) -> int:
    """`worker`: a sandbox that was started in advance.

    Exit code 0 if every submission has a verdict on disk; 3 if the grader itself failed somewhere."""
    chapter = find_chapter(options.chapter)
    course = options.course.absolute()
    release = release_path(course, chapter.slug)
    own = [f"{e.number} {e.variant}" for e in of_class(chapter, release).exercises if e.variant]
    journal = Journal(course / "grades", chapter.slug)
    memory = None if options.memory is None else options.memory * MEGABYTE
    try:
        found = submissions.find(course / options.submissions, chapter.slug, options.pattern)
        seed = journal.seed(options.seed)
    except submissions.NothingSubmitted as error:
        raise UsageError(str(error)) from None
    seconds = options.execute_timeout if options.execute else None
    handed_out = release.read_bytes()
    plan = crew.Plan(chapter.slug, handed_out, seed, options.device, options.timeout, memory, seconds)
    compare = _comparison(course, chapter.slug, release, options.device) if options.execute else None
    checks = f"{version(handed_out)}:{seed}:{options.device}:{options.timeout}:{memory}"
    keys = {s.student: f"{submissions.digest(s.path)}:{s.refused}:{checks}" for s in found}
    before = {s.student: entry for s in found if (entry := journal[s.student])}
    known = {} if options.again else {s: e for s, e in before.items() if _is_unchanged(e, keys[s])}
    if options.execute:
        known = {student: entry for student, entry in known.items() if entry.verdict.executed}
    due = [s for s in found if s.student not in known]
    verdicts = {student: entry.verdict for student, entry in known.items()}
    said = {s.student: time_of(s.path.parent) for s in found}
    times = {student: time for student, (time, _) in said.items()}
    notes = [f"{student}: {wrong}" for student, (_, wrong) in said.items() if wrong]
    waiting: list[Entry] = []
    book = Book(course, chapter.slug, release)
    lost, troubles = _lost(book, known)
    retimed = {s for s, e in known.items() if e.recorded and e.handed_in != as_text(times[s])} - lost
    with _graders(options, plan, len(due), worker) as (where, grade_all):
        if not options.json:
            print(f"{chapter.slug}: {len(due)} of {len(found)} submissions to grade{where}")
            if own:
                print(f"variants of this class: {', '.join(own)}")
            if lost:
                print(f"{len(lost)} that were graded are not in the gradebook, and are entered again")
            if retimed:
                print(f"entered again with another time of handing in: {', '.join(sorted(retimed))}")
        for student, entry in known.items():
            if not entry.recorded or student in lost | retimed:
                _record(book, journal, entry, times[student], waiting)
        bar = tqdm(total=len(due), desc="grading", unit="submission", disable=not sys.stderr.isatty())
        with bar, closing(grade_all(due)) as reached:
            for verdict in reached if due else ():
                verdict = compare(verdict) if compare else verdict
                student = verdict.student
                told = before[student].handed_in if student in before else ""
                entry = Entry(verdict, keys[student], seed, handed_in=told)
                try:
                    journal.write(entry)
                except OSError as error:
                    raise UsageError(
                        f"{refusal(error)}. {len(verdicts)} verdicts are kept, and the same command goes on"
                    ) from None
                verdicts[student] = verdict
                _record(book, journal, entry, times[student], waiting)
                bar.update()
    troubles += _record_late(book, journal, waiting, times)
    book.close()
    ordered = [verdicts[s.student] for s in found]
    if options.json:
        print(json.dumps([verdict.as_json() for verdict in ordered], ensure_ascii=False))
    else:
        _print(ordered, [*notes, *troubles])
    for trouble in [*notes, *troubles][:5] if options.json else ():
        print(f"autograder: {trouble}", file=sys.stderr)
    return GRADER_BROKE if troubles or any(v.outcome == "grader_fault" for v in ordered) else 0


def _comparison(course: Path, slug: str, release: Path, device: str) -> Callable[[Verdict], Verdict]:
    """What adds to an executed notebook's verdict how it differs from the solution."""
    solution = course / "solutions" / slug / f"{slug}.ipynb"
    if not solution.is_file():
        raise UsageError(f"{solution} is not there: --execute compares with its outputs")
    reference, given = release_of(solution), release_of(release)
    return lambda verdict: rerunning.compared(verdict, reference, given, device)


@contextmanager
def _graders(
    options: argparse.Namespace, plan: crew.Plan, count: int, worker: Confined | None
) -> Iterator[tuple[str, Grading]]:
    """Who grades so many submissions, in words that go after the number; and what takes them."""
    if not count:
        yield "", lambda due: crew.grade_all(plan, due, 1)
        return
    if options.cluster is None:
        here = plan.on_this_machine()
        # A GPU gets one answer at a time: two could take its memory from each other.
        jobs = min(options.jobs, count) if here.device == "cpu" else 1
        with AnswerProcess(device=here.device, worker=worker) as process:
            about = f"; answers run at {_isolation(options, process)}"
            yield about, lambda due: crew.grade_all(here, due, jobs, process.shared)
        return
    if _least(options) == LEVELS[0]:
        raise UsageError(
            "an answer that is not locked in could reach the cluster's scheduler, which runs whatever it is "
            f"told: with --cluster the least level is {LEVELS[1]}"
        )
    settings = {"least": _least(options), "patience": options.cluster_wait, "say": _say}
    try:
        with cluster.Cluster(options.cluster, plan, **settings) as workers:
            yield f"; {workers}", workers.grade_all
    except cluster.ClusterError as error:
        raise UsageError(str(error)) from None


def _say(words: str) -> None:
    """Beside the bar, if there is one."""
    tqdm.write(f"autograder: {words}", file=sys.stderr)


def _isolation(options: argparse.Namespace, process: AnswerProcess) -> str:
    isolation = process.isolation
    assert isolation is not None
    try:
        require(isolation, _least(options))
    except SandboxError as error:
        hint = "" if options.require_sandbox else " To grade all the same, say --allow-unsafe."
        raise UsageError(f"{error}{hint}") from None
    return f"{isolation}, since {trouble}" if (trouble := bubblewrap_trouble()) else str(isolation)


def _least(options: argparse.Namespace) -> str:
    return options.require_sandbox or ("limits" if options.allow_unsafe else "kernel")


def _is_unchanged(entry: Entry, key: str) -> bool:
    return entry.key == key and entry.verdict.outcome != "grader_fault"


def _lost(book: Book, known: dict[str, Entry]) -> tuple[set[str], list[str]]:
    """Who was recorded and is in the gradebook no more; and in words why that could not be seen."""
    recorded = {student for student, entry in known.items() if entry.recorded}
    try:
        return (recorded - book.holds() if recorded else set()), []
    except GradebookError as error:
        return set(), [f"the gradebook cannot be read: {error}; run the command again"]


def _record(
    book: Book, journal: Journal, entry: Entry, handed_in: datetime | None, waiting: list[Entry]
) -> None:
    """Into the gradebook, or among those that wait: each attempt on a locked gradebook takes five seconds."""
    if waiting or _failure_to_record(book, journal, entry, handed_in):
        waiting.append(entry)


def _record_late(
    book: Book, journal: Journal, waiting: list[Entry], times: dict[str, datetime | None]
) -> list[str]:
    """Once more, when all are graded. What cannot be written even now is left for the next run, in words."""
    troubles: list[str] = []
    why = None
    for entry in waiting:
        student = entry.verdict.student
        if len(troubles) < MOST_ATTEMPTS:
            why = _failure_to_record(book, journal, entry, times[student])
        if why is not None:
            troubles.append(f"{student}: not yet in the gradebook ({why}); run the command again")
    return troubles


def _failure_to_record(book: Book, journal: Journal, entry: Entry, handed_in: datetime | None) -> str | None:
    try:
        book.record(entry.verdict, handed_in, entry.handed_in != "")
        journal.write(replace(entry, recorded=True, handed_in=as_text(handed_in)))
    except (GradebookError, OSError) as error:
        return str(error)
    return None


def _print(verdicts: list[Verdict], troubles: list[str]) -> None:
    table = Table("student", "points", "outcome", "notes")
    for verdict in verdicts:
        notes = "; ".join(verdict.notes[:3]) + (
            f"; and {len(verdict.notes) - 3} more" * (len(verdict.notes) > 3)
        )
        points = f"{verdict.points} of {verdict.max_points}"
        table.add_row(verdict.student, points, verdict.outcome.replace("_", " "), notes)
    Console().print(table, markup=False)
    counts = Counter(verdict.outcome for verdict in verdicts)
    print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.most_common()) + ".")
    if ran := [verdict for verdict in verdicts if verdict.executed]:
        alike = [v for v in ran if v.cells and not any("executed" in note[:12] for note in v.notes)]
        print(f"Executed: {len(alike)} of {len(ran)} notebooks show what the solution shows.")
    for trouble in troubles:
        print(f"! {trouble}")
