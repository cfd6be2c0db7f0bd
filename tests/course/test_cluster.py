"""`autograder grade --cluster`: a class on the workers of a Dask scheduler, as it would be graded here."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from nbgrader_class import SLUG, class_of

from autograder.classroom import cluster, crew, journal, submissions
from autograder.classroom.cluster import ClusterError, Unfit, grade_here, grade_on
from autograder.classroom.submissions import Submission
from autograder.cli import main

STUDENTS = ("right", "half")

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def dask():
    """Two workers on this machine, each in a process of its own, under a scheduler that listens on it."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as started:
        yield started


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = class_of(tmp_path_factory.mktemp("clustered"), STUDENTS).root
    broken = course / "submitted" / "broken" / SLUG
    broken.mkdir(parents=True)
    (broken / f"{SLUG}.ipynb").write_text("no notebook")
    linked = course / "submitted" / "linked" / SLUG
    linked.mkdir(parents=True)
    (linked / f"{SLUG}.ipynb").symlink_to(course / "solutions" / SLUG / f"{SLUG}.ipynb")
    return course


@pytest.fixture(scope="module")
def plan(course):
    return crew.Plan(SLUG, course / "chapters" / SLUG / f"{SLUG}.ipynb", seed=5)


@pytest.fixture(scope="module")
def found(course):
    return submissions.find(course / "submitted", SLUG)


def told(verdicts):
    """What must not depend on where it was graded."""
    return {
        v.student: (v.points, v.outcome, v.notes, [(r["exercise"], r["status"]) for r in v.exercises])
        for v in verdicts
    }


def graded(dask, plan, found, **options):
    return list(grade_on(dask.scheduler_address, plan, found, **options))


def test_the_verdicts_are_those_of_this_machine(dask, plan, found):
    here, there = list(crew.grade_all(plan, found, 1)), graded(dask, plan, found)
    assert told(there) == told(here)
    assert {v.student: v.outcome for v in there}["linked"] == "tampered"
    levels = {v.student: v.isolation for v in here}
    assert {v.student: v.isolation for v in there if v.student in STUDENTS} == {
        s: levels[s] for s in STUDENTS
    }


def test_the_command_grades_on_a_cluster_and_records(dask, course, capsys):
    assert main(["grade", "3", "--cluster", dask.scheduler_address, "--json", "--course", str(course)]) == 0
    points = {v["student"]: v["points"] for v in json.loads(capsys.readouterr().out)}
    assert points["right"] > points["half"] > points["broken"] == 0
    assert {entry.verdict.student for entry in journal.Journal(course / "grades", SLUG)} == set(points)
    # What is graded is not sent again.
    assert main(["grade", "3", "--cluster", "tcp://127.0.0.1:9", "--json", "--course", str(course)]) == 0


def test_a_worker_that_is_lost_in_the_middle_is_survived(dask, plan, found):
    many = [
        Submission(f"{s.student}-{number}", s.path) for number in range(3) for s in found if not s.refused
    ]
    reached = grade_on(dask.scheduler_address, plan, many)
    verdicts = [next(reached)]
    with distributed.Client(dask.scheduler_address) as client:
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    verdicts += reached
    assert {v.student for v in verdicts} == {s.student for s in many}
    assert not [v.notes for v in verdicts if v.outcome == "grader_fault"]


def test_what_kills_every_worker_is_the_grader_s_fault_and_no_zero(dask, plan, found, monkeypatch):
    sent = cluster._send

    def deadly(client, plan, release, least, submission, data):
        if submission.student == "half":
            return client.submit(os._exit, 1, pure=False)
        return sent(client, plan, release, least, submission, data)

    monkeypatch.setattr(cluster, "_send", deadly)
    verdicts = {
        v.student: v for v in graded(dask, plan, [s for s in found if s.student in ("half", "right")])
    }
    assert verdicts["half"].outcome == "grader_fault"
    assert "died, one after another" in verdicts["half"].notes[0]
    assert verdicts["right"].points == 42


def test_a_gpu_that_nobody_offers_is_said_and_done_without(dask, plan, found):
    asked = crew.Plan(**{**vars(plan), "device": "cuda"})
    (verdict,) = graded(dask, asked, [s for s in found if s.student == "right"])
    assert verdict.points == 42 and verdict.notes == [cluster.NO_GPU]


def test_a_worker_that_cannot_lock_answers_in_well_enough_grades_nothing(dask, plan, found, monkeypatch):
    monkeypatch.setattr(cluster, "LEVELS", ("limits", "kernel", "sandbox", "vault"))
    about = {**vars(plan), "release": cluster._packed(plan.release.read_bytes())}
    own = {"student": "a", "name": "a.ipynb", "data": cluster._packed(b"{}")}
    with pytest.raises(Unfit, match="at least 'vault' is required: install bubblewrap"):
        grade_here(about, own, "vault", cluster.code_version())
    cluster._close()


def test_another_version_of_the_course_is_named(dask, plan, found, monkeypatch):
    monkeypatch.setattr(cluster, "code_version", lambda: "of yesterday")
    with pytest.raises(
        ClusterError, match="has another version of the course than this machine: update both"
    ):
        graded(dask, plan, found)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "nowhere://1"])
def test_an_address_without_a_scheduler(course, capsys, monkeypatch, address):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    assert main(["grade", "3", "--again", "--cluster", address, "--course", str(course)]) == 2
    error = capsys.readouterr().err
    assert f"there is no Dask scheduler at {address}" in error and "Traceback" not in error


def test_a_cluster_without_workers(plan, found):
    empty = distributed.LocalCluster(n_workers=0, dashboard_address=":0", processes=False)
    with empty, pytest.raises(ClusterError, match=r"no worker for 0\.2 seconds.*dask worker"):
        list(grade_on(empty.scheduler_address, plan, found, patience=0.2))


@pytest.mark.parametrize("count", ["0", "x", ""])
def test_local_needs_a_number(plan, found, count):
    with pytest.raises(ClusterError, match="local:N with a number of workers from 1"):
        list(grade_on(f"local:{count}", plan, found))


def test_without_dask_the_extra_is_named(course, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["grade", "3", "--again", "--cluster", "local:1", "--course", str(course)]) == 2
    assert "pip install 'from-tokens-to-gpt[cluster]'" in capsys.readouterr().err
