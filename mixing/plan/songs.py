"""Which songs a set of mixtures is made of, and in which split each of them is.

Sources say which split their songs are in. From that, `divided` makes the splits of a set: some
songs are left out for testing, splits are pooled, and some training songs become validation songs.
Songs are drawn by a hash of what they are, the notes of a score or the name in a data set: neither
the seed nor the order of sources nor songs that are added change what a song is drawn for.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.seeds import unit_hash
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.sources.catalogue import CatalogueStem
from stemsmith.mixing.sources.find import Source
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["chosen_stems", "divided", "limited", "without_other_songs"]

_STEPS_PER_HOUR: Final = 3600 * ENVELOPE_HZ


def _named(stems: Iterable[CatalogueStem], given: Sequence[str], flag: str) -> set[tuple[str, str]]:
    """Return the songs that a user named, by root and place there.

    What is the name of a song is no pattern.

    Raises
    ------
    UsageError
        If one of them is no song's, naming the option.
    """
    songs = {(stem.root, _place(stem)) for stem in stems}
    called: dict[str, set[tuple[str, str]]] = {}
    for song in songs:
        for name in _names_of(*song):
            called.setdefault(name, set()).add(song)
    found: set[tuple[str, str]] = set()
    for name in map(normal_name, given):
        matching = called.get(name) or {
            song for other, those in called.items() if fnmatchcase(other, name) for song in those
        }
        if not matching:
            known = min((_label(place) for _, place in songs), default="none")
            raise UsageError(f"{flag} {name}: no song of this name; there is {known}")
        found |= matching
    return found


def _names_of(root: str, place: str) -> tuple[str, ...]:
    """Return what a song may be called."""
    label = _label(place)
    return label, place, f"{root}:{label}", f"{root}:{place}"


def _label(place: str) -> str:
    return place.rpartition("/")[2]


def _place(stem: CatalogueStem) -> str:
    """Return the name of a stem's song within its source; corpora call songs by their label."""
    place = stem.song_id.removeprefix(f"{stem.root}:")
    return place if not stem.label or _label(place) == stem.label else stem.label


def without_other_songs(sources: Sequence[Source], songs: Sequence[str]) -> list[Source]:
    """Return the sources without the files of songs that are not wanted: nobody measures them.

    Parameters
    ----------
    sources : sequence of Source
        What `find_sources` returned. Corpora stay whole, for their songs are not known yet.
    songs : sequence of str
        Names and patterns; empty for all songs.
    """
    if not songs:
        return list(sources)
    names = [normal_name(name) for name in songs]

    def is_wanted(root: str, place: str) -> bool:
        called = _names_of(root, place)
        return any(name in called or any(fnmatchcase(c, name) for c in called) for name in names)

    found = []
    for source in sources:
        pairs = [
            (file, job)
            for file, job in zip(source.files, source.jobs, strict=True)
            if is_wanted(source.name, file.song_id)
        ]
        files, jobs = tuple(file for file, _ in pairs), tuple(job for _, job in pairs)
        found.append(dataclasses.replace(source, files=files, jobs=jobs))
    return found


def chosen_stems(stems: Sequence[CatalogueStem], songs: Sequence[str]) -> list[CatalogueStem]:
    """Return the stems of the songs that are wanted.

    Parameters
    ----------
    stems : sequence of CatalogueStem
        Stems of all sources.
    songs : sequence of str
        Names and patterns; empty for all songs.

    Raises
    ------
    UsageError
        If one of them is no song's.
    """
    if not songs:
        return list(stems)
    wanted = _named(stems, songs, "--songs")
    return [stem for stem in stems if (stem.root, _place(stem)) in wanted]


