"""One student's verdict: read, rebuild, grade each exercise, say what happened."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from autograder import exercises, variants
from autograder.answers import Answer, find_answer
from autograder.child import AnswerProcess
from autograder.classroom.submissions import Received, Submission, Unreadable, bytes_of, parse
from autograder.exercise import Chapter, Exercise
from autograder.grading import ungraded
from autograder.merging import Cell, grade_id, is_answer
from autograder.outcome import Failure
from autograder.rebuilding import rebuild
from autograder.report import Report
from autograder.sandbox import Confined, Limits

Outcome = Literal["graded", "repaired", "tampered", "crashed", "grader_fault"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
CRASHES = ("timeout", "died")


@dataclass(frozen=True)
class Verdict:
    """What was found in one submission.

    exercises: the reports, as `autograder check` prints them.
    answers:   by exercise, the text that was graded and the helper cells before it: enough to repeat it.
    cells:     the rebuilt notebook; nothing for a file that could not be read.
    executed:  whether the rebuilt notebook was run, too: see `autograder.classroom.rerunning`.
    """

    student: str
    chapter: str
    outcome: Outcome
    notes: list[str]
    isolation: str
    exercises: list[dict[str, Any]]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    executed: bool = False

    @property
    def points(self) -> int:
        return sum(report["points"] for report in self.exercises)

    @property
    def max_points(self) -> int:
        return sum(report["max_points"] for report in self.exercises)

    @property
    def faults(self) -> list[str]:
        """The exercises that the grader itself failed on."""
        return [r["exercise"] for r in self.exercises if r["status"] == "grader_error"]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints, in the order that a reader wants it."""
        return {
            "student": self.student,
            "chapter": self.chapter,
            "points": self.points,
            "max_points": self.max_points,
            "outcome": self.outcome,
            "notes": self.notes,
            "isolation": self.isolation,
            "exercises": self.exercises,
        }

    def as_plain(self) -> dict[str, Any]:
        return vars(self).copy()  # its fields are plain already

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Verdict:
        """
        Raises:
            ValueError, TypeError, KeyError: it is no verdict.
        """
        verdict = cls(**plain)
        if verdict.outcome not in OUTCOMES or not all("points" in report for report in verdict.exercises):
            raise ValueError("no verdict")
        return verdict


class Grader:
    """Grades any number of submissions of one chapter. Use it in a `with` block.

    release: the cells of the notebook that was handed out. It says which variants the class has.
    seed:    the class's secret: which inputs the checks draw.
    remark:  a note on every verdict, about how it was reached.
    within:  the sandbox in which answers are to run, if not one of its own.
    """

    def __init__(
        self,
        chapter: Chapter,
        release: list[Cell],
        *,
        seed: int,
        device: str = "cpu",
        timeout: float | None = None,
        limits: Limits | None = None,
        remark: str = "",
        within: Confined | None = None,
    ):
        self.remark = remark
        self.chapter = variants.chapter_of(chapter, release)
        self.release, self.seed, self.timeout = release, seed, timeout
        self.process = AnswerProcess(device=device, limits=limits, within=within)
        self._known: dict[tuple[str, str, tuple[str, ...]], Report] = {}

    def __enter__(self) -> Grader:
        self.process.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.process.__exit__(*error)

    @property
    def isolation(self) -> str:
        return self.process.isolation.level if self.process.isolation else "none"

    def grade(self, submission: Submission) -> Verdict:
        """A verdict, whatever was handed in; a fault of ours is one of its own."""
        try:
            received = parse(bytes_of(submission), submission.path.name)
        except Unreadable as problem:
            return self.unreadable(submission.student, problem)
        try:
            return self._graded(submission.student, received)
        except Exception as error:
            return self.fault(submission.student, f"{type(error).__name__}: {str(error)[:200]}")

    def unreadable(self, student: str, problem: Unreadable) -> Verdict:
        return self._nothing(student, "tampered" if problem.tampered else "crashed", str(problem))

    def fault(self, student: str, why: str) -> Verdict:
        """The grader's own failure on a whole submission."""
        return self._nothing(student, "grader_fault", f"the grader broke, not the submission ({why})")

    def _nothing(self, student: str, outcome: Outcome, why: str) -> Verdict:
        reports = [ungraded(e, Failure("not attempted", why), seed=self.seed) for e in self.chapter.exercises]
        if outcome == "grader_fault":
            reports = [replace(r, status="grader_error", checks=()) for r in reports]
        plain = [report.as_json() for report in reports]
        return Verdict(student, self.chapter.slug, outcome, [why], self.isolation, plain)

    def _graded(self, student: str, received: Received) -> Verdict:
        rebuilt = rebuild(self.release, received.cells)
        tampering = tampered(self.release, received.cells)
        cells = [
            {"source": c["source"], "nbgrader": c["metadata"].get("nbgrader") or {}}
            for c in rebuilt.cells
            if c["cell_type"] == "code"
        ]
        reports, answers = [], {}
        for exercise in self.chapter.exercises:
            answer = find_answer(cells, exercise)
            report = self._one(exercise, answer)
            reports.append(report)
            if answer is not None:
                answers[exercise.name] = {"source": answer.source, "helpers": list(answer.helpers)}
        crashes = [f"{r.number} {r.title}: {r.reason}" for r in reports if r.failure in CRASHES]
        faults = [f"{r.number}: {r.reason}" for r in reports if r.status == "grader_error"]
        repairs = [*received.notes, *rebuilt.notes, *of_the_book(self.chapter, received.cells)]
        outcome: Outcome = (
            "grader_fault"
            if faults
            else "tampered"
            if tampering
            else "crashed"
            if crashes
            else "repaired"
            if repairs
            else "graded"
        )
        return Verdict(
            student,
            self.chapter.slug,
            outcome,
            [*faults, *tampering, *crashes, *repairs, *filter(None, [self.remark])],
            self.isolation,
            [report.as_json() for report in reports],
            answers,
            rebuilt.cells,
        )

    def _one(self, exercise: Exercise, answer: Answer | None) -> Report:
        if answer is None:
            return ungraded(exercise, Failure("not attempted", "its answer cell is missing"), seed=self.seed)
        # The same text has the same verdict: a blank answer, or one shared by half a class, is run once.
        key = (exercise.name, answer.source, answer.helpers)
        if key not in self._known:
            report = self.process.grade(
                exercise, answer.source, prelude=answer.helpers, seed=self.seed, timeout=self.timeout
            )
            if report.status == "grader_error" or report.failure in CRASHES:
                return report  # it may have been the machine: asked again, it is tried again
            self._known[key] = report
        return self._known[key]


