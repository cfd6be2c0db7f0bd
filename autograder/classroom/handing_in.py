"""When a submission was handed in, as the `timestamp.txt` beside it says. nbgrader looks there, too."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from nbgrader import utils

from autograder.classroom.submissions import Unreadable, read_bytes

FILE = "timestamp.txt"


def time_of(folder: Path) -> tuple[datetime | None, str]:
    """The time, if the file says one; and what is to be mended, if it says something else.

    folder: of the submission.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return None, ""
    try:
        text = read_bytes(path).decode().strip()
        return (utils.parse_utc(text) if text else None), ""
    except Unreadable as problem:
        why = str(problem)
    except (ValueError, TypeError, AttributeError, ArithmeticError):  # dateutil's
        why = f"{FILE} says no time such as 2030-01-31 10:00:00 UTC"
    return None, f"recorded without the time of handing in: {why}. Mend {path} and grade again"


def as_text(time: datetime | None) -> str:
    """The time as the journal keeps it; nothing for none."""
    return "" if time is None else time.isoformat()
