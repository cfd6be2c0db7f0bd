"""The notebooks that are made: what stands in them, that they are made again alike, and that they run."""

from __future__ import annotations

import ast
import copy
import inspect
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.converters import GenerateAssignment
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import ClearSolutions, SaveCells
from small_course import ADDRESS, OTHER, ROOT, SMALL, TEXT, exercise

import llmlib.attention
from autograder import exercises, notebooks, slicing, sources, stubs
from autograder.executing import ExecutionFailed, execute, points_of
from autograder.manuscript import ManuscriptError
from autograder.markers import BEGIN, END
from autograder.notebooks import MakingError, comparable, make

SLUG = "03-small"


def notebook(folder, kind, slug=SLUG):
    return nbformat.read(folder / kind / slug / f"{slug}.ipynb", as_version=4)


def cells(nb):
    return {cell.id: cell for cell in nb.cells}


@pytest.fixture
def small(course, tmp_path):
    """The small course's chapter and solution, not executed."""
    make(course, tmp_path, run=False)
    return notebook(tmp_path, "chapters"), notebook(tmp_path, "solutions")


# What stands in them.


def test_both_have_the_same_cells_in_the_order_of_the_manuscript(small):
    chapter, solution = small
    ids = [cell.id for cell in chapter.cells]
    assert ids == [cell.id for cell in solution.cells]
    assert len(set(ids)) == len(ids)
    assert [i for i in ids if not re.fullmatch("[0-9a-f]{12}", i)] == [
        "colab", "set-up",
        "attention-causal-mask-statement", "attention-causal-mask", "attention-causal-mask-check",
        "attention-guess-statement", "attention-guess", "attention-guess-check",
        "attention-mended-statement", "attention-mended", "attention-mended-check",
        "attention-why-statement", "attention-why",
    ]  # fmt: skip


def test_the_first_cells_are_title_source_and_set_up(small):
    title, colab, set_up = small[0].cells[:3]
    assert title.source.startswith("# A small chapter\n")
    assert "Made from book/03-small.md" in colab.source
    assert f'    %pip install --quiet "git+{ADDRESS}.git"' in colab.source
    assert colab.source.index("find_spec") < colab.source.index("%pip")  # nothing is installed twice
    assert set_up.source == (
        "import torch\nfrom jaxtyping import Bool\nfrom torch import Tensor\n"
        "from autograder import check, hint, start, verdict\n\nstart(3)"
    )


def test_an_exercise_states_points_minutes_and_difficulty(small):
    statement = cells(small[0])["attention-causal-mask-statement"].source
    assert statement == (
        "### Exercise 3.1: Title of 3.1\n\n**3 points · 5 minutes · difficulty ●●○ (2 of 3)**\n\nWrite it."
    )
    words = cells(small[0])["attention-why-statement"].source
    assert "difficulty ●○○ (1 of 3) · marked by a person" in words and words.endswith("Why?")


def test_a_function_of_the_library_is_stubbed_and_solved(small):
    chapter, solution = (cells(nb)["attention-causal-mask"].source for nb in small)
    assert solution == inspect.getsource(llmlib.attention.causal_mask).rstrip("\n")
    assert chapter.startswith(solution[: solution.index('    """')])
    assert chapter.endswith('    raise NotImplementedError("Exercise 3.1: write causal_mask")')


def test_a_check_cell_is_two_lines(small):
    for nb in small:
        assert cells(nb)["attention-guess-check"].source == 'guess = check(guess, "3.2")\nverdict()'


def test_an_answer_of_the_manuscript_is_stubbed_between_its_markers(small):
    chapter, solution = (cells(nb)["attention-guess"].source for nb in small)
    assert chapter == "given = 1\nguess = ...  # your answer"
    assert solution == "given = 1\n### BEGIN SOLUTION\nguess = 7\n### END SOLUTION"


def test_a_bug_hunt_starts_with_its_starter(small):
    chapter, solution = (cells(nb)["attention-mended"].source for nb in small)
    assert chapter == SMALL.exercises[2].starter
    assert "tril" in solution and "tril" not in chapter


def test_an_answer_in_words_is_empty_and_marked_by_a_person(small):
    chapter, solution = (cells(nb)["attention-why"] for nb in small)
    assert solution.source == "Because the secret reason holds."
    assert "secret" not in chapter.source and "double-click here" in chapter.source
    assert chapter.cell_type == "markdown"
    meta = chapter.metadata.nbgrader
    assert (meta.grade, meta.solution, meta.locked, meta.points) == (True, True, False, 3)


