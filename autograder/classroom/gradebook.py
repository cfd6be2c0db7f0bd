"""What nbgrader's gradebook refuses, in words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbgrader.api import InvalidEntry
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SAWarning, SQLAlchemyError

REFUSALS = (SQLAlchemyError, InvalidEntry)
DAMAGED = (
    "its file is damaged, or no gradebook: put a copy of it back, or move it away, and `autograder grade` "
    "makes it anew, without what was marked by hand"
)
IN_WORDS = {
    "database is locked": "another program is writing into it",
    "file is not a database": DAMAGED,
    "disk image is malformed": DAMAGED,
    "unable to open database file": "its file cannot be opened: db_url in nbgrader_config.py must name a "
    "file that you may write, in a folder that is there",
    "readonly database": "you may not write into it: it and its folder must be yours to write",
    "Could not parse SQLAlchemy URL": "db_url in nbgrader_config.py is no address such as "
    "sqlite:///gradebook.db",
}


class GradebookError(RuntimeError):
    """The gradebook, or a file of it, could not be read or written; the message says why."""


def file_of(url: str) -> Path | None:
    """Where SQLite keeps the gradebook; None for another database, or an address that is none."""
    try:
        address = make_url(url)
    except ArgumentError:
        return None
    return Path(address.database) if address.get_backend_name() == "sqlite" and address.database else None


@contextmanager
def in_words() -> Iterator[None]:
    """A refusal inside the `with` block, the disk's too, is a `GradebookError`, and nothing else is printed.

    nbgrader logs the traceback of what it raises, and warns about its own use of SQLAlchemy.
    """
    log = logging.getLogger("tornado.application")
    silent = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            yield
    except (*REFUSALS, ImportError, OSError) as error:
        raise GradebookError(_sentence(error)) from None
    finally:
        log.disabled = silent


def _sentence(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    for said, words in IN_WORDS.items():
        if said in first:
            return words
    if isinstance(error, ImportError):
        return f"db_url in nbgrader_config.py needs a module that is not installed ({first[:200]})"
    return f"{type(error).__name__}: {first[:200]}"
