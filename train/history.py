"""``metrics.csv``: what came of every epoch of a run, a row each."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.train.schedule import Epoch

__all__ = ["METRICS", "history_text", "parse_history", "read_history", "write_history"]

METRICS: Final = "metrics.csv"
# Columns that every version has written, whose cells may be empty.
_OFTEN_EMPTY: Final = frozenset({"validation_loss"})


def write_history(root: Path, history: Sequence[Epoch]) -> None:
    """Write all epochs of a run; what is None is an empty cell."""
    storage.write_atomic(root / METRICS, history_text(history))


def history_text(history: Sequence[Epoch]) -> bytes:
    """Return what the file of some epochs holds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Epoch)])
    writer.writerows(dataclasses.astuple(epoch) for epoch in history)
    return text.getvalue().encode()


def read_history(root: Path) -> tuple[Epoch, ...]:
    """Read the epochs of a run, which may be none yet.

    A column that may be None reads as None where an older version did not write it, and columns of
    a newer version are passed over.

    Raises
    ------
    InvalidCorpus
        If the file is damaged; the text names it.
    """
    path = root / METRICS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidCorpus(f"{path}: cannot be read: {error}") from error
    return parse_history(data, path)


def parse_history(data: bytes, path: Path) -> tuple[Epoch, ...]:
    """Return the epochs in what a file holds; see `read_history`."""
    try:
        text = io.StringIO(data.decode("utf-8"), newline="")
    except UnicodeDecodeError as error:
        raise InvalidCorpus(f"{path}: cannot be read: {error}") from error
    try:
        return tuple(map(_epoch, csv.DictReader(text)))
    except (ValueError, TypeError, csv.Error) as error:
        raise InvalidCorpus(f"{path}: not the epochs of a run: {error}") from error


def _epoch(row: Mapping[str, str | None]) -> Epoch:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Epoch):
        cell = row.get(field.name)
        if cell in (None, "") and field.default is None:
            continue
        if cell == "" and field.name in _OFTEN_EMPTY:
            values[field.name] = None
            continue
        if cell is None:
            raise ValueError(f"the column {field.name} is missing")
        values[field.name] = int(cell) if field.name == "epoch" else float(cell)
    return Epoch(**values)
