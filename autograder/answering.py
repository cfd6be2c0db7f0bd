"""One answer, in a fork of its own: it locks itself in, defines the answer, and answers calls to the end.

What all answers to one exercise have in common, the library cut for it and the chapter's imports, is its
*ground*. A warm parent may have laid it already; without one, the fork lays it itself.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import linecache
import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch

from autograder import confine, seccomp, wire
from autograder.calling import wrong_signature
from autograder.checks import Case
from autograder.outcome import Failure, Outcome, Refused
from autograder.running import LocalRunner, describe
from autograder.texts import TextFinder, stand_in

ANSWER_FILE = "<answer>"


@dataclass(frozen=True)
class Ground:
    """What stands ready before an answer to one exercise is defined.

    namespace: the names that the chapter's notebook would have given it.
    reference: called like the course's own, and does nothing; None for a value.
    """

    namespace: dict[str, Any]
    reference: Any


def lay(ground: dict[str, Any]) -> Ground:
    """Import what an answer to the exercise may use, and nothing that it may not."""
    TextFinder(ground["library"]).install()
    reference = stand_in(ground["reference"]) if ground["reference"] else None
    namespace: dict[str, Any] = {"__name__": "__answer__"}
    _import(ground["imports"], namespace)
    for earlier in ground["earlier"]:
        with contextlib.suppress(Refused):
            namespace[earlier.split(":")[1]] = _load(earlier)
    return Ground(namespace, reference)


def answer(line: wire.Line, ground: Ground | None, apart: bool) -> None:
    """`ground`: laid by the parent. `apart`: this process is the first of a process tree of its own."""
    try:
        job = wire.read(line)
        wire.write(line, {"means": _lock_in(job["rules"], apart)})
        if "tries_gpu" in job:
            wire.write(line, {"trouble": _gpu_trouble()})
            return
        if job["rules"]["device"] == "cuda" and len(job) > 1:
            _bound_gpu(job["rules"]["gpu_memory"])
        if "source" in job:
            _serve(job, line, ground)
        elif "cells" in job:
            from autograder.cells import run

            run(job["cells"], line)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the trusted side has gone; nobody is left to tell
    except Exception as error:
        # The answer's own exceptions are outcomes; this one is ours, and no learner's zero.
        with contextlib.suppress(OSError):
            wire.write(line, {"fault": f"{type(error).__name__}: {error}"})


def _lock_in(rules: dict[str, Any], apart: bool) -> list[str]:
    """Lock this process in, as far as the machine can. What was reached, by name."""
    means = []
    work = rules["work"]
    limits = confine.Limits(**rules["limits"])
    if rules["namespaces"] and confine.namespaces(work, limits.file_size, apart):
        means.append("namespaces")
    if rules["user"] is not None and confine.user(rules["user"]):
        means.append("user")
    confine.die_with_parent()
    os.chdir(work)
    confine.limits(limits)
    means.append("limits")
    confine.hide()
    if rules["landlock"] and confine.landlock(rules["readable"], rules["writable"], rules["devices"]):
        means.append("landlock")
    if rules["seccomp"] and seccomp.refuse_calls():
        means.append("seccomp")
    return means


def _gpu_trouble() -> str:
    """Why the GPU cannot be used from in here; empty if it can."""
    try:
        torch.zeros(1, device="cuda")
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return ""


def _bound_gpu(most: int) -> None:
    """Bytes that torch may take on the GPU. What an answer takes past torch goes when its process ends."""
    if torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, most / whole))


def _serve(job: dict[str, Any], line: wire.Line, ground: Ground | None) -> None:
    torch.set_num_threads(1)
    (torch if job["device"] == "cuda" else torch.default_generator).manual_seed(job["seed"])
    ground = ground or lay(job["ground"])
    reference = ground.reference
    answer, failure = _define(job, ground.namespace)
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


def _define(job: dict[str, Any], namespace: dict[str, Any]) -> tuple[Any, Failure | None]:
    """Run the answer's text in a namespace that has what the chapter's notebook would have."""
    name = job["answer_name"]
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
