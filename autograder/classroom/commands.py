"""What an instructor types: `autograder grade`, `feedback`, `export`, `similar`, `report`, …"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from autograder import exercises as catalogue
from autograder import panel, variants
from autograder.child import AnswerProcess
from autograder.classroom import (
    cluster,
    crew,
    exporting,
    feedback,
    lecture,
    rehearsal,
    rerunning,
    similarity,
    submissions,
)
from autograder.classroom.grader import Verdict, chapter_of, release_of
from autograder.classroom.journal import Entry, Journal, version
from autograder.classroom.recording import Book, RecordingError
from autograder.commands import GRADER_BROKE, UsageError
from autograder.exercise import Chapter
from autograder.files import write_atomically
from autograder.sandbox import LEVELS, SandboxError, require

MEGABYTE = 1 << 20
Grading = Callable[[list[submissions.Submission]], Iterator[Verdict]]
MOST_ATTEMPTS = 2  # to write into a gradebook that refuses


def add_to(subcommands: argparse._SubParsersAction) -> None:
    """The instructor's subcommands."""
    grade = subcommands.add_parser("grade", help="grade what a class handed in for a chapter")
    _chapter(grade)
    grade.add_argument("--submissions", type=Path, default=Path("submitted"), metavar="DIR",
                       help="STUDENT/CHAPTER/… or a folder of notebooks (default: submitted)")  # fmt: skip
    grade.add_argument("--pattern", default=submissions.FROM_FILE, metavar="REGEX",
                       help="in a folder of notebooks: the file name, with (?P<student>…)")  # fmt: skip
    grade.add_argument("--jobs", type=_count, default=crew.cores(), metavar="N",
                       help="how many graders side by side (default: the cores)")  # fmt: skip
    grade.add_argument("--cluster", metavar="ADDRESS",
                       help="a Dask scheduler to grade on: tcp://HOST:8786, a file, local:N")  # fmt: skip
    grade.add_argument("--cluster-wait", type=float, default=cluster.PATIENCE, metavar="S",
                       help=f"how long to wait for a worker (default: {cluster.PATIENCE:g})")  # fmt: skip
    grade.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    grade.add_argument("--timeout", type=float, metavar="S", help="seconds for an exercise")
    grade.add_argument("--memory", type=_count, metavar="MB", help="memory for an answer (default: 1024)")
    grade.add_argument("--seed", metavar="KEY", help="the class's secret (default: kept in grades/)")
    grade.add_argument("--again", action="store_true", help="grade also what has not changed")
    grade.add_argument("--execute", action="store_true",
                       help="run each notebook whole, too, and note what it shows otherwise")  # fmt: skip
    grade.add_argument("--execute-timeout", type=float, default=rerunning.SECONDS, metavar="S",
                       help=f"seconds for a whole notebook (default: {rerunning.SECONDS:g})")  # fmt: skip
    grade.add_argument("--require-sandbox", choices=LEVELS, metavar="LEVEL",
                       help=f"refuse to grade below this level: {', '.join(LEVELS)}")  # fmt: skip
    grade.add_argument("--allow-unsafe", action="store_true",
                       help="grade even where answers can read this machine's files")  # fmt: skip
    grade.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    grade.set_defaults(run=grade_class, interrupted="what was graded is kept, and the same command goes on")

    again = subcommands.add_parser("replay", help="repeat a verdict from its seed, for an appeal")
    again.add_argument("student", metavar="STUDENT")
    again.add_argument("exercise", metavar="EXERCISE", help="3.3, or attention.causal_mask")
    _root(again)
    again.add_argument("--json", action="store_true")
    again.set_defaults(run=replay)

    back = subcommands.add_parser("feedback", help="write a page for each student of a graded chapter")
    _chapter(back)
    back.set_defaults(run=give_feedback)

    out = subcommands.add_parser("export", help="marks as CSV: for Canvas, for Moodle, or generic")
    _chapter(out)
    out.add_argument("--format", default="generic", choices=exporting.FORMATS)
    out.add_argument("--roster", type=Path, metavar="CSV", help="the file that Canvas or Moodle gave out")
    out.add_argument(
        "--output", type=Path, metavar="CSV", help="write it (default: only show what would change)"
    )
    out.set_defaults(run=export)

    page = subcommands.add_parser("report", help="a page for the next lecture: how the class did")
    _chapter(page)
    page.set_defaults(run=report)

    try_out = subcommands.add_parser("rehearse", help="grade a made-up class, to try this machine")
    _chapter(try_out)
    try_out.add_argument("--jobs", type=_count, default=crew.cores(), metavar="N")
    try_out.add_argument(
        "--timeout", type=float, default=3.0, metavar="S", help="for an exercise (default: 3)"
    )
    try_out.set_defaults(run=rehearse)

    alike = subcommands.add_parser("similar", help="list answers that are alike, for a person to judge")
    _chapter(alike)
    alike.add_argument("--least", type=float, default=similarity.ALIKE, metavar="SHARE",
                       help=f"how alike, from 0 to 1 (default: {similarity.ALIKE})")  # fmt: skip
    alike.add_argument("--json", action="store_true")
    alike.set_defaults(run=similar)


