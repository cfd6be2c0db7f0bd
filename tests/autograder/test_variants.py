"""Variants: each is an exercise of its own, for which the published answer is a mistake with a name."""

from __future__ import annotations

import ast
import contextlib
import json
import random
import re
from dataclasses import replace

import nbformat
import pytest
import torch
from on_cuda import wrong_verdicts

from autograder import exercises, notebook, variants
from autograder.child import AnswerProcess
from autograder.cli import main
from autograder.commands import assembly
from autograder.exercise import PUBLIC
from autograder.grading import grade_callable
from autograder.library import cut_for
from autograder.mutating import mutants_of, survivors
from autograder.proving import prove
from autograder.stubs import release, stub_source
from autograder.workbook import update

VARIED = [(e, v) for e in exercises.all_exercises() for v in e.variants]
EACH = pytest.mark.parametrize(("plain", "variant"), VARIED, ids=lambda x: getattr(x, "number", None) or x.id)
STRICT = "def causal_mask(length):\n    return torch.ones(length, length, dtype=torch.bool).tril(-1)"


def strict(length):
    return torch.ones(length, length, dtype=torch.bool).tril(-1)


# --- Each variant keeps what an exercise promises


def test_exercises_of_the_model_have_variants():
    counts = [len(e.variants) for e in exercises.all_exercises() if e.variants and 3 <= e.chapter <= 6]
    assert len(counts) >= 4 and min(counts) >= 2
    assert {e.chapter for e, _ in VARIED} == {3, 4, 5, 6}


@EACH
def test_mistakes_have_their_names_right_answers_pass_and_a_blank_is_worth_nothing(plain, variant):
    varied = plain.varied(variant.id)
    assert prove(varied).broken == ()
    # The same exercise to everything that looks at it from outside.
    for field in ("name", "number", "title", "grade_id", "answer_name", "points", "forbidden", "minutes"):
        assert getattr(varied, field) == getattr(plain, field), field


@EACH
def test_the_published_answer_is_a_mistake_with_a_name_and_earns_nothing(plain, variant):
    varied = plain.varied(variant.id)
    report = grade_callable(varied, plain.reference)
    assert (report.status, report.points, report.misconception.id) == ("failed", 0, PUBLIC)
    assert report.counterexample is not None and report.variant == variant.id
    assert report.as_json()["variant"] == variant.id
    # And the twisted answer is none to the plain exercise.
    assert grade_callable(plain, variant.reference).status == "failed"
    assert "variant" not in grade_callable(plain, plain.reference).as_json()


@EACH
def test_the_oracle_agrees_with_answers_that_do_not_come_from_it(plain, variant):
    assert len(variant.alternatives) >= 2
    if variant.through is not None:
        # The function of the book and its known other forms, each twisted from outside.
        titles = [a.title for a in plain.varied(variant.id).alternatives]
        assert len(titles) == len(variant.alternatives) + 1 + len(plain.alternatives)


@EACH
def test_every_plain_mistake_is_one_here_or_it_is_said_why_not(plain, variant):
    varied = plain.varied(variant.id)
    known = {m.id for m in varied.misconceptions}
    own = {m.id: m for m in plain.misconceptions}
    assert own.keys() - known == variant.excluded.keys() and not known & variant.excluded.keys()
    for name, reason in variant.excluded.items():
        passes = grade_callable(varied, own[name].answer).status == "passed"
        assert passes == (reason == "it is the right answer here"), name
    assert set(variant.untouched) <= own.keys()
    assert set(variant.renamed) <= {check.name for check in plain.checks}


@EACH
def test_words_read_as_they_are_shown_and_no_hint_gives_the_answer(plain, variant):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", variant.id)
    assert variant.twist[0].isupper() and variant.twist.endswith(".")
    assert 2 <= len(variant.hints) <= 3 and all(h.endswith((".", "?", ".)")) for h in variant.hints)
    varied = plain.varied(variant.id)
    for m in varied.misconceptions:
        assert re.match(r"[a-z`]", m.title) and not m.title.endswith((".", "?"))
        assert m.advice.endswith((".", "?", ".)")) and m.advice[0].isascii()
    assert all(re.match(r"[a-z]", c.name) and not c.name.endswith(".") for c in varied.checks)
    body = ast.parse(variants.solution(varied)).body[0].body[1:]
    lines = [re.sub(r"[\s`]", "", ast.unparse(s).removeprefix("return ")) for s in body]
    told = [re.sub(r"[\s`]", "", h) for h in (*variant.hints, variant.statement)]
    assert not [line for line in lines if len(line) >= 12 and any(line in text for text in told)]


