"""What a layout is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import SourceFile

__all__ = ["FunctionLayout", "SourceLayout", "first_file", "some", "visible", "wav_song"]

SISEC_STEMS = ("drums", "bass", "other", "vocals")


class SourceLayout:
    """The shape of a data set on disk; each one overrides `find`.

    Songs are named by their folders on disk, so that a recipe points to something one can find;
    splits have one name whatever a data set calls them. Hidden files are no audio: macOS leaves
    ``._x.wav`` beside every ``x.wav`` on foreign disks.

    Attributes
    ----------
    taxonomy : str
        Name of the taxonomy whose targets the data set has, where nothing else is asked for.
    """

    taxonomy: str = "musdb"

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


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, by name; nothing if it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def first_file(paths: Iterable[Path]) -> Path:
    """Return the first of some files that is there, or the first: that is where it should be."""
    candidates = list(paths)
    return next((path for path in candidates if path.is_file()), candidates[0])


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
