"""Refuse system calls: no new programs, no sockets, no mounts, no look into other processes.

The kernel runs a small program before each call of the process and of all that it starts, and it cannot be
taken away again. Here that program is written. Linux on two architectures; elsewhere the other means hold.

Source: the manual page seccomp(2).
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

from autograder import confine

# The system calls that an answer has no use for, by architecture: (x86_64, aarch64).
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


def refuse_calls() -> bool:
    """Refuse the system calls above from now on. True where the kernel and the architecture are known."""
    known = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    program = b"".join(_filter(*known))
    code = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    confine.no_new_privileges()
    given = Program(len(program) // 8, ctypes.addressof(code))
    return confine.libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


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
