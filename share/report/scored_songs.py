"""What was scored, found again: the songs of results, and the estimates of their systems.

Results know where their data set and their system were by the names that the command was given. A
path that is relative is tried from where one is, and then from the folders above the results, since
folders that belong together are moved together. What is no longer there is not guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.evaluate.benchmark.datasets import Dataset, DatasetSong, find_dataset
from stemsmith.evaluate.benchmark.oracle import Oracle, oracle_estimates
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.benchmark.song import Fit, SongAudio, Unscorable, read_estimate, read_song
from stemsmith.evaluate.benchmark.systems import (
    FOLD,
    EstimateFolder,
    Kind,
    System,
    parse_system,
    require_torch,
)
from stemsmith.evaluate.separation.options import Phase, SeparationConfig, Threshold
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.places import is_remote, place
from stemsmith.mixing.sources.find import CORPUS, divided_source

__all__ = ["Estimator", "estimator_of", "find_scored", "read_scored"]

Estimator = Callable[[DatasetSong, SongAudio, slice], Mapping[str, Float32s]]
"""Takes a song, its audio and a stretch of it; returns its estimates in that stretch by target."""

_N_ABOVE: Final = 3  # folders above the results from which relative paths are tried


def find_scored(results: Results) -> Dataset:
    """Return the data set that was scored.

    Raises
    ------
    UsageError
        If it is not where it was.
    InvalidCorpus
        If it is damaged.
    """
    config = _config(results)
    layout, path = _divided(results.dataset)
    found = _found(path, results)
    splits = [str(split) for split in config.get("splits") or ("test",)]
    return find_dataset(f"{layout}{found}", str(config.get("taxonomy")), splits)


def read_scored(song: DatasetSong, targets: tuple[str, ...]) -> SongAudio:
    """Return the audio of a song that was scored; see `read_song`.

    Raises
    ------
    InvalidCorpus
        If it cannot be read.
    """
    try:
        return read_song(song, targets)
    except Unscorable as error:
        raise InvalidCorpus(error.detail) from error


def estimator_of(results: Results) -> Estimator:
    """Return what gives the estimates of the system that was scored.

    Those of an oracle or of a trained run are made again, of the stretch alone; at its ends they
    differ a little from those that were scored.

    Raises
    ------
    UsageError
        If estimates or runs are not where they were, or what makes them is not installed.
    InvalidCorpus
        If a run is damaged.
    """
    config = _config(results)
    kind = config.get("kind")
    if kind == Kind.MIXTURE:
        return lambda song, audio, where: dict.fromkeys(audio.targets, audio.mixture[:, where])
    if kind == Kind.ORACLE:
        return _oracle(Oracle(str(config["oracle"])))
    if config.get("label"):
        raise UsageError(f"{results.root}: its label {config['label']!r} hides where estimates are")
    system = parse_system(results.system)
    folders = tuple(_placed(folder, results) for folder in system.folders)
    system = replace(system, folders=folders)
    maker = _Files(system, results) if kind == Kind.ESTIMATES else _Runs(system, results)
    return maker.estimates


def _oracle(oracle: Oracle) -> Estimator:
    def estimates(song: DatasetSong, audio: SongAudio, where: slice) -> Mapping[str, Float32s]:
        references, mixture = audio.references[:, :, where], audio.mixture[:, where]
        made = oracle_estimates(oracle, references, mixture, audio.sample_rate)
        return dict(zip(audio.targets, np.asarray(made, np.float32), strict=True))

    return estimates


class _Folded:
    """A system, of which every fold may have its own."""

    def __init__(self, system: System, results: Results) -> None:
        self._system = system
        self._folds: Mapping[str, int] = results.summary.get("folds") or {}
        config = _config(results)
        self._sums: Mapping[str, list[str]] = config.get("map") or {}
        self._targets: list[str] = list(config.get("targets") or ())
        self._config = config

    def _of_song(self, song: str) -> System:
        return self._system.of_fold(self._folds.get(song, 0))

    def _parts(self, target: str) -> list[str]:
        """Return the names whose estimates sum to that of a target."""
        return list(self._sums.get(target, [target]))


class _Files(_Folded):
    """Estimates in files."""

    def __init__(self, system: System, results: Results) -> None:
        super().__init__(system, results)
        self._songs = [str(song) for song in results.summary["songs"]]
        self._open: dict[Path, EstimateFolder] = {}
        if not system.is_folded:
            self._opened(system.folders[0])  # fails once, and not for every song

    def _opened(self, root: Path) -> EstimateFolder:
        if root not in self._open:
            pattern = str(self._config.get("pattern") or "")
            self._open[root] = EstimateFolder(root, pattern, self._songs)
        return self._open[root]

    def estimates(
        self, song: DatasetSong, audio: SongAudio, where: slice
    ) -> Mapping[str, Float32s]:
        folder = self._opened(self._of_song(song.name).folders[0])
        fits: list[Fit] | None = [] if self._config.get("lengths") == "fit" else None
        made = {}
        for target in self._targets:
            paths = []
            for part in self._parts(target):
                path = folder.find(song.name, part)
                if path is None:
                    raise InvalidCorpus(folder.missing(song.name, part))
                paths.append(str(path))
            try:
                whole = read_estimate(paths, audio, song.stems[0].path, fits)
            except Unscorable as error:
                raise InvalidCorpus(error.detail) from error
            made[target] = whole[:, where]
        return made


class _Runs(_Folded):
    """Trained runs, which separate once more."""

    def __init__(self, system: System, results: Results) -> None:
        super().__init__(system, results)
        require_torch()
        self._options = _separation(self._config.get("separation") or {})
        self._open: dict[tuple[Path, ...], Any] = {}

    def estimates(
        self, song: DatasetSong, audio: SongAudio, where: slice
    ) -> Mapping[str, Float32s]:
        from stemsmith.evaluate.separation.separator import Separator

        folders = self._of_song(song.name).folders
        if folders not in self._open:
            self._open = {folders: Separator.of_runs(folders, self._options)}
        made = self._open[folders].separate(audio.mixture[:, where], audio.sample_rate)
        known = {t: self._parts(t) for t in self._targets if made.keys() >= set(self._parts(t))}
        return {t: np.sum([made[part] for part in parts], axis=0) for t, parts in known.items()}


def _separation(content: Mapping[str, Any]) -> SeparationConfig:
    """Return the options that a manifest has."""
    n_iterations = content.get("griffin_lim_iterations") or None
    thresholds = {
        name: Threshold(*pair) for name, pair in (content.get("thresholds") or {}).items()
    }
    return SeparationConfig(
        overlap=content.get("overlap"),
        mask_exponent=content.get("mask_exponent"),
        thresholds=thresholds,
        phase=Phase.GRIFFIN_LIM if n_iterations else Phase.MIXTURE,
        n_iterations=n_iterations,
        is_with_residual=bool(content.get("is_with_residual")),
    )


def _config(results: Results) -> Mapping[str, Any]:
    config = results.header.get("config")
    return config if isinstance(config, dict) else {}


def _divided(dataset: str) -> tuple[str, Path]:
    """Return what stands before the path of a data set, with its colon, and the path."""
    layout, path = divided_source(dataset)
    return "" if layout == CORPUS else f"{layout}:", place(path)


def _found(path: Path, results: Results) -> Path:
    placed = _placed(path, results)
    if not placed.is_dir():
        raise UsageError(
            f"{results.dataset}: no folder here, and none by this path from {results.root}; "
            "make the page where the scores were made"
        )
    return placed


def _placed(path: Path, results: Results) -> Path:
    """Return where a path leads to, from here or from above the results; itself if to nothing."""
    known = place(str(path).replace(FOLD, "1"))
    if is_remote(known) or known.is_absolute() or known.exists():
        return path
    above = results.root.resolve().parents[:_N_ABOVE]
    return next((base / path for base in above if (base / known).exists()), path)
