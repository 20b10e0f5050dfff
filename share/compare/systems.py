"""Systems with the scores of their songs, from stored results or from publications.

What may be compared depends on how a number was taken. `ScoredSystem.metrics` says of each metric
what it is, and in `TakenMetric.how` all that decides its numbers, so that only equals are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stemsmith.evaluate.benchmark.results import REJECTED_BY, Results, SongValues, song_values
from stemsmith.evaluate.metrics.registry import Metric, bss_metrics, known_metric
from stemsmith.share.compare.musdb18 import TEST_SONGS

__all__ = [
    "ScoredSystem",
    "SongKind",
    "TakenMetric",
    "listed",
    "system_of_results",
    "taken_metric",
]

_TEST: Final = "test"  # the split


class SongKind(StrEnum):
    """What songs a table is of: numbers of songs that systems were trained on are no test."""

    TEST = "test songs"
    TRAINING = "training songs"
    UNKNOWN = "songs"

    def counted(self, n: int) -> str:
        """Return a number of them in words, such as "1 test song"."""
        return f"{n} {self.removesuffix('s') if n == 1 else self}"


@dataclass(frozen=True, slots=True)
class TakenMetric:
    """A metric, and how its numbers were taken.

    Attributes
    ----------
    metric : Metric
        What is known of the metric.
    taken : str
        How it was taken, for the titles of tables; may be empty.
    how : str
        All that decides its numbers; two metrics are one where names and this are the same.
    """

    metric: Metric
    taken: str
    how: str


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSystem:
    """A system and the values of its songs.

    Attributes
    ----------
    name : str
        What tables call the system.
    source : str
        The folder or the file that has its scores.
    dataset : str
        The data set whose songs were scored, as it was given.
    taxonomy : str or None
        What grouped stems to targets; None of published scores.
    folds : mapping of str to int, or None
        Number of each song's fold, where there are folds.
    is_published : bool
        Whether somebody else published the scores.
    metrics : mapping of str to TakenMetric
        The metrics by name.
    parts : mapping of str to SongKind
        Every song, and whether it is a test song.
    values : dict of (str, str) to dict of str to float
        By target and metric, the value of each song.
    rejected : mapping of str to str
        Songs that could not be scored, and why.
    seeds : tuple of dict
        Where `values` are means over several trainings of the system: the values of each.
    """

    name: str
    source: str
    dataset: str
    taxonomy: str | None
    folds: Mapping[str, int] | None
    is_published: bool
    metrics: Mapping[str, TakenMetric]
    parts: Mapping[str, SongKind]
    values: SongValues
    rejected: Mapping[str, str]
    seeds: tuple[SongValues, ...] = ()

    @property
    def targets(self) -> list[str]:
        """The targets that have scores, in the order in which they were reported."""
        return list(dict.fromkeys(target for target, _ in self.values))


def taken_metric(name: str, settings: Mapping[str, Any]) -> TakenMetric:
    """Return what is known of a metric, and how it was taken.

    Parameters
    ----------
    name : str
        Its name in scores.
    settings : mapping
        What a summary says of its metrics.
    """
    metric = known_metric(name, settings)
    how: dict[str, Any] = dict(settings.get("more", {}).get(name, {}))
    bss = settings.get("bss")
    if bss and any(name == other.name for other in bss_metrics(settings)):
        how = {key: bss.get(key) for key in ("version", "window_s", "hop_s", "is_mono", "silence")}
    elif metric.is_mono:
        how["rate"] = settings["si_sdr_rate"]
    return TakenMetric(metric, metric.taken(settings), json.dumps(how, sort_keys=True))


def system_of_results(results: Results) -> ScoredSystem:
    """Return the system that a folder of results is of.

    Raises
    ------
    InvalidCorpus
        If the folder cannot be read.
    """
    summary, scores = results.summary, results.score_records()
    settings, scored = summary["metrics"], sorted({score.song for score in scores})
    names = dict.fromkeys(score.metric for score in scores)
    rejected = {
        row.id: str(row.reason) for row in results.rejection_records() if row.stage == REJECTED_BY
    }
    # Targets in the order of the taxonomy, and not in which some song has them.
    values = song_values(scores)
    order = {target: place for place, target in enumerate(summary["scores"])}
    ordered = sorted(values, key=lambda key: order.get(key[0], len(order)))
    return ScoredSystem(
        name=results.system,
        source=str(results.root),
        dataset=results.dataset,
        taxonomy=str(summary["taxonomy"]),
        folds=summary.get("folds"),
        is_published=False,
        metrics={name: taken_metric(name, settings) for name in names},
        parts=_parts(scored, summary["splits"]),
        values={key: values[key] for key in ordered},
        rejected=rejected,
    )


def _parts(songs: Iterable[str], splits: Iterable[str]) -> dict[str, SongKind]:
    """Return which songs are test songs; results do not say which song is of which split."""
    songs, known = list(songs), set(splits)
    if _TEST not in known:
        return dict.fromkeys(songs, SongKind.TRAINING)
    if known == {_TEST}:
        return dict.fromkeys(songs, SongKind.TEST)
    if TEST_SONGS.isdisjoint(songs):
        return dict.fromkeys(songs, SongKind.UNKNOWN)
    return {song: SongKind.TEST if song in TEST_SONGS else SongKind.TRAINING for song in songs}


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return some names for a line of text, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
