"""Ctrl-C: at once while a program is imported, then between two steps, not in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended, as shells count it


@contextmanager
def ending_at_once(program: bool = True) -> Iterator[None]:
    """An interrupt ends the process, without a word: nothing has begun that could be lost.

    For imports: interrupted in its C code, a library raises whatever it makes of that.

    program: False in a module that somebody else imports, whose interrupt it is.
    """
    with _on_interrupt(lambda number, frame: os._exit(INTERRUPTED), program):
        yield


@contextmanager
def stop_after_the_step() -> Iterator[threading.Event]:
    """An interrupt sets the event, so that no step is cut in half. A second one interrupts at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with _on_interrupt(ask):
        yield stop


@contextmanager
def _on_interrupt(do: Callable[[int, FrameType | None], Any], wanted: bool = True) -> Iterator[None]:
    # Signals reach the main thread only; and who ignores interrupts (as under nohup) goes on doing so.
    if (
        not wanted
        or threading.current_thread() is not threading.main_thread()
        or (before := signal.getsignal(signal.SIGINT)) in (signal.SIG_IGN, None)
    ):
        yield
        return
    signal.signal(signal.SIGINT, do)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
