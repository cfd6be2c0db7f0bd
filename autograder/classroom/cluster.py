"""Graders on other machines: the same jobs, sent to the workers of a Dask cluster (`dask.distributed`).

A submission travels as bytes, if it is a plain file of a size to be read; its verdict comes back as JSON. So
other machines need the course, and no shared folder. A worker that dies takes nothing along: Dask gives its
jobs to others. A submission that workers keep dying of is graded once more, alone; if they die again, that is
a fault of the grader, with the reason, and no learner's zero.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import secrets
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any

from autograder.classroom import station
from autograder.classroom.connecting import SILENT, ClusterError, connect, dask
from autograder.classroom.crew import Plan
from autograder.classroom.defaults import PATIENCE
from autograder.classroom.grader import Verdict
from autograder.classroom.submissions import Submission, Unreadable, bytes_of
from autograder.classroom.workers import KEPT, LOOK_SECONDS, Workers, no_course, there

FETCH_SECONDS = 60
AHEAD = 2  # jobs at a worker: one is graded, one lies ready
MOST_SENDINGS = 3  # of one job that somebody cancels, or whose verdict is lost on its way


@dataclass
class _Job:
    """A submission on its way.

    killed:     how often Dask gave it up because its workers died.
    with_order: its worker did not know the order, so the job brings it along.
    """

    submission: Submission
    sendings: int = 0
    killed: int = 0
    with_order: bool = False


class Cluster:
    """The workers of a cluster, ready to grade. Use it in a `with` block.

    address:  of the scheduler (`tcp://…`, `tls://…`), its scheduler file, or `local:N` for N workers here.
    least:    the level of isolation that every worker must reach.
    patience: seconds to wait for a worker.
    say:      tells the instructor what is being waited for.
    """

    def __init__(
        self,
        address: str,
        plan: Plan,
        *,
        least: str = "kernel",
        patience: float = PATIENCE,
        say: Callable[[str], None] = lambda words: None,
    ):
        self.address, self.plan, self.patience, self.say = address, plan, patience, say
        self.isolation: list[str] = []  # of the workers, each once
        self._least = least
        self._token = secrets.token_hex(8)

    def __enter__(self) -> Cluster:
        """
        Raises:
            ClusterError: it cannot be used.
        """
        with contextlib.ExitStack() as stack:
            self._dask = dask()
            stack.enter_context(_quiet())
            self._client = stack.enter_context(contextlib.closing(connect(self.address, stack)))
            self._workers = Workers(self._client, self.address, self.patience, self.say)
            self._workers.compare_versions()
            self._workers.wait()
            if self.plan.device == "cuda" and not self._workers.fitting(gpu=True):
                remark = "no worker of the cluster offers a GPU: graded on the CPU"
                self.plan = replace(self.plan, device="cpu", remark=remark)
                self.say(remark)
            self._workers.gpu = self.plan.device == "cuda"
            self._order = station.order(self._token, self.plan, self._least)
            stack.callback(self._workers.end, self._token)
            self.isolation = self._workers.begin(self._order)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def __str__(self) -> str:
        fit = self._workers.fit
        count = "1 worker" if fit == 1 else f"{fit} workers"
        return f"{count} at {self.address}, answers run at {' or '.join(self.isolation)}"

    def grade_all(self, submissions: list[Submission]) -> Iterator[Verdict]:
        """The verdicts, in the order in which they are reached. Closing the iterator cancels the rest.

        Raises:
            ClusterError: the cluster has gone, or a worker that has joined cannot be used.
        """
        due = deque(_Job(submission) for submission in submissions)
        alone: deque[_Job] = deque()  # those that workers died of: last, one at a time
        waiting: dict[Any, _Job] = {}
        reached: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            while due or alone or waiting:
                self._workers.look()
                if not waiting or (due and len(waiting) < AHEAD * self._workers.fit):
                    job = (due or alone).popleft()
                    try:
                        future = self._send(job)
                    except Unreadable as problem:
                        yield self._unreadable(job.submission, problem)
                        continue
                    waiting[future] = job
                    future.add_done_callback(reached.put)
                    continue
                with contextlib.suppress(queue.Empty):
                    future = reached.get(timeout=LOOK_SECONDS)
                    job = waiting.pop(future)
                    if (verdict := self._verdict(job, future)) is not None:
                        yield verdict
                    else:
                        (alone if job.killed else due).append(job)
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(waiting), force=True)

    def _unreadable(self, submission: Submission, problem: Unreadable) -> Verdict:
        verdict = self.plan.grader().unreadable(submission.student, problem)
        return replace(verdict, executed=self.plan.execute is not None)

    def _send(self, job: _Job) -> Any:
        """
        Raises:
            Unreadable: it is nothing to be sent: a link, a device, a file of a size that nobody reads.
        """
        submission = job.submission
        data = bytes_of(submission)
        job.sendings += 1
        resources = {"GPU": 1} if self.plan.device == "cuda" else None
        # The order holds the chapter: its workers have it from the beginning, but for those that came later.
        order = self._order if job.with_order else self._token
        arguments = (order, submission.student, submission.path.name, data)
        key = f"grade-{secrets.token_hex(16)}"
        return self._client.submit(there("grade"), *arguments, key=key, pure=False, resources=resources)

    def _verdict(self, job: _Job, future: Any) -> Verdict | None:
        """None: it has to be sent again."""
        submission = job.submission
        try:
            told = json.loads(future.result(timeout=FETCH_SECONDS))
        except self._dask.KilledWorker as killed:
            job.killed += 1
            if job.killed == 1:
                return None
            deaths = killed.allowed_failures + 1
            return self._fault(submission, f"its worker died, and when it was graded alone {deaths} more")
        except ModuleNotFoundError as missing:
            raise ClusterError(no_course(missing)) from None
        except (CancelledError, TimeoutError, OSError) as lost:
            if job.sendings < MOST_SENDINGS:
                return None
            return self._fault(submission, f"sent {job.sendings} times, and lost: {lost}")
        except Exception as error:  # the worker's own
            return self._fault(submission, f"{type(error).__name__}: {str(error)[:200]}")
        if "unfit" in told:
            raise ClusterError(f"a worker of {self.address} cannot grade: {told['unfit']}. {KEPT}")
        if "unknown" in told and not job.with_order:
            job.with_order, job.sendings = True, job.sendings - 1
            return None
        try:
            verdict = Verdict.from_plain(told["verdict"])
        except (ValueError, TypeError, KeyError) as error:
            return self._fault(submission, f"its worker sent no verdict ({error})")
        if (verdict.student, verdict.chapter) != (submission.student, self.plan.chapter):
            return self._fault(submission, "its worker sent the verdict on something else")
        return verdict

    def _fault(self, submission: Submission, why: str) -> Verdict:
        return self.plan.grader().fault(submission.student, why)


def grade_on(address: str, plan: Plan, submissions: list[Submission], **about: Any) -> Iterator[Verdict]:
    """The verdicts of a cluster that is used for these alone. `about`: see `Cluster`."""
    with Cluster(address, plan, **about) as workers:
        yield from workers.grade_all(submissions)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own reports of lost workers and connections: what matters of them is said in our words."""
    handlers = [h for name in ("distributed", "tornado", "asyncio") for h in logging.getLogger(name).handlers]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(SILENT)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
