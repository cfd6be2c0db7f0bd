"""The autograder. What a chapter's notebook needs is here: `start`, `check`, `verdict`, `hint`."""

from autograder.notebook import check, hint, start, verdict

__all__ = ["check", "hint", "start", "verdict"]
