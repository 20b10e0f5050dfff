"""Which songs are nearly the same music: found in time and memory linear in their number.

Two songs are near duplicates if seven tenths of the shingles of the one with fewer are the
other's too, and if the two share 6 % of all that they have: a copy without some parts counts, a
quotation does not. Both are estimated from signatures (`stemsmith.render.midi.signature`).

No two songs are compared that do not meet: two hashes that follow one another in the signature are
a band, and songs that agree in all of a band meet there (Leskovec, Rajaraman and Ullman, "Mining
of Massive Datasets", section 3.4; that bands overlap is ours). Of songs that share a tenth of
their shingles nine in ten meet, of a fifth 99.99 %. Where many songs agree in a band each meets
its eight neighbours, so that copies form a chain, and time is linear whatever the songs are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float64s, Int64s
from stemsmith.manifests.records import ScannedSong
from stemsmith.manifests.scratch import ComparedTexts, prefixes_of, text_order
from stemsmith.render.midi.signature import N_HASHES, MelodicSignature, UInt16s

__all__ = [
    "LEAST_CONTAINED",
    "LEAST_SHARED",
    "NearDuplicates",
    "SongMarks",
    "duplicate_groups",
    "near_pairs",
]

LEAST_CONTAINED: Final = 0.7  # of the shingles of the song with fewer
LEAST_SHARED: Final = 0.06  # of the shingles of both
_BAND_SIZE: Final = 2
_N_NEIGHBOURS: Final = 8
_N_AT_ONCE: Final = 4096  # pairs compared at a time


class NearDuplicates(NamedTuple):
    """Pairs of songs that are nearly the same music, in order of `first` and `second`.

    Attributes
    ----------
    first, second : numpy.ndarray
        (n_pairs,) indices of songs, the lower one first. Of more than nine songs that are all the
        same not every pair is named, but all are joined by pairs.
    shared : numpy.ndarray
        (n_pairs,) estimated share of all their shingles that both have, 0 to 1 (Jaccard index).
    contained : numpy.ndarray
        (n_pairs,) estimated share of the shingles of the song with fewer that both have, 0 to 1.
    """

    first: Int64s
    second: Int64s
    shared: Float64s
    contained: Float64s


def near_pairs(signatures: Iterable[str | None]) -> NearDuplicates:
    """Find the pairs of near duplicates among some songs.

    Parameters
    ----------
    signatures : iterable of str or None
        Signature of each song, as text; None for a song that has none and is like no other.

    Returns
    -------
    NearDuplicates
        Indices into `signatures` and estimates.
    """
    places, minima, n_shingles = _read(signatures)
    n_songs = len(places)
    found = np.zeros(0, np.int64)
    for start in range(N_HASHES - _BAND_SIZE + 1):
        met = np.setdiff1d(_meetings(minima[:, start : start + _BAND_SIZE]), found)
        near = met[_are_near(met // n_songs, met % n_songs, minima, n_shingles)] if n_songs else met
        found = np.union1d(found, near)
    first, second = np.divmod(found, max(n_songs, 1))
    shared, contained = _estimates(first, second, minima, n_shingles)
    return NearDuplicates(places[first], places[second], shared, contained)


def _read(signatures: Iterable[str | None]) -> tuple[Int64s, UInt16s, Int64s]:
    """Return the places of the signatures there are, their minima, and their sizes."""
    places, n_shingles, minima = array("q"), array("q"), bytearray()
    for place, text in enumerate(signatures):
        if text is not None:
            signature = MelodicSignature.parse(text)
            places.append(place)
            n_shingles.append(signature.n_shingles)
            minima += signature.minima.tobytes()
    rows = np.frombuffer(minima, "<u2").reshape(-1, N_HASHES)
    return np.array(places, np.int64), rows, np.array(n_shingles, np.int64)


def _meetings(band: UInt16s) -> Int64s:
    """Return the pairs of songs that meet in a band, as ``first * n_songs + second``, ascending."""
    n_songs = len(band)
    keys = band.astype(np.int64) @ (1 << 16 * np.arange(band.shape[1]))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    pairs = []
    for lag in range(1, min(_N_NEIGHBOURS, n_songs - 1) + 1):
        (places,) = np.nonzero(keys[lag:] == keys[:-lag])
        pairs.append(order[places] * n_songs + order[places + lag])  # the lower one is first
    return np.unique(np.concatenate(pairs)) if pairs else np.zeros(0, np.int64)


def _estimates(
    first: Int64s, second: Int64s, minima: UInt16s, n_shingles: Int64s
) -> tuple[Float64s, Float64s]:
    agreed = np.zeros(len(first), np.int64)
    for start in range(0, len(first), _N_AT_ONCE):
        chunk = slice(start, start + _N_AT_ONCE)
        agreed[chunk] = (minima[first[chunk]] == minima[second[chunk]]).sum(axis=1)
    shared = agreed / N_HASHES
    a, b = n_shingles[first], n_shingles[second]
    return shared, np.minimum(shared / (1 + shared) * (a + b) / np.minimum(a, b), 1.0)


def _are_near(first: Int64s, second: Int64s, minima: UInt16s, n_shingles: Int64s) -> Bools:
    shared, contained = _estimates(first, second, minima, n_shingles)
    return (shared >= LEAST_SHARED) & (contained >= LEAST_CONTAINED)


class SongMarks(NamedTuple):
    """What songs are told from others by; the fields are those of `ScannedSong`."""

    notes_sha256: str
    md5: str
    melodic_signature: str | None


def duplicate_groups(songs: Sequence[SongMarks | ScannedSong], with_near: bool) -> Int64s:
    """Return the group of each song: songs of one group must not be separated.

    Parameters
    ----------
    songs : sequence of SongMarks or ScannedSong
        In any order; the outcome does not depend on it.
    with_near : bool
        Whether near duplicates are of one group, too, as those are that a near duplicate joins.
        Else only songs with equal notes are.

    Returns
    -------
    numpy.ndarray
        (n_songs,) int64, the place of a song with the least `notes_sha256` of the group: with the
        notes of the song itself, if no other content is nearly the same.
    """
    notes, order = ComparedTexts(song.notes_sha256 for song in songs), _by_content(songs)
    digests = notes.digests[order]
    is_first, is_last = np.ones((2, len(order)), bool)
    is_first[1:] = is_last[:-1] = digests[1:] != digests[:-1]
    content = np.empty(len(order), np.int64)  # of each song, in order of their names
    content[order] = np.cumsum(is_first) - 1
    group = list(range(int(is_first.sum())))

    def root(content: int) -> int:
        while group[content] != content:
            group[content] = content = group[group[content]]
        return content

    if with_near:
        pairs = near_pairs(songs[place].melodic_signature for place in order[is_last].tolist())
        for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
            low, high = sorted((root(first), root(second)))
            group[high] = low
    roots = np.array([root(one) for one in range(len(group))], np.int64)
    return order[is_first][roots[content]]


def _by_content(songs: Sequence[SongMarks | ScannedSong]) -> Int64s:
    """Return the places of the songs in order of their notes, and of their files."""
    prefixes = prefixes_of(song.notes_sha256 for song in songs)

    def key(place: int) -> str:
        song = songs[place]
        return f"{song.notes_sha256}\0{song.md5}"

    return text_order(prefixes, key)
