"""Where things lie in a corpus folder, finished or being rendered.

A run keeps its state in ``.render/`` and removes it at the end. A song is finished when its
folder has its final name; its records were written before, so a finished song always has them. In
an object store it is finished when its record of songs is there, which is written last. Where songs
go into tars, that folder is a part of the state, and is removed when its tar is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests import shards
from stemsmith.manifests.records import UNREAD, Rejection
from stemsmith.manifests.splits import SPLITS
from stemsmith.manifests.stores import is_object

__all__ = ["RUN_FOLDER", "Layout", "SongTar"]

RUN_FOLDER: Final = ".render"


class SongTar(NamedTuple):
    """A tar of a corpus, and the songs that the plan puts into it.

    Attributes
    ----------
    name : str
        Name of the file, such as ``train-00000.tar``.
    tracks : tuple of str
        Labels of its songs in their order. Those that are rejected are not in it.
    """

    name: str
    tracks: tuple[str, ...]


class Layout:
    """The paths of one corpus.

    Parameters
    ----------
    root : Path
        Folder of the corpus, which need not be there yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        run = root / RUN_FOLDER
        self.run = run
        self.staging = run / "staging"
        self.records = run / "records"
        self.songs = run / "songs"  # that wait for the others of their tar

    def track(self, split: str, track: str, tar: SongTar | None = None) -> Path:
        """Return the folder of a finished song: its final one, or where it waits for its tar."""
        return self.root / split / track if tar is None else self.songs / track

    def is_finished(self, split: str, track: str, tar: SongTar | None = None) -> bool:
        """Tell whether a song is rendered or rejected."""
        if is_object(self.root):
            return any(self.record(track, kind).exists() for kind in ("songs", "rejections"))
        return (
            self.track(split, track, tar).is_dir()
            or self.record(track, "rejections").exists()
            or (tar is not None and (self.root / tar.name).exists())
        )

    def is_waiting(self, track: str) -> bool:
        """Tell whether a song is rendered that goes into a tar, which may be there."""
        if is_object(self.root):  # where a folder is seen before all of it is there
            return self.record(track, "songs").exists()
        return (self.songs / track).is_dir()

    def finished(self, tars: Iterable[SongTar] = ()) -> set[str]:
        """Return the songs that are rendered or rejected; parameters as of `rendered`."""
        if is_object(self.root):  # of which one list tells both
            return self._recorded("songs", "rejections")
        return self.rendered(tars) | self.rejected()

    def rendered(self, tars: Iterable[SongTar] = ()) -> set[str]:
        """Return the songs whose folders, or tars, have their final names; few are listed for all.

        Parameters
        ----------
        tars : iterable of SongTar
            All tars of the plan; none where songs have folders.
        """
        if is_object(self.root):
            return self._recorded("songs")
        found: set[str] = set()
        for folder in (*(self.root / split for split in SPLITS), self.songs):
            found |= {entry.name for entry in _entries(folder) if entry.is_dir()}
        files = {entry.name for entry in _entries(self.root)}
        in_tars = {track for tar in tars if tar.name in files for track in tar.tracks}
        return found | (in_tars - self.rejected() if in_tars else in_tars)

    def rejected(self) -> set[str]:
        """Return the songs that rendering has rejected."""
        return self._recorded("rejections")

    def read_rejection(self, track: str) -> Rejection:
        """Return why a song was rejected that is known to be: a store is not asked for it first."""
        (rejection,) = shards.read_records(self.record(track, "rejections"), Rejection)
        return rejection

    def rejection(self, track: str) -> Rejection | None:
        """Return why a song was rejected; None if it was not."""
        is_there = self.record(track, "rejections").exists()
        return self.read_rejection(track) if is_there else None

    def is_rejected_for_good(self, track: str) -> bool:
        """Tell whether a song was rejected, and not for a file that may be read another time."""
        rejection = self.rejection(track)
        return rejection is not None and rejection.reason not in UNREAD

    def reject(self, track: str, rejection: Rejection) -> None:
        """Record why a song is left out."""
        shards.write_records(self.record(track, "rejections"), Rejection, [rejection])

    def _recorded(self, *kinds: str) -> set[str]:
        """Return the songs that have a record of one of some kinds."""
        endings = [self.record("", kind).name for kind in kinds]
        if is_object(self.records):
            names = [path.name for path, _ in self.records.files_below()]
        else:
            names = [entry.name for entry in _entries(self.records)]
        return {
            name.removesuffix(ending)
            for name in names
            for ending in endings
            if name.endswith(ending)
        }

    def record(self, track: str, kind: str) -> Path:
        """Return the file of a song's records of one kind (songs, stems, rejections)."""
        return self.records / f"{track}.{kind}.parquet"

    def tar_record(self, tar: SongTar) -> Path:
        """Return the file of what the manifest will say of a tar."""
        return self.records / f"{tar.name}.json"


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder; nothing if it is not there."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from entries
