"""Answers run locked in: what they try to reach is not there, and one that misbehaves costs itself alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from machine import processes, wait_until

from autograder import isolation, visible
from autograder.answers import find_answer, read_cells
from autograder.bubblewrap import bubblewrap_trouble, has_bubblewrap
from autograder.child import AnswerProcess
from autograder.exercises import all_exercises, chapters, find, find_chapter

ROOT = Path(__file__).resolve().parents[2]
RIGHT = "def causal_mask(length):\n    return torch.ones(length, length, dtype=torch.bool).tril()\n"
MASK = "attention.causal_mask"

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@pytest.fixture(scope="module", params=["bubblewrap", "kernel"])
def process(request):
    bubblewrap = request.param == "bubblewrap"
    if bubblewrap and not has_bubblewrap():
        pytest.skip("bubblewrap is not installed, or may not make namespaces here")
    with AnswerProcess(bubblewrap=bubblewrap) as process:
        if not bubblewrap and process.isolation.level == "limits":
            pytest.skip("this kernel offers neither Landlock nor seccomp")
        yield process


@pytest.fixture
def says(process):
    """Run a body in the place of `causal_mask`; gives the verdict's reason, after a neighbour's check."""

    def run(body, **options):
        lines = "".join(f"    {line}\n" for line in body.split("\n"))
        report = process.grade(find(MASK), f"def causal_mask(length):\n{lines}", **options)
        neighbour = process.grade(find(MASK), RIGHT)
        assert neighbour.status == "passed", f"the next answer suffered: {neighbour.reason}"
        assert report.status == "failed" and report.points == 0
        return report.reason

    return run


def test_the_level_is_known_and_recorded(process):
    report = process.grade(find(MASK), RIGHT)
    assert process.isolation.level in ("sandbox", "kernel") and report.isolation == process.isolation.level
    assert {"limits", "seccomp"} <= set(process.isolation.means)


def test_every_solved_chapter_passes_locked_in(process):
    """The course's solutions, with the library cut as for learners; at the weaker level two chapters do."""
    for chapter in chapters() if process.isolation.level == "sandbox" else map(find_chapter, (3, 6)):
        cells = read_cells(ROOT / "solutions" / chapter.slug / f"{chapter.slug}.ipynb")
        for exercise in chapter.exercises:
            answer = find_answer(cells, exercise)
            report = process.grade(exercise, answer.source, prelude=answer.helpers)
            assert report.status == "passed", f"{exercise.number}: {report.reason} {report.line_text}"


def test_graders_share_a_sandbox_and_outlive_it():
    """Whoever's fault its end is: the next answer gets another one, and its honest mark."""
    with AnswerProcess() as first:
        if first.shared is None:
            pytest.skip("answers side by side would share a folder here")
        with AnswerProcess(within=first.shared) as second:
            hang = second.grade(find(MASK), "def causal_mask(length):\n    while True: pass", timeout=0.5)
            assert hang.failure == "timeout"
            assert first.grade(find(MASK), RIGHT).status == second.grade(find(MASK), RIGHT).status == "passed"
            first.shared.end()
            assert second.grade(find(MASK), RIGHT).status == "passed"


def test_a_python_below_tmp_is_there_in_the_sandbox_as_well(tmp_path):
    """The answer's empty folder covers nothing that there is to import, wherever the course was cloned to."""
    if not has_bubblewrap():
        pytest.skip("bubblewrap is not installed, or may not make namespaces here")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    ask = "from autograder.bubblewrap import has_bubblewrap; print(has_bubblewrap())"
    result = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", ask],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "True", result.stdout + result.stderr


def test_no_file_of_the_course_the_class_or_the_machine_can_be_read(says, tmp_path):
    (tmp_path / "gradebook.db").write_text("marks")
    tmp_path.chmod(0o777)
    paths = [
        ROOT / "README.md",
        ROOT / "autograder" / "exercises" / "__init__.py",
        "/etc/passwd",
        tmp_path / "gradebook.db",
    ]
    for path in paths:
        assert "Error" in says(f"raise ValueError(open({str(path)!r}).read()[:20])").split(":")[0]
        assert "ValueError" not in says(f"raise ValueError(open({str(path)!r}).read()[:20])")


