"""Folders of songs, one a folder: stems that sound together, or what a system made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests.errors import InvalidCorpus

__all__ = ["SongFolder", "find_songs"]

_SPLIT_FOLDERS: Final = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_AUDIO_SUFFIXES: Final = (".wav", ".flac")


class SongFolder(NamedTuple):
    """A folder with the stems, or the estimates, of one song."""

    song: str
    split: str
    files: dict[str, Path]


def find_songs(root: Path) -> list[SongFolder]:
    """Return the songs of a folder: ``<song>/<name>.wav``, also below folders of splits.

    Parameters
    ----------
    root : Path
        The folder. Folders without audio and hidden files are passed over.

    Returns
    -------
    list of SongFolder
        By song.

    Raises
    ------
    InvalidCorpus
        If two folders are one song, or two files one stem.
    """
    places = [(path, "test") for path in _folders(root) if path.name not in _SPLIT_FOLDERS]
    for folder, split in _SPLIT_FOLDERS.items():
        places += [(path, split) for path in _folders(root / folder)]
    songs: dict[str, SongFolder] = {}
    places_of: dict[str, Path] = {}
    for folder_path, split in places:
        files: dict[str, Path] = {}
        for path in sorted(folder_path.iterdir()):
            if path.suffix.lower() in _AUDIO_SUFFIXES and not path.name.startswith("."):
                if path.stem in files:
                    raise InvalidCorpus(f"{path}: the same stem as {files[path.stem].name}")
                files[path.stem] = path
        if files:
            name = folder_path.name
            if name in songs:
                raise InvalidCorpus(f"{folder_path}: the same song as {places_of[name]}")
            songs[name], places_of[name] = SongFolder(name, split, files), folder_path
    return [songs[name] for name in sorted(songs)]


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
