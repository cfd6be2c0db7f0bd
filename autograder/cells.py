"""The untrusted side of `autograder grade --execute`: runs a notebook's cells as a Jupyter kernel does.

A kernel listens on sockets, and there are none in here. So the cells are run by IPython in the locked-in fork
itself, and what they show is sent away cell by cell. The library and the checks are there whole: a chapter
that runs to its end needs both, and no point comes from here.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type

from autograder import wire
from autograder.shown import MOST_OUTPUTS, MOST_PRINTED, MOST_SHOWN, SHOWN

# Imported once, before the forks.
WARM = (
    *("IPython.core.interactiveshell", "IPython.display", "matplotlib.pyplot"),
    "matplotlib_inline.backend_inline",
)


def run(cells: list[str], line: wire.Line) -> None:
    """Run the cells in their order, whether or not they raise, and send the outputs of each."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    outputs = _Outputs()
    _Publisher.outputs = _Hook.outputs = _Shell.outputs = outputs
    HistoryManager.enabled = False  # type: ignore[assignment]  # in the place of the trait, for good
    os.environ["HOME"] = os.getcwd()  # the only folder that can be written to
    shell = _Shell.instance()
    shell.run_line_magic("matplotlib", "inline")
    sys.stdout, sys.stderr = _Printed(outputs), _Printed(None)
    for source in cells:
        shell.run_cell(source, store_history=True)
        shown = list(outputs.take())
        try:
            wire.write(line, {"outputs": shown})
        except wire.WireError as error:
            wire.write(line, {"outputs": [{"output_type": "stream", "name": "stdout", "text": str(error)}]})


class _Outputs:
    """What the cell at hand has shown so far, in the notebook format and within bounds."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.names: dict[Any, dict[str, Any]] = {}  # displays that may be updated
        self.printed = 0

    def take(self) -> Iterator[dict[str, Any]]:
        shown, self.shown, self.names, self.printed = self.shown, [], {}, 0
        for output in shown:
            yield {**output, "text": "".join(output["text"])} if "text" in output else output

    def write(self, text: str) -> None:
        left = MOST_PRINTED - self.printed
        self.printed += len(text)
        if left <= 0:
            return
        if not self.shown or "text" not in self.shown[-1]:
            self.add({"output_type": "stream", "name": "stdout", "text": []})
        if "text" in self.shown[-1]:
            self.shown[-1]["text"].append(text if len(text) <= left else f"{text[:left]}\n[and so on]")

    def add(self, output: dict[str, Any]) -> None:
        if len(self.shown) < MOST_OUTPUTS:
            self.shown.append(output)

    def display(self, kind: str, data: dict[str, Any], name: Any = None, update: bool = False) -> None:
        kept = {mime: text for mime in SHOWN if isinstance(text := data.get(mime), str)}
        kept = {mime: text for mime, text in kept.items() if len(text) <= MOST_SHOWN}
        if update:
            if name in self.names:
                self.names[name]["data"] = kept
            return
        output = {"output_type": kind, "data": kept}
        if name is not None:
            self.names[name] = output
        self.add(output)


class _Printed(io.TextIOBase):
    """Stands for `sys.stdout`; what goes to stderr is dropped, since no comparison looks at it."""

    encoding = "utf-8"

    def __init__(self, outputs: _Outputs | None):
        self.outputs = outputs

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self.outputs is not None:
            self.outputs.write(text)
        return len(text)


class _Publisher(DisplayPublisher):
    outputs: _Outputs

    def publish(self, data: Any, metadata: Any = None, *_: Any, transient: Any = None, update: bool = False,
                **__: Any) -> None:  # fmt: skip
        self.outputs.display("display_data", data, (transient or {}).get("display_id"), update)

    def clear_output(self, wait: bool = False) -> None:
        self.outputs.shown.clear()


class _Hook(DisplayHook):
    """A cell's last value."""

    outputs: _Outputs

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self.outputs.display("execute_result", format_dict)

    def finish_displayhook(self) -> None:
        pass


class _Shell(InteractiveShell):
    outputs: _Outputs
    display_pub_class = Type(_Publisher)
    displayhook_class = Type(_Hook)

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        text = str(evalue)[:1000]
        self.outputs.add({"output_type": "error", "ename": etype.__name__, "evalue": text, "traceback": []})

    def enable_gui(self, gui: Any = None) -> None:
        """There is no window to draw in."""
