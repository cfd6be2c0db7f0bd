"""A learner's words as a browser shows them to the person who marks: nothing in them runs."""

from __future__ import annotations

import re
from html import unescape

import nbformat
import pytest
from nbconvert import HTMLExporter

from autograder.classroom.cleaning import cleaned, harmless


def page(text: str) -> str:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    return HTMLExporter(template_name="basic").from_notebook_node(notebook)[0]


@pytest.mark.parametrize(
    "text",
    [
        "[go](javascript:alert(1))",
        "[go](JaVaScript:alert(1))",
        "[go](java&#115;cript:alert(1))",
        "[go](&#x6A;avascript:alert(1))",
        "[go](java&Tab;script:alert(1))",
        "[go](javascript\\:alert(1))",
        "[go](<javascript:alert(1)>)",
        "[go](vbscript:alert(1))",
        "[go](DATA:text/html,alert(1))",
        "[go]: JAVASCRIPT:alert(1)\n\n[go]",
        "[go][here]\n\n   [here]: javascript:alert(1)",
        "![go](Data:image/svg+xml;base64,alert(1))",
        "![go](https://example.org/who-reads-this.png)",
        "[![go](x)](javascript:alert(1))",
        "<javascript:alert(1)>",
        "<a href='javascript:alert(1)'>go</a>",
        "<img src=x onerror=alert(1)>",
        "</div><script>alert(1)</script>",
        "$<img src=x onerror=alert(1)>$",
        "`<img src=x onerror=alert(1)>`",
        "\\<img src=x onerror=alert(1)>",
        "&lt;img src=x onerror=alert(1)&gt;",
        "<!-- --><svg onload=alert(1)>",
        "$&lt;img src=x onerror=alert(1)&gt;$",
        "$$\\n&lt;svg onload=alert(1)&gt;\\n$$",
    ],
)
def test_no_spelling_of_a_link_is_one(text):
    """As nbgrader's pages render it: no tag that a browser acts on."""
    shown = page(harmless(text))
    assert not re.search(r'<(a(?! href="https://)|img|script|svg|iframe)\b', shown)
    assert "go" in shown or "alert(1)" in shown, "the words are still there"


def test_words_stay_words():
    text = "**Why** `x[0] < y` & *so* $a_i < b$, x<y:\n\n- [x] one: two\n- https://example.org"
    shown = page(harmless(text))
    assert "<strong>Why</strong>" in shown and "<code>x[0] &lt; y</code> &amp; <em>so</em>" in shown
    assert "$a_i < b$" in unescape(shown) and 'href="https://example.org"' in shown


def test_an_answer_in_words_is_cleaned_and_what_the_course_wrote_is_not():
    about = {"nbgrader": {"grade_id": "why", "solution": True, "grade": True, "schema_version": 3}}
    cell = {"cell_type": "markdown", "id": "why", "metadata": about, "source": "[go](javascript:alert(1))"}
    assert "](" not in cleaned(cell)["source"]
    given = {**cell, "id": "goals", "metadata": {"nbgrader": {**about["nbgrader"], "solution": False}}}
    assert cleaned(given)["source"] == cell["source"]
