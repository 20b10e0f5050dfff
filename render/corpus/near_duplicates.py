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

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float64s, Int64s
from stemsmith.manifests.records import ScannedSong
from stemsmith.render.midi.signature import N_HASHES, MelodicSignature, UInt16s

__all__ = ["LEAST_CONTAINED", "LEAST_SHARED", "NearDuplicates", "duplicate_groups", "near_pairs"]

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


def near_pairs(signatures: Sequence[str | None]) -> NearDuplicates:
    """Find the pairs of near duplicates among some songs.

    Parameters
    ----------
    signatures : sequence of str or None
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


def _read(signatures: Sequence[str | None]) -> tuple[Int64s, UInt16s, Int64s]:
    """Return the places of the signatures there are, their minima, and their sizes."""
    places = np.array([i for i, text in enumerate(signatures) if text is not None], np.int64)
    minima = np.zeros((len(places), N_HASHES), np.uint16)
    n_shingles = np.zeros(len(places), np.int64)
    there = (text for text in signatures if text is not None)
    for row, text in enumerate(there):
        n_shingles[row], minima[row] = MelodicSignature.parse(text)
    return places, minima, n_shingles


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


def duplicate_groups(songs: Sequence[ScannedSong], with_near: bool) -> dict[str, str]:
    """Return the group of each note content: songs of one group must not be separated.

    Parameters
    ----------
    songs : sequence of ScannedSong
        In any order; the outcome does not depend on it.
    with_near : bool
        Whether near duplicates are of one group, too, as those are that a near duplicate joins.
        Else only songs with equal notes are.

    Returns
    -------
    dict of str to str
        For each `notes_sha256` of the songs the least one of its group: its own, if no other
        content is nearly the same.
    """
    contents = {song.notes_sha256: song.melodic_signature for song in _by_content(songs)}
    group = {content: content for content in contents}

    def root(content: str) -> str:
        while group[content] != content:
            group[content] = content = group[group[content]]
        return content

    if with_near:
        names = list(contents)
        pairs = near_pairs(list(contents.values()))
        for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
            low, high = sorted((root(names[first]), root(names[second])))
            group[high] = low
    return {content: root(content) for content in contents}


def _by_content(songs: Sequence[ScannedSong]) -> list[ScannedSong]:
    return sorted(songs, key=lambda song: (song.notes_sha256, song.md5))
