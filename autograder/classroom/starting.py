"""The first second of `autograder grade`: the sandbox imports torch while this process does.

Nothing here needs torch, the exercises or nbgrader. What does is imported when the sandbox is on its way.
"""

from __future__ import annotations

import argparse
import os
import sys

from autograder.bubblewrap import has_bubblewrap
from autograder.sandbox import Confined
from llmlib.interrupts import stop_after_the_step

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def grade_class(options: argparse.Namespace) -> int:
    if "torch" not in sys.modules:  # there are graders side by side instead, and threads cannot be forked
        os.environ |= dict.fromkeys(ONE_THREAD, "1")
    if "jsonschema" not in sys.modules:
        # Its test of a kind of address that no notebook has compiles forty grammars: another second.
        sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    worker = None
    if options.cluster is None and options.device == "cpu":
        worker = Confined(bubblewrap=has_bubblewrap(), device=options.device)
    try:
        with stop_after_the_step() as stop:
            from autograder.classroom import grading
        if stop.is_set():
            raise KeyboardInterrupt
        return grading.grade_class(options, worker)
    finally:
        if worker is not None:
            worker.end()
