"""The verdicts on an exercise's known answers with inputs on a GPU, each exercise in a process of its own.

An index out of range takes a process's GPU away for good ("device-side assert"). So after such an answer the
next one begins in a new process.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch

from autograder.exercises import find
from autograder.grading import grade_callable

# What it gives is the rounding of a difference of large numbers, which is another one on a GPU.
UNNAMED = ("difference-of-squares",)


def wrong_verdicts(number: str, variant: str = "", device: str = "cuda") -> list[str]:
    """What is not as it is on the CPU, in words."""
    wrong: list[str] = []
    exercise = find(number, variant)
    done, most = 0, len(exercise.alternatives) + len(exercise.misconceptions)
    while done < most:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            told = pool.submit(_verdicts_from, done, number, variant, device).result()
        done += len(told)
        wrong += [line for line in told if line]
    return wrong


def _verdicts_from(place: int, number: str, variant: str, device: str) -> list[str]:
    """What is wrong with each verdict from this answer on, up to one after which the GPU is gone."""
    torch.set_num_threads(1)
    exercise = find(number, variant)
    told = []
    for answer in (*exercise.alternatives, *exercise.misconceptions)[place:]:
        report = grade_callable(exercise, answer.answer, device=device)
        if answer in exercise.alternatives:
            told.append("" if report.points == exercise.points else f"{answer.title}: {report.reason}")
            continue
        named = report.misconception.id if report.misconception else None
        right = (report.status, named) == ("failed", answer.id) or (not named and answer.id in UNNAMED)
        gone = device == "cuda" and _gone()
        if gone:  # and which mistake it was is not told
            right = not report.points
        told.append("" if right else f"{answer.id}: {report.status}, {named}, {report.reason}")
        if gone:
            break
    return told


def _gone() -> bool:
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False
