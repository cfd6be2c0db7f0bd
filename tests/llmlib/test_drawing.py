"""Figures as they reach the page: parsed as XML, their colours measured, their ids compared."""

from __future__ import annotations

import builtins
import re
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
import torch

from llmlib import drawing
from llmlib.drawing import PALETTE, draw_heatmap, heatmap, show, style, subplots, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def a_figure():
    figure, axes = subplots()
    axes.plot([0, 1, 2], [1, 3, 2], marker="o", label="a line")
    axes.plot([0, 1, 2], [2, 2, 1], label="another")
    axes.set(title="A title", xlabel="step", ylabel="loss")
    axes.legend()
    return figure


def wcag_contrast(first: str, second: str) -> float:
    """Written again from the standard's text, on 8-bit values."""

    def luminance(colour: str) -> float:
        total = 0.0
        for weight, place in ((0.2126, 1), (0.7152, 3), (0.0722, 5)):
            channel = int(colour[place : place + 2], 16) / 255
            total += weight * (channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4)
        return total

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", PALETTE)
@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_every_colour_stands_out_from_both_pages(colour, page):
    assert wcag_contrast(colour, page) >= 3


def test_the_picture_is_well_formed_and_named():
    root = ET.fromstring(to_svg(a_figure(), 'a rise & a "fall"'))
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a rise & a "fall"'


def test_nothing_is_black_or_white_and_the_text_is_the_pages():
    svg = to_svg(a_figure(), "lines")
    root = ET.fromstring(svg)
    assert root.get("fill") == "currentColor"
    assert "stroke: currentColor" in svg
    assert not re.search(r"#000000|#ffffff|#fff\b|: black|: white", svg)
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"A title", "step", "loss", "a line"} <= texts
    for text in root.iter(f"{SVG}text"):
        assert "fill" not in text.get("style", ""), text.text


def test_a_default_figure_of_matplotlib_serves_too():
    figure = matplotlib.figure.Figure()
    axes = figure.subplots()
    axes.plot([1, 2], label="line")
    axes.legend()
    assert not re.search(r"#000000|#ffffff", to_svg(figure, "a line"))


def test_the_drawing_leaves_no_style_for_the_page():
    assert "<style" not in to_svg(a_figure(), "lines")


def test_the_same_figure_is_the_same_text_whenever_it_is_drawn():
    figure = a_figure()
    first = to_svg(figure, "lines")
    assert to_svg(figure, "lines") == first
    assert to_svg(a_figure(), "lines") == first
    assert "metadata" not in first
    assert "<dc:date>" not in first


def test_two_figures_share_no_id_and_every_reference_is_met():
    other, axes = subplots()
    axes.plot([3, 1, 2], marker="s")
    pages = [to_svg(a_figure(), "lines"), to_svg(other, "a zigzag"), to_svg(a_figure(), "the lines again")]
    ids = [re.findall(r'\bid="([^"]+)"', page) for page in pages]
    assert all(ids)
    everything = [name for own in ids for name in own]
    assert len(set(everything)) == len(everything)
    for page, own in zip(pages, ids, strict=True):
        references = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
        assert references
        assert set(references) <= set(own)


@pytest.mark.parametrize("alt", ["", "  "])
def test_a_figure_needs_an_alternative_text(alt):
    with pytest.raises(ValueError, match=r"alternative text: pass alt="):
        to_svg(a_figure(), alt)


def test_no_setting_and_no_figure_of_pyplot_is_touched():
    before = dict(matplotlib.rcParams)
    pyplot_loaded = "matplotlib.pyplot" in sys.modules
    to_svg(a_figure(), "lines")
    draw_heatmap(torch.eye(3))
    assert dict(matplotlib.rcParams) == before
    if pyplot_loaded:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    with matplotlib.rc_context(style()):  # every key of the style is one that matplotlib knows
        assert matplotlib.rcParams["svg.fonttype"] == "none"


def numbers_and_cells(matrix):
    """The figure's texts on the cells with their colours, and the cells' colours, in reading order."""
    axes = draw_heatmap(matrix).axes[0]
    image = axes.images[0].get_array()
    return [
        (text.get_text(), matplotlib.colors.to_hex(text.get_color()), image[round(y), round(x)])
        for text in axes.texts
        for x, y in [text.get_position()]
    ]


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_every_number_is_legible_on_its_cell_on_any_page(low):
    for _, ink, cell in numbers_and_cells(torch.linspace(low, 1.0, 225).view(15, 15)):
        assert cell[3] == 1.0, "an opaque cell looks the same on every page"
        assert ink != "#000000", "black would become the page's text colour"
        assert wcag_contrast(ink, matplotlib.colors.to_hex(cell[:3])) >= 4.5


