"""From a solved notebook to the learner's: nbgrader's own steps, with our stubs for its global one.

`nbgrader generate_assignment` (through `nbgrader_config.py`) and `make notebooks` both run `release_chain()`,
so what an instructor releases is `chapters/`, byte for byte.
"""

from __future__ import annotations

from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode, from_dict
from nbgrader import utils
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, NbGraderPreprocessor, SaveCells
from traitlets import Dict, Unicode
from traitlets.config import Config

from autograder import exercises, slicing, variants
from autograder.exercise import Exercise
from autograder.markers import BEGIN, END, region

# What every notebook of ours says of its language: without a version, which differs between machines.
NOTEBOOK_METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}


class Stubs(NbGraderPreprocessor):
    """Replaces each answer by its stub, which is found by the cell's grade_id.

    Raises:
        ValueError: a cell holds a solution and no stub is known for it: it must not reach a learner.
    """

    text_stub = Unicode(
        "*Your answer: double-click here and write it in the place of this line.*",
        help="What stands in a cell where the learner answers in words.",
    ).tag(config=True)

    variants = Dict(
        help="A class's variants: the id by the exercise's name. Its statement, stub and check are written."
    ).tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        nb.metadata = from_dict(NOTEBOOK_METADATA)
        variants.rewrite(nb, self.variants)
        for cell in nb.cells:
            if utils.is_solution(cell):
                cell.source = self._stub(cell)
            if BEGIN in cell.source or END in cell.source:
                raise ValueError(f"a solution is left in this cell:\n{cell.source}")
        return nb, resources

    def _stub(self, cell: NotebookNode) -> str:
        if cell.cell_type == "markdown":
            return self.text_stub
        grade_id = cell.metadata.nbgrader.grade_id
        exercise = next((e for e in exercises.all_exercises() if e.grade_id == grade_id), None)
        if exercise is None:
            raise ValueError(f"no exercise of the catalogue has the grade_id {grade_id!r}")
        if exercise.name in self.variants:
            exercise = exercise.varied(self.variants[exercise.name])
        return stub_source(exercise, cell.source)


def stub_source(exercise: Exercise, solved: str) -> str:
    """The learner's text for the cell that holds `solved`.

    Raises:
        ValueError: an exercise that is no function of `llmlib` has no solution markers in its cell.
        SlicingError: `llmlib` has no such function.
    """
    if exercise.kind == "code":
        message = f"Exercise {exercise.number}: write {exercise.name.partition('.')[2]}"
        if exercise.variant:
            return slicing.stub(variants.solution(exercise), exercise.answer_name, message)
        return slicing.stub(*slicing.library_source(exercise.name), message)
    lines = solved.split("\n")
    markers = region(solved)
    if markers is None:
        raise ValueError(f"the answer of exercise {exercise.number} has no solution markers:\n{solved}")
    first, last = markers
    return "\n".join([*lines[:first], *_starter(exercise).strip("\n").split("\n"), *lines[last + 1 :]])


def _starter(exercise: Exercise) -> str:
    name = exercise.answer_name
    if exercise.starter is not None:
        return exercise.starter
    if exercise.kind == "prediction":
        return (
            f"{name} = {{\n"
            '    "value": ...,  # your number\n'
            '    "confidence": ...,  # how sure are you, from 0 to 1?\n'
            "}"
        )
    if exercise.kind == "mutants":
        return f"{name} = [\n    ...,  # your inputs, one after the other\n]"
    if exercise.takes_value:
        return f"{name} = ...  # your answer"
    raise ValueError(f"exercise {exercise.number} ({exercise.kind}) needs a starter in the catalogue")


def release_chain(*, gradebook: bool = True) -> list[type[NbGraderPreprocessor]]:
    """The steps of `generate_assignment`. Without `gradebook`, as under its own `--no-db`."""
    steps = GenerateAssignment.class_traits()["preprocessors"].default()
    if ClearSolutions not in steps:
        raise RuntimeError("this nbgrader prepares a release in another way: use the version in the lock")
    chain = [Stubs if step is ClearSolutions else step for step in steps]
    return [step for step in chain if gradebook or step is not SaveCells]


def release(solved: NotebookNode, chosen: variants.Chosen | None = None) -> bytes:
    """The learner's notebook, as it is written to `chapters/`; with variants, as a class gets it."""
    # nbgrader switches nbconvert's own steps off in the same way.
    config = {"Exporter": {"default_preprocessors": []}, "Stubs": {"variants": dict(chosen or {})}}
    exporter = NotebookExporter(config=Config(config))
    for step in release_chain(gradebook=False):
        exporter.register_preprocessor(step, enabled=True)
    text, _ = exporter.from_notebook_node(solved)
    return text.encode()