@pytest.mark.parametrize(
    ("kind", "starter"),
    [
        ("prediction", 'guess = {\n    "value": ...,  # your number\n'
                       '    "confidence": ...,  # how sure are you, from 0 to 1?\n}'),
        ("mutants", "guess = [\n    ...,  # your inputs, one after the other\n]"),
    ],
)  # fmt: skip
def test_each_kind_of_value_has_its_starter(kind, starter):
    made = exercise("attention.guess", "3.2", kind)
    source = "### BEGIN SOLUTION\nguess = 7\n### END SOLUTION\nafter = 1"
    assert stubs.stub_source(made, source) == f"{starter}\nafter = 1"
    with pytest.raises(ValueError, match="has no solution markers"):
        stubs.stub_source(made, "guess = 7")


def test_nbgraders_metadata_is_schema_3(small):
    for nb in small:
        nbformat.validate(nb)
        MetadataValidator().validate_nb(nb)
        graded = {
            c.metadata.nbgrader.grade_id: c.metadata.nbgrader for c in nb.cells if "nbgrader" in c.metadata
        }
        assert {meta.schema_version for meta in graded.values()} == {3}
        answer, check = graded["attention-guess"], graded["attention-guess-check"]
        assert (answer.grade, answer.solution, answer.locked, "points" in answer) == (
            False,
            True,
            False,
            False,
        )
        assert (check.grade, check.solution, check.locked, check.points) == (True, False, True, 2)


def test_the_learners_notebook_is_locked_where_it_must_be(small):
    by_id = cells(small[0])
    check, answer = by_id["attention-guess-check"], by_id["attention-guess"]
    assert (check.metadata.deletable, check.metadata.editable) == (False, False)
    assert answer.metadata.deletable is False and "editable" not in answer.metadata
    assert answer.metadata.nbgrader.checksum and check.metadata.nbgrader.checksum


def test_neither_notebook_names_a_version_of_the_language(small):
    for nb in small:
        assert "version" not in nb.metadata.language_info and nb.metadata.kernelspec.name == "python3"
    assert set(small[0].metadata) == {"kernelspec", "language_info"}
    assert small[1].metadata.from_tokens_to_gpt.manuscript == "book/03-small.md"


def test_tags_travel_and_cells_with_the_same_text_get_different_ids(course, tmp_path):
    text = TEXT.replace(
        '{code-cell} ipython3\nprint("hello")', '{code-cell} ipython3\n:tags: [long]\nprint("hello")', 1
    )
    (course / "book" / "03-small.md").write_text(text, "utf-8")
    make(course, tmp_path, run=False)
    first, second = [c for c in notebook(tmp_path, "chapters").cells if c.source == 'print("hello")']
    assert first.metadata.tags == ["long"] and "tags" not in second.metadata
    assert first.id != second.id


def test_another_paragraph_changes_no_other_id(course, tmp_path):
    make(course, tmp_path, run=False)
    before = [cell.id for cell in notebook(tmp_path, "chapters").cells]
    path = course / "book" / "03-small.md"
    path.write_text(TEXT.replace("Some words.", "Some words.\n\n+++\n\nA new cell."), "utf-8")
    make(course, tmp_path, run=False)
    after = [cell.id for cell in notebook(tmp_path, "chapters").cells]
    assert [i for i in after if i in before] == before and len(after) == len(before) + 1


def test_a_solution_never_leaves_in_a_cell_that_is_not_known(small, monkeypatch):
    solution = small[1]
    monkeypatch.setattr(exercises, "chapters", lambda: ())
    with pytest.raises(
        ValueError, match="no exercise of the catalogue has the grade_id 'attention-causal-mask'"
    ):
        stubs.release(solution)
    leak = new_notebook(cells=[new_code_cell(f"### {BEGIN}\nx = 1\n### {END}")])
    with pytest.raises(ValueError, match="a solution is left in this cell"):
        stubs.release(leak)


# How they are made.


