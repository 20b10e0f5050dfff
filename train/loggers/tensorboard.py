"""Events for TensorBoard, in the folder ``tensorboard`` of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stemsmith.train.schedule import Epoch
from torch.utils.tensorboard import SummaryWriter

__all__ = ["LOGGER", "TensorBoardLogger"]

_FOLDER: Final = "tensorboard"


class TensorBoardLogger:
    """Writes the values of every epoch as scalars, by their names in ``metrics.csv``.

    Parameters
    ----------
    root : Path
        Folder of the run.
    """

    def __init__(self, root: Path) -> None:
        self._writer = SummaryWriter(str(root / _FOLDER))

    def log(self, history: Sequence[Epoch]) -> None:
        """Write the last epoch."""
        values = dataclasses.asdict(history[-1])
        number = values.pop("epoch")
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def close(self) -> None:
        """Close the file of events."""
        self._writer.close()


LOGGER: Final = TensorBoardLogger
