"""The smallest difference that a design can see, and what would make it smaller.

A null arm is a pair of systems that differ by nothing but their seeds. Its difference says how far
apart systems come by chance, and from that what a true difference must be for the test to find it
in 80 % of all cases at 5 %, two-sided: (t(0.975) + t(0.8)) standard errors, with n - 1 degrees of
freedom for n groups of songs (Bloom 1995, Evaluation Review 19(5), "minimum detectable effects").

The standard error of the mean over songs of the difference of two systems of S trainings each is
modelled as the root of ``E + 2 V / S``:

* V, by training: the variance of a training's mean over these songs, from the seeds of all systems
  and, with one degree of freedom more, from the difference of the null arm, which is all there is
  where nothing was trained twice;
* E, by songs: systems that do differ do so in some groups of songs more than in others. It is the
  squared standard error over groups (`cluster_standard_error`) of the other differences of the
  table (their median), less that of the null arm, which has no such part; 0 without any.

More seeds make the former small and never the latter, which takes more groups of songs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.special
from stemsmith.evaluate.metrics.summary import Interval
from stemsmith.share.compare.clusters import (
    LEAST_GROUPS,
    cluster_interval,
    cluster_standard_error,
    least_p,
)
from stemsmith.share.compare.statistics import paired_values

__all__ = ["VisibleDifference", "training_deviation", "visible_difference"]

_LEVEL: Final = 0.05
_POWER: Final = 0.8


@dataclass(frozen=True, slots=True)
class VisibleDifference:
    """What a design can see of one target; numbers are in the unit of the metric.

    Attributes
    ----------
    target : str
        Name of the target.
    system, baseline : str
        The null arm: its difference is that of `system` minus `baseline`.
    n_songs, n_groups : int
        Numbers of songs, and of groups of them.
    n_seeds : int
        Number of trainings of the system that has the fewest.
    null_difference : float
        Mean over songs of the difference of the null arm.
    null_interval : (float, float)
        Limits of its 95 % interval, by a bootstrap over groups.
    group_sd : float
        Standard deviation over groups of the null arm's difference, its mean in each group.
    training_sd : float
        Standard deviation of the mean over these songs, from one training to the next.
    training_df : int
        Degrees of freedom that `training_sd` comes from.
    effect_se : float
        Standard error by which real differences vary more over groups than that of the null arm.
    visible_as_trained : float
        Smallest difference that the test over groups sees beside that of the null arm, if these
        trainings are all that is asked about. NaN if that cannot be said.
    visible : float
        The smallest one that would be found again with other trainings.
    visible_at_best : float
        The same, with as many seeds as one likes.
    aim : float
        What the design should see.
    n_seeds_needed : int or None
        Trainings of each system that this would take; None if no number of them is enough.
    """

    target: str
    system: str
    baseline: str
    n_songs: int
    n_groups: int
    n_seeds: int
    null_difference: float
    null_interval: Interval
    group_sd: float
    training_sd: float
    training_df: int
    effect_se: float
    visible_as_trained: float
    visible: float
    visible_at_best: float
    aim: float
    n_seeds_needed: int | None


def visible_difference(
    target: str,
    null: tuple[str, str],
    values: Mapping[str, Sequence[float]],
    seeds: Mapping[str, Sequence[float]],
    groups: Sequence[str],
    pairs: Sequence[tuple[str, str]] = (),
    aim: float = 0.5,
) -> VisibleDifference | None:
    """Return what a design can see of one target.

    Parameters
    ----------
    target : str
        Name of the target.
    null : (str, str)
        Names of the two systems that differ by their seeds alone: one, and what is subtracted.
    values : mapping of str to sequence of float
        By system, the score of each song (the mean over seeds).
    seeds : mapping of str to sequence of float
        By system, the mean over these songs of each training. Those with one may be left out.
    groups : sequence of str
        The group of each song.
    pairs : sequence of (str, str)
        Systems whose differences are to be seen: one, and what is subtracted.
    aim : float
        Difference that the design should see, in the unit of the scores; above 0.

    Returns
    -------
    VisibleDifference or None
        None if the null arm has infinite differences, or none of this target.
    """
    if not all(name in values for name in null):
        return None
    difference = paired_values(values[null[0]], values[null[1]])
    if not np.isfinite(difference).all():
        return None
    numbers = {name: max(1, len(seeds.get(name, ()))) for name in values}
    mean, n_groups = float(difference.mean()), len(set(groups))
    share = sum(1 / numbers[name] for name in null)
    variance, df = _training_variance(seeds, mean * mean / share)
    song_variance = cluster_standard_error(difference, groups) ** 2
    effect = _effect_variance(values, numbers, groups, pairs, song_variance / share)
    n_seeds = min(numbers.values())
    factor = _factor(n_groups)
    wanted = (aim / factor) ** 2 - effect
    needed = math.ceil(2 * variance / wanted - 1e-9) if wanted > 0 else None
    return VisibleDifference(
        target=target,
        system=null[0],
        baseline=null[1],
        n_songs=len(groups),
        n_groups=n_groups,
        n_seeds=n_seeds,
        null_difference=mean,
        null_interval=cluster_interval(difference, groups, "mean"),
        group_sd=_group_deviation(difference.tolist(), groups),
        training_sd=math.sqrt(variance),
        training_df=df,
        effect_se=math.sqrt(effect),
        visible_as_trained=factor * math.sqrt(song_variance),
        visible=factor * math.sqrt(effect + 2 * variance / n_seeds),
        visible_at_best=factor * math.sqrt(effect),
        aim=aim,
        n_seeds_needed=None if needed is None else max(1, needed),
    )


def training_deviation(seeds: Sequence[float]) -> float:
    """Return the standard deviation of an average over songs from one training to the next.

    Parameters
    ----------
    seeds : sequence of float
        The average of each training; NaN is returned for one alone, and for infinite ones.
    """
    known = np.asarray(seeds, np.float64)
    return float(known.std(ddof=1)) if len(known) > 1 and np.isfinite(known).all() else math.nan


def _training_variance(seeds: Mapping[str, Sequence[float]], of_null: float) -> tuple[float, int]:
    """Return the pooled variance of trainings, and its degrees of freedom."""
    squares, df = of_null, 1
    for known in seeds.values():
        deviation = training_deviation(known)
        if not math.isnan(deviation):
            squares += (len(known) - 1) * deviation**2
            df += len(known) - 1
    return squares / df, df


def _effect_variance(
    values: Mapping[str, Sequence[float]],
    numbers: Mapping[str, int],
    groups: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    of_one_training: float,
) -> float:
    """Return the squared error over groups that real differences have and null ones lack."""
    found = []
    for one, other in pairs:
        difference = paired_values(values[one], values[other])
        if np.isfinite(difference).all():
            share = 1 / numbers[one] + 1 / numbers[other]
            error = cluster_standard_error(difference, groups)
            found.append(error**2 - share * of_one_training)
    return max(0.0, float(np.median(found))) if found else 0.0


def _group_deviation(differences: Sequence[float], groups: Sequence[str]) -> float:
    members: dict[str, list[float]] = {}
    for group, difference in zip(groups, differences, strict=True):
        members.setdefault(group, []).append(difference)
    means = [float(np.mean(of_group)) for of_group in members.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else math.nan


def _factor(n_groups: int) -> float:
    """Return the standard errors that a difference must have; NaN where no p is below 5 %."""
    if n_groups < LEAST_GROUPS or least_p(n_groups) > _LEVEL:
        return math.nan
    return float(
        scipy.special.stdtrit(n_groups - 1, 1 - _LEVEL / 2)
        + scipy.special.stdtrit(n_groups - 1, _POWER)
    )
