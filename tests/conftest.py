"""What every test finds: interrupts that reach it, random numbers that are the same in every run, a browser,
and Tiny Shakespeare where it is at hand."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# The same examples in every run, and as much time as a busy machine takes for one: what is green stays green.
# `pytest --hypothesis-profile=default` looks for other examples.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """As at a terminal: what is started in the background, or under nohup, ignores interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws without a seed does not depend on the tests that this process ran before it."""
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shakespeare() -> None:
    """Tests download nothing: without the file, what needs it is left out."""
    folder = os.environ.get("LLMLIB_DATA") or os.environ.get("LLMLIB_CACHE") or "~/.cache/llmlib"
    if not (Path(folder).expanduser() / "tinyshakespeare.txt").is_file():
        pytest.skip("no tinyshakespeare.txt in the folder that LLMLIB_DATA names, nor in the cache")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """Started once in a run: a second one beside it would meet the first one's event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()
