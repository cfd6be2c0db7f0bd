"""`autograder exercises --report` says of each exercise what its known answers prove."""

from __future__ import annotations

import json
from dataclasses import replace

from autograder.cli import main
from autograder.commands import listing
from autograder.exercise import Alternative, Misconception
from autograder.proving import prove


def test_an_exercise_that_keeps_its_promises(exercise):
    proof = prove(exercise, mutants=True)
    assert (proof.caught, proof.named, proof.passed, proof.blank_points) == (2, 2, 1, 0)
    assert proof.broken == () and proof.mutants > 5 and proof.killed == proof.mutants


def test_broken_promises_are_told_in_words(exercise):
    def right(query, key, temperature=1.0):
        return query @ key.mT / query.shape[-1] ** 0.5 / temperature

    def wrong(query, key, temperature=1.0):
        return query @ key.mT

    broken = replace(
        exercise,
        misconceptions=(Misconception("fine", "it is right", "Nothing to say.", right),),
        alternatives=(Alternative("unscaled", wrong),),
    )
    proof = prove(broken)
    assert (proof.caught, proof.named, proof.passed) == (0, 0, 0)
    assert any("mistake 'fine' is passed" in line for line in proof.broken)
    assert any("right answer 'unscaled' fails" in line for line in proof.broken)


def test_the_command_prints_a_table_and_fails_where_a_promise_is_broken(exercise, monkeypatch, capsys):
    monkeypatch.setattr(listing.catalogue, "all_exercises", lambda: (exercise,))
    assert main(["exercises", "--report", "--mutants"]) == 0
    out = capsys.readouterr().out
    assert "attention.scaled" in out and "2/2" in out and "(100.0 %)" in out
    assert main(["exercises", "--report", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["caught"], row["misconceptions"], row["passed"], row["broken"]) == (2, 2, 1, [])

    weak = replace(exercise, alternatives=(Alternative("nothing", lambda query, key, temperature=1.0: None),))
    monkeypatch.setattr(listing.catalogue, "all_exercises", lambda: (weak,))
    assert main(["exercises", "--report"]) == 1
    assert "3.1: the right answer 'nothing' fails" in capsys.readouterr().out


def test_an_unknown_chapter_is_told_so(capsys):
    assert main(["exercises", "--chapter", "77"]) == 2
    assert "there is no chapter 77" in capsys.readouterr().err
