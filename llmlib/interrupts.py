"""Ctrl-C between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_after_the_step() -> Iterator[threading.Event]:
    """An interrupt sets the event, so that no step is cut in half. A second one interrupts at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    # Signals reach the main thread only; and who ignores interrupts (as under nohup) goes on doing so.
    if threading.current_thread() is not threading.main_thread() or (
        (before := signal.getsignal(signal.SIGINT)) in (signal.SIG_IGN, None)
    ):
        yield stop
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
