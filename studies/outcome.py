"""What a study found: the score of every song by every training of a row."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.metrics.registry import Metric
from stemsmith.manifests.shards import MANIFEST
from stemsmith.share.compare.seeds import joined_songs, mean_over_seeds
from stemsmith.share.compare.systems import ScoredSystem, system_of_results
from stemsmith.studies.plan import PlannedCell, PlannedTest, StudyPlan

__all__ = ["MEAN", "CellScore", "ScoredRow", "read_scores"]

MEAN: Final = "mean"  # over the targets
# What separation took: seconds for each song, and in relation to its length.
SECONDS: Final = "seconds a song"
COST: Final = "cost"


@dataclass(frozen=True)
class CellScore:
    """What a table says in one cell.

    Attributes
    ----------
    value : float
        Mean over trainings of the statistic of their songs.
    spread : float or None
        Standard deviation over trainings of that statistic; None of one training.
    n_songs : int
        Number of songs that have a score by every training.
    n_seeds : int
        Number of trainings.
    """

    value: float
    spread: float | None
    n_songs: int
    n_seeds: int


@dataclass(frozen=True)
class ScoredRow:
    """A row and its scores in one test.

    Attributes
    ----------
    row : str
        Name of the row.
    test : PlannedTest
        The songs that it was tested on.
    trainings : tuple of ScoredSystem
        The row's systems, one for each training; those of folds are one.
    results : tuple of tuple of Path
        By training, the folders of its scores: one, or one for each fold.
    """

    row: str
    test: PlannedTest
    trainings: tuple[ScoredSystem, ...]
    results: tuple[tuple[Path, ...], ...] = ()

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics that all its systems have."""
        first = self.trainings[0]
        return {name: taken.metric for name, taken in first.metrics.items()}

    def score(self, target: str, metric: str, statistic: str = "mean") -> CellScore | None:
        """Return what a table says of a target, or of the mean over all targets.

        Parameters
        ----------
        target : str
            Name of a target, or ``mean``: the mean over targets of their scores.
        metric : str
            Name of the metric; of all targets there is also what separation took, `SECONDS` for
            each song or `COST` in relation to its length.
        statistic : str
            What stands for all songs: one of `stemsmith.studies.study.STATISTICS`.

        Returns
        -------
        CellScore or None
            None if there is no score.
        """
        if target != MEAN:
            of_target = self._found(target, metric, statistic)
            return None if of_target is None else _over_trainings(*of_target)
        if metric in (SECONDS, COST):
            taken = _of_songs(
                [_times(folders, is_relative=metric == COST) for folders in self.results], statistic
            )
            return None if taken is None else _over_trainings(*taken)
        names = self.trainings[0].targets
        found = [one for name in names if (one := self._found(name, metric, statistic)) is not None]
        if not found or len(found) < len(names):
            return None
        means = np.mean([values for values, _ in found], axis=0)
        return _over_trainings(means.tolist(), min(n_songs for _, n_songs in found))

    def _found(
        self, target: str, metric: str, statistic: str
    ) -> tuple[Sequence[float], int] | None:
        """Return the statistic of a target by training, and of how many songs it is."""
        key = target, metric
        found = _of_songs([training.values.get(key, {}) for training in self.trainings], statistic)
        if found is None or statistic != "windows":
            return found
        pooled = [windows.get(key, [math.nan]) for windows in self._windows]
        return [float(np.median(windows)) for windows in pooled], found[1]

    @cached_property
    def _windows(self) -> list[dict[tuple[str, str], list[float]]]:
        """By training, the finite scores of all windows of all songs."""
        return [_finite_scores(folders) for folders in self.results]


def read_scores(plan: StudyPlan, root: Path, missing: Sequence[str] = ()) -> list[ScoredRow]:
    """Read the scores of a study.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.
    root : Path
        Folder of the study.
    missing : sequence of str
        Stages that could not be done; trainings that need one are left out.

    Raises
    ------
    InvalidCorpus
        If results are damaged.
    """
    tests = {test.name: test for test in plan.tests}
    rows = [_read_cell(cell, tests[cell.test], root, set(missing)) for cell in plan.cells]
    return [row for row in rows if row.trainings]


def _read_cell(cell: PlannedCell, test: PlannedTest, root: Path, missing: set[str]) -> ScoredRow:
    done = [stages for stages in cell.results if missing.isdisjoint(stages)]
    # Folds none of whose songs are in the test have no scores.
    folders = tuple(
        tuple(root / stage for stage in stages if (root / stage / MANIFEST).exists())
        for stages in done
    )
    folders = tuple(folds for folds in folders if folds)
    trainings = [_of_folds([system_of_results(Results(f)) for f in folds]) for folds in folders]
    return ScoredRow(cell.row, test, tuple(trainings), folders)


def _times(folders: Sequence[Path], *, is_relative: bool) -> dict[str, float]:
    return {
        time.song: time.separation_s / (time.duration_s if is_relative else 1.0)
        for folder in folders
        for time in Results(folder).times
    }


def _finite_scores(folders: Sequence[Path]) -> dict[tuple[str, str], list[float]]:
    scores: dict[tuple[str, str], list[float]] = {}
    for folder in folders:
        for score in Results(folder).score_records():
            if math.isfinite(score.value):
                scores.setdefault((score.target, score.metric), []).append(score.value)
    return scores


def _of_folds(systems: Sequence[ScoredSystem]) -> ScoredSystem:
    """Return one system of folds: with all their songs, or with the mean where all have the same.

    Brunner et al. 2019, section V-C, "train 10 models and then average the results".
    """
    if len(systems) == 1:
        return systems[0]
    n_songs = sum(len(system.parts) for system in systems)
    if n_songs == len({song for system in systems for song in system.parts}):
        return joined_songs(systems[0].name, systems)
    return dataclasses.replace(mean_over_seeds(systems), seeds=())


def _of_songs(
    trainings: Sequence[Mapping[str, float]], statistic: str
) -> tuple[Sequence[float], int] | None:
    """Return the average by training of the songs that all of them have, and their number."""
    known = [
        {song for song, value in by_song.items() if math.isfinite(value)} for by_song in trainings
    ]
    songs = sorted(set.intersection(*known)) if known else []
    if not songs:
        return None
    over_songs = np.mean if statistic == "mean" else np.median
    values = [float(over_songs([by_song[song] for song in songs])) for by_song in trainings]
    return values, len(songs)


def _over_trainings(values: Sequence[float], n_songs: int) -> CellScore:
    """Return value and spread of a statistic that each training has."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return CellScore(float(np.mean(values)), spread, n_songs, len(values))
