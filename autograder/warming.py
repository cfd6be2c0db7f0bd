"""What makes forks of a warm parent cheap.

A fork copies the page tables of its parent and, one page at a time, whatever either of the two then writes
to. With torch imported that is some 50,000 entries, made and thrown away for every answer. In huge pages it
is a hundred, and a garbage collector that looks at nothing old writes to nothing old.

Source: madvise(2), MADV_COLLAPSE.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_HUGE = 1 << 21
_COLLAPSE = 25


def settle() -> None:
    """What this process holds now stays as it is: no collection looks at it again, in no fork either."""
    gc.disable()
    gc.freeze()


def huge_pages() -> None:
    """Move the memory of this process into huge pages, where the kernel can (Linux 6.1)."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    for first, last in _own_memory():
        for start in range(-(-first // _HUGE) * _HUGE, last - _HUGE + 1, _HUGE):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(_HUGE), _COLLAPSE)


def _own_memory() -> list[tuple[int, int]]:
    """The ranges of memory that belong to no file and can be written to."""
    with open("/proc/self/maps") as file:
        mapped = [line.split() for line in file]
    own = (m[0].split("-") for m in mapped if m[1] == "rw-p" and (len(m) == 5 or m[5] == "[heap]"))
    return [(int(first, 16), int(last, 16)) for first, last in own]


def threads() -> int:
    """How many there are in this process; 1 where nobody can tell."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
