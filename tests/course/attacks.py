# ruff: noqa: E501
"""Submissions that cheat, break or only look strange: each a real notebook of chapter 3, made from a function.

Each function changes a notebook as handed out; `solved` first fills in the course's answers. The number in
front of each group is its place in the table of attacks that the grader must survive.
"""

from __future__ import annotations

import copy
import gzip
import io
import os
import random
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader_class import ROOT, SLUG, WORDS, answers

from autograder.classroom import crew
from autograder.classroom.grader import Grader
from autograder.exercises import find, find_chapter
from autograder.sandbox import Confined

CHAPTER = find_chapter(3)
FULL = sum(exercise.points for exercise in CHAPTER.exercises)
FIRST = find("3.1")  # attention_scores, the exercise that most attacks live in
WITHOUT_FIRST = FULL - FIRST.points

RELEASED = nbformat.read(ROOT / "chapters" / SLUG / f"{SLUG}.ipynb", 4)
SOLVED = {
    k: c.source for k, c in answers(nbformat.read(ROOT / "solutions" / SLUG / f"{SLUG}.ipynb", 4)).items()
}


@dataclass(frozen=True)
class Attack:
    """points: what it must earn. outcome: one of the grader's, or None where either will do.

    waits: in exercise 3.1, for its time to be over, or until all memory is filled in each of the checks.
    """

    number: int
    name: str
    change: Callable[[nbformat.NotebookNode], None]
    points: int
    outcome: str | None = None
    solved: bool = False
    says: str = ""  # in the notes or in the reason of an exercise
    waits: bool = False

    def notebook(self) -> nbformat.NotebookNode:
        notebook = copy.deepcopy(RELEASED)
        if self.solved:
            for grade_id, cell in answers(notebook).items():
                cell.source = SOLVED[grade_id]
        self.change(notebook)
        return notebook


@dataclass(frozen=True)
class FileAttack:
    """What is handed in is no plain notebook, or more than one.

    make: lays out the student's folder of the chapter; it is given the folder, which does not exist yet, the
          course's root, and a right notebook's text.
    """

    number: int
    name: str
    make: Callable[[Path, Path, str], None]
    points: int
    outcome: str
    says: str = ""


def checks(notebook):
    return [
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-check")
    ]


def everywhere(source):
    """The same text as the answer to every exercise, with its name."""

    def change(notebook):
        for exercise in CHAPTER.exercises:
            answers(notebook)[exercise.grade_id].source = source.replace("NAME", exercise.answer_name)

    return change


def alone(source):
    """The same in exercise 3.1 only, for what takes its time."""

    def change(notebook):
        answers(notebook)[FIRST.grade_id].source = source.replace("NAME", FIRST.answer_name)

    return change


def in_first(body, before=""):
    """Exercise 3.1 begins with this; what follows it is right."""

    def change(notebook):
        lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
        right = SOLVED[FIRST.grade_id].replace("def attention_scores", "def right_scores", 1)
        answers(notebook)[
            FIRST.grade_id
        ].source = f"{before}\n{right}\n\ndef attention_scores(query, key):\n{lines}\n    return right_scores(query, key)"

    return change


def extra(source, place=1):
    def change(notebook):
        notebook.cells.insert(place, nbformat.v4.new_code_cell(source))

    return change


def each_check(**about):
    """Change every check's metadata or parts."""

    def change(notebook):
        for cell in checks(notebook):
            for key, value in about.items():
                target = cell if key in ("source", "cell_type", "outputs") else cell.metadata.nbgrader
                target[key] = copy.deepcopy(value)

    return change


def both(*changes):
    def change(notebook):
        for one in changes:
            one(notebook)

    return change


def drop_checks(notebook):
    gone = {id(cell) for cell in checks(notebook)}
    notebook.cells = [cell for cell in notebook.cells if id(cell) not in gone]


