"""`autograder grade --cluster`: a class on the workers of a Dask scheduler, as it would be graded here."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from machine import wait_until
from nbgrader_class import ENVIRONMENT, ROOT, SLUG, answers, class_of, submission

from autograder.child import AnswerProcess
from autograder.classroom import connecting, crew, journal, station, submissions, workers
from autograder.classroom.cluster import Cluster, ClusterError, grade_on
from autograder.classroom.grader import Verdict
from autograder.cli import main
from autograder.exercises import find

POINTS = {"half": 8, "copied": 42, "linked": 0, "torn": 0}
PLAN = crew.Plan(SLUG, (ROOT / "chapters" / SLUG / f"{SLUG}.ipynb").read_bytes(), seed=5, timeout=300.0)

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def started():
    """Two workers on this machine, each in a process of its own that says it has a GPU."""
    import dask

    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 51}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, resources={"GPU": 1}, **options) as started,
    ):
        yield started


@pytest.fixture
def dask(started):
    """Both are there: what an earlier test killed has been replaced, what it added has gone."""
    wait_until(lambda: len(started.scheduler.workers) == 2)
    return started


@pytest.fixture(scope="module")
def scheduler():
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 51}
    with distributed.LocalCluster(n_workers=0, processes=False, **options) as started:
        yield started


@pytest.fixture
def here(scheduler):
    """A scheduler in this process, as yet without workers."""
    scheduler.scale(0)
    wait_until(lambda: not scheduler.scheduler.workers)
    return scheduler


@pytest.fixture
def client(dask):
    with distributed.Client(dask.scheduler_address, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = class_of(tmp_path_factory.mktemp("clustered"), ("half", "copied")).root
    submitted = root / "submitted"
    for student in ("linked", "torn"):
        (submitted / student / SLUG).mkdir(parents=True)
    (submitted / "linked" / SLUG / f"{SLUG}.ipynb").symlink_to(submitted / "half" / SLUG / f"{SLUG}.ipynb")
    (submitted / "torn" / SLUG / f"{SLUG}.ipynb").write_text('{"cells": [')
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return root


def sent(kind, text=None, student=None):
    data = json.dumps(submission(kind) if text is None else text).encode()
    student = student or kind
    return submissions.Submission(student, Path(f"{SLUG}.ipynb"), data=data)


def plain(verdict):
    """A verdict without what differs from run to run; what is refused at home has started no process."""
    return {
        **verdict.as_plain(),
        "exercises": [{**report, "duration": 0} for report in verdict.exercises],
        "isolation": verdict.isolation if verdict.cells else "",
    }


def busy(client):
    """The addresses of the workers that have a job."""
    return [worker for worker, jobs in client.processing().items() if jobs]


def test_the_verdicts_are_those_of_this_machine_and_are_kept(dask, course, capsys):
    assert main(["grade", "3", "--course", str(course), "--cluster", dask.scheduler_address]) == 0
    out = capsys.readouterr().out
    assert f"4 of 4 submissions to grade; 2 workers at {dask.scheduler_address}, answers run at" in out
    grades = journal.Journal(course / "grades", SLUG)
    kept = {entry.verdict.student: entry for entry in grades}
    assert all(entry.recorded for entry in kept.values())
    assert {student: entry.verdict.points for student, entry in kept.items()} == POINTS
    assert kept["linked"].verdict.outcome == "tampered" and kept["torn"].verdict.outcome == "crashed"
    plan = replace(PLAN, seed=grades.seed(), timeout=None)
    for verdict in crew.grade_all(plan, submissions.find(course / "submitted", SLUG), 1):
        assert plain(kept[verdict.student].verdict) == plain(verdict)
    # What is graded is not sent again: nobody listens there.
    assert main(["grade", "3", "--course", str(course), "--cluster", "tcp://127.0.0.1:9"]) == 0
    assert "0 of 4 submissions to grade\n" in capsys.readouterr().out


def test_a_job_for_a_gpu_that_meets_none_is_done_by_the_cpu_with_a_note(dask):
    (verdict,) = grade_on(dask.scheduler_address, replace(PLAN, device="cuda"), [sent("half")])
    assert verdict.points == 8 and verdict.outcome == "graded"
    assert verdict.notes in ([], ["there was no CUDA device: graded on the CPU"])


def test_a_gpu_that_answers_cannot_use_is_not_used_and_the_verdict_says_so(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    plan = replace(PLAN, device="cuda").on_this_machine()
    (verdict,) = crew.grade_all(plan, [sent("half")], 1)
    assert verdict.points == 8 and {report["device"] for report in verdict.exercises} == {"cpu"}
    (note,) = verdict.notes
    assert note.startswith("answers that are locked in cannot use") and note.endswith("graded on the CPU")


def test_another_version_of_the_course_is_refused(dask, monkeypatch):
    monkeypatch.setattr(station, "VERSION", "another")
    with pytest.raises(ClusterError, match=r"workers cannot grade.* another version of the course"):
        Cluster(dask.scheduler_address, PLAN).__enter__()


def test_another_dask_is_refused(dask, monkeypatch):
    mine = distributed.__version__
    monkeypatch.setattr(workers, "_here", lambda: ("3.11", "1999.1.0"))
    with pytest.raises(
        ClusterError, match=f"the scheduler .* distributed {mine}, and this machine .* 1999.1.0"
    ):
        Cluster(dask.scheduler_address, PLAN).__enter__()


def test_a_worker_without_the_course_is_told_what_to_do(dask, client, tmp_path):
    (tmp_path / "autograder").mkdir()
    text = "raise ModuleNotFoundError(\"No module named 'autograder'\", name='autograder')"
    (tmp_path / "autograder" / "__init__.py").write_text(text)
    count = len(client.nthreads())
    command = [sys.executable, "-m", "distributed.cli.dask_worker", dask.scheduler_address, "--no-nanny"]
    about = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(tmp_path)}
    with (tmp_path / "log").open("w") as log:
        bare = subprocess.Popen(
            [*command, "--no-dashboard", "--resources", "GPU=1"], cwd=tmp_path, env=about, stderr=log
        )
    try:
        client.wait_for_workers(count + 1, timeout=300)
        with pytest.raises(ClusterError, match=r"does not have the course .*pip install"):
            Cluster(dask.scheduler_address, PLAN).__enter__()
    finally:
        bare.kill()
        bare.wait()


def test_a_worker_that_is_lost_in_the_middle_is_survived_and_an_end_leaves_no_job(dask, client, monkeypatch):
    hanging = submission("half")
    answers(hanging)[find("3.3").grade_id].source = "while True:\n    pass"
    verdicts, jobs, send = {}, {}, Cluster._send

    def sending(self, job):
        jobs[job.submission.student] = sent = send(self, job)
        return sent

    monkeypatch.setattr(Cluster, "_send", sending)

    def where():
        """Who has the submission that hangs."""
        key = jobs["hanging"].key if "hanging" in jobs else None
        return next((worker for worker, keys in client.processing().items() if key in keys), None)

    def grade(workers):
        for verdict in workers.grade_all([sent("hanging", hanging), sent("half")]):
            verdicts[verdict.student] = verdict

    with Cluster(dask.scheduler_address, replace(PLAN, timeout=10.0)) as workers:
        thread = threading.Thread(target=grade, args=(workers,))
        thread.start()
        wait_until(where)
        lost = where()
        assert lost, "ten seconds are over"
        os.kill(client.run(os.getpid, workers=[lost])[lost], signal.SIGKILL)
        thread.join()
        assert verdicts["half"].points == 8
        assert verdicts["hanging"].outcome == "crashed" and verdicts["hanging"].points == 5
        many = [replace(sent("half"), student=f"student{number}") for number in range(9)]
        with closing(workers.grade_all(many)) as reached:
            assert next(reached).points == 8
        wait_until(lambda: not busy(client))
    held = lambda: len(sys.modules["autograder.classroom.station"]._graders) if (  # noqa: E731
                    "autograder.classroom.station" in sys.modules) else 0  # fmt: skip
    wait_until(lambda: not any(client.run(held).values()))


def test_what_kills_its_workers_is_tried_alone_and_is_then_the_grader_s_fault(dask, monkeypatch):
    monkeypatch.setattr(dask.scheduler, "allowed_failures", 0)
    monkeypatch.setattr(workers.Workers, "begin", lambda self, order: [])
    monkeypatch.setattr(Cluster, "_send", lambda self, job: self._client.submit(os._exit, 1, pure=False))
    (verdict,) = grade_on(dask.scheduler_address, PLAN, [sent("half")])
    assert verdict.outcome == "grader_fault"
    assert "its worker died, and when it was graded alone 1 more" in verdict.notes[0]
    assert {report["status"] for report in verdict.exercises} == {"grader_error"}


def test_without_workers_it_waits_visibly_and_not_for_ever(here):
    told = []
    with pytest.raises(ClusterError, match=r"there has been no worker at .* Start some \(dask worker"):
        Cluster(here.scheduler_address, PLAN, patience=0.2, say=told.append).__enter__()
    assert any("waiting 0 s more" in words for words in told)


def test_without_any_gpu_the_cpu_does_it_and_the_verdict_says_so(here):
    here.scale(1)
    told = []
    with Cluster(here.scheduler_address, replace(PLAN, device="cuda"), say=told.append) as workers:
        (verdict,) = workers.grade_all([sent("half")])
    note = "no worker of the cluster offers a GPU: graded on the CPU"
    assert verdict.notes == [note] and note in told and verdict.points == 8
    wait_until(lambda: not station._graders)


def test_a_sandbox_that_is_too_weak_is_refused_by_the_worker(monkeypatch):
    station._close_all()
    weak = functools.partial(AnswerProcess, bubblewrap=False)
    for module in ("grader", "station"):
        monkeypatch.setattr(f"autograder.classroom.{module}.AnswerProcess", weak)
    told = station.begin(station.order("a run", PLAN, "sandbox"))
    assert "at least 'sandbox' is required" in told["unfit"] and not station._graders
    station._close_all()


def test_a_sandbox_stays_from_run_to_run_and_one_that_has_ended_is_begun_anew():
    def run(token: str) -> str:
        isolation = station.begin(station.order(token, PLAN, "kernel"))["isolation"]
        told = json.loads(station.grade(token, "half", "half.ipynb", sent("half").data))
        assert Verdict.from_plain(told["verdict"]).points == 8
        station._thread.submit(station._close, token).result()
        return isolation

    station._close_all()
    first = run("first")
    kept = station._host
    if kept is None or kept.shared is None:
        pytest.skip("without namespaces graders cannot share a sandbox")
    assert run("second") == first and station._host is kept
    kept.shared.process.kill()
    kept.shared.process.wait()
    assert run("third") == first and station._host is not kept
    station._close_all()
    assert station._host is None


def test_a_worker_that_does_not_know_the_order_is_sent_it(here):
    here.scale(1)
    with Cluster(here.scheduler_address, PLAN) as workers:
        assert json.loads(station.grade("of another run", "half", "half.ipynb", b"")) == {
            "unknown": "of another run"
        }
        station._thread.submit(station._close_all).result()  # as in a worker that has come later
        (verdict,) = workers.grade_all([sent("half")])
    assert verdict.points == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tcp://127.0.0.1:9"], "there is no Dask scheduler at tcp://127.0.0.1:9"),
        (["nowhere://1"], "there is no Dask scheduler at nowhere://1 (ValueError: unknown address scheme"),
        (["nonsense"], "there is no Dask scheduler at nonsense"),
        (["local:0"], "local:N with a number of workers from 1"),
        (["local:x"], "local:N with a number of workers from 1"),
        (["tcp://127.0.0.1:9", "--allow-unsafe"], "could reach the cluster's scheduler"),
        (["tcp://127.0.0.1:9", "--require-sandbox", "limits"], "could reach the cluster's scheduler"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_told_why(course, capsys, monkeypatch, arguments, words):
    if arguments[0].startswith(
        "tcp"
    ):  # nobody listens there, and that long it tries; the rest is known at once
        monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.5)
    assert main(["grade", "3", "--course", str(course), "--again", "--cluster", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_a_client_that_could_not_start_ends_without_a_last_word():
    # In a process where no other cluster's loop runs, Dask's own would try for half a minute to close it.
    code = """
