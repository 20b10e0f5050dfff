"""What the scores of many songs say together, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.seeds import rng_for

__all__ = ["Interval", "ScoreSummary", "bootstrap_interval", "summarise"]

Interval = tuple[float, float]

_N_RESAMPLES: Final = 10_000
_DRAWN_AT_ONCE: Final = 1_000_000


@dataclass(frozen=True)
class ScoreSummary:
    """What the scores of many songs say together.

    Attributes
    ----------
    n : int
        Number of scores that count.
    n_left_out : int
        Number of scores that are NaN, since the reference was silent.
    mean, median : float
        Mean and median of the scores that count; NaN if there are none.
    mean_interval, median_interval : (float, float)
        Limits of the 95 % bootstrap intervals; NaN with fewer than two scores.
    """

    n: int
    n_left_out: int
    mean: float
    mean_interval: Interval
    median: float
    median_interval: Interval


def summarise(values: Sequence[float] | Float64s, seed: int = 0) -> ScoreSummary:
    """Summarise scores, leaving out and counting those that are NaN.

    Parameters
    ----------
    values : sequence of float
        One score for each song.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    ScoreSummary
        Mean, median and their 95 % intervals.
    """
    scores = np.asarray(values, np.float64)
    counted = scores[~np.isnan(scores)]
    n_left_out = len(scores) - len(counted)
    if not len(counted):
        return ScoreSummary(0, n_left_out, math.nan, (math.nan,) * 2, math.nan, (math.nan,) * 2)
    with np.errstate(invalid="ignore"):  # the mean of inf and -inf
        return ScoreSummary(
            len(counted),
            n_left_out,
            float(counted.mean()),
            bootstrap_interval(counted, np.mean, seed),
            float(np.median(counted)),
            bootstrap_interval(counted, np.median, seed),
        )


def bootstrap_interval(
    values: Sequence[float] | Float64s,
    statistic: Callable[..., Any],
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a confidence interval by the percentile bootstrap (Efron 1979) with 10,000 draws.

    Parameters
    ----------
    values : sequence of float
        At least one score; all are independent of each other: of songs, not of frames.
    statistic : callable
        Reduces an (n_draws, n) array along ``axis=1``, as `numpy.mean` does.
    seed : int
        The same seed and values give the same interval.
    level : float
        Share of the draws that lie between the limits, between 0 and 1.

    Returns
    -------
    (float, float)
        Lower and upper limit; NaN of one score, which says nothing about others.
    """
    scores = np.asarray(values, np.float64)
    if len(scores) < 2:
        return math.nan, math.nan
    rng = rng_for(seed, "bootstrap")
    n_at_once = max(1, _DRAWN_AT_ONCE // len(scores))
    drawn = []
    for first in range(0, _N_RESAMPLES, n_at_once):
        n_draws = min(n_at_once, _N_RESAMPLES - first)
        chosen = rng.integers(len(scores), size=(n_draws, len(scores)))
        drawn.append(statistic(scores[chosen], axis=1))
    # A drawn statistic, not one between two: scores may be infinite.
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(drawn), tails, method="inverted_cdf")
    return float(low), float(high)
