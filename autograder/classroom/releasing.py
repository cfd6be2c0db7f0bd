"""`autograder release` and `autograder variants`: a class's own release of a chapter, with its variants.

A class's release lies in `release/`, where nbgrader looks as soon as it is there (`nbgrader_config.py`). It
is made by the same steps as `chapters/`, from the same solution, and `nbgrader generate_assignment` makes it
again. `chapters/` and `solutions/` stay the public ones.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import nbformat

from autograder import variants
from autograder.classroom.chapters import find_chapter
from autograder.classroom.journal import Journal
from autograder.exercise import Chapter
from autograder.files import write_atomically
from autograder.stubs import release as as_released
from autograder.table import print_table
from autograder.usage import UsageError


def release(options: argparse.Namespace) -> int:
    chapter, course = find_chapter(options.chapter), options.course.absolute()
    slug = chapter.slug
    source = course / "solutions" / slug / f"{slug}.ipynb"
    target = course / variants.RELEASE / slug / f"{slug}.ipynb"
    solved_copy = course / "grades" / f"{slug}-solution.ipynb"
    try:
        solved = nbformat.read(source, as_version=4)
    except FileNotFoundError:
        raise UsageError(
            f"{source} is not there: run this in the course's folder, or name it with --course"
        ) from None
    except Exception as error:
        raise UsageError(f"{source} is no notebook that can be read: {str(error)[:200]}") from None
    kept = _kept(course)
    journal = Journal(course / "grades", slug)
    choice = _choose(chapter, kept, options, journal)
    own = {name: variant for name, variant in choice.items() if variant != variants.PLAIN}
    varied = copy.deepcopy(solved)
    variants.rewrite(varied, own)
    made, before = as_released(solved, own), variants.released(course, slug)
    changed = not before.is_file() or before.read_bytes() != made
    others = {name: v for name, v in kept.items() if name not in {e.name for e in chapter.exercises}}
    # The choice first: with it, the same command or nbgrader's makes the rest again.
    variants.keep(course, {**others, **choice})
    write_atomically(target, made)
    write_atomically(solved_copy, (nbformat.writes(varied).rstrip("\n") + "\n").encode())
    for exercise in chapter.varied(own).exercises:
        if exercise.twist is not None:
            print(f"{exercise.number} {exercise.title}: {exercise.variant}. {exercise.twist.twist}")
    if not own:
        print("Without variants: this is the public chapter.")
    print(f"For the class: {target}\nFor you, solved: {solved_copy}")
    graded = sum(1 for _ in journal)
    if changed and graded:
        print(f"! {graded} submissions were graded with another release: autograder grade grades them again.")
    return 0


def _choose(
    chapter: Chapter, kept: variants.Chosen, options: argparse.Namespace, journal: Journal
) -> dict[str, str]:
    """Drawn, unless the class has one already or the instructor says which."""
    own: dict[str, str] = {}
    if options.variants:
        own = variants.draw(chapter.exercises, options.seed or journal.secret())
        if options.seed is None:
            own |= {name: v for name, v in kept.items() if name in own}
    for text in options.choose:
        key, _, variant = text.partition("=")
        exercise = next((e for e in chapter.exercises if key in (e.number, e.name)), None)
        if exercise is None or not variant:
            raise UsageError(
                f"--choose {text}: write an exercise of {chapter.slug} and its variant, as in 3.3=window"
            )
        own[exercise.name] = variant
    try:
        chapter.varied({name: variant for name, variant in own.items() if variant != variants.PLAIN})
    except LookupError as unknown:
        raise UsageError(str(unknown)) from None
    return own


def list_variants(options: argparse.Namespace) -> int:
    chapter, course = find_chapter(options.chapter), options.course.absolute()
    own = _kept(course)
    rows = [
        {
            "exercise": exercise.name,
            "number": exercise.number,
            "variant": variant.id,
            "twist": variant.twist,
            "yours": own.get(exercise.name) == variant.id,
        }
        for exercise in chapter.exercises
        for variant in exercise.variants
    ]
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    if not rows:
        print(f"No exercise of {chapter.slug} has a variant.")
        return 0
    header = ("number", "exercise", "variant", "your class", "what is asked for")
    shown = [(r["number"], r["exercise"], r["variant"], "✓" if r["yours"] else "", r["twist"]) for r in rows]
    print_table(f"The variants of {chapter.slug}", header, shown)
    return 0


def _kept(course: Path) -> dict[str, str]:
    try:
        return variants.kept(course)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
