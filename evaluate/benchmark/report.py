"""What the scores of many songs say, as numbers and as a table in the shape of the papers'.

SI-SDR is one number a song, and the papers print its mean over songs (Manilow et al. 2019, Tables 2
and 3). BSS Eval is many frames a song: the median over songs of the median over a song's frames
(SiSEC 2018, museval); frames that are NaN or infinite do not count. All means and medians have 95 %
intervals, as the error bars of Martel et al. 2017, figure 1; theirs are not explained, ours are a
bootstrap over songs.

With folds (Brunner et al. 2019, section V-C, after Li et al.: "train 10 models and then average the
results") each fold is summarised by itself; mean and median are the means of those of the folds,
and intervals a bootstrap over folds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from stemsmith.evaluate.benchmark.results import SongScore
from stemsmith.evaluate.metrics.registry import Metric, known_metric
from stemsmith.evaluate.metrics.summary import ScoreSummary, bootstrap_interval, summarise

__all__ = [
    "SongValues",
    "Summaries",
    "plain",
    "plain_value",
    "score_table",
    "song_values",
    "summarise_scores",
    "summarise_songs",
]

# The one value of each song that counts, by target and metric.
SongValues = dict[tuple[str, str], dict[str, float]]
Summaries = dict[str, dict[str, ScoreSummary]]


def summarise_scores(
    scores: Iterable[SongScore], targets: Sequence[str], folds: Mapping[str, int] | None = None
) -> Summaries:
    """Summarise the scores of all songs.

    Parameters
    ----------
    scores : iterable of SongScore
        Scores of any metrics: of each song and target one of the whole song, or one a frame.
    targets : sequence of str
        The targets in the order in which they are reported.
    folds : mapping of str to int, optional
        Number of each song's fold.

    Returns
    -------
    dict of str to dict of str to ScoreSummary
        The summaries by target and metric.
    """
    values = song_values(scores)
    return {
        target: {
            metric: summarise_songs(by_song, folds)
            for (of_target, metric), by_song in values.items()
            if of_target == target
        }
        for target in targets
    }


def song_values(scores: Iterable[SongScore]) -> SongValues:
    """Return the one value of each song: its score, or the median of its finite frames.

    Parameters
    ----------
    scores : iterable of SongScore
        Scores of any metrics: of each song and target one of the whole song, or one a frame.

    Returns
    -------
    dict of (str, str) to dict of str to float
        By target and metric, the value of each song; NaN where no frame is finite.
    """
    grouped: dict[tuple[str, str], dict[str, list[SongScore]]] = {}
    for score in scores:
        songs = grouped.setdefault((score.target, score.metric), {})
        songs.setdefault(score.song, []).append(score)
    return {
        key: {song: _song_value(of_song) for song, of_song in songs.items()}
        for key, songs in grouped.items()
    }


def _song_value(scores: Sequence[SongScore]) -> float:
    """Return the one score of a song, or the median of those of its frames that are finite."""
    if scores[0].frame is None:
        return scores[0].value
    values = np.array([score.value for score in scores])
    counted = values[np.isfinite(values)]
    return float(np.median(counted)) if len(counted) else math.nan


def summarise_songs(
    by_song: Mapping[str, float], folds: Mapping[str, int] | None = None
) -> ScoreSummary:
    """Summarise the values of songs; with folds each by itself, and then their averages.

    Parameters
    ----------
    by_song : mapping of str to float
        The value of each song; those that are NaN are counted and left out.
    folds : mapping of str to int, optional
        Number of each song's fold.

    Returns
    -------
    ScoreSummary
        Mean and median, of which intervals are a bootstrap over songs, or over folds.
    """
    with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
        return _summary_of_songs(by_song, folds)


def _summary_of_songs(
    by_song: Mapping[str, float], folds: Mapping[str, int] | None
) -> ScoreSummary:
    if folds is None:
        return summarise(list(by_song.values()))
    members: dict[int, list[float]] = {}
    for song, value in by_song.items():
        members.setdefault(folds[song], []).append(value)
    every = [summarise(members[fold]) for fold in sorted(members)]
    counted = [summary for summary in every if summary.n]
    n_left_out = sum(summary.n_left_out for summary in every)
    if not counted:
        return dataclasses.replace(every[0], n_left_out=n_left_out)
    means, medians = [s.mean for s in counted], [s.median for s in counted]
    return ScoreSummary(
        n=sum(summary.n for summary in counted),
        n_left_out=n_left_out,
        mean=float(np.mean(means)),
        mean_interval=bootstrap_interval(means, np.mean),
        median=float(np.mean(medians)),
        median_interval=bootstrap_interval(medians, np.mean),
    )


def plain(summaries: Summaries) -> dict[str, Any]:
    """Return summaries as strict JSON has them: NaN is null, and infinity a text."""
    return {
        target: {metric: plain_value(dataclasses.asdict(s)) for metric, s in by_metric.items()}
        for target, by_metric in summaries.items()
    }


def plain_value(value: Any) -> Any:
    """Return a value, or what dicts, lists and tuples hold, as strict JSON has it."""
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def score_table(summary: Mapping[str, Any]) -> str:
    """Return the scores of one system as Markdown: a table for each metric, a column a target.

    Brackets hold 95 % intervals, and parentheses the number of songs that count, where some are
    left out.

    Parameters
    ----------
    summary : mapping
        The `Results.summary` of the system.
    """
    settings = summary["metrics"]
    metrics = dict.fromkeys(name for by_metric in summary["scores"].values() for name in by_metric)
    return "\n".join(_table(summary, known_metric(name, settings)) for name in metrics)


def _table(summary: Mapping[str, Any], metric: Metric) -> str:
    scores, n_songs = summary["scores"], summary["n_scored"]
    cells = [_cell(of_target.get(metric.name), metric, n_songs) for of_target in scores.values()]
    rows = [
        ["system", "songs", *scores],
        ["---", *["--:"] * (1 + len(scores))],
        [summary["system"].replace("|", "\\|"), str(n_songs), *cells],
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    title = metric.title(summary["metrics"], summary["n_folds"])
    return "\n".join([f"**{title}**", "", *lines, ""])


def _cell(score: Mapping[str, Any] | None, metric: Metric, n_songs: int) -> str:
    """Return a value with its interval, and the number of songs where some are left out."""
    if score is None or score["n"] == 0:
        return "-"
    # null: a perfect and a silent estimate have no mean.
    numbers = (score[metric.average], *score[f"{metric.average}_interval"])
    middle, low, high = (math.nan if number is None else float(number) for number in numbers)
    value = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    return value if score["n"] == n_songs else f"{value} ({score['n']})"