def divided(
    stems: Sequence[CatalogueStem], config: MixConfig, sources: Sequence[Source] = ()
) -> tuple[list[CatalogueStem], list[str]]:
    """Return the stems in the splits of a set of mixtures, and what a user should know of that.

    Parameters
    ----------
    stems : sequence of CatalogueStem
        Stems of all sources, in the splits of these.
    config : MixConfig
        Says which songs are wanted and which are left out, which splits are pooled, and how many
        songs are for validation.
    sources : sequence of Source
        Where the stems are. They say which splits a data set has, whose songs are not all wanted.

    Returns
    -------
    stems : list of CatalogueStem
        Without the songs that are in no split of the set.
    warnings : list of str
        Which songs these are.

    Raises
    ------
    UsageError
        If a name is no song's, or more songs are to be for validation than there are.
    NothingToDo
        If songs are left out and none is for training.
    """
    warnings: list[str] = []
    splits = {source.name: set(source.splits) for source in sources}
    for stem in stems:
        splits.setdefault(stem.root, set()).add(stem.split)
    stems = chosen_stems(stems, config.songs)
    pooled = [_in_split(s, "train") if s.split in config.pooled else s for s in stems]
    if config.left_out:
        pooled, warnings = _left_out(stems, pooled, splits, config)
    if config.validation_songs is not None:
        pooled = _with_validation(pooled, config.validation_songs)
    return pooled, warnings


def _in_split(stem: CatalogueStem, split: str) -> CatalogueStem:
    return stem if stem.split == split else dataclasses.replace(stem, split=split)


def _left_out(
    stems: Sequence[CatalogueStem],
    pooled: Sequence[CatalogueStem],
    splits: Mapping[str, Collection[str]],
    config: MixConfig,
) -> tuple[list[CatalogueStem], list[str]]:
    """Return the stems with the songs that are left out as ``test``, and without other test songs.

    A source whose songs, wanted or not, are all in one of the `splits` is not divided: where songs
    of it are left out, the others are for training. What else a source calls test songs stays out
    of training.
    """
    named = _named(stems, config.left_out, "--leave-out")
    is_out = [(stem.root, _place(stem)) in named for stem in stems]
    undivided = {
        stem.root
        for stem, out in zip(stems, is_out, strict=True)
        if out and len(splits[stem.root]) == 1
    }
    kept: list[CatalogueStem] = []
    unused: set[str] = set()
    for stem, out in zip(pooled, is_out, strict=True):
        if out:
            kept.append(_in_split(stem, "test"))
        elif stem.root in undivided:
            kept.append(_in_split(stem, "train"))
        elif stem.split == "test":
            unused.add(stem.song_id)
        else:
            kept.append(stem)
    hint = (
        f"{len(unused)} test songs are not left out, and not used; --train-on test trains on them"
    )
    is_with_training = any(stem.split == "train" for stem in kept)
    if unused and not is_with_training and config.splits in ((), ("train",)):
        raise NothingToDo(f"--leave-out: no other song is for training: {hint}")
    return kept, [hint] if unused else []


def _with_validation(stems: Sequence[CatalogueStem], wanted: float) -> list[CatalogueStem]:
    """Return the stems with some training songs as validation songs: those of the least hashes.

    Songs that share music are one. A share is a threshold of hashes, so that songs that are added
    change nothing for others; at least one song is for either.
    """
    music = _music_of([stem for stem in stems if stem.split == "train"])
    hashes = {key: unit_hash(0, "validation", key) for key in music.values()}
    ranked = sorted(hashes, key=lambda key: (hashes[key], key))
    n_wanted = round(wanted) if wanted >= 1 else sum(h < wanted for h in hashes.values())
    if wanted < 1:
        n_wanted = min(max(n_wanted, 1), len(ranked) - 1)
    if not 1 <= n_wanted < len(ranked):
        raise UsageError(
            f"--validation-songs {wanted:g}: there are {len(ranked)} different training songs, and "
            "one at least must stay"
        )
    drawn = set(ranked[:n_wanted])
    return [
        _in_split(stem, "validation")
        if stem.split == "train" and music[stem.song_id] in drawn
        else stem
        for stem in stems
    ]


