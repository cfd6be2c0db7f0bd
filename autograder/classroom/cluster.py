"""Graders on other machines: the same jobs, sent to a Dask scheduler.

A submission travels as bytes, with the released notebook; a verdict comes back as plain values. A Dask worker
is a machine of the instructor's: it knows the checks and the class's seed, and locks each answer in as this
machine would. A worker that dies takes nothing along but time: Dask gives its jobs to another one. What ends
several workers in a row is a fault of the grader, never a learner's zero.

A scheduler obeys whoever reaches it. It belongs on a private network, or behind TLS ("tls://…").
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import os
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.classroom.crew import Plan
from autograder.classroom.grader import Grader, Verdict
from autograder.classroom.journal import code_version
from autograder.classroom.submissions import Submission, Unreadable, read_bytes
from autograder.sandbox import LEVELS

LOCAL = "local:"  # local:4 starts four workers here
CONNECT_SECONDS = 15.0
WORKER_SECONDS = 60.0  # how long a cluster may have no worker at all
WAITING_JOBS = 3  # for each worker: enough to keep it busy, few enough to hold their bytes here
NO_GPU = "graded on the CPU: no worker of the cluster offers a GPU"
NO_CUDA = "graded on the CPU: the worker finds no CUDA device"


class ClusterError(RuntimeError):
    """The cluster cannot grade; the message says why and what to do. Verdicts that were reached stay."""


class Unfit(RuntimeError):
    """Raised on a worker that must not grade: another version of the course, or too weak an isolation."""


def grade_on(
    address: str,
    plan: Plan,
    submissions: list[Submission],
    *,
    least: str = "limits",
    patience: float = WORKER_SECONDS,
) -> Iterator[Verdict]:
    """The verdicts, in the order in which they are reached. Closing the iterator withdraws the other jobs.

    address:  of a scheduler ("tcp://10.0.0.5:8786"), the file that it wrote, or "local:4".
    least:    the isolation below which a worker must not grade.
    patience: seconds that the cluster may be without a worker.

    Raises:
        ClusterError: there is no such cluster, it has no workers, or they are not fit.
    """
    distributed = _distributed()
    with contextlib.ExitStack() as stack:
        client = _connected(distributed, address, stack)
        _wait_for_workers(distributed, client, address, patience)
        plan, note = _with_device(client, plan)
        here, sendable = _read(plan, submissions)
        yield from here
        jobs = iter(sendable)
        send = functools.partial(_send, client, plan, _packed(plan.release.read_bytes()), least)
        pending: dict[Any, Submission] = {}
        stack.callback(lambda: client.cancel(list(pending)))
        while True:
            room = WAITING_JOBS * max(1, len(client.scheduler_info(n_workers=-1)["workers"])) - len(pending)
            for submission, data in (job for _, job in zip(range(room), jobs, strict=False)):
                pending[send(submission, data)] = submission
            if not pending:
                return
            for future in _some(distributed, client, list(pending), address, patience):
                submission = pending.pop(future)
                verdict = _verdict(distributed, future, plan, submission, address)
                yield dataclasses.replace(verdict, notes=[*verdict.notes, note]) if note else verdict


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ModuleNotFoundError:
        raise ClusterError(
            "--cluster needs Dask, which is not installed here: "
            "pip install 'from-tokens-to-gpt[cluster]', or: make env in a clone of the course"
        ) from None


def _connected(distributed: Any, address: str, stack: contextlib.ExitStack) -> Any:
    """A client of the scheduler, which `stack` closes."""
    if address.startswith(LOCAL):
        count = address.removeprefix(LOCAL)
        if not count.isdigit() or int(count) < 1:
            raise ClusterError(f"expected local:N with a number of workers from 1: got {address}")
        options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
        own = distributed.LocalCluster(n_workers=int(count), **options)
        return stack.enter_context(distributed.Client(stack.enter_context(own)))
    about = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return stack.enter_context(distributed.Client(**about, timeout=CONNECT_SECONDS))
    except (OSError, ValueError, TypeError, ImportError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ClusterError(
            f"there is no Dask scheduler at {address} ({why}). Start one with `dask scheduler`, and name the "
            "address that it prints: --cluster tcp://HOST:8786"
        ) from None


def _wait_for_workers(distributed: Any, client: Any, address: str, patience: float) -> None:
    with contextlib.suppress(TimeoutError, distributed.TimeoutError):
        client.wait_for_workers(1, timeout=patience)
        return
    raise ClusterError(
        f"the scheduler at {address} has had no worker for {patience:g} seconds. On each machine that has "
        f"the course, start one: dask worker {address} --nthreads 1 --nworkers -1"
    )


def _with_device(client: Any, plan: Plan) -> tuple[Plan, str]:
    """The plan as the cluster can follow it, and what to say if that is not as it was asked."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if plan.device == "cpu" or any(worker.get("resources", {}).get("GPU") for worker in workers):
        return plan, ""
    return dataclasses.replace(plan, device="cpu"), NO_GPU


