"""Pictures of numbers, as text in SVG: bars, histograms, curves, boxes, heat maps and intervals.

Each function takes numbers and a `Caption`, and returns one ``<svg>`` element that can stand in a
page or be a file of its own. The same numbers give the same text. Words stay text, in the fonts
of the reader; axes and words take the colour of the text around them (``currentColor``), there is
no background, and the colours of the data are told apart on white and on black. Names are drawn
as they are: nothing in them is mark-up.

This is the only module that imports matplotlib. Nothing of the user's own style is read, and
nothing is left behind that other users of matplotlib in the process would see.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from stemsmith.manifests.arrays import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "Caption",
    "Curve",
    "PointInterval",
    "bars",
    "box_plots",
    "deviation_curves",
    "heat_map",
    "histograms",
    "intervals",
    "lines",
    "scatter",
]

# Each has a contrast of at least 3 to 1 against white and against #16181d.
COLOURS: Final = (
    "#3b82d6",
    "#d9730d",
    "#2a9464",
    "#a463d9",
    "#d9476a",
    "#158f9c",
    "#9a7432",
    "#7f858d",
)
_NOTHING: Final = "\u2013"  # in the cell of a table that has no number
_INK: Final = "#010203"  # what becomes currentColor: drawn nowhere else
_WIDTH: Final = 6.4  # inches of 72 units of the drawing
# Of charts that stand side by side, where words shall be as large as in others.
_NARROW: Final = 4.6
_LINE: Final = 0.24  # inches that a row of text and bars takes
_POINTS_AN_OCTAVE: Final = 24  # of a curve over frequency
_MAX_WORDS: Final = 40  # letters of a name in a chart; its middle is left out of a longer one
_MAX_LABEL: Final = 64  # letters of what an axis is
_STYLE: Final = {
    "svg.hashsalt": "stemsmith",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "grid.alpha": 0.2,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    **dict.fromkeys(
        (
            "text.color",
            "axes.labelcolor",
            "axes.edgecolor",
            "xtick.color",
            "ytick.color",
            "grid.color",
        ),
        _INK,
    ),
}


@dataclass(frozen=True, slots=True)
class Caption:
    """The words of a chart.

    Attributes
    ----------
    title : str
        What the chart shows. It is its name for who cannot see it, and is not drawn.
    description : str
        What there is to see in it, in a sentence or two, for who cannot see it.
    x, y : str
        Labels of the axes, with their units; nothing where they are empty.
    """

    title: str
    description: str = ""
    x: str = ""
    y: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A mean with its standard deviation along an axis.

    Attributes
    ----------
    x, mean, deviation : numpy.ndarray
        (n,) places, means at them, and standard deviations around these.
    """

    x: Float64s
    mean: Float64s
    deviation: Float64s


@dataclass(frozen=True, slots=True)
class PointInterval:
    """A number with the ends of its interval of confidence, which may be NaN where none is known.

    Attributes
    ----------
    value, low, high : float
        The number and the ends of its interval.
    """

    value: float
    low: float
    high: float


def bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    caption: Caption,
    *,
    is_horizontal: bool = False,
    is_narrow: bool = False,
) -> str:
    """Draw a bar for each group and series, those of a group side by side.

    Parameters
    ----------
    groups : sequence of str
        Names along the axis.
    series : mapping of str to sequence of float
        Length of the bar for each group, by the name of the series; none where it is NaN.
    caption : Caption
        Words of the chart; its ``x`` is the axis that lies, also where bars do.
    is_horizontal : bool
        Whether bars lie, which leaves room for names, in the order of reading.
    is_narrow : bool
        Whether the chart is to stand beside another one.

    Returns
    -------
    str
        An SVG element.
    """
    place = np.arange(len(groups))
    thickness = 0.8 / max(1, len(series))
    rows = len(groups) * max(1.0, 0.6 * len(series)) if is_horizontal else 8
    room = 0.8 if is_horizontal or not _slant(groups) else 1.6
    height = room + _LINE * max(3, rows)
    with _drawing(height, _NARROW if is_narrow else _WIDTH) as (figure, axes, finish):
        handles: list[Any] = []
        for index, (values, colour) in enumerate(
            zip(series.values(), _colours(series), strict=True)
        ):
            offset = place - 0.4 + thickness * (index + 0.5)
            draw = axes.barh if is_horizontal else axes.bar
            handles.append(draw(offset, _finite(values, 0.0), thickness * 0.92, color=colour))
        if is_horizontal:
            axes.set_yticks(place, _short(groups))
            axes.set_ylim(len(groups) - 0.4, -0.6)
        else:
            axes.set_xticks(place, _short(groups), rotation=_slant(groups), ha=_side(groups))
        axes.grid(axis="x" if is_horizontal else "y")
        if all(float(value).is_integer() for values in series.values() for value in values):
            _mark_integers(axes.xaxis if is_horizontal else axes.yaxis)
        _legend(figure, handles, series)
        return finish(caption)


