"""What every command of `autograder` shares, and nothing that any of them needs: torch takes a second."""

from __future__ import annotations

import argparse
import errno
import importlib
from collections.abc import Callable

from llmlib.interrupts import ending_at_once

GRADER_BROKE = 3  # the exit code where the grader itself failed


class UsageError(Exception):
    """The call cannot be carried out as it was given; the message says what to do instead."""


YOURS = "it and its folder must be yours to read and to write"
ROOM = "make room, and run the command again"
ADVICE = {errno.EACCES: YOURS, errno.EPERM: YOURS, errno.EROFS: YOURS, errno.ENOSPC: ROOM, errno.EDQUOT: ROOM}


def refusal(error: OSError) -> str:
    """What the machine refused to a command, in words, and what there is to do."""
    where = "" if error.filename is None else f" {error.filename}"
    return "; ".join(
        filter(None, [f"cannot use{where}: {error.strerror or error}", ADVICE.get(error.errno or 0)])
    )


def later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """The command `name` of a module, which is imported when the command is carried out."""

    def run(options: argparse.Namespace) -> int:
        with ending_at_once():  # torch takes a second, and nothing has been done yet
            command = getattr(importlib.import_module(module), name)
        return command(options)

    return run
