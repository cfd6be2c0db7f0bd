"""The untrusted side: runs one answer after another, each in a fork of its own, and sends plain values back.

Started by `autograder.sandbox`. The parent imports torch and does nothing with it: a process that has run one
parallel operation passes a broken thread pool on to its forks. It holds no check, no seed and no expected
value. For each answer it is handed a connection of the answer's own and forks; the fork locks itself in,
defines the answer, and answers calls until it is told to end. So whatever an answer leaves behind, on its
connection, in its folder or running, is gone when the next one begins.

What the trusted side says to the parent: `J` with a connection, or `K` to kill the answer at hand. What the
parent says: the exit code of each fork.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import linecache
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import torch

from autograder import confine, wire
from autograder.calling import wrong_signature
from autograder.exercise import Case
from autograder.outcome import Failure, Outcome, Refused
from autograder.running import LocalRunner, describe
from autograder.texts import TextFinder, stand_in

ANSWER_FILE = "<answer>"
STATUS = struct.Struct("<i")
# Imported once, before the forks; what an answer imports besides costs it its own time.
WARM = (
    *("einops", "jaxtyping", "numpy", "matplotlib.figure", "matplotlib.backends.backend_svg", "tqdm.auto"),
    "torch.fx.experimental.symbolic_shapes",  # a backward pass under watch asks for it: half a second
)


def main(warm: Iterable[str] = ()) -> None:
    """`warm`: further modules to be imported before the forks."""
    # The control line keeps the first descriptor; whatever an answer prints goes nowhere.
    control = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    for name in (*WARM, *warm):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    confine.hide()
    control.sendall(b"R")
    while True:
        message, connections, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        if message != b"J":
            continue  # a request to kill that came too late
        connection = connections[0]
        pid = os.fork()
        if pid == 0:
            control.close()
            os.setsid()
            _answer(wire.Line(socket.socket(fileno=connection)))
            os._exit(0)
        os.close(connection)
        control.sendall(STATUS.pack(_wait(pid, control)))


def _wait(pid: int, control: socket.socket) -> int:
    """The exit code of the fork, negative for a signal. Kills it when asked to, or left alone."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it left running, where there are no namespaces
            return os.waitstatus_to_exitcode(status)
        if _asked_to_kill(pid, control):
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)


def _asked_to_kill(pid: int, control: socket.socket) -> bool:
    """Wait for the fork's end or a message, whichever comes first."""
    watched: list[int | socket.socket] = [control]
    if hasattr(os, "pidfd_open"):
        ending = os.pidfd_open(pid)
        ready = select.select([*watched, ending], [], [])[0]
        os.close(ending)
    else:
        ready = select.select(watched, [], [], 0.005)[0]
    if control not in ready:
        return False
    if not control.recv(1):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os._exit(0)  # the trusted side has gone
    return True


def _answer(line: wire.Line) -> None:
    try:
        job = wire.read(line)
        wire.write(line, {"means": _lock_in(job["rules"])})
        if job["rules"]["device"] == "cuda" and len(job) > 1:
            _bound_gpu(job["rules"]["gpu_memory"])
        if "source" in job:
            _serve(job, line)
        elif "cells" in job:
            from autograder.cells import run

            run(job["cells"], line)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the trusted side has gone; nobody is left to tell
    except Exception as error:
        # The answer's own exceptions are outcomes; this one is ours, and no learner's zero.
        with contextlib.suppress(OSError):
            wire.write(line, {"fault": f"{type(error).__name__}: {error}"})


def _lock_in(rules: dict[str, Any]) -> list[str]:
    """Lock this process in, as far as the machine can. What was reached, by name."""
    means = []
    work = rules["work"]
    if rules["namespaces"] and confine.namespaces(work, rules["file_size"]):
        means.append("namespaces")
    if rules["user"] is not None and confine.user(rules["user"]):
        means.append("user")
    confine.die_with_parent()
    os.chdir(work)
    cpu_only = rules["device"] == "cpu"
    confine.limits(
        confine.Limits(
            rules["seconds"], rules["memory"] if cpu_only else None, rules["processes"], rules["file_size"]
        )
    )
    means.append("limits")
    confine.hide()
    if rules["landlock"] and confine.landlock(rules["readable"], [work, "/dev/null"]):
        means.append("landlock")
    if rules["seccomp"] and confine.seccomp():
        means.append("seccomp")
    return means


def _bound_gpu(most: int) -> None:
    """Bytes that torch may take on the GPU. What an answer takes past torch goes when its process ends."""
    if torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, most / whole))


def _serve(job: dict[str, Any], line: wire.Line) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    TextFinder(job["library"]).install()
    reference = stand_in(job["reference"]) if job["reference"] else None
    answer, failure = _define(job)
    if failure is None and reference is not None:
        failure = wrong_signature(reference, job["answer_name"], answer)
    if failure is None and job["takes_value"]:
        _reply(line, {"failure": None, "value": answer})
    else:
        plain = vars(failure).copy() if failure else None
        _reply(line, {"failure": plain, "value": None})
    if failure is not None or job["takes_value"] or reference is None:
        return
    runner = LocalRunner(
        answer,
        reference,
        forbidden=tuple(job["forbidden"]),
        device=job["device"],
    )
    while (request := wire.read(line)) is not None:
        _reply_outcome(line, runner(Case(**request)))


def _define(job: dict[str, Any]) -> tuple[Any, Failure | None]:
    """Run the answer's text in a namespace that has what the chapter's notebook would have."""
    name = job["answer_name"]
    namespace: dict[str, Any] = {"__name__": "__answer__"}
    _import(job["imports"], namespace)
    for earlier in job["earlier"]:
        with contextlib.suppress(Refused):
            namespace[earlier.split(":")[1]] = _load(earlier)
    for prelude in job["prelude"]:
        # The learner's own helper cells; a statement that fails takes only itself away.
        for statement in ast.parse(prelude).body:
            with contextlib.suppress(BaseException):
                exec(ast.unparse(statement), namespace)
    before = dict(namespace)
    namespace.pop(name, None)
    source = job["source"]
    linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(keepends=True), ANSWER_FILE)
    try:
        exec(compile(source, ANSWER_FILE, "exec"), namespace)
    except Refused as refused:
        return None, refused.failure
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


def _import(text: str, namespace: dict[str, Any]) -> None:
    """The chapter's imports, a statement at a time: what was cut from the library is not there to import."""
    for statement in ast.parse(text).body:
        with contextlib.suppress(Refused):
            exec(ast.unparse(statement), namespace)


def _load(path: str) -> Any:
    """The object at "package.module:name"."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def _reply(line: wire.Line, message: dict[str, Any]) -> None:
    try:
        wire.write(line, message)
    except wire.WireError as error:
        failure = Failure("unreadable", f"the answer cannot be read: {error}")
        wire.write(line, {**message, "value": None, "failure": vars(failure)})


def _reply_outcome(line: wire.Line, outcome: Outcome) -> None:
    try:
        wire.write(line, wire.outcome_to_plain(outcome))
    except wire.WireError as error:
        failure = Failure("unreadable", f"the result cannot be read: {error}")
        wire.write(line, wire.outcome_to_plain(Outcome(failure=failure)))


if __name__ == "__main__":
    sys.exit("The worker is started by autograder.sandbox.")
