"""`autograder grade --execute`: the rebuilt notebook is run whole, locked in, and compared with the solution.

No point comes from it, so the library and the checks are there whole in the sandbox, as a chapter needs
them to run to its end. What comes out of it is as little trusted as a submission: bounded here, cleaned
before anything shows it, and compared with the reference by the course's own tags. A notebook that hangs,
floods or ends its process loses its further outputs, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from autograder.classroom.defaults import NOTEBOOK_SECONDS
from autograder.classroom.grader import Grader, Verdict
from autograder.classroom.submissions import Submission
from autograder.host import Host
from autograder.merging import Cell, grade_id
from autograder.outcome import Failure
from autograder.outputs import OutputsError, as_cell, compare_notebooks
from autograder.sandbox import Limits
from autograder.shown import outputs_from_plain, size

MEMORY = 2 << 30
FILES = 64 << 20  # bytes in its folder
MOST_BYTES = 32 << 20  # characters of all its outputs
MOST_NOTES = 12
LEFT_OUT = "long"  # the tag of cells that train for a minute or two


class NotebookProcess(Host):
    """A host whose jobs are whole notebooks. Use it in a `with` block."""

    whole = True

    def __init__(self, *, device: str = "cpu", seconds: float = NOTEBOOK_SECONDS, bubblewrap: bool = True):
        limits = Limits(memory=MEMORY, file_size=FILES)
        super().__init__(device=device, limits=limits, bubblewrap=bubblewrap)
        self._most = seconds

    def outputs_of(self, sources: list[str]) -> Generator[list[dict[str, Any]] | Failure, None, None]:
        """The outputs of each code cell, in order; a Failure, and then nothing more, where the run ended."""
        self._start()
        self._seconds = self._most
        self._fork({"cells": sources})
        assert self._line is not None
        self._line.deadline = time.monotonic() + self._most
        total = 0
        try:
            for _ in sources:
                message = self._receive()
                outputs = message if isinstance(message, Failure) else outputs_from_plain(message)
                total += size(outputs) if isinstance(outputs, list) else 0
                if total > MOST_BYTES:
                    outputs = Failure("died", f"its outputs are larger than {MOST_BYTES >> 20} MB")
                yield outputs
                if isinstance(outputs, Failure):
                    return
        finally:
            self._close(kill=True)


class ExecutingGrader(Grader):
    """Grades, and then runs the rebuilt notebook whole, for at most so many `seconds`."""

    def __init__(self, *arguments: Any, seconds: float = NOTEBOOK_SECONDS, **options: Any):
        super().__init__(*arguments, **options)
        self._notebooks = NotebookProcess(device=self.process.device, seconds=seconds)

    def __exit__(self, *error: Any) -> None:
        self._notebooks.__exit__(*error)
        super().__exit__(*error)

    def grade(self, submission: Submission) -> Verdict:
        return rerun(super().grade(submission), self._notebooks)


def rerun(verdict: Verdict, process: NotebookProcess) -> Verdict:
    """The verdict with the outputs of its notebook as this machine makes them.

    Cells that were not reached keep the outputs as submitted, and a note says where the run ended.
    """
    code = [cell for cell in verdict.cells if cell["cell_type"] == "code" and not _left_out(cell)]
    made: dict[int, Cell] = {}
    notes = []
    try:
        with closing(process.outputs_of([cell["source"] for cell in code])) as shown:
            for place, (cell, outputs) in enumerate(zip(code, shown, strict=False), start=1):
                if isinstance(outputs, Failure):
                    notes.append(f"executed up to the cell `{_first_line(cell)}`: {_why(outputs)}")
                    break
                made[id(cell)] = {**cell, "outputs": outputs, "execution_count": place, "executed": True}
    except Exception as error:  # ours: the points stand, and so do the outputs as submitted
        notes.append(f"not executed: the grader broke ({type(error).__name__}: {str(error)[:200]})")
        made = {}
    cells = [made.get(id(cell), cell) for cell in verdict.cells]
    return replace(verdict, cells=cells, notes=[*verdict.notes, *notes], executed=True)


def _why(failure: Failure) -> str:
    if failure.kind == "timeout":
        return "there its time was over"
    return failure.message.replace("the answer's", "its").replace("the answer", "it")


def _left_out(cell: Cell) -> bool:
    return LEFT_OUT in cell.get("metadata", {}).get("tags", [])


def _first_line(cell: Cell) -> str:
    lines = (line.strip() for line in cell["source"].splitlines())
    return next((line[:60] for line in lines if line), "empty")


def compared(verdict: Verdict, reference: list[Cell], release: list[Cell], device: str) -> Verdict:
    """The verdict with a note for each cell that does not show what the solution shows.

    An exercise's own cells are left out: what they show is the verdict. So are the cells that did not run.
    """
    known = {cell["id"]: cell for cell in reference}
    ran = [as_cell(cell) for cell in verdict.cells if cell.get("executed") and cell["id"] in known]
    try:
        notes = [
            f"executed: the cell `{report.first_line[:60]}`: {difference}"
            for report in compare_notebooks(reference, release, ran, device=device)
            if report.state == "different" and grade_id(known[report.cell_id]) is None
            for difference in report.differences
        ]
    except OutputsError:  # it ended before the first cell, and a note says so
        notes = []
    except Exception as error:
        notes = [f"executed, and not compared: the grader broke ({type(error).__name__}: {str(error)[:200]})"]
    if len(notes) > MOST_NOTES:
        notes[MOST_NOTES:] = [f"executed: {len(notes) - MOST_NOTES} more differences"]
    cells = [_lighter(cell) if cell.get("executed") else cell for cell in verdict.cells]
    return replace(verdict, notes=[*verdict.notes, *notes], cells=cells)


def _lighter(cell: Cell) -> Cell:
    """Without the HTML, which is shown nowhere: it was needed to tell a figure from a text."""
    outputs = [
        {**output, "data": {k: v for k, v in output["data"].items() if k != "text/html"}}
        if "data" in output
        else output
        for output in cell["outputs"]
    ]
    return {**cell, "outputs": outputs}
