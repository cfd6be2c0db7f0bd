"""The library's reference pages are written from sources that are not imported (the sample could not be)."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from autograder.book import api

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "llmlib").glob("*.py") if not path.stem.startswith("__"))

SAMPLE = '''"""About shapes.

Stars like *batch and d_model stay plain; `code_like *this` too.
"""

from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    """What it holds.

    width:  the length of a vector,
            in numbers.
    depth:  how many.
    """

    width: int = 3
    depth: int = 4

    def total(self) -> int:
        """Both together."""
        return self.width * self.depth

    def _hidden(self):
        """Not shown."""

def scale(
    x: Float[Tensor, "*batch d_k"],  # any number of axes
) -> Float[Tensor, "*batch d_k"]:
    """Make it smaller.

        >>> scale(4)
        2

    Raises:
        ValueError: x is empty, or it is
            not a tensor.

    Source: A Paper (2017), equation 1.
    """
    return x / 2

def _private():
    """Not shown."""
'''


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "shapes.py"
    path.write_text(SAMPLE, "utf-8")
    return path


def test_the_signature_stands_as_it_was_written(sample):
    page = api.module_page(sample)
    assert (
        '    x: Float[Tensor, "*batch d_k"],  # any number of axes\n) -> Float[Tensor, "*batch d_k"]:' in page
    )


def test_plain_text_keeps_its_stars_and_underscores(sample):
    page = api.module_page(sample)
    assert r"Stars like \*batch and d\_model stay plain; `code_like *this` too." in page


def test_sections_fields_and_examples_become_markdown(sample):
    page = api.module_page(sample)
    assert "**Raises**\n\n- `ValueError`: x is empty, or it is not a tensor." in page
    assert "- `width`: the length of a vector, in numbers.\n- `depth`: how many." in page
    assert "```python\n>>> scale(4)\n2\n```" in page
    assert "{.course-origin}\nSource: A Paper (2017), equation 1." in page


def test_a_class_shows_fields_and_public_methods_only(sample):
    page = api.module_page(sample)
    assert "class Config:\n    width: int = 3\n    depth: int = 4" in page
    assert "(llmlib.shapes.Config-class.total)=" in page
    assert "(llmlib.shapes._" not in page and "Config._hidden)=" not in page
    assert api.names(sample) == ["shapes.Config", "shapes.Config.total", "shapes.scale"]


def test_links_to_where_it_is_taught(sample):
    links = api.Links(
        taught=lambda name: f"EXERCISE OF {name}" if name == "shapes.scale" else None,
        chapter=lambda module: f"CHAPTER OF {module}",
    )
    page = api.module_page(sample, links)
    assert page.count("EXERCISE OF shapes.scale") == 1
    assert page.count("CHAPTER OF shapes") == 1


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_page_in_the_book(name):
    assert (ROOT / "book" / "api" / f"{name}.md").is_file(), (
        f"write book/api/{name}.md and name it in _toc.yml"
    )
    assert f"book/api/{name}\n" in (ROOT / "_toc.yml").read_text("utf-8") + "\n"


def test_no_page_is_without_its_module():
    pages = {path.stem for path in (ROOT / "book" / "api").glob("*.md")} - {"index"}
    assert pages == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_page_has_all_that_the_module_makes_public(name):
    """Python's own view of the module against ours, which only reads the text."""
    module = importlib.import_module(f"llmlib.{name}")
    made_here = {
        f"{name}.{key}"
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    listed = {entry for entry in api.names(ROOT / "llmlib" / f"{name}.py") if entry.count(".") == 1}
    assert listed == made_here


def test_the_table_of_contents_lists_notebooks_with_their_suffix():
    """Without it the launch buttons are dead."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    chapters = [file for file in files if file.startswith("chapters/")]
    assert chapters
    assert all(file.endswith(".ipynb") for file in chapters)
