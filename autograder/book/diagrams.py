"""Diagrams in mermaid's language, drawn in the reader's browser in the page's own colours."""

from __future__ import annotations

import html
import re

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

ON_PAGE = "course_diagram"  # in a page's metadata: it needs mermaid

NODE = re.compile(r"""(\w+)\s*[\[({]+\s*(?:"([^"]*)"|([^"\]})]+))\s*[\])}]+""")
EDGE = re.compile(r"""(\w+)\s*(?:-->|-\.->|---|--(?!>)[^>\n]*?-->|-\.[^\n]+?\.->)\s*(\w+)""")


class Mermaid(SphinxDirective):
    """A fence ```mermaid, which JupyterLab draws too.

    What it shows must be said in words, for a screen reader: by mermaid's own `accDescr:` line, by the
    option `:alt:` (in this book only), or, for a flow chart, by its arrows. `:caption:` stands below.
    """

    has_content = True
    option_spec = {"alt": directives.unchanged_required, "caption": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        source = "\n".join(self.content)
        words = self.options.get("alt") or described(source)
        if not words:
            raise self.error("say in words what the diagram shows: a line `accDescr: …` in it, or :alt:")
        self.env.metadata[self.env.docname][ON_PAGE] = "yes"
        figure = nodes.container(classes=["course-diagram"])
        drawing = (
            f'<div class="course-drawing" role="img" aria-label="{html.escape(words)}">'
            f'<pre class="course-mermaid">{html.escape(source)}</pre></div>'
        )
        figure += nodes.raw("", drawing, format="html")
        if caption := self.options.get("caption"):
            paragraph = nodes.paragraph(classes=["course-caption"])
            children, messages = self.state.inline_text(caption, self.lineno)
            paragraph += children
            figure += [paragraph, *messages]
        return [figure]


def described(source: str) -> str | None:
    """What a diagram says of itself, or what its arrows say."""
    said = re.search(r"^\s*accDescr\s*:\s*(.+)$", source, re.MULTILINE)
    if said:
        return said[1].strip()
    labels = {
        name: re.sub(r"<br\s*/?>", ", ", quoted or plain).strip()
        for name, quoted, plain in NODE.findall(source)
    }
    bare = NODE.sub(lambda match: match[1], source)
    arrows = [f"{labels.get(a, a)} leads to {labels.get(b, b)}" for a, b in EDGE.findall(bare)]
    return f"Diagram: {'; '.join(arrows)}." if arrows else None