def _mark_integers(axis: Axis) -> None:
    """Have an axis of counts marked at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


def histograms(
    series: Mapping[str, Sequence[float] | Float64s],
    caption: Caption,
    *,
    n_bins: int = 24,
    is_narrow: bool = False,
) -> str:
    """Draw the distributions of several series over each other, in bins that they share.

    A single series is counted; of several, the share in each bin is drawn, so that small and large
    ones can be compared. Values that are not finite are left out.

    Parameters
    ----------
    series : mapping of str to sequence of float
        Values by the name of the series.
    caption : Caption
        Words of the chart; without a ``y``, it says what is counted.
    n_bins : int
        Number of bins between the least and the greatest value.
    is_narrow : bool
        Whether the chart is to stand beside another one.

    Returns
    -------
    str
        An SVG element.
    """
    finite = {name: _only_finite(values) for name, values in series.items()}
    everything = np.concatenate([*finite.values(), np.empty(0)])
    edges = np.histogram_bin_edges(everything if everything.size else np.zeros(1), bins=n_bins)
    is_one = len(series) <= 1
    with _drawing(2.6, _NARROW if is_narrow else _WIDTH) as (figure, axes, finish):
        handles: list[Any] = []
        for values, colour in zip(finite.values(), _colours(series), strict=True):
            counts = np.histogram(values, edges)[0].astype(np.float64)
            heights = counts if is_one else counts / max(1, values.size)
            axes.stairs(heights, edges, fill=True, alpha=0.85 if is_one else 0.2, color=colour)
            handles.append(axes.stairs(heights, edges, color=colour, linewidth=1.4))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        if is_one:
            _mark_integers(axes.yaxis)
        _say_above(axes, "number" if is_one else "share")
        _legend(figure, handles, series)
        return finish(caption)


def deviation_curves(series: Mapping[str, Curve], caption: Caption) -> str:
    """Draw curves over frequency on a logarithmic axis, each with its deviation as a band.

    Parameters
    ----------
    series : mapping of str to Curve
        Curves by the name of the series, over frequencies in Hz; those at 0 Hz are left out.
    caption : Caption
        Words of the chart.

    Returns
    -------
    str
        An SVG element.
    """
    with _drawing(3.4) as (figure, axes, finish):
        handles: list[Any] = []
        for curve, colour in zip(series.values(), _colours(series), strict=True):
            x, mean, deviation = _sparse(curve)
            axes.fill_between(
                x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0
            )
            handles += axes.plot(x, mean, color=colour, linewidth=1.4)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda hz, _: f"{hz / 1000:g}k" if hz >= 1000 else f"{hz:g}")
        axes.xaxis.set_minor_formatter(lambda _, __: "")
        axes.grid()
        _legend(figure, handles, series)
        return finish(caption)


def _sparse(curve: Curve) -> tuple[Float64s, Float64s, Float64s]:
    """Return what is seen of a curve: where it can be drawn, and no denser than a line is wide."""
    seen = (curve.x > 0) & np.isfinite(curve.mean) & np.isfinite(curve.deviation)
    octaves = np.log2(curve.x[seen])
    _, chosen = np.unique(np.floor(octaves * _POINTS_AN_OCTAVE), return_index=True)
    return curve.x[seen][chosen], curve.mean[seen][chosen], curve.deviation[seen][chosen]


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    caption: Caption,
    *,
    is_log: bool = False,
    is_narrow: bool = False,
) -> str:
    """Draw curves through points, such as losses after each epoch.

    Parameters
    ----------
    series : mapping of str to pair of sequences of float
        Places and values by the name of the series. A value that is not finite is a gap.
    caption : Caption
        Words of the chart.
    is_log : bool
        Whether the axis of values is logarithmic.
    is_narrow : bool
        Whether the chart is to stand beside another one.

    Returns
    -------
    str
        An SVG element.
    """
    from matplotlib.ticker import MaxNLocator

    with _drawing(2.6, _NARROW if is_narrow else _WIDTH) as (figure, axes, finish):
        handles: list[Any] = []
        for (x, y), colour in zip(series.values(), _colours(series), strict=True):
            marker = "o" if len(x) <= 30 else ""
            values = _finite(y, math.nan)
            handles += axes.plot(x, values, color=colour, linewidth=1.5, marker=marker, ms=3)
        if is_log:
            axes.set_yscale("log", subs=(2, 5))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
        _legend(figure, handles, series)
        return finish(caption)


def scatter(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], caption: Caption) -> str:
    """Draw points of a map whose axes mean nothing, only what is near what.

    Parameters
    ----------
    series : mapping of str to pair of sequences of float
        Places across and upwards, by the name of the series. Points that are not finite are left
        out.
    caption : Caption
        Words of the chart.

    Returns
    -------
    str
        An SVG element.
    """
    with _drawing(5.0) as (figure, axes, finish):
        handles: list[Any] = []
        for (x, y), colour in zip(series.values(), _colours(series), strict=True):
            places = _finite(x, math.nan), _finite(y, math.nan)
            handles += axes.plot(*places, ".", color=colour, markersize=4, alpha=0.75)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        _legend(figure, handles, series)
        return finish(caption)


def box_plots(
    groups: Sequence[str],
    series: Mapping[str, Sequence[Sequence[float]]],
    caption: Caption,
    *,
    is_narrow: bool = False,
) -> str:
    """Draw boxes from quartile to quartile for each group and series, those of a group together.

    Whiskers end at the last value within 1.5 times the height of the box; up to 60 values of a box
    are drawn as points. Values that are not finite are left out.

    Parameters
    ----------
    groups : sequence of str
        Names along the axis, such as targets.
    series : mapping of str to sequence of sequences of float
        For each group its values, by the name of the series, such as a system.
    caption : Caption
        Words of the chart.
    is_narrow : bool
        Whether the chart is to stand beside another one.

    Returns
    -------
    str
        An SVG element.
    """
    width = 0.8 / max(1, len(series))
    with _drawing(3.0 if is_narrow else 3.4, _NARROW if is_narrow else _WIDTH) as (
        figure,
        axes,
        finish,
    ):
        handles: list[Any] = []
        for index, (boxes, colour) in enumerate(
            zip(series.values(), _colours(series), strict=True)
        ):
            for place, values in enumerate(boxes):
                x = place - 0.4 + width * (index + 0.5)
                _box(axes, x, width * 0.8, _only_finite(values), colour)
            handles += axes.plot([], [], "s", color=colour)
        axes.set_xticks(range(len(groups)), _short(groups))
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.grid(axis="y")
        _legend(figure, handles, series)
        return finish(caption)


def _box(axes: Axes, x: float, width: float, values: Float64s, colour: str) -> None:
    """Draw one box with its points; nothing where there are no values."""
    if not values.size:
        return
    outline = {"color": colour, "linewidth": 1.2}
    axes.boxplot(
        [values],
        positions=[x],
        widths=width,
        patch_artist=True,
        manage_ticks=False,
        showfliers=values.size > 60,
        boxprops={"facecolor": colour + "33", "edgecolor": colour, "linewidth": 1.2},
        whiskerprops=outline,
        capprops=outline,
        medianprops={"color": colour, "linewidth": 2.2},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": colour},
    )
    if values.size <= 60:  # spread evenly, in their order: no chance is needed
        spread = x + width * 0.3 * np.linspace(-1, 1, values.size) if values.size > 1 else [x]
        axes.plot(spread, values, ".", color=colour, markersize=3.5, alpha=0.75)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Float64s,
    caption: Caption,
    *,
    n_decimals: int = 1,
) -> str:
    """Draw a table of numbers with the colour of each cell by its number, and the number in it.

    Parameters
    ----------
    rows, columns : sequences of str
        Names of the rows, from above, and of the columns.
    values : numpy.ndarray
        (n_rows, n_columns) numbers. A cell that is NaN is empty; infinite ones are coloured as the
        least or the greatest number.
    caption : Caption
        Words of the chart.
    n_decimals : int
        Digits after the point.

    Returns
    -------
    str
        An SVG element.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    table = np.asarray(values, np.float64).reshape(len(rows), len(columns))
    finite = _only_finite(table.ravel())
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    scaled = np.clip((table - low) / (high - low or 1.0), 0.0, 1.0)
    colours = colormaps["viridis"](np.nan_to_num(scaled))
    slant = _slant(columns, 40)
    height = 0.9 + _LINE * max(2, len(rows)) + (2.0 if slant else 0.0)
    with _drawing(height) as (_, axes, finish):
        for (row, column), value in np.ndenumerate(table):
            if math.isnan(value):
                axes.text(column, row, _NOTHING, ha="center", va="center")
                continue
            cell = colours[row, column]
            axes.add_patch(
                Rectangle((column - 0.49, row - 0.47), 0.98, 0.94, facecolor=cell, linewidth=0)
            )
            ink = "#ffffff" if _luminance(cell[:3]) < 0.18 else "#0a0a0a"
            word = f"{value:.{n_decimals}f}".replace("-", "\u2212").replace("inf", "∞")
            axes.text(column, row, word, ha="center", va="center", color=ink, fontsize=8)
        axes.set_xlim(-0.5, max(1, len(columns)) - 0.5)
        axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        axes.set_xticks(
            range(len(columns)), _short(columns), rotation=slant, ha=_side(columns, 40, above=True)
        )
        axes.set_yticks(range(len(rows)), _short(rows))
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return finish(caption)


