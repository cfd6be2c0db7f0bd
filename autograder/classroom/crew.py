"""Graders side by side: one process for each core, each with a locked-in worker of its own.

A process of ours that dies takes only its own submission along: the rest is graded by new ones, and what
breaks a process when it is alone is a fault of the grader, never a learner's zero.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import torch

from autograder import confine, cores, variants, warming
from autograder.child import gpu_trouble
from autograder.classroom.grader import Grader, Verdict, cells_of, chapter_of
from autograder.classroom.rerunning import ExecutingGrader
from autograder.classroom.submissions import Submission
from autograder.grading import look_ahead
from autograder.library import cut_for
from autograder.sandbox import Confined, Limits

_grader: Grader | None = None  # of a worker process, which grades nothing but this chapter


@dataclass(frozen=True)
class Plan:
    """How a class is graded; plain values, so that it can be sent to any process and any machine.

    release: the notebook that was handed out.
    remark:  a note on every verdict, about how it was reached.
    """

    chapter: str
    release: bytes
    seed: int
    device: str = "cpu"
    timeout: float | None = None
    memory: int | None = None  # bytes for an answer
    execute: float | None = None  # seconds for the whole notebook, which is run too
    remark: str = ""

    def on_this_machine(self) -> Plan:
        """The plan as it can be carried out here: on the CPU, with a note, where there is no GPU."""
        if self.device == "cpu" or not (trouble := gpu_trouble()):
            return self
        return replace(self, device="cpu", remark=f"{trouble}: graded on the CPU")

    def grader(self, within: Confined | None = None) -> Grader:
        """`within`: the sandbox in which its answers are to run, if not one of its own."""
        chapter = chapter_of(self.chapter)
        assert chapter is not None
        limits = Limits() if self.memory is None else Limits(memory=self.memory)
        release = cells_of(self.release)
        about: dict[str, Any] = {"seed": self.seed, "device": self.device, "timeout": self.timeout}
        about |= {"limits": limits, "remark": self.remark, "within": within}
        if self.execute is not None:
            return ExecutingGrader(chapter, release, seconds=self.execute, **about)
        return Grader(chapter, release, **about)

    def look_ahead(self) -> None:
        """Work out here what each fork of this process would otherwise work out for itself."""
        found = chapter_of(self.chapter)
        assert found is not None
        for exercise in variants.chapter_of(found, cells_of(self.release)).exercises:
            # What is wrong with an exercise is the verdict's to say.
            with contextlib.suppress(Exception):
                cut_for(exercise)
                look_ahead(exercise, self.seed)


def grade_all(
    plan: Plan, submissions: list[Submission], jobs: int, within: Confined | None = None
) -> Generator[Verdict, None, None]:
    """The verdicts, in the order in which they are reached. Closing the iterator stops the graders.

    within: a sandbox for the answers; without it each grader starts one of its own.
    """
    if jobs == 1 or len(submissions) == 1:
        with plan.grader(within) as grader:
            yield from map(grader.grade, submissions)
        return
    missing = yield from _side_by_side(plan, submissions, jobs, within)
    for submission in missing:  # each alone: whatever broke a process shows itself
        if (yield from _side_by_side(plan, [submission], 1, within)):
            yield plan.grader().fault(submission.student, "its process died while it graded this")


def _side_by_side(
    plan: Plan, submissions: list[Submission], jobs: int, within: Confined | None
) -> Generator[Verdict, None, list[Submission]]:
    """Gives back the submissions that were not graded because a process died."""
    # A fork has imported all that a grader needs. But a process that has computed with torch in several
    # threads hangs in its forks; these threads stay, so that they tell.
    forked = sys.platform == "linux" and warming.threads() == 1
    if forked:
        plan.look_ahead()
    context = multiprocessing.get_context("fork" if forked else "spawn")
    about = (plan, within) if forked else (plan, None)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=about)
    waiting: dict[Future[Verdict], Submission] = {}
    try:
        for submission in submissions:
            waiting[pool.submit(_grade, submission)] = submission
        for future in as_completed(list(waiting)):
            try:
                verdict = future.result()
            except BrokenProcessPool:
                break
            del waiting[future]
            yield verdict
    except BrokenProcessPool:  # while the jobs were handed out
        started = set(waiting.values())
        return [*waiting.values(), *(s for s in submissions if s not in started)]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return list(waiting.values())


def _begin(plan: Plan, within: Confined | None) -> None:
    global _grader
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the instructor's Ctrl-C is the main process's to handle
    confine.die_with_parent()
    torch.set_num_threads(1)
    stack = contextlib.ExitStack()
    if plan.device == "cpu":
        stack.enter_context(cores.own_core())
    _grader = stack.enter_context(plan.grader(within))
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)


def _grade(submission: Submission) -> Verdict:
    assert _grader is not None
    return _grader.grade(submission)