@EACH
def test_a_sample_of_mutants_fails(plain, variant):
    varied = plain.varied(variant.id)
    mutants = mutants_of(varied)
    sample = random.Random(variant.id).sample(mutants, min(2, len(mutants)))
    assert not [mutant.name for mutant, survived in survivors(varied, sample) if survived]


@pytest.mark.long
@EACH
def test_every_mutant_fails(plain, variant):
    varied = plain.varied(variant.id)
    assert not [mutant.name for mutant, survived in survivors(varied, mutants_of(varied)) if survived]


def verdicts(varied, **how):
    """What is wrong with the verdicts on all known answers, in words."""
    for alternative in varied.alternatives:
        report = grade_callable(varied, alternative.answer, **how)
        if report.status != "passed":
            yield f"{alternative.title}: {report.reason}"
    for misconception in varied.misconceptions:
        report = grade_callable(varied, misconception.answer, **how)
        named = report.misconception.id if report.misconception else None
        if (report.status, named) != ("failed", misconception.id):
            yield f"{misconception.id}: {report.status}, {named}"


@pytest.mark.long
@EACH
def test_verdicts_do_not_depend_on_the_seed(plain, variant):
    varied = plain.varied(variant.id)
    assert not [(seed, wrong) for seed in range(1, 21) for wrong in verdicts(varied, seed=seed)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EACH
def test_verdicts_are_the_same_on_cuda(plain, variant):
    assert not wrong_verdicts(plain.number, variant.id)


@EACH
def test_the_stub_has_the_twisted_signature_and_docstring_and_no_body(plain, variant):
    varied = plain.varied(variant.id)
    stub = stub_source(varied, "")
    (function,) = ast.parse(stub).body
    assert function.name == plain.answer_name
    assert ast.get_docstring(function) != ast.get_docstring(ast.parse(stub_source(plain, "")).body[0])
    assert len(function.body) == 2 and f"Exercise {plain.number}: write" in ast.unparse(function.body[1])
    # The solution stands alone in the chapter's namespace.
    namespace = {}
    exec(compile(exercises.find_chapter(plain.chapter).imports, "<imports>", "exec"), namespace)
    exec(compile(variants.solution(varied), "<solution>", "exec"), namespace)
    assert grade_callable(varied, namespace[plain.answer_name]).status == "passed"


def test_a_worker_s_library_has_neither_the_published_nor_the_twisted_function():
    plain = exercises.find("3.3")
    cut = cut_for(plain.varied("strict"))
    assert cut == cut_for(plain)
    assert not any("def causal_mask" in text or "_variants" in text for text in cut.values())


def test_a_variant_that_is_not_there_is_told_so():
    with pytest.raises(exercises.UnknownExercise, match=r"3\.3 has no variant 'x': there are strict, window"):
        exercises.find("3.3", "x")


# --- Which one a class has


def test_a_secret_draws_one_of_each_and_always_the_same():
    everything = exercises.all_exercises()
    drawn = [variants.draw(everything, f"secret {n}") for n in range(40)]
    assert drawn[0] == variants.draw(everything, "secret 0")
    for exercise in {e.name: e for e, _ in VARIED}.values():
        assert {d[exercise.name] for d in drawn} == {v.id for v in exercise.variants}
    # One exercise's says nothing about another's.
    assert len({tuple(sorted(d.items())) for d in drawn}) > 15


def test_the_notebook_says_which(tmp_path):
    line = variants.check_cell("causal_mask", "3.3", "strict")
    assert line == 'causal_mask = check(causal_mask, "3.3", variant="strict")\nverdict()'
    assert variants.of([{"source": line}, {"source": "x = 1"}]) == {"attention.causal_mask": "strict"}
    assert variants.without(line) == variants.check_cell("causal_mask", "3.3")
    assert variants.of([{"source": variants.check_cell("causal_mask", "3.3")}]) == {}
    variants.keep(tmp_path, {"attention.causal_mask": "strict"})
    assert variants.chosen(tmp_path) == {"attention.causal_mask": "strict"}
    (tmp_path / "grades" / "variants.json").write_text("[]")
    with pytest.raises(ValueError, match="take it away"):
        variants.chosen(tmp_path)


SOLVED = variants.Path(__file__).resolve().parents[2] / "solutions"


@pytest.mark.parametrize("slug", ["03-attention", "04-many-heads", "05-the-block", "06-gpt"])
def test_a_class_s_notebook_differs_from_the_public_one_in_the_varied_cells_alone(slug):
    solved = nbformat.read(SOLVED / slug / f"{slug}.ipynb", as_version=4)
    own = variants.draw(exercises.find_chapter(int(slug[:2])).exercises, "a class")
    public, given = json.loads(release(solved)), json.loads(release(solved, own))
    assert public == json.loads((SOLVED.parent / "chapters" / slug / f"{slug}.ipynb").read_text())
    assert [c["id"] for c in public["cells"]] == [c["id"] for c in given["cells"]]
    changed = {c["id"] for c, d in zip(public["cells"], given["cells"], strict=True) if c != d}
    varied = [exercises.find(name, variant) for name, variant in own.items()]
    assert changed == {f"{e.grade_id}{end}" for e in varied for end in ("", "-statement", "-check")}
    texts = {c["id"]: "".join(c["source"]) for c in given["cells"]}
    for exercise in varied:
        statement = texts[f"{exercise.grade_id}-statement"]
        assert statement.startswith(
            f"### Exercise {exercise.number}: {exercise.title}\n\n**{exercise.points} "
        )
        assert exercise.twist.twist in statement and "goes on with the book's own" in statement
        assert "raise NotImplementedError" in texts[exercise.grade_id]
        (check,) = (c for c in given["cells"] if c["id"] == f"{exercise.grade_id}-check")
        assert check["metadata"]["nbgrader"]["points"] == exercise.points
    assert variants.of({"source": text} for text in texts.values()) == own


# --- The learner's side


@pytest.fixture
def check(capsys):
    def call(answer, number="3.3", variant="strict"):
        given = notebook.check(answer, number, variant)
        return given, notebook.verdict(), capsys.readouterr().out

    return call


def test_the_chapter_goes_on_with_the_function_of_the_book(check):
    plain = exercises.find("3.3").reference
    for answer, points in ((strict, 3), (lambda length: None, 0)):
        given, got, text = check(answer)
        assert got == points and torch.equal(given(3), plain(3)), text
        assert "goes on with the book's own `causal_mask`" in text
        # The check's cell run again looks at the learner's own answer, not at what stands in its place.
        again, got, _ = check(given)
        assert got == points and torch.equal(again(3), plain(3))


def test_a_copy_of_the_book_is_told_so_and_the_course_s_own_functions_are_no_answers(check):
    def copied(length):
        positions = torch.arange(length)
        return positions[:, None] >= positions[None, :]

    assert "which your class's variant differs from" in check(copied)[2]
    for lent in (exercises.find("3.3").reference, exercises.find("3.3", "strict").reference):
        assert check(lent)[1] == 0 and "not attempted" in check(lent)[2]


def test_without_a_variant_nothing_is_other_than_it_was(check):
    _, points, text = check(strict, variant="")
    assert points == 0 and "no position may see itself" in text
    right = exercises.find("3.3").alternatives[0].answer
    assert check(right, variant="")[0] is right


def test_an_unknown_variant_is_told_so_and_the_answer_comes_back(check):
    given, points, text = check(strict, variant="stricter")
    assert given is strict and points == 0 and "there are strict, window" in text


def test_hints_are_the_variant_s(check, capsys):
    check(strict)
    notebook.hint("3.3")
    assert "What stands on the diagonal?" in capsys.readouterr().out
    notebook.hint("4.1", variant="behind")
    assert "Which axis alone has become two?" in capsys.readouterr().out
    check(strict, variant="")
    notebook.hint("3.3")
    assert "What stands on the diagonal?" not in capsys.readouterr().out


def learners(tmp_path, answer, variant):
    """A notebook with this answer to 3.3 and that check."""
    about = {"grade": False, "grade_id": "attention-causal-mask", "locked": False, "schema_version": 3}
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_code_cell(answer), nbformat.v4.new_code_cell(variant)]
    nb.cells[0].metadata["nbgrader"] = {**about, "solution": True, "task": False}
    path = tmp_path / "chapter.ipynb"
    nbformat.write(nb, path)
    return path


