"""A manuscript is read with its lines, and whatever is wrong with it is said at once, with file and line."""

from __future__ import annotations

import re

import pytest
from small_course import OTHER, ROOT, SMALL, TEXT

from autograder import exercises, placing
from autograder.manuscript import Manuscript, ManuscriptError, read
from autograder.placing import Placed


def reading(tmp_path, text, name="03-small.md"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, (SMALL, OTHER), f"book/{name}")


def problems(tmp_path, text):
    with pytest.raises(ManuscriptError) as caught:
        reading(tmp_path, text)
    return str(caught.value).split("\n")


def line_of(text, part, nth=1):
    """The line on which a part of the text stands, counted as an editor counts."""
    places = [number for number, line in enumerate(text.split("\n"), start=1) if part in line]
    return places[nth - 1]


def changed(old, new, count=1):
    assert old in TEXT
    return TEXT.replace(old, new, count)


def test_a_right_manuscript_is_read(tmp_path):
    found = reading(tmp_path, TEXT)
    assert isinstance(found, Manuscript)
    assert [(p.number, p.name, p.points, p.kind) for p in found.placed()] == [
        ("3.1", "attention.causal_mask", 3, "code"),
        ("3.2", "attention.guess", 2, "experiment"),
        ("3.3", "attention.mended", 3, "bug hunt"),
        ("3.4", "attention.why", 3, "words"),
    ]
    assert [p.grade_id for p in found.placed()][-1] == "attention-why"
    kinds = ["placed" if isinstance(p, Placed) else p.kind for p in found.parts]
    assert kinds == ["markdown", "code", "placed", "code", "placed", "placed", "placed", "markdown"]


def test_every_part_knows_its_line(tmp_path):
    found = reading(tmp_path, TEXT)
    guess = found.placed()[1]
    assert guess.statement.line == line_of(TEXT, "attention.guess")
    assert guess.answer.line == line_of(TEXT, "given = 1") - 1
    assert found.placed()[3].answer.line == line_of(TEXT, '"answer"')
    assert found.parts[1].line == line_of(TEXT, 'print("hello")') - 1


def test_windows_line_ends_change_nothing(tmp_path):
    assert reading(tmp_path, TEXT.replace("\n", "\r\n")) == reading(tmp_path, TEXT)


WORDS = '+++ {"exercise": "attention.why", "kind": "words", "points": 3, "minutes": 4, "difficulty": 1, '
WORDS += '"title": "Why"}'