def _chapter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("chapter", metavar="CHAPTER", help="such as 03-attention, or 3")
    _root(parser)


def _root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--course", type=Path, default=Path(), metavar="DIR",
                        help="the course: where chapters/ and gradebook.db are (default: here)")  # fmt: skip


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def find_chapter(name: str) -> Chapter:
    chapter = chapter_of(name)
    if chapter is None:
        known = ", ".join(c.slug for c in catalogue.chapters())
        raise UsageError(f"there is no chapter {name!r}: there are {known}")
    return chapter


def release_path(course: Path, slug: str) -> Path:
    path = variants.released(course, slug)
    if not path.is_file():
        raise UsageError(f"{path} is not there: run this in the course's folder, or name it with --course")
    return path


def of_class(chapter: Chapter, release: Path) -> Chapter:
    """The chapter with the variants that the released notebook says."""
    try:
        return variants.chapter_of(chapter, release_of(release))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{release} is no notebook of the course: {error}") from None
    except catalogue.UnknownExercise as unknown:
        raise UsageError(f"{release} is not of this version of the course: {unknown}") from None


def grade_class(options: argparse.Namespace) -> int:
    """Exit code 0 if every submission has a verdict on disk; 3 if the grader itself failed somewhere."""
    chapter = find_chapter(options.chapter)
    course = options.course.absolute()
    release = release_path(course, chapter.slug)
    own = [f"{e.number} {e.variant}" for e in of_class(chapter, release).exercises if e.variant]
    journal = Journal(course / "grades", chapter.slug)
    memory = None if options.memory is None else options.memory * MEGABYTE
    try:
        found = submissions.find(course / options.submissions, chapter.slug, options.pattern)
        seed = journal.seed(options.seed)
    except (submissions.NothingSubmitted, OSError) as error:
        raise UsageError(str(error)) from None
    seconds = options.execute_timeout if options.execute else None
    handed_out = release.read_bytes()
    plan = crew.Plan(chapter.slug, handed_out, seed, options.device, options.timeout, memory, seconds)
    compare = _comparison(course, chapter.slug, release, options.device) if options.execute else None
    checks = f"{version(handed_out)}:{seed}:{options.device}:{options.timeout}:{memory}"
    keys = {s.student: f"{submissions.digest(s.path)}:{s.refused}:{checks}" for s in found}
    known = {} if options.again else {s.student: e for s in found if (e := _unchanged(journal, s, keys))}
    if options.execute:
        known = {student: entry for student, entry in known.items() if entry.verdict.executed}
    due = [s for s in found if s.student not in known]
    verdicts = {student: entry.verdict for student, entry in known.items()}
    paths = {s.student: s.path.parent for s in found}
    waiting: list[Entry] = []
    with _graders(options, plan, len(due)) as (where, grade_all):
        if not options.json:
            print(f"{chapter.slug}: {len(due)} of {len(found)} submissions to grade{where}")
            if own:
                print(f"variants of this class: {', '.join(own)}")
        book = Book(course, chapter.slug, release)
        for student, entry in known.items():
            if not entry.recorded:
                _record(book, journal, entry, paths[student], waiting)
        bar = tqdm(total=len(due), desc="grading", unit="submission", disable=not sys.stderr.isatty())
        with bar, closing(grade_all(due)) as reached:
            for verdict in reached if due else ():
                verdict = compare(verdict) if compare else verdict
                entry = Entry(verdict, keys[verdict.student], seed)
                try:
                    journal.write(entry)
                except OSError as error:
                    raise UsageError(
                        f"cannot write {error.filename}: {error.strerror}. {len(verdicts)} verdicts are "
                        "kept; make room and run the same command again"
                    ) from None
                verdicts[verdict.student] = verdict
                _record(book, journal, entry, paths[verdict.student], waiting)
                bar.update()
    troubles = _record_late(book, journal, waiting, paths)
    book.close()
    ordered = [verdicts[s.student] for s in found]
    if options.json:
        print(json.dumps([verdict.as_json() for verdict in ordered], ensure_ascii=False))
    else:
        _print(ordered, troubles)
    for trouble in troubles[:5] if options.json else ():
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
def _graders(options: argparse.Namespace, plan: crew.Plan, count: int) -> Iterator[tuple[str, Grading]]:
    """Who grades so many submissions, in words that go after the number; and what takes them."""
    if not count:
        yield "", lambda due: crew.grade_all(plan, due, 1)
        return
    if options.cluster is None:
        here = plan.on_this_machine()
        jobs = min(options.jobs, count)
        yield f"; answers run at {_isolation(options, here)}", lambda due: crew.grade_all(here, due, jobs)
        return
    if _least(options) == LEVELS[0]:
        raise UsageError(
            "an answer that is not locked in could reach the cluster's scheduler, which runs whatever it is "
            f"told: with --cluster the least level is {LEVELS[1]}"
        )
    about = {"least": _least(options), "patience": options.cluster_wait, "say": _say}
    try:
        with cluster.Cluster(options.cluster, plan, **about) as workers:
            yield f"; {workers}", workers.grade_all
    except cluster.ClusterError as error:
        raise UsageError(str(error)) from None


