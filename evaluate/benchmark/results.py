"""Opening a folder of results: whatever reads one does it by `Results`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any, Final

import numpy as np
from stemsmith.manifests import documents, shards
from stemsmith.manifests.documents import Every, Nullable, Optional
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.folder_kinds import FolderKind, own_kind, refusal
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.shards import Table

__all__ = [
    "FITS",
    "REJECTED_BY",
    "REJECTIONS",
    "SCORES",
    "STAGE",
    "STATE_FOLDER",
    "SUMMARY",
    "TABLE",
    "TIMES",
    "EstimateFit",
    "Results",
    "SeparationTime",
    "SongScore",
    "SongValues",
    "song_values",
]

# The one value of each song that counts, by target and metric.
SongValues = dict[tuple[str, str], dict[str, float]]

STAGE: Final = "evaluation"  # as manifests name it
REJECTED_BY: Final = "evaluate"  # the stage that rejections of songs name
STATE_FOLDER: Final = ".evaluate"  # of what is not finished
SCORES: Final = "scores.parquet"
REJECTIONS: Final = "rejections.parquet"
FITS: Final = "fits.parquet"
TIMES: Final = "times.parquet"  # in no manifest: no two evaluations take the same time
SUMMARY: Final = "summary.json"
TABLE: Final = "summary.md"
_SHAPE: Final = {  # of what readers ask of the manifest
    "system": Optional(str),
    "dataset": Optional(str),
    "n_songs": Optional(int),
    "rejections": Optional(Every(dict, int)),
}
_SUMMARY_SHAPE: Final = {
    "system": str,
    "dataset": str,
    "taxonomy": object,
    "splits": object,
    "n_folds": Nullable(int),
    "metrics": dict,
    "songs": Every(list, str),
    "n_scored": int,
    "scores": Every(dict, Every(dict, dict)),
}


@dataclass(frozen=True, slots=True)
class SongScore:
    """One number: a row of ``scores.parquet``.

    Attributes
    ----------
    song : str
        Name of the song in its data set.
    target : str
        Target that was estimated.
    frame : int or None
        Number of the window, from 0; None for a score of the whole song.
    metric : str
        Name of the metric, such as ``SI-SDR`` or ``SDR``.
    value : float
        The score in the metric's unit. NaN where nothing can be said; infinite for perfect or
        silent estimates.
    """

    song: str
    target: str
    frame: int | None
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class EstimateFit:
    """A file that was made to fit its song: a row of ``fits.parquet``.

    Attributes
    ----------
    song : str
        Name of the song in its data set.
    target : str
        Target that the file is an estimate of.
    file : str
        Name of the file, in the folder of its song.
    n_added : int
        Samples that were added at its end as zeros, or cut from it where negative.
    is_copied : bool
        Whether its one channel was taken for all of the song's.
    """

    song: str
    target: str
    file: str
    n_added: int
    is_copied: bool


@dataclass(frozen=True, slots=True)
class SeparationTime:
    """How long the separation of a song took: a row of ``times.parquet``.

    Attributes
    ----------
    song : str
        Name of the song in its data set.
    duration_s : float
        Length of the song in seconds.
    separation_s : float
        Seconds from opening its files to the last of the written estimates.
    """

    song: str
    duration_s: float
    separation_s: float


def song_values(scores: Iterable[SongScore]) -> SongValues:
    """Return the one value of each song: its score, or the median of its finite frames.

    Parameters
    ----------
    scores : iterable of SongScore
        Scores of any metrics: of each song and target one of the whole song, or one a frame.

    Returns
    -------
    dict of (str, str) to dict of str to float
        By target and metric, the value of each song; NaN where no frame is finite.
    """
    grouped: dict[tuple[str, str], dict[str, list[SongScore]]] = {}
    for score in scores:
        songs = grouped.setdefault((score.target, score.metric), {})
        songs.setdefault(score.song, []).append(score)
    return {
        key: {song: _song_value(of_song) for song, of_song in songs.items()}
        for key, songs in grouped.items()
    }


def _song_value(scores: Sequence[SongScore]) -> float:
    """Return the one score of a song, or the median of those of its frames that are finite."""
    if scores[0].frame is None:
        return scores[0].value
    values = np.array([score.value for score in scores])
    counted = values[np.isfinite(values)]
    return float(np.median(counted)) if len(counted) else math.nan


class Results:
    """A finished folder of results.

    Opening one reads its manifest; everything else is read when it is asked for.

    Parameters
    ----------
    folder : path
        What `stemsmith evaluate` wrote.

    Attributes
    ----------
    root : Path
        Folder of the results.
    header : dict
        The content of ``manifest.json``.

    Raises
    ------
    InvalidCorpus
        If it is no finished folder of results, or one that this version cannot read.

    Examples
    --------
    >>> import stemsmith
    >>> results = stemsmith.Results("results")
    >>> results.system, results.scores.column_names
    ('oracle:irm', ['song', 'target', 'frame', 'metric', 'value'])
    >>> list(results.song_values["bass", "SI-SDR"])  # the songs that have a value
    ['Track00003']
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.root = place(folder)
        path = self.root / SUMMARY
        if not path.exists():
            missing = f"{path}: missing; not a finished folder of scores"
            is_damaged = own_kind(self.root) is FolderKind.RESULTS
            said = refusal(self.root, FolderKind.RESULTS, otherwise=missing)
            raise InvalidCorpus(missing if is_damaged else said)
        self.header: dict[str, Any] = shards.read_manifest(self.root, STAGE)
        shards.check_header(self.root, self.header, _SHAPE)

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        return f"Results({str(self.root)!r})"

    @property
    def system(self) -> str:
        """What tables call the system that was scored."""
        shards.check_header(self.root, self.header, {"system": str})
        return str(self.header["system"])

    @property
    def dataset(self) -> str:
        """The data set whose songs were scored, as it was given."""
        shards.check_header(self.root, self.header, {"dataset": str})
        return str(self.header["dataset"])

    @cached_property
    def scores(self) -> Table:
        """Every score as a table, with a column for each field of `SongScore`."""
        return shards.read_table([self.root / SCORES], SongScore)

    @cached_property
    def rejections(self) -> Table:
        """The songs and files that were left out, as a table with the fields of `Rejection`."""
        return shards.read_table([self.root / REJECTIONS], Rejection)

    @cached_property
    def fits(self) -> Table:
        """The files that were made to fit their songs, as a table with those of `EstimateFit`."""
        is_there = any(entry["file"] == FITS for entry in self.header["shards"])
        return shards.read_table([self.root / FITS] if is_there else [], EstimateFit)

    @cached_property
    def times(self) -> list[SeparationTime]:
        """How long each song took, by name; of systems that were separated here alone."""
        path = self.root / TIMES
        return shards.read_records(path, SeparationTime) if path.exists() else []

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What was asked for, and under ``scores`` the mean and median by target and metric.

        Raises
        ------
        InvalidCorpus
            If ``summary.json`` cannot be read.
        """
        path = self.root / SUMMARY
        try:
            content: Any = documents.read_json(path, InvalidCorpus)
        except FileNotFoundError as error:
            raise InvalidCorpus(f"{path}: missing; not a finished folder of scores") from error
        if problem := documents.misfit(content, _SUMMARY_SHAPE):
            raise InvalidCorpus(f"{path}: not a summary of scores: {problem}")
        return dict(content)

    @cached_property
    def song_values(self) -> SongValues:
        """By target and metric, the value of each song: its score, or the median of its frames."""
        return song_values(self.score_records())

    def score_records(self) -> list[SongScore]:
        """Return the scores as records."""
        return shards.read_records(self.root / SCORES, SongScore)

    def rejection_records(self) -> list[Rejection]:
        """Return the songs and files that were left out as records."""
        return shards.read_records(self.root / REJECTIONS, Rejection)

    def verify(self) -> Results:
        """Compare the Parquet files with the manifest; return the results.

        Raises
        ------
        InvalidCorpus
            Naming the first file that is missing or not as the manifest says.
        """
        shards.check_shards(self.root, self.header)
        return self
