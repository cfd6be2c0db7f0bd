"""Start the process that runs answers, as well locked in as this machine allows.

Whether a means works is not guessed: a first fork locks itself in and reports (`autograder.isolation`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from autograder.bubblewrap import bubblewrap_command
from autograder.visible import FOLDER, SYSTEM, WORK, devices, interpreter, open_to_all, packages

_ANSWERS_USERS = range(64_000, 65_000)  # user ids that own nothing; only where the grader runs as root

# A package of that name with this folder and nothing in it: `import autograder` would bring in the exercises.
_BOOT = """
import sys, types
package = types.ModuleType("autograder")
package.__path__ = [sys.argv[1]]
sys.modules["autograder"] = package
from autograder.worker import main
main()
"""
# For whole notebooks: the course's packages as they are. Nothing else of the course is there.
_BOOT_WHOLE = """
import sys
sys.path[:0] = sys.argv[1:]
from autograder import cells, worker
worker.main(cells.WARM)
"""


@dataclass(frozen=True)
class Limits:
    """What one answer may use: memory in bytes, processes by number, bytes in its folder, bytes on a GPU."""

    memory: int = 1 << 30
    processes: int = 64
    file_size: int = 16 << 20
    gpu_memory: int = 4 << 30


def _answers_user() -> int:
    """Another one for each grader, which runs one answer at a time.

    Processes are counted by user: answers of one user at once would share what one of them may start.
    """
    return _ANSWERS_USERS[os.getpid() % len(_ANSWERS_USERS)]


class Confined:
    """The running worker: its process, the line to its parent, and the folder that answers may write to.

    whole: for whole notebooks instead of answers, with all of `llmlib` and of the autograder.
    """

    def __init__(self, *, bubblewrap: bool, device: str, whole: bool = False):
        self.bubblewrap, self.whole = bubblewrap, whole
        self.folder = None if bubblewrap else tempfile.TemporaryDirectory(prefix="answers-")
        if self.folder is not None and os.geteuid() == 0:
            os.chmod(self.folder.name, 0o777)
        self.control, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-c", _BOOT, str(FOLDER)]
        if whole:
            command = [sys.executable, "-P", "-c", _BOOT_WHOLE, *sorted({str(p.parent) for p in packages()})]
        environment = _environment(device)
        if bubblewrap:
            command = [*bubblewrap_command(environment, device, whole), *command]
        self.process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        theirs.close()

    @property
    def work(self) -> str:
        return WORK if self.folder is None else self.folder.name

    def rules(self, *, seconds: float, limits: Limits, device: str) -> dict[str, Any]:
        """What the fork is told to do to itself before it runs an answer."""
        readable = [*SYSTEM, *interpreter(), "/proc", "/dev", "/etc/localtime", "/sys/devices/system/cpu"]
        readable += map(str, packages()) if self.whole else ()
        # CUDA's driver maps more than any limit, opens dozens of files by itself, and names its threads.
        for_a_gpu = device != "cpu"
        return {
            "work": self.work,
            # Without bubblewrap the mounts are the machine's own; a private /tmp there would hide nothing.
            "namespaces": sys.platform == "linux",
            "user": _answers_user() if os.geteuid() == 0 and self._others_can_read() else None,
            "limits": {
                "seconds": seconds,
                "memory": None if for_a_gpu else limits.memory,
                "processes": limits.processes,
                "file_size": limits.file_size,
                "files": 1024 if for_a_gpu else 64,
            },
            "gpu_memory": limits.gpu_memory,
            "device": device,
            "readable": readable,
            "writable": [self.work, "/dev/null", *(["/proc/self/task"] if for_a_gpu else [])],
            "devices": devices(device),
            "landlock": True,
            "seccomp": not for_a_gpu,  # CUDA's driver opens sockets of its own
        }

    def _others_can_read(self) -> bool:
        """Whether a user who owns nothing still finds what there is to import."""
        ours = packages() if self.whole else []
        if not all(folder.stat().st_mode & 0o005 == 0o005 for folder in ours):
            return False
        return self.bubblewrap or open_to_all([*interpreter(), *map(str, ours)])

    def end(self) -> None:
        if self.process.returncode is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.control.close()
        self.process.wait()
        if self.folder is not None:
            self.folder.cleanup()


def _environment(device: str) -> dict[str, str]:
    """Nothing of the grader's own environment: it may hold passwords, paths and names."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": WORK,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": WORK,
        "LLMLIB_DEVICE": device,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "AUTOGRADER_PROGRESS": "off",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    }
    if device != "cpu":
        environment["CUDA_LAUNCH_BLOCKING"] = "1"  # an error is told at the line that made it
    kept = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH") if device != "cpu" else ("LD_LIBRARY_PATH",)
    return environment | {name: os.environ[name] for name in kept if name in os.environ}
