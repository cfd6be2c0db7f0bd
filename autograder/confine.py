"""Take away from a process, for good, everything that an answer does not need.

Called in the fork that is about to run a learner's code, after it has imported what it needs. Each means is
the kernel's own, and each stands alone: where one is missing the others still hold, and what was reached is
reported. Linux only; elsewhere there are the limits of POSIX.

namespaces: a process tree, mounts, a network and message queues of its own; whatever the answer leaves
            running dies with the first process of the tree; the only folder it can write to is new and small.
user:       a user id that owns nothing, where the grader runs as root.
landlock:   no file outside the interpreter's folders can be opened, no TCP, no signal sent outside.
limits:     memory, time on the CPU, processes, size of a file, open files; no core dumps.
seccomp:    no new programs, no sockets, no mounts, no look into other processes.

Sources: the manual pages namespaces(7), landlock(7), setrlimit(2), seccomp(2).
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import resource
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)

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
            if _libc.setns(self._here, NEW_PIDS) != 0:  # the way back must be open before the first step
                self.close()

    def apart(self) -> bool:
        """The next fork begins a tree of its own. True where that worked."""
        return self._here is not None and _unshare(NEW_PIDS)

    def together(self) -> None:
        """Further forks belong to this process's own tree again."""
        if self._here is not None and _libc.setns(self._here, NEW_PIDS) != 0:
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
        _libc.prctl(_PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def hide() -> None:
    """Nobody but root may look into this process: neither its memory nor its open files."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


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
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    files = _FILE_RIGHTS[min(version, 5)]
    attributes = struct.pack("=Q", files)
    attributes += struct.pack("=Q", 3) if version >= 4 else b""  # no bind, no connect
    attributes += struct.pack("=Q", 3) if version >= 6 else b""  # no abstract sockets, no signals outside
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    read = _EXECUTE | _READ_FILE | _READ_DIR
    control = (_WRITE_FILE | _READ_FILE | _CONTROL_DEVICE) & files
    for rights, paths in ((read, readable), (files & ~_CONTROL_DEVICE, writable), (control, devices or [])):
        for path in paths:
            _allow(ruleset, path, rights)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    done = _libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0
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
    _libc.syscall(_ADD_RULE, ruleset, ctypes.c_int(1), rule, ctypes.c_uint32(0))
    os.close(descriptor)


# Seccomp. The system calls that an answer has no use for, by architecture: (x86_64, aarch64).
_REFUSED = {
    "acct": (163, 89), "add_key": (248, 217), "bind": (49, 200), "bpf": (321, 280), "chroot": (161, 51),
    "connect": (42, 203), "execve": (59, 221), "execveat": (322, 281), "finit_module": (313, 273),
    "fsopen": (430, 430), "init_module": (175, 105), "io_uring_setup": (425, 425), "kcmp": (312, 272),
    "kexec_load": (246, 104), "keyctl": (250, 219), "memfd_create": (319, 279), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438), "pivot_root": (155, 41), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142),
    "request_key": (249, 218), "setns": (308, 268), "socket": (41, 198), "socketpair": (53, 199),
    "swapon": (167, 224), "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_ANY_NEW_NAMESPACE = 0x7E020000
_PERMISSION, _NO_SUCH_CALL = 1, 38  # EPERM, ENOSYS

_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def seccomp() -> bool:
    """Refuse the system calls above from now on. True where the kernel and the architecture are known."""
    known = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    program = b"".join(_filter(*known))
    code = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    given = Program(len(program) // 8, ctypes.addressof(code))
    return _libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _filter(column: int, architecture: int) -> list[bytes]:
    refused = sorted(numbers[column] for numbers in _REFUSED.values())
    clone, clone3 = _CLONE[column], _CLONE3[column]
    # The numbers mean something else in another architecture's calls (32 bits, x32): those are refused.
    program = [
        _op(_LOAD, 4),
        _op(_JUMP_EQUAL, architecture, 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, 0),
        _op(_JUMP_AT_LEAST, 0x40000000, 0, 1),
        _op(_RETURN, _ERROR | _NO_SUCH_CALL),
        # The arguments of clone3 lie in memory, where a filter cannot look: libc falls back to clone.
        _op(_JUMP_EQUAL, clone3, 0, 1),
        _op(_RETURN, _ERROR | _NO_SUCH_CALL),
    ]
    for number in refused:
        program += [_op(_JUMP_EQUAL, number, 0, 1), _op(_RETURN, _ERROR | _PERMISSION)]
    program += [
        _op(_JUMP_EQUAL, clone, 0, 3),
        _op(_LOAD, 16),
        _op(_JUMP_ANY_BIT, _ANY_NEW_NAMESPACE, 0, 1),
        _op(_RETURN, _ERROR | _PERMISSION),
        _op(_RETURN, _ALLOW),
    ]
    return program


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _unshare(flags: int) -> bool:
    if sys.platform != "linux":
        return False
    return _libc.unshare(flags) == 0


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    given = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    if _libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), given[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
