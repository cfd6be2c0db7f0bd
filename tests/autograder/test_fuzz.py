"""Damaged answers and notebooks: a verdict or a message for each, no traceback, the next one unharmed."""

from __future__ import annotations

import inspect
import json
import random

import nbformat
import pytest

from autograder import cli
from autograder.child import AnswerProcess
from autograder.exercises import all_exercises, find

RIGHT = """
def causal_mask(length):
    positions = torch.arange(length)
    return positions[None, :] <= positions[:, None]
"""
TOKENS = ["length", "+", "-", "~", "None", "0", "[", "]", "(", ")", ":", "\n", "    ", "return ", "\x00", "é"]


def damage(text: str, generator: random.Random) -> str:
    """Cut, insert, double or swap a few characters or tokens."""
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(text) + 1)
        kind = generator.randrange(4)
        if kind == 0:
            text = text[:place] + text[place + generator.randint(1, 6) :]
        elif kind == 1:
            text = text[:place] + generator.choice(TOKENS) + text[place:]
        elif kind == 2:
            text = text[:place] + text[max(0, place - 8) : place] + text[place:]
        else:
            text = text[:place] + chr(generator.randrange(32, 127)) + text[place + 1 :]
    return text


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_damaged_answers_get_a_verdict_each(seed):
    generator = random.Random(seed)
    exercise = find("3.3")
    seen = set()
    with AnswerProcess() as process:
        for _ in range(60):
            source = damage(RIGHT, generator)
            report = process.grade(exercise, source, timeout=3)
            assert report.status in ("passed", "failed", "not_attempted"), f"{report.reason}\n{source}"
            assert report.status == "passed" or report.reason, source
            seen.add(report.status)
        assert process.grade(exercise, RIGHT).status == "passed"
    assert "failed" in seen


@pytest.mark.long
def test_damaged_notebooks_get_verdicts_or_one_message(tmp_path, capfd):
    cells = []
    for exercise in all_exercises():
        about = {"grade": False, "grade_id": exercise.grade_id, "locked": False, "schema_version": 3}
        source = inspect.getsource(exercise.reference) if exercise.reference else "x = 1"
        cells.append(
            nbformat.v4.new_code_cell(
                source, metadata={"nbgrader": {**about, "solution": True, "task": False}}
            )
        )
    whole = json.dumps(nbformat.v4.new_notebook(cells=cells))
    generator, path = random.Random(0), tmp_path / "n.ipynb"
    codes = []
    for _ in range(15):
        path.write_text(damage(whole, generator), errors="surrogateescape")
        codes.append(cli.main(["check", str(path), "--json", "--timeout", "3"]))
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert json.loads(printed.out)
        assert codes[-1] in (0, 2)
    assert 0 in codes and 2 in codes
