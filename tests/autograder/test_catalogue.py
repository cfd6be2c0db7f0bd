"""Every exercise of every chapter keeps what an exercise promises.

Each misconception is a mutant that the checks must fail, under its own name; each alternative is a right
answer that they must pass; a blank answer is worth nothing; no hint gives the answer away.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import sys
import textwrap
from collections import Counter
from typing import get_args

import pytest
import torch
from on_cuda import wrong_verdicts

from autograder.exercise import Kind
from autograder.exercises import all_exercises, chapters
from autograder.grading import grade_callable
from autograder.panel import marked_up

EXERCISES = all_exercises()
FUNCTIONS = [e for e in EXERCISES if not e.takes_value]
VALUES = [e for e in EXERCISES if e.takes_value]
LARGEST_PROBE = 1000  # numbers in one tensor of a case: inputs should be small enough to read


def _number(thing):
    return getattr(thing, "number", None)


def _pairs(field):
    return [
        pytest.param(exercise, item, id=f"{exercise.number}-{getattr(item, 'id', item.title)}")
        for exercise in EXERCISES
        for item in getattr(exercise, field)
    ]


def _answer(exercise, item):
    """A misconception's or an alternative's answer: for a value exercise, the value it makes."""
    return item.answer() if exercise.takes_value else item.answer


def _twin(exercise):
    """The reference as a learner might have written it: the same text, run again."""
    reference = exercise.reference
    namespace = dict(vars(sys.modules[reference.__module__]))
    exec(compile(inspect.getsource(reference), "<answer>", "exec"), namespace)
    return namespace[reference.__name__]


def _written(exercise):
    """The functions that are the learner's to write."""
    return [getattr(exercise.reference, name) for name in exercise.methods] or [exercise.reference]


def _instead(exercise, function):
    """An answer that does what `function` does: the function, or the class with it as its methods."""
    if not exercise.methods:
        return function

    def method(self, *arguments, **named):
        return function(*arguments, **named)

    return type(exercise.answer_name, (exercise.reference,), dict.fromkeys(exercise.methods, method))


