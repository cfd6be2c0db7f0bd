"""A diagram is said in words: by its author, or by its arrows."""

from __future__ import annotations

import pytest

from autograder.book.diagrams import described


def test_the_authors_words_come_first():
    assert described("flowchart LR\n  accDescr: A leads to B.\n  A --> B") == "A leads to B."


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("flowchart LR\n A --> B", "Diagram: A leads to B."),
        (
            'flowchart LR\n A["query<br>(n, d)"] --> B\n B --> C{{"end"}}',
            "Diagram: query, (n, d) leads to B; B leads to end.",
        ),
        (
            'flowchart LR\n A(["one"]) -- "start-ups, more" --> B\n B -. "rule" .-> A',
            "Diagram: one leads to B; B leads to one.",
        ),
    ],
)
def test_arrows_are_read(source, words):
    assert described(source) == words


def test_a_diagram_without_arrows_needs_words():
    assert described("pie title Pets\n 'Dogs' : 3") is None
