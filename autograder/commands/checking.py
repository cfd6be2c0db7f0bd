"""`autograder check`: one answer in a file, or every answer in a notebook."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from autograder import exercises as catalogue
from autograder import panel, variants
from autograder.answers import Answer, NotebookError, find_answer, read_cells
from autograder.child import AnswerProcess, gpu_trouble
from autograder.commands.device import need_cuda
from autograder.exercise import Exercise
from autograder.files import be_plain
from autograder.grading import ungraded
from autograder.outcome import Failure
from autograder.report import Report
from autograder.usage import GRADER_BROKE, UsageError

MOST_ANSWER_BYTES = 2**20


def check(options: argparse.Namespace) -> int:
    if options.device == "cuda":
        need_cuda()
        if trouble := gpu_trouble():
            raise UsageError(f"--device cuda: {trouble}; leave it out to use the CPU")
    if options.what.endswith(".ipynb"):
        if options.file is not None:
            raise UsageError("give either a notebook, or an exercise with --file, not both")
        return _check_notebook(Path(options.what), options)
    exercise = _find(options.what, options.variant)
    if options.file is None:
        raise UsageError(f"say where the answer is: autograder check {options.what} --file ANSWER.py")
    source = _read_answer(options.file)
    with AnswerProcess(device=options.device) as process:
        report = _grade(process, exercise, source, (), options)
    _print_reports([report], options.json, single=True)
    return _exit_code([report])


def _check_notebook(path: Path, options: argparse.Namespace) -> int:
    try:
        cells = read_cells(path)
        own = variants.of(cells)
    except (NotebookError, catalogue.UnknownExercise) as error:
        raise UsageError(str(error)) from None
    found = {e.name: find_answer(cells, e) for e in catalogue.all_exercises()}
    chapters = _chapters_of(cells, found)
    if not chapters:
        raise UsageError(f"{path} holds no answer to any exercise of the course")
    reports = []
    with AnswerProcess(device=options.device) as process:
        for exercise in catalogue.all_exercises():
            if exercise.chapter not in chapters:
                continue
            answer, exercise = found[exercise.name], catalogue.find(exercise.name, own.get(exercise.name))
            if answer is None:
                missing = Failure("not attempted", "its answer cell is not in the notebook")
                assert process.isolation is not None  # known as soon as the process has begun
                reports.append(
                    ungraded(exercise, missing, seed=options.seed, isolation=process.isolation.level)
                )
            else:
                reports.append(_grade(process, exercise, answer.source, answer.helpers, options))
    _print_reports(reports, options.json, single=False)
    return _exit_code(reports)


def _grade(
    process: AnswerProcess,
    exercise: Exercise,
    source: str,
    helpers: tuple[str, ...],
    options: argparse.Namespace,
) -> Report:
    return process.grade(exercise, source, prelude=helpers, seed=options.seed, timeout=options.timeout)


def _chapters_of(cells: list[dict[str, Any]], found: dict[str, Answer | None]) -> set[int]:
    """The chapters that a notebook answers: by its grade ids, else by names that only one chapter uses."""
    everything = catalogue.all_exercises()
    ids = {cell["nbgrader"].get("grade_id") for cell in cells}
    if named := {e.chapter for e in everything if e.grade_id in ids}:
        return named
    uses = Counter(e.answer_name for e in everything)
    return {e.chapter for e in everything if found[e.name] is not None and uses[e.answer_name] == 1}


def _exit_code(reports: list[Report]) -> int:
    return GRADER_BROKE if any(r.status == "grader_error" for r in reports) else 0


def _print_reports(reports: list[Report], as_json: bool, single: bool) -> None:
    if as_json:
        plain = [report.as_json() for report in reports]
        print(json.dumps(plain[0] if single else plain, ensure_ascii=False))
        return
    for report in reports:
        text = panel.as_text(report, hints=())
        print(text)
        if single and report.hint is not None:
            print(f"  Hint: {report.hint}")
    if not single:
        points, most = sum(r.points for r in reports), sum(r.max_points for r in reports)
        passed = sum(r.status == "passed" for r in reports)
        print(f"\n{passed} of {len(reports)} exercises passed, {points} of {most} points.")


def _find(key: str, variant: str | None = None) -> Exercise:
    try:
        return catalogue.find(key, variant)
    except catalogue.UnknownExercise as unknown:
        raise UsageError(str(unknown)) from None


def _read_answer(path: Path) -> str:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name the .py file that defines the function")
        be_plain(path)
        if path.stat().st_size > MOST_ANSWER_BYTES:
            raise UsageError(
                f"{path} is larger than {MOST_ANSWER_BYTES >> 20} MB: an answer is a few lines of Python"
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}: name the file that defines the function") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text file in UTF-8") from None
