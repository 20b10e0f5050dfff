"""Averages as Brunner et al. 2019 print them: over all windows, and over targets.

The paper takes the median over all windows of all songs (section V: windows in which a reference is
silent are left out), where museval takes it over songs of the median over a song's windows: long
songs count for more. "The means over all sources" (Table III, and "the average SDR across sources"
in section V-C) are of the numbers that are printed for the targets, after all else is averaged.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stemsmith.evaluate.benchmark.report import Summaries
from stemsmith.evaluate.benchmark.results import SongScore, song_values
from stemsmith.evaluate.metrics.summary import Interval, bootstrap_interval
from stemsmith.manifests.arrays import Float64s

__all__ = ["TargetMean", "WindowMedian", "mean_over_targets", "median_over_windows"]


@dataclass(frozen=True, slots=True)
class WindowMedian:
    """The median of a target's windows, of all songs together.

    Attributes
    ----------
    n : int
        Number of windows that count.
    n_left_out : int
        Number of windows that are NaN or infinite, since something is silent in them.
    median : float
        Their median; with folds the mean of the medians of the folds. NaN without any.
    """

    n: int
    n_left_out: int
    median: float


def median_over_windows(
    scores: Iterable[SongScore], targets: Sequence[str], folds: Mapping[str, int] | None = None
) -> dict[str, dict[str, WindowMedian]]:
    """Return the medians over all windows of all songs.

    Parameters
    ----------
    scores : iterable of SongScore
        Scores of any metrics; those of whole songs are passed over.
    targets : sequence of str
        The targets in the order in which they are reported.
    folds : mapping of str to int, optional
        Number of each song's fold.

    Returns
    -------
    dict of str to dict of str to WindowMedian
        By target and metric. Windows of a song depend on each other, so there is no interval.
    """
    values: dict[str, dict[str, dict[int, list[float]]]] = {target: {} for target in targets}
    for score in scores:
        if score.frame is not None and score.target in values:
            of_metric = values[score.target].setdefault(score.metric, {})
            of_metric.setdefault(folds[score.song] if folds else 0, []).append(score.value)
    return {
        target: {metric: _window_median(of_fold) for metric, of_fold in by_metric.items()}
        for target, by_metric in values.items()
    }


def _window_median(of_fold: Mapping[int, Sequence[float]]) -> WindowMedian:
    counted = [(np.array(v)[np.isfinite(v)]) for v in of_fold.values()]
    n = sum(map(len, counted))
    n_left_out = sum(map(len, of_fold.values())) - n
    medians = [float(np.median(windows)) for windows in counted if len(windows)]
    return WindowMedian(n, n_left_out, float(np.mean(medians)) if medians else math.nan)


@dataclass(frozen=True, slots=True)
class TargetMean:
    """The mean over targets of what is said of each of them.

    Attributes
    ----------
    mean, median : float
        Mean of the targets' means, and of their medians.
    mean_interval, median_interval : (float, float)
        Limits of their 95 % bootstrap intervals, over songs or over folds; a song is drawn with
        all of its targets.
    """

    mean: float
    mean_interval: Interval
    median: float
    median_interval: Interval


def mean_over_targets(
    scores: Iterable[SongScore], summaries: Summaries, folds: Mapping[str, int] | None = None
) -> dict[str, TargetMean]:
    """Return the means over targets, by metric.

    Parameters
    ----------
    scores : iterable of SongScore
        Scores of any metrics.
    summaries : dict of str to dict of str to ScoreSummary
        What `summarise_scores` made of them.
    folds : mapping of str to int, optional
        Number of each song's fold.

    Returns
    -------
    dict of str to TargetMean
        Of the metrics of which every target has a number; of none with a single target.
    """
    values, targets = song_values(scores), list(summaries)
    means: dict[str, TargetMean] = {}
    for metric in dict.fromkeys(name for by_metric in summaries.values() for name in by_metric):
        found = [summaries[target].get(metric) for target in targets]
        whole = [summary for summary in found if summary is not None and summary.n]
        if not len(whole) == len(targets) > 1:
            continue
        by_target = [values[target, metric] for target in targets]
        with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
            means[metric] = TargetMean(
                float(np.mean([summary.mean for summary in whole])),
                _interval(by_target, np.nanmean, folds),
                float(np.mean([summary.median for summary in whole])),
                _interval(by_target, np.nanmedian, folds),
            )
    return means


def _interval(
    by_target: Sequence[Mapping[str, float]],
    average: Callable[..., Any],
    folds: Mapping[str, int] | None,
) -> Interval:
    """Return the interval of the mean over targets of an average over songs."""
    songs = list(dict.fromkeys(song for by_song in by_target for song in by_song))
    rows = np.array([[by_song.get(song, math.nan) for by_song in by_target] for song in songs])
    over_units = average
    with warnings.catch_warnings():  # of songs, folds and draws without a target
        warnings.simplefilter("ignore", RuntimeWarning)
        if folds is not None:
            of_fold = np.array([folds[song] for song in songs])
            rows = np.array([average(rows[of_fold == fold], axis=0) for fold in np.unique(of_fold)])
            over_units = np.nanmean
        rows = rows[~np.isnan(rows).all(axis=1)]

        def drawn_mean(units: Float64s, axis: int) -> Any:
            return np.nanmean(over_units(rows[units.astype(int)], axis=axis), axis=-1)

        return bootstrap_interval(np.arange(len(rows), dtype=np.float64), drawn_mean)
