"""The tables of a study in the shape of its paper's, with the printed figures beside ours."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from stemsmith.manifests import storage
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.sources.find import CORPUS, divided_source
from stemsmith.share.compare.grids import TextTable
from stemsmith.share.compare.tables import latex_of, markdown_of
from stemsmith.studies.outcome import COST, MEAN, SECONDS, CellScore, ScoredRow
from stemsmith.studies.plan import PlannedTest, StudyPlan
from stemsmith.studies.stages import StageKind
from stemsmith.studies.study import CorpusSpec, StudyTable

__all__ = ["TABLES", "csv_of", "study_tables", "table_texts", "used_data", "write_tables"]

TABLES: Final = "tables"
_NONE: Final = "-"
_UNTOLD: Final = ("seed", "splits", "band", "sample_rate")  # of how something sounds
_STATISTICS: Final = {
    "mean": "mean over songs",
    "median": "median over songs",
    "windows": "median over all windows of all songs",
}
_Column = tuple[PlannedTest, str, int]  # a test, a target, and the number of a metric


def study_tables(plan: StudyPlan, rows: Sequence[ScoredRow], root: Path) -> list[TextTable]:
    """Return the tables of a study, those without a score left out.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.
    rows : sequence of ScoredRow
        The scores of every row in every test.
    root : Path
        Its folder, whose mixtures say how many hours a row was trained on.
    """
    tables = (_table(plan, table, rows, root) for table in plan.study.tables)
    return [table for table in tables if table.rows]


def table_texts(plan: StudyPlan, rows: Sequence[ScoredRow], root: Path) -> list[str]:
    """Return the tables of a study as Markdown; parameters as of `study_tables`."""
    return [markdown_of(table) for table in study_tables(plan, rows, root)]


def write_tables(plan: StudyPlan, rows: Sequence[ScoredRow], root: Path) -> None:
    """Write every table as Markdown, LaTeX and CSV into the folder of a study.

    Parameters
    ----------
    plan, rows, root
        As of `study_tables`.
    """
    folder = root / TABLES
    folder.mkdir(exist_ok=True)
    for spec in plan.study.tables:
        table = _table(plan, spec, rows, root)
        texts = {
            "md": markdown_of(table),
            "tex": latex_of(table),
            "csv": csv_of([table.head, *table.rows]),
        }
        for ending, text in texts.items():
            storage.write_atomic(folder / f"{spec.name}.{ending}", text.encode())


def used_data(plan: StudyPlan) -> list[str]:
    """Return a sentence about every input: what was given, or what stands in for it."""
    return list(_used(plan))


def _used(plan: StudyPlan) -> Iterator[str]:
    for spec in plan.study.inputs.values():
        given = plan.inputs.given.get(spec.name)
        if given:
            yield f"--{spec.name}: {', '.join(map(_named, given))}"
        elif spec.stand_in:
            made = _rendered(plan.study.corpora[spec.stand_in])
            stand_in = plan.inputs.title(spec.name)
            yield f"not given: {spec.title or spec.name}; in its place {stand_in}, {made}"


def _named(path: str) -> str:
    """Return a path without its folders, which are nobody's business but the user's."""
    layout, root = divided_source(path)
    return Path(root).name if layout == CORPUS else f"{layout}:{Path(root).name}"


def _rendered(corpus: CorpusSpec) -> str:
    """Say with what a corpus is rendered."""
    sound = corpus.bank or ", ".join(corpus.soundfonts) or "the default soundfont"
    options = [f"{name} {value}" for name, value in corpus.render.items() if name not in _UNTOLD]
    return f"rendered with {', '.join([sound, *options])}"


def _table(plan: StudyPlan, spec: StudyTable, rows: Sequence[ScoredRow], root: Path) -> TextTable:
    tests = [test for test in plan.tests if test.spec.name in spec.tests]
    targets = spec.targets or plan.study.targets
    scored = {(row.row, row.test.name): row for row in rows}
    # Of several metrics every target has a line, as the papers have it.
    is_tall = len(spec.metrics) > 1 and len(targets) > 1
    groups = [(target,) for target in targets] if is_tall else [tuple(targets)]
    columns = [_columns(spec, tests, group) for group in groups]
    printed = [
        place
        for place, alike in enumerate(zip(*columns, strict=True))
        if any(_printed(spec, row, column) != _NONE for row in spec.printed for column in alike)
    ]
    shown = [] if is_tall or len(targets) == 1 < len(spec.metrics) else targets
    head = [_heading(spec, column, len(tests) > 1, shown) for column in columns[0]]
    body, n_songs = [], _song_counts(spec, rows)
    for row in spec.rows or plan.study.rows:
        if not any((row, test.name) in scored for test in tests):
            continue
        for group, own in zip(groups, columns, strict=True):
            cells = [
                scored[row, test.name].score(target, spec.metrics[number], spec.statistic)
                if (row, test.name) in scored
                else None
                for test, target, number in own
            ]
            figures = [_printed(spec, row, own[place]) for place in printed]
            names = (plan.title_of(row), *(group if is_tall else ()), _hours(plan, row, root))
            if any(cells) or not is_tall:
                shown = [
                    _cell(cell, n_songs.get((test.name, target, spec.metrics[number]), 0))
                    for cell, (test, target, number) in zip(cells, own, strict=True)
                ]
                body.append((*names, *shown, *figures))
    return TextTable(
        title=plan.inputs.filled(spec.title),
        head=(
            "",
            *(("target",) if is_tall else ()),
            "training [h]",
            *head,
            *(f"{head[place]}, printed" for place in printed),
        ),
        rows=tuple(body),
        foot="; ".join(_foot(plan, spec, rows, body)),
    )


def _song_counts(spec: StudyTable, rows: Sequence[ScoredRow]) -> dict[tuple[str, str, str], int]:
    """Return by test, target and metric the number of songs of the row that has most."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        for target in (*row.trainings[0].targets, MEAN):
            for metric in spec.metrics:
                score = row.score(target, metric, spec.statistic)
                key = row.test.name, target, metric
                counts[key] = max(counts.get(key, 0), 0 if score is None else score.n_songs)
    return counts


