"""A class with variants, from release to marks: right, copied from the book, blank, in the wrong notebook."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader_class import ROOT, SLUG, answers, class_of
from traitlets.config import PyFileConfigLoader

from autograder import variants
from autograder.classroom import rehearsal
from autograder.classroom.journal import Journal
from autograder.cli import main
from autograder.executing import execute, points_of
from autograder.exercises import find, find_chapter

OWN = {"attention.attention_scores": "distance", "attention.causal_mask": "strict"}
LOST = sum(find(name).points for name in OWN)
POINTS = {"right": 42, "copied": 42 - LOST, "blank": 0, "book": 42 - LOST, "edited": 42 - LOST}


def run(course, *arguments):
    return main([*arguments, "--course", str(course)])


def hand_in(course: Path, student: str, notebook: Path, solved: Path | None) -> None:
    """The notebook with the answers of the solved one."""
    handed = nbformat.read(notebook, 4)
    for name, cell in answers(handed).items() if solved else ():
        cell.source = answers(nbformat.read(solved, 4))[name].source
    folder = course / "submitted" / student / SLUG
    folder.mkdir(parents=True)
    nbformat.write(handed, folder / f"{SLUG}.ipynb")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    root = class_of(tmp_path_factory.mktemp("variants"), ()).root
    (root / "grades").mkdir()
    (root / "grades" / "secret").write_text("the same in every run")
    choices = [word for name, own in OWN.items() for word in ("--choose", f"{find(name).number}={own}")]
    assert run(root, "release", "3", "--variants", *choices) == 0
    given, solved = root / "release" / SLUG / f"{SLUG}.ipynb", root / "grades" / f"{SLUG}-solution.ipynb"
    public, book = (ROOT / folder / SLUG / f"{SLUG}.ipynb" for folder in ("chapters", "solutions"))
    hand_in(root, "right", given, solved)
    hand_in(root, "copied", given, book)
    hand_in(root, "blank", given, None)
    hand_in(root, "book", public, book)
    hand_in(root, "edited", given, book)
    edited = root / "submitted" / "edited" / SLUG / f"{SLUG}.ipynb"
    edited.write_text(edited.read_text().replace('variant=\\"strict\\"', 'variant=\\"window\\"'))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert run(root, "grade", "3", "--jobs", "1") == 0
    return root


@pytest.fixture
def course(graded, tmp_path):
    """That class in a copy of the test's own, with which all ends that the test does to it, or leaves."""
    return shutil.copytree(graded, tmp_path / "course")


def entries(course):
    return {entry.verdict.student: entry for entry in Journal(course / "grades", SLUG)}


def report(course, student, number):
    return next(r for r in entries(course)[student].verdict.exercises if r["number"] == number)


def test_the_marks_are_for_the_variant(course):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert {s.id: gradebook.find_submission(SLUG, s.id).score for s in gradebook.students} == POINTS


def test_a_copied_answer_is_named_and_each_verdict_says_its_variant(course):
    for name, own in OWN.items():
        for student, mistake in (("right", None), ("copied", "public"), ("book", "public"), ("blank", None)):
            found = report(course, student, find(name).number)
            assert found["variant"] == own
            assert (found["misconception"] or {}).get("id") == mistake, (student, found["reason"])
    assert "variant" not in report(course, "right", "3.2")


def test_who_answered_in_the_public_notebook_is_told_so_and_no_cheat(course):
    verdict = entries(course)["book"].verdict
    assert verdict.outcome == "repaired" and all("public notebook" in note for note in verdict.notes)
    assert [entries(course)[s].verdict.outcome for s in ("right", "copied", "blank")] == ["graded"] * 3


def test_another_name_in_the_check_changes_nothing(course):
    assert entries(course)["edited"].verdict.outcome == "tampered"
    assert report(course, "edited", "3.3")["variant"] == "strict"


def test_what_follows_grading_knows_the_variant(course, capsys):
    assert run(course, "replay", "copied", "3.3") == 0
    assert "The same verdict" in capsys.readouterr().out
    for command in ("feedback", "report", "export"):
        assert run(course, command, "3") == 0
    page = (course / "feedback" / "copied" / SLUG / f"{SLUG}.html").read_text()
    assert find("3.3", "strict").twist.twist in page
    assert "without your class's" not in page and "hides itself and the future" in page
    assert (
        "which your class&#x27;s variant differs from"
        in (course / "grades" / f"{SLUG}-report.html").read_text()
    )
    capsys.readouterr()
    assert run(course, "similar", "3", "--json") == 0
    pairs = [p for p in json.loads(capsys.readouterr().out) if p["exercise"] == "attention.causal_mask"]
    assert any(set(p["authors"]) == {"the course's solution", "right"} and p["likeness"] == 1 for p in pairs)