def copy_checks(notebook):
    for cell in checks(notebook):
        notebook.cells.append(
            nbformat.from_dict({**cell, "id": f"again-{len(notebook.cells)}", "source": "99"})
        )


def copy_answer(notebook):
    cell = answers(notebook)[FIRST.grade_id]
    earlier = nbformat.from_dict(
        {**copy.deepcopy(cell), "id": "earlier", "source": "def attention_scores(): pass"}
    )
    notebook.cells.insert(notebook.cells.index(cell), earlier)


def rename_checks(notebook):
    for cell in checks(notebook):
        cell.metadata.nbgrader.grade_id += "-mine"
        cell.id += "-mine"


def copy_checks_first(notebook):
    cells = [
        nbformat.from_dict({**c, "id": f"first-{n}", "source": "99"}) for n, c in enumerate(checks(notebook))
    ]
    notebook.cells[:0] = cells


def copy_blank_answers(notebook):
    """A blank copy of each answer, with its name, after it."""
    blank = answers(RELEASED)
    for grade_id, cell in answers(notebook).items():
        again = nbformat.from_dict({**copy.deepcopy(blank[grade_id]), "id": f"blank-{len(notebook.cells)}"})
        notebook.cells.insert(notebook.cells.index(cell) + 1, again)


def strip_checks(notebook):
    for cell in checks(notebook):
        del cell.metadata["nbgrader"]


def answers_as_checks(notebook):
    for cell in answers(notebook).values():
        cell.metadata.nbgrader.update(grade=True, solution=False, points=99, locked=True)


def rotate_ids(notebook):
    """Each check carries the next one's name."""
    cells = checks(notebook)
    names = [cell.metadata.nbgrader.grade_id for cell in cells]
    for cell, name in zip(cells, names[1:] + names[:1], strict=True):
        cell.metadata.nbgrader.grade_id = name


