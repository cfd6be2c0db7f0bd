"""Put a learner's answer into the module of `llmlib` whose function it replaces, with what it needs."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable

from autograder import exercises, slicing
from autograder.answers import Answer
from autograder.exercise import Exercise


def target_of(exercise: Exercise) -> str:
    """The top-level name in the module: a function, or the class of a method."""
    return exercise.name.split(".")[1]


def marked(source: str, exercise: Exercise) -> str:
    return _replaced(
        source,
        target_of(exercise),
        slicing.definition(source, target_of(exercise)),
        f"# The course's own, until your answer to exercise {exercise.number} passes.",
    )


def _replaced(source: str, target: str, text: str, comment: str) -> str:
    old = slicing.definition(source, target)
    assert source.count(old) == 1
    return source.replace(old, f"{comment}\n{text}")


def with_answer(source: str, exercise: Exercise, answer: Answer) -> tuple[str, str | None]:
    """The module with the answer in it, or the module as it was and the reason."""
    target = target_of(exercise)
    tree = ast.parse(answer.source)
    own = [n for n in tree.body if isinstance(n, slicing.Definition) and n.name == target]
    if not own:
        return source, f"the answer cell has no `def` or `class` of the name {target}"
    lines = answer.source.split("\n")
    first = min([own[-1].lineno, *(decorator.lineno for decorator in own[-1].decorator_list)])
    text = "\n".join(lines[first - 1 : own[-1].end_lineno])
    chapter = exercises.find_chapter(exercise.chapter)
    offered = _offered([chapter.imports, *answer.helpers, answer.source], target)
    there = top_level(source)
    needed: dict[str, str] = {}
    waiting = _free_names(text)
    while waiting:
        name = waiting.pop()
        if name in there or name in needed or hasattr(builtins, name):
            continue
        if name not in offered:
            return source, f"it uses the name {name}, which neither the module nor the answer defines"
        needed[name] = offered[name]
        if not offered[name].startswith(("import ", "from ")):
            waiting |= _free_names(offered[name]) - {name}
    imports = sorted({s for s in needed.values() if s.startswith(("import ", "from "))})
    helpers = [s for s in dict.fromkeys(needed.values()) if not s.startswith(("import ", "from "))]
    comment = f"# Yours: exercise {exercise.number}, {exercise.title}."
    helpers_first = "".join(f"{helper}\n\n\n" for helper in reversed(helpers))
    source = _replaced(source, target, text, f"{helpers_first}{comment}" if helpers else comment)
    return _with_imports(source, imports), None


def _offered(sources: Iterable[str], target: str) -> dict[str, str]:
    """By name, what the chapter's imports and the learner's own cells define; the last one counts."""
    offered: dict[str, str] = {}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    single = type(node)(**{**dict(ast.iter_fields(node)), "names": [alias]})
                    offered[alias.asname or alias.name.split(".")[0]] = ast.unparse(single)
            elif isinstance(node, slicing.Definition):
                if node.name != target:
                    offered[node.name] = _text_of(node, source)
            elif isinstance(node, ast.Assign):
                names = [name.id for name in node.targets if isinstance(name, ast.Name)]
                offered |= dict.fromkeys(names, _text_of(node, source))
    return offered


def _text_of(node: ast.stmt, source: str) -> str:
    """As its author wrote it; a decorated definition has lines above its own."""
    decorated = getattr(node, "decorator_list", [])
    return ast.unparse(node) if decorated else ast.get_source_segment(source, node) or ast.unparse(node)


def top_level(source: str) -> set[str]:
    symbols = symtable.symtable(source, "module", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}


def _free_names(text: str) -> set[str]:
    """The global names that a definition uses, in its annotations too."""
    module = symtable.symtable(text, "answer", "exec")
    found: set[str] = set()
    waiting = [module]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
        if table is module:
            found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and not s.is_assigned()}
    return found - {"__class__"}


def _with_imports(source: str, imports: list[str]) -> str:
    """The module with these imports after its last one of the top level."""
    if not imports:
        return source
    tree = ast.parse(source)
    last = max(n.end_lineno or 0 for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    lines = source.split("\n")
    return "\n".join([*lines[:last], *imports, *lines[last:]])