def test_the_repositorys_address_must_be_known(course, tmp_path):
    (course / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(MakingError, match=r"names no repository.*add \[project.urls\]"):
        make(course, tmp_path, run=False)


def test_nothing_is_written_when_a_manuscript_is_wrong(course, tmp_path, capsys):
    (course / "book" / "03-small.md").write_text(TEXT.replace("causal_mask", "causal_musk"), "utf-8")
    with pytest.raises(ManuscriptError):
        make(course, tmp_path, run=False)
    assert not (tmp_path / "chapters").exists()
    status = notebooks.main(["--root", str(course), "--output", str(tmp_path), "--no-run"])
    assert status == 1
    assert "book/03-small.md:14: unknown exercise 'attention.causal_musk'" in capsys.readouterr().err


def test_all_wrong_manuscripts_are_reported_at_once(course, tmp_path, monkeypatch):
    (course / "book" / "03-small.md").write_text(TEXT.replace("causal_mask", "causal_musk"), "utf-8")
    (course / "book" / "05-none.md").write_text("# Title\n", "utf-8")
    monkeypatch.setattr(exercises, "chapters", lambda: (SMALL, OTHER))
    with pytest.raises(MakingError) as caught:
        make(course, tmp_path, run=False)
    for words in (
        "03-small.md:14: unknown",
        "04-other.md:1: chapter 4 has no",
        "05-none.md:1: no chapter has",
    ):
        assert words in str(caught.value)


def test_one_chapter_can_be_chosen_and_a_wrong_name_is_refused(course, tmp_path, monkeypatch):
    monkeypatch.setattr(exercises, "chapters", lambda: (SMALL, OTHER))  # 04-other has no manuscript
    assert len(make(course, tmp_path, slugs=[SLUG], run=False)) == 2
    with pytest.raises(MakingError, match="there is no chapter '03-smal': there are 03-small, 04-other"):
        make(course, tmp_path, slugs=["03-smal"], run=False)


def test_the_notebooks_of_a_chapter_that_is_no_more_are_taken_away(course, tmp_path):
    old = tmp_path / "chapters" / "02-old" / "02-old.ipynb"
    foreign = tmp_path / "chapters" / "notes" / "my.ipynb"
    for path in (old, foreign):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    make(course, tmp_path, run=False)
    assert not old.parent.exists() and foreign.exists()


@pytest.fixture
def executions(monkeypatch):
    """Counts executions, and makes them quick: each code cell prints, each check gets its points."""
    counted = []

    def pretend(nb, **_):
        counted.append(1)
        result = copy.deepcopy(nb)
        for count, cell in enumerate((c for c in result.cells if c.cell_type == "code"), start=1):
            cell.execution_count = count
            points = cell.metadata.get("nbgrader", {}).get("points")
            data = {"text/plain": str(points)} if points else {"text/plain": "'shown'"}
            cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=count)]
        return result

    monkeypatch.setattr(notebooks, "execute", pretend)
    return counted


def test_a_solution_is_executed_again_only_if_something_that_runs_has_changed(course, tmp_path, executions):
    target = tmp_path / "solutions" / SLUG / f"{SLUG}.ipynb"
    path = course / "book" / "03-small.md"
    make(course, tmp_path)
    first, stamp = target.read_bytes(), target.stat().st_mtime_ns
    make(course, tmp_path)
    assert len(executions) == 1 and target.stat().st_mtime_ns == stamp
    path.write_text(TEXT.replace("Some words.", "Other words."), "utf-8")
    make(course, tmp_path)
    assert len(executions) == 1  # prose: the outputs are kept
    assert b"Other words." in target.read_bytes() and target.read_bytes().count(b"'shown'") == first.count(
        b"'shown'"
    )
    path.write_text(TEXT.replace("guess = 7", "guess = 3 + 4"), "utf-8")
    make(course, tmp_path)
    assert len(executions) == 2
    make(course, tmp_path, fresh=True)
    assert len(executions) == 3
    target.write_text("damaged")
    make(course, tmp_path)
    assert len(executions) == 4


def test_the_sources_are_what_the_cells_lead_to(tmp_path, monkeypatch):
    code = ["from llmlib.drawing import show", "%pip install x\nimport autograder.panel"]
    found = set(sources._closure({m for cell in code for m in sources._imports(cell)}))
    assert {"llmlib", "llmlib.drawing", "autograder", "autograder.panel", "autograder.grading"} <= found
    assert "autograder.exercises" in found  # the face imports the catalogue ...
    assert not any(name.startswith("autograder.exercises.") for name in found)  # ... but not all chapters
    assert not {"autograder.workbook", "autograder.notebooks", "llmlib.gpt"} & found

    changed = tmp_path / "panel.py"
    shutil.copy(sources._file("autograder.panel"), changed)
    before = sources.digest(SMALL, code)
    original = sources._file
    monkeypatch.setattr(sources, "_file", lambda n: changed if n == "autograder.panel" else original(n))
    assert sources.digest(SMALL, code) == before
    changed.write_text(changed.read_text() + "# changed\n")
    assert sources.digest(SMALL, code) != before
    assert sources.digest(SMALL, [*code, "x = 1"]) != before


def test_the_exercises_of_the_chapter_are_among_its_sources(monkeypatch):
    chapter = exercises.chapters()[0]
    seen = []
    original = sources._file
    monkeypatch.setattr(sources, "_file", lambda name: seen.append(name) or original(name))
    sources.digest(chapter, [])
    assert chapter.exercises[0].checks[0].cases.__module__ in seen


