"""What of the machine an answer's process may see: Python, its libraries, the system's, and a few modules."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

# The modules of the autograder that an answer's process needs. None of them knows an exercise.
MODULES = (
    *("answering", "calling", "checks", "confine", "cores", "nested", "outcome", "running", "seccomp"),
    *("texts", "warming", "watching", "wire", "worker"),
)

FOLDER = Path(__file__).resolve().parent
# Inside bubblewrap: every fork mounts an empty folder over it. Not /tmp, which may hold the course itself.
WORK = "/answers"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")


def interpreter() -> list[str]:
    """The folders that Python and its libraries are read from."""
    folders = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    return sorted(folder for folder in folders if not folder.startswith("/usr/") and folder != "/usr")


def packages() -> list[Path]:
    """The folders of the course's two packages."""
    spec = importlib.util.find_spec("llmlib")
    assert spec is not None and spec.origin is not None
    return [FOLDER, Path(spec.origin).resolve().parent]


def devices(device: str) -> list[str]:
    """The files through which a GPU is spoken to."""
    return [] if device == "cpu" else sorted(map(str, Path("/dev").glob("nvidia*")))


def open_to_all(folders: list[str]) -> bool:
    """Whether another user can reach the folders, which may lie in root's own home."""
    above = {parent for folder in folders for parent in (Path(folder), *Path(folder).parents)}
    return all(folder.stat().st_mode & 0o001 for folder in above)
