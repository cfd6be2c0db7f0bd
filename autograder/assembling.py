"""The learner's own GPT: `llmlib`'s modules with the learner's passed answers in the place of the course's.

What is taken over is what the checks passed, word for word, with the helpers and imports that it uses. What
is still the course's is marked as such. The package stands alone: it imports nothing of `llmlib`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import llmlib
from autograder import exercises
from autograder.answers import Answer
from autograder.exercise import Exercise
from autograder.grafting import marked, target_of, top_level, with_answer

ROOTS = ("gpt", "generation", "train")  # what a GPT needs to be made, trained and sampled from
RECORD = "assembled.json"
CARD = "MODEL_CARD.md"


class AssemblyError(RuntimeError):
    """The package cannot be written; the message says why and what to do."""


@dataclass(frozen=True)
class Part:
    """One exercise's piece of the package. `whose`: "yours" or "the course's", and then `why`."""

    exercise: Exercise
    module: str
    whose: str
    why: str = ""

    @property
    def name(self) -> str:
        return self.exercise.name.partition(".")[2]


@dataclass(frozen=True)
class Assembly:
    """The package's files by name, and whose each part is."""

    files: Mapping[str, str]
    parts: tuple[Part, ...]


def modules_needed(roots: Iterable[str] = ROOTS) -> list[str]:
    """The modules of `llmlib` that these import, themselves included, each once."""
    needed: list[str] = []
    waiting = list(roots)
    while waiting:
        name = waiting.pop(0)
        if name not in needed:
            needed.append(name)
            waiting += re.findall(r"^\s*from llmlib\.(\w+) import", _source(name), flags=re.MULTILINE)
            for names in re.findall(r"^\s*from llmlib import (.+)$", _source(name), flags=re.MULTILINE):
                waiting += re.findall(r"\w+", names)
    return sorted(needed)


def parts_of_the_model() -> list[Exercise]:
    """The exercises whose functions or classes stand in the package, in the order of the course."""
    modules = {name: top_level(_source(name)) for name in modules_needed()}
    # A bug hunt may be on a piece of the library too; one on a piece of its own is no part of the model.
    written = (e for e in exercises.all_exercises() if e.reference is not None)
    return [e for e in written if target_of(e) in modules.get(e.name.split(".")[0], ())]


def assemble(answers: Mapping[str, Answer], reasons: Mapping[str, str], name: str = "mygpt") -> Assembly:
    """Put the package together.

    answers: by the exercise's name, the answers that passed.
    reasons: by the exercise's name, why there is none.
    """
    parts: list[Part] = []
    files = {"__init__.py": _renamed(_source("__init__"), name)}
    for module in modules_needed():
        source = _source(module)
        for exercise in parts_of_the_model():
            if exercise.name.split(".")[0] != module:
                continue
            answer = answers.get(exercise.name)
            why = reasons.get(exercise.name, "no answer was found")
            if answer is not None:
                source, trouble = with_answer(source, exercise, answer)
                why = trouble or ""
            if answer is None or why:
                source = marked(source, exercise)
            parts.append(Part(exercise, module, "the course's" if why else "yours", why))
        files[f"{module}.py"] = _renamed(source, name)
    return Assembly(files, tuple(sorted(parts, key=lambda p: tuple(map(int, p.exercise.number.split("."))))))


def write(assembly: Assembly, folder: Path, card: str) -> None:
    """Write the package whole, in the place of one that was assembled before.

    Raises:
        AssemblyError: the folder holds something else, or files that were edited since they were assembled.
    """
    be_ours(folder)
    everything = {**assembly.files, CARD: card}
    record = {name: _digest(text.encode()) for name, text in everything.items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        for name, text in {**everything, RECORD: json.dumps(record, indent=1)}.items():
            (fresh / name).write_text(text, "utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)


def be_ours(folder: Path) -> None:
    """See that nothing which a person wrote would be lost by writing here.

    Raises:
        AssemblyError: something would.
    """
    if not folder.exists():
        return
    other = f"move it away, or name another folder with --output: {folder}"
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        found = {p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        strangers = sorted(p.name for p in found if p.name not in {*record, RECORD})
        edited = sorted(
            name
            for name, digest in record.items()
            if (folder / name).is_file() and _digest((folder / name).read_bytes()) != digest
        )
    except (OSError, ValueError, AttributeError):
        raise AssemblyError(f"this folder was not made by `autograder assemble`: {other}") from None
    if strangers or edited:
        what = f"{edited[0]} was edited" if edited else f"{strangers[0]} was added"
        raise AssemblyError(f"{what} since the package was assembled: {other}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _source(module: str) -> str:
    return Path(llmlib.__file__).with_name(f"{module}.py").read_text("utf-8")


def _renamed(source: str, name: str) -> str:
    return re.sub(r"\bllmlib\b", name, source)


def model_card(assembly: Assembly, agreement: str, name: str = "mygpt") -> str:
    """What the package is, whose its parts are, how it was checked, how to use it."""
    mine = sum(part.whose == "yours" for part in assembly.parts)
    rows = "\n".join(
        f"| {p.exercise.number} | `{p.module}.{p.name}` | {p.whose} | {p.why} |" for p in assembly.parts
    )
    return f"""\
# {name}: a GPT, {mine} of {len(assembly.parts)} parts written by you

A decoder-only transformer in plain PyTorch, assembled from your answers to *From Tokens to GPT*. A part is
yours when your answer passed its checks; then your text stands in the file, unchanged. The rest is the
course's.

| exercise | part | whose | why |
|---|---|---|---|
{rows}

## How it was checked

{agreement}

## How to use it

```bash
python -m {name}.train --corpus shakespeare --preset nanogpt-cpu     # train; a sample is printed at the end
```

```python
from {name}.gpt import GPT, GPTConfig

model = GPT(GPTConfig(vocab_size=65), generator=1337)
```

## What it is not

It was made to be understood. It knows what its training text taught it and nothing else: do not
rely on what it writes.
"""
