"""Parquet shards and the ``manifest.json`` that lies next to them.

A shard is written once, under a temporary name, and renamed; the manifest is written last, so a
folder with a manifest is a finished one. Columns follow from the record's annotations: the
dataclass in `records` is the schema.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "check_shards",
    "read_manifest",
    "read_records",
    "schema_of",
    "shard_entry",
    "write_manifest",
    "write_records",
]

MANIFEST: Final = "manifest.json"
SCHEMA_VERSION: Final = 1

R = TypeVar("R")

_COLUMNS: Final[dict[Any, pa.DataType]] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    npt.NDArray[np.float32]: pa.list_(pa.float32()),
    npt.NDArray[np.int32]: pa.list_(pa.int32()),
    npt.NDArray[np.uint8]: pa.list_(pa.uint8()),
}


def schema_of(record_type: type) -> pa.Schema:
    """Return the Arrow schema of a record type.

    Fields are str, int, float, bool, a StrEnum or a 1-D array of float32, int32 or uint8;
    ``| None`` makes a column nullable.
    """
    columns = []
    for name, hint in typing.get_type_hints(record_type).items():
        is_nullable = isinstance(hint, types.UnionType)
        if is_nullable:
            (hint,) = (h for h in typing.get_args(hint) if h is not types.NoneType)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            hint = str
        columns.append(pa.field(name, _COLUMNS[hint], nullable=is_nullable))
    return pa.schema(columns)


def write_records(path: Path, record_type: type[R], records: Iterable[R]) -> None:
    """Write records as one Parquet file (zstd), atomically; the same records, the same bytes.

    File names may hold bytes that are no text; these are written as backslash escapes.
    """
    names = [field.name for field in dataclasses.fields(record_type)]  # type: ignore[arg-type]
    rows = list(records)
    schema = schema_of(record_type)
    columns = [
        pa.array([_writable(getattr(row, name)) for row in rows], type=field.type)
        for name, field in zip(names, schema, strict=True)
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    storage.write_atomic(path, sink.getvalue().to_pybytes())


def read_records(paths: Path | Sequence[Path], record_type: type[R]) -> list[R]:
    """Read back what `write_records` wrote, shard after shard.

    Raises
    ------
    InvalidCorpus
        If a file is missing, is not Parquet or has other columns; the text names it.
    """
    records: list[R] = []
    schema, hints = schema_of(record_type), typing.get_type_hints(record_type)
    for path in [paths] if isinstance(paths, Path) else paths:
        try:
            with path.open("rb") as file:
                table = pq.ParquetFile(file).read()
            if not table.schema.equals(schema):
                raise InvalidCorpus(
                    f"{path}: columns are not those of a {record_type.__name__} record"
                )
            columns = [_values(table.column(name), hint) for name, hint in hints.items()]
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InvalidCorpus(f"{path}: cannot be read as Parquet: {error}") from error
        records.extend(record_type(*row) for row in zip(*columns, strict=True))
    return records


def _writable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _values(column: pa.ChunkedArray, hint: Any) -> list[Any]:
    if pa.types.is_list(column.type):
        return [np.asarray(cell.values) for cell in column]
    values: list[Any] = column.to_pylist()
    for kind in typing.get_args(hint) or (hint,):
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return [None if value is None else kind(value) for value in values]
    return values


def shard_entry(path: Path) -> dict[str, str | int]:
    """Return the manifest's line about one shard: file name, record count, SHA-256."""
    return {
        "file": path.name,
        "n_records": _count(path),
        "sha256": storage.file_hash(path),
    }


def _count(path: Path) -> int:
    with path.open("rb") as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


def write_manifest(folder: Path, header: dict[str, Any]) -> None:
    """Write ``manifest.json``, the last file of a finished stage."""
    content = {"schema_version": SCHEMA_VERSION, **header}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    storage.write_atomic(folder / MANIFEST, text.encode("utf-8", "backslashreplace"))


def read_manifest(folder: Path, stage: str) -> dict[str, Any]:
    """Read ``manifest.json`` of a stage.

    Raises
    ------
    InvalidCorpus
        If it is missing, unreadable, of another stage or of an unknown schema version.
    """
    path = folder / MANIFEST
    try:
        header = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: missing; not a finished {stage} folder") from None
    except (OSError, ValueError) as error:
        raise InvalidCorpus(f"{path}: cannot be read: {error}") from error
    if not isinstance(header, dict) or header.get("stage") != stage:
        raise InvalidCorpus(f"{path}: does not describe a {stage} folder")
    if header.get("schema_version") != SCHEMA_VERSION:
        raise InvalidCorpus(
            f"{path}: schema version {header.get('schema_version')}, "
            f"this stemsmith reads version {SCHEMA_VERSION}"
        )
    return header


def check_shards(folder: Path, header: dict[str, Any]) -> None:
    """Check that every shard named by a manifest is there, unchanged and complete.

    Raises
    ------
    InvalidCorpus
        Naming the first shard that is not.
    """
    entries = header.get("shards")
    fields = {"file", "n_records", "sha256"}
    if not isinstance(entries, list) or any(set(entry) != fields for entry in entries):
        raise InvalidCorpus(f"{folder / MANIFEST}: does not list its shards")
    for entry in entries:
        path = storage.inside(folder, entry["file"])
        if not path.is_file():
            raise InvalidCorpus(f"{path}: shard is missing")
        if storage.file_hash(path) != entry["sha256"]:
            raise InvalidCorpus(f"{path}: SHA-256 is not the one in {MANIFEST}")
        if _count(path) != entry["n_records"]:
            raise InvalidCorpus(f"{path}: not {entry['n_records']} records as in {MANIFEST}")
