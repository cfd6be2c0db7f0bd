"""A chapter's page is the learner's notebook with its twin's outputs and the folded solution, by id."""

from __future__ import annotations

import copy

import pytest

from autograder.book import pages


def code(identifier, source, outputs=(), count=None, **nbgrader):
    metadata = {"nbgrader": {"grade_id": identifier, **nbgrader}} if nbgrader else {}
    return {
        "cell_type": "code",
        "id": identifier,
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }


def prose(identifier, source, **nbgrader):
    metadata = {"nbgrader": {"grade_id": identifier, **nbgrader}} if nbgrader else {}
    return {"cell_type": "markdown", "id": identifier, "metadata": metadata, "source": source}


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def result(value):
    return {
        "output_type": "execute_result",
        "execution_count": 7,
        "metadata": {},
        "data": {"text/plain": value},
    }


def panel():
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<p>passed</p>"}}


@pytest.fixture
def chapter():
    return {
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
        "cells": [
            prose("title", "# A chapter"),
            code("colab", "install()"),
            code("shown", "print(1)"),
            prose("softmax-statement", ["### Exercise 1.1: Softmax\n", "\n", "Write it."]),
            code("softmax", "def softmax(x):\n    raise NotImplementedError", solution=True, grade=False),
            code("softmax-check", 'softmax = check(softmax, "1.1")\nverdict()', solution=False, grade=True),
            prose("why", "Your answer", solution=True, grade=True),
        ],
    }


@pytest.fixture
def solution(chapter):
    solved = copy.deepcopy(chapter)
    cells = {cell["id"]: cell for cell in solved["cells"]}
    cells["shown"]["outputs"] = [stream("1\n")]
    cells["softmax"]["source"] = "def softmax(x):\n    return '```'"
    cells["softmax-check"]["outputs"] = [panel(), result("4")]
    cells["why"]["source"] = "Because of the variance."
    for count, cell in enumerate((c for c in solved["cells"] if c["cell_type"] == "code"), start=1):
        cell["execution_count"] = count
    solved["metadata"][pages.OURS] = {"sources": "abc"}
    return solved


def finished(chapter, solution, **options):
    page = pages.finish(chapter, solution, name="a page", **options)
    return page, {cell["id"]: cell for cell in page["cells"]}


def test_outputs_come_from_the_twin_with_the_same_id(chapter, solution):
    solution["cells"].reverse()
    _, cells = finished(chapter, solution)
    assert cells["shown"]["outputs"] == [stream("1\n")]
    assert [output["output_type"] for output in cells["softmax-check"]["outputs"]] == ["display_data"]


def test_the_learners_cells_stay_as_they_are_and_in_order(chapter, solution):
    page, _ = finished(chapter, solution)
    mine = [cell for cell in page["cells"] if not cell["id"].endswith("-solution")]
    assert [cell["id"] for cell in mine] == [cell["id"] for cell in chapter["cells"]]
    assert [cell["source"] for cell in mine if cell["cell_type"] == "code"] == [
        cell["source"] for cell in chapter["cells"] if cell["cell_type"] == "code"
    ]


def test_inputs_are_not_changed(chapter, solution):
    before = copy.deepcopy((chapter, solution))
    finished(chapter, solution)
    assert (chapter, solution) == before


def test_the_solution_is_folded_below_the_answer_cell(chapter, solution):
    page, cells = finished(chapter, solution, reference_link=lambda grade_id: f"LINK-{grade_id}")
    order = [cell["id"] for cell in page["cells"]]
    assert order.index("softmax-solution") == order.index("softmax") + 1
    folded = cells["softmax-solution"]["source"]
    assert "{dropdown} Solution" in folded and "LINK-softmax" in folded
    assert "````python\ndef softmax(x):\n    return '```'\n````" in folded  # longer than the fence inside
    assert "{dropdown} A model answer" in cells["why-solution"]["source"]
    assert "Because of the variance." in cells["why-solution"]["source"]


def test_an_exercise_has_a_label_at_its_own_heading(chapter, solution):
    _, cells = finished(chapter, solution)
    text = cells["softmax-statement"]["source"]
    assert text == "(exercise-softmax)=\n\n### Exercise 1.1: Softmax\n\nWrite it."
    assert "(exercise-" not in cells["title"]["source"]


def test_widgets_and_scripts_do_not_reach_the_page():
    kinds = {
        "application/vnd.jupyter.widget-view+json": {},
        "application/javascript": "x",
        "text/plain": "100%",
    }
    output = {"output_type": "display_data", "metadata": {}, "data": kinds}
    assert pages.cleaned(output)["data"] == {"text/plain": "100%"}


def test_the_cell_for_colab_is_not_for_readers(chapter, solution):
    _, cells = finished(chapter, solution)
    assert "remove-cell" in cells["colab"]["metadata"]["tags"]
    assert "remove-cell" not in cells["shown"]["metadata"].get("tags", [])


def test_a_cell_without_a_twin_is_refused(chapter, solution):
    solution["cells"] = [cell for cell in solution["cells"] if cell["id"] != "shown"]
    with pytest.raises(
        pages.PageError, match=r"a page: cell 'shown' .* not in the executed solution.*make notebooks"
    ):
        finished(chapter, solution)


def test_a_cell_that_reads_differently_is_refused(chapter, solution):
    next(cell for cell in solution["cells"] if cell["id"] == "shown")["source"] = "print(2)"
    with pytest.raises(pages.PageError, match=r"cell 'shown' reads differently"):
        finished(chapter, solution)


def test_outputs_of_the_present_sources_are_accepted(solution):
    pages.be_fresh(solution, "abc", "a page")


@pytest.mark.parametrize("spoil", ["other sources", "no record", "not executed"])
def test_outputs_of_other_sources_are_refused(solution, spoil):
    if spoil == "other sources":
        solution["metadata"][pages.OURS]["sources"] = "abd"
    elif spoil == "no record":
        del solution["metadata"][pages.OURS]
    else:
        solution["cells"][2]["execution_count"] = None
    with pytest.raises(pages.PageError, match=r"do not come from the present sources. Run `make notebooks`"):
        pages.be_fresh(solution, "abc", "a page")


def test_a_folded_solution_is_free_of_the_markers():
    solution = "draw = 1\n### BEGIN SOLUTION\nguess = 7\n### END SOLUTION"
    twin = {"cell_type": "code", "id": "x", "metadata": {}, "source": solution}
    source = pages._folded_solution(twin, None)["source"]
    assert "draw = 1\nguess = 7" in source and "SOLUTION" not in source
