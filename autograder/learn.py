"""Open the workbook in JupyterLab: `python -m autograder.learn`, which `make learn` calls.

PORT=9000 asks for another port. OPEN=no opens no browser, for a machine without a screen. JUPYTER_TOKEN
sets the token in the address; otherwise a new one is drawn each time.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from autograder.files import write_atomically
from autograder.workbook import BACKUP, HOME, Damaged, Update, update

ROOT = Path(__file__).resolve().parent.parent
# What a learner does not need in JupyterLab: the instructor's tools, and questions about news.
SETTINGS = {
    "labconfig/page_config.json": {
        "disabledExtensions": {
            "@jupyter/nbgrader": True,
            "@jupyterlab/apputils-extension:announcements": True,
        }
    },
    "jupyter_server_config.json": {
        "ServerApp": {
            "jpserver_extensions": {
                f"nbgrader.server_extensions.{name}": False
                for name in ("formgrader", "validate_assignment", "assignment_list", "course_list")
            }
        }
    },
}
HOST = "127.0.0.1"
FIRST_PORT = 8888
TRIES = 50


class CannotStart(RuntimeError):
    """JupyterLab cannot be started; the message says why and what to do."""


def wanted_port(environment: Mapping[str, str]) -> int:
    """The port that PORT asks for.

    Raises:
        CannotStart: PORT is no port.
    """
    text = environment.get("PORT", "").strip() or str(FIRST_PORT)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise CannotStart(f"PORT must be a number from 1 to 65535: got {text!r}. Try: make learn PORT=9000")
    return int(text)


def free_port(wanted: int) -> int:
    """The wanted port, or the next one that nobody uses.

    Raises:
        CannotStart: there is none among the next ones, or this user may not use it.
    """
    last = min(wanted + TRIES - 1, 65535)
    for port in range(wanted, last + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As the server does it: a port that was used a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except PermissionError:
                raise CannotStart(
                    f"this user may not use port {port}: choose one above 1023. Try: make learn PORT=9000"
                ) from None
            except OSError:
                continue
    raise CannotStart(f"no port from {wanted} to {last} is free: choose another. Try: make learn PORT=9000")


def opens_browser(environment: Mapping[str, str]) -> bool:
    return environment.get("OPEN", "").strip().lower() not in ("no", "n", "0", "false", "off")


def first_unfinished(workbook: Path, updates: list[Update]) -> Path | None:
    """The first chapter with an exercise that has not passed yet; the first one if all have."""
    passed = _passed(workbook / HOME / "progress.jsonl")
    usable = [u.notebook for u in updates if u.action != "damaged"]
    for notebook in usable:
        if not _exercises_of(notebook) <= passed:
            return notebook
    return usable[0] if usable else None


def _exercises_of(notebook: Path) -> set[str]:
    """The grade_ids of the answers that are checked."""
    cells = json.loads(notebook.read_bytes())["cells"]
    meta = [cell.get("metadata", {}).get("nbgrader") or {} for cell in cells]
    return {m["grade_id"].removesuffix("-check") for m in meta if m.get("grade") and not m.get("solution")}


def _passed(progress: Path) -> set[str]:
    # Read here and not through autograder.progress, which would import torch just to start JupyterLab.
    passed: set[str] = set()
    try:
        lines = progress.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return passed
    for line in lines:
        try:
            event = json.loads(line)
            if event["event"] == "check" and event["status"] == "passed":
                passed.add(event["exercise"].replace(".", "-").replace("_", "-"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return passed


def summary(updates: list[Update], workbook: Path) -> str:
    """What happened to the workbook, in a few plain lines."""
    lines = []
    for found in updates:
        where = found.notebook.relative_to(workbook.parent)
        if found.action == "new":
            lines.append(f"  new        {where}")
        elif found.action == "unchanged":
            lines.append(f"  as it was  {where}")
        elif found.action == "merged":
            backup = (workbook / BACKUP / found.slug).relative_to(workbook.parent)
            lines.append(f"  updated    {where}: your work stays, a copy from before is in {backup}")
        else:
            reason = "; ".join(found.notes)
            lines.append(f"  damaged    {where}: left untouched ({reason}). A fresh chapter is beside it:")
        if found.action != "damaged":
            lines += [f"             - {note}" for note in found.notes]
    return "\n".join(["Your workbook:", *lines])


def write_settings(workbook: Path) -> Path:
    """Lay down JupyterLab's settings for this workbook, and return their folder."""
    folder = workbook / HOME / "jupyter"
    for name, content in SETTINGS.items():
        write_atomically(folder / name, json.dumps(content, indent=1).encode())
    return folder


def command(workbook: Path, notebook: Path | None, port: int, *, browser: bool) -> list[str]:
    """The command that serves the workbook, and nothing but it, to this machine only."""
    page = f"/lab/tree/{notebook.relative_to(workbook).as_posix()}" if notebook else "/lab"
    options = [
        f"--ServerApp.root_dir={workbook}",
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",  # the address that is printed is the one that is served
        f"--ServerApp.open_browser={browser}",
        f"--LabApp.default_url={page}",
        # Nothing is asked of the network, and nothing pops up.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--Application.log_level=WARN",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    return [sys.executable, "-m", "jupyterlab", *options]


def prepare(root: Path, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Update the workbook, say so, and return the command with its environment.

    Raises:
        CannotStart: the message says what to do.
    """
    chapters, workbook = root / "chapters", root / "workbook"
    wanted = wanted_port(environment)
    try:
        updates = update(chapters, workbook)
        settings = write_settings(workbook)
    except Damaged as damage:
        raise CannotStart(str(damage)) from None
    except OSError as error:
        raise CannotStart(
            f"the workbook cannot be written ({error.strerror}: {error.filename}). "
            "Your notebooks are as they were"
        ) from None
    if not updates:
        raise CannotStart(f"there is no chapter in {chapters}: get it with git restore chapters")
    print(summary(updates, workbook))
    port = free_port(wanted)
    if port != wanted:
        print(f"\nPort {wanted} is taken; this is port {port}.")
    token = environment.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    line = command(workbook, first_unfinished(workbook, updates), port, browser=opens_browser(environment))
    page = next(o.partition("=")[2] for o in line if o.startswith("--LabApp.default_url="))
    print(f"\nJupyterLab is at\n\n  http://{HOST}:{port}{page}?token={token}\n")
    print(
        "Ctrl-C, twice, stops it. Your work is in workbook/, and `make learn` comes back to it.", flush=True
    )
    paths = [str(settings), *filter(None, [environment.get("JUPYTER_CONFIG_PATH")])]
    # The token stands in the environment, not in the command: other users of the machine can read a command.
    return line, {**environment, "JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def main() -> int:
    try:
        line, environment = prepare(ROOT, os.environ)
    except CannotStart as reason:
        print(f"JupyterLab was not started: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    os.chdir(ROOT / "workbook")  # away from the instructor's nbgrader_config.py
    os.execve(line[0], line, environment)


if __name__ == "__main__":
    sys.exit(main())
