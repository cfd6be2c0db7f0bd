"""nbval with our comparison: `pytest --nbval solutions/` compares numbers by tolerance.

A pytest plugin, named in the repository's `conftest.py`. It changes five things about nbval: outputs are
compared by `autograder.comparing`, a dead kernel is reported at once instead of after a timeout, one that is
only slow is waited for, the kernel computes as it does when the notebooks are made (one thread, on the CPU),
and it works in a folder of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from nbval import plugin
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel

from autograder.comparing import differences
from autograder.executing import ENVIRONMENT, SECONDS_TO_SHOW, SECONDS_TO_START

LOOK_EVERY = 0.5  # seconds between two looks at whether the kernel is alive


class KernelDied(plugin.NbCellError):
    """The kernel's process ended while a cell ran."""


class LivelyKernel(RunningKernel):
    """A kernel that is watched while it is waited for."""

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LOOK_EVERY if end is None else min(LOOK_EVERY, end - time.monotonic())
            try:
                return super().get_message(stream, timeout=max(left, 0.01))
            except Empty:
                if not self.is_alive():
                    raise KernelDied(0, "the kernel died while this cell ran", "") from None
                if end is not None and time.monotonic() >= end:
                    raise


class NotebookFile(plugin.IPyNbFile):
    """A notebook whose kernel runs as ours do."""

    def setup(self) -> None:
        option = self.config.option
        name = option.nbval_kernel_name or self.nb.metadata.get("kernelspec", {}).get("name", "python")
        self.folder = tempfile.TemporaryDirectory()
        before = {key: os.environ.get(key) for key in ENVIRONMENT}
        os.environ.update(ENVIRONMENT)  # the kernel inherits it
        try:
            self.kernel = LivelyKernel(
                CURRENT_ENV_KERNEL_NAME if option.nbval_current_env else name,
                cwd=self.folder.name,
                startup_timeout=max(SECONDS_TO_START, option.nbval_kernel_startup_timeout),
            )
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value
        self.setup_sanitize_files()

    def collect(self) -> Iterator[NotebookCell]:
        for cell in super().collect():
            about = {"cell_num": cell.cell_num, "cell": cell.cell, "options": cell.options}
            yield NotebookCell.from_parent(self, name=cell.name, **about)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class NotebookCell(plugin.IPyNbCell):
    """A cell whose outputs are compared in words and numbers."""

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        found = differences(ref, test, tags=self.cell.metadata.get("tags", []))
        self.comparison_traceback = found
        return not found

    def runtest(self) -> None:
        self.output_timeout = SECONDS_TO_SHOW  # nbval's own 5 s fail a cell on a busy machine
        try:
            super().runtest()
        except KernelDied as death:
            raise KernelDied(self.cell_num, str(death), self.cell.source) from None


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Any:
    """Ours in the place of every notebook that nbval collects."""
    collected = yield
    return [
        NotebookFile.from_parent(parent, path=file_path) if type(one) is plugin.IPyNbFile else one
        for one in collected
    ]
