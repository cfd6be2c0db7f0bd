"""Figures that read on a white page and on a dark one, and that a screen reader can name.

A figure is an ordinary matplotlib figure. Shown, it becomes SVG inside the page: whatever was drawn in
black (matplotlib's colour for text, axes and ticks) takes the colour of the page's own text, the
background stays the page's, and the colours of `PALETTE` stand out from both white and near-black.

No figure here belongs to pyplot, so none stays in memory and no setting of the notebook is changed.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

# Luminances between 0.13 and 0.28, so that each colour has a contrast of at least 3:1 with white and with
# #121212 (WCAG 2.2, "Non-text Contrast"), in an order that the common colour blindnesses keep apart.
PALETTE = ("#2f7ed8", "#d2691e", "#2a9d6f", "#b0579f", "#8c7a1f", "#6f7f8f")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))

# A heat map's cells are opaque, so that the number on a cell is as easy to read on any page. These two
# inks are not pure black and white: black would become the colour of the page's text.
_DARK_INK, _LIGHT_INK = "#010101", "#fefefe"
_SEQUENTIAL = LinearSegmentedColormap.from_list("weights", ["#f4f7fb", "#8fb8e8", "#2f7ed8", "#0d3f86"])
_DIVERGING = LinearSegmentedColormap.from_list(
    "scores", ["#8a3b0a", "#d2691e", "#f3c9a8", "#f7f7f7", "#a9c9ee", "#2f7ed8", "#0d3f86"]
)
_LARGEST_ANNOTATED = 16


def style() -> dict[Any, Any]:
    """The matplotlib settings of every figure of the course, for `matplotlib.rc_context(style())`."""
    return {
        "axes.prop_cycle": cycler(color=PALETTE, linestyle=_DASHES),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "font.size": 10.0,
        "grid.alpha": 0.3,
        "grid.color": "#808080",
        "legend.frameon": False,
        "lines.linewidth": 2.0,
        # Text stays text: it can be searched, selected and read aloud.
        "svg.fonttype": "none",
        # Without a salt of its own matplotlib names the parts of an SVG at random.
        "svg.hashsalt": "llmlib",
    }


def subplots(
    rows: int = 1, columns: int = 1, *, width: float = 6.0, height: float = 3.4, **options: Any
) -> Any:
    """A figure in the course's style with its axes: `figure, axes = subplots()`, then draw, then `show`.

    With more than one row or column, `axes` is an array, as from `Figure.subplots`, which also takes the
    further `options` (`sharex`, `sharey`, `width_ratios`, …).
    """
    with matplotlib.rc_context(style()):
        figure = Figure(figsize=(width, height))
        return figure, figure.subplots(rows, columns, **options)


def show(figure: Figure, alt: str) -> None:
    """Show a figure in the notebook. Outside a notebook, print what it shows.

    `alt` says what there is to see, for readers who do not see it: the message, not the colours.

    Raises:
        ValueError: `alt` is empty.
    """
    picture = to_svg(figure, alt)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(f"Figure: {alt}")
        return
    display({"text/html": picture, "text/plain": f"Figure: {alt}"}, raw=True)


def to_svg(figure: Figure, alt: str) -> str:
    """The figure as SVG to be placed in a page: the page's text colour, no background, an alternative text.

    The same figure gives the same text every time. Its ids contain a hash of what it shows, so that
    figures on one page do not take each other's parts.

    Raises:
        ValueError: `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("a figure needs an alternative text: pass alt='what there is to see'")
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)]:
        if legend is not None:
            legend.set_frame_on(False)  # its box would be white on a dark page
    with matplotlib.rc_context(style()):
        # The layout settles on the second drawing: the first decides which ticks there are.
        for _ in range(2):
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # Matplotlib's style sheet says `*{…}`, which in a page means every other drawing too.
    drawing = re.sub(r"<style.*?</style>", "", drawing, flags=re.DOTALL)
    key = "f" + hashlib.sha256(f"{alt}\n{drawing}".encode()).hexdigest()[:10]
    body = re.sub(r"<[^>]+>", lambda tag: _fit_tag(tag.group(), key), drawing)
    head = dict(re.findall(r'(\w+)="([^"]*)"', drawing[: drawing.index(">")]))
    size = f'width="{head["width"]}" height="{head["height"]}" viewBox="{head["viewBox"]}"'
    opening = (
        f'<svg role="img" aria-label="{html.escape(alt)}" {size} style="max-width: 100%; height: auto" '
        'fill="currentColor" stroke-linejoin="round" stroke-linecap="butt" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" version="1.1">'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: opening, body)


def _fit_tag(tag: str, key: str) -> str:
    """One tag of matplotlib's SVG, with ids of this figure alone and black turned into the text's colour."""
    tag = re.sub(r'\bid="', f'id="{key}-', tag)
    tag = re.sub(r'href="#', f'href="#{key}-', tag)
    tag = tag.replace("url(#", f"url(#{key}-")
    return re.sub(r"\b(fill|stroke): #000000", r"\1: currentColor", tag)


def heatmap(
    matrix: Tensor | np.ndarray | Sequence[Sequence[float]],
    *,
    alt: str,
    rows: Sequence[object] | None = None,
    columns: Sequence[object] | None = None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> None:
    """Show a matrix as a map of colours, with its numbers written on it up to 16 × 16.

    `rows` and `columns` name the rows (downwards) and the columns (from the left), as the tokens of a
    sentence in a map of attention. A place that is not finite, as a masked score, stays empty.

    Raises:
        ValueError: the matrix has no two dimensions, or the names do not fit it, or `alt` is empty.
    """
    show(draw_heatmap(matrix, rows=rows, columns=columns, title=title, xlabel=xlabel, ylabel=ylabel), alt=alt)


def draw_heatmap(
    matrix: Tensor | np.ndarray | Sequence[Sequence[float]],
    *,
    rows: Sequence[object] | None = None,
    columns: Sequence[object] | None = None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """The figure that `heatmap` shows.

    Raises:
        ValueError: the matrix has no two dimensions, or the names do not fit it.
    """
    values = torch.as_tensor(matrix).detach().to("cpu", torch.float64).numpy()
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a heat map needs a matrix (rows, columns): got shape {tuple(values.shape)}")
    for what, names, size in (("rows", rows, values.shape[0]), ("columns", columns, values.shape[1])):
        if names is not None and len(names) != size:
            raise ValueError(f"the matrix has {size} {what}: got {len(names)} names for them")

    finite = np.isfinite(values)
    seen = values[finite] if finite.any() else np.zeros(1)
    reach = float(np.abs(seen).max()) or 1.0
    colours, low = (_DIVERGING, -reach) if seen.min() < 0 else (_SEQUENTIAL, 0.0)
    annotated = max(values.shape) <= _LARGEST_ANNOTATED

    n_rows, n_columns = values.shape
    cell = 0.52 if annotated else 4.2 / max(values.shape)
    figure, axes = subplots(width=max(3.0, 1.4 + cell * n_columns), height=max(2.0, 1.1 + cell * n_rows))
    shades = colours((np.where(finite, values, 0.0) - low) / (reach - low))
    shades[~finite] = 0.0  # alpha too: the page shows through
    axes.imshow(shades, aspect="equal", interpolation="nearest")
    if annotated:  # faint lines, so that pale cells have an edge on a white page
        axes.vlines(np.arange(n_columns + 1) - 0.5, -0.5, n_rows - 0.5, "#808080", alpha=0.3, linewidth=0.6)
        axes.hlines(np.arange(n_rows + 1) - 0.5, -0.5, n_columns - 0.5, "#808080", alpha=0.3, linewidth=0.6)
    for place in np.ndindex(values.shape) if annotated else ():
        ink = _ink(shades[place]) if finite[place] else "#000000"
        axes.text(
            place[1], place[0], _number(float(values[place])), color=ink, ha="center", va="center", fontsize=9
        )
    if not annotated:
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(low, reach), colours)
        figure.colorbar(scale, ax=axes, shrink=0.8).outline.set_visible(False)

    if rows is not None:
        axes.set_yticks(range(n_rows), [_plain(name) for name in rows])
    if columns is not None:
        upright = max(len(str(name)) for name in columns) > 4
        axes.set_xticks(range(n_columns), [_plain(name) for name in columns], rotation=90 if upright else 0)
    if rows is None and annotated:
        axes.set_yticks(range(n_rows))
    if columns is None and annotated:
        axes.set_xticks(range(n_columns))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0 if annotated else 3)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure


def luminance(colour: Any) -> float:
    """How bright a colour is, from 0 (black) to 1 (white). Source: WCAG 2.2, "relative luminance"."""
    channels = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: Any, second: Any) -> float:
    """The contrast of two colours, from 1 to 21. Source: WCAG 2.2, "contrast ratio"."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def _ink(shade: Any) -> str:
    """The ink that reads better on a cell of this colour."""
    return max((_DARK_INK, _LIGHT_INK), key=lambda ink: contrast(ink, shade[:3]))


def _number(value: float) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.0f}" if value == round(value) and abs(value) < 1000 else f"{value:.2f}"
    if abs(value) >= 100 and value != round(value):
        text = f"{value:.3g}"
    return text.replace("-", "−")


def _plain(name: object) -> str:
    """A tick's text with nothing in it that matplotlib would take for mathematics."""
    return str(name).replace("$", r"\$")
