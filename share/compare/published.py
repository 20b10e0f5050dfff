"""Scores of songs that others have published, read as they publish them.

Three shapes are known:

* folders of museval's files, ``NAME/test/SONG.json``, as of the submissions to SiSEC 2018
  (sigsep/sigsep-mus-2018, ``submissions``): one folder, or a folder of such;
* tables in CSV with the columns ``method``, ``track``, ``target``, and either ``metric`` and
  ``score`` (what museval's data frames hold, a row a frame or a row a song) or one column for each
  of the four metrics;
* JSON of models with ``track_scores`` (``models-scores.json`` of
  nomadkaraoke/python-audio-separator, its commit 0a644dbb): museval's medians over frames.

All of them are BSS Eval v4 with museval's defaults, windows of 1 s. The names of the 50 test songs
of MUSDB18 say which rows are of test songs. Every other song counts as one that the systems may
have been trained on.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.evaluate.benchmark.results import SongValues
from stemsmith.evaluate.metrics.museval_json import METRICS, read_track
from stemsmith.manifests.documents import Every, misfit, read_json
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.paths import local_path
from stemsmith.share.compare.musdb18 import TEST_SONGS
from stemsmith.share.compare.systems import ScoredSystem, SongKind, listed, taken_metric

__all__ = ["read_published"]

_SETTINGS: Final = {
    "bss": {"version": "v4", "window_s": 1.0, "hop_s": 1.0, "is_mono": False, "silence": "all"}
}
_SPLIT_FOLDERS: Final = ("test", "train")
_SAME_TARGET: Final = {"instrumental": "accompaniment"}  # what people call it
_LARGEST_DB: Final = 200.0  # of a song; 32-bit samples reach 150 dB
_MODELS: Final = Every(dict, {"track_scores": Every(list, {"track_name": str, "scores": dict})})
_COLUMNS: Final = ("method", "track", "target")
_LARGEST_CSV: Final = 1 << 28  # bytes
_MAX_NAMED: Final = 5
_EXPECTED: Final = (
    "expected museval's NAME/test/SONG.json, a CSV with method, track, target, metric, score, "
    "or JSON of models with track_scores"
)


class _PublishedRow(NamedTuple):
    """A published number: of a song, or of a frame of it."""

    system: str
    song: str
    target: str
    metric: str
    value_db: float


def read_published(path: str | PathLike[str], methods: Sequence[str] = ()) -> list[ScoredSystem]:
    """Read the systems of published scores.

    Parameters
    ----------
    path : path
        A folder or a file of one of the shapes that the module describes.
    methods : sequence of str
        Names of the systems that are wanted; empty for all of them.

    Returns
    -------
    list of ScoredSystem
        The systems in the order of `methods`, or else of the file, with the medians over frames
        of their songs.

    Raises
    ------
    UsageError
        If there is no such file or system, it has another shape, or it holds pickled Python
        objects, which may run anything when they are read.
    InvalidCorpus
        If it cannot be read, or a number in it is none in dB.
    """
    place = local_path(path)
    if not place.exists():
        raise UsageError(f"{place}: no such file of published scores")
    if place.is_dir():
        rows = _museval_rows(place, methods)
    elif place.suffix.lower() == ".csv":
        rows = _csv_rows(place)
    elif place.suffix.lower() == ".json":
        rows = _model_rows(place)
    elif place.suffix.lower() in (".pandas", ".pkl", ".pickle"):
        raise UsageError(f"{place}: pickled Python, which is not read; save it as CSV (to_csv)")
    else:
        raise UsageError(f"{place}: no published scores: {_EXPECTED}")
    systems = {system.name: system for system in _systems(place, rows)}
    if not systems:
        raise InvalidCorpus(f"{place}: has no scores of {', '.join(METRICS)}")
    _check_methods(place, methods, systems)
    return [systems[name] for name in dict.fromkeys(methods or systems)]


def _check_methods(place: Path, methods: Sequence[str], known: Collection[str]) -> None:
    for name in methods:
        if name not in known:
            there = listed(list(known), _MAX_NAMED)
            raise UsageError(f"--method {name}: not in {place}; there are {there}")


def _systems(place: Path, rows: Iterable[_PublishedRow]) -> Iterator[ScoredSystem]:
    frames: dict[str, dict[tuple[str, str], dict[str, list[float]]]] = {}
    for row in rows:
        target = _SAME_TARGET.get(row.target, row.target)
        of_system = frames.setdefault(row.system, {})
        of_song = of_system.setdefault((target, row.metric), {})
        of_song.setdefault(normal_name(row.song), []).append(row.value_db)
    for system, values in frames.items():
        medians = {
            key: {song: _median(scores) for song, scores in by_song.items()}
            for key, by_song in values.items()
        }
        _check_unit(place, system, medians)
        songs = dict.fromkeys(song for by_song in values.values() for song in by_song)
        yield ScoredSystem(
            name=system,
            source=str(place),
            dataset="musdb18",
            taxonomy=None,
            folds=None,
            is_published=True,
            metrics={name: taken_metric(name, _SETTINGS) for _, name in values},
            parts={s: SongKind.TEST if s in TEST_SONGS else SongKind.TRAINING for s in songs},
            values=medians,
            rejected={},
        )


def _check_unit(place: Path, system: str, values: SongValues) -> None:
    """Refuse songs whose scores cannot be in dB; single frames may have any."""
    for (target, metric), by_song in values.items():
        for song, value in by_song.items():
            if abs(value) > _LARGEST_DB:
                raise InvalidCorpus(
                    f"{place}: {metric} of {system}, {song}, {target} is {value:g}: not in dB"
                )


def _median(values_db: list[float]) -> float:
    """Return the median of what is finite, as museval takes it; NaN if nothing is."""
    values = np.array(values_db)
    counted = values[np.isfinite(values)]
    return float(np.median(counted)) if len(counted) else math.nan


def _museval_rows(root: Path, methods: Sequence[str]) -> Iterator[_PublishedRow]:
    files: dict[str, list[Path]] = {}
    for file in sorted(root.rglob("*.json")):
        is_split = file.parent.name in _SPLIT_FOLDERS
        folder = file.parent.parent if is_split else file.parent
        files.setdefault(folder.resolve().name, []).append(file)
    if not files:
        raise UsageError(f"{root}: no published scores: {_EXPECTED}")
    _check_methods(root, methods, files)  # before files are read in vain
    wanted = [(system, file) for system in methods or files for file in files[system]]
    for system, file in wanted:
        for target, by_metric in read_track(file).items():
            for metric, frames in by_metric.items():
                for value in frames.tolist():
                    yield _PublishedRow(system, file.stem, target, metric, value)


def _model_rows(path: Path) -> Iterator[_PublishedRow]:
    content = read_json(path, InvalidCorpus)
    if problem := misfit(content, _MODELS):
        raise InvalidCorpus(f"{path}: no published scores: {problem}; {_EXPECTED}")
    for model, found in content.items():
        seen: dict[str, Any] = {}
        for track in found["track_scores"]:
            song, scores = track["track_name"], track["scores"]
            by_target = {name: by for name, by in scores.items() if isinstance(by, dict)}
            if song in seen:  # the file has some rows twice
                if seen[song] != by_target:
                    raise InvalidCorpus(f"{path}: {model} has two different scores of {song}")
                continue
            seen[song] = by_target
            for target, by_metric in by_target.items():
                for metric in METRICS:
                    if metric in by_metric:
                        where = f"{metric} of {model}, {song}, {target}"
                        value = _number(path, where, by_metric[metric])
                        yield _PublishedRow(model, song, target, metric, value)


def _csv_rows(path: Path) -> Iterator[_PublishedRow]:
    if path.stat().st_size > _LARGEST_CSV:
        raise InvalidCorpus(f"{path}: has more than {_LARGEST_CSV >> 20} MiB")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            yield from _rows_of_table(path, reader, reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidCorpus(f"{path}: not CSV in UTF-8: {error}") from error


def _rows_of_table(
    path: Path, rows: Iterable[Mapping[str, Any]], columns: Iterable[str]
) -> Iterator[_PublishedRow]:
    names = set(columns)
    is_long = {"metric", "score"} <= names
    if not names.issuperset(_COLUMNS) or not (is_long or names & set(METRICS)):
        raise InvalidCorpus(f"{path}: no published scores: {_EXPECTED}")
    for number, row in enumerate(rows, 2):
        where = f"line {number}"
        system, song, target = (row[name] for name in _COLUMNS)
        if not system or not song or not target:
            raise InvalidCorpus(f"{path}: {where}: no method, track or target")
        found = {row["metric"]: row["score"]} if is_long else row
        for metric in METRICS:
            if metric in found:
                value = _number(path, f"{where}: {metric}", found[metric])
                yield _PublishedRow(system, song, target, metric, value)


def _number(path: Path, where: str, value: Any) -> float:
    """Return a score; NaN where there is none."""
    if value is None or value == "":
        return math.nan
    try:
        if isinstance(value, bool | dict | list):
            raise ValueError(value)
        return float(value)
    except (ValueError, OverflowError):
        raise InvalidCorpus(f"{path}: {where} is {value!r}: not a number of dB") from None
