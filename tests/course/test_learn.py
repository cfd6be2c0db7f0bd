"""`make learn`: what it says, which port and chapter it takes, and that JupyterLab really opens there."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import machine
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder import learn
from autograder.learn import CannotStart, free_port, opens_browser, prepare, summary, wanted_port
from autograder.workbook import Update, update


def write_chapter(root, slug, *names):
    """A chapter with one checked exercise for each name."""
    cells = [new_markdown_cell("# Title", id="title")]
    for name in names:
        flags = {"grade_id": f"{name}-check", "grade": True, "solution": False, "locked": True}
        meta = {"nbgrader": {**flags, "points": 1, "schema_version": 3, "task": False}}
        cells.append(new_code_cell("verdict()", id=f"{name}-check", metadata=meta))
    path = root / "chapters" / slug / f"{slug}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells), path)


@pytest.fixture
def root(tmp_path):
    write_chapter(tmp_path, "03-attention", "attention-softmax", "attention-causal-mask")
    write_chapter(tmp_path, "04-heads", "heads-split")
    return tmp_path


def pass_(root, *names):
    path = root / "workbook" / ".autograder" / "progress.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        for name in names:
            file.write(json.dumps({"event": "check", "status": "passed", "exercise": name}) + "\n")


def option(line, name):
    return next(part.partition("=")[2] for part in line if part.startswith(f"--{name}="))


@pytest.fixture
def busy():
    """A port that somebody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize(("text", "port"), [("", 8888), ("9000", 9000), (" 9001 ", 9001)])
def test_the_port_is_the_wanted_one(text, port):
    assert wanted_port({"PORT": text}) == port
    assert wanted_port({}) == 8888


@pytest.mark.parametrize("text", ["no", "-1", "0", "65536", "8888.5", "٣"])
def test_a_port_that_is_none_is_refused(text):
    with pytest.raises(
        CannotStart, match=r"PORT must be a number from 1 to 65535: got .*make learn PORT=9000"
    ):
        wanted_port({"PORT": text})


def test_if_the_port_is_taken_the_next_one_is_used_and_said(root, busy, capsys):
    assert free_port(busy) > busy
    line, _ = prepare(root, {"PORT": str(busy)})
    port = int(option(line, "ServerApp.port"))
    assert port > busy
    said = capsys.readouterr().out
    assert f"Port {busy} is taken; this is port {port}." in said and f"http://127.0.0.1:{port}/" in said


def test_no_free_port_is_said(monkeypatch, busy):
    monkeypatch.setattr(learn, "TRIES", 1)
    with pytest.raises(CannotStart, match=f"no port from {busy} to {busy} is free: choose another"):
        free_port(busy)


@pytest.mark.parametrize(
    ("text", "opens"), [("", True), ("yes", True), ("no", False), ("NO", False), ("0", False)]
)
def test_a_browser_opens_unless_it_is_not_wanted(root, text, opens):
    assert opens_browser({"OPEN": text}) is opens
    line, _ = prepare(root, {"OPEN": text})
    assert option(line, "ServerApp.open_browser") == str(opens)


def test_the_command_serves_the_workbook_to_this_machine_alone_and_asks_nothing_of_the_network(root):
    line, environment = prepare(root, {"PATH": "/bin"})
    assert line[:3] == [sys.executable, "-m", "jupyterlab"]
    assert option(line, "ServerApp.root_dir") == str(root / "workbook")
    assert option(line, "ServerApp.ip") == "127.0.0.1"
    assert option(line, "ServerApp.port_retries") == "0"
    assert option(line, "LabApp.news_url") == "None"
    assert option(line, "LabApp.check_for_updates_class").endswith("NeverCheckForUpdate")
    assert option(line, "LabApp.extension_manager") == "readonly"
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_allowed_only_for_root(root, monkeypatch, user, allowed):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert ("--allow-root" in prepare(root, {})[0]) is allowed


def test_the_token_is_printed_and_not_in_the_command(root, capsys):
    line, environment = prepare(root, {})
    token = environment["JUPYTER_TOKEN"]
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert f"/lab/tree/03-attention/03-attention.ipynb?token={token}\n" in capsys.readouterr().out
    assert not any(token in part for part in line)
    assert prepare(root, {})[1]["JUPYTER_TOKEN"] != token
    assert prepare(root, {"JUPYTER_TOKEN": "mine"})[1]["JUPYTER_TOKEN"] == "mine"


def test_settings_of_the_learners_own_stay_beside_ours(root):
    _, environment = prepare(root, {"JUPYTER_CONFIG_PATH": "/own"})
    ours, own = environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert own == "/own"
    with open(f"{ours}/labconfig/page_config.json") as file:
        assert json.load(file)["disabledExtensions"]["@jupyter/nbgrader"] is True


def opened(root):
    return option(prepare(root, {})[0], "LabApp.default_url").removeprefix("/lab/tree/")


