"""Which songs a set of mixtures is made of, and in which split each of them is.

Sources say which split their songs are in. From that, `divided` makes the splits of a set: some
songs are left out for testing, splits are pooled, and some training songs become validation songs.
Songs are drawn by a hash of what they are, the notes of a score or the name in a data set: neither
the seed nor the order of sources nor songs that are added change what a song is drawn for.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Int32s, Int64s
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.seeds import unit_hash
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.sources.find import Source
from stemsmith.mixing.sources.stems import CatalogueStem, SongFacts, StemTable
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["chosen_stems", "divided", "limited", "without_other_songs"]

_STEPS_PER_HOUR: Final = 3600 * ENVELOPE_HZ
_TRAIN, _VALIDATION, _TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))


def _named(stems: StemTable, given: Sequence[str], flag: str) -> Bools:
    """Tell which stems are of songs that a user named, (n_stems,).

    What is the name of a song is no pattern.

    Raises
    ------
    UsageError
        If one of them is no song's, naming the option.
    """
    names = [normal_name(name) for name in given]
    exact = _matching(stems, names, lambda called, name: name in called)
    rest = [name for name, songs in exact.items() if not songs]
    similar = _matching(stems, rest, lambda called, name: any(fnmatchcase(c, name) for c in called))
    found: set[int] = set()
    for name in names:
        songs = exact[name] or similar[name]
        if not songs:
            known = min((_label(place) for _, _, place in _songs_of(stems)), default="none")
            raise UsageError(f"{flag} {name}: no song of this name; there is {known}")
        found.update(songs)
    return np.isin(stems.facts_numbers, np.fromiter(found, np.int32, len(found)))


def _matching(
    stems: StemTable, names: Sequence[str], is_called: Callable[[tuple[str, ...], str], bool]
) -> dict[str, list[int]]:
    """Return the numbers of the songs that every name is of."""
    found: dict[str, list[int]] = {name: [] for name in names}
    for number, root, place in _songs_of(stems) if names else ():
        called = _names_of(root, place)
        for name in names:
            if is_called(called, name):
                found[name].append(number)
    return found


def _songs_of(stems: StemTable) -> Iterator[tuple[int, str, str]]:
    """Yield number, root and place of every song of some stems."""
    for number in np.unique(stems.facts_numbers).tolist():
        song = stems.facts(number)
        yield number, song.root, _place(song)


def _names_of(root: str, place: str) -> tuple[str, ...]:
    """Return what a song may be called."""
    label = _label(place)
    return label, place, f"{root}:{label}", f"{root}:{place}"


def _label(place: str) -> str:
    return place.rpartition("/")[2]


def _place(song: SongFacts) -> str:
    """Return the name of a song within its source; corpora call songs by their label."""
    place = song.song_id.removeprefix(f"{song.root}:")
    return place if not song.label or _label(place) == song.label else song.label


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


def chosen_stems(stems: Sequence[CatalogueStem], songs: Sequence[str]) -> StemTable:
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
    table = StemTable.of(stems)
    return table.take(_named(table, songs, "--songs")) if songs else table


def divided(
    stems: Sequence[CatalogueStem], config: MixConfig, sources: Sequence[Source] = ()
) -> tuple[StemTable, list[str]]:
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
    stems : StemTable
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
    table = StemTable.of(stems)
    warnings: list[str] = []
    splits = {source.name: set(source.splits) for source in sources}
    for root, of_root in _by_root(table).items():
        found = np.unique(table.split_numbers[of_root]).tolist()
        splits.setdefault(root, set()).update(SPLITS[number] for number in found)
    table = chosen_stems(table, config.songs)
    pooled = np.isin(table.split_numbers, [SPLITS.index(split) for split in config.pooled])
    split_numbers = np.where(pooled, np.int8(_TRAIN), table.split_numbers)
    if config.left_out:
        table, warnings = _left_out(table, split_numbers, splits, config)
    else:
        table = table.in_splits(split_numbers)
    if config.validation_songs is not None:
        table = _with_validation(table, config.validation_songs)
    return table, warnings


def _by_root(stems: StemTable) -> dict[str, Bools]:
    """Return which stems are of every root."""
    numbers = np.unique(stems.facts_numbers)
    roots = np.array([stems.facts(number).root for number in numbers.tolist()], object)
    of_stem = np.searchsorted(numbers, stems.facts_numbers)
    return {root: (roots == root)[of_stem] for root in dict.fromkeys(roots)}


def _left_out(
    stems: StemTable,
    split_numbers: npt.NDArray[np.int8],
    splits: Mapping[str, Collection[str]],
    config: MixConfig,
) -> tuple[StemTable, list[str]]:
    """Return the stems with the songs that are left out as ``test``, and without other test songs.

    A source whose songs, wanted or not, are all in one of the `splits` is not divided: where songs
    of it are left out, the others are for training. What else a source calls test songs stays out
    of training.

    Parameters
    ----------
    stems : StemTable
        In the splits of their sources.
    split_numbers : numpy.ndarray
        (n_stems,) the splits in which they are when splits are pooled.
    splits : mapping of str to collection of str
        Splits of every source.
    config : MixConfig
        Says which songs are left out.
    """
    is_out = _named(stems, config.left_out, "--leave-out")
    is_undivided = np.zeros(len(stems), bool)
    for root, of_root in _by_root(stems).items():
        if len(splits[root]) == 1 and (is_out & of_root).any():
            is_undivided |= of_root
    split_numbers = np.where(is_undivided, np.int8(_TRAIN), split_numbers)
    split_numbers = np.where(is_out, np.int8(_TEST), split_numbers)
    is_kept = is_out | (split_numbers != _TEST)
    n_unused = len(np.unique(stems.song_numbers[~is_kept]))
    hint = f"{n_unused} test songs are not left out, and not used; --train-on test trains on them"
    is_with_training = bool((split_numbers[is_kept] == _TRAIN).any())
    if n_unused and not is_with_training and config.splits in ((), ("train",)):
        raise NothingToDo(f"--leave-out: no other song is for training: {hint}")
    return stems.in_splits(split_numbers).take(is_kept), [hint] if n_unused else []


def _with_validation(stems: StemTable, wanted: float) -> StemTable:
    """Return the stems with some training songs as validation songs: those of the least hashes.

    Songs that share music are one. A share is a threshold of hashes, so that songs that are added
    change nothing for others; at least one song is for either.
    """
    is_training = stems.split_numbers == _TRAIN
    music, keys = _music_of(stems.take(is_training))
    hashes = [unit_hash(0, "validation", key) for key in keys]
    ranked = sorted(range(len(keys)), key=lambda number: (hashes[number], keys[number]))
    n_wanted = round(wanted) if wanted >= 1 else sum(h < wanted for h in hashes)
    if wanted < 1:
        n_wanted = min(max(n_wanted, 1), len(ranked) - 1)
    if not 1 <= n_wanted < len(ranked):
        raise UsageError(
            f"--validation-songs {wanted:g}: there are {len(ranked)} different training songs, and "
            "one at least must stay"
        )
    split_numbers = stems.split_numbers.copy()
    is_drawn = np.isin(music, ranked[:n_wanted])
    split_numbers[np.flatnonzero(is_training)[is_drawn]] = _VALIDATION
    return stems.in_splits(split_numbers)


def _music_of(stems: StemTable) -> tuple[Int64s, list[str]]:
    """Return what songs are drawn by, which songs that share music have in common.

    Returns
    -------
    music : numpy.ndarray
        (n_stems,) number of the music of every stem.
    keys : list of str
        What every music is drawn by.
    """
    songs, song_of = np.unique(stems.song_numbers, return_inverse=True)
    facts_of = np.zeros(len(songs), np.int32)
    facts_of[song_of] = stems.facts_numbers
    parent = _joined(song_of, stems.content_numbers)
    least: dict[int, str] = {}
    for root, number in zip(parent, facts_of.tolist(), strict=True):
        song = stems.facts(number)
        key = song.song_key or song.song_id
        least[root] = min(key, least.get(root, key))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(least.values()))}
    of_song = np.array([numbers[least[root]] for root in parent], np.int64)
    return of_song[song_of], list(numbers)


def _joined(songs: Int64s, contents: Int32s) -> list[int]:
    """Return for every song the least one of those that it is joined with by equal contents."""
    parent = list(range(int(songs.max(initial=-1)) + 1))
    first: dict[int, int] = {}

    def root(song: int) -> int:
        while parent[song] != song:
            parent[song] = song = parent[parent[song]]
        return song

    is_new = np.ones(len(songs), bool)  # the stems of a song have mostly one content
    is_new[1:] = (songs[1:] != songs[:-1]) | (contents[1:] != contents[:-1])
    for song, content in zip(songs[is_new].tolist(), contents[is_new].tolist(), strict=True):
        low, high = sorted((root(song), root(first.setdefault(content, song))))
        parent[high] = low
    return [root(song) for song in range(len(parent))]


def limited(stems: Sequence[CatalogueStem], config: MixConfig, taxonomy: Taxonomy) -> StemTable:
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
    table = StemTable.of(stems)
    if config.source_hours is None:
        return table
    numbers = np.flatnonzero(table.split_numbers == _TRAIN)
    training = table.take(numbers)
    order = _material_order(training)
    lengths = np.zeros(len(training), np.int32)
    lengths[order] = _allotted(training.take(order), config, taxonomy)
    if len(training) and not lengths.any():
        raise NothingToDo(
            f"--source-hours {config.source_hours:g}: shorter than a clip of {config.length_s:g} s"
        )
    n_steps = table.n_steps.copy()
    n_steps[numbers] = lengths
    is_kept = np.ones(len(table), bool)
    is_kept[numbers] = lengths > 0
    return table.beginnings(n_steps).take(is_kept)


def _material_order(stems: StemTable) -> Int64s:
    """Return the order in which stems are taken: by the hash of their music, song and name."""
    music, keys = _music_of(stems)
    hashes = np.array([unit_hash(0, "material", key) for key in keys])
    songs, song_of = np.unique(stems.song_numbers, return_inverse=True)
    facts_of = np.zeros(len(songs), np.int32)
    facts_of[song_of] = stems.facts_numbers
    names = [stems.facts(number).song_id for number in facts_of.tolist()]
    rank = np.zeros(len(songs), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    by_name = stems.name_order()
    keys_of = hashes[music[by_name]], rank[song_of[by_name]]
    return by_name[np.lexsort(keys_of[::-1])]


def _allotted(stems: StemTable, config: MixConfig, taxonomy: Taxonomy) -> Int32s:
    """Return how many 100 ms of every stem are taken, (n_stems,), of stems in their order."""
    assert config.source_hours is not None
    wanted = round(config.source_hours * _STEPS_PER_HOUR)
    if config.mode is Mode.INCOHERENT:  # every target has a limit, and every stem its length
        targets = {target: number for number, target in enumerate(taxonomy.targets)}
        found = [taxonomy.target_of(classes) for classes in stems.kinds]
        of_kind = np.array([-1 if t is None else targets[t] for t in found], np.int64)
        limits, units = of_kind[stems.kind_numbers], np.arange(len(stems))
    else:
        units = np.unique(stems.song_numbers, return_inverse=True)[1]
        limits = np.zeros(len(stems), np.int64)
    sizes = np.zeros(int(units.max(initial=-1)) + 1, np.int64)
    np.maximum.at(sizes, units, stems.n_steps)
    first = np.sort(np.unique(units, return_index=True)[1])  # of every unit, in order
    taken: Counter[int] = Counter()
    lengths = np.zeros(len(sizes), np.int64)
    for unit, limit in zip(units[first].tolist(), limits[first].tolist(), strict=True):
        size = int(sizes[unit])
        length = min(size, wanted - taken[limit])
        if length < min(config.clip_steps, size):  # no clip fits into the rest
            length, taken[limit] = 0, wanted
        lengths[unit] = length
        taken[limit] += length
    return np.minimum(lengths[units], np.iinfo(np.int32).max).astype(np.int32)