MALFORMED = {
    "an exercise that nobody knows": (
        changed('"attention.causal_mask"', '"attention.causal_musk"'),
        "attention.causal_musk",
        "unknown exercise 'attention.causal_musk': did you mean attention.causal_mask",
    ),
    "a misspelt key": (
        changed('{"exercise": "attention.guess"}', '{"excercise": "attention.guess"}'),
        "excercise",
        "unknown key 'excercise': did you mean 'exercise'?",
    ),
    "a line that is no JSON": (
        changed('{"exercise": "attention.guess"}', '{"exercise": attention.guess}'),
        '+++ {"exercise": attention.guess}',
        "this is not JSON (Expecting value: line 1 column 14 (char 13)): write +++",
    ),
    "JSON that is no object": (
        changed('+++ {"answer": true}', '+++ ["answer"]'),
        '+++ ["answer"]',
        "not JSON",
    ),
    "an exercise of another chapter": (
        TEXT + '\n+++ {"exercise": "attention.softmax"}\n\nWrite it.\n',
        "attention.softmax",
        "exercise 4.1 (attention.softmax) is not one of chapter 3: move it to its own chapter",
    ),
    "an exercise without statement": (
        changed('+++ {"exercise": "attention.guess"}\n\nGuess.\n', '+++ {"exercise": "attention.guess"}\n'),
        "attention.guess",
        "exercise attention.guess has no statement",
    ),
    "points that stand in the catalogue": (
        changed('{"exercise": "attention.guess"}', '{"exercise": "attention.guess", "points": 4}'),
        "attention.guess",
        "'points' of 3.2 stands in the catalogue: take it out here",
    ),
    "words without points": (
        changed('"points": 3, ', ""),
        "attention.why",
        'the exercise in words attention.why has no points: write for example "points": 3',
    ),
    "words with points that are none": (
        changed('"points": 3', '"points": "many"'),
        "attention.why",
        "attention.why has 'many' for its points",
    ),
    "words with true for points": (
        changed('"points": 3', '"points": true'),
        "attention.why",
        "has True for its points",
    ),
    "words without minutes": (changed('"minutes": 4, ', ""), "attention.why", "has no minutes"),
    "words without a title": (changed(', "title": "Why"', ""), "attention.why", "has no title"),
    "words too difficult": (
        changed('"difficulty": 1', '"difficulty": 9'),
        "attention.why",
        "has 9 for its diff",
    ),
    "words under a name of the catalogue": (
        changed('"attention.why"', '"attention.guess"'),
        WORDS.replace("why", "guess", 1),
        "exercise 3.2 has this name already: choose another",
    ),
    "words with a name that is none": (
        changed('"attention.why"', '"why"'),
        '"why"',
        "'why' is no exercise's name",
    ),
    "words on a number that is taken": (
        changed('"title": "Why"', '"title": "Why", "number": "3.2"'),
        "attention.why",
        "would be 3.2, which is attention.guess in the catalogue",
    ),
    "words without an answer": (
        changed('+++ {"answer": true}', "+++"),
        "attention.why",
        "the answer cell is missing: the very next cell must be the model answer",
    ),
    "an answer that belongs to nothing": (
        TEXT + '\n+++ {"answer": true}\n\nBecause.\n',
        '+++ {"answer": true}',
        "this answer belongs to no exercise in words",
    ),
    "an answer without markers": (
        changed("### BEGIN SOLUTION\nguess = 7\n### END SOLUTION", "guess = 7"),
        "given = 1",
        "the answer of exercise 3.2 has no markers: put `### BEGIN SOLUTION` before it",
    ),
    "a marker without its end": (
        changed("guess = 7\n### END SOLUTION", "guess = 7"),
        "given = 1",
        "markers do not fit",
    ),
    "markers the wrong way round": (
        changed(
            "### BEGIN SOLUTION\nguess = 7\n### END SOLUTION",
            "### END SOLUTION\nguess = 7\n### BEGIN SOLUTION",
        ),
        "given = 1",
        "markers do not fit",
    ),
    "an answer that is not there": (
        changed(
            "```{code-cell} ipython3\ngiven = 1\n### BEGIN SOLUTION\nguess = 7\n### END SOLUTION\n```\n", ""
        ),
        "attention.guess",
        "the answer cell of exercise 3.2 is missing: the very next cell must be a {code-cell}",
    ),
    "an answer under another name": (
        changed("guess = 7", "gues = 7"),
        "given = 1",
        "exercise 3.2 does not define `guess`",
    ),
    "an answer that is not Python": (
        changed("guess = 7", "guess = ="),
        "given = 1",
        "the answer of 3.2 is not Python",
    ),
    "a solution outside an exercise": (
        changed('print("hello")', "### BEGIN SOLUTION\nx = 1\n### END SOLUTION"),
        "x = 1",
        "a solution outside an exercise would reach the learner",
    ),
    "metadata made by hand": (
        changed(
            '```{code-cell} ipython3\nprint("hello")',
            "```{code-cell} ipython3\n---\nnbgrader:\n  grade: true\n---\nx",
        ),
        "nbgrader:",
        "nbgrader's metadata is made by `make notebooks`",
    ),
    "tags that are no list": (
        changed('```{code-cell} ipython3\nprint("hello")', "```{code-cell} ipython3\n:tags: long\nprint(1)"),
        ":tags: long",
        "tags must be a list of words",
    ),
    "cell options that are no YAML": (
        changed('```{code-cell} ipython3\nprint("hello")', "```{code-cell} ipython3\n:tags: [long\nprint(1)"),
        ":tags: [long",
        "the cell's options cannot be read",
    ),
    "a code cell that is never closed": (
        TEXT + "\n```{code-cell} ipython3\nx = 1\n",
        "x = 1",
        "this code cell is never closed: end it with ```",
    ),
    "another title": (
        changed("# A small chapter", "# A chapter"),
        "# A chapter",
        "the title is 'A chapter' here and 'A small chapter' in the catalogue",
    ),
    "no title": (
        changed("# A small chapter\n", ""),
        "Some words.",
        "must begin with the title: # A small chapter",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_manuscript_is_refused_with_file_and_line(tmp_path, case):
    text, at, words = MALFORMED[case]
    found = problems(tmp_path, text)
    match = [line for line in found if words in line]
    assert match, found
    file, line, _ = match[0].split(":", 2)
    assert file == "book/03-small.md"
    # A cell's line is that of its fence, one or two above the text that was looked for.
    wanted = [n for n, text_line in enumerate(text.split("\n"), start=1) if at in text_line]
    assert any(0 <= n - int(line) <= 2 for n in wanted), (line, wanted)


def test_the_right_manuscript_is_not_among_the_malformed():
    assert all(text != TEXT for text, _, _ in MALFORMED.values())


def test_an_exercise_that_is_missing_is_named(tmp_path):
    text = changed('+++ {"exercise": "attention.causal_mask"}\n\nWrite it.\n\n+++\n\n', "")
    [found] = problems(tmp_path, text)
    assert found.startswith(f"book/03-small.md:{line_of(text, '# A small chapter')}: ")
    assert 'exercise 3.1 is missing: after this line, add +++ {"exercise": "attention.causal_mask"}' in found


def test_an_exercise_missing_in_the_middle_is_told_where_it_belongs(tmp_path):
    start, end = (
        TEXT.index('+++ {"exercise": "attention.guess"}'),
        TEXT.index('+++ {"exercise": "attention.mended"}'),
    )
    text = TEXT[:start] + TEXT[end:]
    [found] = problems(tmp_path, text)
    assert found.startswith(
        f"book/03-small.md:{line_of(text, 'attention.causal_mask')}: exercise 3.2 is missing"
    )


def test_exercises_out_of_order_are_named(tmp_path):
    start, end = (
        TEXT.index('+++ {"exercise": "attention.guess"}'),
        TEXT.index('+++ {"exercise": "attention.mended"}'),
    )
    after = TEXT.index('+++ {"exercise": "attention.why"')
    text = TEXT[:start] + TEXT[end:after] + TEXT[start:end] + TEXT[after:]
    [found] = problems(tmp_path, text)
    assert found.startswith(
        f"book/03-small.md:{line_of(text, 'attention.guess')}: exercise 3.2 comes after 3.3"
    )


def test_a_duplicate_is_named_with_the_line_of_the_first(tmp_path):
    text = TEXT + '\n+++ {"exercise": "attention.causal_mask"}\n\nAgain.\n'
    [found] = problems(tmp_path, text)
    first, second = line_of(text, "attention.causal_mask"), line_of(text, "attention.causal_mask", 2)
    assert found.startswith(f"book/03-small.md:{second}: duplicate id attention-causal-mask")
    assert f"in line {first}" in found


def test_names_that_differ_and_make_one_id_are_duplicates(tmp_path):
    block = TEXT[TEXT.index(WORDS) : TEXT.index("+++\n\nThe end.")]
    twice = TEXT + "\n" + block.replace("attention.why", "attention.causal-mask")
    assert any("duplicate id attention-causal-mask" in line for line in problems(tmp_path, twice))


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines(tmp_path):
    text = changed('"attention.causal_mask"', '"attention.causal_musk"')
    text = text.replace('"points": 3, ', "").replace("guess = 7", "gues = 7")
    found = problems(tmp_path, text)
    assert len(found) == 4  # and the exercise that is missing, since its name was misspelt
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)
    assert all(re.match(r"book/03-small\.md:\d+: \S", line) for line in found)


def test_a_solution_is_required_in_llmlib(tmp_path, monkeypatch):
    def nothing(name):
        raise placing.slicing.SlicingError("there is no causal_mask in the file")

    monkeypatch.setattr(placing.slicing, "library_source", nothing)
    [found] = problems(tmp_path, TEXT)
    assert "exercise 3.1 has no solution in llmlib: there is no causal_mask" in found


def test_a_file_that_is_no_chapter_is_refused(tmp_path):
    with pytest.raises(ManuscriptError, match=r"book/05-none.md:1: no chapter has the slug '05-none'"):
        reading(tmp_path, TEXT, "05-none.md")


def test_a_file_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(ManuscriptError, match=r":1: this is not text in UTF-8"):
        reading(tmp_path, TEXT.replace("Guess.", "Gu\u00e9ss.").encode("latin-1"))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ManuscriptError, match=r"03-small.md:1: chapter 3 has no manuscript: write this file"):
        read(tmp_path / "03-small.md", (SMALL,))