def test_it_opens_the_first_chapter_that_is_not_finished(root):
    assert opened(root) == "03-attention/03-attention.ipynb"
    pass_(root, "attention.softmax")
    assert opened(root) == "03-attention/03-attention.ipynb"
    pass_(root, "attention.causal_mask")
    assert opened(root) == "04-heads/04-heads.ipynb"
    pass_(root, "heads.split")
    assert opened(root) == "03-attention/03-attention.ipynb"  # all done: from the beginning


def test_a_damaged_progress_file_is_read_as_far_as_it_goes(root):
    pass_(root, "attention.softmax")
    with open(root / "workbook" / ".autograder" / "progress.jsonl", "ab") as file:
        file.write(b'\xff\n[1]\n"x"\n{"event": "check", "status": "passed", "exercise": 3}\n{"cut\n')
    pass_(root, "attention.causal_mask")
    assert opened(root) == "04-heads/04-heads.ipynb"


def test_a_damaged_notebook_is_not_opened_but_the_fresh_one_beside_it(root, capsys):
    update(root / "chapters", root / "workbook")
    (root / "workbook" / "03-attention" / "03-attention.ipynb").write_text("x")
    assert opened(root) == "03-attention/03-attention-fresh.ipynb"
    said = capsys.readouterr().out
    assert (
        "damaged    workbook/03-attention/03-attention.ipynb: left untouched (it is not a whole notebook"
        in said
    )
    assert "new        workbook/03-attention/03-attention-fresh.ipynb" in said


def test_the_summary_says_what_happened_in_plain_words(tmp_path):
    workbook = tmp_path / "workbook"
    path = workbook / "03-attention" / "03-attention.ipynb"
    text = summary([Update("03-attention", "merged", path, ("your answer in f stays",))], workbook)
    assert text == (
        "Your workbook:\n"
        "  updated    workbook/03-attention/03-attention.ipynb: your work stays, a copy from before is in "
        "workbook/.backup/03-attention\n"
        "             - your answer in f stays"
    )


def test_without_chapters_it_says_what_to_do(tmp_path):
    with pytest.raises(
        CannotStart, match=r"there is no chapter in .*chapters: get it with git restore chapters"
    ):
        prepare(tmp_path, {})


def test_a_workbook_that_cannot_be_written_is_said_without_a_traceback(root, monkeypatch, capsys):
    (root / "workbook").write_text("a file")
    monkeypatch.setattr(learn, "ROOT", root)
    monkeypatch.delenv("PORT", raising=False)
    assert learn.main() == 1
    said = capsys.readouterr().err
    assert (
        said.startswith("JupyterLab was not started: the workbook cannot be written (")
        and "Traceback" not in said
    )


def test_jupyterlab_opens_on_the_chapter_and_only_with_the_token(root):
    """The real thing: it starts, answers at the address that it printed, and stops."""
    start = "from pathlib import Path\nfrom autograder import learn\n"
    start += f"learn.ROOT = Path({str(root)!r})\nlearn.main()"
    port = machine.free_port()
    environment = {**os.environ, "PORT": str(port), "OPEN": "no", "JUPYTER_CONFIG_DIR": str(root / "none")}
    with open(root / "log", "wb") as log:
        lab = subprocess.Popen([sys.executable, "-c", start], env=environment, stdout=log, stderr=log)
    try:
        address = _wait_for_address(root / "log", lab)
        assert f":{port}/lab/tree/03-attention/03-attention.ipynb?token=" in address
        page = _get(address, lab)
        assert "JupyterLab" in page
        config = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
        assert config["news"] == {"disabled": True}
        assert "@jupyter/nbgrader" in json.dumps(config["disabledExtensions"])
        base, token = address.split("/lab/")[0], address.split("token=")[1]
        found = json.loads(_get(f"{base}/api/contents/03-attention?token={token}", lab))
        assert [entry["name"] for entry in found["content"]] == ["03-attention.ipynb"]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{base}/api/contents", timeout=300)
        hidden = urllib.request.urlopen(f"{base}/api/contents?token={token}", timeout=300)
        assert {e["name"] for e in json.load(hidden)["content"]} == {"03-attention", "04-heads"}
    finally:
        lab.send_signal(signal.SIGTERM)
        lab.wait(timeout=300)
    assert "Traceback" not in (root / "log").read_text()


def _wait_for_address(log, lab):
    while lab.poll() is None:
        if found := re.search(r"http://\S+", log.read_text()):
            return found.group()
        time.sleep(0.1)
    pytest.fail(f"it ended: {log.read_text()}")


def _get(address, lab):
    """The page, as soon as the server answers."""
    while lab.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=300) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError) as error:
            if isinstance(error, urllib.error.HTTPError):
                raise
            time.sleep(0.2)
    return pytest.fail("JupyterLab ended and did not answer")
