"""Folders of audio, ``[SPLIT/]NAME/FILE``: one song each, or solos of one instrument.

Folders of splits are called ``train``, ``valid``, ``validation``, ``val`` or ``test``, in any case.
A folder in none of them belongs to the test split. Every file counts whose ending is one of those
that can be read; hidden files, and folders without audio, are passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests.audio.read import is_audio
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.names import normal_name, slug
from stemsmith.manifests.splits import split_of_folder
from stemsmith.mixing.sources.layout import visible

__all__ = [
    "AudioFolder",
    "SongFolder",
    "are_solos",
    "find_folders",
    "find_songs",
    "is_mixture",
    "songs_of",
]

_MIXTURES: Final = ("mixture", "linear-mixture", "mix")  # as `slug` writes them


class AudioFolder(NamedTuple):
    """A folder that has audio files.

    Attributes
    ----------
    path : Path
        Path of the folder.
    split : str
        ``train``, ``validation`` or ``test``.
    is_in_split : bool
        Whether a folder of a split holds it.
    files : tuple of Path
        Its audio files, by name.
    """

    path: Path
    split: str
    is_in_split: bool
    files: tuple[Path, ...]


class SongFolder(NamedTuple):
    """A folder with the stems, or the estimates, of one song.

    Attributes
    ----------
    song : str
        Name of the folder, as `normal_name` writes it.
    split : str
        ``train``, ``validation`` or ``test``.
    files : dict of str to Path
        Audio files, by name without the ending, as `normal_name` writes it.
    """

    song: str
    split: str
    files: dict[str, Path]


def find_folders(root: Path) -> list[AudioFolder]:
    """Return the folders that have audio, below `root` and below its folders of splits."""
    found = []
    for folder in _subfolders(root):
        split = split_of_folder(folder.name)
        if split is None:
            found.append(AudioFolder(folder, "test", False, _audio_of(folder)))
        else:
            found += [
                AudioFolder(path, split, True, _audio_of(path)) for path in _subfolders(folder)
            ]
    return [folder for folder in found if folder.files]


def are_solos(folders: Sequence[AudioFolder], classes: Collection[str]) -> bool:
    """Tell folders of solos, one instrument each, from folders of songs.

    Folders named after instruments hold solos, and files named after instruments, or called a
    mixture, are the stems of a song. Where neither says anything, they are solos if all folders
    are in splits.

    Parameters
    ----------
    folders : sequence of AudioFolder
        From `find_folders`. If any is in a folder of a split, only the names of those count.
    classes : collection of str
        Instrument classes in lower case with hyphens.
    """
    deciding = [folder for folder in folders if folder.is_in_split] or folders
    if all(slug(folder.path.name) in classes for folder in deciding):
        return bool(deciding)
    names = {slug(path.stem) for folder in deciding for path in folder.files}
    is_told = not names.isdisjoint({*classes, *_MIXTURES})
    return not is_told and all(folder.is_in_split for folder in folders)


def is_mixture(name: str) -> bool:
    """Tell whether a file of this name, without its ending, is a mixture and no stem."""
    return slug(name) in _MIXTURES


def songs_of(folders: Sequence[AudioFolder]) -> list[SongFolder]:
    """Return folders as songs, by name.

    Raises
    ------
    InvalidCorpus
        If two folders are one song, or two files one stem.
    """
    songs: dict[str, SongFolder] = {}
    places: dict[str, Path] = {}
    for folder in folders:
        files: dict[str, Path] = {}
        for path in folder.files:
            stem = normal_name(path.stem)
            if stem in files:
                raise InvalidCorpus(f"{path}: the same stem as {files[stem].name}")
            files[stem] = path
        name = normal_name(folder.path.name)
        if name in songs:
            raise InvalidCorpus(f"{folder.path}: the same song as {places[name]}")
        songs[name], places[name] = SongFolder(name, folder.split, files), folder.path
    return [songs[name] for name in sorted(songs)]


def find_songs(root: Path) -> list[SongFolder]:
    """Return the songs of a folder: `songs_of` what `find_folders` finds."""
    return songs_of(find_folders(root))


def _subfolders(root: Path) -> list[Path]:
    return [path for path in visible(root) if path.is_dir()]


def _audio_of(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in visible(folder) if is_audio(path) and path.is_file())
