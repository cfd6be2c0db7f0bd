"""What an answer may see of llmlib: never the answer, never what comes later."""

import ast
import json
import subprocess
import sys

import pytest

from autograder import library
from autograder.exercises import all_exercises, find

ON_THE_LIBRARY = [e for e in all_exercises() if e.reference and e.reference.__module__.startswith("llmlib.")]


def defined(text):
    body = ast.parse(text).body
    names = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return names | {
        t.id for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    }


@pytest.mark.parametrize("exercise", ON_THE_LIBRARY, ids=lambda e: e.number)
def test_the_answer_and_all_that_comes_later_are_gone(exercise):
    texts = library.cut_for(exercise)
    everything = all_exercises()
    for other in everything[everything.index(exercise) :]:
        if other.reference is None:
            continue
        module, name = other.reference.__module__, other.reference.__qualname__.split(".")[0]
        assert name not in defined(texts.get(module, "")), f"{other.number} is there"


@pytest.mark.parametrize("exercise", ON_THE_LIBRARY, ids=lambda e: e.number)
def test_what_earlier_exercises_built_is_there(exercise):
    texts = library.cut_for(exercise)
    for other in ON_THE_LIBRARY[: ON_THE_LIBRARY.index(exercise)]:
        module, name = other.reference.__module__, other.reference.__qualname__.split(".")[0]
        if name == exercise.reference.__qualname__.split(".")[0]:
            continue  # another method of the same class
        assert name in defined(texts.get(module, "")), f"{other.number} ({other.name}) is missing"


def test_imports_in_a_with_block_are_cut_as_others_are():
    texts = {
        "llmlib": "",
        "llmlib.a": "def f():\n    return 1\n\n\ndef g():\n    return 2\n",
        "llmlib.b": "with quiet():\n    from llmlib.a import f, g\n\n\n"
        "def h():\n    return f()\n\n\ndef k():\n    return g()\n",
        "llmlib.c": "with quiet():\n    from llmlib.a import f\n\n\ndef m():\n    return 3\n",
    }
    left = library.cut(texts, {"llmlib.a.f"})
    assert left["llmlib.b"].split("\n")[:2] == ["with quiet():", "    from llmlib.a import g"]
    assert defined(left["llmlib.b"]) == {"k"}
    assert left["llmlib.c"].split("\n")[1] == "    pass" and defined(left["llmlib.c"]) == {"m"}


def test_what_is_built_on_the_answer_goes_with_it():
    texts = library.cut_for(find("attention.softmax"))
    assert "attention_scores" in defined(texts["llmlib.attention"])
    assert not {"scaled_dot_product_attention", "MultiHeadAttention"} & defined(texts["llmlib.attention"])
    assert "llmlib.transformer" not in texts and "GPT" not in defined(texts["llmlib.gpt"])


def test_cutting_follows_names_through_modules():
    texts = {
        "llmlib": "",
        "llmlib.a": "def f():\n    return 1\n\n\ndef g():\n    return 2\n",
        "llmlib.b": "from llmlib.a import f as one, g\n\nX = one()\n\n\n"
        "def h():\n    return X\n\n\ndef k():\n    return g()\n",
        "llmlib.c": "from llmlib import a\nimport llmlib.b\n\n\n"
        "def m():\n    return a.f()\n\n\ndef n():\n    return a.g()\n",
        "llmlib.d": "def late():\n    from llmlib.b import h\n    return h()\n",
    }
    cut = library.cut(texts, {"llmlib.a.f"})
    assert {name: defined(text) for name, text in cut.items()} == {
        "llmlib": set(), "llmlib.a": {"g"}, "llmlib.b": {"k"}, "llmlib.c": {"n"},
    }  # fmt: skip
    assert "one" not in cut["llmlib.b"] and "import g" in cut["llmlib.b"]
    assert cut["llmlib.a"].count("\n") == texts["llmlib.a"].count("\n"), "the line numbers stay"


IMPORTS_EVERYTHING = """
import importlib, inspect, json, sys
from autograder.texts import TextFinder
for number, texts in json.load(sys.stdin).items():
    before = list(sys.meta_path)
    TextFinder(texts).install()
    modules = [importlib.import_module(name) for name in texts]
    assert all(m.__spec__.origin.startswith("<llmlib") for m in modules), number
    assert "def " in inspect.getsource(sys.modules["llmlib.data"].load_corpus)
    sys.meta_path[:] = before
    print(number, len(modules))
"""


def test_every_module_that_is_left_can_be_imported_and_nothing_is_read_from_files():
    """For the first exercise of each chapter, all in one process: most of the time goes into torch."""
    numbers = sorted({e.number.split(".")[0] + ".1" for e in ON_THE_LIBRARY})
    texts = {number: library.cut_for(find(number)) for number in numbers}
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS_EVERYTHING], input=json.dumps(texts), capture_output=True, text=True
    )
    assert ran.stdout.split("\n")[:-1] == [f"{n} {len(texts[n])}" for n in numbers], ran.stderr