def _music_of(stems: Iterable[CatalogueStem]) -> dict[str, str]:
    """Return by song what it is drawn by, which songs that share music have in common."""
    parent: dict[str, str] = {}

    def found(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    keys: dict[str, str] = {}
    for stem in stems:
        keys[stem.song_id] = stem.song_key or stem.song_id
        parent[found(f"song {stem.song_id}")] = found(f"music {stem.content_id}")
    least: dict[str, str] = {}
    for song_id, key in keys.items():
        root = found(f"song {song_id}")
        least[root] = min(key, least.get(root, key))
    return {song_id: least[found(f"song {song_id}")] for song_id in keys}


def limited(
    stems: Sequence[CatalogueStem], config: MixConfig, taxonomy: Taxonomy
) -> list[CatalogueStem]:
    """Return the stems, those for training no longer than so many hours of source material.

    Songs come in the order of a hash, so that more material holds what less does; of the last song
    the beginning is taken. In incoherent mixtures the hours are of each target, as Chiu et al. 2020
    (section V-A) take 16 minutes of each instrument; in others, whose sources belong together, they
    are of songs.

    Parameters
    ----------
    stems : sequence of CatalogueStem
        In the splits of the set of mixtures.
    config : MixConfig
        Says how many hours.
    taxonomy : Taxonomy
        Targets of the set of mixtures.

    Raises
    ------
    NothingToDo
        If no clip fits into so little.
    """
    if config.source_hours is None:
        return list(stems)
    training = [stem for stem in stems if stem.split == "train"]
    music = _music_of(training)
    order = {key: unit_hash(0, "material", key) for key in music.values()}
    training.sort(key=lambda s: (order[music[s.song_id]], s.song_id, s.stem_id))
    is_by_target = config.mode is Mode.INCOHERENT

    def unit_of(stem: CatalogueStem) -> tuple[str | None, str]:
        """Return what has a limit of its own, and what of it is cut together."""
        target = taxonomy.target_of(stem.classes)
        return (target, stem.stem_id) if is_by_target else (None, stem.song_id)

    lengths = _allotted(training, unit_of, config)
    kept = {stem.stem_id: lengths[unit_of(stem)] for stem in training}
    if training and not any(kept.values()):
        raise NothingToDo(
            f"--source-hours {config.source_hours:g}: shorter than a clip of {config.length_s:g} s"
        )
    return [
        stem if stem.split != "train" else _cut(stem, kept[stem.stem_id])
        for stem in stems
        if stem.split != "train" or kept[stem.stem_id]
    ]


def _allotted(
    stems: Iterable[CatalogueStem],
    unit_of: Callable[[CatalogueStem], tuple[str | None, str]],
    config: MixConfig,
) -> Mapping[tuple[str | None, str], int]:
    """Return how many 100 ms of every unit are taken, of stems in their order."""
    assert config.source_hours is not None
    wanted = round(config.source_hours * _STEPS_PER_HOUR)
    sizes: dict[tuple[str | None, str], int] = {}
    for stem in stems:
        unit = unit_of(stem)
        sizes[unit] = max(stem.n_steps, sizes.get(unit, 0))
    taken: Counter[str | None] = Counter()
    lengths = {}
    for (limit, name), size in sizes.items():
        length = min(size, wanted - taken[limit])
        if length < min(config.clip_steps, size):  # no clip fits into the rest
            length, taken[limit] = 0, wanted
        lengths[limit, name] = length
        taken[limit] += length
    return lengths


def _cut(stem: CatalogueStem, n_steps: int) -> CatalogueStem:
    """Return the beginning of a stem."""
    if stem.n_steps <= n_steps:
        return stem
    voices = None if stem.voices is None else stem.voices[:n_steps]
    return dataclasses.replace(
        stem, k_power=stem.k_power[:n_steps], power=stem.power[:n_steps], voices=voices
    )
