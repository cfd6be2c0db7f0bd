"""Grading a class: `autograder grade` beside `nbgrader autograde`, the same submissions of chapter 3.

    python benchmarks/class_speed.py                      # 200 submissions; nbgrader gets 10 of them
    python benchmarks/class_speed.py --curve 20 200 2000  # and what a further submission costs

Of ten submissions five are right, two half right and half blank, one is wrong wherever a known mistake can be
written down, one is blank and one hostile: it ends its process, or patches torch's comparisons. Submissions
that hang, or take memory or time on purpose, are left out on both sides. Every answer that was written
carries a comment of its own, so that no verdict can be reused. nbgrader runs a whole notebook in one process,
one after the other. Memory is the sum of the private and shared parts (PSS) of every process of a run,
sampled four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from autograder.classroom import rehearsal  # noqa: E402
from autograder.exercises import find_chapter  # noqa: E402

SLUG = "03-attention"
KINDS = (*["right"] * 5, *["half"] * 2, "wrong", "blank", "hostile")
HOSTILE = [rehearsal.HOSTILE[name] for name in ("ends the process", "patches comparisons")]
ENVIRONMENT = {**os.environ, "AUTOGRADER_PROGRESS": "off", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def course(folder: Path, students: int) -> Path:
    """A course with so many submissions."""
    for part in ("chapters", "solutions"):
        shutil.copytree(ROOT / part / SLUG, folder / part / SLUG)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    solved = json.loads((ROOT / "solutions" / SLUG / f"{SLUG}.ipynb").read_text("utf-8"))
    answers = {_answer(c): c["source"] for c in solved["cells"] if _answer(c)}
    wrong = mistakes()
    text = (ROOT / "chapters" / SLUG / f"{SLUG}.ipynb").read_text("utf-8")
    for number in range(students):
        notebook = json.loads(text)
        kind = KINDS[number % len(KINDS)]
        place = 0
        for cell in notebook["cells"]:
            if (name := _answer(cell)) is None:
                continue
            place += 1
            source = answers[name]
            if kind == "wrong" and name in wrong:
                source = [wrong[name][number // len(KINDS) % len(wrong[name])]]
            elif kind == "hostile" and place == 1:
                source = [HOSTILE[number // len(KINDS) % len(HOSTILE)]]
            elif kind == "blank" or (kind == "half" and place % 2 == 0):
                continue
            cell["source"] = [f"# by {number}\n", *source]
        own = folder / "submitted" / f"student{number:04}" / SLUG
        own.mkdir(parents=True)
        (own / f"{SLUG}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def mistakes() -> dict[str, list[str]]:
    """By the answer's cell: its named mistakes, as learners would have typed them."""
    chapter = find_chapter(int(SLUG[:2]))
    texts = {
        e.grade_id: [t for m in e.misconceptions if (t := rehearsal._text(chapter, e, m.answer)) is not None]
        for e in chapter.exercises
    }
    return {name: found for name, found in texts.items() if found}


def _answer(cell: dict) -> str | None:
    about = cell["metadata"].get("nbgrader", {})
    return about["grade_id"] if about.get("solution") and cell["cell_type"] == "code" else None


def timed(command: list[str], folder: Path, allowed: tuple[int, ...] = (0,)) -> tuple[float, float]:
    """Seconds, and the most MB that the run's processes took together."""
    most, began = 0.0, time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))  # type: ignore[union-attr]
    reader.start()
    while process.poll() is None:
        looked = time.perf_counter()
        most = max(most, _memory(process.pid))
        # The kernel counts pages for it: never more than a twentieth of the time.
        time.sleep(max(0.25, 20 * (time.perf_counter() - looked)))
    seconds = time.perf_counter() - began
    reader.join()
    if process.returncode not in allowed:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{errors[0].decode()[-2000:]}")
    return seconds, most


def _memory(root: int) -> float:
    """PSS of a process and of all below it, in MB."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    waiting, total = [root], 0
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):
            continue
    return total / 1024


def ours(students: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        made = course(Path(folder), students)
        return timed([sys.executable, "-m", "autograder.cli", "grade", SLUG, "--json"], made)


def nbgraders(students: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        made = course(Path(folder), students)
        nbgrader = [sys.executable, "-m", "nbgrader"]
        subprocess.run(
            [*nbgrader, "generate_assignment", SLUG], cwd=made, env=ENVIRONMENT, check=True,
            capture_output=True,
        )  # fmt: skip
        return timed([*nbgrader, "autograde", SLUG], made, (0, 1))  # 1: a kernel ended, the batch went on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--nbgrader", type=int, default=10, help="how many of them nbgrader grades")
    parser.add_argument("--curve", type=int, nargs="*", default=[], help="sizes of further classes of ours")
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores; a class of {options.students} of chapter 3")
    theirs, their_memory = nbgraders(options.nbgrader)
    our, our_memory = ours(options.students)
    rates = 60 * options.students / our, 60 * options.nbgrader / theirs
    print(f"autograder grade    {our:7.1f} s  {rates[0]:7.1f} a minute  {our_memory:6.0f} MB")
    print(f"nbgrader autograde  {theirs:7.1f} s  {rates[1]:7.1f} a minute  {their_memory:6.0f} MB"
          f"  ({options.nbgrader} of them)")  # fmt: skip
    print(f"ratio {rates[0] / rates[1]:.1f} (aim: 20)")
    before = None
    for size in options.curve:
        seconds, memory = ours(size)
        further = "" if before is None else (
            f"  {1000 * (seconds - before[1]) / (size - before[0]):6.0f} ms a further submission"
        )  # fmt: skip
        print(f"{size:5} submissions  {seconds:7.1f} s  {memory:6.0f} MB{further}")
        before = size, seconds


if __name__ == "__main__":
    main()
