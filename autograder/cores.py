"""A core for each grader. It and its answers take turns, so one is enough, and the core's caches stay warm.

Left to the kernel, every message between the two may wake the other on another core, where nothing of it lies
in the caches; with all cores grading, a verdict then takes a fifth longer.

Source: sched_setaffinity(2); which cores are taken is said by locks (flock(2)), which end with their holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


@contextlib.contextmanager
def own_core() -> Iterator[int | None]:
    """This thread, and what it starts, stays on a core that no other grader of this user has.

    None where all are taken, or where nobody can say: then the kernel goes on choosing.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        core = next((core for core in _in_order(allowed) if _claimed(core, stack)), None)
        if core is not None:
            os.sched_setaffinity(0, {core})
            stack.callback(os.sched_setaffinity, 0, allowed)
        yield core


def count() -> int:
    """How many this thread may use."""
    return len(here()) or os.cpu_count() or 1


def here() -> list[int]:
    """The cores that this thread may use; none where nobody can say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def stay_on(cores: Iterable[int]) -> None:
    """Use these, if there are any and they can be used."""
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)


def _claimed(core: int, until: contextlib.ExitStack) -> bool:
    """False where another grader has it. The claim ends with the stack."""
    try:
        path = Path(tempfile.gettempdir()) / f"autograder-{os.getuid()}-core-{core}"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    until.callback(os.close, lock)
    return True


def _in_order(cores: Iterable[int]) -> list[int]:
    """Those that share their arithmetic with one before come after all others."""

    def rank(core: int) -> tuple[int, int]:
        siblings = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        with contextlib.suppress(OSError, ValueError):
            return _numbers(siblings.read_text()).index(core), core
        return 0, core

    return sorted(cores, key=rank)


def _numbers(text: str) -> list[int]:
    """The numbers of a kernel's list: "0,4" or "0-1"."""
    parts = (part.split("-") for part in text.strip().split(","))
    return [number for part in parts for number in range(int(part[0]), int(part[-1]) + 1)]
