"""What each command of `autograder` does: read, grade, print."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from autograder import assembling, panel, variants
from autograder import exercises as catalogue
from autograder import progress as log
from autograder.answers import Answer, NotebookError, find_answer, read_cells
from autograder.child import AnswerProcess, gpu_trouble
from autograder.exercise import Exercise
from autograder.grading import ungraded
from autograder.merging import grade_id
from autograder.outcome import Failure
from autograder.outputs import OutputsError, as_cell, compare_notebooks, read_notebook
from autograder.proving import prove
from autograder.report import Report
from autograder.usage import GRADER_BROKE, UsageError

ROOT = Path(__file__).resolve().parent.parent
MOST_ANSWER_BYTES = 2**20


def check(options: argparse.Namespace) -> int:
    if options.device == "cuda":
        _need_cuda()
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


def outputs(options: argparse.Namespace) -> int:
    """Exit code 1 where an output differs, is missing, or was not made."""
    if options.device == "cuda" and options.execute:
        _need_cuda()
    try:
        mine = read_notebook(options.notebook)
        slug = options.chapter or _slug_of(mine, options.notebook)
        reference, chapter = read_notebook(_made("solutions", slug)), read_notebook(_made("chapters", slug))
        if options.execute:
            mine = _executed(options.notebook, options.device)
        reports = compare_notebooks(reference, chapter, mine, device=options.device)
    except OutputsError as error:
        raise UsageError(str(error)) from None
    wrong = [r for r in reports if r.state not in ("same", "long")]
    if options.json:
        plain = {"chapter": slug, "same": not wrong, "cells": [r.as_json() for r in reports]}
        print(json.dumps(plain, ensure_ascii=False))
        return int(bool(wrong))
    for report in wrong:
        print(f"✗ code cell {report.number}: {report.first_line}")
        for difference in report.differences:
            print(f"    {difference}")
        if report.edited:
            print("    (this cell's text is not the course's any more, which may be why)")
    left_out = sum(r.state == "long" for r in reports)
    note = f" {left_out} long cells were not run, and need not be." if left_out else ""
    print(f"{len(reports) - len(wrong) - left_out} of {len(reports)} code cells show what they should.{note}")
    return int(bool(wrong))


def _slug_of(cells: list[dict[str, Any]], path: Path) -> str:
    ids = {grade_id(cell) for cell in cells}
    for chapter in catalogue.chapters():
        if any(exercise.grade_id in ids for exercise in chapter.exercises) or path.stem == chapter.slug:
            return chapter.slug
    known = ", ".join(chapter.slug for chapter in catalogue.chapters())
    raise UsageError(f"cannot tell which chapter {path} is: say --chapter with one of {known}")


def _made(folder: str, slug: str) -> Path:
    if slug not in [chapter.slug for chapter in catalogue.chapters()]:
        known = ", ".join(chapter.slug for chapter in catalogue.chapters())
        raise UsageError(f"there is no chapter {slug!r}: there are {known}")
    path = ROOT / folder / slug / f"{slug}.ipynb"
    if not path.is_file():
        raise UsageError(
            f"the course's {folder}/{slug} is not here: run the command in a clone of the course's repository"
        )
    return path


def _executed(path: Path, device: str | None) -> list[dict[str, Any]]:
    import nbformat

    from autograder.executing import ExecutionFailed, execute

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        raise OutputsError(f"{path} is not a notebook that can be run: {str(error)[:200]}") from None
    with tqdm(total=len(notebook.cells), desc="cells", disable=not sys.stderr.isatty()) as bar:
        try:
            done = execute(
                notebook, device=device or "cpu", on_cell=lambda place, of: bar.update(place - bar.n)
            )
        except ExecutionFailed as failure:
            raise OutputsError(str(failure)) from None
    return [as_cell(cell) for cell in json.loads(nbformat.writes(done))["cells"]]


def assemble(options: argparse.Namespace) -> int:
    """Build `mygpt/` from the answers in the workbook that pass."""
    if not options.output.name.isidentifier():
        raise UsageError(f"a package's name is letters, digits and _: got {options.output.name!r}")
    if not options.workbook.is_dir():
        raise UsageError(f"there is no workbook at {options.workbook}: name it with --workbook")
    name, output = options.output.name, options.output.absolute()
    try:
        assembling.be_ours(output)
        assembly = assembling.assemble(*_passed_answers(options.workbook), name=name)
        with tempfile.TemporaryDirectory() as scratch:
            assembling.write(assembly, Path(scratch) / name, "")
            agreement = assembling.agreement_of(Path(scratch) / name)
        card = assembling.model_card(assembly, agreement, name)
        assembling.write(assembly, output, card)
    except assembling.AssemblyError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    if options.json:
        parts = [
            {"exercise": p.exercise.name, "number": p.exercise.number, "whose": p.whose, "why": p.why}
            for p in assembly.parts
        ]
        print(
            json.dumps({"package": str(output), "agreement": agreement, "parts": parts}, ensure_ascii=False)
        )
        return 0
    rows = [(p.exercise.number, f"{p.module}.{p.name}", p.whose, p.why) for p in assembly.parts]
    _table(f"{name}: whose each part is", ("number", "part", "whose", "why"), rows)
    mine = sum(part.whose == "yours" for part in assembly.parts)
    print(f"{mine} of {len(assembly.parts)} parts are yours. {agreement}")
    print(f"The model card: {output / assembling.CARD}")
    print(f"Train it: python -m {name}.train --corpus shakespeare --preset nanogpt-cpu")
    return 0


def _passed_answers(workbook: Path) -> tuple[dict[str, Answer], dict[str, str]]:
    """The answers in the workbook that pass their checks, and why the others do not count."""
    passed: dict[str, Answer] = {}
    reasons: dict[str, str] = {}
    parts = assembling.parts_of_the_model()
    with AnswerProcess() as process, tqdm(parts, desc="answers", disable=not sys.stderr.isatty()) as bar:
        for exercise in bar:
            bar.set_postfix_str(exercise.number)
            slug = catalogue.find_chapter(exercise.chapter).slug
            path = workbook / slug / f"{slug}.ipynb"
            try:
                cells = read_cells(path)
                answer, own = find_answer(cells, exercise), variants.of(cells).get(exercise.name)
            except NotebookError as error:
                reasons[exercise.name] = str(error) if path.exists() else "the chapter is not in the workbook"
                continue
            except catalogue.UnknownExercise as unknown:
                reasons[exercise.name] = str(unknown)
                continue
            if answer is None:
                continue
            if own:
                reasons[exercise.name] = (
                    f"your class's variant ({own}): the model needs the function of the book"
                )
                continue
            report = process.grade(exercise, answer.source, prelude=answer.helpers)
            if report.status == "passed":
                passed[exercise.name] = answer
            else:
                reasons[exercise.name] = _short(report)
    return passed, reasons


def _short(report: Report) -> str:
    if report.status == "not_attempted":
        return "not attempted"
    return f"not yet: {report.misconception.title if report.misconception else report.reason}"


def exercises(options: argparse.Namespace) -> int:
    chosen = catalogue.all_exercises()
    if options.chapter:
        try:
            chosen = tuple(e for number in options.chapter for e in catalogue.find_chapter(number).exercises)
        except catalogue.UnknownExercise as unknown:
            raise UsageError(str(unknown)) from None
    if options.report or options.mutants:
        with_variants = tuple(v for e in chosen for v in (e, *(e.varied(w.id) for w in e.variants)))
        return _report(with_variants, options.mutants, options.json)
    rows = [_row(e) for e in chosen]
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    _table(
        "The exercises of the course",
        ("number", "exercise", "kind", "points", "minutes", "mistakes known", "right forms"),
        [
            (
                r["number"],
                r["id"],
                r["kind"],
                r["points"],
                r["minutes"],
                len(r["misconceptions"]),
                len(r["alternatives"]),
            )
            for r in rows
        ],
    )
    return 0


def _report(chosen: Sequence[Exercise], mutants: bool, as_json: bool) -> int:
    """Grade every known answer to every exercise; exit code 1 where an exercise breaks its promise."""
    proofs = []
    with tqdm(chosen, desc="exercises", disable=not sys.stderr.isatty()) as bar:
        for exercise in bar:
            bar.set_postfix_str(exercise.number)
            proofs.append(prove(exercise, mutants=mutants))
    if as_json:
        print(json.dumps([proof.as_json() for proof in proofs], ensure_ascii=False))
        return int(any(proof.broken for proof in proofs))
    heads = ("number", "exercise", "points", "minutes", "caught", "named", "right forms passed", "blank")
    rows = [
        (
            p.exercise.number,
            p.exercise.name + (f" ({p.exercise.variant})" if p.exercise.variant else ""),
            p.exercise.points,
            p.exercise.minutes,
            _of(p.caught, len(p.exercise.misconceptions)),
            _of(p.named, len(p.exercise.misconceptions)),
            _of(p.passed, len(p.exercise.alternatives)),
            p.blank_points,
            *((_of(p.killed, p.mutants),) if mutants else ()),
        )
        for p in proofs
    ]
    _table("What each exercise proves", (*heads, "mutants failed") if mutants else heads, rows)
    for proof in proofs:
        for line in proof.broken:
            print(f"{proof.exercise.number}: {line}")
    if mutants:
        made, killed = sum(p.mutants for p in proofs), sum(p.killed for p in proofs)
        print(f"\n{killed} of {made} mutants failed ({100 * killed / max(made, 1):.1f} %).")
        for proof in proofs:
            for name in proof.survivors:
                reason = proof.exercise.equivalents.get(name, "NOT EXPLAINED")
                print(f"  {proof.exercise.number}  {name}\n       lives: {reason}")
    return int(any(proof.broken for proof in proofs))


def _of(count: int, most: int) -> str:
    return f"{count}/{most}"


def _row(exercise: Exercise) -> dict[str, Any]:
    return {
        "id": exercise.name,
        "number": exercise.number,
        "chapter": exercise.chapter,
        "title": exercise.title,
        "kind": exercise.kind,
        "points": exercise.points,
        "minutes": exercise.minutes,
        "difficulty": exercise.difficulty,
        "misconceptions": [m.id for m in exercise.misconceptions],
        "alternatives": [a.title for a in exercise.alternatives],
        "variants": [v.id for v in exercise.variants],
    }


def progress(options: argparse.Namespace) -> int:
    standings = log.standings(catalogue.all_exercises())
    if options.json:
        keys = ("status", "points", "tries", "hints", "first_prediction")
        plain = [
            {"exercise": s.exercise.name, "number": s.exercise.number, "max_points": s.exercise.points}
            | {key: getattr(s, key) for key in keys}
            for s in standings
        ]
        print(json.dumps(plain, ensure_ascii=False))
        return 0
    marks = {"passed": "✓ passed", "tried": "… tried", "open": "○ open"}
    rows = [
        (
            s.exercise.number,
            s.exercise.title,
            marks[s.status],
            f"{s.points}/{s.exercise.points}",
            s.tries,
            s.hints,
        )
        for s in standings
    ]
    _table("Your progress", ("number", "exercise", "state", "points", "tries", "hints"), rows)
    points, most = sum(s.points for s in standings), sum(s.exercise.points for s in standings)
    print(f"{points} of {most} points.", end=" ")
    upcoming = next((s for s in standings if s.status != "passed"), None)
    print(f"Next: {upcoming.exercise.number}, {upcoming.exercise.title}." if upcoming else "All done.")
    for s in standings:
        if s.first_prediction:
            verb = "right" if s.first_right else "not right"
            confidence = s.first_prediction.get("confidence")
            print(f"Prediction {s.exercise.number}: your first was {verb}; you gave it {confidence}.")
    return 0


def _table(title: str, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print("\t".join(header))
        for row in rows:
            print("\t".join(map(str, row)))
        return
    table = Table(title=title, title_justify="left")
    for name, example in zip(header, rows[0] if rows else header, strict=True):
        table.add_column(name, justify="right" if isinstance(example, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    # Piped into a file or a pager, nothing needs cutting short.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _find(key: str, variant: str | None = None) -> Exercise:
    try:
        return catalogue.find(key, variant)
    except catalogue.UnknownExercise as unknown:
        raise UsageError(str(unknown)) from None


def _read_answer(path: Path) -> str:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name the .py file that defines the function")
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


def _need_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "--device cuda needs a CUDA device, and torch finds none here; leave it out to use the CPU"
        )