def test_a_solution_that_fails_is_refused_with_its_line(course, tmp_path):
    text = TEXT.replace('print("hello")', 'print("hello")\n1 / 0', 1)
    (course / "book" / "03-small.md").write_text(text, "utf-8")
    with pytest.raises(MakingError) as caught:
        make(course, tmp_path)
    assert str(caught.value).startswith(
        "book/03-small.md:10: this cell failed when it was executed: ZeroDivisionError: division by zero"
    )
    assert '    print("hello")\n    1 / 0' in str(caught.value)
    assert not (tmp_path / "solutions").exists()


def test_a_solution_that_does_not_get_all_points_is_refused(course, tmp_path, monkeypatch, executions):
    monkeypatch.setattr(notebooks, "points_of", lambda nb: {"attention-guess-check": (1.0, 2.0)})
    with pytest.raises(
        MakingError, match=r":28: the course's own answer gets 1 of 2 points in attention-guess-"
    ):
        make(course, tmp_path)
    assert not (tmp_path / "chapters").exists()


def test_what_goes_to_stderr_is_not_kept(monkeypatch):
    monkeypatch.setenv("AUTOGRADER_PROGRESS", "/nowhere")
    code = """
import os, sys
print("one")
sys.stdout.flush()
print("a bar", file=sys.stderr)
sys.stderr.flush()
print("two", *[os.environ[name] for name in ("AUTOGRADER_PROGRESS", "OMP_NUM_THREADS", "LLMLIB_DEVICE")])
"""
    nb = execute(
        new_notebook(cells=[new_code_cell(code), new_code_cell("1 / 0", metadata={"tags": ["long"]})]),
        skip_tag="long",
    )
    assert [(o.name, o.text) for o in nb.cells[0].outputs] == [("stdout", "one\ntwo off 1 cpu\n")]
    assert nb.cells[1].outputs == [] and "execution" not in nb.cells[0].metadata


def test_a_kernel_that_dies_is_said():
    with pytest.raises(ExecutionFailed, match="the kernel died"):
        execute(new_notebook(cells=[new_code_cell("import os; os._exit(1)")]))


# The real chapters.


def test_made_again_they_are_equal(tmp_path):
    """The files of the repository, made again into an empty folder: the same set, the same content."""
    make(ROOT, tmp_path, run=False)
    for kind in ("chapters", "solutions"):
        here = {p.relative_to(ROOT) for p in (ROOT / kind).rglob("*") if ".ipynb_checkpoints" not in p.parts}
        again = {p.relative_to(tmp_path) for p in (tmp_path / kind).rglob("*")}
        assert here == again, f"run `make notebooks`: {here ^ again}"
    for path in sorted((tmp_path / "chapters").rglob("*.ipynb")):
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes(), "run `make notebooks`"
    for path in sorted((tmp_path / "solutions").rglob("*.ipynb")):
        old = nbformat.read(ROOT / path.relative_to(tmp_path), as_version=4)
        assert comparable(old) == comparable(nbformat.read(path, as_version=4)), "run `make notebooks`"
        assert all(c.execution_count for c in old.cells if c.cell_type == "code"), "it has not been executed"


def test_the_language_version_and_outputs_do_not_count(small):
    solution = small[1]
    other = copy.deepcopy(solution)
    other.metadata.language_info.version = "3.99"
    next(c for c in other.cells if c.cell_type == "code").execution_count = 7
    assert comparable(other) == comparable(solution)
    other.cells[0].source += "!"
    assert comparable(other) != comparable(solution)


def normalised(code):
    return [re.sub(r"\s+", "", line) for line in code.split("\n") if line.strip()]


def calls_an_exercise(statement):
    """`scores = attention_scores(query, key)`: the chapter uses its functions as the reference does."""
    value = getattr(statement, "value", None)
    names = {e.answer_name for e in exercises.all_exercises()}
    plain = isinstance(value, ast.Call) and all(isinstance(argument, ast.Name) for argument in value.args)
    return plain and isinstance(value.func, ast.Name) and value.func.id in names