def _say(words: str) -> None:
    """Beside the bar, if there is one."""
    tqdm.write(f"autograder: {words}", file=sys.stderr)


def _isolation(options: argparse.Namespace, plan: crew.Plan) -> str:
    with AnswerProcess(device=plan.device) as process:
        isolation = process.isolation
    assert isolation is not None
    try:
        require(isolation, _least(options))
    except SandboxError as error:
        hint = "" if options.require_sandbox else " To grade all the same, say --allow-unsafe."
        raise UsageError(f"{error}{hint}") from None
    return str(isolation)


def _least(options: argparse.Namespace) -> str:
    return options.require_sandbox or ("limits" if options.allow_unsafe else "kernel")


def _unchanged(journal: Journal, submission: submissions.Submission, keys: dict[str, str]) -> Entry | None:
    entry = journal[submission.student]
    if entry is None or entry.key != keys[submission.student] or entry.verdict.outcome == "grader_fault":
        return None
    return entry


def _record(book: Book, journal: Journal, entry: Entry, submitted: Path, waiting: list[Entry]) -> None:
    """Into the gradebook, or among those that wait: each attempt on a locked gradebook takes five seconds."""
    if waiting or _failure_to_record(book, journal, entry, submitted):
        waiting.append(entry)


def _record_late(book: Book, journal: Journal, waiting: list[Entry], paths: dict[str, Path]) -> list[str]:
    """Once more, when all are graded. What cannot be written even now is left for the next run, in words."""
    troubles: list[str] = []
    why = None
    for entry in waiting:
        student = entry.verdict.student
        if len(troubles) < MOST_ATTEMPTS:
            why = _failure_to_record(book, journal, entry, paths[student])
        if why is not None:
            troubles.append(f"{student}: not yet in the gradebook ({why}); run the command again")
    return troubles


def _failure_to_record(book: Book, journal: Journal, entry: Entry, submitted: Path) -> str | None:
    try:
        book.record(entry.verdict, submitted)
        journal.write(replace(entry, recorded=True))
    except (RecordingError, OSError) as error:
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
    before = next(r for r in entry.verdict.exercises if r["exercise"] == exercise.name)
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


def _entries(options: argparse.Namespace) -> tuple[Chapter, Path, list[Entry]]:
    chapter, course = find_chapter(options.chapter), options.course.absolute()
    entries = list(Journal(course / "grades", chapter.slug))
    if not entries:
        raise UsageError(f"nothing of {chapter.slug} has been graded here: autograder grade {chapter.slug}")
    reports = (report for entry in entries for report in entry.verdict.exercises)
    return chapter.varied({r["exercise"]: r["variant"] for r in reports if r.get("variant")}), course, entries