def test_the_checks_are_not_there_to_import(says):
    for module in ("autograder.exercises", "autograder.grading", "autograder.library"):
        reason = says(f"import importlib\nraise ValueError(dir(importlib.import_module({module!r})))")
        assert "ValueError" not in reason and "Error" in reason


def test_the_courses_own_function_is_not_there(says):
    assert "causal_mask" in says("from llmlib.attention import causal_mask as theirs\nreturn theirs(length)")
    body = "import inspect, llmlib.attention as a\nraise ValueError('causal_mask(' in inspect.getsource(a))"
    assert "False" in says(body)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("def causal_mask(length):\n    rows = length // 0\n    return rows", "ZeroDivisionError"),
        ("def causal_mask(length):\n    return torch.ones(length, length).trill()", "trill"),
        ("def causal_mask(length)\n    return 1", "this is not Python"),
    ],
)
def test_a_crash_says_the_error_and_its_line_and_no_hint(process, answer, words):
    """A hint on the idea of the exercise would lead away from the error."""
    report = process.grade(find(MASK), answer)
    assert words in report.reason and report.line in (1, 2) and report.line_text
    assert report.hint is None


def test_a_graph_behind_a_result_is_seen_from_outside(process):
    exercise = find("7.6")
    source = """
def accumulate_gradients(model, micro_batches):
    count = sum(int((targets != IGNORED).sum()) for _, targets in micro_batches)
    model.zero_grad()
    loss = 0
    with torch.enable_grad():
        for inputs, targets in micro_batches:
            logits = model(inputs).flatten(0, 1)
            part = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum") / count
            part.backward()
            loss = loss + part
    return loss, [parameter.grad for parameter in model.parameters()]
"""
    report = process.grade(exercise, source)
    assert (report.points, report.misconception.id) == (exercise.points - 1, "with-its-graph")
    assert process.grade(exercise, source.replace("loss + part", "loss + part.detach()")).status == "passed"


def test_a_hint_stays_where_the_idea_is_at_stake(process):
    softmax = find("attention.softmax")
    for answer in ("return torch.softmax(x, dim)", "return x"):
        assert process.grade(softmax, f"def softmax(x, dim=-1):\n    {answer}").hint == softmax.hints[0]


def test_no_network(says):
    assert "not permitted" in says("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)")


def test_no_new_programs(says):
    assert "Error" in says("import subprocess\nreturn subprocess.run(['/bin/true'])")
    assert "not permitted" in says("import os\nos.execv('/bin/true', ['true'])")


def test_a_hang_is_killed_even_if_it_swallows_interrupts(says):
    body = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    assert "endless loop" in says(body, timeout=1)


def test_memory_is_bounded(says):
    assert "Memory" in says("return bytearray(3 << 30)") or "memory" in says("return bytearray(3 << 30)")
    assert "memory" in says("return torch.ones(3 << 30)").lower()


def test_processes_are_bounded_and_die_with_the_answer(process, says):
    # Root's own processes are not counted: there the clock alone ends it.
    ends = "unavailable" if "user" in process.isolation.means or os.geteuid() else "endless loop"
    bomb = "import os\nwhile True:\n    if os.fork() == 0:\n        import time; time.sleep(60)"
    assert ends in says(bomb, timeout=2 if ends == "endless loop" else 30)
    name = f"left{os.getpid()}"  # another run of the tests on this machine has its own
    named = f"    ctypes.CDLL(None).prctl(15, {name.encode()!r})"
    marked = f"import ctypes, os, time\nif os.fork() == 0:\n    os.setsid()\n{named}\n    time.sleep(977)\n"
    says(f"{marked}time.sleep(0.3)\nos._exit(0)")
    wait_until(lambda: name not in processes())  # killed, it may take a moment on a busy machine


def test_graders_side_by_side_have_answers_of_different_users(process, says, monkeypatch):
    """Processes are counted by user: one answer's bomb would use up what another may start."""
    if "user" not in process.isolation.means:
        pytest.skip("only root can make an answer another user's")
    seen = set()
    for pid in (41, 42):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        seen.add(says("import os\nraise ValueError(f'user {os.getuid()} of many')"))
    monkeypatch.undo()
    assert len(seen) == 2 and all("user 640" in reason for reason in seen), seen


def test_a_file_cannot_grow_without_bounds(says):
    assert "Error" in says("with open('big', 'wb') as file:\n    file.write(bytes(64 << 20))")


