"""Songs of a corpus as tars: a few hundred large files in place of millions of small ones.

Which tar a song goes into is decided by the plan: the songs of a split in order, so many to a tar.
Workers render songs into folders of the run's state, and whoever finishes the last song of a tar
writes it, so that few songs lie there as folders at a time. A tar is there when it has its final
name; its folders are removed then. Killed at any point, a run finds either the folders or the tar.

Nothing locks a tar. Two workers that finish its last two songs at the same moment may both write
it: each in a file of its own, with the same bytes. What goes into it is what the records of its
songs name, so that one whose folders the other has removed fails, and does not leave files out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from stemsmith.manifests import documents, shards, storage
from stemsmith.manifests.corpus import PIECES
from stemsmith.manifests.records import Song, Stem
from stemsmith.manifests.tar_shards import INDEX, index_text, writing_tar
from stemsmith.render.corpus.layout import Layout, SongTar
from stemsmith.render.songs.metadata import AUDIO, SOURCE_MIDI, YAML

__all__ = [
    "TAR",
    "is_complete",
    "member_names",
    "plan_tars",
    "song_files",
    "stem_files",
    "tar_entries",
    "write_members",
    "write_song_tar",
]

TAR: Final = ".tar"  # at the end of the names of all tars


def plan_tars(songs: Iterable[tuple[str, str]], tracks_per_tar: int | None) -> dict[str, SongTar]:
    """Decide which tar each song goes into.

    Parameters
    ----------
    songs : iterable of (str, str)
        Label and split of every song, in order of track number.
    tracks_per_tar : int or None
        Number of songs in a tar, but for the last one of a split; None where songs have folders.

    Returns
    -------
    dict of str to SongTar
        The tar of each song by its label; empty where songs have folders.
    """
    if tracks_per_tar is None:
        return {}
    members: dict[str, list[str]] = {}
    n_placed: Counter[str] = Counter()
    for track, split in songs:
        name = f"{split}-{n_placed[split] // tracks_per_tar:05d}{TAR}"
        members.setdefault(name, []).append(track)
        n_placed[split] += 1
    tars = [SongTar(name, tuple(tracks)) for name, tracks in members.items()]
    return {track: tar for tar in tars for track in tar.tracks}


def is_complete(layout: Layout, tar: SongTar) -> bool:
    """Tell whether every song of a tar is rendered, or rejected for good.

    A song whose file cannot be read may be tried again when it can.
    """
    return all(layout.is_waiting(t) or layout.is_rejected_for_good(t) for t in tar.tracks)


def write_song_tar(layout: Layout, tar: SongTar, staging: Path, *, is_lazy: bool = False) -> None:
    """Write a tar of songs that are all rendered or rejected, and remove their folders.

    Parameters
    ----------
    layout : Layout
        Where things lie in the corpus.
    tar : SongTar
        The tar and its songs. Nothing is done if it is there already, or all are rejected.
    staging : Path
        Folder in which the tar lies until it is complete.
    is_lazy : bool
        Whether no audio is kept: records name files then that do not go into the tar.
    """
    path = layout.root / tar.name
    tracks = [t for t in tar.tracks if not layout.record(t, "rejections").exists()]
    if path.exists() or not tracks:
        return
    try:
        names = [name for track in tracks for name in _members_of(layout, track)]
        members = [(n, layout.songs / n) for n in names if not (is_lazy and n.endswith(AUDIO))]
        sizes = [(name, file.stat().st_size) for name, file in members]
        with storage.atomic_file(path, staging) as file:
            contents = ((name, source.read_bytes()) for name, source in members)
            facts = write_members(file, sizes, contents)
            entry = {"file": tar.name, "n_songs": len(tracks), **facts}
            storage.write_atomic(layout.tar_record(tar), json.dumps(entry).encode())
    except FileNotFoundError:
        if not path.exists():  # else another worker has written it, and removed what it is made of
            raise
    for track in tracks:
        storage.remove_tree(layout.songs / track)


def write_members(
    file: BinaryIO | None, sizes: Sequence[tuple[str, int]], contents: Iterable[tuple[str, bytes]]
) -> dict[str, Any]:
    """Write a tar; return what the manifest says of it, its name and number of songs aside.

    Parameters
    ----------
    file : file object or None
        Open for writing; None to learn what would be written.
    sizes : sequence of (str, int)
        Name and size in bytes of every member, in their order.
    contents : iterable of (str, bytes)
        Name and content of every member, in the same order.
    """
    hashed = _HashedFile(file)
    with writing_tar(hashed) as add:
        add(INDEX, index_text(sizes))
        for name, content in contents:
            add(name, content)
    return hashed.facts()


class _HashedFile:
    """A file that is written, if there is one, and knows the hash of what it has."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file, self._hash, self._n_bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
        self._hash.update(data)
        self._n_bytes += len(data)

    def facts(self) -> dict[str, Any]:
        return {"n_bytes": self._n_bytes, "sha256": self._hash.hexdigest()}


def _members_of(layout: Layout, track: str) -> list[str]:
    """Return the names of the files of a song in its tar, in their order."""
    (song,) = shards.read_records(layout.record(track, "songs"), Song)
    parts = shards.read_records(layout.record(track, "stems"), Stem)
    if (pieces := layout.record(track, PIECES)).exists():
        parts += shards.read_records(pieces, Stem)
    return member_names(song, parts)


def member_names(song: Song, parts: Iterable[Stem]) -> list[str]:
    """Return the names of the files of a song in its tar, in their order.

    Parameters
    ----------
    song : Song
        Record of the song.
    parts : iterable of Stem
        Records of its stems, and of the pieces of its drum kits.
    """
    paths = [*song_files(song), *(path for part in parts for path in stem_files(part))]
    return sorted(path.partition("/")[2] for path in paths)  # without the tar


def song_files(song: Song) -> Iterator[str]:
    """Yield the paths of the files of a song, its stems aside, as records have them."""
    yield from (f"{song.path}/{SOURCE_MIDI}", f"{song.path}/{YAML}", song.mix_path)
    if song.master_path is not None:
        yield song.master_path


def stem_files(stem: Stem) -> Iterator[str]:
    """Yield the paths of the files of a stem, or of a piece of one, as its record has them."""
    yield from (stem.path, stem.midi_path)
    if stem.dry_path is not None:
        yield stem.dry_path


def tar_entries(layout: Layout, tars: Iterable[SongTar]) -> list[dict[str, Any]]:
    """Return what the manifest says of the tars that were written: names, sizes and hashes."""
    records = (layout.tar_record(tar) for tar in tars if (layout.root / tar.name).exists())
    return [documents.read_json(record) for record in records]
