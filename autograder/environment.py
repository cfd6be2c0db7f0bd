"""`make env`: make `.venv` and install the lock into it. Plain Python, since nothing is installed yet.

Run again it does nothing, unless the lock or the Python changed. A PyTorch that the chosen Python already
has is honoured (a GPU user's own build); otherwise the lock's is installed. Each failure that a person can
meet ends with a sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
OLDEST = (3, 11)
# Measured after an install: 2.1 GB with a CPU build of torch, some 7 GB with the CUDA build.
NEEDED_GB = 4
# How pip says that it cannot reach its index.
OFFLINE = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Temporary failure", "Max retries")


def main() -> None:
    wanted = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == wanted and python().exists():
        return
    check_python()
    check_disk()
    own_torch = has_torch()
    if own_torch:
        print(f"Using the PyTorch {own_torch} that {sys.executable} already has.")
    if not works():
        make_venv(system_packages=bool(own_torch))
    lock = ROOT / "requirements.lock"
    if own_torch:
        lock = VENV / "requirements-without-torch.txt"
        lines = (ROOT / "requirements.lock").read_text().splitlines(keepends=True)
        lock.write_text("".join(line for line in lines if not line.startswith("torch==")))
    print(
        "Installing the course's libraries: once, a minute or more, 2 GB (7 GB where torch comes with CUDA) …"
    )
    pip("install", "--requirement", str(lock))
    pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    STAMP.write_text(wanted)
    print("The environment is ready in .venv")


def fingerprint() -> str:
    parts = [(ROOT / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
    parts.append(f"{sys.version_info[:2]} {ROOT}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def check_python() -> None:
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:2]))
        stop(
            f"The course needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {have} ({sys.executable}).",
            "Install a newer one, then: make env PYTHON=python3.11",
        )
    try:
        import ensurepip  # noqa: F401  Debian ships Python without it
        import venv  # noqa: F401
    except ImportError:
        stop(
            "This Python cannot make virtual environments.",
            "On Debian or Ubuntu: sudo apt-get install python3-venv   (then try again)",
        )


def check_disk() -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB and not VENV.exists():
        stop(
            f"Only {free:.1f} GB are free here; the libraries need about {NEEDED_GB} GB while they install.",
            "Free some space, or clone the course onto a larger disk.",
        )


def has_torch() -> str | None:
    """The version of a PyTorch that the chosen Python has already, if it is new enough."""
    if os.environ.get("TORCH") == "lock":
        return None
    probe = (
        "import torch; v = torch.__version__; assert tuple(map(int, v.split('.')[:2])) >= (2, 6); print(v)"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    return result.stdout.strip() or None if result.returncode == 0 else None


def make_venv(system_packages: bool) -> None:
    arguments = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if system_packages:
        arguments.append("--system-site-packages")
    result = subprocess.run(arguments, capture_output=True, text=True)
    if result.returncode:
        stop("The virtual environment could not be made:", (result.stderr or result.stdout).strip())


def works() -> bool:
    """Whether a virtual environment of this Python stands already, so that only what changed is installed."""
    if not python().exists():
        return False
    probe = subprocess.run(
        [str(python()), "-c", "import sys, pip; print(sys.version_info[:2])"], capture_output=True, text=True
    )
    return probe.stdout.strip() == str(tuple(sys.version_info[:2]))


def pip(*arguments: str) -> None:
    command = [str(python()), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, stdout=None, stderr=subprocess.PIPE, text=True)
    if result.returncode == 0:
        return
    errors = [line for line in result.stderr.splitlines() if not line.startswith("WARNING")]
    text = "\n".join(errors[-6:])
    if "No space left" in result.stderr:
        advice = "The disk is full: free some space (about 4 GB), then try again."
    elif any(sign in result.stderr for sign in OFFLINE):
        advice = "The package index could not be reached: check the network (or the proxy), then try again."
    elif "No matching distribution" in result.stderr:
        advice = (
            f"A package has no build for this Python ({sys.version.split()[0]}) or could not be looked up: "
            "check the network, or try another one: make env PYTHON=python3.11"
        )
    else:
        advice = "Remove .venv and try again; if it happens again, please report the lines above."
    stop(text, advice)


def python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stop(*lines: str) -> None:
    print("\n".join(lines), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("Interrupted; run it again to go on.")
