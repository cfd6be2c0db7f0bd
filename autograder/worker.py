"""The untrusted side: a warm parent that forks one answer after another, each in a process of its own.

Started by `autograder.sandbox`. The parent imports torch and does nothing with it: a process that has run one
parallel operation passes a broken thread pool on to its forks. It holds no check, no seed and no expected
value. For each answer it is handed a connection of the answer's own and forks; the fork locks itself in and
answers there (`autograder.answering`). So whatever an answer leaves behind, on its connection, in its folder
or running, is gone when the next one begins.

A parent can be asked for a further one like itself: a fork, which costs milliseconds where an import of torch
costs seconds. That one may lay the ground of one exercise first, of which all its answers then stand.

What the trusted side says to a parent: `J` with an answer's connection, `K` to kill the answer at hand, `T`
with the line to a further parent. What a parent says: `R` when it is ready, then the exit code of each fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterable

from autograder import confine, cores, warming, wire
from autograder.answering import Ground, answer, lay

STATUS = struct.Struct("<i")
# Imported once, before the forks; what an answer imports besides costs it its own time.
WARM = (
    *("einops", "jaxtyping", "numpy", "matplotlib.figure", "matplotlib.backends.backend_svg", "tqdm.auto"),
    "torch.fx.experimental.symbolic_shapes",  # a backward pass under watch asks for it: half a second
)


def main(warm: Iterable[str] = ()) -> None:
    """`warm`: further modules to be imported before the forks."""
    # The control line keeps the first descriptor; whatever an answer prints goes nowhere.
    control = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    for name in (*WARM, *warm):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    warming.huge_pages()
    tree = confine.ProcessTree()
    confine.hide()
    _serve(control, tree)
    # Python would put each of its objects away first, and so copy all memory that is shared with other forks.
    os._exit(0)


def _serve(control: socket.socket, tree: confine.ProcessTree) -> None:
    """Fork what is asked for until the trusted side has gone. A further parent goes on in here."""
    ground: Ground | None = None
    _ready(control)
    while True:
        message, connections, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        if not connections:
            continue  # a request to kill that came too late
        connection = socket.socket(fileno=connections[0])
        if message == b"T":
            if os.fork() == 0:
                control.close()
                control, ground = connection, _laid(connection)
                _ready(control)
            else:
                connection.close()
            continue
        apart = tree.apart()
        pid = os.fork()
        if pid == 0:
            control.close()
            tree.close()
            os.setsid()
            gc.enable()
            answer(wire.Line(connection), ground, apart)
            os._exit(0)
        tree.together()
        connection.close()
        control.sendall(STATUS.pack(_wait(pid, control)))
        _reap()


def _laid(line: socket.socket) -> Ground | None:
    wanted = wire.read(wire.Line(line))
    cores.stay_on(wanted["cores"])
    ground = lay(wanted["ground"]) if wanted["ground"] else None
    if warming.threads() > 1:  # its forks would hang
        os._exit(1)
    return ground


def _ready(control: socket.socket) -> None:
    warming.settle()
    control.sendall(b"R")


def _reap() -> None:
    """Further parents that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _wait(pid: int, control: socket.socket) -> int:
    """The exit code of the fork, negative for a signal. Kills it when asked to, or left alone."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it left running, where there are no namespaces
            return os.waitstatus_to_exitcode(status)
        if _asked_to_kill(pid, control):
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)


def _asked_to_kill(pid: int, control: socket.socket) -> bool:
    """Wait for the fork's end or a message, whichever comes first."""
    watched: list[int | socket.socket] = [control]
    if hasattr(os, "pidfd_open"):
        ending = os.pidfd_open(pid)
        ready = select.select([*watched, ending], [], [])[0]
        os.close(ending)
    else:
        ready = select.select(watched, [], [], 0.005)[0]
    if control not in ready:
        return False
    if not control.recv(1):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os._exit(0)  # the trusted side has gone
    return True


if __name__ == "__main__":
    sys.exit("The worker is started by autograder.sandbox.")
