"""The autograder. What a chapter's notebook needs is here: `start`, `check`, `verdict`, `hint`."""

from typing import Any

__all__ = ["check", "hint", "start", "verdict"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line begins its work without them, and torch takes a second.
    if name in __all__:
        from autograder import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