def test_no_reference_body_appears_in_a_chapter(solved):
    """Neither a statement of a reference nor two lines of an answer of the manuscript are in any cell."""
    released = nbformat.reads(stubs.release(solved.notebook).decode(), as_version=4)
    everything = [cell.source for cell in released.cells]
    flat = [re.sub(r"\s+", "", text) for text in everything]
    statements = set()
    for text in (cell.source for cell in released.cells if cell.cell_type == "code"):
        tree = ast.parse(text.replace("%pip", "pip  #"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                statements |= {ast.dump(s) for s in node.body}
    answers = 0
    for placed in solved.manuscript.placed():
        if placed.kind == "code":
            body = slicing.body(*slicing.library_source(placed.name))
            whole = re.sub(r"\s+", "", "\n".join(map(ast.unparse, body)))
            assert not any(whole in cell for cell in flat), placed.name
            secrets = [s for s in body if len(ast.unparse(s)) > 25 and not calls_an_exercise(s)]
            assert secrets
            for statement in secrets:
                text = re.sub(r"\s+", "", ast.unparse(statement))
                assert ast.dump(statement) not in statements, ast.unparse(statement)
                assert not any(text in cell for cell in flat), ast.unparse(statement)
        else:
            source = placed.answer.source
            if BEGIN in source:
                source = source.split(BEGIN)[1].split(END)[0]
            # A line may be common; two of them in a row are the answer's.
            lines = [line for line in normalised(source) if not line.startswith("#")]
            given = "".join(normalised(placed.exercise.starter or "")) if placed.exercise else ""
            for pair in map("".join, pairwise(lines)) if len(lines) > 1 else lines:
                assert pair in given or not any(pair in cell for cell in flat), pair
        answers += 1
    assert answers == sum("nbgrader" in c.metadata and c.metadata.nbgrader.solution for c in released.cells)


def test_an_unsolved_chapter_runs_to_its_end(solved):
    released = nbformat.reads(stubs.release(solved.notebook).decode(), as_version=4)
    ran = execute(released, skip_tag="long")
    for cell in ran.cells:
        if cell.cell_type == "code" and "long" not in cell.metadata.get("tags", []):
            assert cell.execution_count
    value = {e.grade_id for e in solved.manuscript.chapter.exercises if e.kind == "bug hunt"}
    for grade_id, (points, most) in points_of(ran).items():
        if grade_id.removesuffix("-check") in value:  # its starter runs, and is wrong
            assert points < most
        else:
            assert points == 0, grade_id


def test_a_chapter_filled_from_the_library_scores_everything(solved, executed):
    """The released notebook, each answer filled in as a learner would who copies the library's."""
    released = nbformat.reads(stubs.release(solved.notebook).decode(), as_version=4)
    answers = {placed.grade_id: placed for placed in solved.manuscript.placed()}
    for cell in released.cells:
        placed = answers.get(cell.id)
        if placed is not None and placed.kind == "code":
            module, name = placed.name.split(".", 1)
            thing = __import__(f"llmlib.{module}", fromlist=[name])
            for part in name.split("."):
                owner, thing = thing, getattr(thing, part)
            cell.source = inspect.getsource(owner if inspect.isclass(owner) else thing).rstrip("\n")
        elif placed is not None:
            cell.source = placed.answer.source
    # It is the very text that was executed, so that one execution proves both.
    assert [(c.id, c.source) for c in released.cells] == [(c.id, c.source) for c in executed.cells]
    found = points_of(executed)
    assert set(found) == {f"{e.grade_id}-check" for e in solved.manuscript.chapter.exercises}
    assert all(points == most > 0 for points, most in found.values()), found
    assert not [
        c.id
        for c in executed.cells
        if c.cell_type == "code" and any(o.output_type == "error" for o in c.outputs)
    ]


@pytest.mark.parametrize("slug", [chapter.slug for chapter in exercises.chapters()])
def test_nbgraders_own_release_is_the_chapter_byte_for_byte(slug, tmp_path):
    """The real converter, with the repository's configuration, in a copy of the course."""
    root = tmp_path / "course"
    shutil.copytree(ROOT / "solutions", root / "solutions")
    shutil.copytree(ROOT / "chapters", root / "chapters")  # as in a clone: the release is there already
    shutil.copy(ROOT / "nbgrader_config.py", root)
    ran = subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", slug],
        cwd=root, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for path in (ROOT / "chapters" / slug).iterdir():
        assert path.read_bytes() == (root / "chapters" / slug / path.name).read_bytes()
    assert "Removing existing assignment" in ran.stderr  # it was written anew, not skipped
    assert (root / "gradebook.db").exists()
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "gradebook.db" in ignored


def test_the_chain_is_nbgraders_with_one_step_of_ours():
    default = GenerateAssignment().preprocessors
    chain = stubs.release_chain()
    assert len(chain) == len(default)
    assert [(a, b) for a, b in zip(default, chain, strict=True) if a is not b] == [
        (ClearSolutions, stubs.Stubs)
    ]
    assert stubs.release_chain(gradebook=False) == [step for step in chain if step is not SaveCells]
