"""Tables in a terminal: drawn where `rich` is there, else columns between tabs."""

from __future__ import annotations

import sys
from typing import Any


def print_table(title: str, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print("\t".join(header))
        for row in rows:
            print("\t".join(map(str, row)))
        return
    table = Table(title=title, title_justify="left")
    for name, example in zip(header, rows[0] if rows else header, strict=True):
        table.add_column(name, justify="right" if isinstance(example, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    # Piped into a file or a pager, nothing needs cutting short.
    Console(width=None if sys.stdout.isatty() else 120).print(table)
