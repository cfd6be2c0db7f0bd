"""What a test waits for or takes from a machine on which much else may run."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

MINUTES = 600.0  # so that only what never comes fails, however busy the machine is


def wait_until(true: Callable[[], object], seconds: float = MINUTES) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def processes() -> set[str]:
    """The names of all processes; none where the system does not tell."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.add(path.read_text(errors="replace").strip())
    return found


def free_port() -> int:
    """A port that is free, and still is when a server has started, which takes seconds.

    Who asks the system for any port, or connects to somewhere, is given one from a range of its own; a port
    outside of it goes only to who names it.
    """
    first, behind = 20_000, 30_000
    with contextlib.suppress(OSError, ValueError):
        behind = min(behind, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    # Another run of the tests on this machine may look at the same moment: each begins elsewhere.
    places = range(first, behind) if first < behind else range(1)
    for place in random.SystemRandom().sample(places, len(places)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", place))
            return probe.getsockname()[1]
    raise OSError(f"no port from {first} to {behind} is free")
