"""Paired differences between systems: intervals, a test, and what many tests at once mean.

The test is Wilcoxon's signed-rank test (Wilcoxon 1945), which Demšar (2006) recommends for two
systems on many data sets: it asks whether the differences of the same songs lie around zero, and
does not mind a few that are very large, or infinite. Zeros keep their ranks and are then left out
(Pratt 1959); ties share theirs. P values are exact: all signs of all ranks are counted, for ties,
too. Many tests at once are corrected by Holm's steps (Holm 1979), which need no independence.

Where songs are in groups, such as those of an artist, `stemsmith.share.compare.clusters` has the
test and the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.stats
from stemsmith.evaluate.metrics.summary import Interval, bootstrap_interval
from stemsmith.manifests.arrays import Float64s
from stemsmith.share.compare.clusters import Average, cluster_interval, sign_test

__all__ = ["PairedDifference", "holm", "paired_difference", "paired_values", "signed_rank_test"]

_MOST_EXACT: Final = 300  # differences; the sums of more are as good as normal


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better or worse a system is than another one on the same songs.

    Attributes
    ----------
    system, baseline : str
        Names of the systems: the differences are those of `system` minus `baseline`.
    target : str
        Name of the target.
    n : int
        Number of songs, or of folds, that differences were taken of.
    difference : float
        Mean or median of the differences in the unit of the metric, as the metric is averaged;
        NaN without any.
    interval : (float, float)
        Limits of its 95 % bootstrap interval.
    p : float or None
        Of the two-sided signed-rank test, for this comparison alone; None if it was not asked for.
    p_holm : float or None
        The same, corrected for all comparisons of its table; None of a primary one.
    n_groups : int or None
        Number of groups of songs that the interval and the test are of; None of songs or folds.
    is_primary : bool
        Whether this is the one comparison that was declared beforehand.
    training_se : float or None
        Standard error of the difference by training alone, from the seeds of both systems; None
        where either was trained once.
    """

    system: str
    baseline: str
    target: str
    n: int
    difference: float
    interval: Interval
    p: float | None = None
    p_holm: float | None = None
    n_groups: int | None = None
    is_primary: bool = False
    training_se: float | None = None


def paired_values(values: Sequence[float], baseline: Sequence[float]) -> Float64s:
    """Return the differences of two systems on the same songs.

    Two scores that are infinite alike differ by nothing; one of them, by infinity.

    Parameters
    ----------
    values, baseline : sequence of float
        Scores of the same songs in the same order, none of them NaN.

    Examples
    --------
    >>> paired_values([3.0, float("-inf"), 1.0], [1.0, float("-inf"), float("-inf")]).tolist()
    [2.0, 0.0, inf]
    """
    a, b = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    return np.subtract(a, b, out=np.zeros(len(a)), where=a != b)


def paired_difference(
    names: tuple[str, str, str],
    differences: Mapping[str, float],
    average: Average,
    folds: Mapping[str, int] | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    is_tested: bool = False,
) -> PairedDifference:
    """Summarise the differences of songs.

    Parameters
    ----------
    names : (str, str, str)
        Names of system, baseline and target.
    differences : mapping of str to float
        The difference of each song, of which none is NaN.
    average : {"mean", "median"}
        How the metric is averaged over songs.
    folds : mapping of str to int, optional
        Number of each song's fold. Songs of a fold share a model: each fold is averaged by
        itself, the mean of the folds is the difference, and interval and test are of folds.
    groups : mapping of str to str, optional
        The group of each song, in place of folds. The difference stays that of songs; interval
        and test are of groups, see `stemsmith.share.compare.clusters`.
    is_tested : bool
        Whether the test is done.

    Returns
    -------
    PairedDifference
        With `PairedDifference.p_holm` yet to be filled in, by `holm` over all of a table.
    """
    if groups is not None and differences:
        return _clustered_difference(names, differences, average, groups, is_tested)
    statistic: Callable[..., Any] = np.median if average == "median" else np.mean
    units = np.array(list(differences.values()), np.float64)
    with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
        if folds is not None:
            members: dict[int, list[float]] = {}
            for song, difference in differences.items():
                members.setdefault(folds[song], []).append(difference)
            units = np.array([float(statistic(members[fold])) for fold in sorted(members)])
            statistic = np.mean
        if not len(units):
            return PairedDifference(*names, 0, math.nan, (math.nan, math.nan))
        is_testable = len(units) > 1 and not np.isnan(units).any()
        p = signed_rank_test(units) if is_tested and is_testable else None
        return PairedDifference(
            *names, len(units), float(statistic(units)), bootstrap_interval(units, statistic), p
        )


def _clustered_difference(
    names: tuple[str, str, str],
    differences: Mapping[str, float],
    average: Average,
    groups: Mapping[str, str],
    is_tested: bool,
) -> PairedDifference:
    values = np.array(list(differences.values()), np.float64)
    of_songs = [groups[song] for song in differences]
    with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
        return PairedDifference(
            *names,
            len(values),
            float(np.median(values) if average == "median" else values.mean()),
            cluster_interval(values, of_songs, average),
            sign_test(values, of_songs, average) if is_tested else None,
            n_groups=len(set(of_songs)),
        )


def signed_rank_test(differences: Sequence[float] | Float64s) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test, with Pratt's zeros.

    Parameters
    ----------
    differences : sequence of float
        Differences of pairs, which may be infinite but not NaN.

    Returns
    -------
    float
        The probability that ranks with signs at random are as one-sided as these, or more so:
        exact for up to 300 differences, then by the normal distribution. 1 where nothing differs.

    Examples
    --------
    >>> signed_rank_test([0.3, 1.2, 0.8, 2.0, 0.1])  # all one way: 2 of the 32 ways to set signs
    0.0625
    """
    values = np.asarray(differences, np.float64)
    ranks = scipy.stats.rankdata(np.abs(values))[values != 0]
    is_positive = values[values != 0] > 0
    if not len(ranks):
        return 1.0
    doubled = np.rint(2 * ranks).astype(np.int64)  # shared ranks are halves
    total, positive = int(doubled.sum()), int(doubled[is_positive].sum())
    smaller = min(positive, total - positive)
    if len(values) > _MOST_EXACT:
        deviation = math.sqrt(float(np.square(doubled, dtype=np.float64).sum())) / 2
        return math.erfc((total / 2 - smaller) / deviation / math.sqrt(2))
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in doubled.tolist():  # each rank counts as positive in half of all cases
        chances[rank:] = (chances[rank:] + chances[: total + 1 - rank]) / 2
        chances[:rank] /= 2
    return min(1.0, 2 * float(chances[: smaller + 1].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979).

    Parameters
    ----------
    p_values : sequence of float
        The p value of each comparison.

    Returns
    -------
    list of float
        In the same order. Where those below 0.05 are taken for differences, one or more of them
        is wrong in 5 % of all cases at most.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[k]))
        corrected[k] = largest
    return corrected
