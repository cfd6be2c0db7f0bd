"""Variants in a class: which one it has, how its notebook says so, and how a chapter is rewritten for it.

A variant itself stands with its exercise (`autograder.exercise.Variant`). A class has one of each exercise
that has any, drawn from its secret, and keeps it in `grades/variants.json`: a variant that the course gets
later changes nothing in a class that has begun. The class's notebook says it in its check cells,

    causal_mask = check(causal_mask, "3.3", variant="strict")

and both the learner's own check and the grading go by that line, the grading by the instructor's copy of it.
The chapter goes on with the function of the book: its examples and later exercises mean that one.
"""

from __future__ import annotations

import hmac
import inspect
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autograder import exercises, slicing
from autograder.exercise import Chapter, Exercise
from autograder.files import write_atomically

RELEASE = "release"  # the folder of a class's own releases; without it, chapters/ is what was handed out
CHOSEN = Path("grades") / "variants.json"
PLAIN = "plain"  # an instructor's choice: no variant
CHECKED = re.compile(r"""\bcheck\(\s*\w+\s*,\s*["']([\d.]+)["']\s*,\s*variant\s*=\s*["']([\w-]+)["']""")

Chosen = Mapping[str, str]  # the variant's id, by the exercise's name


def draw(chosen_from: Iterable[Exercise], secret: str) -> dict[str, str]:
    """One variant of each exercise that has any. Nobody who does not know the secret can tell which."""
    drawn = {}
    for exercise in chosen_from:
        if exercise.variants:
            number = int.from_bytes(hmac.digest(secret.encode(), exercise.name.encode(), "sha256"), "big")
            drawn[exercise.name] = exercise.variants[number % len(exercise.variants)].id
    return drawn


def chosen(course: Path) -> dict[str, str]:
    """What the class of this course has; nothing if it has no variants.

    Raises:
        OSError, ValueError: as for `kept`.
    """
    return {name: variant for name, variant in kept(course).items() if variant != PLAIN}


def kept(course: Path) -> dict[str, str]:
    """What was chosen for the class, and what was chosen to stay plain.

    Raises:
        OSError, ValueError: the file is there and cannot be read.
    """
    path = course / CHOSEN
    if not path.exists():
        return {}
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError(
            f"{path} should give an exercise's variant by its name: take it away and release again"
        )
    return found


def keep(course: Path, now: Chosen) -> None:
    """
    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(dict(sorted(now.items())), indent=1)
    write_atomically(course / CHOSEN, f"{text}\n".encode())


def released(course: Path, slug: str) -> Path:
    """The notebook that the class was given: its own release if there is one, else the public chapter."""
    own = course / RELEASE / slug / f"{slug}.ipynb"
    return own if own.is_file() else course / "chapters" / slug / f"{slug}.ipynb"


def of(cells: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The variants that a notebook's cells say.

    Raises:
        UnknownExercise: there is no such exercise or variant.
    """
    said = (found for cell in cells for found in CHECKED.findall(cell["source"]))
    return {exercise.name: exercise.variant for exercise in (exercises.find(n, v) for n, v in said)}


def chapter_of(chapter: Chapter, cells: Iterable[Mapping[str, Any]]) -> Chapter:
    """The chapter as a notebook of these cells has it.

    Raises:
        UnknownExercise: as for `of`.
    """
    return chapter.varied(of(cells))


def check_cell(name: str, number: str, variant: str = "") -> str:
    """The text of a check cell."""
    said = f', variant="{variant}"' if variant else ""
    return f'{name} = check({name}, "{number}"{said})\nverdict()'


def without(source: str) -> str:
    """The text of a check cell as the public chapter has it."""
    return CHECKED.sub(lambda found: found.group().rpartition(",")[0], source)


def solution(exercise: Exercise) -> str:
    """The text of a varied exercise's reference, under the name that the learner's cell defines."""
    reference = exercise.reference
    assert reference is not None
    text = slicing.definition(inspect.getsource(sys.modules[reference.__module__]), reference.__name__)
    return text.replace(f"def {reference.__name__}(", f"def {exercise.answer_name}(", 1)


def rewrite(notebook: Any, variants: Chosen) -> None:
    """Put the variants into a solved chapter: statement, solution and check of each. Other cells stay."""
    if not variants:
        return
    varied = {e.grade_id: e for e in (exercises.find(n, v) for n, v in variants.items())}
    for cell in notebook["cells"]:
        about = cell["metadata"].get("nbgrader") or {}
        name = about.get("grade_id") or cell.get("id", "")
        exercise = varied.get(name.removesuffix("-statement").removesuffix("-check"))
        if exercise is None:
            continue
        if name.endswith("-statement"):
            cell["source"] = _statement(exercise, cell["source"])
            continue
        check = name.endswith("-check")
        cell["source"] = (
            check_cell(exercise.answer_name, exercise.number, exercise.variant)
            if check
            else solution(exercise)
        )
        cell["outputs"], cell["execution_count"] = [], None


def _statement(exercise: Exercise, plain: str) -> str:
    heading, points = plain.split("\n\n", 2)[:2]
    twist = exercise.twist
    assert twist is not None
    goes_on = (
        f"After its check the chapter goes on with the book's own `{exercise.answer_name}`, without this "
        "variant: its examples mean that one. "
        f'`hint("{exercise.number}", variant="{twist.id}")` gives a hint.'
    )
    return "\n\n".join(
        [
            heading,
            points,
            f"**Your class has a variant of this exercise.** {twist.twist}",
            twist.statement,
            goes_on,
        ]
    )
