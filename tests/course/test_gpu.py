"""What a class, a cluster and the chapters do with a GPU. Without one, all of it is skipped and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch
from attacks import FULL
from nbgrader_class import ROOT, SLUG, answers, submission

from autograder.classroom import crew, station, submissions
from autograder.classroom.cluster import Cluster
from autograder.exercises import chapters, find
from autograder.outputs import as_cell, compare_notebooks, read_notebook

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

RELEASE = (ROOT / "chapters" / SLUG / f"{SLUG}.ipynb").read_bytes()
PLAN = crew.Plan(SLUG, RELEASE, seed=5, device="cuda")
MASK = find("3.3")
POINTS = {"right": FULL, "half": 8, "empty": 0}
# Row 46 of the attacks, twice: within the bound, and with the bound lifted and everything held on to.
HOGS = {
    "fills": "    kept = []\n    while True:\n        kept.append(torch.ones(1 << 28, device='cuda'))",
    "lifts and holds": (
        "    torch.cuda.set_per_process_memory_fraction(1.0)\n    kept = []\n    while True:\n        try:\n"
        "            kept.append(torch.ones(1 << 28, device='cuda'))\n"
        "        except torch.OutOfMemoryError:\n            pass"
    ),
}


def sent(student, source=None):
    notebook = submission("right" if source else student)
    if source:
        answers(notebook)[MASK.grade_id].source = f"def causal_mask(length):\n{source}"
    return submissions.Submission(student, Path(f"{SLUG}.ipynb"), data=json.dumps(notebook).encode())


def test_what_fills_the_gpu_costs_its_own_exercise_and_no_neighbour_anything():
    class_ = [*map(sent, POINTS), *(sent(name, source) for name, source in HOGS.items())]
    class_ += [replace(sent("right"), student="after")]
    before, _ = torch.cuda.mem_get_info()
    verdicts = {v.student: v for v in crew.grade_all(replace(PLAN, timeout=20.0), class_, 1)}
    after, _ = torch.cuda.mem_get_info()
    assert after > before - (1 << 30), "its memory is free again"
    for student, points in {**POINTS, "after": FULL}.items():
        assert (verdicts[student].points, verdicts[student].outcome) == (points, "graded"), verdicts[student]
    for student in HOGS:
        reports = {report["number"]: report for report in verdicts[student].exercises}
        assert reports["3.3"]["points"] == 0 and reports["3.3"]["reason"], reports["3.3"]
        assert verdicts[student].points == FULL - MASK.points, verdicts[student].exercises
    assert "out of memory" in next(r["reason"] for r in verdicts["fills"].exercises if r["number"] == "3.3")
    devices = {r["device"] for v in verdicts.values() for r in v.exercises if r["status"] == "passed"}
    assert devices == {"cuda"}


def test_jobs_for_a_gpu_go_to_the_worker_that_offers_one():
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    about = {"cls": distributed.Nanny}
    here = {"host": "127.0.0.1"}
    workers = {
        name: {**about, "options": {"nthreads": 1, "resources": resources, **here}}
        for name, resources in (("with", {"GPU": 1}), ("without", {}))
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, "port": 0, **here}}
    with (
        distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=51) as dask,
        distributed.Client(dask.scheduler_address, set_as_default=False) as client,
    ):
        client.wait_for_workers(2)
        with Cluster(dask.scheduler_address, PLAN) as graders:
            found = {v.student: v for v in graders.grade_all([*map(sent, POINTS)])}
            at = {about["name"]: address for address, about in client.scheduler_info()["workers"].items()}
            count = client.run(lambda: len(station._graders), workers=[at["with"], at["without"]])
        assert (count[at["with"]], count[at["without"]]) == (1, 0)
    assert {student: verdict.points for student, verdict in found.items()} == POINTS
    passed = [r for v in found.values() for r in v.exercises if r["status"] == "passed"]
    assert {report["device"] for report in passed} == {"cuda"} and not any(v.notes for v in found.values())


@pytest.mark.long
@pytest.mark.parametrize("slug", [chapter.slug for chapter in chapters()])
def test_each_solved_chapter_shows_on_a_gpu_what_it_shows_on_the_cpu(slug):
    from autograder.executing import execute

    path = ROOT / "solutions" / slug / f"{slug}.ipynb"
    ran = execute(nbformat.read(path, as_version=4), device="cuda")
    mine = [as_cell(cell) for cell in json.loads(nbformat.writes(ran))["cells"]]
    reference, chapter = read_notebook(path), read_notebook(ROOT / "chapters" / slug / f"{slug}.ipynb")
    reports = compare_notebooks(reference, chapter, mine, device="cuda")
    assert [(r.first_line, r.differences) for r in reports if r.state not in ("same", "long")] == []
