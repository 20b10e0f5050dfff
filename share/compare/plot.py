"""A picture of a comparison: points with their intervals, a row for each target."""

from __future__ import annotations

import math

from stemsmith.share.charts import Caption, PointInterval, intervals
from stemsmith.share.compare.comparison import MetricTable

__all__ = ["comparison_plot"]


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
    targets = [column.target for column in table.columns]
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    average, nothing = table.metric.average, PointInterval(math.nan, math.nan, math.nan)
    if not table.differences:
        systems = dict.fromkeys(name for column in table.columns for name in column.summaries)
        series = {
            name: [
                PointInterval(
                    getattr(column.summaries[name], average),
                    *getattr(column.summaries[name], f"{average}_interval"),
                )
                if name in column.summaries
                else nothing
                for column in table.columns
            ]
            for name in systems
        }
        of = f" of {next(iter(systems))}" if len(systems) == 1 else ""
        x = f"{table.metric.name}{unit}{of}"
        caption = Caption(table.title, "With 95 % intervals.", x=x)
        return intervals(targets, series, caption, is_narrow=is_narrow)
    pairs = dict.fromkeys((row.system, row.baseline) for row in table.differences)
    of_pair = {(row.system, row.baseline, row.target): row for row in table.differences}
    found = {pair: [of_pair.get((*pair, target)) for target in targets] for pair in pairs}
    drawn = {
        f"{system} minus {baseline}": [
            nothing if row is None else PointInterval(row.difference, *row.interval) for row in rows
        ]
        for (system, baseline), rows in found.items()
    }
    only = f": {next(iter(drawn))}" if len(drawn) == 1 else ""  # no legend says it
    caption = Caption(
        f"Differences: {table.title}",
        f"The {average} of the differences of the same songs, with 95 % intervals.",
        x=f"difference in {table.metric.name}{unit}{only}",
    )
    return intervals(targets, drawn, caption, line_at=0.0, is_narrow=is_narrow)
