"""What a notebook's cells showed, read from a process that is not trusted: known kinds, within bounds."""

from __future__ import annotations

from typing import Any

from autograder.outcome import Failure

MOST_PRINTED = 200_000  # characters that a cell may print
MOST_SHOWN = 4 << 20  # characters of one thing that it displays
MOST_OUTPUTS = 200
SHOWN = ("text/plain", "text/html", "image/png", "image/jpeg")  # what a page would show


def outputs_from_plain(message: Any) -> list[dict[str, Any]] | Failure:
    """What a cell showed, in the notebook format, from a message that anybody may have written."""
    shown = message.get("outputs") if isinstance(message, dict) else None
    if not isinstance(shown, list):
        return Failure("died", "its process sent something unreadable")
    return [output for one in shown[:MOST_OUTPUTS] if (output := _output(one))]


def _output(plain: Any) -> dict[str, Any] | None:
    if not isinstance(plain, dict):
        return None
    kind = plain.get("output_type")
    if kind == "stream":
        return {
            "output_type": kind,
            "name": "stdout",
            "text": _text(plain.get("text"), MOST_PRINTED + 20),
        }
    if kind == "error":
        names = {key: _text(plain.get(key), 1000) for key in ("ename", "evalue")}
        return {"output_type": kind, **names, "traceback": []}
    data = plain.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, dict):
        return None
    kept = {mime: _text(data[mime], MOST_SHOWN) for mime in SHOWN if mime in data}
    count = {"execution_count": None} if kind == "execute_result" else {}
    return {"output_type": kind, "data": kept, "metadata": {}, **count}


def _text(value: Any, most: int) -> str:
    return value[:most].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def size(outputs: list[dict[str, Any]]) -> int:
    texts = (text for o in outputs for text in (*o.get("data", {}).values(), o.get("text"), o.get("evalue")))
    return sum(len(text) for text in texts if text)
