"""Where `autograder` begins, and `python -m autograder`: Ctrl-C is in order from the first line on."""

from __future__ import annotations

import sys

from llmlib.interrupts import ending_at_once


def main() -> int:
    """The exit code of the command that was typed."""
    with ending_at_once():
        from autograder import cli
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
