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
from typing import Any, Final

import numpy as np
from stemsmith.evaluate.benchmark.results import SongScore
from stemsmith.evaluate.metrics.registry import Metric, known_metric
from stemsmith.evaluate.metrics.summary import ScoreSummary, bootstrap_interval, summarise
from stemsmith.manifests.errors import UsageError

__all__ = ["check_comparable", "compare", "plain", "summarise_scores"]

# What must be the same for scores to stand in one table.
_SAME: Final = ("metrics", "taxonomy", "splits", "n_folds", "songs")

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
    values: dict[tuple[str, str], dict[str, list[SongScore]]] = {}
    for score in scores:
        songs = values.setdefault((score.target, score.metric), {})
        songs.setdefault(score.song, []).append(score)
    found: Summaries = {target: {} for target in targets}
    for target in targets:
        for (of_target, metric), songs in values.items():
            if of_target == target:
                by_song = {song: _song_value(of_song) for song, of_song in songs.items()}
                found[target][metric] = _summary(by_song, folds)
    return found


def _song_value(scores: Sequence[SongScore]) -> float:
    """Return the one score of a song, or the median of those of its frames that are finite."""
    if scores[0].frame is None:
        return scores[0].value
    values = np.array([score.value for score in scores])
    counted = values[np.isfinite(values)]
    return float(np.median(counted)) if len(counted) else math.nan


def _summary(by_song: Mapping[str, float], folds: Mapping[str, int] | None) -> ScoreSummary:
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
        target: {metric: _plain(dataclasses.asdict(s)) for metric, s in by_metric.items()}
        for target, by_metric in summaries.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def check_comparable(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Check that summaries, with scores or yet without, may stand in one table.

    One may have a metric that another one lacks, whose cells in that table are then empty.

    Raises
    ------
    UsageError
        If they are of other songs, other references or other metrics.
    """
    first = summaries[0]
    for other in summaries[1:]:
        differing = [name for name in _SAME if first[name] != other[name]]
        if "metrics" in differing and _agree(first["metrics"], other["metrics"]):
            differing.remove("metrics")
        if differing:
            raise UsageError(
                f"{other['system']} on {other['dataset']}: other {differing[0]} than "
                f"{first['system']} on {first['dataset']}; not for one table"
            )


def _agree(settings: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether all metrics that both have are the same."""
    more, others_more = settings.get("more", {}), others.get("more", {})
    return {**settings, "more": {}} == {**others, "more": {}} and all(
        more[name] == others_more[name] for name in more.keys() & others_more.keys()
    )


def compare(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Return Markdown tables of systems: a row for each, a column for each target.

    Brackets hold 95 % intervals, and parentheses the number of songs that count, where some are
    left out.

    Parameters
    ----------
    summaries : sequence of mapping
        The `Results.summary` of each system.

    Returns
    -------
    str
        A table for each metric.

    Raises
    ------
    UsageError
        If they cannot stand in one table, as `check_comparable` says.
    """
    check_comparable(summaries)
    targets = list(dict.fromkeys(t for summary in summaries for t in summary["scores"]))
    metrics = list(dict.fromkeys(m for s in summaries for by in s["scores"].values() for m in by))
    more = {name: by for s in summaries for name, by in s["metrics"].get("more", {}).items()}
    settings = {**summaries[0]["metrics"], "more": more}
    return "\n".join(
        _table(summaries, known_metric(name, settings), settings, targets) for name in metrics
    )


def _table(
    summaries: Sequence[Mapping[str, Any]],
    metric: Metric,
    settings: Mapping[str, Any],
    targets: Sequence[str],
) -> str:
    rows = [["system", "songs", *targets], ["---", *["--:"] * (1 + len(targets))]]
    for summary in summaries:
        found = [summary["scores"].get(target, {}).get(metric.name) for target in targets]
        cells = [_cell(score, metric, summary["n_scored"]) for score in found]
        rows.append([summary["system"].replace("|", "\\|"), str(summary["n_scored"]), *cells])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    title = metric.title(settings, summaries[0]["n_folds"])
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
