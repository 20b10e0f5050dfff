"""What a layout is, and what several of them need."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.places import is_remote

__all__ = [
    "FunctionLayout",
    "SourceLayout",
    "first_file",
    "is_file",
    "is_folder",
    "is_readable",
    "some",
    "visible",
    "wav_song",
]

SISEC_STEMS: Final = ("drums", "bass", "other", "vocals")
# What storage boxes and operating systems leave in folders, in lower case: never anybody's music.
_OF_SYSTEMS: Final = frozenset(
    {
        "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recycle", "@tmp", "__macosx",
        "lost+found", "system volume information",
        "desktop.ini", "ehthumbs.db", "thumbs.db", "icon\r",
    }
)  # fmt: skip


class SourceLayout:
    """The shape of a data set on disk; each one overrides `find`.

    Songs are named by their folders on disk, so that a recipe points to something one can find;
    splits have one name whatever a data set calls them. Hidden files are no audio: macOS leaves
    ``._x.wav`` beside every ``x.wav`` on foreign disks, and Synology's boxes ``@eaDir`` in every
    folder.

    Attributes
    ----------
    taxonomy : str
        Name of the taxonomy whose targets the data set has, where nothing else is asked for.
    companions : tuple of str
        Patterns of what the data set has beside its stems, such as ``*.mid``: paths below its
        folder, where ``*`` stands for slashes, too.
    is_undivided : bool
        Whether the data set has no splits: its songs are then ``train`` for mixing, and where
        songs are scored they are of the split that is asked for.
    has_own_mixtures : bool
        Whether stems do not sum to the mixtures that `mixture_of` names, so that coherent mixtures
        are excerpts of these.
    """

    taxonomy: str = "musdb"
    companions: tuple[str, ...] = ()
    is_undivided: bool = False
    has_own_mixtures: bool = False

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        """Return the stems of a data set, in any order, without looking into the files.

        Parameters
        ----------
        root : Path
            The folder, which is there.
        classes : collection of str
            Instrument classes in lower case with hyphens, for layouts that are told by them.

        Returns
        -------
        list of SourceFile
            Without mixtures. The files need not be there, if the layout says that they should be.

        Raises
        ------
        InvalidCorpus
            If nothing of the layout is there; the text says what was expected.
        """
        raise NotImplementedError

    def find_songs(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        """Return the same stems, for those who need stems that are played together.

        Raises
        ------
        UsageError
            If those that are there are not.
        """
        return self.find(root, classes)

    def mixture_of(self, file: SourceFile) -> SourceFile | None:
        """Return the data set's own mixture of the song of a stem; None for the sum of stems."""
        return None


class FunctionLayout(SourceLayout):
    """A layout that is one function.

    Parameters
    ----------
    function : callable
        Takes the folder and returns its stems, as `SourceLayout.find` does.
    """

    def __init__(self, function: Callable[[Path], list[SourceFile]]) -> None:
        self._function = function

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        """Return what the function finds."""
        return list(self._function(root))


def is_file(path: Path) -> bool:
    """Tell whether a file is there; none is in a folder that may not be entered."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there; none is in a folder that may not be entered."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_readable(folder: Path) -> bool:
    """Tell whether a folder may be entered and listed; an object store says so when it is asked."""
    return is_remote(folder) or os.access(folder, os.R_OK | os.X_OK)


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, by name; nothing if it is no folder.

    What is hidden, and what systems keep there for themselves, is left out. A folder that may not
    be read has nothing; `stemsmith.mixing.sources.files.unused_files` has a row for it.
    """
    if not is_folder(folder) or not is_readable(folder):
        return []
    return sorted(path for path in folder.iterdir() if not _is_hidden(path.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def first_file(paths: Iterable[Path]) -> Path:
    """Return the first of some files that is there, or the first: that is where it should be."""
    candidates = list(paths)
    return next((path for path in candidates if is_file(path)), candidates[0])


def some(found: list[SourceFile], root: Path, what: str, expected: str) -> list[SourceFile]:
    """Return what was found, or refuse the folder for having nothing of the kind."""
    if not found:
        raise InvalidCorpus(f"{root}: no {what}: expected {expected}")
    return found


def wav_song(root: Path, folder: Path, song_id: str, split: str) -> list[SourceFile]:
    """Return the four stems of a song of SiSEC's campaigns: DSD100, MUSDB18-HQ."""
    return [
        SourceFile(
            song_id=song_id,
            stem=stem,
            split=split,
            inst_class=stem,
            path=(folder / f"{stem}.wav").relative_to(root).as_posix(),
        )
        for stem in SISEC_STEMS
    ]
