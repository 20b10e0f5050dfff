"""Several trainings of one system, and scores that lie in several folders, as one system each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from stemsmith.evaluate.benchmark.results import SongValues
from stemsmith.manifests.errors import UsageError
from stemsmith.share.compare.matching import check_alike, common_metrics, parts_of
from stemsmith.share.compare.systems import ScoredSystem, listed

__all__ = ["joined_songs", "mean_over_seeds", "pool_seeds"]


def pool_seeds(systems: Iterable[ScoredSystem]) -> list[ScoredSystem]:
    """Return one system for each name, in the order of the names.

    Parameters
    ----------
    systems : iterable of ScoredSystem
        Those of one name are the same system: trained with several seeds where they were scored on
        one data set, and joined where they were scored on several.

    Raises
    ------
    UsageError
        As `mean_over_seeds` and `joined_songs`.
    """
    named: dict[str, dict[str, list[ScoredSystem]]] = {}
    for system in systems:
        named.setdefault(system.name, {}).setdefault(system.dataset, []).append(system)
    found = []
    for name, of_datasets in named.items():
        pooled = [mean_over_seeds(seeds) for seeds in of_datasets.values()]
        found.append(pooled[0] if len(pooled) == 1 else joined_songs(name, pooled))
    return found


def mean_over_seeds(seeds: Sequence[ScoredSystem]) -> ScoredSystem:
    """Return the mean over seeds of each song: the song is what is counted, and not the training.

    Parameters
    ----------
    seeds : sequence of ScoredSystem
        One system with its scores by each seed, at least one. The name is the first one's.

    Returns
    -------
    ScoredSystem
        With the songs and scores that all seeds have, and each seed's own in
        `ScoredSystem.seeds`. A song that a seed lacks counts as rejected.

    Raises
    ------
    UsageError
        If they are of other taxonomies or folds, or metrics were taken in other ways.
    """
    first = seeds[0]
    if len(seeds) == 1:
        return first
    check_alike(seeds)
    if twice := {one.source for one in seeds if sum(one.source == s.source for s in seeds) > 1}:
        raise UsageError(f"{min(twice)}: given twice as seeds of {first.name}")
    names, _ = common_metrics(seeds, ())
    songs = set.intersection(*(set(seed.parts) for seed in seeds))
    values: SongValues = {
        key: {song: _mean(seed.values[key][song] for seed in seeds) for song in of_all}
        for key in first.values
        if key[1] in names and (of_all := _songs_of_all(key, seeds, songs))
    }
    lacking = {
        song: f"not scored with {listed([s.source for s in seeds if song not in s.parts])}"
        for seed in seeds
        for song in seed.parts
        if song not in songs
    }
    rejected = {song: why for seed in seeds for song, why in seed.rejected.items()}
    return dataclasses.replace(
        first,
        source=listed([seed.source for seed in seeds]),
        metrics={name: first.metrics[name] for name in names},
        parts={song: part for song, part in parts_of(seeds).items() if song in songs},
        values=values,
        rejected={**lacking, **rejected},
        seeds=tuple(seed.values for seed in seeds),
    )


def joined_songs(name: str, systems: Sequence[ScoredSystem]) -> ScoredSystem:
    """Return one system of the scores of different songs: of several data sets, or of folds.

    Parameters
    ----------
    name : str
        What tables call it.
    systems : sequence of ScoredSystem
        At least one; no song is scored by two of them. Folds that they were scored in are
        forgotten, and seeds are matched by their order, as many in each.

    Raises
    ------
    UsageError
        If a song is in two of them, they are of other taxonomies, have no metric in common, or
        were trained with other numbers of seeds.
    """
    systems = [dataclasses.replace(system, folds=None) for system in systems]
    check_alike(systems)
    names, _ = common_metrics(systems, ())
    first, parts = systems[0], dict(systems[0].parts)
    for system in systems[1:]:
        if both := sorted(parts.keys() & system.parts.keys()):
            raise UsageError(f"{system.source}: {both[0]} is scored in {first.source} already")
        if len(system.seeds) != len(first.seeds):
            raise UsageError(f"{system.source}: not as many seeds as {first.source}")
        parts |= system.parts
    return dataclasses.replace(
        first,
        name=name,
        source=listed([system.source for system in systems]),
        dataset=" + ".join(dict.fromkeys(system.dataset for system in systems)),
        metrics={metric: first.metrics[metric] for metric in names},
        parts=parts,
        values=_united([system.values for system in systems], names),
        rejected={
            song: why
            for system in systems
            for song, why in system.rejected.items()
            if song not in parts
        },
        seeds=tuple(
            _united(of_seed, names)
            for of_seed in zip(*(system.seeds for system in systems), strict=True)
        ),
    )


def _songs_of_all(
    key: tuple[str, str], seeds: Sequence[ScoredSystem], songs: set[str]
) -> list[str]:
    scored = [set(seed.values.get(key, {})) for seed in seeds]
    return sorted(set.intersection(songs, *scored))


def _mean(values: Iterable[float]) -> float:
    with np.errstate(invalid="ignore"):  # of infinities of both signs there is none
        return float(np.mean(list(values)))


def _united(
    values: Iterable[Mapping[tuple[str, str], Mapping[str, float]]], metrics: Sequence[str]
) -> SongValues:
    found: SongValues = {}
    for of_system in values:
        for key, by_song in of_system.items():
            if key[1] in metrics:
                found.setdefault(key, {}).update(by_song)
    return found
