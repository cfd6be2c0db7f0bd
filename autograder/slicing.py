"""Cut a definition out of a source file: whole, or with its body replaced by a stub.

Cutting goes by the positions that `ast` reports, never by printing the tree again, so comments, line breaks
and quotes come out as their author wrote them.

A dotted name with a class in it ("LayerNorm.forward") names one method, and what is cut is the whole class:
a learner needs its `__init__` beside the method that is theirs to write.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import io
import json
import tokenize
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


class SlicingError(LookupError):
    """The source has no such definition, or several; the message offers the nearest names."""


def definition(source: str, name: str) -> str:
    """The definition with its decorators, signature, annotations, docstring and body.

    Raises:
        SlicingError: `source` does not define `name` exactly once.
        SyntaxError: `source` is not Python.
    """
    outermost, _ = _find(source, name)
    first, last = _lines_of(outermost, source)
    return "\n".join(_split(source)[first - 1 : last])


def stub(source: str, name: str, message: str) -> str:
    """The definition with nothing but `raise NotImplementedError(message)` after its docstring.

    Of a class, every method but `__init__` becomes a stub; with a method named, only that one.

    Raises:
        SlicingError: `source` does not define `name` exactly once, or the class has nothing to write.
        SyntaxError: `source` is not Python.
    """
    outermost, functions = _find(source, name)
    first, last = _lines_of(outermost, source)
    lines = _split(source)[:last]
    for function in sorted(functions, key=lambda node: node.lineno, reverse=True):
        end = _lines_of(function, source)[1]
        lines[function.lineno - 1 : end] = _stubbed(function, source, message)
    return "\n".join(lines[first - 1 :])


def body(source: str, name: str) -> list[ast.stmt]:
    """The statements that a stub takes away."""
    _, functions = _find(source, name)
    return [statement for function in functions for statement in function.body[_has_docstring(function) :]]


def _find(source: str, name: str) -> tuple[Definition, list[Function]]:
    """The outermost definition of a dotted name, and the functions that are the learner's to write."""
    scope, outermost, found = ast.parse(source).body, None, []
    for part in name.split("."):
        found = [node for node in scope if isinstance(node, Definition) and node.name == part]
        if not found:
            known = [node.name for node in scope if isinstance(node, Definition)]
            near = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
            where = f"the class {outermost.name}" if outermost else "the file"
            offer = f"did you mean {near[0]}?" if near else f"it defines {', '.join(known) or 'nothing'}"
            raise SlicingError(f"there is no {part} in {where}: {offer}")
        if outermost is None and len(found) > 1:
            raise SlicingError(f"{part} is defined {len(found)} times: leave one definition")
        outermost = outermost or found[0]
        scope = found[0].body if isinstance(found[0], ast.ClassDef) else []
    assert outermost is not None
    if isinstance(found[0], ast.ClassDef):
        found = [node for node in found[0].body if isinstance(node, Function) and node.name != "__init__"]
        if not found:
            raise SlicingError(f"the class {name} has no method to write besides __init__")
    # A property and its setter share one name, and both are the learner's.
    return outermost, [node for node in found if isinstance(node, Function)]


def _lines_of(node: Definition, source: str) -> tuple[int, int]:
    """First and last line, from the first decorator to the comments that still belong to the body."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    last = node.end_lineno or node.lineno
    for number, line in enumerate(_split(source)[last:], start=last + 1):
        text = line.lstrip()
        if text and not (text.startswith("#") and len(line) - len(text) > node.col_offset):
            break
        if text:
            last = number
    return first, last


def _stubbed(function: Function, source: str, message: str) -> list[str]:
    """The lines from `def` on, with the body replaced."""
    lines = _split(source)
    colon_line, colon = _signature_end(function, lines)
    first = function.body[0]
    if first.lineno == colon_line:  # the body stands on the line of the signature
        header = [*lines[function.lineno - 1 : colon_line - 1], lines[colon_line - 1][:colon]]
        indent = " " * (function.col_offset + 4)
    else:
        header = lines[function.lineno - 1 : colon_line]
        indent = " " * first.col_offset
    if _has_docstring(function):
        header += (indent + (ast.get_source_segment(source, first) or "")).split("\n")
    return [*header, f"{indent}raise NotImplementedError({json.dumps(message, ensure_ascii=False)})"]


def _signature_end(function: Function, lines: list[str]) -> tuple[int, int]:
    """Where the signature's colon stands: its line, and the column after it."""
    depth = 0
    text = "\n".join(lines[function.lineno - 1 :]) + "\n"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.OP:
            continue
        depth += (token.string in "([{") - (token.string in ")]}")
        if token.string == ":" and depth == 0:
            return function.lineno + token.start[0] - 1, token.end[1]
    raise AssertionError("a function that parses has a colon")  # pragma: no cover


def _has_docstring(function: Function) -> bool:
    return ast.get_docstring(function, clean=False) is not None


def _split(source: str) -> list[str]:
    """Lines as `ast` counts them: `str.splitlines` would also break at form feeds and other rare marks."""
    return source.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def library_source(name: str) -> tuple[str, str]:
    """The text of the `llmlib` module in which a dotted name lives, and the rest of the name.

    Raises:
        SlicingError: `llmlib` has no such module.
    """
    module, _, rest = name.partition(".")
    spec = importlib.util.find_spec("llmlib")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).with_name(f"{module}.py")
    if not rest or not path.is_file():
        modules = sorted(file.stem for file in path.parent.glob("*.py") if file.stem != "__init__")
        raise SlicingError(f"llmlib has no module {module!r}: it has {', '.join(modules)}")
    return path.read_text("utf-8"), rest
