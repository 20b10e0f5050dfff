"""Which songs, metrics and targets systems have in common, and what is left out of comparisons."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.share.compare.systems import ScoredSystem, SongKind, listed

__all__ = [
    "LeftOutSongs",
    "check_alike",
    "common_metrics",
    "distinct",
    "known_targets",
    "left_out",
    "no_common_song",
    "of_songs",
    "other_datasets",
    "parts_of",
]

_MAX_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class LeftOutSongs:
    """Songs that are in no table, since a system has no scores of them.

    Attributes
    ----------
    part : SongKind
        What songs they are.
    reason : str
        Which system lacks them, and why.
    songs : tuple of str
        Names of the songs, in alphabetical order.
    """

    part: SongKind
    reason: str
    songs: tuple[str, ...]


def check_alike(systems: Sequence[ScoredSystem]) -> None:
    """Check that targets mean the same, and that songs are in the same folds."""
    first = systems[0]
    for other in systems[1:]:
        if None not in (first.taxonomy, other.taxonomy) and first.taxonomy != other.taxonomy:
            raise UsageError(
                f"{other.source}: of the taxonomy {other.taxonomy}, {first.source} of "
                f"{first.taxonomy}: their targets are not the same; evaluate with one --taxonomy"
            )
        common = first.parts.keys() & other.parts.keys()
        folds, others = first.folds or {}, other.folds or {}
        if any(folds.get(song) != others.get(song) for song in common):
            raise UsageError(
                f"{other.source}: songs in other folds than in {first.source}; evaluate both with "
                "the same --folds, on the same songs"
            )


def distinct(systems: Sequence[ScoredSystem]) -> list[ScoredSystem]:
    """Return the systems with names that tell them apart, by their sources where need be."""
    counts = Counter(system.name for system in systems)
    return [
        system
        if counts[system.name] == 1
        else dataclasses.replace(system, name=f"{system.name} ({system.source})")
        for system in systems
    ]


def common_metrics(
    systems: Sequence[ScoredSystem], wanted: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the metrics that all systems have, taken alike, and notes of the others."""
    notes, common = list[str](), list[str]()
    every = dict.fromkeys(name for system in systems for name in system.metrics)
    for name in every:
        lacking = [system.name for system in systems if name not in system.metrics]
        hows = {s.metrics[name].how: s for s in systems if name in s.metrics}
        if lacking:
            notes.append(f"{name} is left out: {listed(lacking)} without it")
        elif len(hows) > 1:
            one, other, *_ = hows.values()
            taken = [f"{_taken(s, name)} in {s.name}" for s in (one, other)]
            notes.append(f"{name} is left out: {' and '.join(taken)}")
        else:
            common.append(name)
    of_slug = {slug(name): name for name in common}  # `evaluate --metric` has them in lower case
    for name in wanted:
        if slug(name) not in of_slug:
            why = next((f"; {note}" for note in notes if note.startswith(f"{name} is")), "")
            raise UsageError(
                f"--metric {name}: not common to all; there are {', '.join(common) or 'none'}{why}"
            )
    if not common:
        raise UsageError(f"the systems have no metric in common: {'; '.join(notes)}")
    # Whoever names metrics knows of the others.
    chosen = list(dict.fromkeys(of_slug[slug(name)] for name in wanted))
    return (chosen, []) if wanted else (common, notes)


def _taken(system: ScoredSystem, name: str) -> str:
    taken = system.metrics[name]
    return taken.taken or taken.how


def known_targets(systems: Sequence[ScoredSystem], wanted: Sequence[str]) -> list[str]:
    """Return the targets of two systems or more, or those of them that are wanted."""
    counts = Counter(target for system in systems for target in system.targets)
    least = min(2, len(systems))
    known = [target for target, n in counts.items() if n >= least]
    for target in wanted:
        if target not in known:
            raise UsageError(
                f"--target {target}: not common to two systems; there are {', '.join(known)}"
            )
    if not known:
        raise UsageError(
            "the systems have no target in common: "
            + "; ".join(f"{s.name} has {', '.join(s.targets)}" for s in systems[:_MAX_NAMED])
        )
    return list(dict.fromkeys(wanted)) if wanted else known


def parts_of(systems: Sequence[ScoredSystem]) -> dict[str, SongKind]:
    """Return what each song is: what one system may have been trained on is no test of any."""
    found: dict[str, set[SongKind]] = {}
    for system in systems:
        for song, part in system.parts.items():
            found.setdefault(song, set()).add(part)
    order = (SongKind.TRAINING, SongKind.TEST, SongKind.UNKNOWN)
    return {song: next(p for p in order if p in parts) for song, parts in found.items()}


def of_songs(system: ScoredSystem, songs: Collection[str]) -> ScoredSystem:
    """Return a system with the scores of some songs alone."""
    values, *seeds = (
        {
            key: kept
            for key, by_song in every.items()
            if (kept := {song: value for song, value in by_song.items() if song in songs})
        }
        for every in (system.values, *system.seeds)
    )
    parts = {song: part for song, part in system.parts.items() if song in songs}
    return dataclasses.replace(system, values=values, parts=parts, seeds=tuple(seeds))


def left_out(
    systems: Sequence[ScoredSystem], part_of: Mapping[str, SongKind]
) -> tuple[LeftOutSongs, ...]:
    """Return the songs that not all systems have scores of, by the reason."""
    every = dict.fromkeys(song for system in systems for song in (*system.parts, *system.rejected))
    songs: dict[tuple[SongKind, str], list[str]] = {}
    for song in every:
        lacking = [system for system in systems if song not in system.parts]
        # Of songs that results lack, nobody asks which published systems have them.
        lacking = [system for system in lacking if not system.is_published] or lacking
        if lacking:
            reasons = [f"{s.rejected[song]} in {s.name}" for s in lacking if song in s.rejected]
            if absent := [s.name for s in lacking if song not in s.rejected]:
                reasons.append(f"not scored in {listed(absent)}")
            key = part_of.get(song, SongKind.UNKNOWN), "; ".join(reasons)
            songs.setdefault(key, []).append(song)
    return tuple(LeftOutSongs(*key, tuple(sorted(found))) for key, found in songs.items())


def other_datasets(systems: Sequence[ScoredSystem]) -> list[str]:
    """Return a note where songs of other data sets may have the same names."""
    names = list(dict.fromkeys(s.dataset for s in systems if not s.is_published))
    if len(names) < 2:
        return []
    return [f"songs are matched by name, and are those of {listed(names)}"]


def no_common_song(systems: Sequence[ScoredSystem]) -> str:
    """Return what to say of systems that have no song in common."""
    described = listed([_counted(system) for system in systems])
    return f"the systems have no song in common with scores: {described}"


def _counted(system: ScoredSystem) -> str:
    counts = Counter(system.parts.values())
    texts = [part.counted(counts[part]) for part in SongKind if counts[part]]
    example = next(iter(system.parts), "none")
    return f"{system.name} has {' and '.join(texts) or 'no songs'} ({example}, ...)"
