"""Execute a notebook as its outputs are to be kept: one thread, on the CPU, nobody's progress touched."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.utils import determine_grade, is_grade, is_solution

SECONDS_PER_CELL = 1800
SECONDS_TO_START = 600  # a kernel, on a busy machine
SECONDS_TO_SHOW = 300  # what a cell has printed, after it has ended: nbclient's own 4 s lose it there

# Sums depend on how many threads share them.
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "AUTOGRADER_PROGRESS": "off",
    "LLMLIB_DEVICE": "cpu",
    "PYTHONHASHSEED": "0",
}


class ExecutionFailed(RuntimeError):
    """A cell raised, took too long, or killed the kernel. `cell_id` names it."""

    def __init__(self, cell_id: str, source: str, reason: str):
        self.cell_id = cell_id
        quoted = "\n".join(f"    {line}" for line in source.split("\n"))
        super().__init__(f"this cell failed when it was executed: {reason}\n{quoted}")


def execute(
    notebook: NotebookNode,
    *,
    skip_tag: str = "",
    device: str = "cpu",
    on_cell: Callable[[int, int], None] = lambda done, of: None,
) -> NotebookNode:
    """A copy with outputs. Cells tagged `skip_tag` are left as they are; `llmlib.device()` is `device`.

    What goes to stderr (progress bars, warnings) is left out, and so are times and widgets' states.

    Raises:
        ExecutionFailed: at the first cell that cannot be executed.
    """
    result = copy.deepcopy(notebook)
    metadata = copy.deepcopy(result.metadata)
    now: list[NotebookNode] = []

    def begin(cell: NotebookNode, cell_index: int) -> None:
        now[:] = [cell]
        on_cell(cell_index + 1, len(result.cells))

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as kernel_log:
        client = NotebookClient(
            result,
            kernel_name="python3",
            timeout=SECONDS_PER_CELL,
            startup_timeout=SECONDS_TO_START,
            iopub_timeout=SECONDS_TO_SHOW,
            skip_cells_with_tag=skip_tag,
            resources={"metadata": {"path": folder}},
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            on_cell_start=begin,
        )
        try:
            client.execute(env={**os.environ, **ENVIRONMENT, "LLMLIB_DEVICE": device}, stderr=kernel_log)
        except CellExecutionError as error:
            raise ExecutionFailed(now[0].id, now[0].source, f"{error.ename}: {error.evalue}") from None
        except CellTimeoutError:
            raise ExecutionFailed(
                now[0].id, now[0].source, f"it took longer than {SECONDS_PER_CELL} s"
            ) from None
        except DeadKernelError:
            kernel_log.seek(0)
            last = kernel_log.read().decode(errors="replace").strip().split("\n")[-1]
            raise ExecutionFailed(
                now[0].id, now[0].source, f"the kernel died. Its last line: {last}"
            ) from None
    result.metadata = metadata
    for cell in result.cells:
        if cell.cell_type == "code":
            cell.outputs = _without_stderr(cell.outputs)
    return result


def _without_stderr(outputs: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for output in outputs:
        name = output.get("name")
        if name == "stdout" and kept and kept[-1].get("name") == "stdout":
            kept[-1].text += output.text  # they were one, but for what stood between them
        elif name != "stderr":
            kept.append(output)
    return kept


def points_of(notebook: NotebookNode) -> dict[str, tuple[float, float]]:
    """What plain nbgrader reads from an executed notebook: points and most points, by check."""
    grades = {}
    for cell in notebook.cells:
        if is_grade(cell) and not is_solution(cell):
            points, most = determine_grade(cell)
            grades[cell.metadata.nbgrader.grade_id] = (points, most)
    return grades
