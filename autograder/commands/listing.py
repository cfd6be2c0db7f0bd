"""`autograder exercises`: the list of all exercises, and the proof that each keeps its promises."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from autograder import exercises as catalogue
from autograder.exercise import Exercise
from autograder.proving import prove
from autograder.table import print_table
from autograder.usage import UsageError


def exercises(options: argparse.Namespace) -> int:
    chosen = catalogue.all_exercises()
    if options.chapter:
        try:
            chosen = tuple(e for number in options.chapter for e in catalogue.find_chapter(number).exercises)
        except catalogue.UnknownExercise as unknown:
            raise UsageError(str(unknown)) from None
    if options.report or options.mutants:
        with_variants = tuple(v for e in chosen for v in (e, *(e.varied(w.id) for w in e.variants)))
        return _report(with_variants, options.mutants, options.json)
    rows = [_row(e) for e in chosen]
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    print_table(
        "The exercises of the course",
        ("number", "exercise", "kind", "points", "minutes", "mistakes known", "right forms"),
        [
            (
                r["number"],
                r["id"],
                r["kind"],
                r["points"],
                r["minutes"],
                len(r["misconceptions"]),
                len(r["alternatives"]),
            )
            for r in rows
        ],
    )
    return 0


def _report(chosen: Sequence[Exercise], mutants: bool, as_json: bool) -> int:
    """Grade every known answer to every exercise; exit code 1 where an exercise breaks its promise."""
    proofs = []
    with tqdm(chosen, desc="exercises", disable=not sys.stderr.isatty()) as bar:
        for exercise in bar:
            bar.set_postfix_str(exercise.number)
            proofs.append(prove(exercise, mutants=mutants))
    if as_json:
        print(json.dumps([proof.as_json() for proof in proofs], ensure_ascii=False))
        return int(any(proof.broken for proof in proofs))
    heads = ("number", "exercise", "points", "minutes", "caught", "named", "right forms passed", "blank")
    rows = [
        (
            p.exercise.number,
            p.exercise.name + (f" ({p.exercise.variant})" if p.exercise.variant else ""),
            p.exercise.points,
            p.exercise.minutes,
            _of(p.caught, len(p.exercise.misconceptions)),
            _of(p.named, len(p.exercise.misconceptions)),
            _of(p.passed, len(p.exercise.alternatives)),
            p.blank_points,
            *((_of(p.killed, p.mutants),) if mutants else ()),
        )
        for p in proofs
    ]
    print_table("What each exercise proves", (*heads, "mutants failed") if mutants else heads, rows)
    for proof in proofs:
        for line in proof.broken:
            print(f"{proof.exercise.number}: {line}")
    if mutants:
        made, killed = sum(p.mutants for p in proofs), sum(p.killed for p in proofs)
        print(f"\n{killed} of {made} mutants failed ({100 * killed / max(made, 1):.1f} %).")
        for proof in proofs:
            for name in proof.survivors:
                reason = proof.exercise.equivalents.get(name, "NOT EXPLAINED")
                print(f"  {proof.exercise.number}  {name}\n       lives: {reason}")
    return int(any(proof.broken for proof in proofs))


def _of(count: int, most: int) -> str:
    return f"{count}/{most}"


def _row(exercise: Exercise) -> dict[str, Any]:
    return {
        "id": exercise.name,
        "number": exercise.number,
        "chapter": exercise.chapter,
        "title": exercise.title,
        "kind": exercise.kind,
        "points": exercise.points,
        "minutes": exercise.minutes,
        "difficulty": exercise.difficulty,
        "misconceptions": [m.id for m in exercise.misconceptions],
        "alternatives": [a.title for a in exercise.alternatives],
        "variants": [v.id for v in exercise.variants],
    }