def intervals(
    groups: Sequence[str],
    series: Mapping[str, Sequence[PointInterval]],
    caption: Caption,
    *,
    line_at: float | None = None,
    is_narrow: bool = False,
) -> str:
    """Draw points with their intervals, lying, those of a group below each other.

    Parameters
    ----------
    groups : sequence of str
        Names of the groups, from above.
    series : mapping of str to sequence of PointInterval
        A point for each group, by the name of the series; none where its value is not finite.
    caption : Caption
        Words of the chart.
    line_at : float, optional
        Where a line is drawn to compare with, such as 0 for differences.
    is_narrow : bool
        Whether the chart is to stand beside another one.

    Returns
    -------
    str
        An SVG element.
    """
    step = 0.7 / max(1, len(series))
    rows = len(groups) * max(1.0, 0.7 * len(series))
    height = 0.9 + _LINE * max(2.0, rows)
    with _drawing(height, _NARROW if is_narrow else _WIDTH) as (figure, axes, finish):
        handles: list[Any] = []
        if line_at is not None:
            axes.axvline(line_at, color=_INK, linewidth=0.8, linestyle="--")
        for index, (points, colour) in enumerate(
            zip(series.values(), _colours(series), strict=True)
        ):
            y = np.arange(len(groups)) - 0.35 + step * (index + 0.5)
            value = _finite([p.value for p in points], math.nan)
            low = _finite([p.low for p in points], math.nan)
            high = _finite([p.high for p in points], math.nan)
            axes.hlines(y, low, high, color=colour, linewidth=1.6)
            handles += axes.plot(value, y, "o", color=colour, markersize=4.5)
        axes.set_yticks(range(len(groups)), _short(groups))
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.grid(axis="x")
        _legend(figure, handles, series)
        return finish(caption)