def test_numbers_stand_where_they_belong_and_masked_places_are_empty():
    found = numbers_and_cells(torch.tensor([[0.25, -torch.inf, 3.0], [-1.5, float("nan"), 1234.5]]))
    assert [text for text, _, _ in found] == ["0.25", "−∞", "3", "−1.50", "NaN", "1.23e+03"]
    for text, ink, cell in found:
        if text in ("−∞", "NaN"):
            assert cell[3] == 0
            assert ink == "#000000", "on the page itself: the page's text colour"


def test_larger_values_are_darker_and_zero_is_the_middle_between_signs():
    cells = [cell for *_, cell in numbers_and_cells(torch.tensor([[0.0, 0.3, 0.6, 1.0]]))]
    brightness = [sum(cell[:3]) for cell in cells]
    assert brightness == sorted(brightness, reverse=True)
    negative, zero, positive = (cell for *_, cell in numbers_and_cells(torch.tensor([[-2.0, 0.0, 1.0]])))
    assert negative[0] > negative[2] and positive[2] > positive[0]
    assert max(zero[:3]) - min(zero[:3]) < 0.02


def test_names_of_rows_and_columns():
    axes = draw_heatmap(torch.eye(2), rows=["a$b", "_c"], columns=["x", "y"], xlabel="key").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"a\$b", "_c"]
    assert axes.get_xlabel() == "key"
    svg = to_svg(draw_heatmap(torch.eye(2), rows=["a$b$", "<&>"], columns=["x", "y"]), "names")
    assert {"a$b$", "<&>"} <= {text.text for text in ET.fromstring(svg).iter(f"{SVG}text")}


def test_a_large_matrix_gets_a_scale_instead_of_numbers():
    figure = draw_heatmap(torch.rand(40, 40, generator=torch.Generator().manual_seed(0)))
    assert len(figure.axes) == 2
    assert not figure.axes[0].texts


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.zeros(3), r"needs a matrix \(rows, columns\): got shape \(3,\)"),
        (torch.zeros(0, 3), r"got shape \(0, 3\)"),
        (torch.zeros(2, 2, 2), r"got shape \(2, 2, 2\)"),
    ],
)
def test_only_a_matrix_can_be_a_heat_map(matrix, message):
    with pytest.raises(ValueError, match=message):
        draw_heatmap(matrix)


def test_names_must_fit_the_matrix():
    with pytest.raises(ValueError, match=r"the matrix has 3 columns: got 2 names for them"):
        draw_heatmap(torch.zeros(2, 3), columns=["a", "b"])


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0], [0, 1]],
        np.eye(2),
        torch.eye(2, dtype=torch.bool),
        torch.eye(2, dtype=torch.float16, requires_grad=True),
        torch.full((2, 2), -torch.inf),
    ],
)
def test_lists_arrays_and_tensors_of_any_type(matrix):
    ET.fromstring(to_svg(draw_heatmap(matrix), "a matrix"))


def test_outside_a_notebook_the_alternative_text_is_printed(capsys):
    show(a_figure(), alt="a rise and a fall")
    heatmap(torch.eye(2), alt="a diagonal")
    assert capsys.readouterr().out == "Figure: a rise and a fall\nFigure: a diagonal\n"


def test_without_ipython_too(monkeypatch, capsys):
    real = builtins.__import__

    def refuse(name, *rest, **options):
        if name.partition(".")[0] == "IPython":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    show(a_figure(), alt="lines")
    assert capsys.readouterr().out == "Figure: lines\n"


def test_in_a_notebook_html_and_plain_text_are_displayed(monkeypatch):
    import IPython
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        IPython.display, "display", lambda *values, **options: shown.append((values, options))
    )
    show(a_figure(), alt="lines")
    ((bundle,), options) = shown[0]
    assert options == {"raw": True}
    assert bundle["text/plain"] == "Figure: lines"
    assert bundle["text/html"].startswith('<svg role="img" aria-label="lines"')


def test_contrast_is_the_standards():
    assert drawing.contrast("white", "black") == pytest.approx(21)
    assert drawing.contrast("#2f7ed8", "#121212") == pytest.approx(
        wcag_contrast("#2f7ed8", "#121212"), rel=1e-3
    )
