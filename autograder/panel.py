"""A verdict as the learner sees it: an HTML panel in a notebook, the same words as plain text elsewhere.

Colours come from the page (light and dark); marks and words carry the meaning, never colour alone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from html import escape

from autograder.report import OPEN, CheckResult, Counterexample, Report

PANEL = "padding:.4em 1em;margin:.4em 0;line-height:1.5;max-width:52em"
HANGING = "padding-left:1.3em;text-indent:-1.3em"  # below the mark stays free
PLAIN = "margin:0;background:none;color:inherit;border:0;padding:0;word-break:normal;overflow-wrap:break-word"
LONGEST_ROW = 60  # characters
MARKS = {"passed": "✓", "failed": "✗", "not_attempted": "○", "grader_error": "!"}
# Readable as a border on white and on near-black.
COLOURS = {"passed": "#2e9e5b", "failed": "#d9534f", "not_attempted": "#8a8f98", "grader_error": "#c98a00"}
WORDS = {
    "passed": "passed",
    "failed": "not yet",
    "not_attempted": "not attempted",
    "grader_error": "the grader broke, not you",
}


def _mark(check: CheckResult) -> tuple[str, str]:
    """A check's mark, and the word for those who cannot see it."""
    if check.passed:
        return "✓", "passed: "
    return ("○", "open: ") if check.message.startswith(OPEN) else ("✗", "failed: ")


def heading(report: Report) -> str:
    points = Points(report.points, report.max_points)
    score = "" if report.status in ("grader_error", "not_attempted") else f" · {points.in_words()}"
    return f"{MARKS[report.status]} Exercise {report.number} · {report.title} · {WORDS[report.status]}{score}"


class Points(int):
    """The points of a check, as a cell's value: nbgrader reads the number, a page says of how many."""

    of: int

    def __new__(cls, points: int, of: int) -> Points:
        made = super().__new__(cls, points)
        made.of = of
        return made

    def in_words(self) -> str:
        return f"{self} of {self.of} points" if self.of else "no points: no check has just run"

    _repr_html_ = in_words


def as_text(report: Report, notes: Sequence[str] = (), hints: Sequence[str] = ()) -> str:
    """The panel in plain text. `hints` are announced, not printed: `hint("3.3")` shows them one by one."""
    lines = [heading(report)]
    if report.status in ("passed", "failed"):
        for check in report.checks:
            lines.append(
                f"  {_mark(check)[0]} {check.name}" + (f": {check.message}" if check.message else "")
            )
    elif report.reason:
        lines.append(f"  {report.reason}")
    if report.line and report.line_text:
        lines.append(f"  In line {report.line} of your answer: {report.line_text}")
    if report.counterexample:
        lines += ["  The smallest example I found:"]
        for name, text in _rows(report.counterexample):
            lines += _indented(name, text)
    if report.misconception:
        lines.append(f"  Likely mistake: it looks as if {report.misconception.title}.")
        lines.append(f"  {report.misconception.advice}")
    if hints and _may_hint(report):
        lines.append(f'  Stuck? hint("{report.number}") shows the first of {len(hints)} hints.')
    lines += [f"  {note}" for note in (*report.notes, *notes)]
    return "\n".join(lines)


def as_html(report: Report, notes: Sequence[str] = (), hints: Sequence[str] = ()) -> str:
    colour = COLOURS[report.status]
    parts = [
        f'<div role="region" aria-label="Check of exercise {escape(report.number)}" '
        f'style="border-left:.3em solid {colour};{PANEL}">',
        f'<div style="font-weight:600">{escape(heading(report))}</div>',
    ]
    if report.status in ("passed", "failed"):
        items = (
            f'<li style="{HANGING}"><span aria-hidden="true">{_mark(c)[0]}</span> '
            f'<span style="position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)">'
            f"{_mark(c)[1]}</span>"
            f"{marked_up(c.name)}{': ' + marked_up(c.message) if c.message else ''}</li>"
            for c in report.checks
        )
        parts.append(f'<ul style="list-style:none;padding-left:.2em;margin:.3em 0">{"".join(items)}</ul>')
    elif report.reason:
        parts.append(f'<div style="margin:.3em 0">{marked_up(report.reason)}</div>')
    if report.line and report.line_text:
        line = f"In line {report.line} of your answer: <code>{escape(report.line_text)}</code>"
        parts.append(f'<div style="margin:.3em 0">{line}</div>')
    if report.counterexample:
        parts.append(_example_html(report.counterexample))
    if report.misconception:
        parts.append(
            f'<div style="margin:.5em 0"><strong>Likely mistake:</strong> it looks as if '
            f"{marked_up(report.misconception.title)}.<br>{marked_up(report.misconception.advice)}</div>"
        )
    if hints and _may_hint(report):
        parts.append(_hints_html(hints))
    parts += [
        f'<div style="opacity:.85;margin:.3em 0">{marked_up(note)}</div>' for note in (*report.notes, *notes)
    ]
    return "".join(parts) + "</div>"


_MARKUP = re.compile(r"`([^`\n]+)`|(?<![\w*])\*([A-Za-z](?:[A-Za-z ]*[A-Za-z])?)\*(?![\w*])")


def marked_up(text: str) -> str:
    """Escaped, with what stands between backticks as code and words between asterisks emphasised."""
    return _MARKUP.sub(lambda m: f"<code>{m[1]}</code>" if m[1] else f"<em>{m[2]}</em>", escape(text))


def _rows(example: Counterexample) -> list[tuple[str, str]]:
    of = "" if example.of == "the result" else f" ({example.of})"
    return [*example.inputs.items(), (f"expected{of}", example.expected), (f"got{of}", example.got)]


def _indented(name: str, text: str) -> list[str]:
    if "\n" not in text:
        return [f"    {name:<10} {text}"]
    first, *rest = text.splitlines()
    return [f"    {name:<10} {first}", *(f"    {'':<10} {line}" for line in rest)]


def _example_html(example: Counterexample) -> str:
    cells = "".join(
        f'<td style="vertical-align:top;text-align:left;padding:.1em 2em .1em 0;border:0;background:none">'
        f'<div style="opacity:.85">{escape(name)}</div>'
        # Columns side by side begin where their names do; as rows, below one another, they keep their places.
        f'<pre style="{PLAIN};white-space:{_wrapping(text)}">{escape(textwrap.dedent(text))}</pre></td>'
        for name, text in _rows(example)
    )
    return (
        '<div style="margin:.5em 0;overflow-x:auto" tabindex="0" role="group" aria-label="Counterexample">'
        "<div>The smallest example I found:</div>"
        '<table role="presentation" style="margin:.2em 0;border:0">'
        f'<tr style="background:none">{cells}</tr></table></div>'
    )


def _may_hint(report: Report) -> bool:
    """Hints are offered, to be opened one by one, where the answer ran: also where it raised."""
    return report.status == "failed" and (
        report.hint is not None or report.failure in ("exception", "unreadable")
    )


def _wrapping(text: str) -> str:
    """Numbers keep their rows; a long message may go on below."""
    return "pre" if max(map(len, text.splitlines()), default=0) <= LONGEST_ROW else "pre-wrap"


def _hints_html(hints: Sequence[str]) -> str:
    """The next hint opens inside the one before, so that nobody reads further than they want to."""
    inner = ""
    for place, text in reversed(list(enumerate(hints, start=1))):
        inner = (
            '<details style="margin:.3em 0">'
            f'<summary style="cursor:pointer">Hint {place} of {len(hints)}</summary>'
            f'<div style="margin:.2em 0 .2em 1em">{marked_up(text)}{inner}</div></details>'
        )
    return inner
