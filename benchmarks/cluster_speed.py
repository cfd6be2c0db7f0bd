"""`autograder grade --cluster` with one Dask worker and with two, on this machine: the same submissions.

    python benchmarks/cluster_speed.py [--submissions 200] [--rounds 3]

The submissions are those of `class_speed.py`. Each round has a seed of its own, so that nothing is known from
the round before, and begins with new graders, whose start counts; the workers and their sandboxes stay from
one round to the next, as between two commands of an instructor. The first round of each only warms up. One
worker and two take turns, and the ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from _measuring import print_machine, take_turns, times_as_fast
from class_speed import SLUG, course

from autograder import cores
from autograder.classroom import submissions
from autograder.classroom.cluster import grade_on
from autograder.classroom.connecting import ClusterError, dask, local_cluster
from autograder.classroom.crew import Plan


def main() -> None:
    parser = argparse.ArgumentParser(description="One Dask worker beside two.")
    parser.add_argument("--submissions", type=int, default=200, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    try:
        dask()
    except ClusterError as missing:
        sys.exit(str(missing))
    if cores.count() < 2:
        sys.exit("two workers need two cores, and this machine gives one")
    with tempfile.TemporaryDirectory() as folder:
        root = course(Path(folder), options.submissions)
        found = submissions.find(root / "submitted", SLUG)
        with local_cluster(1) as one, local_cluster(2) as two:
            release = root / "chapters" / SLUG / f"{SLUG}.ipynb"
            clusters = {"one worker": one.scheduler_address, "two workers": two.scheduler_address}
            seeds = itertools.count()

            def run(address: str) -> None:
                verdicts = list(grade_on(address, Plan(SLUG, release.read_bytes(), seed=next(seeds)), found))
                assert len(verdicts) == options.submissions

            runners = {name: lambda a=address: run(a) for name, address in clusters.items()}
            seconds = take_turns(runners, options.rounds, torch.device("cpu"))
    print_machine(torch.device("cpu"))
    for name, times in seconds.items():
        rate = 60 * options.submissions / statistics.median(times)
        print(f"  {name:12} {rate:6.0f} submissions a minute")
    print(
        f"  two are {times_as_fast(seconds['one worker'], seconds['two workers']):.2f} times as fast as one"
    )


if __name__ == "__main__":
    main()
