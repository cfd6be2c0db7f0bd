"""Which chapter is meant, and what the class was given of it."""

from __future__ import annotations

from pathlib import Path

from autograder import exercises as catalogue
from autograder import variants
from autograder.classroom.grader import chapter_of, release_of
from autograder.exercise import Chapter
from autograder.usage import UsageError


def find_chapter(name: str) -> Chapter:
    chapter = chapter_of(name)
    if chapter is None:
        known = ", ".join(c.slug for c in catalogue.chapters())
        raise UsageError(f"there is no chapter {name!r}: there are {known}")
    return chapter


def release_path(course: Path, slug: str) -> Path:
    path = variants.released(course, slug)
    if not path.is_file():
        raise UsageError(f"{path} is not there: run this in the course's folder, or name it with --course")
    return path


def of_class(chapter: Chapter, release: Path) -> Chapter:
    """The chapter with the variants that the released notebook says."""
    try:
        return variants.chapter_of(chapter, release_of(release))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{release} is no notebook of the course: {error}") from None
    except catalogue.UnknownExercise as unknown:
        raise UsageError(f"{release} is not of this version of the course: {unknown}") from None
