"""The reference pages of `llmlib`, written as Markdown from the sources.

The sources are parsed, not imported: a signature stands on the page exactly as its author wrote it, shapes
and all.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autograder.book.pages import fence

Definition = ast.FunctionDef | ast.ClassDef
SECTIONS = ("Raises", "Args", "Arguments", "Returns", "Yields", "Attributes", "Fields")


@dataclass(frozen=True)
class Links:
    """What the page says about where things are taught, as Markdown.

    taught:  for a dotted name ("attention.softmax"), the exercises on it.
    chapter: for a module ("attention"), the chapters that teach it.
    """

    taught: Callable[[str], str | None] = lambda name: None
    chapter: Callable[[str], str | None] = lambda module: None


def label(name: str) -> str:
    """The name of the place in the book where an object of the library stands.

    A class is marked as one: Sphinx reads names without their capitals, and `swiglu` is not `SwiGLU`.
    """
    return "llmlib." + re.sub(r"\b([A-Z]\w*)", r"\1-class", name)


def public(body: list[ast.stmt]) -> list[Definition]:
    wanted = (ast.FunctionDef, ast.ClassDef)
    return [node for node in body if isinstance(node, wanted) and not node.name.startswith("_")]


def module_page(path: Path, links: Links | None = None) -> str:
    """The page of one module: what it says of itself, then each public function and class in its order."""
    links = links or Links()
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    lines = source.splitlines()
    module = path.stem
    parts = [f"({label(module)})=", f"# `llmlib.{module}`", docstring(ast.get_docstring(tree) or "")]
    if chapter := links.chapter(module):
        parts.append(chapter)
    for node in public(tree.body):
        parts += _entry(node, node.name, module, lines, links, level=2)
    return "\n\n".join(part for part in parts if part) + "\n"


def names(path: Path) -> list[str]:
    """The dotted names that a module's page has a place for."""
    found = []
    for node in public(ast.parse(path.read_text("utf-8")).body):
        found.append(f"{path.stem}.{node.name}")
        if isinstance(node, ast.ClassDef):
            found += [f"{path.stem}.{node.name}.{method.name}" for method in _methods(node)]
    return found


def _entry(node: Definition, name: str, module: str, lines: list[str], links: Links, level: int) -> list[str]:
    full = f"{module}.{name}"
    parts = [
        f"({label(full)})=",
        f"{'#' * level} `{name}`",
        fence(textwrap.dedent(_signature(node, lines)), "python"),
    ]
    if taught := links.taught(full):
        parts.append(taught)
    parts.append(docstring(ast.get_docstring(node) or ""))
    if isinstance(node, ast.ClassDef):
        for method in _methods(node):
            parts += _entry(method, f"{name}.{method.name}", module, lines, links, level + 1)
    if level == 2:
        whole = "\n".join(lines[_first_line(node) - 1 : node.end_lineno])
        parts.append(
            f"::::{{dropdown}} Source of `{name}`\n:class-container: course-source\n\n"
            f"{fence(whole, 'python')}\n::::"
        )
    return parts


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Public methods that say something of themselves."""
    return [
        method
        for method in public(node.body)
        if isinstance(method, ast.FunctionDef) and ast.get_docstring(method)
    ]


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _signature(node: Definition, lines: list[str]) -> str:
    """The head of a definition; for a class also its fields and the heads of `__init__` and `forward`."""
    if isinstance(node, ast.FunctionDef):
        return _head(node, lines)
    parts = [_head(node, lines)]
    for child in node.body:
        if isinstance(child, ast.AnnAssign):
            parts.append("\n".join(lines[child.lineno - 1 : child.end_lineno]))
        elif isinstance(child, ast.FunctionDef) and child.name in ("__init__", "forward"):
            parts.append(_head(child, lines))
    return "\n".join(parts)


def _head(node: Definition, lines: list[str]) -> str:
    """From the decorators to the colon before the body."""
    start, stop = _first_line(node), node.body[0].lineno
    head = lines[start - 1 : stop - 1] if stop > node.lineno else [lines[node.lineno - 1]]
    while head and (not head[-1].strip() or head[-1].lstrip().startswith("#")):
        head.pop()
    return "\n".join(head)


def docstring(text: str) -> str:
    """A docstring as Markdown: paragraphs, sections such as Raises, lists of fields, indented code."""
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        first, _, rest = paragraph.partition("\n")
        section = re.fullmatch(rf"({'|'.join(SECTIONS)}):", first.strip())
        if section:
            blocks.append(f"**{section[1]}**")
            blocks.append(_fields(textwrap.dedent(rest)))
        elif all(line.startswith("    ") for line in paragraph.splitlines()):
            blocks.append(fence(textwrap.dedent(paragraph), "python"))
        elif _is_fields(paragraph):
            blocks.append(_fields(paragraph))
        elif re.match(r"Sources?: ", paragraph):
            blocks.append("{.course-origin}\n" + _prose(paragraph))
        else:
            blocks.append(_prose(paragraph))
    return "\n\n".join(block for block in blocks if block)


def _is_fields(paragraph: str) -> bool:
    lines = paragraph.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    return len(lines) > 1 and len(heads) > 1 and all(re.match(r"[\w, ]{1,40}:\s", line) for line in heads)


def _fields(body: str) -> str:
    entries: list[list[str]] = []
    for line in body.splitlines():
        if entries and line.startswith(" "):
            entries[-1][1] += " " + line.strip()
        elif match := re.match(r"(`?[\w., *]+`?):\s*(.*)", line):
            entries.append([match[1].strip("`"), match[2]])
        elif entries:
            entries[-1][1] += " " + line.strip()
        else:
            entries.append(["", line])
    return "\n".join(f"- `{name}`: {_prose(what)}" if name else f"- {_prose(what)}" for name, what in entries)


def _prose(text: str) -> str:
    """Plain text for Markdown: everything outside `code` loses its special meaning, lists stay lists."""
    pieces = re.split(r"(``[^`]+``|`[^`\n]+`)", text)
    plain = [
        piece if number % 2 else re.sub(r"([\\*_<>\[\]{}$|#])", r"\\\1", piece)
        for number, piece in enumerate(pieces)
    ]
    return re.sub(r"^\\\*(?= )", "-", "".join(plain), flags=re.MULTILINE)
