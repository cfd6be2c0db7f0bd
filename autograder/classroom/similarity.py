"""Answers that are alike after names, comments and layout have been taken away, for a person to judge.

Short exercises have few right answers, so likeness alone proves nothing; what a pair shares with half the
class, or with the course's own solution, is said beside it.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from autograder.classroom.defaults import ALIKE
from autograder.exercise import Exercise


@dataclass(frozen=True)
class Pair:
    """Two authors of an exercise, how alike their normalised answers are, and how many share each."""

    exercise: str
    authors: tuple[str, str]
    likeness: float
    texts: tuple[str, str]
    shared_by: int


def published(exercise: Exercise) -> dict[str, str]:
    """The course's own texts: its solution and the right alternatives that it knows."""
    texts = {}
    functions = {"the course's solution": exercise.reference}
    functions |= {f"the course's alternative: {a.title}": a.answer for a in exercise.alternatives}
    for author, function in functions.items():
        if inspect.isfunction(function) or inspect.isclass(function):
            texts[author] = textwrap.dedent(inspect.getsource(function))
    return texts


def pairs(exercise: Exercise, answers: Mapping[str, str], least: float = ALIKE) -> list[Pair]:
    """The pairs of authors whose answers are alike, the most alike first. At least one is a student."""
    texts = {**published(exercise), **answers}
    authors: dict[str, list[str]] = {}
    for author, text in texts.items():
        authors.setdefault(normalised(text), []).append(author)
    found = []
    for same in authors.values():
        found += _pairs_of(exercise, combinations(same, 2), 1.0, texts, answers, len(same))
    for (one, ones), (other, others) in combinations(authors.items(), 2):
        if (likeness := _likeness(one, other, least)) >= least:
            both = ((a, b) for a in ones for b in others)
            found += _pairs_of(exercise, both, likeness, texts, answers, max(len(ones), len(others)))
    return sorted(found, key=lambda pair: (-pair.likeness, pair.shared_by, pair.authors))


def _pairs_of(
    exercise: Exercise,
    both: Iterable[tuple[str, str]],
    likeness: float,
    texts: Mapping[str, str],
    answers: Mapping[str, str],
    shared: int,
) -> list[Pair]:
    return [
        Pair(exercise.name, (a, b), likeness, (texts[a], texts[b]), shared)
        for a, b in both
        if a in answers or b in answers
    ]


def _likeness(one: str, other: str, least: float) -> float:
    matcher = difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False)
    if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
        return 0.0
    return matcher.ratio()


def normalised(source: str) -> str:
    """The program without names of its own, comments, docstrings, annotations and layout."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return " ".join(source.split())
    tree = _Plain().visit(tree)
    names = _Names(tree)
    return ast.unparse(names.visit(tree))


class _Plain(ast.NodeTransformer):
    """Takes away what does not run."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns, node.body = None, _without_docstring(node.body)
        for argument in (*node.args.args, *node.args.posonlyargs, *node.args.kwonlyargs):
            argument.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = _without_docstring(node.body)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    text = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return body[1:] or [ast.Pass()] if text else body


class _Names(ast.NodeTransformer):
    """Calls the program's own names a0, a1, … in the order in which they are bound."""

    def __init__(self, tree: ast.AST):
        bound: dict[str, None] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                bound.setdefault(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.setdefault(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound.setdefault(node.name)
        self.new = {name: f"a{place}" for place, name in enumerate(bound)}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.new.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.new.get(node.arg, node.arg)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.new.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self.new.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return self.generic_visit(node)


def page(found: list[Pair]) -> str:
    """The pairs side by side, as a page that stands alone."""
    differ = difflib.HtmlDiff(wrapcolumn=60)
    tables = "".join(
        f"<h2>{_safe(p.exercise)}: {_safe(' and '.join(p.authors))}, {p.likeness:.0%} alike</h2>"
        + differ.make_table(
            p.texts[0].splitlines(), p.texts[1].splitlines(), _safe(p.authors[0]), _safe(p.authors[1])
        )
        for p in found
    )
    style = ":root{color-scheme:light dark}body{font:15px system-ui;margin:2em}td{font:13px monospace}"
    head = f'<meta charset="utf-8"><title>Similar answers</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{tables}</body></html>'


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