def _read(
    plan: Plan, submissions: list[Submission]
) -> tuple[Iterator[Verdict], Iterator[tuple[Submission, bytes]]]:
    """The verdicts on what cannot be sent, and the bytes of the rest, read when they are asked for."""
    refused, readable = [], []
    for submission in submissions:
        try:
            if not submission.refused:
                read_bytes(submission.path)
            (refused if submission.refused else readable).append(submission)
        except Unreadable:
            refused.append(submission)
    grader = plan.grader() if refused else None  # not started: it reads, and runs nothing
    verdicts = (grader.grade(submission) for submission in refused) if grader else iter(())
    return iter(verdicts), ((submission, read_bytes(submission.path)) for submission in readable)


def _packed(data: bytes) -> bytes:
    return zlib.compress(data, 1)


def _send(client: Any, plan: Plan, release: bytes, least: str, submission: Submission, data: bytes) -> Any:
    about = {**dataclasses.asdict(plan), "release": release}
    own = {"student": submission.student, "name": submission.path.name, "data": _packed(data)}
    resources = {"GPU": 1} if plan.device == "cuda" else None
    return client.submit(grade_here, about, own, least, code_version(), pure=False, resources=resources)


def _some(distributed: Any, client: Any, pending: list[Any], address: str, patience: float) -> list[Any]:
    """The jobs that are done; at least one."""
    last_seen = time.monotonic()
    while True:
        with contextlib.suppress(TimeoutError, distributed.TimeoutError):
            return list(distributed.wait(pending, timeout=1.0, return_when="FIRST_COMPLETED").done)
        if client.status != "running" or any(future.status in ("lost", "cancelled") for future in pending):
            raise ClusterError(
                f"the scheduler at {address} is gone. Start it, and run the same command again"
            )
        if client.scheduler_info(n_workers=-1)["workers"]:
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > patience:
            _wait_for_workers(distributed, client, address, 0.1)


def _verdict(distributed: Any, future: Any, plan: Plan, submission: Submission, address: str) -> Verdict:
    try:
        return Verdict.from_plain(future.result())
    except Unfit as unfit:
        raise ClusterError(str(unfit)) from None
    except distributed.KilledWorker:
        return plan.grader().fault(submission.student, "the workers that graded this died, one after another")
    except distributed.CancelledError:
        raise ClusterError(
            f"the scheduler at {address} withdrew the jobs. Run the same command again"
        ) from None
    except ModuleNotFoundError as missing:
        raise ClusterError(
            f"a worker has no module {missing.name!r}: install this version of the course on every machine"
        ) from None
    except Exception as error:  # whatever came back was no verdict
        return plan.grader().fault(submission.student, f"{type(error).__name__}: {str(error)[:200]}")


# --- On a worker.

_lock = threading.Lock()  # a worker may have several threads; a grader is for one
_warm: dict[
    str, tuple[Grader, str, contextlib.ExitStack]
] = {}  # the last plan's grader, by what it depends on


def grade_here(about: dict[str, Any], submission: dict[str, Any], least: str, version: str) -> dict[str, Any]:
    """A verdict as plain values, reached by this process.

    about:      the fields of a `Plan`, with the bytes of the release in the place of its path.
    submission: the student, the file's name, and its bytes.

    Raises:
        Unfit: this worker has another version of the course, or cannot lock answers in well enough.
    """
    if code_version() != version:
        raise Unfit(
            f"the worker on {os.uname().nodename} has another version of the course than this machine: "
            "update both to the same commit, and restart the worker"
        )
    with _lock, tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        grader, note = _grader(about)
        if LEVELS.index(grader.isolation) < LEVELS.index(least):
            raise Unfit(
                f"the worker on {os.uname().nodename} can lock answers in at the level {grader.isolation!r}, "
                f"and at least {least!r} is required: install bubblewrap there, or say --allow-unsafe"
            )
        path = Path(folder) / Path(submission["name"]).name
        path.write_bytes(zlib.decompress(submission["data"]))
        verdict = grader.grade(Submission(submission["student"], path))
    return dataclasses.replace(verdict, notes=[*verdict.notes, note] if note else verdict.notes).as_plain()


def _grader(about: dict[str, Any]) -> tuple[Grader, str]:
    """The warm grader of a plan, which is made if the last one was of another plan; and what to note."""
    key = hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()
    if key not in _warm:
        _close()
        import torch

        torch.set_num_threads(1)
        note = ""
        if about["device"] == "cuda" and not torch.cuda.is_available():
            about, note = {**about, "device": "cpu"}, NO_CUDA
        stack = contextlib.ExitStack()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autograder-")))
        release = folder / "release.ipynb"
        release.write_bytes(zlib.decompress(about["release"]))
        _warm[key] = stack.enter_context(Plan(**{**about, "release": release}).grader()), note, stack
    return _warm[key][:2]


def _close() -> None:
    while _warm:
        _warm.popitem()[1][2].close()


atexit.register(_close)
