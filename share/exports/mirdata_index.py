"""mirdata's index of data sets in Slakh2100's layout: which files there are, with their hashes.

The shape is that of ``slakh_index_2100-redux.json`` (mirdata, mirdata/datasets/slakh.py): stems are
tracks, called ``Track00001-S00``, and songs are multitracks. The loader reads the split from the
second folder of a path where the version has ``2100-redux`` in its name (`Track.__init__`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from stemsmith.manifests.records import Song, Stem
from stemsmith.render.songs.metadata import MIX, SOURCE_MIDI, YAML

__all__ = ["INDEX", "VERSION", "IndexedFile", "IndexedSong", "files_of_song", "index_of", "part_of"]

INDEX: Final = "slakh_index_stemsmith.json"
VERSION: Final = "2100-redux"
_PARTS: Final = {MIX: "mix", SOURCE_MIDI: "midi", YAML: "metadata"}  # of a song, by their names


class IndexedFile(NamedTuple):
    """A file of a song.

    Attributes
    ----------
    part : str
        ``mix``, ``midi`` or ``metadata`` of the song, or ``S00/audio`` and ``S00/midi`` of a stem.
    path : str
        Where it is below the home of the data set (POSIX).
    checksum : str
        Its hash, of the kind that the index has.
    """

    part: str
    path: str
    checksum: str


class IndexedSong(NamedTuple):
    """A song.

    Attributes
    ----------
    name : str
        Label of the song, ``Track00001``.
    files : list of IndexedFile
        The files that mirdata knows of it.
    """

    name: str
    files: list[IndexedFile]


def part_of(place: str) -> str | None:
    """Return which part of a song a file is, by its place in the folder of the song.

    Parameters
    ----------
    place : str
        ``mix.flac``, ``stems/S00.flac``, ``MIDI/S00.mid``, ... (POSIX).

    Returns
    -------
    str or None
        As of `IndexedFile`; None for files that mirdata does not know.
    """
    path = PurePosixPath(place)
    if path.parent.name in ("stems", "MIDI"):
        return f"{path.stem}/{'audio' if path.parent.name == 'stems' else 'midi'}"
    return _PARTS.get(place)


def files_of_song(song: Song, stems: Iterable[Stem], folder: str) -> list[IndexedFile]:
    """Return the files of a song of a corpus that mirdata knows, with their SHA-256.

    Parameters
    ----------
    song : Song
        Record of the song.
    stems : iterable of Stem
        Records of its stems.
    folder : str
        Folder of the corpus below the home of the data set.
    """

    def files() -> Iterator[IndexedFile]:
        yield IndexedFile("mix", song.mix_path, song.mix_sha256)
        yield IndexedFile("midi", f"{song.path}/{SOURCE_MIDI}", song.midi_sha256)
        yield IndexedFile("metadata", f"{song.path}/{YAML}", song.metadata_sha256)
        for stem in stems:
            yield IndexedFile(f"{stem.stem}/audio", stem.path, stem.sha256)
            yield IndexedFile(f"{stem.stem}/midi", stem.midi_path, stem.midi_sha256)

    return [file._replace(path=f"{folder}/{file.path}") for file in files()]


def index_of(songs: Iterable[IndexedSong]) -> dict[str, Any]:
    """Return the index of some songs, as JSON has it."""
    tracks: dict[str, Any] = {}
    multitracks: dict[str, Any] = {}
    for song in songs:
        entries = {file.part: [file.path, file.checksum] for file in song.files}
        stems = [part.partition("/")[0] for part in entries if part.endswith("/audio")]
        ours = {
            f"{song.name}-{stem}": {
                "audio": entries[f"{stem}/audio"],
                "midi": entries[f"{stem}/midi"],
                "metadata": entries["metadata"],
            }
            for stem in stems
        }
        whole = {part: entries[part] for part in ("mix", "midi", "metadata")}
        multitracks[song.name] = {**whole, "tracks": list(ours)}
        tracks |= ours
    return {"version": VERSION, "tracks": tracks, "multitracks": multitracks}
