"""The checks notice what a machine can get wrong: mutants of the course's own solutions."""

from __future__ import annotations

import ast
import random

import pytest

from autograder.exercise import Case, Check, Exercise
from autograder.exercises import all_exercises
from autograder.mutating import defined, mutants_of, survivors

MUTABLE = [exercise for exercise in all_exercises() if exercise.reference is not None]
SAMPLE = 3
LEAST_SHARE = 0.95


def steps(count: int, step: int = 1) -> list[int]:
    """A function of the tests' own."""
    if step < 1:
        raise ValueError("step must be at least 1")
    found: list[int] = []
    for place in range(0, count, step):
        if place % 2 == 0 and not (place == 4):  # noqa: SIM201
            found.append(place)
    return found


def counts(generator):
    for count in (6, 9):
        yield Case({"count": count, "step": 1})


@pytest.fixture
def exercise():
    check = Check("counts", 1, counts)
    return Exercise("data.steps", "7.1", "steps", 5, 1, (check,), ("Count.",), reference=steps)


def test_every_kind_of_change_is_made_once_and_guards_are_left_alone(exercise):
    names = [mutant.name for mutant in mutants_of(exercise)]
    assert len(set(names)) == len(names)
    assert not any("ValueError" in name or "step < 1" in name for name in names)
    for what in ("`%` becomes `//`", "`==` becomes `!=`", "swapped", "`not` taken away", "0 becomes 1"):
        assert any(what in name for name in names), what
    assert any("the condition is negated" in name for name in names)
    assert any(name.endswith("(2)") for name in names), "the same change twice in a line has two names"


def test_a_mutant_differs_from_the_text_in_one_place(exercise):
    import inspect

    original = ast.dump(ast.parse(inspect.getsource(steps)))
    assert all(ast.dump(ast.parse(mutant.source)) != original for mutant in mutants_of(exercise))
    # Making them left the tree as it was: the last one still has the first line's text.
    assert "range(0, count, step)" in mutants_of(exercise)[-1].source


def test_survivors_are_told_from_the_killed(exercise):
    alive = {mutant.name for mutant, survived in survivors(exercise, mutants_of(exercise)) if survived}
    assert alive == set()
    # A check with a single short case notices less.
    weak = Check("counts", 1, lambda g: iter([Case({"count": 3, "step": 1})]))
    weaker = Exercise("data.steps", "7.1", "steps", 5, 1, (weak,), ("Count.",), reference=steps)
    alive = {mutant.name for mutant, survived in survivors(weaker, mutants_of(weaker)) if survived}
    assert any("4 becomes 5" in name for name in alive)


def test_a_mutant_can_be_called(exercise):
    (negated,) = (m for m in mutants_of(exercise) if "`==` becomes `!=`" in m.name and "(2)" not in m.name)
    assert defined(exercise, negated)(6) == [1, 3, 5]


@pytest.mark.parametrize("exercise", MUTABLE, ids=lambda exercise: exercise.number)
def test_a_sample_of_mutants_fails(exercise):
    mutants = mutants_of(exercise)
    sample = random.Random(exercise.name).sample(mutants, min(SAMPLE, len(mutants)))
    alive = {mutant.name for mutant, survived in survivors(exercise, sample) if survived}
    assert alive <= set(exercise.equivalents)


@pytest.mark.long
@pytest.mark.parametrize("exercise", MUTABLE, ids=lambda exercise: exercise.number)
def test_every_mutant_fails_or_is_known_to_be_a_right_answer(exercise):
    alive = {mutant.name for mutant, survived in survivors(exercise, mutants_of(exercise)) if survived}
    assert alive == set(exercise.equivalents)
    assert all(len(reason) > 20 for reason in exercise.equivalents.values())


def test_most_mutants_can_be_failed_at_all():
    everything = [mutant for exercise in MUTABLE for mutant in mutants_of(exercise)]
    excused = sum(len(exercise.equivalents) for exercise in MUTABLE)
    assert len(everything) > 40 and excused <= (1 - LEAST_SHARE) * len(everything)
