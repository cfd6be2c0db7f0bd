"""What a command prints. Where that cannot be written, it ends in a sentence, not in a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class OutputError(Exception):
    """The output cannot be written; the message says why. `closed`: nobody reads it any more."""

    def __init__(self, error: OSError):
        super().__init__(error.strerror or str(error))
        self.closed = isinstance(error, BrokenPipeError)


def printing(work: Callable[[], int], *, sentence: str = "The output cannot be written") -> int:
    """`work()`'s exit code, with all that it printed written; 1, and on stderr why, where it could not be.

    A reader that has seen enough (`| head`) is no trouble: 0. What `work` does besides printing is its own:
    it meets an `OutputError`, which is no `OSError`, in a `print`.

    sentence: what is said on stderr, before the reason.
    """
    stream = sys.stdout
    if stream is None:  # closed before Python began, which prints nothing then
        return work()
    sys.stdout = _Checked(stream)
    try:
        try:
            return work()
        finally:
            sys.stdout.flush()
    except OutputError as error:
        _give_up(stream)
        if error.closed:
            return 0
        print(f"{sentence}: {error}.", file=sys.stderr)
        return 1
    finally:
        sys.stdout = stream


class _Checked:
    """The stream, whose refusals can be told from those of files."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputError(error) from None

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputError(error) from None


def _give_up(stream: Any) -> None:
    """What is left in the stream goes nowhere: Python writes it when it ends, and would complain."""
    with suppress(OSError, ValueError):  # a stream that is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
