"""The trusted side's hold on a warm parent: have it fork, end a fork, have it make a further parent.

Speaks with `autograder.worker`, over one line to each parent and one to each answer.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from autograder import cores, wire
from autograder.worker import STATUS

START_SECONDS = 120.0  # a cold disk, a busy machine: importing torch is not the answer's time


class Parent:
    """One warm parent. `control`: the line to it, on which it says when it is ready."""

    def __init__(self, control: socket.socket):
        self.control = control

    def wait(self) -> None:
        """
        Raises:
            RuntimeError: it did not start.
        """
        self.control.settimeout(START_SECONDS)
        with suppress(OSError):
            if self.control.recv(1) == b"R":
                return
        raise RuntimeError("the worker did not start")

    def fork(self) -> wire.Line:
        """The line to a fork of its own for one answer.

        Raises:
            OSError: the parent has ended.
        """
        return wire.Line(self._connect(b"J"))

    def another(self, ground: dict[str, Any] | None = None) -> Parent:
        """A further parent on this thread's cores, with the ground of an exercise laid, if it is given one.

        Raises:
            OSError, RuntimeError: there cannot be one.
        """
        made = Parent(self._connect(b"T"))
        try:
            made.control.settimeout(START_SECONDS)
            wire.write(wire.Line(made.control), {"cores": cores.here(), "ground": ground})
            made.wait()
        except BaseException:
            made.close()
            raise
        return made

    def _connect(self, word: bytes) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.control, [word], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def kill(self) -> None:
        """The fork at hand.

        Raises:
            OSError: the parent has ended.
        """
        self.control.sendall(b"K")

    def status(self, seconds: float) -> int:
        """The exit code of the fork at hand, when it has ended; negative for a signal.

        Raises:
            TimeoutError: it goes on. OSError: the parent has ended.
        """
        self.control.settimeout(seconds)
        data = self.control.recv(STATUS.size)
        if len(data) != STATUS.size:
            raise OSError("the worker has ended")
        return STATUS.unpack(data)[0]

    def close(self) -> None:
        """Let go of it, and it ends; one that others hold goes on."""
        self.control.close()
