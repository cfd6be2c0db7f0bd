"""`pytest --nbval solutions/` compares by tolerance: see autograder/validation.py."""

from __future__ import annotations

pytest_plugins = ["autograder.validation"]
