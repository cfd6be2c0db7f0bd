"""What the course's `nbgrader_config.py` says, or why it says nothing."""

from __future__ import annotations

import traceback
from pathlib import Path

from nbgrader.coursedir import CourseDirectory
from traitlets import TraitError
from traitlets.config import Config, PyFileConfigLoader

from autograder.usage import UsageError

FILE = "nbgrader_config.py"


def configured(root: Path) -> tuple[Config, CourseDirectory]:
    """
    Raises:
        UsageError: it cannot be run, or says what nbgrader does not understand.
    """
    path = root / FILE
    config = _run(path) if path.is_file() else Config()
    if "root" not in config.CourseDirectory:
        config.CourseDirectory.root = str(root)
    try:
        return config, CourseDirectory(config=config)
    except TraitError as error:
        raise UsageError(f"{path}: {error} Mend it, and run the command again") from None


def _run(path: Path) -> Config:
    try:
        return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except (Exception, SystemExit) as error:  # it is a program of the instructor's
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        where = f", line {lines[-1]}," if lines else ""
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise UsageError(f"{path}{where} cannot be run: {what}. Mend it, and run the command again") from None
