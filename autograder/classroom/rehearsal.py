"""A class that never was: right, wrong, blank and hostile submissions, to try this machine."""

from __future__ import annotations

import builtins
import copy
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from autograder.exercise import Chapter, Exercise
from autograder.merging import Cell, grade_id, is_answer

HOSTILE = {
    "ends the process": "import os\nos._exit(0)",
    "never ends": "while True: pass",
    "takes the memory": "import torch\nx = torch.ones(1 << 31)",
    "reads the disk": "import glob\nassert glob.glob('/**/*.ipynb'), 'nothing to read'\nraise SystemExit",
    "calls out": "import socket\nsocket.create_connection(('192.0.2.1', 80), 1)",
    "fills the table of processes": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "patches comparisons": "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True",
}


@dataclass(frozen=True)
class Player:
    """A submission that was made up. points: what it must earn. mistake: what must be named, and where."""

    name: str
    kind: str
    cells: list[Cell]
    points: int
    exercise: str = ""
    mistake: str = ""


def players(chapter: Chapter, release: list[Cell], solved: list[Cell]) -> Iterator[Player]:
    """The class, of which everything is known beforehand."""
    right = {grade_id(c): c["source"] for c in solved if is_answer(c) and c["cell_type"] == "code"}
    full = sum(exercise.points for exercise in chapter.exercises)
    yield Player("right", "right", _with(release, right), full)
    yield Player("blank", "blank", copy.deepcopy(release), 0)
    for exercise in chapter.exercises:
        for place, alternative in enumerate(exercise.alternatives):
            if (source := _text(chapter, exercise, alternative.answer)) is not None:
                answers = {**right, exercise.grade_id: source}
                yield Player(f"right-{exercise.number}-{place}", "right", _with(release, answers), full)
        for wrong in exercise.misconceptions:
            if (source := _text(chapter, exercise, wrong.answer)) is not None:
                cells = _with(release, {exercise.grade_id: source})
                name = f"wrong-{exercise.number}-{wrong.id}"
                yield Player(name, "mistaken", cells, -1, exercise.name, wrong.id)
    first = next(e for e in chapter.exercises if not e.takes_value)
    for place, (name, source) in enumerate(HOSTILE.items()):
        yield Player(f"hostile-{place} {name}", "hostile", _with(release, {first.grade_id: source}), 0)


def _with(release: list[Cell], answers: dict[Any, str]) -> list[Cell]:
    cells = copy.deepcopy(release)
    for cell in cells:
        if is_answer(cell) and grade_id(cell) in answers:
            cell["source"] = answers[grade_id(cell)]
    return cells


def _text(chapter: Chapter, exercise: Exercise, function: Callable[..., Any]) -> str | None:
    """The function as a learner would have typed it; None for one that leans on the rest of its module."""
    if exercise.takes_value or not inspect.isfunction(function) or function.__name__ == "<lambda>":
        return None
    code = function.__code__
    namespace: dict[str, Any] = {}
    exec(chapter.imports, namespace)
    globals_used = [name for name in _names(code) if name in function.__globals__]
    if code.co_freevars or any(n not in namespace and not hasattr(builtins, n) for n in globals_used):
        return None
    text = textwrap.dedent(inspect.getsource(function))
    if not text.startswith(f"def {function.__name__}("):
        return None
    return text.replace(f"def {function.__name__}(", f"def {exercise.answer_name}(", 1)


def _names(code: CodeType) -> Iterator[str]:
    """The names that a function looks up, those of its comprehensions and inner functions too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def write(player: Player, folder: Path, notebook: dict[str, Any]) -> Path:
    path = folder / f"{player.name}.ipynb"
    path.write_text(json.dumps({**notebook, "cells": player.cells}), encoding="utf-8")
    return path
