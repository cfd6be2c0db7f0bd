"""What a chapter's outputs depend on, as one hash: the code that runs, and all of ours that it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from autograder.exercise import Chapter

PACKAGES = ("llmlib", "autograder")
CATALOGUE = "autograder.exercises"
OURS = "from_tokens_to_gpt"  # our key in a solution's metadata, where the hash is kept as "sources"


def digest(chapter: Chapter, code: Iterable[str]) -> str:
    """The hash of a solved chapter: its code cells, and every file of ours that they lead to.

    The catalogue imports all chapters, so it is followed only into the exercises of this one: a change in
    another chapter's exercises costs nothing here.
    """
    cells = list(code)
    wanted = {module for cell in cells for module in _imports(cell)}
    wanted |= {
        name for name, module in list(sys.modules.items()) if getattr(module, "CHAPTER", None) is chapter
    }
    total = hashlib.sha256()
    for cell in cells:
        total.update(cell.encode() + b"\0")
    for module, path in sorted(_closure(wanted).items()):
        total.update(f"{module}\0".encode() + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()


def _closure(names: Iterable[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting.append(name.rpartition(".")[0])  # importing a module runs its packages' files too
        if name != CATALOGUE:
            waiting += _imports(path.read_text("utf-8"))
    return found


def _imports(source: str) -> set[str]:
    """The modules that a text may import; names that turn out to be none do no harm."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with a line for the shell or for pip
        tree = ast.parse(
            "\n".join(line for line in source.split("\n") if line.startswith(("from ", "import ")))
        )
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in modules if name.split(".")[0] in PACKAGES}


def _file(name: str) -> Path | None:
    package, *rest = name.split(".")
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    base = Path(spec.origin).parent.joinpath(*rest)
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in candidates if path.is_file()), None)
