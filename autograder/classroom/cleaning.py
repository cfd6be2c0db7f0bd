"""Clean a learner's cell of everything that a browser could run, and mark its outputs as what they are."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from autograder.merging import Cell, is_answer

MOST_OUTPUT = 10_000  # characters of one output that are kept
MOST_PICTURE = 2 << 20
SUBMITTED = "as-submitted"  # the tag of a cell whose outputs nobody has verified
BEGINS = re.compile(r"<(?=[A-Za-z/!?])|\](?=[(:])")  # <tag>, [words](address), [name]: address
WORD_JOINER = "\u2060"
EXECUTED = "as-executed"  # the tag of a cell whose outputs `grade --execute` made


def cleaned(cell: Cell) -> Cell:
    """A cell of the learner's that no browser can be made to run."""
    made: Cell = {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": {}, "source": cell["source"]}
    about = cell.get("metadata", {}).get("nbgrader")
    learners = about is None or is_answer(cell)
    if about is not None:
        made["metadata"]["nbgrader"] = about
    if cell["cell_type"] == "markdown" and learners and cell["id"].startswith("learner-") | is_answer(cell):
        made["source"] = harmless(cell["source"])
    if cell["cell_type"] == "code":
        made["execution_count"] = None
        made["outputs"] = [o for o in map(_output, cell.get("outputs") or []) if o]
        if made["outputs"]:
            made["metadata"]["tags"] = [EXECUTED if cell.get("executed") else SUBMITTED]
    return made


def harmless(text: str) -> str:
    """Markdown in which nothing is a tag, a picture or a link, but for a plain address of the web.

    What a link runs can be spelt in too many ways (`JaVaScript:`, `java&#115;cript:`, `javascript\\:`), so
    none is left. An invisible character stands behind the mark that would begin a tag or an address, and all
    that was written can still be read, in formulas and code as well.
    """
    return BEGINS.sub(rf"\g<0>{WORD_JOINER}", text)


def _output(output: dict[str, Any]) -> dict[str, Any] | None:
    """Plain text and pictures made of pixels; everything else could be a script."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": _short(output.get("text"))}
    if kind == "error":
        return {
            "output_type": "error",
            "ename": _short(output.get("ename"))[:100],
            "evalue": _short(output.get("evalue"))[:1000],
            "traceback": [],
        }
    if kind not in ("display_data", "execute_result"):
        return None
    data = output.get("data")
    kept = _data(data) if isinstance(data, dict) else {}
    if not kept:
        return None
    return {"output_type": "display_data", "data": kept, "metadata": {}}


def _data(data: dict[str, Any]) -> dict[str, str]:
    kept = {"text/plain": _short(data["text/plain"])} if "text/plain" in data else {}
    for kind in ("image/png", "image/jpeg"):
        picture = _text(data.get(kind))
        if 0 < len(picture) <= MOST_PICTURE:
            try:
                kept[kind] = base64.b64encode(base64.b64decode(picture, validate=False)).decode()
            except (binascii.Error, ValueError):
                continue
    return kept


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "".join(value)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= MOST_OUTPUT else f"{text[:MOST_OUTPUT]}\n[{len(text):,} characters in all]"
