"""Read a chapter's manuscript: MyST Markdown in which an exercise is one line.

    +++ {"exercise": "attention.softmax"}

What follows, up to the next `+++` or code cell, is its statement. Points, minutes and title come from the
catalogue. An exercise that is no function of `llmlib` brings its answer in the very next cell: code between
`### BEGIN SOLUTION` and `### END SOLUTION`. An answer in words, which a person grades, lives in the
manuscript alone, with its points, and its model answer is the very next cell, `+++ {"answer": true}`.

Everything that is wrong with a manuscript is reported at once, each with its line.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autograder import slicing
from autograder.exercise import Chapter, Exercise
from autograder.myst import MARKDOWN_KEYS, Cell, read_cells

BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"  # nbgrader's markers
LONGEST_ID = 48  # nbformat allows 64 characters, and ours get endings ("-check")


class ManuscriptError(ValueError):
    """The manuscript cannot become a notebook. One line a problem: file, line, what is wrong, what to do."""

    def __init__(self, path: str, problems: Iterable[tuple[int, str]]):
        self.problems = sorted(problems)
        super().__init__("\n".join(f"{path}:{line}: {text}" for line, text in self.problems))


@dataclass(frozen=True)
class Placed:
    """An exercise where the manuscript places it. `exercise` is None for an answer in words."""

    name: str
    number: str
    title: str
    kind: str
    points: int
    minutes: int
    difficulty: int
    statement: Cell
    answer: Cell | None = None
    exercise: Exercise | None = None

    @property
    def grade_id(self) -> str:
        return self.name.replace(".", "-").replace("_", "-")

    @property
    def answer_name(self) -> str:
        return self.exercise.answer_name if self.exercise else ""


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


def region(source: str) -> tuple[int, int] | None:
    """The line indices of the solution's two markers, None if there are none.

    Raises:
        ValueError: a marker without the other, in the wrong order, or twice.
    """
    begins = [i for i, line in enumerate(source.split("\n")) if BEGIN in line]
    ends = [i for i, line in enumerate(source.split("\n")) if END in line]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ValueError(f"one `### {BEGIN}` and after it one `### {END}` are expected")
    return begins[0], ends[0]


class _Reader:
    """Goes through the cells once and keeps a list of everything that is wrong."""

    def __init__(self, path: str, chapter: Chapter, catalogue: tuple[Chapter, ...]):
        self.path, self.chapter = path, chapter
        self.known = {e.name: e for c in catalogue for e in c.exercises}
        self.problems: list[tuple[int, str]] = []
        self.placed: list[Placed] = []

    def read(self, text: str) -> Manuscript:
        cells, self.problems = read_cells(text)
        if self.problems:  # a broken line shifts everything after it: what follows would be noise
            raise ManuscriptError(self.path, self.problems)
        self._check_title(cells)
        parts: list[Cell | Placed] = []
        queue = iter(enumerate(cells))
        for place, cell in queue:
            if "exercise" not in cell.metadata:
                self._check_ordinary(cell)
                parts.append(cell)
                continue
            following = cells[place + 1] if place + 1 < len(cells) else None
            placed, takes_next = self._exercise(cell, following)
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

    # What every manuscript has.

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
        self._check_metadata(cell)

    def _check_metadata(self, cell: Cell) -> None:
        if "nbgrader" in cell.metadata:
            self._report(cell.line, "nbgrader's metadata is made by `make notebooks`: take it out here")

    def _check_complete(self, cells: list[Cell]) -> None:
        here = {placed.name: placed.statement.line for placed in self.placed}
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

    # Exercises.

    def _exercise(self, cell: Cell, following: Cell | None) -> tuple[Placed | None, bool]:
        """The exercise, None if it cannot be placed; and whether the following cell is its answer."""
        name = cell.metadata["exercise"]
        self._check_metadata(cell)
        if "answer" in cell.metadata:
            self._report(cell.line, "a statement is no answer: put the answer into a cell of its own")
        if BEGIN in cell.source or END in cell.source:
            self._report(cell.line, "the solution stands in the statement: put it into a cell of its own")
        if cell.metadata.get("kind") == "words":
            placed, answer_expected = self._words(cell, name), "words"
        else:
            placed = self._catalogued(cell, name)
            answer_expected = "" if placed is None or placed.kind == "code" else "code"
        if placed is not None:
            self._check_place(placed)
            self.placed.append(placed)
        if answer_expected == "words":
            takes_next = following is not None and "answer" in following.metadata
            problem = self._words_problem(following)
        elif answer_expected == "code":
            takes_next = following is not None and following.kind == "code"
            problem = self._code_problem(placed, following)
        else:
            # Of an exercise that is not known, a solution that follows is passed over: one problem is enough.
            takes_next = placed is None and following is not None and BEGIN in following.source
            problem = None
        if problem:
            self._report(following.line if takes_next and following else cell.line, problem)
        if placed is not None and takes_next:
            placed = replace(placed, answer=following)
        return placed, takes_next

    def _catalogued(self, cell: Cell, name: Any) -> Placed | None:
        exercise = self.known.get(name)
        if exercise is None:
            near = difflib.get_close_matches(str(name), self.known, n=2, cutoff=0.5)
            offer = f"did you mean {' or '.join(near)}?" if near else "write it in autograder/exercises first"
            self._report(cell.line, f"unknown exercise {name!r}: {offer}")
            return None
        if extra := sorted(set(cell.metadata) - {"exercise", "tags", "answer"}):
            self._report(
                cell.line,
                f"{extra[0]!r} of {exercise.number} stands in the catalogue: take it out here",
            )
        if exercise.kind == "code":
            try:
                slicing.definition(*slicing.library_source(name))
            except (slicing.SlicingError, SyntaxError) as error:
                self._report(cell.line, f"exercise {exercise.number} has no solution in llmlib: {error}")
        e = exercise
        return Placed(
            e.name, e.number, e.title, e.kind, e.points, e.minutes, e.difficulty, statement=cell, exercise=e
        )

    def _words(self, cell: Cell, name: Any) -> Placed | None:
        known = self.known.get(name)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z_]+(\.[A-Za-z0-9_-]+)+", name):
            self._report(cell.line, f"{name!r} is no exercise's name: write it like attention.why-divide")
            return None
        if known is not None:
            self._report(cell.line, f"exercise {known.number} has this name already: choose another")
            return None
        complete = True
        kinds = {"points": int, "minutes": int, "difficulty": int, "title": str}
        for key, kind in kinds.items():
            value = cell.metadata.get(key)
            right = isinstance(value, kind) and not isinstance(value, bool) and bool(value)
            if isinstance(value, int):
                right = right and 0 < value <= (3 if key == "difficulty" else 1000)
            if not right:
                example = {"points": 3, "minutes": 8, "difficulty": 2, "title": "Explain the division"}[key]
                what = "has no" if key not in cell.metadata else f"has {value!r} for its"
                self._report(
                    cell.line,
                    f"the exercise in words {name} {what} {key}: write for example "
                    f'"{key}": {json.dumps(example)}',
                )
                complete = False
        if not complete:
            return None
        number = cell.metadata.get("number") or self._next_number()
        m = cell.metadata
        return Placed(
            name, number, m["title"], "words", m["points"], m["minutes"], m["difficulty"], statement=cell
        )

    def _next_number(self) -> str:
        last = max((_place(p.number) for p in self.placed), default=0)
        return f"{self.chapter.number}.{last + 1}"

    def _check_place(self, placed: Placed) -> None:
        line = placed.statement.line
        for other in self.placed:
            if other.name == placed.name or other.grade_id == placed.grade_id:
                self._report(
                    line,
                    f"duplicate id {placed.grade_id}: exercise {other.name} stands in line "
                    f"{other.statement.line} already; take one of the two out",
                )
                return
        if len(placed.grade_id) > LONGEST_ID:
            self._report(line, f"the id {placed.grade_id} is longer than {LONGEST_ID}: shorten the name")
        if not re.fullmatch(rf"{self.chapter.number}\.[1-9]\d*", placed.number):
            self._report(
                line,
                f"exercise {placed.number} ({placed.name}) is not one of chapter {self.chapter.number}: "
                "move it to its own chapter",
            )
            return
        if placed.exercise is None:
            taken = next((e for e in self.chapter.exercises if e.number == placed.number), None)
            if taken is not None:
                self._report(
                    line,
                    f"this answer in words would be {placed.number}, which is {taken.name} in the catalogue: "
                    "leave a number free there, or move this exercise to the end",
                )
        if self.placed and _place(self.placed[-1].number) >= _place(placed.number):
            self._report(
                line,
                f"exercise {placed.number} comes after {self.placed[-1].number}: put them in the order of "
                "their numbers, here or in the catalogue",
            )

    def _words_problem(self, following: Cell | None) -> str | None:
        if following is None or following.metadata.get("answer") is not True or following.kind != "markdown":
            return (
                "the answer cell is missing: the very next cell must be the model answer, "
                'under +++ {"answer": true}'
            )
        return None

    def _code_problem(self, placed: Placed | None, following: Cell | None) -> str | None:
        assert placed is not None
        if following is None or following.kind != "code":
            return (
                f"the answer cell of exercise {placed.number} is missing: the very next cell must be a "
                f"{{code-cell}} with the answer between `### {BEGIN}` and `### {END}`"
            )
        self._check_metadata(following)
        try:
            lines = region(following.source)
        except ValueError as error:
            return f"the solution's markers do not fit: {error}"
        if lines is None:
            return (
                f"the answer of exercise {placed.number} has no markers: put `### {BEGIN}` before it and "
                f"`### {END}` after it, or the learner would get the answer"
            )
        try:
            tree = ast.parse(following.source)
        except SyntaxError as error:
            return f"the answer of {placed.number} is not Python: {error.msg} in its line {error.lineno}"
        if placed.answer_name not in _defined(tree):
            return f"the answer of exercise {placed.number} does not define `{placed.answer_name}`"
        return None


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, slicing.Definition):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _place(number: str) -> int:
    return int(number.rpartition(".")[2])
