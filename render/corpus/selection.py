"""Which songs make a corpus, and in which split each lies.

Slakh's rule (paper, section 2.1): piano, bass, guitar and drums each play at least 50 notes.
Here only parts that will be rendered count. Songs with the same note content, whatever their file
names, metadata, track order or programs, always lie in one split (Slakh2100 has 698 tracks with a
duplicate, many across splits), and so do songs that are nearly the same music.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from stemsmith.manifests.arrays import UInt8s
from stemsmith.manifests.programs import OMITTED_PROGRAMS, players
from stemsmith.manifests.records import Part, Reason, Rejection, ScannedSong
from stemsmith.manifests.seeds import split_of, unit_hash
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.corpus.licences import is_among
from stemsmith.render.corpus.near_duplicates import duplicate_groups
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
    chosen : tuple of Chosen
        In order of track number.
    rejections : tuple of Rejection
        Songs that cannot be taken.
    n_fitting : int
        Songs that could be taken; those beyond the number asked for are not rejections.
    n_grouped : int
        Chosen songs that are the same music as another chosen song, or nearly so.
    """

    chosen: tuple[Chosen, ...]
    rejections: tuple[Rejection, ...]
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
    fitting: dict[str, tuple[ScannedSong, tuple[Patch | None, ...]]] = {}
    rejections: list[Rejection] = []
    for found in sorted(songs, key=lambda s: s.path):
        song = replace(found, licence=found.licence or config.licence)
        patches = patches_of(song, config, bank)
        rejection = _refuse(song, patches, config)
        if rejection is None and song.md5 in fitting:
            twin = fitting[song.md5][0].path
            rejection = (Reason.DUPLICATE_FILE, f"the same bytes as {twin}")
        if rejection is None:
            fitting[song.md5] = (song, patches)
        else:
            rejections.append(Rejection(song.path, "select", *rejection))
    ranked = sorted(
        (song for song, _ in fitting.values()),
        key=lambda song: unit_hash(config.seed, song.md5, "rank"),
    )
    group_of = duplicate_groups(ranked, config.near_duplicates)
    if config.splits.are_counts:
        counts = [int(size) for size in config.splits.sizes]
        placed, overflow = _fill_counts(ranked, counts, group_of)
        rejections += overflow
    else:
        placed = [
            (split_of(config.seed, group_of[song.notes_sha256], config.splits.sizes, SPLITS), song)
            for song in ranked[: config.n_songs]
        ]
    placed.sort(key=lambda item: SPLITS.index(item[0]))
    members = Counter(group_of[song.notes_sha256] for _, song in placed)
    return Selection(
        chosen=tuple(
            Chosen(
                song,
                f"Track{number:05d}",
                split,
                fitting[song.md5][1],
                group_of[song.notes_sha256],
            )
            for number, (split, song) in enumerate(placed, start=1)
        ),
        rejections=tuple(rejections),
        n_fitting=len(ranked),
        n_grouped=sum(n for n in members.values() if n > 1),
    )


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
    ranked: Sequence[ScannedSong], counts: Sequence[int], group_of: Mapping[str, str]
) -> tuple[list[tuple[str, ScannedSong]], list[Rejection]]:
    """Fill splits of exact sizes with whole groups of songs that are the same music, or nearly so.

    Groups come in order of their first song's rank and go to the first split with room for all
    of the group; members that fit nowhere together are dropped.
    """
    groups: dict[str, list[ScannedSong]] = defaultdict(list)
    for song in ranked:
        groups[group_of[song.notes_sha256]].append(song)
    room = dict(zip(SPLITS, counts, strict=True))
    placed: list[tuple[str, ScannedSong]] = []
    dropped: list[Rejection] = []
    for group in groups.values():
        if not any(room.values()):
            break
        split = next((s for s in SPLITS if room[s] >= len(group)), max(room, key=room.__getitem__))
        kept = group[: room[split]]
        room[split] -= len(kept)
        placed += [(split, song) for song in kept]
        dropped += [
            Rejection(
                song.path,
                "select",
                Reason.SPLIT_FULL,
                f"{_likeness(song, kept[0])} {kept[0].path}; {split} is full",
            )
            for song in group[len(kept) :]
        ]
    return placed, dropped


def _likeness(song: ScannedSong, other: ScannedSong) -> str:
    is_same = song.notes_sha256 == other.notes_sha256
    return "the notes of" if is_same else "nearly the music of"
