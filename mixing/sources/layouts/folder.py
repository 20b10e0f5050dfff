"""Folders of anybody's: songs, ``[train|valid|test/]<song>/<stem>.wav``, or solos.

Solos lie in ``train/violin/anything.wav``, the ``sourcefolder`` of open-unmix: each file is its
own song, and its class is the name of its folder. How the two are told apart, and what folders of
splits may be called, stands in `stemsmith.mixing.sources.song_folders`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.names import distinct_slugs
from stemsmith.mixing.sources.layout import SourceLayout, some
from stemsmith.mixing.sources.song_folders import (
    AudioFolder,
    are_solos,
    find_folders,
    is_mixture,
    songs_of,
)

__all__ = ["LAYOUT"]

_EXPECTED: Final = (
    "<song>/<stem>.wav or test/<song>/<stem>.wav, and no solos: "
    "expected train/<class>/<name>.wav or .flac"
)


class _Folder(SourceLayout):
    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        folders = find_folders(root)
        if are_solos(folders, classes):
            return some(_solos(root, folders), root, "songs", _EXPECTED)
        return some(_songs(root, folders), root, "songs", _EXPECTED)

    def find_songs(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        folders = find_folders(root)
        if are_solos(folders, classes):
            raise UsageError(
                f"{root}: folders of solos ({folders[0].path.name}), which are not played "
                "together; expected <song>/<stem>.wav or test/<song>/<stem>.wav"
            )
        return some(_songs(root, folders), root, "songs", _EXPECTED)


def _solos(root: Path, folders: list[AudioFolder]) -> list[SourceFile]:
    """Return every file of folders of splits as a song of its own."""
    class_of = _classes(root, (folder.path.name for folder in folders if folder.is_in_split))
    return [
        SourceFile(
            song_id=path.relative_to(root).with_name(path.stem).as_posix(),
            stem=folder.path.name,
            split=folder.split,
            inst_class=class_of[folder.path.name],
            path=path.relative_to(root).as_posix(),
        )
        for folder in folders
        if folder.is_in_split
        for path in folder.files
    ]


def _songs(root: Path, folders: list[AudioFolder]) -> list[SourceFile]:
    """Return the stems of songs; a file that is called a mixture is none of them."""
    found = [
        (song, stem, path)
        for song in songs_of(folders)
        for stem, path in song.files.items()
        if not is_mixture(stem)
    ]
    class_of = _classes(root, (stem for _, stem, _ in found))
    return [
        SourceFile(
            song_id=path.parent.relative_to(root).as_posix(),
            stem=stem,
            split=song.split,
            inst_class=class_of[stem],
            path=path.relative_to(root).as_posix(),
        )
        for song, stem, path in found
    ]


def _classes(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the class of every name of a folder of solos, or of a stem."""
    try:
        return distinct_slugs(dict.fromkeys(names))
    except ValueError as error:
        raise InvalidCorpus(f"{root}: {error}") from None


LAYOUT: Final = _Folder()
