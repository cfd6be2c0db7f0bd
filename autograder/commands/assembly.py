"""`autograder assemble`: a package from the learner's own answers."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from autograder import assembling, variants
from autograder import exercises as catalogue
from autograder.agreeing import agreement_of
from autograder.answers import Answer, NotebookError, find_answer, read_cells
from autograder.child import AnswerProcess
from autograder.report import Report
from autograder.table import print_table
from autograder.usage import UsageError


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
            agreement = agreement_of(Path(scratch) / name)
        card = assembling.model_card(assembly, agreement, name)
        assembling.write(assembly, output, card)
    except assembling.AssemblyError as error:
        raise UsageError(str(error)) from None
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
    print_table(f"{name}: whose each part is", ("number", "part", "whose", "why"), rows)
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