def test_the_learner_s_own_check_gives_the_same_verdict(course, capsys):
    path = course / "submitted" / "copied" / SLUG / f"{SLUG}.ipynb"
    assert main(["check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(r["points"] for r in found) == POINTS["copied"]
    assert {r["exercise"]: r["variant"] for r in found if "variant" in r} == OWN


def test_a_class_that_is_made_up_has_the_variants_too(course, monkeypatch, capsys):
    made = rehearsal.players
    few = ("right", "wrong-3.3-public")
    monkeypatch.setattr(rehearsal, "players", lambda *about: (p for p in made(*about) if p.name in few))
    assert run(course, "rehearse", "3", "--jobs", "1") == 0
    out = capsys.readouterr().out
    assert re.search("right +1 of 1", out) and re.search("mistaken +1 of 1", out), out


def test_nbgrader_releases_the_same(course):
    config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    assert config.CourseDirectory.release_directory == "release" and dict(config.Stubs.variants) == OWN
    assert PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config().Stubs.variants == {}


@pytest.mark.long
def test_nbgrader_s_own_command_writes_it_byte_for_byte_and_its_autograde_agrees(tmp_path):
    marked = class_of(tmp_path, ())
    assert run(marked.root, "release", "3", "--choose", "3.3=window") == 0
    given, solved = (
        marked.root / "release" / SLUG / f"{SLUG}.ipynb",
        marked.root / "grades" / f"{SLUG}-solution.ipynb",
    )
    before = given.read_bytes()
    hand_in(marked.root, "right", given, solved)
    hand_in(marked.root, "copied", given, ROOT / "solutions" / SLUG / f"{SLUG}.ipynb")
    for command in ("generate_assignment", "autograde"):
        marked.must(command, SLUG)
    assert given.read_bytes() == before
    with Gradebook(f"sqlite:///{marked.root / 'gradebook.db'}") as gradebook:
        scores = {s.id: gradebook.find_submission(SLUG, s.id).score for s in gradebook.students}
    assert scores == {"right": 42, "copied": 42 - find("3.3").points}


@pytest.mark.long
@pytest.mark.parametrize("slug", ["03-attention", "04-many-heads", "05-the-block", "06-gpt"])
def test_a_chapter_with_variants_runs_to_its_end_with_full_marks(slug):
    solved = nbformat.read(ROOT / "solutions" / slug / f"{slug}.ipynb", 4)
    variants.rewrite(solved, variants.draw(find_chapter(int(slug[:2])).exercises, "a class"))
    assert all(points == most for points, most in points_of(execute(solved, skip_tag="long")).values())


# --- What changes the class


def test_a_class_keeps_what_it_has_and_another_variant_grades_again(course, capsys):
    before = variants.released(course, SLUG).read_bytes()
    assert run(course, "release", "3", "--variants") == 0
    assert variants.chosen(course) == OWN and variants.released(course, SLUG).read_bytes() == before
    assert run(course, "variants", "3", "--json") == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {r["exercise"]: r["variant"] for r in rows if r["yours"]} == OWN

    for words in (("--choose", "3.3=plain"), ()):  # and so it stays
        assert run(course, "release", "3", "--variants", *words) == 0
        assert variants.chosen(course) == {"attention.attention_scores": "distance"}
    capsys.readouterr()

    assert run(course, "release", "3", "--variants", "--choose", "3.3=window") == 0
    assert "! 5 submissions were graded with another release" in capsys.readouterr().out
    assert run(course, "grade", "3", "--jobs", "1") == 0
    out = capsys.readouterr().out
    assert "5 of 5 submissions to grade" in out and "3.1 distance, 3.3 window" in out
    assert report(course, "right", "3.3")["variant"] == "window"
    assert entries(course)["right"].verdict.points == 42 - find("3.3").points


def test_without_variants_the_release_is_the_public_chapter(course, capsys):
    assert run(course, "release", "3") == 0
    assert "this is the public chapter" in capsys.readouterr().out
    public = ROOT / "chapters" / SLUG / f"{SLUG}.ipynb"
    assert variants.released(course, SLUG).read_bytes() == public.read_bytes()
    assert variants.chosen(course) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--choose", "3.3=x"), "3.3 has no variant 'x': there are strict, window"),
        (("--choose", "4.1=behind"), "write an exercise of 03-attention"),
        (("--choose", "3.3"), "as in 3.3=window"),
    ],
)
def test_a_choice_that_cannot_be_is_told_so(course, capsys, words, message):
    assert run(course, "release", "3", *words) == 2
    assert message in capsys.readouterr().err


def test_damage_and_a_wrong_folder_are_told_in_words(course, tmp_path, capsys):
    assert run(tmp_path, "release", "3") == 2
    assert "run this in the course's folder" in capsys.readouterr().err
    assert run(course, "variants", "0") == 0
    assert "No exercise of 00-tools has a variant" in capsys.readouterr().out
    (course / "grades" / "variants.json").write_text("{")
    for command in ("release", "variants"):
        assert run(course, command, "3") == 2
    assert "Traceback" not in capsys.readouterr().err
    path = variants.released(course, SLUG)
    path.write_text(
        path.read_text().replace(
            'check(causal_mask, \\"3.3\\"', 'check(causal_mask, \\"3.3\\", variant=\\"x\\"'
        )
    )
    assert run(course, "grade", "3") == 2
    assert "is not of this version of the course" in capsys.readouterr().err
