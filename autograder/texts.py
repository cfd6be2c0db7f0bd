"""What an answer's process knows of the course: modules given as texts, and how the reference is called.

Nothing of it is read from a file, so there is no file that holds the answer.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import inspect
import linecache
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from autograder.outcome import Failure, Refused


class TextFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules from texts instead of files; of their package, nothing else."""

    def __init__(self, texts: Mapping[str, str]):
        self.texts = texts
        self.packages = {name.split(".")[0] for name in texts}

    def install(self) -> None:
        for name in [n for n in sys.modules if n.split(".")[0] in self.packages]:
            del sys.modules[name]
        for name, text in self.texts.items():
            linecache.cache[_file(name)] = (len(text), None, text.splitlines(keepends=True), _file(name))
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.split(".")[0] not in self.packages:
            return None
        if name not in self.texts:
            raise _refusal(name)
        spec = importlib.util.spec_from_loader(name, self, origin=_file(name), is_package="." not in name)
        assert spec is not None
        spec.has_location = True  # so that `inspect` finds the text, which `linecache` holds
        return spec

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        exec(compile(self.texts[name], _file(name), "exec"), module.__dict__)

        def missing(wanted: str) -> Any:
            # A module that is there, and that nobody has imported yet, is the import's to find.
            if wanted.startswith("__") or f"{name}.{wanted}" in self.texts:
                raise AttributeError(f"module {name!r} has no attribute {wanted!r}")
            raise _refusal(f"{name}.{wanted}")

        module.__dict__.setdefault("__getattr__", missing)


def _refusal(name: str) -> Refused:
    return Refused(
        Failure(
            "reference",
            f"`{name}` is not there while this exercise is checked: it is the course's own solution, or is "
            "built on it, or comes later; the exercise is to write it yourself",
        )
    )


def _file(name: str) -> str:
    return f"<{name}>"


def stand_in(signature: dict[str, Any]) -> Any:
    """A function or a class that is called like the reference and does nothing: see `signature_of`."""
    if "function" in signature:
        return _function("reference", signature["function"])
    methods = {name: _function(name, parameters) for name, parameters in signature["methods"].items()}
    return type(signature["class"], (), methods)


def _function(name: str, parameters: list[list[Any]]) -> Any:
    def function(*arguments: Any, **named: Any) -> None:
        raise NotImplementedError

    function.__name__ = name
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                n, inspect._ParameterKind(kind), default=None if has_default else inspect.Parameter.empty
            )
            for n, kind, has_default in parameters
        ]
    )
    return function
