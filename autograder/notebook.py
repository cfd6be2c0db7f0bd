"""The learner's face: `start`, `check`, `verdict` and `hint`, as the chapters' cells call them.

Nothing here needs nbgrader or a Jupyter server, and nothing here lets an exception reach the learner for
something that they did. Outside a notebook the same words are printed.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from html import escape
from typing import Any

from autograder import exercises, panel, progress
from autograder.exercise import Exercise
from autograder.grading import grade_callable
from autograder.report import Report

SEED = 0  # in a notebook the same probes every time: a learner can follow what changed
NO_POINTS = panel.Points(0, 0)  # of nothing that was checked


class _Session:
    """What one kernel remembers between cells: the last verdict, and how many hints were shown."""

    def __init__(self) -> None:
        self.points: panel.Points | None = NO_POINTS
        self.hints_shown: dict[str, int] = {}
        self.variants: dict[str, str] = {}  # of the exercises that were checked, by name


_session = _Session()


class NotYetDefined:
    """Stands under an exercise's name until the learner's cell defines it, so that `check` can say so."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"Exercise {self.name}: run the cell that defines it first")

    def __repr__(self) -> str:
        return f"<{self.name}: not defined yet>"


def start(chapter: int) -> None:
    """Begin a chapter: its exercises' names exist from here on, waiting for your definitions."""
    namespace = sys._getframe(1).f_globals
    for exercise in exercises.find_chapter(chapter).exercises:
        namespace.setdefault(exercise.answer_name, NotYetDefined(exercise.answer_name))


def check(answer: Any, number: str, variant: str = "") -> Any:
    """Check your answer, show what was found, and give back a function that works.

    That is your own if it passes, else the course's, so that the rest of the chapter runs. A value (a
    prediction, say) comes back as it is. With a variant, which your class's notebook names, the course's
    plain one comes back in any case, since the chapter goes on without the variant.
    """
    try:
        exercise = exercises.find(number, variant)
    except exercises.UnknownExercise as unknown:
        _session.points = NO_POINTS
        _show_text(str(unknown))
        return answer
    _session.variants[exercise.name] = variant
    answer = _replaced(answer) if variant else answer
    if lent_for(answer) is not None:
        kind = "class" if inspect.isclass(answer) else "function"
        report = _plain(
            exercise,
            "not_attempted",
            f"this is the course's own {kind}, lent to you so that the chapter runs on: "
            f"run the cell with your own `{exercise.answer_name}` again, then this one. If that cell stops "
            "with an error, mend it first",
        )
    elif isinstance(answer, NotYetDefined):
        report = _plain(
            exercise,
            "not_attempted",
            f"`{exercise.answer_name}` is not defined yet: run the cell above; does it show an error?",
        )
    else:
        report = grade_callable(exercise, answer, seed=SEED)
    notes = []
    if report.status != "not_attempted" and (trouble := progress.record_check(report, answer)):
        notes.append(trouble)
    lends = not exercise.takes_value and (report.status != "passed" or bool(variant))
    if variant:
        notes.append(
            f"The chapter goes on with the book's own `{exercise.answer_name}`, without the variant."
        )
    elif lends:
        notes.append(
            f"The chapter goes on with the course's own `{exercise.answer_name}` until yours passes."
        )
    _session.points = (
        None if report.status == "grader_error" else panel.Points(report.points, report.max_points)
    )
    _show(panel.as_html(report, notes, exercise.hints), panel.as_text(report, notes, exercise.hints))
    return lend(exercise, answer if variant else None) if lends else answer


def verdict() -> panel.Points | None:
    """The points of the check just above: the cell's last value, which is where nbgrader reads it.

    Each check counts once. None, which nbgrader takes for full marks, if the grader itself broke.
    """
    points, _session.points = _session.points, NO_POINTS
    return points


def hint(number: str, variant: str = "") -> None:
    """Show the next hint for an exercise; the first one again after the last."""
    try:
        exercise = exercises.find(number)
        exercise = exercises.find(number, variant or _session.variants.get(exercise.name))
    except exercises.UnknownExercise as unknown:
        _show_text(str(unknown))
        return
    count = len(exercise.hints)
    if not count:
        _show_text(f"Exercise {exercise.number} has no hints.")
        return
    place = _session.hints_shown.get(exercise.name, 0) % count
    _session.hints_shown[exercise.name] = place + 1
    progress.record("hint", exercise.name, place=place + 1)
    _show_text(f"Hint {place + 1} of {count} for exercise {exercise.number}: {exercise.hints[place]}")


def lend(exercise: Exercise, replaced: Any = None) -> Callable[..., Any]:
    """The reference, marked as lent: it works, but it is nobody's answer.

    Of a varied exercise, the reference without the variant. `replaced`: the answer in whose place it stands,
    which is what the check looks at when its cell is run again.
    """
    reference = exercises.find(exercise.name).reference if exercise.variant else exercise.reference
    assert reference is not None
    if inspect.isclass(reference):
        about = {
            "__lent_for__": exercise.name,
            "__doc__": reference.__doc__,
            "__module__": reference.__module__,
        }
        return type(reference.__name__, (reference,), about)

    @functools.wraps(reference)
    def lent(*args: Any, **kwargs: Any) -> Any:
        return reference(*args, **kwargs)

    lent.__lent_for__ = exercise.name  # type: ignore[attr-defined]
    lent.__in_place_of__ = replaced  # type: ignore[attr-defined]
    return lent


def _replaced(answer: Any) -> Any:
    """The learner's own answer, if this is a function that stands in its place."""
    own = vars(answer).get("__in_place_of__") if hasattr(answer, "__dict__") else None
    return answer if own is None else own


def lent_for(answer: Any) -> str | None:
    """The exercise that this function was lent for, or whose reference it is; None for anybody's own."""
    # A class of the learner's own may inherit from the lent one.
    lent = vars(answer).get("__lent_for__") if hasattr(answer, "__dict__") else None
    if isinstance(lent, str):
        return lent
    written = (e for e in exercises.all_exercises() if e.reference is not None)
    originals = ((r, e.name) for e in written for r in (e.reference, *(v.reference for v in e.variants)))
    return next((name for reference, name in originals if answer is reference), None)


def _plain(exercise: Exercise, status: Any, reason: str) -> Report:
    return Report(
        exercise.name, exercise.number, exercise.title, status, max_points=exercise.points, reason=reason
    )


def _show_text(text: str) -> None:
    _show(f'<div style="padding:.3em 1em;max-width:52em">{escape(text)}</div>', text)


def _show(html: str, text: str) -> None:
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            display({"text/html": html, "text/plain": text}, raw=True)
            return
    print(text)
