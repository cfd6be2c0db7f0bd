"""What a student gets back: one page that stands alone, with reasons and named mistakes, and no script.

nbgrader's own feedback shows the autograded notebook; this page shows the verdicts, the comments and marks
that a person gave in the formgrader, and the answers as they were graded. It reveals no probe of the class's.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry

from autograder import panel
from autograder.classroom.gradebook import in_words
from autograder.classroom.grader import Verdict
from autograder.classroom.returning import public
from autograder.exercises import find, find_chapter

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: .7em 1em; border: 1px solid #8888; border-radius: .3em; }
section { margin: 2.2em 0; } h2 { margin-bottom: .3em; } .note { opacity: .85; }
"""


def marks_by_hand(url: str, course: str, chapter: str, student: str) -> dict[str, dict[str, Any]]:
    """By cell: the points and the comment that a person gave; nothing where the gradebook has none.

    Raises:
        GradebookError: it cannot be read.
    """
    try:
        with in_words(), Gradebook(url, course) as gradebook:
            notebook = gradebook.find_submission_notebook(chapter, chapter, student)
            grades = {g.name: g for g in notebook.grades}
            comments = {c.name: c.manual_comment for c in notebook.comments if c.manual_comment}
            return {
                name: {
                    "points": grades[name].manual_score if name in grades else None,
                    "max_points": grades[name].max_score if name in grades else None,
                    "waiting": bool(grades[name].needs_manual_grade) if name in grades else False,
                    "comment": comments.get(name, ""),
                }
                for name in {*grades, *comments}
            }
    except MissingEntry:
        return {}


def page(verdict: Verdict, by_hand: dict[str, dict[str, Any]]) -> str:
    """The student's page, as HTML."""
    chapter = find_chapter(int(verdict.chapter.split("-")[0]))
    parts = [
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(chapter.title)}: {escape(verdict.student)}</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<h1>Chapter {chapter.number} · {escape(chapter.title)}</h1>",
        f"<p><strong>{escape(verdict.student)}</strong>: {verdict.points} of {verdict.max_points} points "
        "from the checks.</p>",
    ]  # fmt: skip
    if verdict.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in verdict.notes)
        parts.append(f"<p>On receipt ({verdict.outcome.replace('_', ' ')}):</p><ul>{items}</ul>")
    own = set()
    for report in verdict.exercises:
        exercise = find(report["exercise"], report.get("variant"))
        names = (exercise.grade_id, f"{exercise.grade_id}-check")
        own |= set(names)
        parts.append(f"<section><h2>{exercise.number} {escape(exercise.title)}</h2>")
        if exercise.twist is not None:
            parts.append(f"<p>Your class's variant: {escape(exercise.twist.twist)}</p>")
        parts.append(panel.as_html(public(report)))
        parts += [_by_hand(by_hand[name]) for name in names if name in by_hand]
        answer = verdict.answers.get(exercise.name)
        if answer and report["status"] != "not_attempted":
            parts.append(f"<p>Your answer:</p><pre>{escape(answer['source'])}</pre>")
        parts.append("</section>")
    words = [(name, mark) for name, mark in sorted(by_hand.items()) if name not in own]
    for name, mark in words:
        parts.append(f"<section><h2>In words: {escape(name)}</h2>{_by_hand(mark, always=True)}</section>")
    parts.append(
        '<p class="note">The checks drew inputs of their own for this class. For a small example on which an '
        "answer goes wrong, run <code>autograder check</code> on your notebook.</p></body></html>"
    )
    return "\n".join(parts)


def _by_hand(mark: dict[str, Any], always: bool = False) -> str:
    said = []
    if mark["points"] is not None:
        said.append(f"{mark['points']:g} of {mark['max_points']:g} points, given by a person.")
    elif always:
        said.append("Not marked yet." if mark["waiting"] else "Not answered.")
    if mark["comment"]:
        said.append(f"Comment: {mark['comment']}")
    return "".join(f"<p>{escape(one)}</p>" for one in said)


def path_of(folder: Path, verdict: Verdict) -> Path:
    """Where nbgrader puts feedback, too: feedback/<student>/<chapter>/."""
    return folder / verdict.student / verdict.chapter / f"{verdict.chapter}.html"
