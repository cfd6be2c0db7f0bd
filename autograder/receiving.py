"""What happens to a submission before nbgrader looks at it: `nbgrader autograde`'s first step is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, from_dict
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.outputs import as_cell
from autograder.rebuilding import rebuild


class Rebuild(NbGraderPreprocessor):
    """Puts the answers into the released notebook, and writes what was repaired above it."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        about = resources["nbgrader"]
        course = CourseDirectory(parent=self)
        folders = (course.release_directory, "chapters")  # a class's own release, else the public chapter
        paths = [
            Path(course.format_path(folder, ".", about["assignment"])) / f"{about['notebook']}.ipynb"
            for folder in folders
        ]
        path = next((path for path in paths if path.is_file()), paths[0])
        if not path.is_file():
            self.log.warning("%s is not there: the submission is graded as it came", path)
            return nb, resources
        release = json.loads(path.read_text("utf-8"))
        rebuilt = rebuild(release_cells(release), [as_cell(cell) for cell in nb.cells])
        for note in rebuilt.notes:
            self.log.warning("%s, %s: %s", about["student"], about["notebook"], note)
        cells = [nbformat.from_dict(cell) for cell in rebuilt.cells]
        if rebuilt.notes:
            cells.insert(0, _notice(rebuilt.notes))
        nb.cells = cells
        nb.metadata = from_dict(release["metadata"])
        nb.nbformat, nb.nbformat_minor = release["nbformat"], release["nbformat_minor"]
        return nb, resources


def release_cells(release: dict[str, Any]) -> list[dict[str, Any]]:
    """The released notebook's cells with their sources joined, and nothing else changed."""
    joined = ({**c, "source": as_cell(c)["source"]} for c in release["cells"])
    return list(joined)


def _notice(notes: list[str]) -> NotebookNode:
    lines = "\n".join(f"- {note}" for note in notes)
    text = f"**Repaired on receipt.** The submission differed from what was handed out:\n\n{lines}"
    return from_dict({"cell_type": "markdown", "id": "repairs", "metadata": {}, "source": text})


def sanitize_chain() -> list[type[NbGraderPreprocessor]]:
    """The steps before a submission is executed: ours, then nbgrader's own."""
    return [Rebuild, *Autograde.class_traits()["sanitize_preprocessors"].default()]
