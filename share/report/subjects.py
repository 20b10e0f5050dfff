"""What a page can be of: each path is opened as what it is."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Final, TypeAlias

from stemsmith.evaluate.benchmark.datasets import Dataset, find_dataset
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.manifests.audio.read import is_audio
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.folder_kinds import FolderKind, kind_of, refusal
from stemsmith.manifests.places import place
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.sources.find import parse_source
from stemsmith.train.run import TrainedRun
from stemsmith.train.run_file import is_run_file

__all__ = ["SeparatedFolder", "Subject", "locate_subject", "open_subject"]

_MIXTURES: Final = ("mix", "mixture")  # not to be heard beside what they were separated into
_READERS: Final[dict[FolderKind, type[Corpus | Mixtures | Results]]] = {
    FolderKind.CORPUS: Corpus,
    FolderKind.RENDITIONS: Corpus,
    FolderKind.MIXTURES: Mixtures,
    FolderKind.RESULTS: Results,
}
_WANTED: Final = (*_READERS, FolderKind.RUN)


@dataclass(frozen=True, slots=True)
class SeparatedFolder:
    """A folder that `stemsmith separate` wrote, or one like it.

    Attributes
    ----------
    root : Path
        Where the folder is, as it was given.
    recordings : tuple of (str, tuple of Path)
        Name of each recording, and the files of its targets.
    """

    root: Path
    recordings: tuple[tuple[str, tuple[Path, ...]], ...]


Subject: TypeAlias = Corpus | Mixtures | TrainedRun | Results | Dataset | SeparatedFolder


def open_subject(path: str | PathLike[str]) -> Subject:
    """Open what a path leads to, by what it is.

    Parameters
    ----------
    path : str or path
        A folder that a command of stemsmith wrote, a run as one file, or a data set such as
        ``musdb:PATH``.

    Raises
    ------
    UsageError
        If it is not there, or nothing that a page can be of; the text says what it is.
    InvalidCorpus
        If the manifest of a folder cannot be read, or is of a newer version.
    """
    layout, root = locate_subject(path)
    if layout != CORPUS:
        return find_dataset(fspath(path), None, SPLITS)
    kind = kind_of(root)
    if kind is FolderKind.RUN or is_run_file(root):
        return TrainedRun(root)
    if kind in _READERS:
        return _READERS[kind](root)
    if kind is FolderKind.AUDIO:
        if recordings := tuple(_recordings(root)):
            return SeparatedFolder(root, recordings)
        raise UsageError(
            f"{root}: holds audio files, but none as RECORDING/TARGET.wav; for a data set write "
            f"its layout: folder:{root}, musdb:{root}, ..."
        )
    raise UsageError(refusal(root, *_WANTED))


def locate_subject(path: str | PathLike[str]) -> tuple[str, Path]:
    """Return the layout of what a page is to be of, ``corpus`` if none is named, and its path.

    Raises
    ------
    UsageError
        If it is not there, or neither a folder nor a run as one file; the text says what it is.
    """
    text = fspath(path)
    folder = place(text)
    if folder.is_dir() or is_run_file(folder):
        return CORPUS, folder
    if ":" in text:
        return parse_source(text)
    raise UsageError(refusal(folder, *_WANTED))


def _recordings(root: Path) -> list[tuple[str, tuple[Path, ...]]]:
    """Return the folders with audio right below a folder, or itself if it has audio."""
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    found = [(folder.name or str(folder), _targets(folder)) for folder in folders]
    return [(name, files) for name, files in found if files]


def _targets(folder: Path) -> tuple[Path, ...]:
    if folder.name.startswith("."):
        return ()
    files = sorted(path for path in folder.iterdir() if path.is_file() and is_audio(path))
    return tuple(file for file in files if file.stem not in _MIXTURES)
