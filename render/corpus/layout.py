"""Where things lie in a corpus folder, finished or being rendered.

A run keeps its state in ``.render/`` and removes it at the end. A song is finished when its
folder has its final name; its records were written before, so a finished song always has them. In
an object store it is finished when its record of songs is there, which is written last.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from stemsmith.manifests.splits import SPLITS
from stemsmith.manifests.stores import is_object

__all__ = ["RUN_FOLDER", "Layout"]

RUN_FOLDER: Final = ".render"


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

    def track(self, split: str, track: str) -> Path:
        """Return the final folder of a song."""
        return self.root / split / track

    def is_finished(self, split: str, track: str) -> bool:
        """Tell whether a song is rendered or rejected."""
        if is_object(self.root):
            return any(self.record(track, kind).exists() for kind in ("songs", "rejections"))
        return self.track(split, track).is_dir() or self.record(track, "rejections").exists()

    def finished(self) -> set[str]:
        """Return the songs that are rendered or rejected."""
        return self.rendered() | self.rejected()

    def rendered(self) -> set[str]:
        """Return the songs whose folders have their final names; folders are listed for all."""
        if is_object(self.root):
            return self._recorded("songs")
        found: set[str] = set()
        for split in SPLITS:
            if (folder := self.root / split).is_dir():
                with os.scandir(folder) as entries:
                    found |= {entry.name for entry in entries if entry.is_dir()}
        return found

    def rejected(self) -> set[str]:
        """Return the songs that rendering has rejected."""
        return self._recorded("rejections")

    def _recorded(self, kind: str) -> set[str]:
        """Return the songs that have a record of some kind."""
        ending = self.record("", kind).name
        if is_object(self.records):
            listed = [path.name for path, _ in self.records.files_below()]
        elif self.records.is_dir():
            with os.scandir(self.records) as entries:
                listed = [entry.name for entry in entries]
        else:
            listed = []
        return {name.removesuffix(ending) for name in listed if name.endswith(ending)}

    def record(self, track: str, kind: str) -> Path:
        """Return the file of a song's records of one kind (songs, stems, rejections)."""
        return self.records / f"{track}.{kind}.parquet"
