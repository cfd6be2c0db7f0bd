"""What stands in the repository: the folders that were promised, and nothing that belongs to one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISED = (
    "book chapters solutions llmlib autograder tests benchmarks _config.yml _toc.yml nbgrader_config.py "
    "pyproject.toml requirements.lock Makefile README.md LICENSE LICENSE-TEXT CITATION.cff .ci/run"
)


def tracked() -> list[Path]:
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip("this copy of the course is no git checkout, so its tracked files cannot be listed")
    return [ROOT / name for name in result.stdout.split("\0") if name]


def test_what_was_promised_is_there():
    assert [name for name in PROMISED.split() if not (ROOT / name).exists()] == []


def test_the_style_is_one():
    for arguments in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_types_agree():
    """By the configuration in pyproject.toml: both packages."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", "--no-pretty"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_llmlib_never_imports_the_autograder():
    for path in (ROOT / "llmlib").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) autograder", path.read_text(), re.M), path


def test_no_file_names_a_folder_of_one_machine():
    homes = re.compile(r"(?<![\w.])/(home|root|Users|work|tmp)/\w")
    found = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in tracked()
        if path.suffix in {".py", ".md", ".toml", ".yml", ".ipynb", ".cff", ""} and path.is_file()
        for match in [homes.search(path.read_text(encoding="utf-8", errors="ignore"))]
        if match and path.name != Path(__file__).name
    ]
    assert found == []


def test_the_readme_shows_where_to_type_and_its_picture_and_links_exist():
    text = (ROOT / "README.md").read_text()
    assert "make learn" in text.split("\n\n")[1]
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert links and [link for link in links if not (ROOT / link).exists()] == []
