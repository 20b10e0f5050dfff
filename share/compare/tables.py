"""A comparison as text: Markdown to read, LaTeX for a paper, CSV for other programs.

CSV has a row for each number. With songs it has the songs' own scores instead of what is said of
all of them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stemsmith.evaluate.metrics.summary import Interval
from stemsmith.share.compare.comparison import MetricTable, SystemComparison, TargetColumn
from stemsmith.share.compare.statistics import PairedDifference

__all__ = [
    "TextTable",
    "latex_of",
    "markdown_of",
    "remarks_of",
    "tables_of",
    "to_csv",
    "to_latex",
    "to_markdown",
]

_SUMMARY_COLUMNS: Final = (
    "songs_are", "metric", "unit", "target", "system", "baseline", "n", "statistic", "value",
    "low", "high", "p", "p_holm",
)  # fmt: skip
_SONG_COLUMNS: Final = ("songs_are", "metric", "unit", "target", "song", "system", "value")
_NONE: Final = "-"
_MAX_NAMED: Final = 3
_TEST: Final = "Wilcoxon's signed-rank test, two-sided, corrected by Holm for {}"
_LATEX: Final = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
}


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text.

    Attributes
    ----------
    title : str
        What its numbers are.
    head : tuple of str
        What its columns are.
    rows : tuple of tuple of str
        The cells of each row, as many as `head` has.
    foot : str
        What is to be said below it; may be empty.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: str = ""


def to_markdown(comparison: SystemComparison, *, has_songs: bool = False) -> str:
    """Return a comparison as Markdown.

    Brackets hold 95 % intervals. Below the tables stands what was left out, and why.

    Parameters
    ----------
    comparison : SystemComparison
        What `compare_results` returned.
    has_songs : bool
        Whether the scores of every song are shown, too.
    """
    parts = [markdown_of(grid) for grid in _text_tables(comparison, has_songs)]
    remarks = [f"* {_markdown(line)}" for line in remarks_of(comparison)]
    return "\n".join([*parts, *remarks, *([""] if remarks else [])])


def to_latex(comparison: SystemComparison, *, has_songs: bool = False) -> str:
    r"""Return a comparison as LaTeX: a ``tabular`` of the package booktabs for each table.

    Parameters as of `to_markdown`. Titles and what was left out are comments before each table.
    """
    parts = [latex_of(grid) for grid in _text_tables(comparison, has_songs)]
    return "\n".join([*parts, *(f"% {_one_line(line)}" for line in remarks_of(comparison)), ""])


def markdown_of(grid: TextTable) -> str:
    """Return a table as Markdown, with its title above it and its foot below."""
    widths = ["---", *["--:"] * (len(grid.head) - 1)]
    rows = [[_markdown(cell) for cell in row] for row in (grid.head, *grid.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], widths, *rows[1:])]
    text = "\n".join([f"**{_markdown(grid.title)}**", "", *lines, ""])
    return f"{text}\n{grid.foot}.\n" if grid.foot else text


def latex_of(grid: TextTable) -> str:
    """Return a table as a ``tabular`` of the package booktabs; title and foot are comments."""
    rows = [" & ".join(map(_latex, row)) + r" \\" for row in (grid.head, *grid.rows)]
    comments = [f"% {_one_line(line)}" for line in (grid.title, grid.foot) if line]
    columns = "l" + "r" * (len(grid.head) - 1)
    begin = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule"]
    return "\n".join([*comments, *begin, *rows[1:], r"\bottomrule", r"\end{tabular}", ""])


def to_csv(comparison: SystemComparison, *, has_songs: bool = False) -> str:
    """Return a comparison as CSV: a row for each number.

    Parameters
    ----------
    comparison : SystemComparison
        What `compare_results` returned.
    has_songs : bool
        Whether rows are the scores of songs, instead of means, medians and differences.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_SONG_COLUMNS if has_songs else _SUMMARY_COLUMNS)
    for table in comparison.tables:
        writer.writerows(_song_rows(table) if has_songs else _summary_rows(table))
    return text.getvalue()


def remarks_of(comparison: SystemComparison) -> list[str]:
    """Return a line for whatever was left out, and for what is to be minded."""
    lines = []
    for row in comparison.left_out:
        songs, n = ", ".join(row.songs[:_MAX_NAMED]), len(row.songs)
        more = ", ..." if n > _MAX_NAMED else ""
        lines.append(f"left out: {row.part.counted(n)}, {row.reason} ({songs}{more})")
    for table in comparison.tables:
        for column in table.columns:
            if column.n_left_out:
                lines.append(
                    f"left out of {table.metric.name} of {column.target}, {table.part}: "
                    f"{column.n_left_out} without a score in every system"
                )
    return [*lines, *comparison.notes]