def give_feedback(options: argparse.Namespace) -> int:
    chapter, course, entries = _entries(options)
    book = Book(course, chapter.slug, release_path(course, chapter.slug))
    try:
        for entry in tqdm(entries, desc="feedback", disable=not sys.stderr.isatty()):
            verdict = entry.verdict
            by_hand = feedback.marks_by_hand(
                book.course.db_url, book.course.course_id, chapter.slug, verdict.student
            )
            path = feedback.path_of(course / "feedback", verdict)
            write_atomically(path, feedback.page(verdict, by_hand).encode())
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    print(f"{len(entries)} pages in {course / 'feedback'}, STUDENT/{chapter.slug}/{chapter.slug}.html")
    return 0


def export(options: argparse.Namespace) -> int:
    chapter, course, _ = _entries(options)
    book = Book(course, chapter.slug, release_path(course, chapter.slug))
    try:
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
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    for student, before, after in table.changes:
        print(f"{student}: {before or 'nothing'} → {after}")
    for student in table.missing:
        print(f"! {student} is in no row and was left out")
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
    try:
        write_atomically(path, similarity.page(found).encode())
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    print(
        f"{len(found)} pairs; side by side in {path}. Likeness proves nothing: short answers are often alike."
    )
    return 0


def report(options: argparse.Namespace) -> int:
    chapter, course, entries = _entries(options)
    path = course / "grades" / f"{chapter.slug}-report.html"
    try:
        write_atomically(path, lecture.page(chapter, [entry.verdict for entry in entries]).encode())
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    print(f"{len(entries)} submissions: {path}")
    return 0


def rehearse(options: argparse.Namespace) -> int:
    """Exit code 1 if one submission earned what it should not, or less than it should."""
    chapter, course = find_chapter(options.chapter), options.course.absolute()
    release = release_path(course, chapter.slug)
    solution = course / "solutions" / chapter.slug / f"{chapter.slug}.ipynb"
    if not solution.is_file():
        raise UsageError(f"{solution} is not there: rehearse in the course's own folder")
    with AnswerProcess() as process:
        isolation = process.isolation
    chapter, solved = of_class(chapter, release), release_of(solution)
    variants.rewrite({"cells": solved}, {e.name: e.variant for e in chapter.exercises if e.variant})
    cast = {p.name: p for p in rehearsal.players(chapter, release_of(release), solved)}
    notebook = json.loads(release.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        due = [
            submissions.Submission(p.name, rehearsal.write(p, Path(folder), notebook)) for p in cast.values()
        ]
        plan = crew.Plan(
            chapter.slug, release.read_bytes(), seed=time.time_ns() % 2**31, timeout=options.timeout
        )
        began = time.perf_counter()
        bar = tqdm(total=len(due), desc="rehearsing", disable=not sys.stderr.isatty())
        verdicts = {}
        with bar, closing(crew.grade_all(plan, due, min(options.jobs, len(due)))) as reached:
            for verdict in reached:
                verdicts[verdict.student] = verdict
                bar.update()
        seconds = time.perf_counter() - began
    wrong = []
    for kind in dict.fromkeys(p.kind for p in cast.values()):
        those = [p for p in cast.values() if p.kind == kind]
        bad = [p for p in those if not _as_expected(p, verdicts[p.name])]
        wrong += bad
        print(f"{kind:9} {len(those) - len(bad):4} of {len(those)} as they should be")
    for player in wrong:
        verdict = verdicts[player.name]
        print(f"! {player.name}: {verdict.points} of {verdict.max_points} points, {verdict.outcome}")
    rate = 60 * len(due) / seconds
    print(f"{len(due)} submissions in {seconds:.0f} s, {rate:.0f} a minute; answers ran at {isolation}")
    return int(bool(wrong))


def _as_expected(player: rehearsal.Player, verdict: Verdict) -> bool:
    if player.mistake:
        found = next(r for r in verdict.exercises if r["exercise"] == player.exercise)
        named = (found["misconception"] or {}).get("id") == player.mistake
        return named and found["points"] < found["max_points"]
    return verdict.points == player.points and verdict.outcome != "grader_fault"
