"""What nbgrader's gradebook refuses, in words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nbgrader.api import InvalidEntry
from sqlalchemy.exc import SAWarning, SQLAlchemyError

REFUSALS = (SQLAlchemyError, InvalidEntry)


class GradebookError(RuntimeError):
    """The gradebook could not be read or written; the message says why."""


@contextmanager
def in_words() -> Iterator[None]:
    """A refusal of the gradebook inside the `with` block is a `GradebookError`, and nothing else is printed.

    nbgrader logs the traceback of what it raises, and warns about its own use of SQLAlchemy.
    """
    log = logging.getLogger("tornado.application")
    silent = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            yield
    except REFUSALS as error:
        raise GradebookError(_sentence(error)) from None
    finally:
        log.disabled = silent


def _sentence(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    if "database is locked" in first:
        return "another program is writing into it"
    return f"{type(error).__name__}: {first[:200]}"
