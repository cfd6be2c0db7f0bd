"""The library as an answer may see it: `llmlib` without the exercise at hand and all that leads to it.

A learner who is asked to write softmax could import the course's. Hiding names would not do: the file can
be read, and `inspect.getsource` reads it. So the worker never has the files. It gets the text of the modules
with everything cut out that *is* the answer, comes later in the course, or is built on one of these: a
definition that uses a definition that was cut is cut, too, until nothing changes.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from autograder import exercises
from autograder.exercise import Exercise

PACKAGE = "llmlib"

Sources = Mapping[str, str]  # by module name: "llmlib.attention"


@cache
def cut_for(exercise: Exercise) -> dict[str, str]:
    """The modules of `llmlib` that an answer to the exercise may import, by name."""
    everything = exercises.all_exercises()
    # By name: of a varied exercise, the published function is hidden like any other.
    later = everything[[e.name for e in everything].index(exercise.name) :]
    hidden = {f"{e.reference.__module__}.{_outermost(e)}" for e in later if e.reference is not None}
    hidden |= {name for name in exercise.forbidden if name.startswith(f"{PACKAGE}.")}
    return cut(sources(), hidden)


def _outermost(exercise: Exercise) -> str:
    return exercise.reference.__qualname__.split(".")[0]  # type: ignore[union-attr]


@cache
def sources() -> dict[str, str]:
    """The text of every module of `llmlib`."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    texts = {f"{PACKAGE}.{file.stem}": file.read_text("utf-8") for file in sorted(folder.glob("*.py"))}
    return {PACKAGE: texts.pop(f"{PACKAGE}.__init__"), **texts}


def cut(texts: Sources, hidden: set[str]) -> dict[str, str]:
    """The modules without the hidden names ("llmlib.attention.softmax") and without what uses them.

    A hidden module ("llmlib.gpt2"), and one of which no definition is left, is not there at all.
    """
    modules = {name: _module(name, text) for name, text in texts.items()}
    gone = set(hidden)
    while True:
        more = {
            definition
            for module in modules.values()
            for definition, uses in module.uses.items()
            if definition not in gone and (module.name in gone or uses & gone)
        }
        more |= {m.name for m in modules.values() if m.uses and not m.uses.keys() - gone - more} - gone
        if not more:
            break
        gone |= more
    return {name: module.without(gone) for name, module in modules.items() if name not in gone}


@cache  # each exercise cuts the same modules
def _module(name: str, text: str) -> _Module:
    return _Module(name, text)


class _Module:
    """What a module defines at its top, and which names of the package each definition uses."""

    def __init__(self, name: str, text: str):
        self.name, self.text = name, text
        self.body = list(_statements(ast.parse(text).body))
        self.imported = _imported(self.body)
        self.uses: dict[str, set[str]] = {}
        self.own = {defined: f"{name}.{defined}" for node in self.body for defined in _defined(node)}
        for node in self.body:
            known = self.imported | self.own
            known |= _imported(list(ast.walk(node)))  # an import inside a function counts as well
            for defined in _defined(node):
                self.uses.setdefault(f"{name}.{defined}", set()).update(_used(node, known))

    def without(self, gone: set[str]) -> str:
        """The text without the statements that define or use what is gone; the line numbers stay."""
        lines = self.text.split("\n")
        for node in self.body:
            if isinstance(node, ast.ImportFrom) and _own(node):
                kept = [a for a in node.names if not _is_gone(f"{node.module}.{a.name}", gone)]
                if len(kept) == len(node.names) and node.module not in gone:
                    continue
                kept = [] if node.module in gone else kept
                line = f"from {node.module} import {', '.join(map(ast.unparse, kept))}" if kept else ""
                _blank(lines, node, line)
            elif isinstance(node, ast.Import):
                kept = [a for a in node.names if not _is_gone(a.name, gone)]
                if len(kept) < len(node.names):
                    _blank(lines, node, f"import {', '.join(map(ast.unparse, kept))}" if kept else "")
            elif defined := _defined(node):
                if any(f"{self.name}.{d}" in gone for d in defined):
                    _blank(lines, node)
            elif _used(node, self.imported | self.own) & gone:
                _blank(lines, node)  # a statement of the module itself, as `if __name__ == …`
        return "\n".join(lines)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """A module's own statements, those of its `with` blocks among them."""
    for node in body:
        if isinstance(node, ast.With):
            yield from _statements(node.body)
        else:
            yield node


def _imported(nodes: list[ast.stmt] | list[ast.AST]) -> dict[str, str]:
    """Local names, and what of the package they stand for."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and _own(node):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.asname or PACKAGE: a.name for a in node.names if a.name.split(".")[0] == PACKAGE}
    return names


def _own(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] == PACKAGE


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _used(node: ast.AST, known: Mapping[str, str]) -> set[str]:
    """What a piece of code uses of the package: `softmax`, and `attention.softmax` of an imported module."""
    used = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in known:
            used.add(known[part.id])
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in known:
            used.add(f"{known[part.value.id]}.{part.attr}")
    return used


def _is_gone(name: str, gone: set[str]) -> bool:
    return name in gone or name.rpartition(".")[0] in gone


def _blank(lines: list[str], node: ast.stmt, instead: str = "") -> None:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    end = node.end_lineno or node.lineno
    if node.col_offset:  # a block must not be empty
        instead = " " * node.col_offset + (instead or "pass")
    lines[first - 1 : end] = [instead, *[""] * (end - first)]


def signature_of(reference: Any) -> dict[str, Any]:
    """How a reference is called, in plain values: all that an answer's process may know of it."""
    if not inspect.isclass(reference):
        return {"function": _parameters(reference)}
    methods = {name: _parameters(m) for name, m in vars(reference).items() if inspect.isfunction(m)}
    return {"class": reference.__name__, "methods": methods}


def _parameters(function: Any) -> list[list[Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [[p.name, int(p.kind), p.default is not p.empty] for p in parameters]