def skip_comments(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = f"# NBVAL_SKIP\n# NBVAL_IGNORE_OUTPUT\n{cell.source}"


def backwards(notebook):
    notebook.cells.reverse()


def words(text):
    """The answer in words is this."""

    def change(notebook):
        (cell,) = (c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == WORDS)
        cell.source = text

    return change


def shuffle(notebook):
    random.Random(0).shuffle(notebook.cells)


def shown(*outputs):
    return each_check(
        outputs=[nbformat.v4.output_from_msg(o) if "header" in o else nbformat.from_dict(o) for o in outputs]
    )


def result(text):
    return {
        "output_type": "execute_result",
        "execution_count": 1,
        "metadata": {},
        "data": {"text/plain": text},
    }


YES = """\
class Yes:
    def __eq__(self, other): return True
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __getitem__(self, i): return self
    def __iter__(self): return iter([self] * 3)
    def __bool__(self): return True
    def __float__(self): return 0.5
    def __lt__(self, other): return True
    def __gt__(self, other): return True
"""
PATCH = """\
import torch, numpy
torch.allclose = torch.equal = torch.isclose = numpy.allclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda a, b: True
"""
OWN_EXIT = "class Bye(BaseException): pass\n"
NAN = "import torch\ndef NAME(query, key=None, value=None, *rest):\n    return query * float('nan')"

ATTACKS = (
    Attack(1, "edit-tests", each_check(source="pass"), 0, "tampered", says="was edited"),
    Attack(1, "edit-tests-to-full", each_check(source="verdict = lambda: 99\n99"), 0, "tampered"),
    Attack(2, "delete-tests", drop_checks, FULL, "repaired", solved=True, says="put back"),
    Attack(2, "delete-tests-blank", drop_checks, 0, "repaired"),
    Attack(3, "points-100", each_check(points=100), 0, "tampered", says="points"),
    Attack(3, "points-100-solved", each_check(points=100), FULL, "tampered", solved=True),
    Attack(4, "grade-false", each_check(grade=False), FULL, "tampered", solved=True),
    Attack(5, "solution-true", each_check(solution=True), FULL, "tampered", solved=True),
    Attack(6, "rename-id", rename_checks, FULL, "tampered", solved=True),
    Attack(7, "dup-tests", copy_checks, 0, "tampered"),
    Attack(8, "dup-answer", copy_answer, FULL, "repaired", solved=True, says="there 2 times"),
    Attack(9, "reorder", shuffle, FULL, solved=True),
    Attack(10, "to-markdown", each_check(cell_type="markdown"), FULL, "tampered", solved=True),
    Attack(11, "patch-allclose", both(everywhere(PATCH), extra(PATCH)), 0),
    Attack(11, "patch-and-zeros", everywhere(PATCH + "def NAME(*a, **k): return torch.zeros(1)"), 0),
    Attack(12, "always-equal", everywhere(YES + "def NAME(*a, **k): return Yes()"), 0),
    Attack(13, "proxy-all", everywhere(YES + "NAME = Yes()"), 0),
    Attack(14, "ast-strip", everywhere("get_ipython().ast_transformers.append(None)\nNAME = 1"), 0),
    Attack(15, "input-rewrite", extra("get_ipython().input_transformers_post.append(lambda l: ['99'])"), 0),
    Attack(16, "forge-result", both(each_check(source="print(6)\n6"), shown(result("6"))), 0, "tampered"),
    Attack(17, "negative-score", shown(result("-1.0")), FULL, solved=True),
    Attack(18, "overmax", shown(result("99.0")), FULL, solved=True),
    Attack(18, "overmax-blank", shown(result("99.0")), 0),
    Attack(19, "mute-errors", everywhere("import sys\nsys.exc_info = lambda: None\nsys.excepthook = None"), 0),
    Attack(20, "read-history", everywhere("def NAME(*a, **k): return In[-1], _oh, globals()"), 0),
    Attack(21, "read-disk", in_first(
           "try: seen = open('COURSE/solutions/03-attention/03-attention.ipynb').read(9)\nexcept OSError: seen = 'nothing'\n"
           "raise RuntimeError(f'sees {seen}')"), WITHOUT_FIRST, solved=True, says="sees nothing"),
    Attack(21, "read-own-source", in_first("import glob\nraise RuntimeError(f'sees {glob.glob(\"/**/*.ipynb\")}')"),
           WITHOUT_FIRST, solved=True, says="sees []"),
    Attack(22, "gradebook-sql", everywhere("import sqlite3\nb = sqlite3.connect('COURSE/gradebook.db')\n"
           "b.execute('update grade set auto_score = 99')\nb.commit()"), 0),
    Attack(23, "other-student", everywhere(
           "import pathlib\nfor p in pathlib.Path('COURSE/submitted').rglob('*.ipynb'): p.write_text('gone')"), 0),
    Attack(26, "os-exit-in-answer", in_first("import os\nos._exit(0)"), WITHOUT_FIRST, "crashed", solved=True),
    Attack(26, "kill-the-parent", in_first("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(1)"),
           WITHOUT_FIRST, "crashed", solved=True),
    Attack(27, "os-exit-early", extra("import os\nos._exit(0)"), FULL, solved=True),
    Attack(27, "os-exit-at-the-top", in_first("pass", before="import os\nos._exit(0)"), WITHOUT_FIRST, "crashed", solved=True),
    Attack(28, "sys-exit", in_first("raise SystemExit"), WITHOUT_FIRST, solved=True),
    Attack(28, "own-exit", in_first("raise Bye", before=OWN_EXIT), WITHOUT_FIRST, solved=True),
    Attack(29, "hang", in_first("while True: pass"), WITHOUT_FIRST, "crashed", solved=True, waits=True, says="endless loop"),
    Attack(30, "hang-swallow", in_first("import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass"),
           WITHOUT_FIRST, "crashed", solved=True, waits=True),
    Attack(31, "memory", in_first("x = torch.ones(3 << 28)", before="import torch"), WITHOUT_FIRST, solved=True),
    Attack(32, "flood", in_first("line = 'x' * 1_000_000\nfor _ in range(200): print(line)"), FULL, solved=True),
    Attack(32, "flood-past-python", in_first("import os\nfor _ in range(200): os.write(1, b'x' * 1_000_000)"),
           FULL, solved=True),
    Attack(33, "exec", in_first("import subprocess\nsubprocess.Popen(['sleep', '4242'], start_new_session=True)"),
           WITHOUT_FIRST, solved=True, says="not permitted"),
    Attack(33, "orphan", in_first(
           "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
           "    import ctypes\n    ctypes.CDLL(None).prctl(15, b'ORPHAN')\n    time.sleep(4242)"),
           FULL, solved=True),
    Attack(34, "fork-bomb", in_first("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
           WITHOUT_FIRST, "crashed", solved=True, waits=True),
    Attack(35, "network", in_first("import socket\nsocket.create_connection(('127.0.0.1', PORT), 2).send(b'hi')"),
           WITHOUT_FIRST, solved=True),
    Attack(36, "thread-tamper", everywhere(
           "import threading, torch\ndef later():\n    torch.allclose = lambda *a: True\n"
           "threading.Timer(0.01, later).start()\ndef NAME(*a, **k): return torch.zeros(1)"), 0),
    Attack(37, "print-score", everywhere("print('42/42')\nprint('{\"points\": 42}')"), 0),
    Attack(38, "stderr", extra("import sys\ndef warn(): print('note', file=sys.stderr)\n"), FULL, solved=True),
    Attack(39, "html-script", both(
           shown({"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>alert(1)</script>"}}),
           lambda n: n.cells.insert(2, nbformat.v4.new_markdown_cell("<script>alert(2)</script>"))), FULL, solved=True),
    Attack(40, "pickle-result", everywhere(
           "import os\nclass Boom:\n    def __reduce__(self): return os.system, ('touch boom',)\n"
           "def NAME(*a, **k): return Boom()"), 0),
    Attack(41, "nbval-skip", lambda n: [c.metadata.update(tags=["nbval-skip"]) for c in n.cells], FULL, solved=True),
    Attack(42, "hardcode", lambda n: answers(n).get(find("3.3").grade_id).update(
           source="import torch\ndef causal_mask(length):\n    return torch.ones(3, 3).tril().bool()"), 0),
    Attack(43, "late-write", everywhere(
           "import os, threading, time\ndef later():\n    time.sleep(0.05)\n    for f in range(3, 64):\n"
           "        try: os.write(f, b'{\"points\": 6}')\n        except OSError: pass\n"
           "threading.Thread(target=later).start()\ndef NAME(*a, **k): time.sleep(0.1)"), 0),
    Attack(45, "nan", everywhere(NAN), 0),
    Attack(45, "alias", everywhere("def NAME(query, *rest):\n    query.zero_()\n    return query"), 0),
    Attack(45, "broadcastable", everywhere("import torch\ndef NAME(*a, **k): return torch.ones(1, 1, 1)"), 0),
    Attack(47, "call-the-answer", lambda n: answers(n)[find("3.2").grade_id].update(
           source="from llmlib.attention import softmax"), 0, says="llmlib.attention.softmax"),
    Attack(47, "call-torch", lambda n: answers(n)[find("3.2").grade_id].update(
           source="import torch\ndef softmax(x, dim=-1):\n    return torch.softmax(x, dim)"), 0, says="softmax"),
    Attack(47, "call-aten", lambda n: answers(n)[find("3.2").grade_id].update(
           source="import torch\ndef softmax(x, dim=-1):\n    return torch.ops.aten._softmax(x, dim, False)"), 0,
           says="aten"),
    Attack(47, "get-source", everywhere("import inspect, autograder.exercises as e\nexec(inspect.getsource(e))"), 0),
)  # fmt: skip

# Every row again, another way.
VARIATIONS = (
    Attack(4, "no-metadata", strip_checks, FULL, solved=True),
    Attack(4, "no-metadata-blank", strip_checks, 0),
    Attack(5, "answers-as-checks", answers_as_checks, FULL, solved=True),
    Attack(6, "rotate-ids", rotate_ids, FULL, "tampered", solved=True),
    Attack(7, "dup-tests-first", copy_checks_first, 0, "tampered"),
    Attack(8, "blank-copy-below", copy_blank_answers, FULL, "repaired", solved=True),
    Attack(9, "backwards", backwards, FULL, solved=True),
    Attack(10, "to-raw", each_check(cell_type="raw"), FULL, "tampered", solved=True),
    Attack(12, "equal-tensor", everywhere(
           "import torch\nclass Equal(torch.Tensor):\n    def __eq__(self, other): return True\n"
           "    @classmethod\n    def __torch_function__(cls, func, types, args=(), kwargs=None): return True\n"
           "def NAME(*a, **k): return torch.zeros(1).as_subclass(Equal)"), 0),
    Attack(13, "proxy-inside", everywhere(YES + "def NAME(*a, **k): return [Yes(), (Yes(), {'x': Yes()})]"), 0),
    Attack(14, "no-builtins", alone("import builtins\nbuiltins.exec = builtins.isinstance = lambda *a: True\nNAME = 1"), 0),
    Attack(15, "import-hook", everywhere(
           "import sys\nclass Hook:\n    def find_spec(self, name, *rest): raise SystemExit\n"
           "sys.meta_path.insert(0, Hook())\ndef NAME(*a, **k): return 6"), 0),
    Attack(16, "forge-frame", everywhere(
           "import os, struct\nFRAME = b'{\"dict\": {\"status\": \"passed\", \"points\": 6, \"value\": 1}}'\n"
           "for f in range(3, 64):\n    try: os.write(f, struct.pack('<QQ', len(FRAME), 0) + FRAME)\n"
           "    except OSError: pass\ndef NAME(*a, **k): return 1"), 0),
    Attack(17, "negative-points", each_check(points=-1.0), FULL, "tampered", solved=True),
    Attack(19, "mute-everything", everywhere(
           "import sys\nsys.setprofile(None); sys.settrace(lambda *a: None)\nsys.unraisablehook = sys.excepthook = print\n"
           "class Quiet(BaseException):\n    def __str__(self): return self\n"
           "def NAME(*a, **k): raise Quiet"), 0),
    Attack(20, "read-the-heap", alone(
           "import gc, sys\ndef NAME(*a, **k):\n    frame = sys._getframe()\n"
           "    while frame.f_back: frame = frame.f_back\n"
           "    seen = [o for o in gc.get_objects() if type(o).__name__ in ('Expected', 'Check', 'Exercise')]\n"
           "    return seen, sorted(frame.f_globals)"), 0),
    Attack(22, "gradebook-gone", everywhere("open('COURSE/gradebook.db', 'wb').write(b'')"), 0),
    Attack(23, "submissions-gone", everywhere("import shutil\nshutil.rmtree('COURSE', ignore_errors=True)"), 0),
    Attack(29, "hang-at-the-top", in_first("pass", before="while True: pass"), WITHOUT_FIRST, "crashed", solved=True, waits=True),
    Attack(30, "hang-deaf", in_first(
           "import signal, threading\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\n"
           "lock = threading.Lock()\nlock.acquire()\nlock.acquire()"), WITHOUT_FIRST, "crashed", solved=True, waits=True),
    Attack(31, "memory-by-and-by", in_first("kept = []\nwhile True: kept.append(bytearray(1 << 26))"),
           WITHOUT_FIRST, solved=True, waits=True),
    Attack(34, "thread-bomb", in_first(
           "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"),
           WITHOUT_FIRST, solved=True),
    Attack(35, "network-datagram", in_first(
           "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hi', ('127.0.0.1', PORT))"),
           WITHOUT_FIRST, solved=True),
    Attack(36, "patch-the-worker", everywhere(
           "import autograder.wire as w, autograder.running as r, autograder.outcome as o\n"
           "r.LocalRunner.__call__ = lambda self, case: o.Outcome(value=True)\nw._DTYPES.clear()\n"
           "def NAME(*a, **k): return 1"), 0),
    Attack(37, "print-a-report", everywhere(
           "import os\nos.write(1, b'[{\"status\": \"passed\", \"points\": 6}]')\nNAME = 'passed, 42 of 42 points'"), 0),
    Attack(38, "warn-and-log", in_first(
           "import logging, sys, warnings\nwarnings.warn('slow')\nlogging.warning('careful')\nprint('note', file=sys.stderr)"),
           FULL, solved=True),
    Attack(39, "html-elsewhere", both(
           shown({"output_type": "display_data", "metadata": {}, "data": {
               "image/svg+xml": "<svg onload='alert(3)'/>", "application/javascript": "alert(4)", "text/plain": "<script>alert(5)"}}),
           words("<img src=x onerror=alert(6)> [go](javascript:alert(7))")), FULL, solved=True),
    Attack(40, "pickle-nested", everywhere(
           "import os\nclass Boom(dict):\n    def __reduce_ex__(self, p): return os.system, ('touch boom',)\n"
           "    def items(self): os._exit(0)\ndef NAME(*a, **k): return [Boom(x=1), {'y': (Boom(),)}]"), 0),
    Attack(41, "nbval-comments", skip_comments, FULL, solved=True),
    Attack(42, "hardcode-by-size", lambda n: answers(n).get(find("3.2").grade_id).update(
           source="import torch\ndef softmax(x, dim=-1):\n    return torch.full_like(x, 1 / x.shape[dim])"), 0),
    Attack(43, "late-write-by-a-child", everywhere(
           "import os, time\ndef NAME(*a, **k):\n    if os.fork() == 0:\n        time.sleep(0.05)\n        for f in range(3, 64):\n"
           "            try: os.write(f, bytes(99))\n            except OSError: pass\n        os._exit(0)\n    time.sleep(0.2)"), 0),
)  # fmt: skip


class Clock(crew.Plan):
    """Three seconds for what waits until they are over, and for everybody else ten minutes: how busy the machine
    is makes nobody late."""

    def grader(self, within: Confined | None = None) -> Grader:
        grader = super().grader(within)
        grade = grader.process.grade
        waiting = {
            answers(attack.notebook())[FIRST.grade_id].source
            for attack in (*ATTACKS, *VARIATIONS)
            if attack.waits
        }

        def timed(exercise, source, **about):
            return grade(exercise, source, **{**about, "timeout": 3.0 if source in waiting else 600.0})

        grader.process.grade = timed
        return grader


# --- What is handed in is no plain notebook


def file(name, data):
    """The chapter's folder holds this file."""

    def make(folder, root, right):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data(right))

    return make


