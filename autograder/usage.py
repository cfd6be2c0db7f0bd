"""What every command of `autograder` shares, and nothing that any of them needs: torch takes a second."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

from llmlib.interrupts import ending_at_once

GRADER_BROKE = 3  # the exit code where the grader itself failed


class UsageError(Exception):
    """The call cannot be carried out as it was given; the message says what to do instead."""


def later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """The command `name` of a module, which is imported when the command is carried out."""

    def run(options: argparse.Namespace) -> int:
        with ending_at_once():  # torch takes a second, and nothing has been done yet
            command = getattr(importlib.import_module(module), name)
        return command(options)

    return run
