"""What an instructor types: `autograder grade`, `feedback`, `export`, `similar`, `report`, …

Only how it is typed: what carries a command out is imported when it is carried out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from autograder import cores
from autograder.classroom import defaults, submissions
from autograder.isolation import LEVELS
from autograder.usage import later

HERE = "autograder.classroom"


def add_to(subcommands: argparse._SubParsersAction) -> None:
    """The instructor's subcommands."""
    _before(subcommands)
    grade = subcommands.add_parser("grade", help="grade what a class handed in for a chapter")
    _chapter(grade)
    grade.add_argument("--submissions", type=Path, default=Path("submitted"), metavar="DIR",
                       help="STUDENT/CHAPTER/… or a folder of notebooks (default: submitted)")  # fmt: skip
    grade.add_argument("--pattern", default=submissions.FROM_FILE, metavar="REGEX",
                       help="in a folder of notebooks: the file name, with (?P<student>…)")  # fmt: skip
    grade.add_argument("--jobs", type=_count, default=cores.count(), metavar="N",
                       help="how many graders side by side (default: the cores; one for a GPU)")  # fmt: skip
    grade.add_argument("--cluster", metavar="ADDRESS",
                       help="a Dask scheduler to grade on: tcp://HOST:8786, a file, local:N")  # fmt: skip
    grade.add_argument("--cluster-wait", type=float, default=defaults.PATIENCE, metavar="S",
                       help=f"how long to wait for a worker (default: {defaults.PATIENCE:g})")  # fmt: skip
    grade.add_argument("--device", default="cpu", choices=("cpu", "cuda"),
                       help="where the inputs live (default: cpu)")  # fmt: skip
    grade.add_argument("--timeout", type=float, metavar="S", help="seconds for an exercise")
    grade.add_argument("--memory", type=_count, metavar="MB", help="memory for an answer (default: 1024)")
    grade.add_argument("--seed", metavar="KEY", help="the class's secret (default: kept in grades/)")
    grade.add_argument("--again", action="store_true", help="grade also what has not changed")
    grade.add_argument("--execute", action="store_true",
                       help="run each notebook whole, too, and note what it shows otherwise")  # fmt: skip
    grade.add_argument("--execute-timeout", type=float, default=defaults.NOTEBOOK_SECONDS, metavar="S",
                       help=f"seconds for a notebook (default: {defaults.NOTEBOOK_SECONDS:g})")  # fmt: skip
    grade.add_argument("--require-sandbox", choices=LEVELS, metavar="LEVEL",
                       help=f"refuse to grade below this level: {', '.join(LEVELS)}")  # fmt: skip
    grade.add_argument("--allow-unsafe", action="store_true",
                       help="grade even where answers can read this machine's files")  # fmt: skip
    grade.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    grade.set_defaults(
        run=later(f"{HERE}.starting", "grade_class"),
        interrupted="what was graded is kept, and the same command goes on",
    )

    again = subcommands.add_parser("replay", help="repeat a verdict from its seed, for an appeal")
    again.add_argument("student", metavar="STUDENT")
    again.add_argument("exercise", metavar="EXERCISE", help="3.3, or attention.causal_mask")
    _root(again)
    again.add_argument("--json", action="store_true")
    again.set_defaults(run=later(f"{HERE}.afterwards", "replay"))

    back = subcommands.add_parser("feedback", help="write a page for each student of a graded chapter")
    _chapter(back)
    back.set_defaults(run=later(f"{HERE}.afterwards", "give_feedback"))

    out = subcommands.add_parser("export", help="marks as CSV: for Canvas, for Moodle, or generic")
    _chapter(out)
    out.add_argument("--format", default="generic", choices=defaults.FORMATS)
    out.add_argument("--roster", type=Path, metavar="CSV", help="the file that Canvas or Moodle gave out")
    out.add_argument(
        "--output", type=Path, metavar="CSV", help="write it (default: only show what would change)"
    )
    out.set_defaults(run=later(f"{HERE}.afterwards", "export"))

    page = subcommands.add_parser("report", help="a page for the next lecture: how the class did")
    _chapter(page)
    page.set_defaults(run=later(f"{HERE}.afterwards", "report"))

    try_out = subcommands.add_parser("rehearse", help="grade a made-up class, to try this machine")
    _chapter(try_out)
    try_out.add_argument("--jobs", type=_count, default=cores.count(), metavar="N")
    try_out.add_argument(
        "--timeout", type=float, default=3.0, metavar="S", help="for an exercise (default: 3)"
    )
    try_out.set_defaults(run=later(f"{HERE}.rehearsing", "rehearse"))

    alike = subcommands.add_parser("similar", help="list answers that are alike, for a person to judge")
    _chapter(alike)
    alike.add_argument("--least", type=float, default=defaults.ALIKE, metavar="SHARE",
                       help=f"how alike, from 0 to 1 (default: {defaults.ALIKE})")  # fmt: skip
    alike.add_argument("--json", action="store_true")
    alike.set_defaults(run=later(f"{HERE}.afterwards", "similar"))


def _before(subcommands: argparse._SubParsersAction) -> None:
    """What comes before a class hands in."""
    make = subcommands.add_parser(
        "release", help="write a chapter's release for your class, with its variants"
    )
    _chapter(make)
    make.add_argument(
        "--variants", action="store_true", help="give the class the variants that its secret draws"
    )
    make.add_argument("--choose", action="append", default=[], metavar="EXERCISE=VARIANT",
                      help="give it this one, as in 3.3=window, or 3.3=plain (may be repeated)")  # fmt: skip
    make.add_argument("--seed", metavar="KEY", help="draw from this secret (default: kept in grades/)")
    make.set_defaults(run=later(f"{HERE}.releasing", "release"))

    listing = subcommands.add_parser("variants", help="list a chapter's variants, and which your class has")
    _chapter(listing)
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=later(f"{HERE}.releasing", "list_variants"))


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
