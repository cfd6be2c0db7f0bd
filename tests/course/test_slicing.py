"""Definitions are cut out as they were written, and a stub is the same without its body."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
from json import decoder
from pathlib import Path

import pytest

import llmlib
from autograder import slicing

LLMLIB = sorted(Path(llmlib.__file__).parent.glob("*.py"))
DIFFICULT = '''\
import functools


@functools.cache
@functools.wraps(
    print,
)
def first(
    x: "Float[Tensor, 'a b']",  # the input
    key=lambda pair: {1: 2}[pair],
    *rest: int,
) -> dict[str, "a: b"]:
    """What it does.

    More of it.
    """
    # why it is so
    y   =  x   # keep   me

    return y
    # a last word

# not mine
class Layer:
    """A layer."""

    size: int = 3

    def __init__(self, width):
        self.width = width  # given

    @property
    def area(self): return self.width ** 2

    @area.setter
    def area(self, value): "Set it."; self.width = value

    def forward(self, x):
        secret = x * self.width
        return secret

    async def later(
        self,
    ):
        secret = 3
        # a trailing secret
    # the class goes on

    other = 4


def twice(): return 1
def twice(): return 2
def no_docstring(x):
    # a secret comment
    return x
'''


def names_in(source):
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name


def test_a_definition_comes_out_as_it_was_written():
    text = slicing.definition(DIFFICULT, "first")
    assert text.startswith("@functools.cache\n@functools.wraps(\n    print,\n)\ndef first(")
    assert "# the input" in text and "y   =  x   # keep   me" in text
    assert text.endswith("    return y\n    # a last word")
    assert text in DIFFICULT


def test_a_stub_keeps_everything_but_the_body():
    assert slicing.stub(DIFFICULT, "first", "Exercise 3.2: √") == textwrap.dedent('''\
        @functools.cache
        @functools.wraps(
            print,
        )
        def first(
            x: "Float[Tensor, 'a b']",  # the input
            key=lambda pair: {1: 2}[pair],
            *rest: int,
        ) -> dict[str, "a: b"]:
            """What it does.

            More of it.
            """
            raise NotImplementedError("Exercise 3.2: √")''')


def test_comments_before_the_first_statement_belong_to_the_body():
    stub = slicing.stub(DIFFICULT, "no_docstring", "m")
    assert stub == 'def no_docstring(x):\n    raise NotImplementedError("m")'


def test_one_method_of_a_class_is_stubbed_and_the_rest_is_given():
    stub = slicing.stub(DIFFICULT, "Layer.forward", "m")
    assert "self.width = width  # given" in stub and "self.width ** 2" in stub and "other = 4" in stub
    assert "secret = x * self.width" not in stub
    assert '    def forward(self, x):\n        raise NotImplementedError("m")\n\n    async def later(' in stub
    assert slicing.definition(DIFFICULT, "Layer.forward") == slicing.definition(DIFFICULT, "Layer")


def test_a_class_is_stubbed_but_for_its_init():
    stub = slicing.stub(DIFFICULT, "Layer", "m")
    assert stub.count('raise NotImplementedError("m")') == 4
    assert "secret" not in stub and "** 2" not in stub and "self.width = value" not in stub
    assert "self.width = width  # given" in stub and "    # the class goes on\n\n    other = 4" in stub
    assert '        "Set it."\n        raise' in stub
    namespace = {}
    exec(stub, namespace)
    with pytest.raises(NotImplementedError, match="m"):
        namespace["Layer"](3).forward(1)


def test_a_property_and_its_setter_are_one():
    stub = slicing.stub(DIFFICULT, "Layer.area", "m")
    assert stub.count("raise NotImplementedError") == 2 and "secret = x" in stub


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("frist", "there is no frist in the file: did you mean first?"),
        ("Layer.foward", "there is no foward in the class Layer: did you mean forward?"),
        ("twice", "twice is defined 2 times"),
        ("first.inner", "there is no inner"),
    ],
)
def test_a_name_that_cannot_be_cut_is_refused(name, words):
    with pytest.raises(slicing.SlicingError) as caught:
        slicing.definition(DIFFICULT, name)
    assert words in str(caught.value)


def test_a_class_with_nothing_to_write_is_refused():
    with pytest.raises(slicing.SlicingError, match="no method to write besides __init__"):
        slicing.stub("class A:\n    def __init__(self): pass\n", "A", "m")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_line_ends_do_not_matter(end):
    source = DIFFICULT.replace("\n", "\r\n") if end == "\r\n" else DIFFICULT.rstrip("\n") + end
    assert slicing.stub(source, "Layer", "m") == slicing.stub(DIFFICULT, "Layer", "m")


def test_rare_line_breaks_inside_a_string_do_not_shift_the_cut():
    source = 'A = "a\x0cb\u2028c"\n\n\ndef f():\n    """Doc."""\n    return 1\n'
    assert slicing.definition(source, "f") == 'def f():\n    """Doc."""\n    return 1'


@pytest.mark.parametrize("path", LLMLIB, ids=lambda path: path.stem)
def test_every_function_of_llmlib_can_be_cut(path):
    source = path.read_text("utf-8")
    for name in names_in(source):
        _compare(source, name)


@pytest.mark.parametrize("module", [dataclasses, decoder, functools, textwrap], ids=lambda m: m.__name__)
def test_functions_of_other_peoples_libraries_can_be_cut(module):
    source = inspect.getsource(module)
    counted = 0
    for name in names_in(source):
        if list(names_in(source)).count(name) == 1:
            _compare(source, name)
            counted += 1
    assert counted


def _compare(source, name):
    """The oracle: the syntax trees of the original, of the cut and of the stub."""
    original = next(n for n in ast.parse(source).body if getattr(n, "name", None) == name)
    assert ast.dump(ast.parse(slicing.definition(source, name)).body[0]) == ast.dump(original)
    stub = ast.parse(slicing.stub(source, name, "Exercise 1.1: write it")).body[0]
    docstring = original.body[:1] if ast.get_docstring(original) is not None else []
    original.body = [*docstring, *ast.parse('raise NotImplementedError("Exercise 1.1: write it")').body]
    assert ast.dump(stub) == ast.dump(original)


def test_the_library_knows_its_modules():
    source, name = slicing.library_source("attention.softmax")
    assert name == "softmax" and "def softmax(" in source
    assert slicing.library_source("attention.MultiHeadAttention.forward")[1] == "MultiHeadAttention.forward"
    with pytest.raises(slicing.SlicingError, match=r"llmlib has no module 'atention': it has .*attention"):
        slicing.library_source("atention.softmax")


def test_the_body_is_what_the_stub_takes_away():
    statements = slicing.body(DIFFICULT, "first")
    assert [ast.unparse(s) for s in statements] == ["y = x", "return y"]
