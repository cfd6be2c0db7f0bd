"""Where to stop: texts at which writing ends, found while it is still going on.

A stop text may come in pieces, over several tokens. What could be the beginning of one is held back until
the next tokens decide, so that no reader sees half a stop text.
"""

from __future__ import annotations

from collections.abc import Sequence


def split_at_stop(text: str, stops: Sequence[str]) -> tuple[str, str, bool]:
    """What of a text may be shown, what has to wait, and whether it is over.

    If a stop text occurs, the text ends before the first occurrence of any of them: (what comes before, "",
    True). If none does, the longest end of the text with which a stop text begins waits: (the rest, that end,
    False).

    Raises:
        ValueError: a stop text is empty: it would stop everything before it began.
    """
    if not all(stops):
        raise ValueError(f"a stop text must have at least one character: got {list(stops)!r}")
    found = [text.index(stop) for stop in stops if stop in text]
    if found:
        return text[: min(found)], "", True
    for start in range(len(text)):
        if any(stop.startswith(text[start:]) for stop in stops):
            return text[:start], text[start:], False
    return text, "", False