@contextmanager
def _drawing(
    height: float, width: float = _WIDTH
) -> Iterator[tuple[Figure, Axes, Callable[[Caption], str]]]:
    """Yield a figure of a size in inches, its axes, and what makes text of it.

    Matplotlib's settings are those of the process, and are put back when the drawing ends.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # Words are drawn by who shows the page: our fonts need not have their letters.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        yield figure, axes, lambda caption: _svg(figure, axes, caption)


def _svg(figure: Figure, axes: Axes, caption: Caption) -> str:
    """Return a figure as one element, with its caption."""
    if caption.x:
        axes.set_xlabel(_short([caption.x], _MAX_LABEL)[0])
    if caption.y:
        _say_above(axes, caption.y)
    stream = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=nothing)
    return _element(stream.getvalue(), caption)


def _say_above(axes: Axes, label: str) -> None:
    """Write what the upright axis is above it, where it need not be read with a turned head."""
    axes.set_title(_short([label], _MAX_LABEL)[0], loc="left", fontsize=9)


def _element(document: str, caption: Caption) -> str:
    """Turn a document of matplotlib's into an element whose names no other element has."""
    body = document[document.index("<svg") :].partition(">")[2].strip()
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', document)
    assert box is not None, "matplotlib writes a viewBox"
    title = html.escape(_printable(caption.title))
    description = html.escape(_printable(caption.description))
    key = hashlib.sha256(f"{title}\n{description}\n{body}".encode()).hexdigest()[:10]
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>c{key}-", body)
    body = body.replace("xlink:href", "href").replace(_INK, "currentColor")
    about = f"<title>{title}</title>"
    if description:
        about += f"<desc>{description}</desc>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
        f'aria-label="{title}" viewBox="{box[1]}" '
        f'style="width:100%;max-width:42rem;height:auto">\n{about}\n{body}\n'
    )


