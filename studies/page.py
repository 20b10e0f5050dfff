"""The page of a study: its tables, what was used, and what was done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stemsmith.manifests import storage
from stemsmith.share.charts import Caption, PointInterval, intervals
from stemsmith.share.compare.grids import tables_of
from stemsmith.share.compare.plot import comparison_plot
from stemsmith.share.compare.tables import remarks_of
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Facts,
    Notice,
    Page,
    PageSection,
    Prose,
)
from stemsmith.share.report.page import render_page
from stemsmith.studies.comparisons import RowComparison
from stemsmith.studies.outcome import ScoredRow
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.predictions import RowPrediction, prediction_tables
from stemsmith.studies.tables import study_tables, used_data

__all__ = ["write_page"]

_PAGE: Final = "report.html"


def write_page(
    plan: StudyPlan,
    rows: Sequence[ScoredRow],
    comparisons: Sequence[RowComparison],
    predictions: Sequence[RowPrediction],
    failed: Mapping[str, str],
    seconds: Mapping[str, float],
    root: Path,
) -> Path:
    """Write the page of a study.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.
    rows : sequence of ScoredRow
        The scores of every row in every test.
    comparisons : sequence of RowComparison
        The rows beside each other.
    predictions : sequence of RowPrediction
        Whether the sound of corpora predicts what training on them gains.
    failed : mapping of str to str
        Stages that could not be done, and why.
    seconds : mapping of str to float
        How long each stage took.
    root : Path
        Folder of the study.

    Returns
    -------
    Path
        The file that was written.
    """
    tables = [
        DataTable(table.title, table.head, table.rows, f"{table.foot}.")
        for table in study_tables(plan, rows, root)
    ]
    sections = [
        PageSection("Question", [Prose(plan.study.about or plan.study.title)]),
        PageSection("Data", [Prose(f"{sentence}.") for sentence in used_data(plan)]),
        PageSection("Tables", tables),
        PageSection("Charts", list(_charts(plan, rows))),
        *(PageSection(one.title, list(_comparison(one))) for one in comparisons),
        *(PageSection(one.title, list(_prediction(one))) for one in predictions),
        PageSection("What was done", list(_stages(plan, failed, seconds))),
    ]
    page = Page(
        title=plan.study.title,
        lead=f"Study {plan.study.path.name} at size {plan.study.size}.",
        sections=[section for section in sections if section.blocks],
    )
    destination = root / _PAGE
    storage.write_atomic(destination, render_page(page).encode())
    return destination


def _charts(plan: StudyPlan, rows: Sequence[ScoredRow]) -> Iterator[Block]:
    """Yield a chart for each test and metric of the tables."""
    for test in plan.tests:
        metrics = dict.fromkeys(
            metric
            for table in plan.study.tables
            if test.spec.name in table.tests
            for metric in table.metrics
        )
        of_test = [row for row in rows if row.test.name == test.name]
        for metric in metrics:
            groups = [row for row in of_test if row.score(plan.study.targets[0], metric)]
            series = {
                target: [_point(row, target, metric) for row in groups]
                for target in plan.study.targets
            }
            if groups:
                unit = groups[0].metrics[metric].unit
                what = f"{test.title}: {metric}, mean over songs and spread over trainings"
                caption = Caption(what, x=f"{metric} [{unit}]" if unit else metric)
                names = [plan.title_of(row.row) for row in groups]
                yield Chart(intervals(names, series, caption), what)


def _point(row: ScoredRow, target: str, metric: str) -> PointInterval:
    score = row.score(target, metric)
    if score is None:
        return PointInterval(math.nan, math.nan, math.nan)
    half = score.spread or 0.0
    return PointInterval(score.value, score.value - half, score.value + half)


def _comparison(one: RowComparison) -> Iterator[Block]:
    """Yield the differences of a comparison, as a picture and in numbers."""
    if one.note:
        yield Notice(one.note)
    for table in one.found.tables:
        if table.differences:
            yield Chart(comparison_plot(table), table.title)
        for grid in tables_of(one.found, table, has_songs=False):
            foot = f"{grid.foot}." if grid.foot else ""
            yield DataTable(grid.title, grid.head, grid.rows, foot)
    for remark in remarks_of(one.found):
        yield Prose(f"{remark}.")


def _prediction(one: RowPrediction) -> Iterator[Block]:
    """Yield what a prediction found, or that nothing is claimed, and what it was found of."""
    if one.claims_nothing:
        yield Notice(one.claims_nothing)
    for table in prediction_tables(one):
        yield DataTable(table.title, table.head, table.rows, f"{table.foot}.")


def _stages(
    plan: StudyPlan, failed: Mapping[str, str], seconds: Mapping[str, float]
) -> Iterator[Block]:
    total_h = sum(seconds.values()) / 3600
    yield Facts(
        [
            ("stages", str(len(plan.stages))),
            ("done", str(len(seconds))),
            ("hours", f"{total_h:.2f}"),
            ("trainings of each row", str(plan.seeds)),
        ]
    )
    for stage, reason in failed.items():
        yield Notice(f"{stage}: {reason}")
    for sentence in plan.left_out:
        yield Notice(sentence)
    rows = [
        (stage.id, ", ".join(stage.needs) or "-", f"{seconds[stage.id]:.0f}")
        for stage in plan.stages
        if stage.id in seconds
    ]
    yield DataTable("Stages", ("stage", "needs", "seconds"), rows, is_folded=True)
