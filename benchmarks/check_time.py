"""How long a check takes on top of the answer's own time, for right and for wrong answers.

    DEVICE=cpu python benchmarks/check_time.py [--rounds N]

The answer's own time on the check's cases is measured in the same round and taken away. The aim is less than
300 ms on top. The first check in a fresh process is measured too: it is the one a learner waits for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import torch

from autograder.exercise import Exercise
from autograder.exercises import all_exercises
from autograder.grading import grade_callable
from autograder.running import LocalRunner

LIMIT_MS = 300
FIRST = """
import time, torch
from autograder.exercises import find
from autograder.grading import grade_callable
exercise = find("3.5")
start = time.perf_counter()
grade_callable(exercise, exercise.alternatives[0].answer)
print(1000 * (time.perf_counter() - start))
"""


def own_time(exercise: Exercise, answer, device: str) -> float:
    """Seconds for the answer alone on every case."""
    runner = LocalRunner(answer, exercise.reference, device=device, watched=False)
    seconds = 0.0
    for place, check in enumerate(exercise.checks):
        for case in check.cases(torch.Generator().manual_seed(place)):
            start = time.perf_counter()
            runner(case)
            seconds += time.perf_counter() - start
    return seconds


def overhead(exercise: Exercise, answer, rounds: int, device: str) -> float:
    """Median milliseconds of a check on top of the answer's own time."""
    samples = []
    for seed in range(rounds):
        start = time.perf_counter()
        grade_callable(exercise, answer, seed=seed, device=device)
        samples.append(time.perf_counter() - start - own_time(exercise, answer, device))
    return 1000 * statistics.median(samples)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=7)
    arguments = options.parse_args()
    device = os.environ.get("DEVICE", "cpu")
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {device}, median of {arguments.rounds}")
    print(f"{'exercise':<42}{'right':>10}{'wrong, slowest':>17}   ms on top of the answer's own time")
    worst = 0.0
    for exercise in all_exercises():
        if exercise.takes_value:
            continue
        right = overhead(exercise, exercise.alternatives[0].answer, arguments.rounds, device)
        wrong = max(overhead(exercise, m.answer, 3, device) for m in exercise.misconceptions)
        worst = max(worst, right, wrong)
        print(f"{exercise.number + ' ' + exercise.name:<42}{right:>8.1f}{wrong:>15.1f}")
    command = [sys.executable, "-c", FIRST]
    first = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)
    ]
    print(f"first check in a fresh process: {statistics.median(first):.0f} ms")
    print(f"slowest: {worst:.0f} ms (aim: under {LIMIT_MS} ms)")


if __name__ == "__main__":
    main()