def _legend(figure: Figure, handles: Sequence[Any], names: Mapping[str, object]) -> None:
    """Say above the axes which colour is which series, where there are several."""
    if len(names) > 1:
        # Matplotlib leaves out names that begin with an underscore; it sees none.
        words = [f"\u2060{w}" if w.startswith("_") else w for w in _short(list(names))]
        longest = max(len(word) for word in words)
        room = 80 * figure.get_figwidth() / _WIDTH
        columns = max(1, min(len(words), int(room / (longest + 6))))
        figure.legend(handles, words, loc="outside upper left", ncols=columns)


def _colours(series: Mapping[str, object]) -> list[str]:
    return list(islice(cycle(COLOURS), len(series)))


def _luminance(rgb: Sequence[float] | Float64s) -> float:
    """Return the relative luminance of a colour of sRGB, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _finite(values: Sequence[float], otherwise: float) -> Float64s:
    """Return numbers with those replaced that cannot be drawn."""
    numbers = np.asarray(values, np.float64)
    return np.where(np.isfinite(numbers), numbers, otherwise)


def _only_finite(values: Sequence[float] | Float64s) -> Float64s:
    numbers = np.asarray(values, np.float64)
    return numbers[np.isfinite(numbers)]


def _printable(text: str) -> str:
    """Return a text without what no XML may hold: control characters and halves of pairs."""
    text = text.encode("utf-8", "replace").decode()
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]", "\ufffd", text)


def _short(names: Sequence[str], most: int = _MAX_WORDS) -> list[str]:
    """Return names that fit beside an axis."""
    half = most // 2
    words = [_printable(name) for name in names]
    return [w if len(w) <= most else f"{w[: half - 1]}…{w[-half:]}" for w in words]


def _slant(names: Sequence[str], room: int = 60) -> float:
    """Return the angle in degrees at which names below an axis do not run into each other."""
    return 40.0 if sum(len(name) + 2 for name in names) > room else 0.0


def _side(names: Sequence[str], room: int = 60, *, above: bool = False) -> str:
    """Return which end of a name stands at its place."""
    return ("left" if above else "right") if _slant(names, room) else "center"
