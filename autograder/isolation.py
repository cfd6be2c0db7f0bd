"""How well answers are locked in, in one word of three, and whether that is enough.

`sandbox`: bubblewrap gives the warm parent a file system of its own that holds the interpreter and nothing of
the course but a few modules, without a network; each answer gets namespaces and an empty folder of its own
besides. `kernel`: no bubblewrap, but the kernel keeps the answer from the files and the network. `limits`:
only the limits of POSIX; the files of the course and of the class can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from autograder.bubblewrap import bubblewrap_trouble

LEVELS = ("limits", "kernel", "sandbox")  # from the weakest to the strongest


class SandboxError(RuntimeError):
    """The machine cannot isolate answers as well as was asked for; the message says what to do."""


@dataclass(frozen=True)
class Isolation:
    """level: one of LEVELS. means: what the kernel granted, by name."""

    level: str
    means: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.level} ({', '.join(self.means)})"


def isolation_of(means: list[str], *, bubblewrap: bool) -> Isolation:
    found = {*means, *(["bubblewrap"] if bubblewrap else [])}
    if {"bubblewrap", "namespaces"} <= found and found & {"landlock", "seccomp"}:
        level = "sandbox"
    elif {"landlock", "seccomp"} <= found:
        level = "kernel"
    else:
        level = "limits"
    return Isolation(level, tuple(sorted(found)))


def require(isolation: Isolation, least: str) -> None:
    """
    Raises:
        SandboxError: the isolation is weaker than `least`.
    """
    if LEVELS.index(isolation.level) < LEVELS.index(least):
        why = f" ({trouble})" if (trouble := bubblewrap_trouble()) else ""
        raise SandboxError(
            f"answers can be isolated here at level {isolation}, and at least {least!r} is required{why}. "
            "On Linux, install bubblewrap (a package of that name), and allow user namespaces or run as root."
        )
