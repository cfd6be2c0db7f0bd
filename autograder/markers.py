"""nbgrader's markers around a solution: where they stand in a cell, and why it is no answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from autograder.slicing import Definition

BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"


def region(source: str) -> tuple[int, int] | None:
    """The line indices of the solution's two markers, None if there are none.

    Raises:
        ValueError: a marker without the other, in the wrong order, or twice.
    """
    begins = [i for i, line in enumerate(source.split("\n")) if BEGIN in line]
    ends = [i for i, line in enumerate(source.split("\n")) if END in line]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ValueError(f"one `### {BEGIN}` and after it one `### {END}` are expected")
    return begins[0], ends[0]


def trouble(source: str, number: str, name: str) -> str | None:
    """Why this code is no answer to exercise `number`, which defines `name`; None if it is one."""
    try:
        lines = region(source)
    except ValueError as error:
        return f"the solution's markers do not fit: {error}"
    if lines is None:
        return (
            f"the answer of exercise {number} has no markers: put `### {BEGIN}` before it and "
            f"`### {END}` after it, or the learner would get the answer"
        )
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return f"the answer of {number} is not Python: {error.msg} in its line {error.lineno}"
    if name not in _defined(tree):
        return f"the answer of exercise {number} does not define `{name}`"
    return None


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, Definition):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
