"""Output that cannot be written: a sentence and an exit code, and nothing where a reader had seen enough."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from llmlib import train
from llmlib.output import printing
from llmlib.training import Checkpoint

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@contextmanager
def to_a_full_disk() -> Iterator[None]:
    with FULL.open("w") as stream, redirect_stdout(stream):
        yield


@contextmanager
def to_nobody() -> Iterator[None]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, redirect_stdout(stream):
        yield


def speaking(length: int, code: int = 3):
    def work() -> int:
        print("a" * length)
        return code

    return work


@needs_full
@pytest.mark.parametrize("length", [10, 100_000])
def test_a_full_disk_is_a_sentence(capsys, length):
    with to_a_full_disk():
        before = sys.stdout
        assert printing(speaking(length)) == 1
        assert sys.stdout is before
    assert capsys.readouterr().err == "The output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_reader_that_has_seen_enough_is_no_trouble(capsys, length):
    with to_nobody():
        assert printing(speaking(length)) == 0
    assert capsys.readouterr().err == ""


def test_what_can_be_written_is_written_and_other_errors_are_left_alone(capsys):
    assert printing(speaking(3)) == 3
    assert capsys.readouterr().out == "aaa\n"

    def failing() -> int:
        raise FileNotFoundError("a file of its own")

    with pytest.raises(FileNotFoundError):
        printing(failing)


@needs_full
def test_a_training_whose_words_are_lost_is_not(capsys, tmp_path):
    options = ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--out", str(tmp_path)]
    with to_a_full_disk():
        assert train.main(options) == 1
    assert "The output cannot be written: No space left on device." in capsys.readouterr().err
    assert Checkpoint.load(tmp_path / "checkpoint.pt").step == 2
    assert (tmp_path / "loss.png").is_file() and (tmp_path / "sample.txt").is_file()


def test_ctrl_c_while_torch_is_imported_ends_quietly(tmp_path):
    """A stand-in for torch: an interrupt comes while it is imported, and it makes something else of it."""
    (tmp_path / "torch.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    for _ in range(10**9): pass\n"
        "except KeyboardInterrupt:\n    raise ValueError('too many values to unpack') from None\n"
    )
    for command in (["llmlib.train", "--help"], ["autograder", "progress"]):
        ran = subprocess.run(
            [sys.executable, "-m", *command],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", ""), command