def _columns(
    spec: StudyTable, tests: Sequence[PlannedTest], targets: Sequence[str]
) -> list[_Column]:
    return [
        (test, target, number)
        for test in tests
        for target in targets
        for number in range(len(spec.metrics))
    ]


def _heading(spec: StudyTable, column: _Column, is_of_test: bool, targets: Sequence[str]) -> str:
    test, target, number = column
    words = [target] if targets else []
    words += [spec.metrics[number]] if len(spec.metrics) > 1 else []
    return ": ".join([*([test.title] if is_of_test else []), " ".join(words)])


def _foot(
    plan: StudyPlan,
    spec: StudyTable,
    rows: Sequence[ScoredRow],
    body: Sequence[tuple[str, ...]],
) -> Iterator[str]:
    """Yield what has to be known of a table."""
    yield f"size {plan.study.size}"
    of_table = [row for row in rows if row.test.spec.name in spec.tests]
    known = {name: metric for row in of_table for name, metric in row.metrics.items()}
    for unit, names in groupby(
        (name for name in spec.metrics if name in known), lambda name: known[name].unit
    ):
        yield f"{', '.join(names)}{f' in {unit}' if unit else ''}, {_STATISTICS[spec.statistic]}"
    named = {*known, SECONDS, COST}
    if of_table and (lacking := [name for name in spec.metrics if name not in named]):
        yield f"no row has scores of {', '.join(lacking)}"
    counts = {len(row.trainings) for row in of_table if plan.study.rows[row.row].train}
    if counts and max(counts) > 1:
        yield f"± standard deviation over {max(counts)} trainings"
    if any(cell.endswith(")") for row in body for cell in row[1:]):
        yield "in parentheses the number of songs, where other rows have scores of more"
    if spec.source:
        yield f"printed: {spec.source}"
    yield from used_data(plan)


def _printed(spec: StudyTable, row: str, column: _Column) -> str:
    """Return what the paper prints in a cell, with its number of decimals."""
    test, target, number = column
    figures = spec.printed.get(row, {})
    figure = figures.get(f"{test.spec.name}.{target}", figures.get(target))
    if figure is None or math.isnan(figure[number]):
        return _NONE
    all_figures = (x for row in spec.printed.values() for several in row.values() for x in several)
    decimals = max(len(repr(x).partition(".")[2].rstrip("0")) for x in all_figures)
    return f"{figure[number]:.{max(decimals, 1)}f}"


def _cell(score: CellScore | None, n_songs: int) -> str:
    """Return a score, with its number of songs where another row has one of more."""
    if score is None:
        return _NONE
    spread = "" if score.spread is None else f" ± {score.spread:.2f}"
    fewer = f" ({score.n_songs})" if score.n_songs < n_songs else ""
    return f"{score.value:.2f}{spread}{fewer}"


def _hours(plan: StudyPlan, row: str, root: Path) -> str:
    """Return the hours of training mixtures of a row, those of its first run."""
    by_id = {stage.id: stage for stage in plan.stages}
    cells = [cell for cell in plan.cells if cell.row == row]
    stages = [by_id[name] for name in cells[0].results[0][:1]] if cells else []
    runs = [name for stage in stages for name in stage.needs if by_id[name].kind == StageKind.RUN]
    if not runs:
        return _NONE
    hours = sum(_training_hours(root / one["stage"]) for one in by_id[runs[0]].work["mixtures"])
    return f"{hours:.2g}" if hours < 10 else f"{hours:.0f}"


def _training_hours(folder: Path) -> float:
    """Return the hours of the training mixtures of a set, whose mixtures are of one length."""
    mixtures = Mixtures(folder)
    return mixtures.hours * mixtures.splits.get("train", 0) / sum(mixtures.splits.values())


def csv_of(rows: Iterable[Sequence[object]]) -> str:
    """Return rows of a table as CSV; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
