"""Folds: which songs are left out of a training set, and tested by what it trained."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from stemsmith.evaluate.benchmark.datasets import find_dataset, folds_of
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.find import CORPUS, parse_source

__all__ = ["artist_folds", "in_fold", "piece_of", "pieces_of", "song_folds"]

_HASH: Final = re.compile("[0-9a-f]{8}-")  # that `copy_part` puts before the names of scores


def pieces_of(place: str | Path, splits: Collection[str] = SPLITS) -> dict[str, str]:
    """Return the piece of each song of a data set.

    Corpora number their songs by their own seeds: Track00001 of one is another score than that of
    the next. The piece of their songs is what the score is called, and that of other songs is what
    they are called themselves, as those of Bach10 are called what their scores are.

    Parameters
    ----------
    place : str or Path
        A corpus, or another data set, as `stemsmith.mixing.sources.find.parse_source` takes it.
    splits : collection of str
        Splits whose songs are wanted.

    Returns
    -------
    dict of str to str
        By name of the song; renditions have that of their piece's track.
    """
    layout, path = parse_source(place)
    if layout != CORPUS:
        songs = find_dataset(str(place), None, (*splits,)).songs
        return {song.name: normal_name(song.name) for song in songs}
    corpus = Corpus(path)
    is_of_renditions = corpus.kind == RENDITIONS
    records = corpus.rendition_records() if is_of_renditions else corpus.song_records()
    return {one.track: _score_name(one.source) for one in records if one.split in splits}


def _score_name(source: str) -> str:
    name = normal_name(Path(source).stem)
    found = _HASH.match(name)
    return name if found is None else name[found.end() :]


def piece_of(song: str, pieces: Mapping[str, str]) -> str:
    """Return the piece of a song that is to be separated; ``Track00001-3`` is a rendition.

    Parameters
    ----------
    song : str
        Its name in a data set.
    pieces : mapping of str to str
        What `pieces_of` returned of the data set.
    """
    return pieces.get(song) or pieces.get(song.rpartition("-")[0], song)


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
        A piece, or the name of a rendition of it: ``01-Piece-3`` or ``01-Piece_fast`` of
        ``01-Piece``.
    folds : mapping of str to int
        The fold of each piece.
    number : int
        The fold in question.
    """
    pieces = (song, song.rpartition("-")[0], song.rpartition("_")[0])
    return next((folds[piece] == number for piece in pieces if piece in folds), False)