def test_what_one_answer_leaves_is_not_there_for_the_next(process, says):
    says("open('left.py', 'w').write('x')\nraise ValueError")
    if "namespaces" not in process.isolation.means:
        pytest.skip("without namespaces the answers of one run share a folder")
    assert "[]" in says("import os\nraise ValueError(os.listdir('.'))")


def test_ending_the_process_costs_this_exercise_alone(says):
    assert "exit code 3" in says("import os\nos._exit(3)")
    assert "exit code 1" in says("import os, sys\nos._exit(1)")


def test_the_environment_is_empty(says, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    assert "SECRET" not in says("import os\nraise ValueError(sorted(os.environ))")


def test_what_is_sent_too_early_is_not_taken_for_the_next_answers_result(process):
    """An answer writes forged replies, for itself and for whoever comes after it."""
    forged = (
        "import os, stat, struct\n"
        "for number in range(3, 64):\n"
        "    try:\n"
        "        for _ in range(9): os.write(number, b'forged' * 99)\n"
        "    except OSError: pass\n"
    )
    report = process.grade(find(MASK), forged + RIGHT)
    assert report.status == "failed" and report.points == 0
    wrong = process.grade(find(MASK), RIGHT.replace("tril", "triu"))
    assert wrong.status == "failed" and process.grade(find(MASK), RIGHT).status == "passed"


@linux
def test_a_level_that_is_not_reached_is_refused_with_advice():
    weak = isolation.isolation_of(["limits"], bubblewrap=False)
    assert weak.level == "limits"
    with pytest.raises(isolation.SandboxError, match="bubblewrap"):
        isolation.require(weak, "sandbox")
    isolation.require(weak, "limits")


@linux
def test_why_bubblewrap_does_not_work_is_told(tmp_path, monkeypatch):
    def trouble():
        bubblewrap_trouble.cache_clear()
        try:
            return bubblewrap_trouble(), has_bubblewrap()
        finally:
            weak = isolation.isolation_of(["landlock", "seccomp"], bubblewrap=False)
            with pytest.raises(isolation.SandboxError) as refused:
                isolation.require(weak, "sandbox")
            said.append(str(refused.value))
            bubblewrap_trouble.cache_clear()

    said: list[str] = []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert trouble() == ("bubblewrap is not installed", False)
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho first >&2\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    why = "bubblewrap does not work here: bwrap: setting up uid map: Permission denied"
    assert trouble() == (why, False)
    assert "is required (bubblewrap is not installed). On Linux" in said[0] and why in said[1]
    program.write_text("#!/bin/sh\nexit 7\n")
    assert trouble() == ("bubblewrap does not work here: exit code 7", False)
    program.write_text("#!/bin/sh\nexit 0\n")
    assert trouble() == ("", True) and "is required. On Linux" in said[3]


def test_the_modules_in_the_sandbox_know_no_exercise():
    for name in visible.MODULES:
        text = (ROOT / "autograder" / f"{name}.py").read_text("utf-8")
        assert "autograder.exercises" not in text and "autograder import exercises" not in text
    assert json.dumps(visible.MODULES) and len(all_exercises()) > 50


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "hog",
    [
        "kept = []\nwhile True: kept.append(torch.ones(1 << 28, device='cuda'))",
        "torch.cuda.set_per_process_memory_fraction(1.0)\nkept = []\n"
        "while True:\n    try: kept.append(torch.ones(1 << 28, device='cuda'))\n"
        "    except torch.OutOfMemoryError: pass",
    ],
    ids=["hogs", "lifts the bound and holds on"],
)
def test_what_fills_the_gpu_is_stopped_and_gives_it_back(hog):
    lines = "".join(f"    {line}\n" for line in hog.split("\n"))
    before, _ = torch.cuda.mem_get_info()
    with AnswerProcess(device="cuda") as process:
        report = process.grade(find(MASK), f"import torch\ndef causal_mask(length):\n{lines}", timeout=10)
        assert report.status == "failed" and report.points == 0
        assert "out of memory" in report.reason or "endless loop" in report.reason
        after, _ = torch.cuda.mem_get_info()
        assert after > before - (1 << 30), "its memory is free again"
        assert process.grade(find(MASK), RIGHT).status == "passed", "the neighbour goes on"
