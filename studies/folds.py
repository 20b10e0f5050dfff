"""Folds: which songs are left out of a training set, and tested by what it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stemsmith.evaluate.benchmark.datasets import folds_of
from stemsmith.manifests.errors import UsageError

__all__ = ["artist_folds", "in_fold", "song_folds"]


def song_folds(pieces: Sequence[str], count: int) -> dict[str, int]:
    """Return the fold of each piece, from 1; as many folds as pieces leave out one at a time.

    Parameters
    ----------
    pieces : sequence of str
        Names of the pieces.
    count : int
        Number of folds; more than there are pieces is as many as there are.

    Raises
    ------
    UsageError
        If there are not two pieces.
    """
    return folds_of(pieces, min(count, len(pieces)))


def artist_folds(artists: Mapping[str, str], count: int) -> dict[str, int]:
    """Return the fold of each song, all songs of an artist being in one.

    Artists with many songs are placed first, each where there are fewest songs.

    Parameters
    ----------
    artists : mapping of str to str
        The artist of each song.
    count : int
        Number of folds.

    Raises
    ------
    UsageError
        If there are fewer artists than folds.

    Examples
    --------
    >>> artist_folds({"a": "X", "b": "X", "c": "Y", "d": "Z"}, 2)
    {'a': 1, 'b': 1, 'c': 2, 'd': 2}
    """
    songs: dict[str, list[str]] = {}
    for song, artist in sorted(artists.items()):
        songs.setdefault(artist, []).append(song)
    if not 2 <= count <= len(songs):
        raise UsageError(f"{count} folds by artist: from 2 to {len(songs)}, the number of artists")
    sizes = dict.fromkeys(range(1, count + 1), 0)
    folds: dict[str, int] = {}
    for artist in sorted(songs, key=lambda name: (-len(songs[name]), name)):
        fold = min(sizes, key=lambda number: (sizes[number], number))
        sizes[fold] += len(songs[artist])
        folds.update(dict.fromkeys(songs[artist], fold))
    return dict(sorted(folds.items()))


def in_fold(song: str, folds: Mapping[str, int], number: int) -> bool:
    """Whether a song is of a piece in a fold.

    Parameters
    ----------
    song : str
        Name of a song, or of a rendition of a piece: ``Track00001-3``, or ``01-Piece_fast`` of
        ``01-Piece``.
    folds : mapping of str to int
        The fold of each piece.
    number : int
        The fold in question.
    """
    pieces = (song, song.rpartition("-")[0], song.rpartition("_")[0])
    return next((folds[piece] == number for piece in pieces if piece in folds), False)
