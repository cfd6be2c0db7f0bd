"""Every verdict, on disk from the moment it is reached: `grades/<chapter>/<student>.json`.

One file a student, written whole or not at all, so a run that is killed at any instant has lost at most the
submissions that were being graded just then. The next run grades what is missing or has changed. The folder
also holds the class's secret, from which the checks draw their inputs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autograder.classroom.grader import Verdict
from autograder.files import write_atomically
from autograder.usage import UsageError

SECRET = "secret"


@dataclass(frozen=True)
class Entry:
    """A verdict, and what it was reached from.

    key:      stands for the submission's content, the checks, their version and their seed.
    recorded: whether the gradebook has it.
    handed_in: when, as the gradebook was told; nothing if it was told nothing.
    """

    verdict: Verdict
    key: str
    seed: int
    recorded: bool = False
    handed_in: str = ""


class Journal:
    """The verdicts on one chapter. `folder`: `grades/`."""

    def __init__(self, folder: Path, chapter: str):
        self.secrets, self.folder = folder, folder / chapter
        self._written: tuple[Verdict, str] | None = None  # the last one, which is soon written again

    def __getitem__(self, student: str) -> Entry | None:
        """The verdict on a student; None if there is none, or if its file was damaged or is another's."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            plain = json.loads(self._path(student).read_text("utf-8"))
            verdict = Verdict.from_plain(plain["verdict"])
            if verdict.student == student:
                about = (plain["key"], plain["seed"], plain["recorded"])
                return Entry(verdict, *about, plain.get("handed_in", ""))
        return None

    def __iter__(self) -> Iterator[Entry]:
        for path in sorted(self.folder.glob("*.json")):
            if (entry := self[path.stem]) is not None:
                yield entry

    def write(self, entry: Entry) -> None:
        """
        Raises:
            OSError: it could not be written; what was there is whole.
        """
        if self._written is None or self._written[0] is not entry.verdict:
            # Escaped: a submission may hold letters that no file can.
            self._written = entry.verdict, json.dumps(entry.verdict.as_plain())
        names = ("key", "seed", "recorded", "handed_in")
        about = json.dumps({name: getattr(entry, name) for name in names})
        text = f'{about[:-1]}, "verdict": {self._written[1]}}}'
        write_atomically(self._path(entry.verdict.student), text.encode())

    def _path(self, student: str) -> Path:
        return self.folder / f"{student}.json"

    def seed(self, key: str | None = None) -> int:
        """The seed of the class: from `key`, else from its secret.

        Raises:
            OSError, UsageError: the secret can be neither read nor written.
        """
        key = self.secret() if key is None else key
        return int.from_bytes(hashlib.sha256(f"{self.folder.name}:{key}".encode()).digest()[:4], "big") >> 1

    def secret(self) -> str:
        """The class's secret, which is made once and kept beside the grades.

        Raises:
            OSError: it can be neither read nor written.
            UsageError: there is nothing in it, which everybody could guess, or what nobody wrote there.
        """
        path = self.secrets / SECRET
        if not path.exists():
            write_atomically(path, secrets.token_hex(16).encode())
            os.chmod(path, 0o600)
        try:
            found = path.read_text("utf-8").strip()
        except UnicodeDecodeError:
            found = ""
        if not found:
            raise UsageError(
                f"{path} should hold the class's secret and holds no text: put a copy of it back, or delete "
                "it for a new one, with which everything is graded again"
            )
        return found


def version(release: bytes) -> str:
    """What stands for the checks: the notebook that was handed out, and every file of the two packages."""
    return hashlib.sha256(release + code_version().encode()).hexdigest()


@cache
def code_version() -> str:
    """What stands for the course's code, as this process has it."""
    total = hashlib.sha256()
    for package in ("autograder", "llmlib"):
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        folder = Path(spec.origin).parent
        for path in sorted(folder.rglob("*.py")):
            total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
