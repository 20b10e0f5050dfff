"""The tables of a comparison as cells of text, whatever they are then written as."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stemsmith.evaluate.metrics.summary import Interval
from stemsmith.share.compare.comparison import SystemComparison
from stemsmith.share.compare.metric_tables import MetricTable, TargetColumn
from stemsmith.share.compare.power import training_deviation
from stemsmith.share.compare.statistics import PairedDifference

__all__ = ["TextTable", "counted_songs", "is_declared", "tables_of"]

_NONE: Final = "-"
_SIGNED_RANKS: Final = "Wilcoxon's signed-rank test"
_SIGNS: Final = "permutation of signs over artists"


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


def counted_songs(column: TargetColumn) -> str:
    """Return how many songs a column has, and of how many artists where these are known."""
    n_songs, n = len(column.songs), column.n_groups
    if column.groups is None:
        return str(n_songs)
    return f"{n_songs} song{'s' * (n_songs > 1)}, {n} artist{'s' * (n > 1)}"


def tables_of(
    comparison: SystemComparison, table: MetricTable, has_songs: bool
) -> Iterator[TextTable]:
    """Yield the tables of one metric.

    They are of systems, of their trainings, of differences, of what the design can see, and of
    the scores of songs, as far as there are any, and as far as they are wanted.
    """
    yield _systems_grid(comparison, table)
    if any(column.seeds for column in table.columns):
        yield _seeds_grid(comparison, table)
    primary = [row for row in table.differences if row.is_primary]
    others = [row for row in table.differences if not row.is_primary]
    if primary:
        yield _differences_grid(table, primary, "primary comparison, ")
    if others:
        kind = "exploratory, " if is_declared(comparison) else ""
        yield _differences_grid(table, others, kind)
    if table.visible:
        yield _visible_grid(table)
    if has_songs:
        yield from (_songs_grid(comparison, table, column) for column in table.columns)


def is_declared(comparison: SystemComparison) -> bool:
    """Tell whether one of the comparisons is primary."""
    return any(row.is_primary for table in comparison.tables for row in table.differences)


def _systems_grid(comparison: SystemComparison, table: MetricTable) -> TextTable:
    head = ("system", *(f"{c.target} ({counted_songs(c)})" for c in table.columns))
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


def _seeds_grid(comparison: SystemComparison, table: MetricTable) -> TextTable:
    """Return the average of each training, and their standard deviation."""
    rows = []
    for system in comparison.systems:
        seeds = [column.seeds.get(system, ()) for column in table.columns]
        if any(seeds):
            cells = [", ".join(f"{value:.2f}" for value in own) or _NONE for own in seeds]
            spread = [training_deviation(own) for own in seeds]
            texts = [f"{c}; sd {d:.2f}" for c, d in zip(cells, spread, strict=True)]
            rows.append((system, *texts))
    title = f"{table.metric.name}{_unit(table)}: {table.metric.average} over songs by training"
    return TextTable(title, ("system", *(c.target for c in table.columns)), tuple(rows))


def _differences_grid(
    table: MetricTable, differences: Sequence[PairedDifference], kind: str
) -> TextTable:
    targets = [c.target for c in table.columns if any(r.target == c.target for r in differences)]
    pairs = dict.fromkeys((row.system, row.baseline) for row in differences)
    of_pair = {(row.system, row.baseline, row.target): row for row in differences}
    rows = []
    for system, baseline in pairs:
        found = [of_pair.get((system, baseline, target)) for target in targets]
        rows.append((f"{system} minus {baseline}", *(_difference(row) for row in found)))
    title = (
        f"{table.metric.name}{_unit(table)}: {kind}{table.metric.average} of the differences of "
        f"the same {table.part}"
    )
    return TextTable(title, ("difference", *targets), tuple(rows), _foot(differences))


def _foot(differences: Sequence[PairedDifference]) -> str:
    """Return what was tested, and how."""
    tested = [row for row in differences if row.p is not None]
    remarks = []
    if tested:
        test = _SIGNED_RANKS if tested[0].n_groups is None else _SIGNS
        corrected = f"corrected by Holm for {len(tested)} comparison{'s' * (len(tested) > 1)}"
        if tested[0].is_primary:
            corrected = "not corrected, since it was declared before there were scores"
        remarks.append(f"p: {test}, two-sided, {corrected}")
    if any(row.training_se is not None for row in differences):
        remarks.append("training: the standard error that comes from seeds alone")
    return "; ".join(remarks)


def _visible_grid(table: MetricTable) -> TextTable:
    """Return what the design can see: a column a target."""
    found = table.visible
    first = found[0]
    lines: list[tuple[str, list[str]]] = [
        (
            f"null arm: {first.system} minus {first.baseline}",
            [_with_interval(row.null_difference, row.null_interval, "{:+.2f}") for row in found],
        ),
        ("its standard deviation over artists", [f"{row.group_sd:.2f}" for row in found]),
        (
            "standard deviation of a training",
            [f"{row.training_sd:.2f} ({row.training_df} df)" for row in found],
        ),
        ("error by what differs over artists", [f"{row.effect_se:.2f}" for row in found]),
        ("seen, of these trainings", [_seen(row.visible_as_trained) for row in found]),
        (
            "seen, trained anew",
            [
                f"{_seen(row.visible)} ({row.n_seeds} seed{'s' * (row.n_seeds > 1)})"
                for row in found
            ],
        ),
        ("seen, with any number of seeds", [_seen(row.visible_at_best) for row in found]),
        (
            f"seeds to see {first.aim:g}",
            [_NONE if r.n_seeds_needed is None else str(r.n_seeds_needed) for r in found],
        ),
    ]
    if all(column.groups is None for column in table.columns):
        lines = [(name.replace("artists", "songs"), cells) for name, cells in lines]
    return TextTable(
        f"{table.metric.name}{_unit(table)}: the smallest difference that this design sees",
        ("", *(row.target for row in found)),
        tuple((name, *cells) for name, cells in lines),
        "seen: in 80 % of all cases at p < 0.05, two-sided",
    )


def _seen(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value:.2f}"


def _unit(table: MetricTable) -> str:
    return f" [{table.metric.unit}]" if table.metric.unit else ""


def _difference(row: PairedDifference | None) -> str:
    if row is None:
        return _NONE
    text = _with_interval(row.difference, row.interval, "{:+.2f}")
    p = row.p if row.is_primary else row.p_holm
    text += "" if p is None else f", p {probability_text(p)}"
    return text if row.training_se is None else f"{text}, training {row.training_se:.2f}"


def probability_text(p: float) -> str:
    """Return a p value as tables have it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _with_interval(value: float, interval: Interval, form: str) -> str:
    number, low, high = (form.format(v) for v in (value, *interval))
    if math.isnan(interval[0]) and not math.isnan(value):  # of one song, or too few artists
        return number
    return f"{number} [{low}, {high}]"


def _songs_grid(
    comparison: SystemComparison, table: MetricTable, column: TargetColumn
) -> TextTable:
    systems = [name for name in comparison.systems if name in column.values]
    rows = [
        (song, *(f"{column.values[name][place]:.2f}" for name in systems))
        for place, song in enumerate(column.songs)
    ]
    title = (
        f"{table.metric.name}{_unit(table)} of {column.target}, by {table.part.removesuffix('s')}"
    )
    return TextTable(title, ("song", *systems), tuple(rows))