def link(to, name=f"{SLUG}.ipynb"):
    """The chapter's folder holds a link to a file of the course, or of the machine."""

    def make(folder, root, right):
        folder.mkdir(parents=True)
        (folder / name).symlink_to(to if to.startswith(("/", "..")) else root / to)

    return make


def linked_folder(folder, root, right):
    folder.parent.mkdir()
    folder.symlink_to(root / "solutions" / SLUG)


def linked_student(folder, root, right):
    folder.parent.symlink_to(root / "submitted" / "right")


def pipe(folder, root, right):
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{SLUG}.ipynb")


def device(folder, root, right):
    """/dev/zero by another name, where the tests may make one; else a pipe."""
    folder.mkdir(parents=True)
    try:
        os.mknod(folder / f"{SLUG}.ipynb", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(folder / f"{SLUG}.ipynb")


def huge(folder, root, right):
    """A gigabyte that takes no room on the disk."""
    folder.mkdir(parents=True)
    with (folder / f"{SLUG}.ipynb").open("wb") as handle:
        handle.truncate(1 << 30)


def bomb(right):
    """A zip of a hundred kilobytes that holds a hundred megabytes, and names that climb out of its folder."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../../gradebook.db", "gone")
        packed.writestr(f"../right/{SLUG}/{SLUG}.ipynb", "{}")
        packed.writestr(f"{SLUG}.ipynb", bytes(100 << 20))
    return data.getvalue()


def beside(*others):
    """A right notebook, and other things in its folder."""

    def make(folder, root, right):
        file(f"{SLUG}.ipynb", lambda right: right.encode())(folder, root, right)
        for name, data in others:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, Path):
                path.symlink_to(data)
            else:
                path.write_bytes(data(right) if callable(data) else data)

    return make


SHADOW = b"raise SystemExit('shadowed')"
BOMB = gzip.compress(bytes(20 << 20))
NAME = f"{SLUG}.ipynb"

FILE_ATTACKS = (
    FileAttack(24, "link", link(f"solutions/{SLUG}/{NAME}"), 0, "tampered", "link"),
    FileAttack(24, "link-to-the-gradebook", link("gradebook.db"), 0, "tampered", "link"),
    FileAttack(24, "link-upwards", link(f"../../right/{SLUG}/{NAME}"), 0, "tampered", "link"),
    FileAttack(24, "link-to-nothing", link("/nowhere/at/all"), 0, "tampered", "link"),
    FileAttack(24, "link-to-passwords", link("/etc/passwd", "my notebook.ipynb"), 0, "tampered", "link"),
    FileAttack(24, "linked-folder", linked_folder, 0, "tampered", "link"),
    FileAttack(24, "linked-student", linked_student, 0, "tampered", "link"),
    FileAttack(24, "link-beside", beside(("timestamp.txt", Path("/etc/hostname")), ("data", Path("/etc"))),
               FULL, "graded"),
    FileAttack(24, "device", device, 0, "tampered", "no plain file"),
    FileAttack(24, "pipe", pipe, 0, "tampered", "no plain file"),
    FileAttack(25, "shadow", beside(("numpy.py", SHADOW), ("torch.py", SHADOW), ("llmlib.py", SHADOW)), FULL, "graded"),
    FileAttack(25, "shadow-packages", beside(("torch/__init__.py", SHADOW), ("sitecustomize.py", SHADOW),
               ("autograder/worker.py", SHADOW), ("nbgrader_config.py", SHADOW), ("x.pth", b"import os; os._exit(0)")),
               FULL, "graded"),
    FileAttack(44, "bad-json", file(NAME, lambda right: right[:-9].encode()), 0, "crashed", "is not a notebook"),
    FileAttack(44, "deep-json", file(NAME, b'{"cells": ' + b"[" * 500_000), 0, "crashed", "is not a notebook"),
    FileAttack(44, "a-gigabyte", huge, 0, "crashed", "larger than 50 MB"),
    FileAttack(44, "many-cells", file(NAME, b'{"cells": [' + b"{}," * 99_999 + b"{}]}"), 0, "tampered", "100,000 cells"),
    FileAttack(44, "endless-number", file(NAME, b'{"cells": ' + b"9" * 1_000_000 + b"}"), 0, "crashed", "not a notebook"),
    FileAttack(44, "zip-bomb", file(NAME, bomb), 0, "crashed", "is not a notebook"),
    FileAttack(44, "gzip-bomb", file(NAME, BOMB), 0, "crashed", "is not a notebook"),
    FileAttack(44, "bombs-beside", beside((f"{SLUG}.zip", bomb), ("data.ipynb.gz", BOMB)), FULL, "graded"),
    FileAttack(44, "only-a-zip", file(f"{SLUG}.zip", bomb), 0, "crashed", "nothing was handed in"),
    FileAttack(44, "climbing-name", beside((f"..{SLUG}.ipynb", b"{"), ("....py", SHADOW)), FULL, "graded"),
)  # fmt: skip
