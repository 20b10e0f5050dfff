"""Where things lie in a corpus folder, finished or being rendered.

A run keeps its state in ``.render/`` and removes it at the end. A song is finished when its
folder has its final name; its records were written before, so a finished song always has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

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

    def record(self, track: str, kind: str) -> Path:
        """Return the file of a song's records of one kind (songs, stems, rejections)."""
        return self.records / f"{track}.{kind}.parquet"
