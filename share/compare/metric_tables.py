"""Tables of numbers: what systems have of the same songs, and what they differ by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import numpy as np
from stemsmith.evaluate.benchmark.report import summarise_songs
from stemsmith.evaluate.metrics.registry import Metric
from stemsmith.evaluate.metrics.summary import ScoreSummary
from stemsmith.manifests.errors import UsageError
from stemsmith.share.compare.clusters import Average, summarise_clusters
from stemsmith.share.compare.power import (
    VisibleDifference,
    training_deviation,
    visible_difference,
)
from stemsmith.share.compare.statistics import (
    PairedDifference,
    holm,
    paired_difference,
    paired_values,
)
from stemsmith.share.compare.systems import ScoredSystem, SongKind

__all__ = ["Design", "MetricTable", "Pairs", "TargetColumn", "metric_table"]


class Pairs(StrEnum):
    """Which systems are subtracted from each other."""

    FIRST = "first"  # the first system from every other one
    ALL = "all"


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """What a table says of one target.

    Attributes
    ----------
    target : str
        Name of the target.
    songs : tuple of str
        The songs that count: those of which every system of the column has a score.
    n_left_out : int
        Number of songs that all of them scored, but not all have a number of, since the target
        is silent there, or an estimate in every frame.
    values : mapping of str to tuple of float
        By system, the value of each of the songs. A system without the target is not there.
    summaries : mapping of str to ScoreSummary
        By system, mean and median with their intervals.
    seeds : mapping of str to tuple of float
        By system that was trained several times, the average over these songs of each training.
    groups : tuple of str, or None
        The group of each of the songs, where they are in groups.
    """

    target: str
    songs: tuple[str, ...]
    n_left_out: int
    values: Mapping[str, tuple[float, ...]]
    summaries: Mapping[str, ScoreSummary]
    seeds: Mapping[str, tuple[float, ...]]
    groups: tuple[str, ...] | None

    @property
    def n_groups(self) -> int:
        """Number of groups of the songs; each song is one where they are in none."""
        return len(set(self.groups or self.songs))


@dataclass(frozen=True, slots=True)
class MetricTable:
    """The numbers of one metric on one kind of songs.

    Attributes
    ----------
    metric : Metric
        The metric, with its unit and its average.
    title : str
        What the numbers are, in one line.
    part : SongKind
        What songs they are of. Test songs and others are never in one table.
    columns : tuple of TargetColumn
        One for each target that has a song.
    differences : tuple of PairedDifference
        Paired differences of systems, by target and then by pair.
    visible : tuple of VisibleDifference
        What the design can see of each target; empty without a null arm.
    """

    metric: Metric
    title: str
    part: SongKind
    columns: tuple[TargetColumn, ...]
    differences: tuple[PairedDifference, ...]
    visible: tuple[VisibleDifference, ...] = ()


class Design(NamedTuple):
    """What is asked of systems; `stemsmith.share.compare.comparison.compare_systems` says more.

    Attributes
    ----------
    pairs : Pairs
        Which systems are subtracted from each other.
    is_tested : bool
        Whether differences are tested.
    groups : mapping of str to str, or None
        The group of each song, where songs of a group are alike.
    primary : (str, str, str), or None
        System, baseline and target of the one comparison that was declared beforehand.
    null : (str, str), or None
        Two systems that differ by their seeds alone.
    aim : float
        Difference that the design should see.
    """

    pairs: Pairs
    is_tested: bool
    groups: Mapping[str, str] | None
    primary: tuple[str, str, str] | None
    null: tuple[str, str] | None
    aim: float

    def pairs_of(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return the pairs of systems that are compared: one, and what is subtracted from it.

        Parameters
        ----------
        names : sequence of str
            Names of the systems, in their order.
        """
        if self.pairs is Pairs.ALL:
            found = [(later, earlier) for earlier, later in combinations(names, 2)]
        else:
            found = [(name, names[0]) for name in names[1:]]
        if self.primary is None or self.primary[:2] in found:
            return found
        system, baseline, _ = self.primary
        return [(system, baseline), *(pair for pair in found if pair != (baseline, system))]


