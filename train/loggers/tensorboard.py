"""Events for TensorBoard, in the folder ``tensorboard`` of a run."""

from __future__ import annotations

import dataclasses
import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from stemsmith.manifests import storage
from stemsmith.manifests.places import is_remote
from stemsmith.train.schedule import Epoch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

__all__ = ["LOGGER", "TensorBoardLogger"]

_FOLDER: Final = "tensorboard"
_NAME: Final = re.compile(r"events\.out\.tfevents\.(\d{1,12})\b")  # and the second it is of
_FORMAT: Final = "brain.Event:2"  # which the first event of a file names


class TensorBoardLogger:
    """Writes the values of every epoch as scalars, by their names in ``metrics.csv``.

    TensorBoard's own writer puts the name of the machine into the name of the file, and a run is
    given to others. In an object store, where nothing is appended to an object, the file is written
    as a whole after each epoch.

    Parameters
    ----------
    root : Path
        Folder of the run.
    """

    def __init__(self, root: Path) -> None:
        folder = root / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _new_name(folder)
        self._stored = path if is_remote(path) else None
        self._file: BinaryIO = io.BytesIO() if self._stored else path.open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version=_FORMAT))

    def log(self, history: Sequence[Epoch]) -> None:
        """Write the last epoch."""
        values = dataclasses.asdict(history[-1])
        number = values.pop("epoch")
        scalars = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
            if value is not None
        ]
        self._write(Event(wall_time=time.time(), step=number, summary=Summary(value=scalars)))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()
        if self._stored is not None and isinstance(self._file, io.BytesIO):
            storage.write_atomic(self._stored, self._file.getvalue())

    def close(self) -> None:
        """Close the file of events."""
        self._file.close()


def _new_name(folder: Path) -> str:
    """Return a name that TensorBoard reads after those of the folder: it sorts them."""
    found = (_NAME.match(path.name) for path in folder.glob("*"))
    second = max([int(time.time()), *(int(match[1]) + 1 for match in found if match)])
    return f"events.out.tfevents.{second}"


LOGGER: Final = TensorBoardLogger
