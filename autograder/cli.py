"""The command line: `autograder check` and its like for a learner, `autograder grade` for an instructor."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.usage import UsageError, later, refusal
from llmlib.interrupts import INTERRUPTED
from llmlib.output import printing

WRONG_USAGE = 2


class _Parser(argparse.ArgumentParser):
    """A wrong call ends with one line that says what is wrong and where to look, and exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(WRONG_USAGE, f"autograder: {message}\nSee `{self.prog} --help`.\n")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="autograder", description="Checks your answers to the course, and says what went wrong."
    )
    subcommands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    check = subcommands.add_parser("check", help="check one answer in a file, or every answer in a notebook")
    check.add_argument(
        "what", metavar="EXERCISE|NOTEBOOK", help="3.3, attention.causal_mask, or a .ipynb file"
    )
    check.add_argument("--file", type=Path, metavar="ANSWER.py", help="the file that defines the function")
    check.add_argument("--json", action="store_true", help="print the verdict as JSON")
    check.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda"), help="where the inputs live (default: cpu)"
    )
    check.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="which random inputs to draw (default: 0)"
    )
    check.add_argument(
        "--timeout", type=_seconds, metavar="S", help="seconds for an exercise (default: its own, 10)"
    )
    check.add_argument(
        "--variant", metavar="ID", help="with --file: the variant that your class's notebook names"
    )
    check.set_defaults(run=later("autograder.commands.checking", "check"))

    listing = subcommands.add_parser("exercises", help="list all exercises")
    listing.add_argument("--json", action="store_true", help="print the list as JSON")
    listing.add_argument(
        "--report",
        action="store_true",
        help="prove each exercise: mistakes caught and named, right forms passed, blanks worth nothing",
    )
    listing.add_argument("--mutants", action="store_true", help="with --report: also grade every mutant")
    listing.add_argument(
        "--chapter", type=int, action="append", metavar="N", help="only this chapter (may be repeated)"
    )
    listing.set_defaults(run=later("autograder.commands.listing", "exercises"))

    outputs = subcommands.add_parser(
        "outputs", help="compare what an executed notebook shows with the reference outputs"
    )
    outputs.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="the executed notebook")
    outputs.add_argument(
        "--chapter", metavar="SLUG", help="such as 03-attention (default: told from the notebook)"
    )
    outputs.add_argument("--execute", action="store_true", help="run a copy of the notebook first")
    outputs.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        help="where it ran, or is to run (default: told from it)",
    )
    outputs.add_argument("--json", action="store_true", help="print the comparison as JSON")
    outputs.set_defaults(run=later("autograder.commands.outputs", "outputs"))

    assemble = subcommands.add_parser(
        "assemble", help="build your own GPT, a package, from your answers that pass"
    )
    assemble.add_argument(
        "--workbook", type=Path, default=Path("workbook"), metavar="DIR", help="default: workbook"
    )
    assemble.add_argument(
        "--output", type=Path, default=Path("mygpt"), metavar="DIR", help="the package (default: mygpt)"
    )
    assemble.add_argument("--json", action="store_true", help="print whose each part is as JSON")
    assemble.set_defaults(run=later("autograder.commands.assembly", "assemble"))

    progress = subcommands.add_parser("progress", help="show what you have done so far")
    progress.add_argument("--json", action="store_true", help="print it as JSON")
    progress.set_defaults(run=later("autograder.commands.standing", "progress"))

    if importlib.util.find_spec("nbgrader") is not None:  # the extra [course]
        from autograder.classroom import commands as classroom

        classroom.add_to(subcommands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where it cannot write "→", "?" will do
            stream.reconfigure(errors="replace")
    return printing(lambda: _carry_out(arguments), sentence="autograder: the output cannot be written")


def _carry_out(arguments: Sequence[str] | None) -> int:
    options = argparse.Namespace()
    try:
        parser().parse_args(arguments, options)
        return options.run(options)
    except (UsageError, OSError) as error:
        said = str(error) if isinstance(error, UsageError) else refusal(error)
        print(f"autograder: {said}", file=sys.stderr)
        if getattr(options, "json", False):
            print(json.dumps({"error": said}))
        return WRONG_USAGE
    except KeyboardInterrupt:
        kept = getattr(options, "interrupted", "nothing was changed")
        print(f"autograder: interrupted; {kept}", file=sys.stderr)
        return INTERRUPTED


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**31 - 1}, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, got {text!r}") from None
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most 3600 seconds, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
