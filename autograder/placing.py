"""Place a chapter's exercises where its manuscript names them, each with its answer's cell, if it brings one.

An exercise is one of the catalogue's, or in words, and then the manuscript alone knows it. It stands in the
chapter whose number it has, in the order of the numbers, and once.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from autograder import slicing
from autograder.exercise import Chapter, Exercise
from autograder.markers import BEGIN, END, trouble
from autograder.myst import Cell

LONGEST_ID = 48  # nbformat allows 64 characters, and ours get endings ("-check")


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


class Placing:
    """Takes the exercises in the manuscript's order. `report`: told each problem, with its line."""

    def __init__(self, chapter: Chapter, catalogue: tuple[Chapter, ...], report: Callable[[int, str], None]):
        self.chapter = chapter
        self.known = {e.name: e for c in catalogue for e in c.exercises}
        self.placed: list[Placed] = []
        self._report = report

    def place(self, cell: Cell, following: Cell | None) -> tuple[Placed | None, bool]:
        """The exercise, None if it cannot be placed; and whether the following cell is its answer."""
        name = cell.metadata["exercise"]
        if "answer" in cell.metadata:
            self._report(cell.line, "a statement is no answer: put the answer into a cell of its own")
        if BEGIN in cell.source or END in cell.source:
            self._report(cell.line, "the solution stands in the statement: put it into a cell of its own")
        in_words = cell.metadata.get("kind") == "words"
        placed = self._words(cell, name) if in_words else self._catalogued(cell, name)
        if placed is not None:
            self._check_place(placed)
            self.placed.append(placed)
        if in_words:
            takes_next = following is not None and "answer" in following.metadata
            problem = _words_problem(following)
        elif placed is not None and placed.kind != "code":
            takes_next = following is not None and following.kind == "code"
            problem = _code_problem(placed, following)
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


def _words_problem(following: Cell | None) -> str | None:
    if following is None or following.metadata.get("answer") is not True or following.kind != "markdown":
        return (
            "the answer cell is missing: the very next cell must be the model answer, "
            'under +++ {"answer": true}'
        )
    return None


def _code_problem(placed: Placed, following: Cell | None) -> str | None:
    if following is None or following.kind != "code":
        return (
            f"the answer cell of exercise {placed.number} is missing: the very next cell must be a "
            f"{{code-cell}} with the answer between `### {BEGIN}` and `### {END}`"
        )
    return trouble(following.source, placed.number, placed.answer_name)


def _place(number: str) -> int:
    return int(number.rpartition(".")[2])
