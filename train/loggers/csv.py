"""``metrics.csv``, which every run has, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stemsmith.train.history import write_history
from stemsmith.train.schedule import Epoch

__all__ = ["LOGGER", "CsvLogger"]


class CsvLogger:
    """Writes all epochs of a run to ``metrics.csv``, as a whole each time.

    Parameters
    ----------
    root : Path
        Folder of the run.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def log(self, history: Sequence[Epoch]) -> None:
        """Write the file."""
        write_history(self._root, history)

    def close(self) -> None:
        """Do nothing: all is written."""


LOGGER: Final = CsvLogger