def metric_table(
    systems: Sequence[ScoredSystem],
    metric: str,
    part: SongKind,
    targets: Sequence[str],
    design: Design,
) -> MetricTable | None:
    """Return the table of one metric; None if no target has a song that counts.

    Parameters
    ----------
    systems : sequence of ScoredSystem
        The systems with the songs of `part` alone.
    metric : str
        Name of a metric that all of them have.
    part : SongKind
        What songs these are.
    targets : sequence of str
        Names of the targets that are wanted.
    design : Design
        What is asked.

    Raises
    ------
    UsageError
        If the group of a song is not known.
    """
    taken, folds = systems[0].metrics[metric], systems[0].folds
    average = taken.metric.average
    found = (_column(systems, target, metric, average, design.groups) for target in targets)
    columns = tuple(column for column in found if column is not None)
    if not columns:
        return None
    n_folds = len(set(folds.values())) if folds else 0
    title = taken.metric.title_of(taken.taken, n_folds)
    title += "" if part is SongKind.UNKNOWN else f"; {part}"
    differences = tuple(_differences(systems, columns, average, design))
    visible = _visible(columns, differences, design) if average == "mean" else ()
    return MetricTable(taken.metric, title, part, columns, differences, tuple(visible))


def _column(
    systems: Sequence[ScoredSystem],
    target: str,
    metric: str,
    average: Average,
    groups: Mapping[str, str] | None,
) -> TargetColumn | None:
    having = [system for system in systems if (target, metric) in system.values]
    has_own = not all(system.is_published for system in systems)
    if len(having) < min(2, len(systems)):
        return None
    if has_own and all(system.is_published for system in having):
        return None  # nobody asked how published systems differ from each other
    scored = [system.values[target, metric] for system in having]
    common = sorted(set.intersection(*(set(by_song) for by_song in scored)))
    songs = [song for song in common if not any(math.isnan(by_song[song]) for by_song in scored)]
    if not songs:
        return None
    of_songs = None if groups is None else tuple(_group_of(groups, song) for song in songs)
    values = {
        system.name: tuple(by_song[song] for song in songs)
        for system, by_song in zip(having, scored, strict=True)
    }
    folds = having[0].folds
    return TargetColumn(
        target,
        tuple(songs),
        len(common) - len(songs),
        values,
        {
            name: summarise_songs(dict(zip(songs, own, strict=True)), folds)
            if of_songs is None
            else summarise_clusters(own, of_songs)
            for name, own in values.items()
        },
        {
            system.name: tuple(
                _averaged([seed[target, metric][song] for song in songs], average)
                for seed in system.seeds
            )
            for system in having
            if system.seeds
        },
        of_songs,
    )


def _group_of(groups: Mapping[str, str], song: str) -> str:
    if not groups.get(song):
        raise UsageError(f"--groups: names no artist of {song}, which has scores; add a line")
    return groups[song]


def _averaged(values: Sequence[float], average: Average) -> float:
    with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
        return float(np.median(values) if average == "median" else np.mean(values))


def _differences(
    systems: Sequence[ScoredSystem],
    columns: Iterable[TargetColumn],
    average: Average,
    design: Design,
) -> list[PairedDifference]:
    pairs = design.pairs_of([system.name for system in systems])
    found = []
    for column in columns:
        for system, baseline in pairs:
            if baseline in column.values and system in column.values:
                values = paired_values(column.values[system], column.values[baseline])
                row = paired_difference(
                    (system, baseline, column.target),
                    dict(zip(column.songs, values.tolist(), strict=True)),
                    average,
                    systems[0].folds,
                    groups=design.groups,
                    is_tested=design.is_tested,
                )
                found.append(
                    dataclasses.replace(
                        row,
                        is_primary=(system, baseline, column.target) == design.primary,
                        training_se=_training_error(column, system, baseline),
                    )
                )
    corrected = iter(holm([row.p for row in found if row.p is not None and not row.is_primary]))
    return [
        row if row.p is None or row.is_primary else dataclasses.replace(row, p_holm=next(corrected))
        for row in found
    ]


def _training_error(column: TargetColumn, *names: str) -> float | None:
    """Return the standard error of a difference by training; None if it cannot be known."""
    seeds = [column.seeds.get(name, ()) for name in names]
    error = math.sqrt(sum(training_deviation(own) ** 2 / max(1, len(own)) for own in seeds))
    return None if math.isnan(error) else error


def _visible(
    columns: Iterable[TargetColumn], differences: Sequence[PairedDifference], design: Design
) -> Iterator[VisibleDifference]:
    if design.null is None:
        return
    for column in columns:
        found = visible_difference(
            column.target,
            design.null,
            column.values,
            column.seeds,
            column.groups or column.songs,
            [
                (row.system, row.baseline)
                for row in differences
                if row.target == column.target and {row.system, row.baseline} != set(design.null)
            ],
            design.aim,
        )
        if found is not None:
            yield found
