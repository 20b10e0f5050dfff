"""Parquet shards and the ``manifest.json`` that lies next to them.

A shard is written once, under a temporary name, and renamed; the manifest is written last, so a
folder with a manifest is a finished one. Columns follow from the record's annotations: the
dataclass in `records` is the schema.

Records may grow. A later version adds nullable columns only, and reads files without them as None;
columns that it does not know, of a still later version, are passed over. What cannot be read that
way, a required column above all, needs another ``schema_version``, of which each stage has its own.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from stemsmith.manifests import documents, storage
from stemsmith.manifests.errors import InvalidCorpus, one_line, upgrade_command
from stemsmith.manifests.folder_kinds import MANIFEST, FolderKind, own_kind, refusal
from stemsmith.manifests.places import opened, sha256_of
from stemsmith.manifests.ranges import TextRule, interval_of, text_rule_of

__all__ = [
    "KINDS",
    "MANIFEST",
    "FileColumn",
    "RecordTable",
    "Table",
    "check_header",
    "check_shards",
    "iter_records",
    "manifest_bytes",
    "read_manifest",
    "read_records",
    "read_table",
    "schema_of",
    "schema_version_of",
    "shard_entry",
    "table_of",
    "write_manifest",
    "write_records",
    "writing_with_files",
]

# Of each stage whose folders have ever needed another one; all others are at the first.
_SCHEMA_VERSIONS: Final[dict[str, int]] = {}
_FIRST_VERSION: Final = 1
KINDS: Final = {  # of folders that a stage writes
    "corpus": (FolderKind.CORPUS, FolderKind.RENDITIONS),
    "mixtures": (FolderKind.MIXTURES,),
    "evaluation": (FolderKind.RESULTS,),
    "export": (FolderKind.EXPORT,),
}
_ENTRY: Final = {"file": str, "n_records": int, "sha256": str}  # of a shard in a manifest
_MOST_ROWS_PER_BYTE: Final = 100  # a row has hashes or numbers of its own
_ROWS_AT_ONCE: Final = 1024  # that are in memory where records are read one after another
_ROWS_CONVERTED: Final = 1 << 13  # that are in memory as records where many are written
_ROWS_OF_GROUP: Final = 1 << 20  # Arrow's own default

Table: TypeAlias = pa.Table  # this module alone imports Arrow; others name its tables

R = TypeVar("R")

_COLUMNS: Final[dict[Any, pa.DataType]] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    npt.NDArray[np.bool_]: pa.list_(pa.bool_()),
    npt.NDArray[np.float32]: pa.list_(pa.float32()),
    npt.NDArray[np.int32]: pa.list_(pa.int32()),
    npt.NDArray[np.uint8]: pa.list_(pa.uint8()),
}


def schema_of(record_type: type) -> pa.Schema:
    """Return the Arrow schema of a record type.

    Fields are str, int, float, bool, a StrEnum, a 1-D array of bool, float32, int32 or uint8, or a
    tuple of any length of str or of records, or a record; ``| None`` makes a column nullable.
    """
    columns = []
    for name, hint in _hints_of(record_type).items():
        inner, is_nullable = _without_none(hint)
        columns.append(pa.field(name, _type_of(inner), nullable=is_nullable))
    return pa.schema(columns)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return the type of a field's values, and whether there may be none."""
    if not isinstance(hint, types.UnionType):
        return hint, False
    (inner,) = (kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return inner, True


@functools.cache
def _hints_of(record_type: Hashable) -> dict[str, Any]:
    """Return the types of a record's fields; Python would read their text again at every call."""
    return typing.get_type_hints(typing.cast(type, record_type))


def _type_of(hint: Any) -> pa.DataType:
    if (item := _item_of(hint)) is not None:
        return pa.list_(_type_of(item))
    if dataclasses.is_dataclass(hint):
        return pa.struct(list(schema_of(typing.cast(type, hint))))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        hint = str
    return _COLUMNS[hint]


def _item_of(hint: Any) -> Any:
    """Return the type of a tuple's items, or None for what is no tuple."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def write_records(path: Path, record_type: type[R], records: Iterable[R]) -> None:
    """Write records as one Parquet file (zstd), atomically; the same records, the same bytes.

    Pages have checksums: without them, most flipped bits would be read as other numbers.

    File names may hold bytes that are no text; these are written as backslash escapes.
    """
    with (
        storage.atomic_file(path) as file,
        pq.ParquetWriter(
            file, schema_of(record_type), compression="zstd", write_page_checksum=True
        ) as writer,
    ):
        for rows in _groups_of_rows(records, record_type):
            writer.write_table(rows)


def _groups_of_rows(records: Iterable[R], record_type: type[R]) -> Iterator[Table]:
    """Yield records as tables, each a group of rows: as many as Arrow takes, and one at least."""
    rest, is_first = iter(records), True
    while True:
        tables: list[Table] = []
        while len(tables) < _ROWS_OF_GROUP // _ROWS_CONVERTED:
            if not (some := list(itertools.islice(rest, _ROWS_CONVERTED))):
                break
            tables.append(table_of(some, record_type))
        if not tables and not is_first:
            return
        yield pa.concat_tables(tables or [table_of([], record_type)]).combine_chunks()
        is_first = False


class FileColumn(NamedTuple):
    """A column that holds the content of files, beside the columns of records.

    Attributes
    ----------
    name : str
        Name of the column.
    is_audio : bool
        Whether it is audio, as `datasets.Audio` stores it: content and name of a file. Others have
        the content alone.
    sample_rate : int or None
        Sample rate of audio in Hz, if all files have the same.
    """

    name: str
    is_audio: bool
    sample_rate: int | None = None


Contents: TypeAlias = Mapping[str, Sequence[tuple[str, bytes] | None]]


@contextmanager
def writing_with_files(
    path: Path, record_type: type, columns: Sequence[FileColumn]
) -> Iterator[Callable[[Table, Contents], None]]:
    """Write a Parquet file that has the content of files beside records.

    The columns are described as ``datasets`` describes them (``huggingface`` in the metadata of the
    schema), so that its readers know the audio for what it is.

    Parameters
    ----------
    path : Path
        File to write.
    record_type : type
        Type of the records.
    columns : sequence of FileColumn
        The columns that follow those of the records.

    Yields
    ------
    callable
        Takes records as a table, and for each column the name and the content of each row's file,
        or None; they become one group of rows, and are the only ones in memory.
    """
    fields = [
        pa.field(c.name, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        if c.is_audio
        else pa.field(c.name, pa.binary())
        for c in columns
    ]
    records = schema_of(record_type)
    schema = pa.schema([*records, *fields], metadata={_HUGGING_FACE: _features(columns)})
    texts = [field.name for field in records if pa.types.is_string(field.type)]

    with (
        storage.naming(path),
        pq.ParquetWriter(
            path, schema, compression="zstd", write_page_checksum=True, use_dictionary=texts
        ) as writer,
    ):

        def write(rows: Table, contents: Contents) -> None:
            arrays = [column.combine_chunks() for column in rows.cast(records).columns]
            for column, field in zip(columns, fields, strict=True):
                files = contents[column.name]
                arrays.append(pa.array([_cell(file, column) for file in files], field.type))
            table = pa.Table.from_arrays(arrays, schema=schema)
            writer.write_table(table, row_group_size=max(len(rows), 1))

        yield write


_HUGGING_FACE: Final = b"huggingface"


def _cell(file: tuple[str, bytes] | None, column: FileColumn) -> Any:
    if file is None:
        return None
    name, content = file
    return {"bytes": content, "path": name} if column.is_audio else content


def _features(columns: Sequence[FileColumn]) -> bytes:
    """Return what ``datasets`` cannot see in a schema: which columns are audio."""
    features: dict[str, Any] = {}
    for column in columns:
        if column.is_audio:
            rate = {} if column.sample_rate is None else {"sampling_rate": column.sample_rate}
            features[column.name] = {**rate, "_type": "Audio"}
    return json.dumps({"info": {"features": features}}).encode()


def _columns(record_type: type, rows: Sequence[Any]) -> list[pa.Array]:
    hints = _hints_of(record_type)
    return [
        _column([getattr(row, field.name) for row in rows], hints[field.name], field.type)
        for field in schema_of(record_type)
    ]


def _column(values: Sequence[Any], hint: Any, arrow_type: pa.DataType) -> pa.Array:
    inner = _without_none(hint)[0]
    item = _item_of(inner)
    if dataclasses.is_dataclass(inner):
        values = [None if value is None else dataclasses.asdict(value) for value in values]
    if item is None:
        try:
            return pa.array(values, type=arrow_type)
        except UnicodeEncodeError:
            return pa.array([_escaped(value) for value in values], type=arrow_type)
    items = [member for value in values for member in value or ()]
    offsets = np.cumsum([0, *(len(value or ()) for value in values)], dtype=np.int32)
    is_none = pa.array([value is None for value in values], pa.bool_())
    if dataclasses.is_dataclass(item):
        record_type = typing.cast(type, item)
        members = pa.StructArray.from_arrays(
            _columns(record_type, items), fields=list(arrow_type.value_type)
        )
    else:
        members = _column(items, item, arrow_type.value_type)
    return pa.ListArray.from_arrays(offsets, members, type=arrow_type, mask=is_none)


def read_records(paths: Path | Sequence[Path], record_type: type[R]) -> list[R]:
    """Read back what `write_records` wrote, shard after shard.

    Raises
    ------
    InvalidCorpus
        If a file is missing, is not Parquet, or lacks a column that its records cannot do
        without; the text names it.
    """
    records: list[R] = []
    for path in paths if isinstance(paths, Sequence) else [paths]:
        records.extend(RecordTable(path, record_type)[:])
    return records


def read_table(paths: Sequence[Path], record_type: type) -> Table:
    """Read what `write_records` wrote, shard after shard, as one Arrow table.

    Parameters
    ----------
    paths : sequence of Path
        The shards; there may be none.
    record_type : type
        The dataclass whose fields are the columns.

    Returns
    -------
    pyarrow.Table
        One row a record; ``.to_pandas()`` makes a data frame of it where pandas is installed.

    Raises
    ------
    InvalidCorpus
        As `read_records` does.
    """
    tables = [RecordTable(path, record_type).table for path in paths]
    return pa.concat_tables([schema_of(record_type).empty_table(), *tables])


def table_of(records: Sequence[R], record_type: type[R]) -> Table:
    """Return records that are in memory as the Arrow table that `read_table` would read."""
    return pa.Table.from_arrays(_columns(record_type, records), schema=schema_of(record_type))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in what cannot be read."""
    try:
        yield
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise InvalidCorpus(f"{path}: cannot be read as Parquet: {one_line(error)}") from error


class _ShardFile(NamedTuple):
    """A Parquet file, its columns that records have, and whether they are exactly these."""

    file: Any
    columns: list[str]
    is_of_now: bool


@contextmanager
def _opened(path: Path, record_type: type) -> Iterator[_ShardFile]:
    """Open a file of records, after it was checked that it has their columns."""
    wanted = schema_of(record_type)
    with ExitStack() as stack:
        with _reading(path):
            file = stack.enter_context(opened(path))
            metadata = pq.read_metadata(file)
            schema = metadata.schema.to_arrow_schema()
            n_bytes = file.seek(0, os.SEEK_END)
        _refuse(path, record_type, _misfit(schema, wanted))
        _refuse(path, record_type, _excess(metadata, n_bytes))
        columns = metadata.schema
        # Of records that are None Arrow makes places in a list of texts that need not be there.
        records = {field.name for field in schema if pa.types.is_struct(field.type)}
        paths = [columns.column(i).path for i in range(len(columns))]
        texts = [name for name in paths if name.partition(".")[0] not in records]
        with _reading(path):
            shard = pq.ParquetFile(
                file,
                metadata=metadata,
                read_dictionary=texts,  # of which it takes those of text
                page_checksum_verification=True,
                pre_buffer=False,
            )
        names = [name for name in wanted.names if name in schema.names]
        yield _ShardFile(shard, names, schema.equals(wanted))


def _check(path: Path, table: Table, record_type: type) -> None:
    """Refuse what was read of a file if its records cannot be that."""
    with _reading(path):
        table.validate(full=True)  # of text, places in the list of all texts
    _refuse(path, record_type, _hollow(table, record_type))
    _refuse(path, record_type, _offence(table, record_type))


def _refuse(path: Path, record_type: type, problem: str) -> None:
    if problem:
        kind = record_type.__name__
        raise InvalidCorpus(f"{path}: not readable as {kind} records: {problem}")


def iter_records(paths: Iterable[Path], record_type: type[R]) -> Iterator[R]:
    """Yield records one after another, of which a thousand are in memory.

    Parameters
    ----------
    paths : iterable of Path
        What `write_records` wrote.
    record_type : type
        Of the records, or a dataclass with some of their fields: no others are read.

    Raises
    ------
    InvalidCorpus
        As `read_records` does, when the record is reached.
    """
    for path in paths:
        with _opened(path, record_type) as shard:
            batches = shard.file.iter_batches(
                _ROWS_AT_ONCE, columns=shard.columns, use_threads=False
            )
            while True:
                with _reading(path):
                    batch = next(batches, None)
                if batch is None:
                    break
                table = pa.Table.from_batches([batch])
                _check(path, table, record_type)
                with _reading(path):
                    rows = _rows(table, record_type)
                yield from rows


class RecordTable(Sequence[R]):
    """Records of one file that are made when they are asked for: for a million of them.

    They lie in Arrow's columns, the same text once: in a tenth of the memory.

    Parameters
    ----------
    path : Path
        What `write_records` wrote.
    record_type : type
        Of the records.

    Raises
    ------
    InvalidCorpus
        As `read_records` does.
    """

    def __init__(self, path: Path, record_type: type[R]) -> None:
        self._path, self._type = path, record_type
        with _opened(path, record_type) as shard, _reading(path):
            self._is_of_now = shard.is_of_now
            self._table = shard.file.read(
                columns=shard.columns,
                use_threads=False,  # small files; no threads to wait for at exit
            )
        _check(path, self._table, record_type)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> list[R]: ...
    def __getitem__(self, index: int | slice) -> R | list[R]:
        rows = range(len(self))[index]  # IndexError beyond the end
        with _reading(self._path):
            if isinstance(rows, int):
                return self._take([rows])[0]
            return self._take(rows)

    def _take(self, rows: Sequence[int]) -> list[R]:
        is_all = rows == range(len(self))
        taken = self._table if is_all else self._table.take(pa.array(rows, pa.int64()))
        return _rows(taken, self._type)

    @property
    def table(self) -> Table:
        """All columns that `schema_of` gives the record; nulls where the file lacks one."""
        if self._is_of_now:
            return self._table.cast(schema_of(self._type))
        return table_of(self[:], self._type)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers, (n_records,)."""
        values: npt.NDArray[Any] = self._table.column(name).to_numpy()
        return values

    def n_given(self, name: str) -> int:
        """Return how many records have something in a nullable column."""
        if name not in self._table.schema.names:
            return 0
        return len(self) - int(self._table.column(name).null_count)

    def distinct(self, name: str, *fields: str) -> list[dict[str, Any]]:
        """Return the different combinations of some fields in a column of records, or of lists."""
        if name not in self._table.schema.names:  # a nullable one that the file does not have
            return []
        column = self._table.column(name).combine_chunks()
        records = column.flatten() if pa.types.is_list(column.type) else column.drop_null()
        members = pa.Table.from_struct_array(records)
        groups = members.select(fields).group_by(fields, use_threads=False)
        rows: list[dict[str, Any]] = groups.aggregate([]).to_pylist()
        return rows


def _misfit(found: Any, wanted: Any) -> str:
    """Say why columns, or the fields of a column of records, cannot be read as what is wanted.

    Nothing if they can: a nullable column may be missing, and unknown ones are no obstacle.
    """
    for field in wanted:
        index = found.get_field_index(field.name)
        if index < 0:
            if not field.nullable:
                return f"the column {field.name} is missing"
            continue
        if problem := _type_misfit(found.field(index).type, field.type):
            return f"the column {field.name} {problem}"
    return ""


def _type_misfit(found: pa.DataType, wanted: pa.DataType) -> str:
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _type_misfit(found.value_type, wanted.value_type)
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        problem = _misfit(found, wanted)
        return f"of records: {problem}" if problem else ""
    return "" if found == wanted else f"holds {found}, not {wanted}"


def _hollow(table: Any, record_type: type) -> str:
    """Name the first column that has a null where its records cannot have None, or nothing."""
    required = [field.name for field in schema_of(record_type) if not field.nullable]
    hollow = next((name for name in required if table.column(name).null_count), None)
    return f"the column {hollow} has empty cells" if hollow else ""


def _excess(metadata: Any, n_bytes: int) -> str:
    """Say whether a file claims to hold more rows than its bytes can: a few may stand for billions.

    What it says of single columns is not asked for: Arrow ends the process where that is damaged.
    """
    is_too_many = metadata.num_rows > _MOST_ROWS_PER_BYTE * n_bytes
    return f"{metadata.num_rows} rows in {n_bytes} bytes" if is_too_many else ""


def _offence(table: Any, record_type: type) -> str:
    """Name the first column of a table with a value that it cannot have, or nothing."""
    for name, hint in _hints_of(record_type).items():
        if name in table.schema.names:
            for chunk in table.column(name).chunks:
                if problem := _column_offence(name, chunk, _without_none(hint)[0]):
                    return problem
    return _uneven(table)


def _column_offence(name: str, column: pa.Array, hint: Any) -> str:
    """As `_offence`, of an array and of what is in its lists; no row is looked at alone."""
    if pa.types.is_list(column.type):
        item, members = _item_of(hint), column.flatten()
        if members.null_count:
            return f"the column {name} has empty cells"
        is_record = dataclasses.is_dataclass(item)
        return _member_offence(members, item) if is_record else _column_offence(name, members, item)
    if pa.types.is_struct(column.type):
        return _member_offence(column.drop_null(), hint)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary
    column = column.drop_null()
    if pa.types.is_string(column.type):
        return _text_offence(name, column, hint)
    if (interval := interval_of(name)) is None or not len(column):
        return ""
    values = column.to_numpy(zero_copy_only=False)
    is_right = (values >= interval.least) & (values <= interval.greatest)  # NaN is neither
    if interval.is_nan_allowed:
        is_right |= np.isnan(values)
    if is_right.all():
        return ""
    least, greatest = (f"{bound:.12g}" for bound in interval[:2])
    return f"{name} is {values[~is_right][0]}, which is not in {least} to {greatest}"


def _member_offence(members: pa.StructArray, record_type: Any) -> str:
    """As `_offence`, of the records in the lists of a column."""
    for name, hint in _hints_of(record_type).items():
        if members.type.get_field_index(name) < 0:
            continue
        (inner, is_nullable), column = _without_none(hint), members.field(name)
        if column.null_count and not is_nullable:
            return f"the column {name} has empty cells"
        if problem := _column_offence(name, column, inner):
            return problem
    return ""


def _text_offence(name: str, column: pa.Array, hint: Any) -> str:
    rule = text_rule_of(name)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        rule = TextRule(f"^({'|'.join(hint)})$", False, f"not {' or '.join(hint)}")
    if rule is None:
        return ""
    is_found = pc.match_substring_regex(column, rule.pattern)
    wrong = column.filter(is_found if rule.is_offence else pc.invert(is_found))
    return f"{name} is {wrong[0].as_py()!r}, {rule.complaint}" if len(wrong) else ""


def _uneven(table: Any) -> str:
    """Name a column with a list of all notes that has not as many entries as there are notes."""
    if "n_notes" not in table.schema.names:
        return ""
    for name in table.schema.names:
        column = table.column(name)
        if name.startswith("note_") and pa.types.is_list(column.type):
            is_even = pc.equal(pc.list_value_length(column), table.column("n_notes"))
            if pc.all(is_even).as_py() is False:  # nulls have no length, and do not count
                return f"{name} has not as many entries as n_notes says"
    return ""


def _rows(table: Any, record_type: type[R]) -> list[R]:
    """Return the records of a table, or of a struct array; None where a column is missing."""
    is_table = isinstance(table, pa.Table)
    known = set(table.schema.names if is_table else (field.name for field in table.type))
    columns = []
    for name, hint in _hints_of(typing.cast(Hashable, record_type)).items():
        if name not in known:
            columns.append([None] * len(table))
            continue
        column = table.column(name).combine_chunks() if is_table else table.field(name)
        columns.append(_values(column, _without_none(hint)[0]))
    return [record_type(*row) for row in zip(*columns, strict=True)]


def _escaped(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _values(column: pa.Array, hint: Any) -> list[Any]:
    item = _item_of(hint)
    if item is not None:
        is_record = dataclasses.is_dataclass(item)
        members: list[Any] = (
            _rows(column.values, typing.cast(type, item))
            if is_record
            else _values(column.values, item)
        )
        spans = itertools.pairwise(column.offsets.to_pylist())
        is_there = column.is_valid().to_pylist()
        return [
            tuple(members[start:end]) if there else None
            for (start, end), there in zip(spans, is_there, strict=True)
        ]
    if pa.types.is_list(column.type):
        flat, ends = column.values.to_numpy(zero_copy_only=False), column.offsets.to_pylist()
        cells = zip(itertools.pairwise(ends), column.is_valid().to_pylist(), strict=True)
        return [flat[start:end] if there else None for (start, end), there in cells]
    if pa.types.is_struct(column.type):
        rows: Iterator[Any] = iter(_rows(column.drop_null(), typing.cast(type, hint)))
        return [next(rows) if there else None for there in column.is_valid().to_pylist()]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[Any] = column.to_pylist()
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return [None if value is None else hint(value) for value in values]
    return values


def shard_entry(path: Path) -> dict[str, str | int]:
    """Return the manifest's line about one shard: file name, record count, SHA-256."""
    return {
        "file": path.name,
        "n_records": _count(path),
        "sha256": storage.file_hash(path),
    }


def _count(path: Path) -> int:
    with _reading(path), opened(path) as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


def schema_version_of(stage: str) -> int:
    """Return the version of the folders that a stage writes, the highest one that is read."""
    return _SCHEMA_VERSIONS.get(stage, _FIRST_VERSION)


def write_manifest(folder: Path, header: dict[str, Any]) -> None:
    """Write ``manifest.json``, the last file of a finished stage."""
    storage.write_atomic(folder / MANIFEST, manifest_bytes(header))


def manifest_bytes(header: Mapping[str, Any]) -> bytes:
    """Return the content of a ``manifest.json``."""
    content = {"schema_version": schema_version_of(header["stage"]), **header}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def read_manifest(folder: Path, *stages: str) -> dict[str, Any]:
    """Read ``manifest.json`` of one of some stages.

    Raises
    ------
    InvalidCorpus
        If it is missing, unreadable, of another stage or of a newer schema version.
    """
    path = folder / MANIFEST
    stage = " or ".join(stages)
    try:
        header: Any = documents.read_json(path, InvalidCorpus)
    except FileNotFoundError:
        raise InvalidCorpus(_refusal(folder, stages)) from None
    if not isinstance(header, dict) or header.get("stage") not in stages:
        if own_kind(folder) is not None:
            raise InvalidCorpus(_refusal(folder, stages))
        raise InvalidCorpus(f"{path}: does not describe a {stage} folder")
    version, known = header.get("schema_version"), schema_version_of(header["stage"])
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidCorpus(f"{path}: schema version {version!r} is none of a {stage} folder")
    if version > known:
        versions = header.get("versions")
        known_versions = versions if isinstance(versions, dict) else {}
        made_by = known_versions.get("stemsmith", "a later version")
        raise InvalidCorpus(
            f"{path}: written by stemsmith {made_by} with schema version {version}, and this one "
            f"reads up to {known}: {upgrade_command()}"
        )
    return dict(header)


def _refusal(folder: Path, stages: Sequence[str]) -> str:
    """Say what a folder is that has no manifest of some stages."""
    wanted = [kind for stage in stages for kind in KINDS.get(stage, ())]
    missing = f"{folder / MANIFEST}: missing; not a finished {' or '.join(stages)} folder"
    return refusal(folder, *wanted, otherwise=missing) if wanted else missing


def check_header(folder: Path, header: Mapping[str, Any], shape: Mapping[str, Any]) -> None:
    """Check that a manifest says what whoever reads it is going to ask.

    Parameters
    ----------
    folder : Path
        Folder of the manifest.
    header : mapping
        What the manifest says.
    shape : mapping
        The keys that it must have, and their shapes, as `stemsmith.manifests.documents.misfit` has
        them.

    Raises
    ------
    InvalidCorpus
        Naming the first key that is missing or not of its shape.
    """
    if problem := documents.misfit(header, shape):
        raise InvalidCorpus(f"{folder / MANIFEST}: {problem}")


def check_shards(folder: Path, header: dict[str, Any]) -> None:
    """Check that every shard named by a manifest is there, unchanged and complete.

    Raises
    ------
    InvalidCorpus
        Naming the first shard that is not.
    """
    if documents.misfit(header, {"shards": documents.Every(list, _ENTRY)}):
        raise InvalidCorpus(f"{folder / MANIFEST}: does not list its shards")
    entries = header["shards"]
    for entry in entries:
        path = storage.inside(folder, entry["file"])
        if not path.is_file():
            raise InvalidCorpus(f"{path}: shard is missing")
        if sha256_of(path) != entry["sha256"]:
            raise InvalidCorpus(f"{path}: SHA-256 is not the one in {MANIFEST}")
        if _count(path) != entry["n_records"]:
            raise InvalidCorpus(f"{path}: not {entry['n_records']} records as in {MANIFEST}")
