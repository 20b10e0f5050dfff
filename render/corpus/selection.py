"""Which songs make a corpus, and in which split each lies.

Slakh's rule (paper, section 2.1): piano, bass, guitar and drums each play at least 50 notes.
Here only parts that will be rendered count. Songs with the same note content, whatever their file
names, metadata, track order or programs, always lie in one split (Slakh2100 has 698 tracks with a
duplicate, many across splits), and so do songs that are nearly the same music.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Int64s, UInt8s
from stemsmith.manifests.programs import OMITTED_PROGRAMS, players
from stemsmith.manifests.records import Part, Reason, Rejection, ScannedSong
from stemsmith.manifests.scratch import (
    ComparedTexts,
    OnDemand,
    ScratchRecords,
    prefixes_of,
    text_order,
)
from stemsmith.manifests.seeds import split_of, unit_hash
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.corpus.licences import is_among
from stemsmith.render.corpus.near_duplicates import SongMarks, duplicate_groups
from stemsmith.render.sound.patches import Bank, Patch

__all__ = ["Chosen", "Selection", "patches_of", "select"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A song of the corpus: what was scanned, its label, its split, and each part's patch.

    `group` is the least `notes_sha256` of the songs that it is not separated from.
    """

    song: ScannedSong
    track: str
    split: str
    patches: tuple[Patch | None, ...]
    group: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of `select`.

    Attributes
    ----------
    chosen : sequence of Chosen
        In order of track number; each is made when it is asked for.
    rejections : sequence of Rejection
        Songs that cannot be taken.
    n_fitting : int
        Songs that could be taken; those beyond the number asked for are not rejections.
    n_grouped : int
        Chosen songs that are the same music as another chosen song, or nearly so.
    """

    chosen: Sequence[Chosen]
    rejections: Sequence[Rejection]
    n_fitting: int
    n_grouped: int


def patches_of(song: ScannedSong, config: RenderConfig, bank: Bank) -> tuple[Patch | None, ...]:
    """Return the patch of each part; None for a part that is not rendered.

    Parts of one program share a patch, one that plays the notes of all of them if there is any.
    """
    shared: dict[int, list[UInt8s]] = defaultdict(list)
    for part in song.parts:
        if part.strikes is not None and not _is_left_out(part, config):
            shared[part.program].append(part.strikes)

    def patch_of(part: Part) -> Patch | None:
        if _is_left_out(part, config):
            return None
        identity = (config.patch_choice, config.seed, song.md5)
        if part.strikes is None:
            return bank.patch_for(part, *identity)
        if len(shared[part.program]) == 1:
            return bank.patch_for(part, *identity, part.strikes)
        strikes = np.concatenate(shared[part.program])
        patch = bank.patch_for(part, *identity, strikes)
        if patch is None or not patch.n_lost(strikes):
            return patch
        return bank.patch_for(part, *identity, part.strikes)

    return tuple(map(patch_of, song.parts))


def _is_left_out(part: Part, config: RenderConfig) -> bool:
    is_omitted = part.program in OMITTED_PROGRAMS and not config.render_omitted
    return is_omitted or part.n_notes < config.min_stem_notes


def select(songs: Sequence[ScannedSong], config: RenderConfig, bank: Bank) -> Selection:
    """Choose songs and splits.

    Parameters
    ----------
    songs : sequence of ScannedSong
        In any order; the outcome does not depend on it.
    config : RenderConfig
        Options of the corpus: band, number of songs, splits, seed.
    bank : Bank
        Patches that the parts may get.

    Returns
    -------
    Selection
        Tracks are numbered from 1 by split and then by a hash of seed and song.
    """
    fitting = _Fitting(songs, config, bank)
    ranked, marks = fitting.ranked(), fitting.marks()
    groups = duplicate_groups(marks, config.near_duplicates)
    rejections: Sequence[Rejection] = fitting.rejections
    if config.splits.are_counts:
        counts = [int(size) for size in config.splits.sizes]
        ranks, splits, overflow = _fill_counts(ranked, counts, groups)
        fitting.rejections.extend(overflow)
    else:
        ranks = np.arange(len(ranked))[: config.n_songs]
        splits = _drawn_splits(marks, groups[ranks], config)
    order = np.argsort(splits, kind="stable")
    ranks, splits = ranks[order], splits[order]
    n_of_group = np.bincount(groups[ranks], minlength=1)

    def chosen(place: int) -> Chosen:
        rank = int(ranks[place])
        return Chosen(
            song=ranked[rank],
            track=f"Track{place + 1:05d}",
            split=SPLITS[splits[place]],
            patches=fitting.patches_of_rank(rank),
            group=marks[int(groups[rank])].notes_sha256,
        )

    return Selection(
        chosen=OnDemand(chosen, range(len(ranks))),
        rejections=rejections,
        n_fitting=len(ranked),
        n_grouped=int(n_of_group[n_of_group > 1].sum()),
    )


class _Fitting:
    """The songs that can be taken, and why others cannot.

    Of each there is its number, its rank and what its patches are; the songs stay where they are.

    Attributes
    ----------
    rejections : ScratchRecords of Rejection
        In order of path.
    """

    def __init__(self, songs: Sequence[ScannedSong], config: RenderConfig, bank: Bank) -> None:
        self._songs, self._licence = songs, config.licence
        self._numbers, hashes = array("i"), array("d")
        self._patches = ScratchRecords[tuple[int | None, ...]]()
        self._marks = ScratchRecords[SongMarks]()
        self._known: list[Patch] = []  # that any song has
        self.rejections = ScratchRecords[Rejection]()
        places: dict[int, int] = {}
        md5s = ComparedTexts()

        def path(song: ScannedSong) -> str:
            md5s.append(song.md5)
            return song.path

        prefixes = prefixes_of(map(path, songs))
        of_file = md5s.numbers()
        first_of_file = np.full(len(of_file), -1, np.int32)
        for number in text_order(prefixes, lambda number: songs[number].path).tolist():
            song = self._song(number)
            patches = patches_of(song, config, bank)
            rejection = _refuse(song, patches, config)
            twin = int(first_of_file[of_file[number]])
            if rejection is None and twin >= 0:
                rejection = Reason.DUPLICATE_FILE, f"the same bytes as {songs[twin].path}"
            if rejection is not None:
                self.rejections.append(Rejection(song.path, "select", *rejection))
                continue
            first_of_file[of_file[number]] = number
            self._numbers.append(number)
            hashes.append(unit_hash(config.seed, song.md5, "rank"))
            self._marks.append(SongMarks(song.notes_sha256, song.md5, song.melodic_signature))
            for patch in patches:
                if patch is not None and id(patch) not in places:
                    places[id(patch)] = len(self._known)
                    self._known.append(patch)
            self._patches.append(tuple(None if p is None else places[id(p)] for p in patches))
        self._order = np.argsort(np.array(hashes), kind="stable")

    def _song(self, number: int) -> ScannedSong:
        song = self._songs[number]
        if song.licence or self._licence is None:
            return song
        return replace(song, licence=self._licence)

    def ranked(self) -> Sequence[ScannedSong]:
        """Return the songs in the order in which they are drawn."""
        return OnDemand(self._song, np.array(self._numbers, np.int64)[self._order])

    def marks(self) -> Sequence[SongMarks]:
        """Return what tells the same songs from others, in the same order."""
        return OnDemand(self._marks.__getitem__, self._order)

    def patches_of_rank(self, rank: int) -> tuple[Patch | None, ...]:
        """Return the patches of a song, by its place among those that are ranked."""
        places = self._patches[int(self._order[rank])]
        return tuple(None if place is None else self._known[place] for place in places)


def _drawn_splits(
    marks: Sequence[SongMarks], groups: Int64s, config: RenderConfig
) -> npt.NDArray[np.int8]:
    """Return the split of each song of a group, by the fractions that are wanted."""

    def split(place: int) -> int:
        group = marks[place].notes_sha256
        return SPLITS.index(split_of(config.seed, group, config.splits.sizes, SPLITS))

    return np.fromiter((split(place) for place in groups.tolist()), np.int8, len(groups))


def _refuse(
    song: ScannedSong, patches: Sequence[Patch | None], config: RenderConfig
) -> tuple[Reason, str] | None:
    rendered = [part for part, patch in zip(song.parts, patches, strict=True) if patch is not None]
    if not rendered:
        return Reason.NO_PATCH, "no part has a patch in the bank"
    if missing := _missing_players(rendered, config):
        return Reason.NO_BAND, missing
    if config.licence_ok is None or (song.licence and is_among(song.licence, config.licence_ok)):
        return None
    wanted = " or ".join(config.licence_ok)
    return Reason.LICENCE, f"its licence is {song.licence or 'not known'}; {wanted} wanted"


def _missing_players(rendered: Sequence[Part], config: RenderConfig) -> str:
    short = []
    for name, programs in players(config.band or ()).items():
        n_notes = sum(part.n_notes for part in rendered if part.program in programs)
        if n_notes < config.min_notes:
            short.append(f"{name} has {n_notes} notes")
    return f"{', '.join(short)}; {config.min_notes} wanted" if short else ""


def _fill_counts(
    ranked: Sequence[ScannedSong], counts: Sequence[int], groups: Int64s
) -> tuple[Int64s, npt.NDArray[np.int8], list[Rejection]]:
    """Fill splits of exact sizes with whole groups of songs that are the same music, or nearly so.

    Groups come in order of their first song's rank and go to the first split with room for all
    of the group; members that fit nowhere together are dropped.

    Returns
    -------
    ranks, splits : numpy.ndarray
        Ranks of the songs that are taken, and their splits.
    dropped : list of Rejection
        Songs for which there is no room beside others of their group.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for rank, group in enumerate(groups.tolist()):
        members[group].append(rank)
    room = dict(zip(range(len(SPLITS)), counts, strict=True))
    ranks, splits = array("q"), array("b")
    dropped: list[Rejection] = []
    for group in members.values():
        if not any(room.values()):
            break
        split = next((s for s in room if room[s] >= len(group)), max(room, key=room.__getitem__))
        kept = group[: room[split]]
        room[split] -= len(kept)
        ranks.extend(kept)
        splits.extend([split] * len(kept))
        for rank in group[len(kept) :]:
            song, other = ranked[rank], ranked[kept[0]]
            detail = f"{_likeness(song, other)} {other.path}; {SPLITS[split]} is full"
            dropped.append(Rejection(song.path, "select", Reason.SPLIT_FULL, detail))
    return np.array(ranks, np.int64), np.array(splits, np.int8), dropped


def _likeness(song: ScannedSong, other: ScannedSong) -> str:
    is_same = song.notes_sha256 == other.notes_sha256
    return "the notes of" if is_same else "nearly the music of"
