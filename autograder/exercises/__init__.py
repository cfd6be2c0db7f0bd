"""The catalogue of exercises: find one by its number ("3.3") or its dotted name ("attention.causal_mask")."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from autograder.exercise import Chapter, Exercise


class UnknownExercise(LookupError):
    """No exercise has this number or name; the message offers the nearest ones."""


@cache
def chapters() -> tuple[Chapter, ...]:
    """Every package here that has a `CHAPTER`, in the order of their numbers."""
    packages = (module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    # Imported here, not above: a bare `import autograder` stays light.
    found = (getattr(importlib.import_module(f"{__name__}.{name}"), "CHAPTER", None) for name in packages)
    return tuple(sorted((chapter for chapter in found if chapter), key=lambda chapter: chapter.number))


def all_exercises() -> tuple[Exercise, ...]:
    return tuple(exercise for chapter in chapters() for exercise in chapter.exercises)


def earlier(exercise: Exercise) -> tuple[Exercise, ...]:
    """The exercises before this one, whose references an answer may build on."""
    everything = all_exercises()
    return everything[: [e.name for e in everything].index(exercise.name)]


def find_chapter(number: int) -> Chapter:
    for chapter in chapters():
        if chapter.number == number:
            return chapter
    raise UnknownExercise(
        f"there is no chapter {number}: there are {', '.join(str(c.number) for c in chapters())}"
    )


def find(key: str, variant: str | None = None) -> Exercise:
    """The exercise with this number, dotted name, last part of the name, or grade id; as varied, if so."""
    exercise = _find(key)
    try:
        return exercise.varied(variant) if variant else exercise
    except LookupError as unknown:
        raise UnknownExercise(str(unknown)) from None


def _find(key: str) -> Exercise:
    key = str(key).strip()
    exercises = all_exercises()
    for exercise in exercises:
        if key in (exercise.number, exercise.name, exercise.grade_id):
            return exercise
    by_last_part = [e for e in exercises if key == e.answer_name]
    if len(by_last_part) == 1:
        return by_last_part[0]
    names = [n for e in exercises for n in (e.number, e.name, e.answer_name)]
    near = list(dict.fromkeys(difflib.get_close_matches(key, names, n=3, cutoff=0.5)))
    offer = f"did you mean {' or '.join(near)}?" if near else "`autograder exercises` lists them all."
    raise UnknownExercise(f"there is no exercise {key!r}: {offer}")
