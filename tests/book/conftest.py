"""The book, built once for all tests of a run, and a browser to read it with."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


def _once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all xdist workers of this run share."""
    folder = tmp_path_factory.getbasetemp()
    if folder.name.startswith("popen-"):
        folder = folder.parent
    return folder / name


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished book, built from the repository by the command that `make book` runs.

    COURSE_BOOK names one that is built already, such as the one that is about to be published.
    """
    if already := os.environ.get("COURSE_BOOK"):
        return Path(already).resolve()
    if shutil.which("npm") is None and not (ROOT / "_work" / "book" / "static").is_dir():
        pytest.skip("the book ships npm packages, and there is neither npm nor a cache of them")
    output = _once(tmp_path_factory, "book")
    done, log = output / "done", output / "log"
    with FileLock(f"{output}.lock"):
        if not done.exists():
            output.mkdir(exist_ok=True)
            process = subprocess.run(
                [sys.executable, "-m", "autograder.bookmaking", "--output", str(output)],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            log.write_text(process.stdout + process.stderr, "utf-8")
            done.write_text(str(process.returncode), "utf-8")
    assert done.read_text("utf-8") == "0", log.read_text("utf-8")
    return output / "html"


@pytest.fixture(scope="session")
def served(built: Path) -> Iterator[str]:
    """The address of the book on a web server of this machine."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(built))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
