"""What stands for many songs, and how tables have it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stemsmith.evaluate.metrics.registry import known_metric
from stemsmith.share.compare.systems import ScoredSystem, SongKind, TakenMetric
from stemsmith.studies.outcome import ScoredRow
from stemsmith.studies.plan import PlannedTest, StudyPlan
from stemsmith.studies.tables import study_tables
from stemsmith.studies.workflow import StudyOutcome, plan_study

StudyFile = Callable[..., Path]


def _system(values: dict[tuple[str, str], dict[str, float]]) -> ScoredSystem:
    names = dict.fromkeys(metric for _, metric in values)
    bss = {"version": "v4", "window_s": 1.0, "hop_s": 1.0, "silence": "all", "is_mono": False}
    settings = {"si_sdr_rate": 16000, "bss": {**bss, "engine": "stemsmith"}}
    metrics = {name: TakenMetric(known_metric(name, settings), "", "") for name in names}
    songs = sorted({song for by_song in values.values() for song in by_song})
    return ScoredSystem(
        name="a system",
        source="",
        dataset="",
        taxonomy="slakh",
        folds=None,
        is_published=False,
        metrics=metrics,
        parts=dict.fromkeys(songs, SongKind.TEST),
        values=values,
        rejected={},
    )


def _row(plan: StudyPlan, *trainings: dict[tuple[str, str], dict[str, float]]) -> ScoredRow:
    test: PlannedTest = plan.tests[0]
    return ScoredRow("few", test, tuple(map(_system, trainings)))


@pytest.fixture
def row(study_file: StudyFile) -> ScoredRow:
    key, other = ("bass", "SI-SDR"), ("drums", "SI-SDR")
    return _row(
        plan_study(study_file(), "tiny"),
        {key: {"a": 1.0, "b": 2.0, "c": 9.0}, other: {"a": 0.0, "b": 0.0, "c": 3.0}},
        {key: {"a": 3.0, "b": 4.0, "c": 5.0}, other: {"a": 0.0, "b": 3.0, "c": 9.0}},
    )


def test_the_mean_is_over_songs_and_the_spread_over_trainings(row: ScoredRow) -> None:
    score = row.score("bass", "SI-SDR")
    assert score is not None
    assert (score.value, score.n_songs, score.n_seeds) == (4.0, 3, 2)
    assert score.spread == 0.0
    median = row.score("bass", "SI-SDR", "median")
    assert median is not None
    assert median.value == 3.0
    assert median.spread == pytest.approx(float(np.std([2, 4], ddof=1)))


def test_the_mean_over_targets_is_that_of_their_scores(row: ScoredRow) -> None:
    score = row.score("mean", "SI-SDR")
    assert score is not None
    assert score.value == pytest.approx((4.0 + (1.0 + 4.0) / 2) / 2)
    assert score.spread == pytest.approx(np.std([(4 + 1) / 2, (4 + 4) / 2], ddof=1))


def test_a_song_counts_where_all_trainings_have_it(study_file: StudyFile) -> None:
    key = ("bass", "SI-SDR")
    plan = plan_study(study_file(), "tiny")
    row = _row(plan, {key: {"a": 1.0, "b": np.nan}}, {key: {"a": 3.0, "b": 100.0, "c": 5.0}})
    score = row.score("bass", "SI-SDR")
    assert score is not None
    assert (score.value, score.n_songs) == (2.0, 1)
    assert row.score("drums", "SI-SDR") is None


def test_several_metrics_are_columns_and_targets_lines(
    study_file: StudyFile, made: StudyOutcome
) -> None:
    values = {
        ("bass", "SDR"): {"a": 1.0},
        ("bass", "SIR"): {"a": 2.0},
        ("drums", "SDR"): {"a": 3.0},
        ("drums", "SIR"): {"a": 4.0},
        ("bass", "SI-SDR"): {"a": 5.0},
    }
    plan = plan_study(study_file(('statistic = "windows"', 'statistic = "median"')), "tiny")
    tall, wide = study_tables(plan, [_row(plan, values)], made.root)
    assert tall.head == ("", "target", "training [h]", "SDR", "SIR", "SDR, printed", "SIR, printed")
    assert [cells[1:2] + cells[3:] for cells in tall.rows] == [
        ("bass", "1.00", "2.00", "1.25", "2.00"),
        ("drums", "3.00", "4.00", "3.00", "4.00"),
    ]
    assert "SDR, SIR in dB, median over songs" in tall.foot
    assert "printed: a paper" in tall.foot
    assert "not given: Real songs; in its place Other songs, rendered with " in tall.foot
    assert wide.head == ("", "training [h]", "bass", "drums", "bass, printed")
    assert wide.rows[0][2:] == ("5.00", "-", "-1.0")
    assert wide.title == "SI-SDR of Other songs"


def test_a_row_that_lacks_songs_says_of_how_many_it_is(
    study_file: StudyFile, made: StudyOutcome
) -> None:
    plan = plan_study(study_file(), "tiny")
    whole = {("bass", "SI-SDR"): {"a": 1.0, "b": 2.0}}
    silent = {("bass", "SI-SDR"): {"a": 9.0, "b": -np.inf}}
    rows = [_row(plan, whole), dataclasses.replace(_row(plan, silent), row="again")]
    table = study_tables(plan, rows, made.root)[-1]
    assert [cells[2] for cells in table.rows] == ["1.50", "9.00 (1)"]
    assert "in parentheses the number of songs, where other rows have scores of more" in table.foot
    assert "in parentheses" not in study_tables(plan, rows[:1], made.root)[-1].foot


def test_a_table_says_which_metrics_no_row_has(study_file: StudyFile, made: StudyOutcome) -> None:
    plan = plan_study(
        study_file(('title = "SI-SDR of', 'metrics = ["SI-SDX"]\ntitle = "SI-SDR of'))
    )
    (table,) = study_tables(plan, [_row(plan, {("bass", "SI-SDR"): {"a": 5.0}})], made.root)
    assert "no row has scores of SI-SDX" in table.foot
    assert "-" in table.rows[0]
