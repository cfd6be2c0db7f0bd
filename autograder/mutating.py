"""Mutants: the course's own solutions with one small thing wrong, to see whether the checks notice.

A misconception is a mistake that people make; a mutant is one that a machine can think of: another operator,
a constant off by one, another axis, a comparison turned, a condition negated. Checks that let one pass would
let a learner's slip pass too.

Not mutated is what no check looks at by design: the guard that raises an error for wrong input (right input
only is sent), names, annotations, default values and docstrings, which the learner is given.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from autograder.exercise import Exercise
from autograder.grading import passes

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
CALLS = {
    "sin": "cos", "cos": "sin", "sum": "mean", "mean": "sum", "max": "min", "min": "max", "amax": "amin",
    "amin": "amax", "sqrt": "square", "square": "abs", "exp": "sigmoid", "tril": "triu", "triu": "tril",
    "ones": "zeros", "zeros": "ones", "sigmoid": "tanh", "tanh": "sigmoid", "erf": "tanh",
    "cumsum": "cumprod", "lower": "upper", "append": "extend", "argmax": "argmin",
}  # fmt: skip
SECONDS = 3.0  # for all calls of a mutant, which may loop for ever


@dataclass(frozen=True)
class Mutant:
    """One change. `name` says where and what, and stays the same while the line does."""

    name: str
    source: str


def mutants_of(exercise: Exercise) -> list[Mutant]:
    """Every mutant of an exercise's reference, in the order of the text; none for a value exercise."""
    if exercise.reference is None:
        return []
    text = inspect.getsource(exercise.reference)
    tree = ast.parse(text)
    own = exercise.methods or (exercise.reference.__name__,)
    found: dict[str, Mutant] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name in own:
            for node in _mutable(function):
                for change, what in _changes(node):
                    changed = _changed(tree, node, change)
                    line = text.splitlines()[node.lineno - 1].strip()
                    name = f"{line}  ⟶  {what}"
                    number = 2
                    while name in found:
                        name, number = f"{line}  ⟶  {what} ({number})", number + 1
                    found[name] = Mutant(name, changed)
    return list(found.values())


def defined(exercise: Exercise, mutant: Mutant) -> Any:
    """The mutant as something that can be graded."""
    reference = exercise.reference
    assert reference is not None
    namespace = dict(vars(sys.modules[reference.__module__]))
    # The library's modules leave annotations unevaluated, and so must a piece of them.
    flags = __future__.annotations.compiler_flag
    exec(compile(mutant.source, "<mutant>", "exec", flags=flags), namespace)
    return namespace[reference.__name__]


def survivors(exercise: Exercise, mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant, and whether it passes every check."""
    for mutant in mutants:
        yield mutant, passes(exercise, defined(exercise, mutant), timeout=SECONDS)


def _mutable(function: ast.FunctionDef) -> Iterator[ast.expr | ast.stmt]:
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise) and not node.orelse:
            continue  # the guard of an error
        if isinstance(node, ast.Raise | ast.Assert):
            continue
        if isinstance(node, ast.Try):  # an error told in other words: what is tried counts
            waiting += [*reversed(node.body), *reversed(node.orelse)]
            continue
        if isinstance(node, ast.AnnAssign):
            waiting += [node.value] if node.value else []
            continue
        if isinstance(node, ast.expr | ast.stmt):
            yield node
        waiting += reversed(list(ast.iter_child_nodes(node)))


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """What may stand in a node's place, and how to say so."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and (other := OPERATORS.get(type(node.op))):
        yield _with(node, op=other()), f"{_sign(node.op)} becomes {_sign(other())}"
    elif isinstance(node, ast.Compare):
        for comparison in COMPARISONS.get(type(node.ops[0]), ()):
            first, instead = node.ops[0], comparison()
            yield _with(node, ops=[instead, *node.ops[1:]]), f"{_sign(first)} becomes {_sign(instead)}"
    elif isinstance(node, ast.BoolOp):
        yield (
            _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()),
            "`and` and `or` swapped",
        )
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield node.operand, f"{_sign(node.op)} taken away"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = node.operand.value  # type: ignore[attr-defined]
        if isinstance(value, int):  # mostly an axis
            yield ast.UnaryOp(ast.USub(), ast.Constant(value + 1)), f"-{value} becomes -{value + 1}"
            if value > 1:
                yield ast.UnaryOp(ast.USub(), ast.Constant(value - 1)), f"-{value} becomes -{value - 1}"
    elif isinstance(node, ast.Constant):
        yield from ((ast.Constant(v), f"{node.value!r} becomes {v!r}") for v in _constants(node.value))
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test)), "the condition is negated"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
        call = CALLS[node.func.attr]
        yield _with(node, func=_with(node.func, attr=call)), f"{node.func.attr} becomes {call}"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        call = CALLS[node.func.id]
        yield _with(node, func=ast.Name(call, ast.Load())), f"{node.func.id} becomes {call}"
    elif isinstance(node, ast.Continue | ast.Break):
        way = ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
        yield way, f"{type(node).__name__.lower()} becomes {type(way).__name__.lower()}"


def _constants(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value * 2 if value else 1.0]
    return []


def _with(node: Any, **fields: Any) -> Any:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _changed(tree: ast.Module, node: ast.AST, change: ast.AST) -> str:
    """The whole text with `change` in the place of `node`."""

    class Swap(ast.NodeTransformer):
        def visit(self, current: ast.AST) -> ast.AST:
            if current is node:
                return ast.copy_location(change, node)
            # A copy of every node on the way: the tree itself stays as it was.
            return super().generic_visit(copy.copy(_with_own_lists(current)))

    return ast.unparse(ast.fix_missing_locations(Swap().visit(tree)))


def _with_own_lists(node: ast.AST) -> ast.AST:
    other = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(other, name, list(value))
    return other


def _sign(operator: ast.AST) -> str:
    left, right = ast.Name("a", ast.Load()), ast.Name("b", ast.Load())
    if isinstance(operator, ast.operator):
        text = ast.unparse(ast.BinOp(left, operator, right))
    elif isinstance(operator, ast.cmpop):
        text = ast.unparse(ast.Compare(left, [operator], [right]))
    else:
        text = ast.unparse(ast.UnaryOp(operator, left))  # type: ignore[arg-type]
    return f"`{text.removeprefix('a').removesuffix('b').removesuffix('a').strip(' ()')}`"