def tampered(release: list[Cell], submitted: list[Cell]) -> list[str]:
    """What somebody did to the cells that give points, in words. None of it has an effect."""
    checks = {name: cell for cell in release if (name := grade_id(cell)) and not is_answer(cell)}
    notes = []
    for cell in submitted:
        name = grade_id(cell)
        about = cell["metadata"].get("nbgrader", {}) if name else {}
        if name in checks:
            given = checks[name]
            own = (
                given["source"].strip(),
                variants.without(given["source"]).strip(),
            )  # or the public chapter's
            if cell["source"].strip() not in own or cell["cell_type"] != given["cell_type"]:
                notes.append(f"the check {name} was edited; the course's own was used")
            known = given["metadata"]["nbgrader"]
            keys = ("points", "grade", "solution")
            if changed := [key for key in keys if about.get(key) != known.get(key)]:
                notes.append(f"the {' and '.join(changed)} of {name} were changed; the course's own count")
        elif about.get("grade") and name not in {grade_id(c) for c in release}:
            notes.append(f"a check of its own, {str(name)[:60]}, was added; it does not count")
    return list(dict.fromkeys(notes))


def of_the_book(chapter: Chapter, submitted: list[Cell]) -> list[str]:
    """The exercises with a variant that were handed in in the public chapter's notebook, in words."""
    varied = {f"{e.grade_id}-check": e for e in chapter.exercises if e.variant}
    theirs = (varied.get(str(grade_id(c))) for c in submitted if not variants.CHECKED.search(c["source"]))
    return [
        f"{e.number} came in the public notebook, not in your class's: its variant {e.variant} was graded"
        for e in dict.fromkeys(filter(None, theirs))
    ]


def release_of(path: Path) -> list[Cell]:
    """The cells of the notebook that was handed out.

    Raises:
        OSError, ValueError: it is not there, or no notebook.
    """
    return cells_of(path.read_bytes())


def cells_of(notebook: bytes) -> list[Cell]:
    """
    Raises:
        ValueError, KeyError: it is no notebook.
    """
    cells = json.loads(notebook)["cells"]
    return [
        {**c, "source": c["source"] if isinstance(c["source"], str) else "".join(c["source"])} for c in cells
    ]


def chapter_of(name: str) -> Chapter | None:
    """By slug ("03-attention") or by number ("3")."""
    for chapter in exercises.chapters():
        if name in (chapter.slug, str(chapter.number)):
            return chapter
    return None
