"""Start the process that runs answers, as well locked in as this machine allows, and say how well that is.

Three levels. `sandbox`: bubblewrap gives the warm parent a file system of its own that holds the
interpreter and nothing of the course but a few modules, without a network; each answer gets namespaces and an
empty folder of its own besides. `kernel`: no bubblewrap, but the kernel keeps the answer from the files and
the network. `limits`: only the limits of POSIX; the files of the course and of the class can be read.

Whether a means works is not guessed: a first fork locks itself in and reports.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LEVELS = ("limits", "kernel", "sandbox")  # from the weakest to the strongest

# The modules of the autograder that an answer's process needs. None of them knows an exercise.
MODULES = (
    *("answering", "calling", "checks", "confine", "cores", "nested", "outcome", "running", "texts"),
    *("warming", "watching", "wire", "worker"),
)

_FOLDER = Path(__file__).resolve().parent
# Inside bubblewrap: every fork mounts an empty folder over it. Not /tmp, which may hold the course itself.
_WORK = "/answers"
_ANSWERS_USERS = range(64_000, 65_000)  # user ids that own nothing; only where the grader runs as root
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL")

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


class SandboxError(RuntimeError):
    """The machine cannot isolate answers as well as was asked for; the message says what to do."""


@dataclass(frozen=True)
class Isolation:
    """level: one of LEVELS. means: what the kernel granted, by name."""

    level: str
    means: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.level} ({', '.join(self.means)})"


@dataclass(frozen=True)
class Limits:
    """What one answer may use: memory in bytes, processes by number, bytes in its folder, bytes on a GPU."""

    memory: int = 1 << 30
    processes: int = 64
    file_size: int = 16 << 20
    gpu_memory: int = 4 << 30


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
        command = [sys.executable, "-P", "-c", _BOOT, str(_FOLDER)]
        if whole:
            command = [sys.executable, "-P", "-c", _BOOT_WHOLE, *sorted({str(p.parent) for p in _packages()})]
        environment = _environment(device)
        if bubblewrap:
            command = [*_bubblewrap(environment, device, whole), *command]
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
        return _WORK if self.folder is None else self.folder.name

    def rules(self, *, seconds: float, limits: Limits, device: str) -> dict[str, Any]:
        """What the fork is told to do to itself before it runs an answer."""
        readable = [*_SYSTEM, *_interpreter(), "/proc", "/dev", "/etc/localtime", "/sys/devices/system/cpu"]
        readable += map(str, _packages()) if self.whole else ()
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
            "devices": _devices(device),
            "landlock": True,
            "seccomp": not for_a_gpu,  # CUDA's driver opens sockets of its own
        }

    def _others_can_read(self) -> bool:
        """Whether a user who owns nothing still finds what there is to import."""
        packages = _packages() if self.whole else []
        if not all(folder.stat().st_mode & 0o005 == 0o005 for folder in packages):
            return False
        return self.bubblewrap or _open_to_all([*_interpreter(), *map(str, packages)])

    def end(self) -> None:
        if self.process.returncode is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.control.close()
        self.process.wait()
        if self.folder is not None:
            self.folder.cleanup()


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
    command = [*_bubblewrap({}, "cpu"), sys.executable, "-P", "-c", "pass"]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {error}"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"bubblewrap does not work here: {said[-1][:200] if said else f'exit code {tried.returncode}'}"


def _environment(device: str) -> dict[str, str]:
    """Nothing of the grader's own environment: it may hold passwords, paths and names."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": _WORK,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": _WORK,
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


def _devices(device: str) -> list[str]:
    """The files through which a GPU is spoken to."""
    return [] if device == "cpu" else sorted(map(str, Path("/dev").glob("nvidia*")))


def _interpreter() -> list[str]:
    """The folders that Python and its libraries are read from."""
    folders = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    return sorted(folder for folder in folders if not folder.startswith("/usr/") and folder != "/usr")


def _packages() -> list[Path]:
    """The folders of the course's two packages."""
    spec = importlib.util.find_spec("llmlib")
    assert spec is not None and spec.origin is not None
    return [_FOLDER, Path(spec.origin).resolve().parent]


def _open_to_all(folders: list[str]) -> bool:
    """Whether another user can reach the folders, which may lie in root's own home."""
    above = {parent for folder in folders for parent in (Path(folder), *Path(folder).parents)}
    return all(folder.stat().st_mode & 0o001 for folder in above)


def _bubblewrap(environment: dict[str, str], device: str, whole: bool = False) -> list[str]:
    command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "answers"]
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        command += ["--cap-drop", "ALL"]
        command += [word for name in _CAPABILITIES for word in ("--cap-add", name)]
    else:
        command += ["--unshare-user"]
    for path in _SYSTEM:
        if os.path.islink(path) and os.path.isdir(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind-try", path, path]
    for folder in _interpreter():
        command += [*_above(folder), "--ro-bind", folder, folder]
        # An installed course lies among the libraries: covered.
        for package in () if whole else ("autograder", "llmlib"):
            for installed in Path(folder).glob(f"lib/python*/site-packages/{package}"):
                command += ["--tmpfs", str(installed)]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", _WORK]
    command += [word for path in _devices(device) for word in ("--dev-bind", path, path)]
    if whole:
        for path in map(str, _packages()):
            command += [*_above(path), "--ro-bind", path, path]
    else:
        command += ["--tmpfs", str(_FOLDER)]
        files = [str(_FOLDER / f"{module}.py") for module in MODULES]
        command += [word for file in files for word in ("--ro-bind", file, file)]
    command += [word for item in environment.items() for word in ("--setenv", *item)]
    return [*command, "--chdir", _WORK, "--"]


def _above(folder: str) -> list[str]:
    """The folders above: bubblewrap would make them for its own user alone."""
    return [
        word
        for above in reversed(Path(folder).parents[:-1])
        for word in ("--perms", "0755", "--dir", str(above))
    ]