def _body_lines(function):
    """The statements of a function, one by one and without layout, its docstring left out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.unparse(node).splitlines()[0]
            # A right-hand side gives as much away as the whole line.
            yield from {text, text.partition(" = ")[2], text.removeprefix("return ")} - {""}


def _squeezed(text):
    return re.sub(r"[\s`]", "", text)


def _leaks(function, text, shortest=12):
    lines = (_squeezed(line) for line in _body_lines(function))
    return [line for line in lines if len(line) >= shortest and line in _squeezed(text)]


def _words_of(exercise):
    yield from exercise.hints
    for misconception in exercise.misconceptions:
        yield misconception.title
        yield misconception.advice


# --- The catalogue as a whole


def test_numbers_names_and_cell_ids_are_unique():
    for field in ("number", "name", "grade_id"):
        counts = Counter(getattr(exercise, field) for exercise in EXERCISES)
        assert [value for value, n in counts.items() if n > 1] == [], field


@pytest.mark.parametrize("chapter", chapters(), ids=_number)
def test_a_chapter_s_imports_run(chapter):
    namespace = {}
    exec(compile(chapter.imports, "<imports>", "exec"), namespace)
    for exercise in chapter.exercises:
        if exercise.starter:
            exec(compile(exercise.starter, "<starter>", "exec"), namespace)
            assert callable(namespace[exercise.answer_name]) or exercise.takes_value


@pytest.mark.parametrize("chapter", chapters(), ids=_number)
def test_a_chapter_has_mutants_to_kill_and_something_to_predict(chapter):
    kinds = Counter(exercise.kind for exercise in chapter.exercises)
    assert kinds["mutants"] and kinds["prediction"]
    assert 5 <= len(chapter.exercises) <= 9  # an answer in words may stand beside them


def test_the_course_has_every_kind_of_exercise():
    assert {exercise.kind for exercise in EXERCISES} == set(get_args(Kind))


@pytest.mark.parametrize("exercise", EXERCISES, ids=_number)
def test_an_exercise_is_complete(exercise):
    assert 1 <= exercise.difficulty <= 3 and 1 <= exercise.minutes <= 60
    assert 2 <= len(exercise.hints) <= 3
    if exercise.kind == "code":
        assert len(exercise.misconceptions) >= 6 and len(exercise.alternatives) >= 4
        assert len(exercise.checks) >= 2, "partial points need more than one check"
    if exercise.kind == "bug hunt":
        assert exercise.starter and len(exercise.misconceptions) >= 3 and exercise.alternatives
    for items in (exercise.misconceptions, exercise.alternatives, exercise.checks):
        counts = Counter(
            getattr(item, "id", None) or getattr(item, "name", None) or item.title for item in items
        )
        assert counts.total() == len(counts), f"not unique: {counts.most_common(1)}"
    assert all(check.points > 0 for check in exercise.checks)


@pytest.mark.parametrize("exercise", EXERCISES, ids=_number)
def test_words_read_as_they_are_shown(exercise):
    for misconception in exercise.misconceptions:
        # "It looks as if <title>."
        assert re.match(r"[a-z`]", misconception.title) and not misconception.title.endswith((".", "?"))
        assert misconception.advice.endswith((".", "?", ".)")) and misconception.advice[0].isascii()
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", misconception.id)
    assert all(hint.endswith((".", "?", ".)")) for hint in exercise.hints)
    for text in (*exercise.hints, *(t for m in exercise.misconceptions for t in (m.title, m.advice))):
        # No mark of emphasis is left for the learner to read.
        assert "*" not in re.sub(r"<code>.*?</code>", "", marked_up(text)), text
    # "✓ <name>", and in a sentence "counts once this passes: <name>".
    assert all(re.match(r"[a-z]", check.name) and not check.name.endswith(".") for check in exercise.checks)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_no_hint_gives_the_answer(exercise):
    for text in _words_of(exercise):
        for function in _written(exercise):
            assert _leaks(function, text) == []


def test_a_hint_that_gave_the_answer_would_be_seen():
    def reference(query, key):
        d_k = query.shape[-1]
        return query @ key.transpose(-2, -1) / d_k

    assert _leaks(reference, "Return `query @ key.transpose(-2,-1) / d_k`.")
    assert _leaks(reference, "First d_k=query.shape[-1], then …")
    assert not _leaks(reference, "Multiply query by key as matrices.")


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_forbidden_names_exist(exercise):
    for name in exercise.forbidden:
        if not name.startswith("aten::"):
            root, *parts = name.split(".")
            assert callable(functools.reduce(getattr, parts, importlib.import_module(root))), name
        # An operator may be missing from this build of torch; those that exist are proved by use.


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_probes_are_small_and_follow_the_seed(exercise):
    def draw(seed):
        return [
            {**case.arguments, **case.weights}
            for place, check in enumerate(exercise.checks)
            for case in check.cases(torch.Generator().manual_seed(seed + place))
        ]

    def tensors(drawn):
        return [v for arguments in drawn for v in arguments.values() if isinstance(v, torch.Tensor)]

    assert all(tensor.numel() <= LARGEST_PROBE for tensor in tensors(draw(0)))
    again, other = tensors(draw(0)), tensors(draw(500))
    assert all(a.equal(b) for a, b in zip(tensors(draw(0)), again, strict=True)), (
        "a seed must give the same inputs"
    )
    assert str(draw(0)) != str(draw(500)) or not other, "fixed inputs can be learned by heart"


# --- Right answers


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_the_reference_written_again_passes(exercise):
    report = grade_callable(exercise, _twin(exercise), seed=3)
    assert (report.status, report.points, report.reason) == ("passed", exercise.points, None)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_the_reference_itself_is_no_answer(exercise):
    report = grade_callable(exercise, exercise.reference)
    assert (report.status, report.points) == ("failed", 0)
    assert "course's own solution" in report.reason


@pytest.mark.parametrize(("exercise", "alternative"), _pairs("alternatives"))
def test_every_right_alternative_passes(exercise, alternative):
    report = grade_callable(exercise, _answer(exercise, alternative))
    assert (report.status, report.reason) == ("passed", None)
    assert report.points == exercise.points


# --- Wrong answers


@pytest.mark.parametrize(("exercise", "misconception"), _pairs("misconceptions"))
def test_every_misconception_fails_under_its_own_name(exercise, misconception):
    report = grade_callable(exercise, _answer(exercise, misconception))
    assert report.status == "failed" and report.points < exercise.points
    assert report.misconception is not None, f"not recognised: {report.reason}"
    assert report.misconception.id == misconception.id
    assert report.reason and all(check.message for check in report.checks if not check.passed)


BLANKS = {
    "nothing": lambda *arguments: None,
    "zero": lambda *arguments: 0,
    "text": lambda *arguments: "answer",
    "an empty tensor": lambda *arguments: torch.empty(0),
    "the first argument": lambda *arguments: arguments[0],
    "the last argument": lambda *arguments: arguments[-1],
}
FILLERS = {
    "zeros": torch.zeros_like,
    "ones": torch.ones_like,
    "NaN": lambda t: torch.full_like(t, torch.nan) if t.is_floating_point() else torch.zeros_like(t),
    "minus one": lambda t: torch.full_like(t, -1),
}


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_a_blank_answer_scores_nothing(exercise, blank):
    report = grade_callable(exercise, _instead(exercise, BLANKS[blank]))
    assert (report.status, report.points) == ("failed", 0)


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_a_constant_of_the_right_shape_and_type_scores_nothing(exercise, filler):
    twin = _twin(exercise)

    def filled(original):
        @functools.wraps(original)
        def constant(*arguments, **named):
            result = original(*arguments, **named)
            return FILLERS[filler](result) if isinstance(result, torch.Tensor) else None

        return constant

    if methods := exercise.methods:
        answer = type(exercise.answer_name, (twin,), {m: filled(getattr(twin, m)) for m in methods})
    else:
        answer = filled(twin)
    report = grade_callable(exercise, answer)
    assert (report.status, report.points) == ("failed", 0)


JUNK = {
    "a number": 7,
    "a truth": True,
    "text": "0.5",
    "an empty list": [],
    "an empty dict": {},
    "a list of numbers": [1, 2],
    "a list of dicts": [{}],
    "a dict of text": {"value": "x", "confidence": "y"},
    "a tensor": torch.zeros(2, 2),
    "a NaN": float("nan"),
    "an object": object(),
    "a function": len,
}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("exercise", VALUES, ids=_number)
def test_junk_in_the_place_of_a_value_scores_nothing_and_is_told_why(exercise, junk):
    report = grade_callable(exercise, JUNK[junk])
    assert (report.status, report.points) == ("failed", 0)
    assert report.reason and "Traceback" not in report.reason


@pytest.mark.parametrize("empty", [None, ..., {"value": ..., "confidence": ...}, [...]], ids=str)
@pytest.mark.parametrize("exercise", VALUES, ids=_number)
def test_an_empty_place_is_not_an_attempt(exercise, empty):
    assert grade_callable(exercise, empty).status == "not_attempted"


# --- Whatever the seed, whatever the device


@pytest.mark.long
@pytest.mark.parametrize("exercise", EXERCISES, ids=_number)
def test_verdicts_do_not_depend_on_the_seed(exercise):
    for seed in range(1, 21):
        for alternative in exercise.alternatives:
            report = grade_callable(exercise, _answer(exercise, alternative), seed=seed)
            assert report.points == exercise.points, (seed, alternative.title, report.reason)
        for misconception in exercise.misconceptions:
            report = grade_callable(exercise, _answer(exercise, misconception), seed=seed)
            named = report.misconception.id if report.misconception else None
            assert (report.status, named) == ("failed", misconception.id), (seed, report.reason)


def test_what_judges_on_a_gpu_judges_rightly_without_one():
    assert not wrong_verdicts("3.4", device="cpu")
    assert wrong_verdicts("3.4", device="meta"), "nothing can be right there"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=_number)
def test_verdicts_are_the_same_on_cuda(exercise):
    assert not wrong_verdicts(exercise.number)
