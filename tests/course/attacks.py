# ruff: noqa: E501
"""Submissions that cheat, break or only look strange: each a real notebook of chapter 3, made from a function.

Each function changes a notebook as handed out; `solved` first fills in the course's answers. The number in
front of each group is its place in the table of attacks that the grader must survive.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass

import nbformat
from nbgrader_class import ROOT, SLUG, answers

from autograder.exercises import find, find_chapter

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
    """points: what it must earn. outcome: one of the grader's, or None where either will do."""

    number: int
    name: str
    change: Callable[[nbformat.NotebookNode], None]
    points: int
    outcome: str | None = None
    solved: bool = False
    says: str = ""  # in the notes or in the reason of an exercise

    def notebook(self) -> nbformat.NotebookNode:
        notebook = copy.deepcopy(RELEASED)
        if self.solved:
            for grade_id, cell in answers(notebook).items():
                cell.source = SOLVED[grade_id]
        self.change(notebook)
        return notebook


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
    Attack(29, "hang", in_first("while True: pass"), WITHOUT_FIRST, "crashed", solved=True, says="endless loop"),
    Attack(30, "hang-swallow", in_first("import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass"),
           WITHOUT_FIRST, "crashed", solved=True),
    Attack(31, "memory", in_first("x = torch.ones(3 << 28)", before="import torch"), WITHOUT_FIRST, solved=True),
    Attack(32, "flood", in_first("line = 'x' * 1_000_000\nfor _ in range(200): print(line)"), FULL, solved=True),
    Attack(32, "flood-past-python", in_first("import os\nfor _ in range(200): os.write(1, b'x' * 1_000_000)"),
           FULL, solved=True),
    Attack(33, "exec", in_first("import subprocess\nsubprocess.Popen(['sleep', '4242'], start_new_session=True)"),
           WITHOUT_FIRST, solved=True, says="not permitted"),
    Attack(33, "orphan", in_first(
           "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
           "    import ctypes\n    ctypes.CDLL(None).prctl(15, b'orphan4242')\n    time.sleep(4242)"),
           FULL, solved=True),
    Attack(34, "fork-bomb", in_first("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
           WITHOUT_FIRST, "crashed", solved=True),
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
