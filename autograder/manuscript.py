"""Read a chapter's manuscript: MyST Markdown in which an exercise is one line.

    +++ {"exercise": "attention.softmax"}

What follows, up to the next `+++` or code cell, is its statement. Points, minutes and title come from the
catalogue. An exercise that is no function of `llmlib` brings its answer in the very next cell: code between
`### BEGIN SOLUTION` and `### END SOLUTION`. An answer in words, which a person grades, lives in the
manuscript alone, with its points, and its model answer is the very next cell, `+++ {"answer": true}`.

Everything that is wrong with a manuscript is reported at once, each with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autograder.exercise import Chapter
from autograder.markers import BEGIN, END
from autograder.myst import MARKDOWN_KEYS, Cell, read_cells
from autograder.placing import Placed, Placing


class ManuscriptError(ValueError):
    """The manuscript cannot become a notebook. One line a problem: file, line, what is wrong, what to do."""

    def __init__(self, path: str, problems: Iterable[tuple[int, str]]):
        self.problems = sorted(problems)
        super().__init__("\n".join(f"{path}:{line}: {text}" for line, text in self.problems))


@dataclass(frozen=True)
class Manuscript:
    """A chapter ready to be made: `path` as messages show it, and its cells and exercises in order."""

    path: str
    chapter: Chapter
    parts: tuple[Cell | Placed, ...]

    def placed(self) -> tuple[Placed, ...]:
        return tuple(part for part in self.parts if isinstance(part, Placed))


def read(file: Path, catalogue: tuple[Chapter, ...], shown: str = "") -> Manuscript:
    """The manuscript in `file`, whose name is the slug of its chapter. Messages call it `shown`.

    Raises:
        ManuscriptError: with all that is wrong with it.
    """
    shown = shown or file.name
    chapter = next((c for c in catalogue if c.slug == file.stem), None)
    if chapter is None:
        slugs = ", ".join(c.slug for c in catalogue) or "none"
        raise ManuscriptError(
            shown, [(1, f"no chapter has the slug {file.stem!r}: name the file after one of {slugs}")]
        )
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ManuscriptError(shown, [(1, "this is not text in UTF-8: save it again as UTF-8")]) from None
    except FileNotFoundError:
        raise ManuscriptError(
            shown, [(1, f"chapter {chapter.number} has no manuscript: write this file")]
        ) from None
    return _Reader(shown, chapter, catalogue).read(text)


class _Reader:
    """Goes through the cells once and keeps a list of everything that is wrong."""

    def __init__(self, path: str, chapter: Chapter, catalogue: tuple[Chapter, ...]):
        self.path, self.chapter = path, chapter
        self.problems: list[tuple[int, str]] = []
        self.placing = Placing(chapter, catalogue, self._report)

    def read(self, text: str) -> Manuscript:
        cells, self.problems = read_cells(text)
        if self.problems:  # a broken line shifts everything after it: what follows would be noise
            raise ManuscriptError(self.path, self.problems)
        self._check_title(cells)
        self._check_metadata(cells)
        parts: list[Cell | Placed] = []
        queue = iter(enumerate(cells))
        for place, cell in queue:
            if "exercise" not in cell.metadata:
                self._check_ordinary(cell)
                parts.append(cell)
                continue
            following = cells[place + 1] if place + 1 < len(cells) else None
            placed, takes_next = self.placing.place(cell, following)
            if takes_next:
                next(queue)
            if placed is not None:
                parts.append(placed)
        self._check_complete(cells)
        if self.problems:
            raise ManuscriptError(self.path, self.problems)
        return Manuscript(self.path, self.chapter, tuple(parts))

    def _report(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def _check_title(self, cells: list[Cell]) -> None:
        first = cells[0] if cells else Cell("markdown", "", 1, {})
        found = re.match(r"# (.+)", first.source)
        if first.kind != "markdown" or not found:
            self._report(first.line, f"the first cell must begin with the title: # {self.chapter.title}")
        elif found.group(1).strip() != self.chapter.title:
            self._report(
                first.line,
                f"the title is {found.group(1).strip()!r} here and {self.chapter.title!r} in the catalogue: "
                "make them the same",
            )

    def _check_ordinary(self, cell: Cell) -> None:
        if BEGIN in cell.source or END in cell.source:
            self._report(
                cell.line, "a solution outside an exercise would reach the learner: name its exercise first"
            )
        if "answer" in cell.metadata:
            self._report(
                cell.line,
                "this answer belongs to no exercise in words: it must come directly after the statement",
            )
        if stray := sorted(set(cell.metadata) & (MARKDOWN_KEYS - {"answer", "tags"})):
            self._report(cell.line, f"{stray[0]!r} without 'exercise': name the exercise in the same line")

    def _check_metadata(self, cells: list[Cell]) -> None:
        for cell in cells:
            if "nbgrader" in cell.metadata:
                self._report(cell.line, "nbgrader's metadata is made by `make notebooks`: take it out here")

    def _check_complete(self, cells: list[Cell]) -> None:
        here = {placed.name: placed.statement.line for placed in self.placing.placed}
        line = cells[0].line if cells else 1
        for exercise in self.chapter.exercises:
            if exercise.name in here:
                line = here[exercise.name]
            elif not any(c.metadata.get("exercise") == exercise.name for c in cells):
                self._report(
                    line,
                    f"exercise {exercise.number} is missing: after this line, add "
                    f'+++ {{"exercise": "{exercise.name}"}} and its statement',
                )
