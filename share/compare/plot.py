"""A picture of a comparison: points with their intervals, for each target and system."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from stemsmith.share.charts import COLOURS, Caption, PointInterval, intervals
from stemsmith.share.compare.metric_tables import MetricTable

__all__ = ["comparison_plot"]

_NOTHING: Final = PointInterval(math.nan, math.nan, math.nan)
Points = dict[str, dict[str, PointInterval]]  # by system, or by pair of systems, and target


def comparison_plot(table: MetricTable, *, is_narrow: bool = False) -> str:
    """Draw a table: paired differences around zero, or the one system's averages.

    Parameters
    ----------
    table : MetricTable
        A table of a `SystemComparison`.
    is_narrow : bool
        Whether the picture is to stand beside another one.

    Returns
    -------
    str
        An SVG element, which can be a file of its own.
    """
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    targets = [column.target for column in table.columns]
    average = table.metric.average
    if not table.differences:
        points = _averages(table)
        of = f" of {next(iter(points))}" if len(points) == 1 else ""  # no legend says it
        caption = Caption(table.title, "With 95 % intervals.", x=f"{table.metric.name}{unit}{of}")
        return _drawn(points, targets, caption, is_narrow=is_narrow)
    points = _differences(table)
    baselines = {row.baseline for row in table.differences}
    to = f" to {next(iter(baselines))}" if len(baselines) == 1 else ""
    only = f" of {next(iter(points))}" if len(points) == 1 else ""
    caption = Caption(
        f"Differences: {table.title}",
        f"The {average} of the differences of the same songs, with 95 % intervals.",
        x=f"difference in {table.metric.name}{unit}{only}{to}",
    )
    return _drawn(points, targets, caption, line_at=0.0, is_narrow=is_narrow)


def _drawn(
    points: Mapping[str, Mapping[str, PointInterval]],
    targets: Sequence[str],
    caption: Caption,
    *,
    is_narrow: bool,
    line_at: float | None = None,
) -> str:
    """Draw a row for each target; where there are more systems than colours, for each of them."""
    rows, series = list(targets), list(points)
    found = {name: [points[name].get(t, _NOTHING) for t in targets] for name in series}
    if len(series) > len(COLOURS):
        rows, found = series, {t: [points[s].get(t, _NOTHING) for s in series] for t in targets}
    return intervals(rows, found, caption, line_at=line_at, is_narrow=is_narrow)


def _averages(table: MetricTable) -> Points:
    average, found = table.metric.average, Points()
    for column in table.columns:
        for name, summary in column.summaries.items():
            interval = getattr(summary, f"{average}_interval")
            point = PointInterval(getattr(summary, average), *interval)
            found.setdefault(name, {})[column.target] = point
    return found


def _differences(table: MetricTable) -> Points:
    """Return the differences of systems by their names, and of pairs by both."""
    found, is_one = Points(), len({row.baseline for row in table.differences}) == 1
    for row in table.differences:
        name = row.system if is_one else f"{row.system} minus {row.baseline}"
        point = PointInterval(row.difference, *row.interval)
        found.setdefault(name, {})[row.target] = point
    return found
