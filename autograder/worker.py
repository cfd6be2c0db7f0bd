"""The untrusted side: runs one answer after another, each in a fork of its own, and sends plain values back.

Started as `python -m autograder.worker` by `autograder.child`. It imports torch and does nothing with it: a
process that has run one parallel operation passes a broken thread pool on to its forks. For each answer it
forks; the fork defines the answer and answers calls until it is told to end. When a fork dies, the parent
says so and waits for the next answer.
"""

from __future__ import annotations

import contextlib
import importlib
import linecache
import os
from difflib import get_close_matches
from typing import Any, BinaryIO

import torch

from autograder import wire
from autograder.calling import wrong_signature
from autograder.exercise import Case
from autograder.outcome import Failure, Outcome
from autograder.running import LocalRunner, describe

ANSWER_FILE = "<answer>"


def main() -> None:
    # The protocol keeps the two pipes; whatever an answer prints goes nowhere.
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    importlib.import_module("llmlib.attention")
    wire.write(outgoing, "ready")
    while True:
        try:
            job = wire.read(incoming)
        except EOFError:
            return
        pid = os.fork()
        if pid == 0:
            try:
                _serve(job, incoming, outgoing)
            except (EOFError, BrokenPipeError):
                pass  # the trusted side has gone; nobody is left to tell
            except Exception as error:
                # The answer's own exceptions are outcomes; this one is ours, and no learner's zero.
                wire.write(outgoing, {"fault": f"{type(error).__name__}: {error}"})
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        wire.write(outgoing, {"ended": os.waitstatus_to_exitcode(status)})


def _serve(job: dict[str, Any], incoming: BinaryIO, outgoing: BinaryIO) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    reference = _load(job["reference"]) if job["reference"] else None
    answer, failure = _define(job)
    if failure is None and reference is not None:
        failure = wrong_signature(reference, job["answer_name"], answer)
    if failure is None and job["takes_value"]:
        _reply(outgoing, {"failure": None, "value": answer})
    else:
        plain = vars(failure).copy() if failure else None
        _reply(outgoing, {"failure": plain, "value": None})
    if failure is not None or job["takes_value"] or reference is None:
        return
    runner = LocalRunner(
        answer,
        reference,
        forbidden=tuple(job["forbidden"]),
        device=job["device"],
    )
    while (request := wire.read(incoming)) is not None:
        _reply_outcome(outgoing, runner(Case(**request)))


def _define(job: dict[str, Any]) -> tuple[Any, Failure | None]:
    """Run the answer's text in a namespace that has what the chapter's notebook would have."""
    name = job["answer_name"]
    namespace: dict[str, Any] = {"__name__": "__answer__"}
    exec(job["imports"], namespace)
    for earlier in job["earlier"]:
        namespace[earlier.split(":")[1]] = _load(earlier)
    for prelude in job["prelude"]:
        # The learner's own helper cells; one that fails takes only itself away.
        with contextlib.suppress(BaseException):
            exec(prelude, namespace)
    before = dict(namespace)
    namespace.pop(name, None)
    source = job["source"]
    linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(keepends=True), ANSWER_FILE)
    try:
        exec(compile(source, ANSWER_FILE, "exec"), namespace)
    except BaseException as error:
        failure = describe(error, source_file=ANSWER_FILE)
        if isinstance(error, SyntaxError):
            line_text = linecache.getline(ANSWER_FILE, error.lineno or 0).strip()
            failure = Failure(
                "undefined", f"this is not Python: {error.msg}", "SyntaxError", error.lineno, line_text
            )
        return None, Failure("undefined", failure.message, failure.exception, failure.line, failure.line_text)
    if name not in namespace:
        new = [n for n in namespace if n not in before and not n.startswith("_")]
        near = get_close_matches(name, new, n=1, cutoff=0.6)
        offer = f"; did you mean `{near[0]}`?" if near else f"; it defines {', '.join(new) or 'nothing'}"
        return None, Failure("undefined", f"`{name}` is not defined{offer}")
    return namespace[name], None


def _load(path: str) -> Any:
    """The object at "package.module:name"."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def _reply(outgoing: BinaryIO, message: dict[str, Any]) -> None:
    try:
        wire.write(outgoing, message)
    except wire.WireError as error:
        failure = Failure("unreadable", f"the answer cannot be read: {error}")
        wire.write(outgoing, {**message, "value": None, "failure": vars(failure)})


def _reply_outcome(outgoing: BinaryIO, outcome: Outcome) -> None:
    try:
        wire.write(outgoing, wire.outcome_to_plain(outcome))
    except wire.WireError as error:
        failure = Failure("unreadable", f"the result cannot be read: {error}")
        wire.write(outgoing, wire.outcome_to_plain(Outcome(failure=failure)))


if __name__ == "__main__":
    main()
