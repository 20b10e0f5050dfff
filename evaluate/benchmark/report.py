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
from stemsmith.evaluate.benchmark.results import SongScore, song_values
from stemsmith.evaluate.metrics.registry import Metric, known_metric
from stemsmith.evaluate.metrics.summary import ScoreSummary, bootstrap_interval, summarise

__all__ = [
    "Summaries",
    "plain",
    "plain_value",
    "score_table",
    "summarise_scores",
    "summarise_songs",
]

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


def plain(summaries: Mapping[str, Any]) -> dict[str, Any]:
    """Return summaries as strict JSON has them: NaN is null, and infinity a text."""
    return {key: plain_value(summary) for key, summary in summaries.items()}


def plain_value(value: Any) -> Any:
    """Return a value, or what dicts, lists and dataclasses hold, as strict JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def score_table(summary: Mapping[str, Any]) -> str:
    """Return the scores of one system as Markdown: a table for each metric, a column a target.

    Brackets hold 95 % intervals, which a single song has none of, and parentheses the number of
    songs that count, where some are left out. Where there are several targets, the last column is
    the mean over them; a second row has medians over all windows of all songs.

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
    mean = summary.get("mean_over_targets", {}).get(metric.name)
    means = [] if mean is None else [_interval_cell(mean, metric)]
    system = summary["system"].replace("|", "\\|")
    rows = [
        ["system", "songs", *scores, *["mean over targets"] * len(means)],
        ["---", *["--:"] * (1 + len(scores) + len(means))],
        [system, str(n_songs), *cells, *means],
    ]
    if metric.per == "frame" and "windows" in summary:
        medians = [_window_median(summary, target, metric) for target in scores]
        medians += [float(np.mean(medians))] * len(means)
        shown = ["-" if math.isnan(median) else f"{median:.2f}" for median in medians]
        rows.append([f"{system}, median over all windows", str(n_songs), *shown])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    title = metric.title(summary["metrics"], summary["n_folds"])
    return "\n".join([f"**{title}**", "", *lines, ""])


def _cell(score: Mapping[str, Any] | None, metric: Metric, n_songs: int) -> str:
    """Return a value with its interval, and the number of songs where some are left out."""
    if score is None or score["n"] == 0:
        return "-"
    if score["n"] == 1:
        return f"{_number(score[metric.average]):.2f} (n = 1)"
    value = _interval_cell(score, metric)
    return value if score["n"] == n_songs else f"{value} ({score['n']})"


def _interval_cell(score: Mapping[str, Any], metric: Metric) -> str:
    middle = _number(score[metric.average])
    low, high = map(_number, score[f"{metric.average}_interval"])
    if math.isnan(low) and not math.isnan(middle):  # of one song, or one fold
        return f"{middle:.2f}"
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _window_median(summary: Mapping[str, Any], target: str, metric: Metric) -> float:
    of_target = summary["windows"].get(target, {})
    return _number(of_target[metric.name]["median"]) if metric.name in of_target else math.nan


def _number(number: float | str | None) -> float:
    return math.nan if number is None else float(number)  # null: inf and -inf have no mean
