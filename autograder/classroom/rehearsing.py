"""`autograder rehearse`: a made-up class is graded, to try this machine before a real one."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from autograder import variants
from autograder.child import AnswerProcess
from autograder.classroom import crew, rehearsal, submissions
from autograder.classroom.chapters import find_chapter, of_class, release_path
from autograder.classroom.grader import Verdict, release_of
from autograder.usage import UsageError


def rehearse(options: argparse.Namespace) -> int:
    """Exit code 1 if one submission earned what it should not, or less than it should."""
    chapter, course = find_chapter(options.chapter), options.course.absolute()
    release = release_path(course, chapter.slug)
    solution = course / "solutions" / chapter.slug / f"{chapter.slug}.ipynb"
    if not solution.is_file():
        raise UsageError(f"{solution} is not there: rehearse in the course's own folder")
    chapter, solved = of_class(chapter, release), release_of(solution)
    variants.rewrite({"cells": solved}, {e.name: e.variant for e in chapter.exercises if e.variant})
    cast = {p.name: p for p in rehearsal.players(chapter, release_of(release), solved)}
    notebook = json.loads(release.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder, AnswerProcess() as process:
        isolation = process.isolation
        due = [
            submissions.Submission(p.name, rehearsal.write(p, Path(folder), notebook)) for p in cast.values()
        ]
        plan = crew.Plan(
            chapter.slug, release.read_bytes(), seed=time.time_ns() % 2**31, timeout=options.timeout
        )
        began = time.perf_counter()
        bar = tqdm(total=len(due), desc="rehearsing", disable=not sys.stderr.isatty())
        verdicts = {}
        with bar, closing(crew.grade_all(plan, due, min(options.jobs, len(due)), process.shared)) as reached:
            for verdict in reached:
                verdicts[verdict.student] = verdict
                bar.update()
        seconds = time.perf_counter() - began
    wrong = []
    for kind in dict.fromkeys(p.kind for p in cast.values()):
        those = [p for p in cast.values() if p.kind == kind]
        bad = [p for p in those if not _as_expected(p, verdicts[p.name])]
        wrong += bad
        print(f"{kind:9} {len(those) - len(bad):4} of {len(those)} as they should be")
    for player in wrong:
        verdict = verdicts[player.name]
        why = "; ".join(verdict.notes[:2])
        print(f"! {player.name}: {verdict.points} of {verdict.max_points} points, {verdict.outcome} {why}")
    rate = 60 * len(due) / seconds
    print(f"{len(due)} submissions in {seconds:.0f} s, {rate:.0f} a minute; answers ran at {isolation}")
    return int(bool(wrong))


def _as_expected(player: rehearsal.Player, verdict: Verdict) -> bool:
    if player.mistake:
        found = next(r for r in verdict.exercises if r["exercise"] == player.exercise)
        named = (found["misconception"] or {}).get("id") == player.mistake
        return named and found["points"] < found["max_points"]
    return verdict.points == player.points and verdict.outcome != "grader_fault"