def test_an_empty_file_is_refused(tmp_path):
    assert any("must begin with the title" in line for line in problems(tmp_path, ""))


@pytest.mark.parametrize("chapter", exercises.chapters(), ids=lambda chapter: chapter.slug)
def test_the_real_manuscripts_are_right(chapter):
    found = read(ROOT / "book" / f"{chapter.slug}.md", exercises.chapters())
    assert {p.exercise for p in found.placed() if p.exercise} == set(chapter.exercises)


@pytest.mark.parametrize("chapter", exercises.chapters(), ids=lambda chapter: chapter.slug)
def test_a_chapter_has_its_parts(chapter):
    """Goals on top, minutes, figures that can be heard, a summary, and sources that can be found."""
    text = (ROOT / "book" / f"{chapter.slug}.md").read_text("utf-8")
    headings = re.findall(r"(?m)^## (.+)$", text)
    assert headings[0] == "What you will be able to do"
    assert headings[-2:] == ["Summary", "Further reading"]
    assert re.search(r"\*\*Time\.\*\* About \d+ minutes", text)
    assert len(re.findall(r"(?m)^ *show\(", text)) >= 2  # `show` asks for the words beside the figure
    assert text.count("```mermaid") == text.count("accDescr:")
    sources = re.split(r"(?m)^- ", text.partition("## Further reading")[2])[1:]
    assert len(sources) >= 4
    assert all(re.search(r"\b(19|20)\d\d\b|https://", source) for source in sources)