def _text_tables(comparison: SystemComparison, has_songs: bool) -> Iterator[TextTable]:
    for table in comparison.tables:
        yield from tables_of(comparison, table, has_songs)


def tables_of(
    comparison: SystemComparison, table: MetricTable, has_songs: bool
) -> Iterator[TextTable]:
    """Yield the tables of one metric: systems, differences, and the scores of songs if wanted."""
    yield _systems_grid(comparison, table)
    if table.differences:
        yield _differences_grid(table)
    if has_songs:
        yield from (_songs_grid(comparison, table, column) for column in table.columns)


def _systems_grid(comparison: SystemComparison, table: MetricTable) -> TextTable:
    head = ("system", *(f"{c.target} ({len(c.songs)})" for c in table.columns))
    average = table.metric.average
    rows = []
    for system in comparison.systems:
        cells = [system]
        for column in table.columns:
            summary = column.summaries.get(system)
            if summary is None:
                cells.append(_NONE)
            else:
                value: float = getattr(summary, average)
                interval: Interval = getattr(summary, f"{average}_interval")
                cells.append(_with_interval(value, interval, "{:.2f}"))
        rows.append(tuple(cells))
    return TextTable(table.title, head, tuple(rows))


def _differences_grid(table: MetricTable) -> TextTable:
    targets = [column.target for column in table.columns]
    pairs = dict.fromkeys((row.system, row.baseline) for row in table.differences)
    of_pair = {(row.system, row.baseline, row.target): row for row in table.differences}
    rows = []
    for system, baseline in pairs:
        found = [of_pair.get((system, baseline, target)) for target in targets]
        rows.append((f"{system} minus {baseline}", *(_difference(row) for row in found)))
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    title = f"{table.metric.name}{unit}: {table.metric.average} of the differences of the same "
    n_tested = sum(row.p is not None for row in table.differences)
    counted = f"{n_tested} comparison{'s' * (n_tested > 1)}"
    foot = f"p: {_TEST.format(counted)}" if n_tested else ""
    return TextTable(f"{title}{table.part}", ("difference", *targets), tuple(rows), foot)


def _difference(row: PairedDifference | None) -> str:
    if row is None:
        return _NONE
    text = _with_interval(row.difference, row.interval, "{:+.2f}")
    return text if row.p_holm is None else f"{text}, p {_probability(row.p_holm)}"


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _with_interval(value: float, interval: Interval, form: str) -> str:
    number, low, high = (form.format(v) for v in (value, *interval))
    return f"{number} [{low}, {high}]"


def _songs_grid(
    comparison: SystemComparison, table: MetricTable, column: TargetColumn
) -> TextTable:
    systems = [name for name in comparison.systems if name in column.values]
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    rows = [
        (song, *(f"{column.values[name][place]:.2f}" for name in systems))
        for place, song in enumerate(column.songs)
    ]
    title = f"{table.metric.name}{unit} of {column.target}, by {table.part.removesuffix('s')}"
    return TextTable(title, ("song", *systems), tuple(rows))


def _summary_rows(table: MetricTable) -> Iterator[Sequence[object]]:
    of_all = (table.part, table.metric.name, table.metric.unit)
    for column in table.columns:
        for system, summary in column.summaries.items():
            for statistic in ("mean", "median"):
                interval = getattr(summary, f"{statistic}_interval")
                value = getattr(summary, statistic)
                yield (
                    *of_all, column.target, system, "", summary.n, statistic,
                    *map(_plain, (value, *interval)), "", "",
                )  # fmt: skip
    for row in table.differences:
        yield (
            *of_all, row.target, row.system, row.baseline, row.n,
            f"{table.metric.average} difference", *map(_plain, (row.difference, *row.interval)),
            *("" if p is None else _plain(p) for p in (row.p, row.p_holm)),
        )  # fmt: skip


def _song_rows(table: MetricTable) -> Iterator[Sequence[object]]:
    for column in table.columns:
        for system, values in column.values.items():
            for song, value in zip(column.songs, values, strict=True):
                yield (
                    table.part, table.metric.name, table.metric.unit, column.target, song, system,
                    _plain(value),
                )  # fmt: skip


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _one_line(text: str) -> str:
    """Return a name as text that ends no line and hides nothing."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _markdown(cell: str) -> str:
    return _one_line(cell).replace("|", "\\|")


def _latex(cell: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _one_line(cell))
