"""Songs in groups, such as those of an artist: intervals, a test and standard errors.

Songs of an artist are alike, and count less than as many songs of artists of their own. The
estimate stays the mean, or the median, over songs; what is drawn anew, or changes its sign, is an
artist with all the songs.

* Intervals: percentiles of a bootstrap that draws artists (the cluster bootstrap, section 3.8 of
  Davison & Hinkley 1997). Of few artists they are too narrow: 95 % ones of eight hold about 88 %
  (a test draws some), which is why differences are tested by signs.
* Test: if two systems are alike, the differences of an artist may as well have the other sign
  (Fisher 1935, section 21). All ways to set the signs of artists are counted, or 99,999 of them
  where there are more than 65,536: p is exact for any distribution that is symmetric about zero.
* Standard error: of the mean over songs, robust to what songs of an artist have in common (Liang &
  Zeger 1986), with the correction n / (n - 1) for n artists. Of artists with equally many songs it
  is the standard deviation of their means over the root of n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import numpy as np
from stemsmith.evaluate.metrics.summary import Interval, ScoreSummary
from stemsmith.manifests.arrays import Float64s, Int64s
from stemsmith.manifests.seeds import rng_for

__all__ = [
    "LEAST_GROUPS",
    "Average",
    "cluster_interval",
    "cluster_standard_error",
    "least_p",
    "sign_test",
    "summarise_clusters",
]

Average = Literal["mean", "median"]

LEAST_GROUPS: Final = 3  # of two there are two ways to set signs, and draws are of one or the other
_MOST_EXACT: Final = 16
_N_RESAMPLES: Final = 10_000
_N_SIGNS: Final = 99_999
_DRAWN_AT_ONCE: Final = 1_000_000
_SAME: Final = 1e-12  # of the scale of the scores: sums in another order


def cluster_interval(
    values: Sequence[float] | Float64s, groups: Sequence[str], average: Average, seed: int = 0
) -> Interval:
    """Return the 95 % interval of an average over songs, by a bootstrap over their groups.

    Parameters
    ----------
    values : sequence of float
        One score for each song, none of them NaN.
    groups : sequence of str
        The group of each song.
    average : {"mean", "median"}
        What is taken over songs.
    seed : int
        The same seed and values give the same interval.

    Returns
    -------
    (float, float)
        Lower and upper limit; NaN for fewer than three groups, of which nothing can be said.
    """
    scores, codes, n_groups = _coded(values, groups)
    if n_groups < LEAST_GROUPS:
        return math.nan, math.nan
    order = np.argsort(scores, kind="stable")
    scores, codes = scores[order], codes[order]
    rng = rng_for(seed, "bootstrap", "groups")
    drawn = []
    for n_draws in _portions(_N_RESAMPLES, len(scores)):
        chosen = rng.integers(n_groups, size=(n_draws, n_groups))
        counts = np.zeros((n_draws, n_groups))
        np.add.at(counts, (np.arange(n_draws)[:, None], chosen), 1)
        drawn.append(_weighted(scores, counts[:, codes], average))
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def sign_test(
    differences: Sequence[float] | Float64s,
    groups: Sequence[str],
    average: Average = "mean",
    seed: int = 0,
) -> float | None:
    """Return the two-sided p value of differences whose signs change by group.

    Parameters
    ----------
    differences : sequence of float
        The difference of each song, none of them NaN.
    groups : sequence of str
        The group of each song.
    average : {"mean", "median"}
        What is taken over songs.
    seed : int
        Of the ways to set signs that are drawn, where there are more than 65,536.

    Returns
    -------
    float or None
        The share of ways to set signs in which the average is as far from zero, or farther. None
        for fewer than three groups, and where infinite differences have no average.

    Examples
    --------
    >>> sign_test([0.3, 0.5, 1.2, 0.8, 2.0], ["a", "a", "b", "c", "d"])  # all one way: 2 of 16
    0.125
    """
    values, codes, n_groups = _coded(differences, groups)
    if n_groups < LEAST_GROUPS or (average == "mean" and not np.isfinite(values).all()):
        return None
    statistic: Callable[[Float64s], Float64s]
    if average == "mean":  # of which only the sum of each group matters
        values = np.asarray(np.bincount(codes, values, n_groups), np.float64)
        codes = np.arange(n_groups)
        statistic = _row_sums
    else:
        statistic = _row_medians
    finite = np.abs(values[np.isfinite(values)])
    slack = _SAME * float(finite.sum()) if len(finite) else 0.0
    least = abs(float(statistic(values[None])[0])) - slack
    if math.isnan(least):
        return None
    n_ways = n_extreme = 0
    for signs in _signs(n_groups, len(values), seed):
        n_ways += len(signs)
        n_extreme += int((~(np.abs(statistic(signs[:, codes] * values)) < least)).sum())
    if n_groups > _MOST_EXACT:  # the differences as they are were not among those drawn
        return (n_extreme + 1) / (n_ways + 1)
    return n_extreme / n_ways


def least_p(n_groups: int) -> float:
    """Return the smallest p value that `sign_test` can give for a number of groups.

    Examples
    --------
    >>> least_p(5)
    0.0625
    """
    return max(2.0 ** (1 - n_groups), 1 / (_N_SIGNS + 1) if n_groups > _MOST_EXACT else 0.0)


def cluster_standard_error(values: Sequence[float] | Float64s, groups: Sequence[str]) -> float:
    """Return the standard error of the mean over songs, see the module.

    Parameters
    ----------
    values : sequence of float
        One value for each song.
    groups : sequence of str
        The group of each song.

    Returns
    -------
    float
        In the unit of the values; NaN for fewer than two groups.

    Examples
    --------
    >>> round(cluster_standard_error([1.0, 3.0, 5.0], "abc"), 4)  # 2 over the root of 3
    1.1547
    """
    scores, codes, n_groups = _coded(values, groups)
    if n_groups < 2:
        return math.nan
    with np.errstate(invalid="ignore"):  # infinite scores have no deviation
        sums = np.bincount(codes, scores - scores.mean(), n_groups)
    return math.sqrt(n_groups / (n_groups - 1) * float(np.square(sums).sum())) / len(scores)


def summarise_clusters(values: Sequence[float] | Float64s, groups: Sequence[str]) -> ScoreSummary:
    """Summarise the scores of songs, with intervals by a bootstrap over their groups.

    Parameters
    ----------
    values : sequence of float
        One score for each song, none of them NaN.
    groups : sequence of str
        The group of each song.

    Returns
    -------
    ScoreSummary
        Mean and median over songs; its `n` is their number.
    """
    with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
        return ScoreSummary(
            n=len(values),
            n_left_out=0,
            mean=float(np.mean(values)),
            mean_interval=cluster_interval(values, groups, "mean"),
            median=float(np.median(values)),
            median_interval=cluster_interval(values, groups, "median"),
        )


def _coded(
    values: Sequence[float] | Float64s, groups: Sequence[str]
) -> tuple[Float64s, Int64s, int]:
    """Return values, the number of the group of each, and how many groups there are."""
    numbers = {name: number for number, name in enumerate(sorted(set(groups)))}
    codes = np.array([numbers[name] for name in groups], np.int64)
    return np.asarray(values, np.float64), codes, len(numbers)


def _portions(n_draws: int, n_values: int) -> Iterator[int]:
    n_at_once = max(1, _DRAWN_AT_ONCE // max(1, n_values))
    for first in range(0, n_draws, n_at_once):
        yield min(n_at_once, n_draws - first)


def _signs(n_groups: int, n_values: int, seed: int) -> Iterator[Float64s]:
    """Yield ways to set the signs of groups, (n_ways, n_groups).

    Where all are counted the first group keeps its sign: the other half is as far from zero.
    """
    if n_groups <= _MOST_EXACT:
        first = 0
        for n_ways in _portions(1 << (n_groups - 1), n_values):
            bits = np.arange(first, first + n_ways)[:, None] >> np.arange(n_groups - 1) & 1
            yield 1.0 - 2.0 * np.pad(bits, ((0, 0), (1, 0)))
            first += n_ways
        return
    rng = rng_for(seed, "signs")
    for n_ways in _portions(_N_SIGNS, n_values):
        yield rng.choice([-1.0, 1.0], size=(n_ways, n_groups))


def _weighted(ordered: Float64s, counts: Float64s, average: Average) -> Float64s:
    """Return the average of each row of counts, (n_draws, n), of values in ascending order."""
    totals = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        if average == "mean":
            return np.asarray(np.where(counts > 0, counts * ordered, 0.0).sum(axis=1) / totals)
        upto = np.cumsum(counts, axis=1)
        lower = (2 * upto >= totals[:, None]).argmax(axis=1)
        upper = (2 * upto > totals[:, None]).argmax(axis=1)
        return np.asarray((ordered[lower] + ordered[upper]) / 2)


def _row_sums(values: Float64s) -> Float64s:
    return np.asarray(values.sum(axis=1))


def _row_medians(values: Float64s) -> Float64s:
    with np.errstate(invalid="ignore"):  # between infinities of both signs, which is not extreme
        return np.asarray(np.median(values, axis=1))
