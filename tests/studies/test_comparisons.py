"""Comparisons that a study declares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from stemsmith.evaluate.metrics.registry import known_metric
from stemsmith.share.compare.systems import ScoredSystem, SongKind, TakenMetric
from stemsmith.studies.comparisons import RowComparison, compare_rows
from stemsmith.studies.outcome import ScoredRow
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.workflow import plan_study

StudyFile = Callable[..., Path]

_COMPARISON = """
[inputs.artists]
kind = "artists"

[rows.best]
like = "few"
title = "best"
train = ["many"]

[rows.worst]
like = "best"
title = "{title}"
options = { learning_rate = 1.0 }

[comparisons.all]
title = "all songs"
tests = ["real"]
base = "few"
rows = ["best", "worst"]
artists = "artists"
null = ["worst", "best"]
candidates = ["best", "worst"]
targets = ["bass"]
target = "bass"
"""
_KEY = ("bass", "SI-SDR")
_ARTISTS = {"a": "X", "b": "X", "c": "X", "d": "Y", "e": "Z", "f": "W"}


@pytest.fixture
def compared(
    study_file: StudyFile, tmp_path: Path
) -> Callable[..., tuple[list[RowComparison], list[str]]]:
    """Return a function that compares rows by the scores of their songs."""
    table = tmp_path / "artists.tsv"
    table.write_text("song\tartist\n" + "".join(f"{s}\t{a}\n" for s, a in _ARTISTS.items()))

    def compare(
        scores: Mapping[str, Mapping[str, float]], title: str = "worst"
    ) -> tuple[list[RowComparison], list[str]]:
        path = study_file(more=_COMPARISON.replace("{title}", title))
        plan = plan_study(path, "tiny", inputs={"artists": table})
        return compare_rows(plan, [_row(plan, name, own) for name, own in scores.items()])

    return compare


def _row(plan: StudyPlan, name: str, scores: Mapping[str, float]) -> ScoredRow:
    settings = {"si_sdr_rate": 16000, "bss": None}
    system = ScoredSystem(
        name=name,
        source="",
        dataset="",
        taxonomy="slakh",
        folds=None,
        is_published=False,
        metrics={"SI-SDR": TakenMetric(known_metric("SI-SDR", settings), "", "")},
        parts=dict.fromkeys(scores, SongKind.TEST),
        values={_KEY: dict(scores)},
        rejected={},
    )
    return ScoredRow(name, plan.tests[0], (system,))


def _scores(*values: float) -> dict[str, float]:
    return dict(zip(_ARTISTS, values, strict=True))


def test_the_best_is_chosen_on_one_artist_and_compared_on_all_others(
    compared: Callable[..., tuple[list[RowComparison], list[str]]],
) -> None:
    scores = {
        "few": _scores(0, 0, 0, 0, 0, 0),
        "best": _scores(1, 1, 1, 5, 6, 7),
        "worst": _scores(0, 0, 2, 50, 60, 70),
    }
    (exploratory, primary), failed = compared(scores)
    assert not failed
    assert exploratory.found.tables[0].visible[0].system == "worst"
    (difference,) = primary.found.tables[0].differences
    assert (difference.system, difference.n, difference.difference) == ("best", 3, 6.0)
    assert difference.is_primary
    assert "on the 3 songs of X, which are left out here" in primary.note


@pytest.mark.parametrize("gap", [math.nan, -math.inf, None])
def test_songs_without_a_number_do_not_choose(
    compared: Callable[..., tuple[list[RowComparison], list[str]]], gap: float | None
) -> None:
    scores = {
        "few": _scores(0, 0, 0, 0, 0, 0),
        "worst": _scores(0, 0, 9, 5, 6, 7),
        "best": _scores(1, 1, 0, 5, 6, 7),
    }
    if gap is None:
        del scores["best"]["c"]
    else:
        scores["best"]["c"] = gap
    (_, primary), failed = compared(scores)
    assert not failed
    assert primary.note.startswith("best had the highest mean of 2 candidates on the 2 songs of X")


def test_rows_of_one_title_are_told_apart_by_their_names(
    compared: Callable[..., tuple[list[RowComparison], list[str]]],
) -> None:
    scores = {name: _scores(0, 1, 2, 3, 4, 5) for name in ("few", "best", "worst")}
    (exploratory, primary), failed = compared(scores, title="best")
    assert not failed
    assert exploratory.found.systems[1:] == ("best (best)", "best (worst)")
    assert primary.found.systems[1] == "best (best)"
