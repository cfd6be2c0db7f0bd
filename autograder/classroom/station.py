"""What runs in a worker of a Dask cluster: warm graders, kept from one submission to the next.

A Dask worker is a machine of the instructor's, so this is the trusted side: the checks and the seed are here,
and the answer runs in a locked-in process of its own, as it does at home. Bytes and plain values come in and
go out. A worker that cannot grade as it was asked to (another version of the course, too weak a sandbox) says
so and grades nothing.

The sandbox is kept as well, so that the next run begins at once.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from autograder import cores
from autograder.child import AnswerProcess
from autograder.classroom.crew import Plan
from autograder.classroom.grader import Grader
from autograder.classroom.journal import code_version
from autograder.classroom.submissions import Submission
from autograder.isolation import SandboxError, require
from autograder.sandbox import Confined

MOST_GRADERS = 2  # two instructors may use one cluster at a time
VERSION = code_version()  # of the files that this process has loaded, even if they are updated meanwhile
IDLE_SECONDS = 600.0  # then graders are let go, in case nobody said that it was over

# One thread, however many the worker has: the checks draw from torch's own generator, and the kernel takes a
# child along when the thread that started it ends.
_thread = ThreadPoolExecutor(1, "grading", initializer=torch.set_num_threads, initargs=(1,))
_graders: OrderedDict[str, Grader] = OrderedDict()
_host: AnswerProcess | None = None  # of the sandbox that they share
_core = contextlib.ExitStack()  # the thread stays on one while it has graders
_idle: threading.Timer | None = None


class Unfit(Exception):
    """This worker cannot do what was ordered; the message says why."""


def order(token: str, plan: Plan, least: str) -> dict[str, Any]:
    """What a worker needs to know besides the submission. `token`: stands for this run."""
    return {"token": token, "plan": vars(plan), "least": least, "version": VERSION}


def begin(order: dict[str, Any]) -> dict[str, Any]:
    """Start a grader, and say how well answers are locked in here, or why nothing can be graded."""
    return _thread.submit(_told, lambda: {"isolation": str(_grader(order).process.isolation)}).result()


def grade(order: dict[str, Any] | str, student: str, name: str, data: bytes) -> bytes:
    """A verdict as JSON, or the reason why this worker gives none.

    order: or only its token, where the worker should know the rest.
    """
    submission = Submission(student, Path(name), data=data)

    def work() -> dict[str, Any]:
        grader = _known(order) if isinstance(order, str) else _grader(order)
        return {"unknown": order} if grader is None else {"verdict": grader.grade(submission).as_plain()}

    return json.dumps(_thread.submit(_told, work).result()).encode()


def end(token: str) -> None:
    """Let go of the grader of a run, after the submission that it may have at hand."""
    _thread.submit(_close, token)


def _told(work: Any) -> dict[str, Any]:
    global _idle
    if _idle is not None:
        _idle.cancel()
    try:
        return work()
    except Unfit as unfit:
        return {"unfit": str(unfit)}
    finally:
        _idle = threading.Timer(IDLE_SECONDS, lambda: _thread.submit(_close_all))
        _idle.daemon = True
        _idle.start()


def _known(token: str) -> Grader | None:
    if token in _graders:
        _graders.move_to_end(token)
    return _graders.get(token)


def _grader(order: dict[str, Any]) -> Grader:
    """
    Raises:
        Unfit: there cannot be one.
    """
    if (known := _known(order["token"])) is not None:
        return known
    plan = Plan(**order["plan"])
    if order["version"] != VERSION:
        raise Unfit("it has another version of the course than this machine: update both to one commit")
    plan = plan.on_this_machine()
    if not _graders and plan.device == "cpu":
        _core.enter_context(cores.own_core())
    with contextlib.ExitStack() as stack:
        stack.callback(_free_core)
        try:
            grader = stack.enter_context(plan.grader(_sandbox() if plan.device == "cpu" else None))
            assert grader.process.isolation is not None
            require(grader.process.isolation, order["least"])
        except SandboxError as error:
            raise Unfit(str(error)) from None
        except RuntimeError as error:
            raise Unfit(f"{error}: what does `autograder rehearse 3` say on that machine?") from None
        stack.pop_all()
    _graders[order["token"]] = grader
    while len(_graders) > MOST_GRADERS:
        _close(next(iter(_graders)))
    return grader


def _sandbox() -> Confined | None:
    """The shared one, begun anew if it has ended; None where graders cannot share one.

    Raises:
        RuntimeError: it did not start.
    """
    global _host
    if _host is not None and (_host.shared is None or _host.shared.process.poll() is None):
        return _host.shared
    _end_sandbox()
    host = AnswerProcess()
    host.__enter__()
    _host = host
    if host.shared is None:
        host.__exit__(None, None, None)  # and it stays as the sign that there is none
    return host.shared


def _end_sandbox() -> None:
    global _host
    host, _host = _host, None
    if host is not None:
        host.__exit__(None, None, None)


def _close(token: str) -> None:
    grader = _graders.pop(token, None)
    if grader is not None:
        grader.__exit__(None, None, None)
    _free_core()


def _free_core() -> None:
    if not _graders:
        _core.close()


def _close_all() -> None:
    for token in list(_graders):
        _close(token)
    _end_sandbox()


atexit.register(_close_all)
