"""A comparison as text: Markdown to read, LaTeX for a paper, CSV for other programs.

CSV has a row for each number. With songs it has the songs' own scores instead of what is said of
all of them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Final

from stemsmith.share.compare.clusters import LEAST_GROUPS, least_p
from stemsmith.share.compare.comparison import SystemComparison
from stemsmith.share.compare.grids import TextTable, counted_songs, is_declared, tables_of
from stemsmith.share.compare.metric_tables import MetricTable, TargetColumn
from stemsmith.share.compare.power import training_deviation

__all__ = ["latex_of", "markdown_of", "remarks_of", "to_csv", "to_latex", "to_markdown"]

_SUMMARY_COLUMNS: Final = (
    "songs_are", "metric", "unit", "target", "system", "baseline", "n", "statistic", "value",
    "low", "high", "p", "p_holm",
)  # fmt: skip
_GROUP_COLUMNS: Final = ("n_artists", "kind", "training_se")  # where any of them says something
_SONG_COLUMNS: Final = ("songs_are", "metric", "unit", "target", "song", "system", "value")
_MAX_NAMED: Final = 3
_LATEX: Final = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
}


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
    if has_songs:
        writer.writerow(_SONG_COLUMNS)
        writer.writerows(row for table in comparison.tables for row in _song_rows(table))
        return text.getvalue()
    more = _GROUP_COLUMNS if any(map(_has_design, comparison.tables)) else ()
    n_columns, has_primary = len(_SUMMARY_COLUMNS) + len(more), is_declared(comparison)
    writer.writerow((*_SUMMARY_COLUMNS, *more))
    for table in comparison.tables:
        rows = (*_summary_rows(table, has_primary), *_design_rows(table))
        writer.writerows(row[:n_columns] for row in rows)
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
            if column.groups is not None:
                name = f"{table.metric.name} of {column.target}"
                lines += _of_few(name, column, comparison.is_tested)
    return [*lines, *comparison.notes]


def _of_few(name: str, column: TargetColumn, is_tested: bool) -> Iterator[str]:
    """Yield what cannot be said of songs of few artists."""
    n, lowest = column.n_groups, least_p(column.n_groups)
    of_artists = f"{name}: {counted_songs(column)}"
    if n < LEAST_GROUPS:
        yield f"{of_artists}: no interval and no test; these take {LEAST_GROUPS} artists or more"
    elif is_tested and lowest > 0.05:
        yield f"{of_artists}: no p is below {lowest:g}, whatever the scores are"


def _text_tables(comparison: SystemComparison, has_songs: bool) -> Iterator[TextTable]:
    for table in comparison.tables:
        yield from tables_of(comparison, table, has_songs)


def _summary_rows(table: MetricTable, has_primary: bool) -> Iterator[Sequence[object]]:
    of_all = (table.part, table.metric.name, table.metric.unit)
    for column in table.columns:
        for system, summary in column.summaries.items():
            for statistic in ("mean", "median"):
                interval = getattr(summary, f"{statistic}_interval")
                value = getattr(summary, statistic)
                yield (
                    *of_all, column.target, system, "", summary.n, statistic,
                    *map(_plain, (value, *interval)), "", "",
                    column.n_groups if column.groups is not None else "", "", "",
                )  # fmt: skip
    for row in table.differences:
        yield (
            *of_all, row.target, row.system, row.baseline, row.n,
            f"{table.metric.average} difference", *map(_plain, (row.difference, *row.interval)),
            *("" if p is None else _plain(p) for p in (row.p, row.p_holm)),
            "" if row.n_groups is None else row.n_groups,
            "primary" if row.is_primary else "exploratory" if has_primary else "",
            "" if row.training_se is None else _plain(row.training_se),
        )  # fmt: skip


def _design_rows(table: MetricTable) -> Iterator[Sequence[object]]:
    """Yield the numbers of trainings and of what the design can see."""
    of_all = (table.part, table.metric.name, table.metric.unit)
    for column in table.columns:
        for system, seeds in column.seeds.items():
            yield (
                *of_all, column.target, system, "", len(seeds), "training sd",
                _plain(training_deviation(seeds)), *[""] * 7,
            )  # fmt: skip
    for row in table.visible:
        numbers = {
            "null difference": row.null_difference,
            "null sd over artists": row.group_sd,
            "null training sd": row.training_sd,
            "effect se": row.effect_se,
            "seen of these trainings": row.visible_as_trained,
            "seen trained anew": row.visible,
            "seen with any number of seeds": row.visible_at_best,
            "seeds needed": math.nan if row.n_seeds_needed is None else row.n_seeds_needed,
        }
        for statistic, value in numbers.items():
            yield (
                *of_all, row.target, row.system, row.baseline, row.n_songs, statistic,
                _plain(value), *[""] * 4, row.n_groups, "", "",
            )  # fmt: skip


def _has_design(table: MetricTable) -> bool:
    """Tell whether songs are in groups, trainings in seeds, or a comparison is primary."""
    return bool(table.visible) or any(
        [
            *(row.is_primary for row in table.differences),
            *(column.groups is not None or column.seeds for column in table.columns),
        ]
    )


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