def test_the_command_goes_by_the_notebook_s_line(tmp_path, capsys):
    path = learners(tmp_path, STRICT, variants.check_cell("causal_mask", "3.3", "strict"))
    assert main(["check", str(path), "--json"]) == 0
    (report,) = [r for r in json.loads(capsys.readouterr().out) if r["number"] == "3.3"]
    assert (report["status"], report["variant"]) == ("passed", "strict")
    path = learners(tmp_path, STRICT, variants.check_cell("causal_mask", "3.3", "no-such"))
    assert main(["check", str(path)]) == 2
    assert "there are strict, window" in capsys.readouterr().err


def test_what_stands_with_the_exercise_is_not_where_the_answer_runs(tmp_path, capsys):
    taken = "from autograder.exercises.attention.causal_mask_variants import strict as causal_mask"
    with AnswerProcess() as process:
        points = [process.grade(exercises.find("3.3", "strict"), source).points for source in (taken, STRICT)]
    assert points == [0, 3]
    path = tmp_path / "answer.py"
    path.write_text(STRICT)
    assert main(["check", "3.3", "--file", str(path), "--variant", "stricter"]) == 2
    assert "there are strict, window" in capsys.readouterr().err


def test_a_class_s_notebook_in_the_workbook_is_left_as_it_is(tmp_path):
    chapters, workbook = tmp_path / "chapters" / "03-x", tmp_path / "workbook"
    chapters.mkdir(parents=True)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Old.", id="text")])
    nbformat.write(nb, chapters / "03-x.ipynb")
    update(chapters.parent, workbook)
    own = workbook / "03-x" / "03-x.ipynb"
    line = variants.check_cell("causal_mask", "3.3", "strict")
    mine = nbformat.v4.new_notebook(cells=[*nb.cells, nbformat.v4.new_code_cell(line, id="mine")])
    nbformat.write(mine, own)
    before = own.read_bytes()
    nbformat.write(replace_text(nb, "New."), chapters / "03-x.ipynb")
    (found,) = update(chapters.parent, workbook)
    assert own.read_bytes() == before and "variants" in found.notes[0]


def replace_text(nb, text):
    nb.cells[0].source = text
    return nb


def test_a_model_is_assembled_from_answers_to_the_book_s_exercises(tmp_path, monkeypatch):
    folder = tmp_path / "03-attention"
    folder.mkdir()
    line = variants.check_cell("causal_mask", "3.3", "strict")
    learners(tmp_path, STRICT, line).rename(folder / "03-attention.ipynb")
    monkeypatch.setattr(assembly.assembling, "parts_of_the_model", lambda: (exercises.find("3.3"),))
    monkeypatch.setattr(assembly, "AnswerProcess", contextlib.nullcontext)
    passed, reasons = assembly._passed_answers(tmp_path)
    assert not passed and "your class's variant (strict)" in reasons["attention.causal_mask"]


# --- What the definition refuses


def test_points_and_order_of_the_checks_stay(exercise):
    check = exercise.checks[1]
    after = replace(check, after=(exercise.checks[0].name,))
    twist = replace(VARIED[0][1], renamed={exercise.checks[0].name: "something else"}, case=None)
    assert twist.check(after).after == ("something else",)
    assert twist.check(exercise.checks[0]).name == "something else"
    assert twist.check(check).points == check.points
