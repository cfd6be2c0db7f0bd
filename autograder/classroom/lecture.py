"""One page for the next lecture: how the class did, and which mistakes are worth talking about.

It names no student. A snippet is an answer as it was graded, without its docstring and comments.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

from autograder.classroom.grader import Verdict
from autograder.exercise import Chapter, Exercise
from autograder.panel import marked_up

MOST_MISTAKES = 3
BARS = 10


@dataclass(frozen=True)
class Mistaken:
    """A named mistake: how many made it, one answer that did, and the smallest example of that answer."""

    title: str
    advice: str
    count: int
    snippet: str
    counterexample: dict[str, Any] | None


def mistakes(exercise: Exercise, verdicts: list[Verdict]) -> list[Mistaken]:
    """The most frequent named mistakes of an exercise, the most frequent first."""
    made: dict[str, list[tuple[Verdict, dict[str, Any]]]] = {}
    for verdict in verdicts:
        report = report_of(verdict, exercise)
        if report["misconception"]:
            made.setdefault(report["misconception"]["id"], []).append((verdict, report))
    found = []
    for those in sorted(made.values(), key=len, reverse=True)[:MOST_MISTAKES]:
        # The shortest answer shows the mistake with the least beside it.
        verdict, report = min(those, key=lambda one: len(one[0].answers[exercise.name]["source"]))
        found.append(
            Mistaken(
                report["misconception"]["title"],
                report["misconception"]["advice"],
                len(those),
                anonymous(verdict.answers[exercise.name]["source"]),
                report["counterexample"],
            )
        )
    return found


def report_of(verdict: Verdict, exercise: Exercise) -> dict[str, Any]:
    return next(r for r in verdict.exercises if r["exercise"] == exercise.name)


def anonymous(source: str) -> str:
    """The program without comments and docstrings, where people write their names."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "(not Python)"
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            texts = [n for n in body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
            node.body = [n for n in body if n not in texts] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def page(chapter: Chapter, verdicts: list[Verdict]) -> str:
    """The page, as HTML that stands alone."""
    title = f"Chapter {chapter.number} · {chapter.title}: {len(verdicts)} submissions"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
        _distribution(verdicts),
        "<h2>Exercises</h2><table><tr><th>exercise</th><th>passed</th><th>tried, not yet</th>"
        "<th>not attempted</th></tr>",
    ]
    for exercise in chapter.exercises:
        counts = Counter(report_of(v, exercise)["status"] for v in verdicts)
        cells = (counts["passed"], counts["failed"], counts["not_attempted"])
        shares = "".join(f"<td>{count / len(verdicts):.0%} ({count})</td>" for count in cells)
        parts.append(f"<tr><td>{exercise.number} {escape(exercise.title)}</td>{shares}</tr>")
    parts.append("</table><h2>Worth talking about</h2>")
    told = [_told(exercise, m) for exercise in chapter.exercises for m in mistakes(exercise, verdicts)]
    parts += told or ["<p>No answer made a mistake that the course knows by name.</p>"]
    return "".join(parts) + "</body></html>"


_STYLE = """
:root { color-scheme: light dark; } body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem;
margin: 2rem auto; padding: 0 1rem; } td, th { text-align: left; padding: .2em 1.2em .2em 0; }
pre { overflow-x: auto; border: 1px solid #8888; padding: .6em 1em; border-radius: .3em; }
"""


def _distribution(verdicts: list[Verdict]) -> str:
    """A bar for each tenth of the points."""
    most = max((v.max_points for v in verdicts), default=1) or 1
    counts = Counter(min(BARS * v.points // most, BARS - 1) for v in verdicts)
    tallest = max(counts.values(), default=1)
    bars = "".join(
        f'<rect x="{60 * i + 4}" y="{120 - 100 * counts[i] / tallest:.1f}" width="52" '
        f'height="{100 * counts[i] / tallest:.1f}" fill="#2e7fdb"/>'
        f'<text x="{60 * i + 30}" y="{114 - 100 * counts[i] / tallest:.1f}">{counts[i] or ""}</text>'
        f'<text x="{60 * i + 30}" y="138">{i * most / BARS:g}</text>'
        for i in range(BARS)
    )
    said = ", ".join(f"{counts[i]} from {i * most / BARS:g} points" for i in range(BARS) if counts[i])
    return (
        f'<svg viewBox="0 0 600 145" role="img" aria-label="Submissions by points: {said}" '
        f'style="max-width:45rem;font:12px system-ui;text-anchor:middle" fill="currentColor">{bars}</svg>'
        f"<p>Submissions by points, of {most}.</p>"
    )


def _told(exercise: Exercise, mistake: Mistaken) -> str:
    example = ""
    if mistake.counterexample:
        given = {**mistake.counterexample["inputs"]}
        given |= {name: mistake.counterexample[name] for name in ("expected", "got")}
        example = "<pre>" + escape("\n".join(f"{name}:\n{text}" for name, text in given.items())) + "</pre>"
    return (
        f"<h3>{exercise.number} {escape(exercise.title)}: {mistake.count} times</h3>"
        f"<p>It looks as if {marked_up(mistake.title)}.</p><pre>{escape(mistake.snippet)}</pre>{example}"
        f"<p><strong>To discuss:</strong> on which input would this answer be right all the same, and what "
        f"does it break in the model? {marked_up(mistake.advice)}</p>"
    )
