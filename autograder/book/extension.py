"""The Sphinx extension of the book.

It finishes the chapters' pages, writes the library's reference pages, draws diagrams, adds what the pages
ship, and takes the repository's address from `pyproject.toml`, its one place.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

from autograder.book import api, assets, diagrams, pages
from autograder.notebooks import MakingError, repository

PRIORITY = 700  # after the theme's own files


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("course_machinery", "", "env", types=(str,))
    app.add_config_value("course_assets", "", "html", types=(str,))
    app.add_config_value("comments_config", {}, "")  # Jupyter Book sets it, for an extension left out here
    app.add_directive("mermaid", diagrams.Mermaid)
    app.connect("config-inited", configure, priority=400)
    app.connect("source-read", write_source)
    app.connect("builder-inited", mend_pages)
    app.connect("html-page-context", add_page_files, priority=600)
    app.add_css_file("course.css", priority=PRIORITY)
    app.add_js_file("course.js", priority=PRIORITY)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def configure(app: Sphinx, config: Config) -> None:
    root = Path(app.confdir)
    try:
        static = assets.vendor(root)
    except assets.AssetError as error:
        raise ExtensionError(str(error)) from None
    config.html_static_path = [str(root / "book" / "assets"), str(static)]
    # A page depends on this machinery as well as on its text: another machinery, and all is read again.
    here = Path(__file__).parent
    machinery = b"".join(path.read_bytes() for path in sorted(here.glob("*.py")))
    config.course_machinery = hashlib.sha256(machinery).hexdigest()
    # Sphinx copies static files only when it writes pages: another look, and all are written again.
    look = sorted(path for path in (root / "book" / "assets").rglob("*") if path.is_file())
    look.append(root / "book" / "packages.json")
    config.course_assets = hashlib.sha256(b"".join(path.read_bytes() for path in look)).hexdigest()
    options = config.html_theme_options
    options["logo"] = {"text": config.html_title, "alt_text": ""}
    try:
        options["repository_url"] = repository(root)
    except MakingError:  # a book without an address has no buttons that lead there
        options.pop("repository_url", None)
        options.pop("launch_buttons", None)


# A chapter's page and a reference page are made when Sphinx reads them.


def write_source(app: Sphinx, docname: str, source: list[str]) -> None:
    folder = docname.split("/")
    if folder[0] == "chapters":
        source[0] = _chapter(app, docname, source[0])
    elif folder[:2] == ["book", "api"] and folder[-1] != "index":
        source[0] = _reference(app, folder[-1])


def _chapter(app: Sphinx, docname: str, text: str) -> str:
    root = Path(app.srcdir)
    solution = root / "solutions" / Path(docname).relative_to("chapters").with_suffix(".ipynb")
    if not solution.is_file():
        raise ExtensionError(f"{docname} has no executed solution at {solution}. Run `make notebooks`.")
    for path in (solution, *(root / "llmlib").glob("*.py"), *(root / "autograder").rglob("*.py")):
        app.env.note_dependency(str(path))
    solved = json.loads(solution.read_text("utf-8"))
    try:
        _be_fresh(solved, docname)
        page = pages.finish(
            json.loads(text),
            solved,
            name=docname,
            reference_link=lambda grade_id: _reference_link(root, grade_id),
        )
    except pages.PageError as error:
        raise ExtensionError(str(error)) from None
    return json.dumps(page)


def _be_fresh(solved: pages.Notebook, docname: str) -> None:
    """Refuse outputs that other sources printed."""
    from autograder.exercises import chapters
    from autograder.sources import digest

    chapter = next((c for c in chapters() if docname.endswith(f"/{c.slug}")), None)
    if chapter is None:
        raise pages.PageError(f"{docname} is in _toc.yml, and autograder/exercises knows no such chapter")
    code = [pages.text(cell) for cell in solved["cells"] if cell["cell_type"] == "code"]
    pages.be_fresh(solved, digest(chapter, code), docname)


def _reference(app: Sphinx, module: str) -> str:
    root = Path(app.srcdir)
    path = root / "llmlib" / f"{module}.py"
    if not path.is_file():
        raise ExtensionError(f"book/api/{module}.md describes llmlib.{module}, which does not exist")
    app.env.note_dependency(str(path))
    _note_exercises(app, root)
    found = {docname for docname in app.env.found_docs if docname.startswith("chapters/")}
    links = api.Links(taught=lambda name: _taught(name, found), chapter=lambda name: _taught_in(name, found))
    return api.module_page(path, links)


def _note_exercises(app: Sphinx, root: Path) -> None:
    for path in (root / "autograder" / "exercises").glob("*.py"):
        app.env.note_dependency(str(path))


def _reference_link(root: Path, grade_id: str) -> str | None:
    """From an exercise's solution to the function's place in the reference."""
    from autograder.exercises import all_exercises  # imports torch: only when a page is read

    exercise = next((e for e in all_exercises() if e.grade_id == grade_id), None)
    if exercise is None:
        return None
    path = root / "llmlib" / f"{exercise.name.partition('.')[0]}.py"
    if not path.is_file() or exercise.name not in api.names(path):
        return None
    return f"{{ref}}`llmlib.{exercise.name} <{api.label(exercise.name)}>`"


def _chapter_page(number: int, found: set[str]) -> tuple[str, str] | None:
    from autograder.exercises import find_chapter

    chapter = find_chapter(number)
    docname = f"chapters/{chapter.slug}/{chapter.slug}"
    return (docname, chapter.title) if docname in found else None


def _taught(name: str, found: set[str]) -> str | None:
    from autograder.exercises import all_exercises

    links = [
        f"{{ref}}`exercise {e.number} <{pages.exercise_label(e.grade_id)}>`"
        for e in all_exercises()
        if e.name == name and _chapter_page(e.chapter, found)
    ]
    return f"{{.course-taught}}\nYou write it in {' and '.join(links)}." if links else None


def _taught_in(module: str, found: set[str]) -> str | None:
    from autograder.exercises import all_exercises

    numbers = sorted({e.chapter for e in all_exercises() if e.name.partition(".")[0] == module})
    known = [(number, page) for number in numbers if (page := _chapter_page(number, found))]
    if not known:
        return "{.course-taught}\nThe chapter that teaches this module is not written yet."
    links = [f"{{doc}}`chapter {number}, {title} </{docname}>`" for number, (docname, title) in known]
    return f"{{.course-taught}}\nTaught in {' and '.join(links)}."


# Pages as they leave the theme

# What the theme writes, what stands there instead, and why.
MENDINGS = (
    # A font preloaded "crossorigin" is refused on file://, with an error in the console; it loads without.
    (r'[ \t]*<link rel="preload" as="font"[^>]*>\n?', ""),
    # A name that is not the text one sees: a voice command for the text would find nothing.
    (r'(<button class="[^"]*search-button__button[^"]*"[^>]*?) aria-label="[^"]*"', r"\1"),
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    # An arrow alone says nothing to a screen reader.
    (r'<summary>(?=<span class="toctree-toggle")', '<summary aria-label="Pages below this one">'),
    # The title above the sidebar's links stands outside every landmark.
    (
        r'<div class="bd-sidebar-primary bd-sidebar">',
        '<div class="bd-sidebar-primary bd-sidebar" role="region" aria-label="The book">',
    ),
    # The corner of a table is no heading.
    (r'<th class="(head[^"]*)">(?:<p></p>|\s*)</th>', r'<td class="\1"></td>'),
    # A role that was withdrawn, on an entry of a list.
    (r'(<div class="citation"[^>]*) role="doc-biblioentry"', r'\1 role="listitem"'),
)


def mend_pages(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    render = app.builder.templates.render

    def mended(template: str, context: dict[str, Any]) -> str:
        page = render(template, context)
        for pattern, instead in MENDINGS:
            page = re.sub(pattern, instead, page)
        return page

    app.builder.templates.render = mended


# What a page with a diagram needs


def add_page_files(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: Any) -> None:
    if diagrams.ON_PAGE in (context.get("meta") or {}):
        app.add_js_file("vendor/mermaid/dist/mermaid.min.js", priority=PRIORITY)
        app.add_js_file("diagrams.js", priority=PRIORITY + 1)
