"""Every fact of the ecosystem page has a source, and every source is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
ECOSYSTEM = (BOOK / "ecosystem.md").read_text("utf-8")
CITED = re.compile(r"\{cite:p\}`([^`]+)`")


def section(title: str) -> str:
    return re.split(r"^## ", ECOSYSTEM.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def rows(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {number for number, line in enumerate(lines) if set(line) <= set("|-")}
    return [line for number, line in enumerate(lines) if number not in heads and number + 1 not in heads]


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def test_every_source_is_used_and_every_citation_has_one():
    """Pages of the book cite by key. A chapter is a notebook too, so it writes its references out."""
    bibliography = (BOOK / "references.bib").read_text("utf-8")
    entries = dict(re.findall(r"^@\w+\{(\w+),(.*?)^\}", bibliography, re.MULTILINE | re.DOTALL))
    keys = re.findall(r"^@\w+\{(\w+),", bibliography, re.MULTILINE)
    pages = "".join(path.read_text("utf-8") for path in BOOK.rglob("*.md"))
    cited = {key.strip() for keys in CITED.findall(pages) for key in keys.split(",")}
    assert len(keys) == len(set(keys)) == len(entries)
    assert cited <= set(entries)

    chapters = plain("".join(path.read_text("utf-8") for path in BOOK.glob("[0-9][0-9]-*.md")))
    titles = {key: re.search(r"title\s*=\s*\{(.*)\}", entry).group(1) for key, entry in entries.items()}
    assert [key for key in entries if key not in cited and plain(titles[key]) not in chapters] == []


@pytest.mark.parametrize("title", ["The chain", "Four kinds of organisation"])
def test_every_row_about_the_industry_has_a_source(title):
    found = rows(section(title))
    assert len(found) >= 4
    assert [row for row in found if not CITED.search(row)] == []


def test_every_use_has_a_source_for_its_profit_and_for_its_risk():
    found = rows(section("What they are used for, and what goes wrong"))
    assert len(found) >= 5
    for row in found:
        _, profit, risk = row.strip("| ").split(" | ")
        assert CITED.search(profit), row
        assert CITED.search(risk), row


def test_every_risk_and_every_step_of_the_history_has_a_source():
    risks = re.split(r"\n\n", section("What they are used for, and what goes wrong"))
    entries = [text for text in risks if "\n: " in text]
    steps = [text for text in re.split(r"\n\n", section("How it came to this")) if "\n: " in text]
    assert len(entries) >= 8
    assert len(steps) >= 10
    assert [text for text in (*entries, *steps) if not CITED.search(text)] == []


def test_the_diagram_shows_all_who_cooperate():
    diagram = section("How they work together").split("```{mermaid}")[1].split("```")[0]
    for group in (
        "Universities",
        "Research institutions",
        "Technology companies",
        "Hardware vendors",
        "Application providers",
        "International cooperation",
    ):
        assert f'"{group}"' in diagram


def test_every_chapter_of_the_path_has_its_place():
    path = re.findall(r"^\d+\. .*", (BOOK / "index.md").read_text("utf-8"), re.MULTILINE)
    places = rows(section("Where the chapters sit"))
    assert len(path) == len(places) == 10
