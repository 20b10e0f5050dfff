"""Tars of a corpus without audio as they would be with it: their hashes are in its pack.

The tar of a corpus without audio has scores and metadata alone. The hash of the whole one is that
of all its bytes in their order, so that there is no way to it but to render its songs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemsmith.manifests import places
from stemsmith.manifests.corpus import Corpus
from stemsmith.render.songs.tars import member_names, write_members

__all__ = ["WholeTar", "describe_tar", "plan_whole_tars"]


@dataclass(frozen=True, slots=True)
class WholeTar:
    """A tar with its audio.

    Attributes
    ----------
    root, name : str
        Folder of the corpus, and name of the tar in it.
    n_songs : int
        Number of its songs.
    members : tuple of str
        Names of its members, in their order.
    """

    root: str
    name: str
    n_songs: int
    members: tuple[str, ...]


def plan_whole_tars(corpus: Corpus) -> Iterator[WholeTar]:
    """Yield the tars of a corpus without audio; those in the making are in memory, one a split."""
    root = str(corpus.root.resolve())
    tracks: dict[str, list[list[str]]] = {}  # of the tar that a split is at
    names: dict[str, str] = {}

    def finished(split: str) -> WholeTar:
        songs = tracks.pop(split)
        return WholeTar(root, names[split], len(songs), tuple(n for song in songs for n in song))

    for song, stems, pieces in corpus.iter_with_stems():
        name = song.path.partition("/")[0]
        if song.split in tracks and names[song.split] != name:
            yield finished(song.split)
        names[song.split] = name
        tracks.setdefault(song.split, []).append(member_names(song, (*stems, *pieces)))
    for split in list(tracks):
        yield finished(split)


def describe_tar(tar: WholeTar) -> dict[str, Any]:
    """Return what the manifest of the corpus with audio says of a tar.

    Raises
    ------
    InvalidCorpus
        If a song of it cannot be rendered again.
    """
    folder = places.place(tar.root) / tar.name
    sizes: list[tuple[str, int]] = []
    with tempfile.TemporaryFile() as spool:  # sizes come first in a tar, and songs once
        for name in tar.members:
            sizes.append((name, spool.write(places.read_bytes(folder / name))))
        spool.seek(0)
        contents = ((name, spool.read(n_bytes)) for name, n_bytes in sizes)
        facts = write_members(None, sizes, contents)
    # In the order of a manifest that is read, so that its pack has the same bytes.
    return dict(sorted({"file": tar.name, "n_songs": tar.n_songs, **facts}.items()))
