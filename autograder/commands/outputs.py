"""`autograder outputs`: what a notebook shows beside what the course's own shows."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from autograder import exercises as catalogue
from autograder.commands.device import need_cuda
from autograder.merging import grade_id
from autograder.outputs import OutputsError, as_cell, compare_notebooks, read_notebook
from autograder.usage import UsageError

ROOT = Path(__file__).resolve().parent.parent.parent


def outputs(options: argparse.Namespace) -> int:
    """Exit code 1 where an output differs, is missing, or was not made."""
    if options.device == "cuda" and options.execute:
        need_cuda()
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
