"""bubblewrap: a file system that holds what answers may see and nothing else, and no network.

Source: the manual page bwrap(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from autograder.visible import FOLDER, MODULES, SYSTEM, WORK, devices, interpreter, packages

_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL")


def has_bubblewrap() -> bool:
    """Whether bubblewrap is installed and allowed to work."""
    return not bubblewrap_trouble()


@cache
def bubblewrap_trouble() -> str:
    """Why bubblewrap cannot be used here; empty if it can."""
    if sys.platform != "linux":
        return "bubblewrap is for Linux alone"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    command = [*bubblewrap_command({}, "cpu"), sys.executable, "-P", "-c", "pass"]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {error}"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"bubblewrap does not work here: {said[-1][:200] if said else f'exit code {tried.returncode}'}"


def bubblewrap_command(environment: dict[str, str], device: str, whole: bool = False) -> list[str]:
    """What a command begins with to run in there. `whole`: all of the course's two packages can be read."""
    command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "answers"]
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        command += ["--cap-drop", "ALL"]
        command += [word for name in _CAPABILITIES for word in ("--cap-add", name)]
    else:
        command += ["--unshare-user"]
    for path in SYSTEM:
        if os.path.islink(path) and os.path.isdir(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind-try", path, path]
    for folder in interpreter():
        command += [*_above(folder), "--ro-bind", folder, folder]
        # An installed course lies among the libraries: covered.
        for package in () if whole else ("autograder", "llmlib"):
            for installed in Path(folder).glob(f"lib/python*/site-packages/{package}"):
                command += ["--tmpfs", str(installed)]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", WORK]
    command += [word for path in devices(device) for word in ("--dev-bind", path, path)]
    if whole:
        for path in map(str, packages()):
            command += [*_above(path), "--ro-bind", path, path]
    else:
        command += ["--tmpfs", str(FOLDER)]
        files = [str(FOLDER / f"{module}.py") for module in MODULES]
        command += [word for file in files for word in ("--ro-bind", file, file)]
    command += [word for item in environment.items() for word in ("--setenv", *item)]
    return [*command, "--chdir", WORK, "--"]


def _above(folder: str) -> list[str]:
    """The folders above: bubblewrap would make them for its own user alone."""
    return [
        word
        for above in reversed(Path(folder).parents[:-1])
        for word in ("--perms", "0755", "--dir", str(above))
    ]
