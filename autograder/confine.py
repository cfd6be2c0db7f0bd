"""Take away from a process, for good, everything that an answer does not need.

Called in the fork that is about to run a learner's code, after it has imported what it needs. Each means is
the kernel's own, and each stands alone: where one is missing the others still hold, and what was reached is
reported. Linux only; elsewhere there are the limits of POSIX.

namespaces: a process tree, mounts, a network and message queues of its own; whatever the answer leaves
            running dies with the first process of the tree; the only folder it can write to is new and small.
user:       a user id that owns nothing, where the grader runs as root.
landlock:   no file outside the interpreter's folders can be opened, no TCP, no signal sent outside.
limits:     memory, time on the CPU, processes, size of a file, open files; no core dumps.
seccomp:    no new programs, no sockets, no mounts, no look into other processes (`autograder.seccomp`).

Sources: the manual pages namespaces(7), landlock(7), setrlimit(2).
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass

libc = ctypes.CDLL(None, use_errno=True)

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MOUNT_NOSUID_NODEV, _MOUNT_PRIVATE = 2 | 4, 1 << 18 | 1 << 14
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
SIGKILL = 9


@dataclass(frozen=True)
class Limits:
    """What one answer may use.

    seconds:   time on the CPU; the wall clock is the trusted side's to watch.
    memory:    bytes on top of what the process has when the answer begins; None for no limit.
    processes: of the answer's user, threads included.
    file_size: bytes of one file, and of its folder.
    files:     open at once.
    """

    seconds: float = 20.0
    memory: int | None = 1 << 30
    processes: int = 64
    file_size: int = 16 << 20
    files: int = 64


class ProcessTree:
    """Lets a fork begin as the first process of a tree of its own, where this process may (as root).

    Saves the fork in between that `namespaces` needs otherwise: a new tree begins with the next child.
    """

    def __init__(self) -> None:
        self._here: int | None = None
        with suppress(OSError):
            self._here = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            if libc.setns(self._here, NEW_PIDS) != 0:  # the way back must be open before the first step
                self.close()

    def apart(self) -> bool:
        """The next fork begins a tree of its own. True where that worked."""
        return self._here is not None and _unshare(NEW_PIDS)

    def together(self) -> None:
        """Further forks belong to this process's own tree again."""
        if self._here is not None and libc.setns(self._here, NEW_PIDS) != 0:
            raise OSError(ctypes.get_errno(), "cannot go back into its own process tree")

    def close(self) -> None:
        if self._here is not None:
            os.close(self._here)
        self._here = None


def namespaces(work: str, size: int, apart: bool = False) -> bool:
    """Move this process into namespaces of its own, with an empty folder at `work`. True where it worked.

    Unless it is the first process of a tree already (`apart`), the caller goes on as the first process of a
    new one; a parent that stays behind waits for it and ends as it ended.
    """
    uid, gid = os.geteuid(), os.getegid()
    tree = 0 if apart else NEW_PIDS
    if not _unshare((NEW_USER if uid else 0) | NEW_MOUNTS | NEW_IPC | tree | NEW_NET):
        return False
    if uid:  # without a place in the new map, no file could be made
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with suppress(OSError), open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    child = 0 if apart else os.fork()
    if child:
        _wait_as(child)
    die_with_parent()
    _mount(None, "/", None, _MOUNT_PRIVATE, None)
    with suppress(OSError):
        _mount("proc", "/proc", "proc", _MOUNT_NOSUID_NODEV, None)
    with suppress(OSError):
        _mount("tmpfs", work, "tmpfs", _MOUNT_NOSUID_NODEV, f"size={size},mode=777")
    return True


def _wait_as(child: int) -> None:
    """Wait for the child and end in the same way: its exit code, or its signal."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def user(number: int) -> bool:
    """Become a user who owns nothing. Only root can, and only root needs to."""
    if os.geteuid() != 0:
        return False
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
    return True


def die_with_parent() -> None:
    """Be killed when the parent ends. To be said again after a change of user."""
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def hide() -> None:
    """Nobody but root may look into this process: neither its memory nor its open files."""
    if sys.platform == "linux":
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def no_new_privileges() -> None:
    """No program that this process starts may do more than it may. The kernel asks for it first."""
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def limits(limits: Limits) -> None:
    """The limits of POSIX, which need no privilege and cannot be raised again."""
    seconds = math.ceil(limits.seconds) + 1  # so that the wall clock, which has the better words, comes first
    wanted = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: limits.file_size,
        resource.RLIMIT_NOFILE: limits.files,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        wanted[resource.RLIMIT_NPROC] = limits.processes
        if limits.memory is not None:
            wanted[resource.RLIMIT_AS] = _address_space() + limits.memory
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


# Landlock. The numbers of its system calls are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _CONTROL_DEVICE = 1, 2, 4, 8, 1 << 15
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}


def landlock(readable: list[str], writable: list[str], devices: list[str] | None = None) -> bool:
    """From now on only these folders can be read, or written. True where the kernel has Landlock.

    devices: files that can be written to and controlled (ioctl) as well, such as a GPU's.
    """
    if sys.platform != "linux":
        return False
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    files = _FILE_RIGHTS[min(version, 5)]
    attributes = struct.pack("=Q", files)
    attributes += struct.pack("=Q", 3) if version >= 4 else b""  # no bind, no connect
    attributes += struct.pack("=Q", 3) if version >= 6 else b""  # no abstract sockets, no signals outside
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    read = _EXECUTE | _READ_FILE | _READ_DIR
    control = (_WRITE_FILE | _READ_FILE | _CONTROL_DEVICE) & files
    for rights, paths in ((read, readable), (files & ~_CONTROL_DEVICE, writable), (control, devices or [])):
        for path in paths:
            _allow(ruleset, path, rights)
    no_new_privileges()
    done = libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0
    os.close(ruleset)
    return done


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _EXECUTE | _WRITE_FILE | _READ_FILE | _CONTROL_DEVICE
    rule = struct.pack("=Qi", rights, descriptor)
    libc.syscall(_ADD_RULE, ruleset, ctypes.c_int(1), rule, ctypes.c_uint32(0))
    os.close(descriptor)


def _unshare(flags: int) -> bool:
    if sys.platform != "linux":
        return False
    return libc.unshare(flags) == 0


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    given = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    if libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), given[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
