"""`make env` and `make help`: every failure that a person can meet ends with what to do."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from autograder import environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The environment's files in an empty folder, so that no test touches the real one."""
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".venv" / ".installed")
    return tmp_path


def message_of(function, capsys):
    with pytest.raises(SystemExit) as stop:
        function()
    assert stop.value.code == 1
    return capsys.readouterr().err


def test_an_old_python_is_told_which_one_is_needed(monkeypatch, capsys):
    monkeypatch.setattr(environment, "OLDEST", (3, 99))
    message = message_of(environment.check_python, capsys)
    assert "needs Python 3.99 or newer" in message and "make env PYTHON=" in message


def test_a_full_disk_is_told_how_much_is_needed(elsewhere, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: usage(10**10, 10**10, 10**9))
    message = message_of(environment.check_disk, capsys)
    assert "Only 1.0 GB are free" in message and "about 4 GB" in message


@pytest.mark.parametrize(
    ("stderr", "advice"),
    [
        ("WARNING: Retrying after NameResolutionError\nERROR: no such host", "check the network"),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: No matching distribution found for torch==2.13.0", "has no build for this Python"),
        ("ERROR: something else", "Remove .venv and try again"),
    ],
)
def test_a_failed_install_says_what_to_do(monkeypatch, capsys, stderr, advice):
    failed = subprocess.CompletedProcess([], 1, stderr=stderr)
    monkeypatch.setattr(environment.subprocess, "run", lambda *args, **kwargs: failed)
    message = message_of(lambda: environment.pip("install", "x"), capsys)
    assert advice in message and "WARNING" not in message


def test_nothing_is_done_when_nothing_changed(elsewhere, monkeypatch):
    def unexpected(*args, **kwargs):
        raise AssertionError("nothing should be installed")

    (elsewhere / ".venv" / "bin").mkdir(parents=True)
    environment.python().write_text("")
    environment.STAMP.write_text(environment.fingerprint())
    monkeypatch.setattr(environment, "pip", unexpected)
    environment.main()


def test_a_changed_lock_is_installed_without_making_the_environment_anew(elsewhere, monkeypatch):
    calls = []
    (elsewhere / ".venv" / "bin").mkdir(parents=True)
    environment.python().symlink_to(sys.executable)
    environment.STAMP.write_text("old")
    monkeypatch.setattr(environment, "pip", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(environment, "make_venv", lambda **_: calls.append("venv"))
    monkeypatch.setattr(environment, "has_torch", lambda: None)
    environment.main()
    assert [call[0] for call in calls] == ["install", "install"]
    assert environment.STAMP.read_text() == environment.fingerprint()


def test_a_torch_that_is_there_is_honoured(elsewhere, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(environment, "works", lambda: False)
    monkeypatch.setattr(environment, "has_torch", lambda: "2.9.1+cu130")
    monkeypatch.setattr(environment, "pip", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(
        environment, "make_venv", lambda **about: ((elsewhere / ".venv").mkdir(), calls.append(about))
    )
    environment.main()
    assert calls[0] == {"system_packages": True}
    lock = Path(calls[1][-1]).read_text()
    assert "\ntorch==" not in lock and "\nnumpy==" in lock
    assert "2.9.1+cu130" in capsys.readouterr().out


def test_help_lists_every_command():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for command in ("env", "learn", "test", "test-all", "notebooks", "book", "bench"):
        assert f"make {command} " in text


def test_a_missing_python_is_named():
    result = subprocess.run(
        ["make", "env", "PYTHON=python9.9"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode and "There is no python9.9 here" in result.stderr


def test_the_lock_holds_every_direct_dependency_exactly():
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(d for extra in project["optional-dependencies"].values() for d in extra),
    ]
    names = {re.split(r"[<>=\[ ]", d)[0].lower().replace("_", "-") for d in wanted}
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.split("==")[0].lower().replace("_", "-"): line for line in lines if "==" in line}
    assert names <= set(locked)
    assert locked["torch"] == "torch==2.13.0"
    assert not any("://" in line for line in lines)
