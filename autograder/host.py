"""The trusted side's hold on a sandbox: its warm parents, and the fork at hand with what it says.

A hang, a crash or an exit in a fork costs that fork alone: it is killed, and the next job gets a fresh one.
"""

from __future__ import annotations

import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from autograder import wire
from autograder.bubblewrap import has_bubblewrap
from autograder.isolation import Isolation, isolation_of
from autograder.outcome import Failure
from autograder.parents import Parent
from autograder.sandbox import Confined, Limits

MOST_GROUNDS = 12  # parents that wait with the ground of an exercise laid: more than a chapter has
LOCK_SECONDS = 30.0  # forking and locking in
GPU_SECONDS = 60.0  # its driver's start
DYING_SECONDS = 10.0


class Host:
    """A worker that runs any number of jobs, one after the other. Use it in a `with` block.

    bubblewrap: False to do without it, as on a machine that has none.
    worker:     a sandbox that was started in advance; it ends with this.
    within:     a sandbox of somebody else's, in which to have a parent of its own.
    """

    whole = False  # whether its jobs are whole notebooks: see `autograder.classroom.rerunning`

    def __init__(
        self,
        *,
        device: str = "cpu",
        limits: Limits | None = None,
        bubblewrap: bool = True,
        worker: Confined | None = None,
        within: Confined | None = None,
    ) -> None:
        self.device = device
        self.limits = limits or Limits()
        self.isolation: Isolation | None = None
        self._bubblewrap = bubblewrap and has_bubblewrap()
        self._started, self._within = worker, within
        self._worker: Confined | None = None  # where answers run
        self._parent: Parent | None = None  # forks them
        self._grounds: OrderedDict[tuple[str, str], Parent] = OrderedDict()
        self._at: Parent | None = None  # who forked the answer at hand
        self._line: wire.Line | None = None
        self._seconds = 0.0
        self._fault: str | None = None  # what broke in the answer's process, at the answer at hand
        self._lost = False  # whether the sandbox ended while it ran

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._end_worker()

    @property
    def shared(self) -> Confined | None:
        """The sandbox, for others to grade within; None where answers side by side would share a folder."""
        apart = self.isolation is not None and "namespaces" in self.isolation.means
        return self._worker if apart and self.device == "cpu" else None

    def gpu_trouble(self) -> str:
        """Why an answer that is locked in cannot use the GPU; empty if it can."""
        try:
            self._fork({"tries_gpu": True})
            assert self._line is not None
            self._line.deadline = time.monotonic() + GPU_SECONDS
            return str(wire.read(self._line)["trouble"])
        except (OSError, EOFError, TimeoutError, wire.WireError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self._close()

    def _start(self) -> None:
        if self._worker is not None:
            return
        if self._within is not None:
            with suppress(OSError, RuntimeError):
                self._parent = Parent(self._within.control).another()
                self._worker = self._within
        if self._worker is None:
            self._worker, self._started = self._started or self._confined(), None
            self._parent = Parent(self._worker.control)
            try:
                self._parent.wait()
            except RuntimeError:
                self._end_worker()
                raise
        self.isolation = self.isolation or self._fork({})
        self._close()

    def _confined(self) -> Confined:
        return Confined(bubblewrap=self._bubblewrap, device=self.device, whole=self.whole)

    def _grounded(self, key: tuple[str, str], ground: Callable[[], dict[str, Any]]) -> Parent:
        """The parent that has laid this ground of an exercise."""
        assert self._parent is not None
        if key not in self._grounds:
            self._grounds[key] = self._parent.another(ground())
            while len(self._grounds) > MOST_GROUNDS:
                self._grounds.popitem(last=False)[1].close()
        self._grounds.move_to_end(key)
        return self._grounds[key]

    def _fork(self, job: dict[str, Any], parent: Parent | None = None) -> Isolation:
        """A fork that has the job and has locked itself in, as it says before the answer begins."""
        assert self._worker is not None
        self._at = parent or self._parent
        assert self._at is not None
        self._line = self._at.fork()
        self._line.deadline = time.monotonic() + LOCK_SECONDS
        rules = self._worker.rules(seconds=self._seconds or 10, limits=self.limits, device=self.device)
        wire.write(self._line, {**job, "rules": rules})
        locked = wire.read(self._line)
        if "means" not in locked:
            raise RuntimeError(f"the answer's process did not lock itself in: {locked}")
        isolation = isolation_of(locked["means"], bubblewrap=self._worker.bubblewrap)
        if self.isolation is not None and isolation != self.isolation:
            raise RuntimeError(f"the isolation is {isolation} and was {self.isolation}")
        return isolation

    def _receive(self) -> Any:
        """A reply, or a Failure where the answer hangs, is gone, or sends what is no reply."""
        assert self._line is not None
        try:
            reply = wire.read(self._line)
        except TimeoutError:
            return self._timed_out()
        except (EOFError, OSError):
            return self._died()
        except wire.WireError as error:
            return self._unreadable(error)
        if isinstance(reply, dict) and "fault" in reply:
            self._fault = str(reply["fault"])[:200]
            raise RuntimeError(f"in the answer's process: {self._fault}")
        return reply

    def _timed_out(self) -> Failure:
        self._close(kill=True)
        return Failure("timeout", f"no answer after {self._seconds:g} seconds: is there an endless loop?")

    def _unreadable(self, error: Exception) -> Failure:
        self._close(kill=True)
        return Failure("died", f"the answer's process sent something unreadable: {error}")

    def _died(self) -> Failure:
        status = self._close()
        return Failure("died", _death(status, self.limits))

    def _close(self, kill: bool = False) -> int | None:
        """End the fork at hand, if there is one. Its exit code; None where the whole worker had to go."""
        line, self._line = self._line, None
        if line is None or self._at is None:
            return None
        try:
            if kill:
                self._at.kill()
            else:
                with suppress(OSError, TimeoutError):
                    line.deadline = time.monotonic() + 1
                    wire.write(line, None)
            line.close()
            return self._at.status(1.0 if not kill else DYING_SECONDS)
        except TimeoutError:  # it was asked to end and goes on
            with suppress(OSError, TimeoutError):
                self._at.kill()
                return self._at.status(DYING_SECONDS)
        except OSError:
            pass
        self._lost = True
        self._end_worker()
        return None

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        for parent in (*self._grounds.values(), self._parent):
            if parent is not None and (worker is None or parent.control is not worker.control):
                parent.close()
        if worker is not None and worker is not self._within:
            worker.end()
        self._grounds.clear()
        self._parent = self._at = self._line = None


def _death(status: int | None, limits: Limits) -> str:
    if status is None:
        return "the answer ended the process that ran it"
    if status == -signal.SIGXCPU:
        return "the answer used up its time on the processor: is there an endless loop?"
    if status == -signal.SIGKILL:
        return "the answer's process was killed, most likely for taking too much memory or time"
    if status < 0:
        name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
        return f"the answer's process was killed by {name}"
    return f"the answer ended its own process (exit code {status}) instead of returning"