import contextlib
from autograder.classroom.connecting import ClusterError, connect
try:
    connect("nowhere://1", contextlib.ExitStack())
except ClusterError as error:
    print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    assert "unknown address scheme 'nowhere'" in ran.stdout and ran.stderr == ""


# --- TLS


def certificate(folder):
    """An authority of its own, and a certificate that it signed, as the book's page makes them."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes certificates, is not installed")
    folder.mkdir()
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"]
    sign = ["openssl", "x509", "-req", "-in", "grading.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
    for command in (
        [*new, "/CN=the grading authority", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "/CN=grading", "-keyout", "grading.key", "-out", "grading.csr"],
        [*sign, "-CAcreateserial", "-days", "2", "-out", "grading.pem"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    return folder


TLS = "distributed.comm.tls"


def configured(folder, authority=None):
    return {
        f"{TLS}.ca-file": str((authority or folder) / "ca.pem"),
        f"{TLS}.client.cert": str(folder / "grading.pem"),
        f"{TLS}.client.key": str(folder / "grading.key"),
    }


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls") / "theirs")


@pytest.fixture(scope="module")
def secured(ours):
    """A scheduler that speaks to nobody without a certificate, and one worker."""
    pair = {"cert": str(ours / "grading.pem"), "key": str(ours / "grading.key")}
    security = distributed.Security(
        require_encryption=True,
        tls_ca_file=str(ours / "ca.pem"),
        **{f"tls_{role}_{name}": pair[name] for role in ("scheduler", "worker", "client") for name in pair},
    )
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 51}
    with distributed.LocalCluster(n_workers=1, processes=False, security=security, **options) as started:
        assert started.scheduler_address.startswith("tls://")
        yield started.scheduler_address


def test_over_tls_the_client_s_certificate_comes_from_dask_s_configuration(secured, ours):
    import dask

    with dask.config.set(configured(ours)):
        (verdict,) = grade_on(secured, PLAN, [sent("half")])
    assert verdict.points == 8 and verdict.outcome == "graded"


def test_a_machine_without_the_right_certificate_is_told_so_at_once(
    secured, ours, theirs, tmp_path, course, capsys
):
    import dask

    nobody = dict.fromkeys(configured(ours))
    lost = configured(ours) | {f"{TLS}.client.key": str(tmp_path / "lost.key")}
    mixed = configured(ours) | {f"{TLS}.client.key": str(theirs / "grading.key")}
    named = tmp_path / "scheduler.json"
    named.write_text(json.dumps({"address": secured}))
    plain_address = secured.replace("tls://", "tcp://")
    trust = "do not accept each other's certificates"
    cases = (
        (nobody, secured, r"names no distributed\.comm\.tls\.ca-file and no .*client\.cert.*CLIENT__KEY"),
        (nobody, str(named), "needs a certificate for this machine"),
        (configured(theirs), secured, trust),  # each signed by another authority
        (configured(theirs, authority=ours), secured, trust),  # only the scheduler objects
        (lost, secured, r"client\.key names no file: .*lost\.key"),
        (mixed, secured, "cannot be used: .*mismatch"),
        (configured(ours), plain_address, r"does it want tls://\?"),
        (configured(ours) | {"distributed.comm.require-encryption": True}, plain_address, "required by Dask"),
    )
    for configuration, address, words in cases:
        with dask.config.set(configuration):
            assert main(["grade", "3", "--course", str(course), "--again", "--cluster", address]) == 2
        told = capsys.readouterr().err
        assert re.search(words, told) and "Traceback" not in told, (words, told)


def test_without_dask_it_says_what_to_install(course, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["grade", "3", "--course", str(course), "--again", "--cluster", "local:2"]) == 2
    assert 'pip install "from-tokens-to-gpt[cluster]"' in capsys.readouterr().err
