"""Read what is a file, and write one whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def be_plain(path: Path) -> None:
    """See that what is at `path`, if anything, is a file: to read a pipe or a device can last for ever.

    Raises:
        OSError: it is something else, which `strerror` says in words.
    """
    if path.exists() and not path.is_file():
        what = "it is a folder" if path.is_dir() else "it is no file but a device, a pipe or a socket"
        raise OSError(errno.EISDIR if path.is_dir() else errno.EEXIST, what, str(path))


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: whoever looks, at whatever moment, finds the old file or the new one.

    Raises:
        OSError: there is no room, no permission, or something there that is no file (a folder, a device,
            which would be replaced); what was there is untouched.
    """
    be_plain(path)
    try:
        _write(path, data)
    except OSError as error:  # the disk names no file, and nobody knows the one that would have been moved
        raise OSError(error.errno, error.strerror, str(path)) from None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
