"""Tables of a corpus with the content of files in their rows, as Parquet or as WebDataset.

A row is a record of the corpus with all its columns, and after them the files that it names, byte
for byte. Memory is bounded by the files of one group of rows, and files by `SHARD_BYTES`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests import places, storage
from stemsmith.manifests.corpus import PIECES, SONGS, Corpus
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.shards import FileColumn, Table, schema_of, writing_with_files
from stemsmith.manifests.tar_shards import writing_tar
from stemsmith.render.corpus.card import TITLES
from stemsmith.render.songs.metadata import SOURCE_MIDI
from stemsmith.share.exports.corpus_songs import RecordedFile

__all__ = [
    "SHARD_BYTES",
    "HubTable",
    "hub_features",
    "hub_tables",
    "recorded_files",
    "write_parquet",
    "write_tars",
]

SHARD_BYTES: Final = 500_000_000  # of files; what the Hub recommends
_GROUP_BYTES: Final = 64 << 20


class _Embedded(NamedTuple):
    """A file that the rows of a table name.

    Attributes
    ----------
    column : str
        Column that is to hold its content.
    path, sha256 : str
        Columns of the record that say where it is, and its hash.
    below : str
        What follows the path, if that is one of a folder.
    ending : str
        Ending of its name in tar files.
    """

    column: str
    path: str
    sha256: str
    below: str = ""
    ending: str = "flac"

    @property
    def is_audio(self) -> bool:
        return self.ending != "mid"

    def recorded(self, row: Mapping[str, Any]) -> RecordedFile | None:
        """Return the file that a row names; None if it names none."""
        path, sha256 = row[self.path], row[self.sha256]
        is_named = path is not None and sha256 is not None
        return RecordedFile(f"{path}{self.below}", sha256) if is_named else None


_OF_STEMS: Final = (
    _Embedded("audio", "path", "sha256"),
    _Embedded("dry_audio", "dry_path", "dry_sha256", ending="dry.flac"),
    _Embedded("midi", "midi_path", "midi_sha256", ending="mid"),
)
_FILES: Final[Mapping[str, tuple[_Embedded, ...]]] = {
    SONGS: (
        _Embedded("audio", "mix_path", "mix_sha256"),
        _Embedded("master_audio", "master_path", "master_sha256", ending="master.flac"),
        _Embedded("midi", "path", "midi_sha256", f"/{SOURCE_MIDI}", "mid"),
    ),
    RENDITIONS: (),
    "stems": _OF_STEMS,
    PIECES: _OF_STEMS,
}


class HubTable(NamedTuple):
    """A table of a corpus.

    Attributes
    ----------
    name : str
        ``songs``, ``stems``, ``pieces`` or ``renditions``.
    record_type : type
        Type of its records.
    columns : tuple of FileColumn
        The columns that hold files.
    """

    name: str
    record_type: type
    columns: tuple[FileColumn, ...]


def hub_tables(corpus: Corpus) -> list[HubTable]:
    """Return the tables of a corpus, with those columns of files that any of its rows has."""
    kinds = (RENDITIONS, "stems") if corpus.kind == RENDITIONS else (SONGS, "stems", PIECES)
    found = []
    for name in (title for title in TITLES if title in kinds):
        used, rates, n_rows = set[str](), set[int](), 0
        for row in _file_rows(corpus, name, "sample_rate"):
            used |= {file.column for file in _files_of(corpus, name) if file.recorded(row)}
            rates.add(row["sample_rate"])
            n_rows += 1
        rate = rates.pop() if len(rates) == 1 else None
        columns = tuple(
            FileColumn(file.column, file.is_audio, rate if file.is_audio else None)
            for file in _files_of(corpus, name)
            if file.column in used
        )
        if n_rows:
            found.append(HubTable(name, corpus.record_type(name), columns))
    return found


def _files_of(corpus: Corpus, name: str) -> tuple[_Embedded, ...]:
    names = schema_of(corpus.record_type(name)).names
    return tuple(file for file in _FILES[name] if file.path in names)


def _file_rows(corpus: Corpus, name: str, *more: str) -> Iterator[dict[str, Any]]:
    """Yield what the records of one kind say of files, and some columns more."""
    wanted = {"track", "split", *more}
    wanted |= {column for file in _files_of(corpus, name) for column in (file.path, file.sha256)}
    for table in corpus.iter_tables(name):
        yield from table.select(sorted(wanted)).to_pylist()


def recorded_files(corpus: Corpus) -> dict[tuple[str, str], list[RecordedFile]]:
    """Return all files that rows would hold, by split and label of the song that they are of."""
    found: dict[tuple[str, str], list[RecordedFile]] = {}
    for table in hub_tables(corpus):
        for row in _file_rows(corpus, table.name):
            files = found.setdefault((row["split"], row["track"]), [])
            named = (file.recorded(row) for file in _files_of(corpus, table.name))
            files += [file for file in named if file is not None]
    return found


class _RowGroup(NamedTuple):
    """Rows that are in memory at a time."""

    rows: Table
    files: list[dict[str, RecordedFile | None]]
    n_bytes: int


def _groups(
    corpus: Corpus, table: HubTable, split: str, tracks: Collection[str]
) -> Iterator[_RowGroup]:
    """Yield the rows of some songs of a split, as many at a time as may be in memory."""
    embedded = [
        f for f in _files_of(corpus, table.name) if f.column in {c.name for c in table.columns}
    ]
    for records in corpus.iter_tables(table.name):
        labels = zip(*(records.column(c).to_pylist() for c in ("track", "split")), strict=True)
        chosen = [n for n, (track, its) in enumerate(labels) if its == split and track in tracks]
        if not chosen:
            continue
        rows = records.take(chosen)
        paths = rows.select([c for c in rows.schema.names if c in _naming(embedded)]).to_pylist()
        files = [{f.column: f.recorded(row) for f in embedded} for row in paths]
        sizes = [sum(_size(corpus.root, file) for file in row.values()) for row in files]
        start = n_bytes = 0
        for end in range(1, len(files) + 1):
            n_bytes += sizes[end - 1]
            if end == len(files) or n_bytes + sizes[end] > _GROUP_BYTES:
                yield _RowGroup(rows.slice(start, end - start), files[start:end], n_bytes)
                start, n_bytes = end, 0


def _naming(embedded: Sequence[_Embedded]) -> set[str]:
    return {column for file in embedded for column in (file.path, file.sha256)}


def _size(root: Path, file: RecordedFile | None) -> int:
    return 0 if file is None else places.size_of(storage.inside(root, file.path))


def _shards(groups: Iterator[_RowGroup]) -> Iterator[list[_RowGroup]]:
    """Yield the groups of one file after the other."""
    waiting: list[_RowGroup] = []
    for group in groups:
        if waiting and sum(g.n_bytes for g in waiting) + group.n_bytes > SHARD_BYTES:
            yield waiting
            waiting = []
        waiting.append(group)
    if waiting:
        yield waiting


def write_parquet(
    corpus: Corpus, table: HubTable, split: str, tracks: Collection[str], folder: Path
) -> int:
    """Write the rows of a split as ``TABLE/SPLIT-NNNNN.parquet``.

    Parameters
    ----------
    corpus : Corpus
        Corpus whose files have been checked.
    table : HubTable
        Which of its tables.
    split : str
        Split whose rows are written.
    tracks : collection of str
        Labels of the songs that are written.
    folder : Path
        Folder to write to.

    Returns
    -------
    int
        Number of rows; no file is written for none.
    """
    n_rows = 0
    groups = _groups(corpus, table, split, tracks)
    for number, shard in enumerate(_shards(groups)):
        path = folder / table.name / f"{split}-{number:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_with_files(path, table.record_type, table.columns) as write:
            for group in shard:
                write(group.rows, _contents(corpus.root, table, group))
                n_rows += len(group.files)
    return n_rows


def _contents(
    root: Path, table: HubTable, group: _RowGroup
) -> dict[str, list[tuple[str, bytes] | None]]:
    return {
        column.name: [_read(root, files[column.name]) for files in group.files]
        for column in table.columns
    }


def _read(root: Path, file: RecordedFile | None) -> tuple[str, bytes] | None:
    return None if file is None else (file.path, places.read_bytes(storage.inside(root, file.path)))


def write_tars(
    corpus: Corpus, table: HubTable, split: str, tracks: Collection[str], folder: Path
) -> int:
    """Write the rows of a split as ``TABLE/SPLIT-NNNNN.tar``; parameters as of `write_parquet`.

    The key of a sample is the song's label, with the name of the stem, or with the number of the
    rendition.
    """
    n_rows = 0
    endings = {file.column: file.ending for file in _FILES[table.name]}
    for number, shard in enumerate(_shards(_groups(corpus, table, split, tracks))):
        path = folder / table.name / f"{split}-{number:05d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.naming(path), path.open("wb") as shard_file, writing_tar(shard_file) as add:
            for group in shard:
                for row, files in zip(group.rows.to_pylist(), group.files, strict=True):
                    key = _key(table.name, row)
                    for column, file in files.items():
                        if (read := _read(corpus.root, file)) is not None:
                            add(f"{key}.{endings[column]}", read[1])
                    add(f"{key}.json", record_json(row))
                    n_rows += 1
    return n_rows


def _key(name: str, row: Mapping[str, Any]) -> str:
    if name == SONGS:
        return str(row["track"])
    if name == RENDITIONS:
        return f"{row['track']}-{row['point']}"
    is_of_song = "/" in row["stem_id"]  # stems of renditions have a hash
    return f"{row['track']}_{row['stem'] if is_of_song else row['stem_id']}"


def record_json(row: Mapping[str, Any]) -> bytes:
    """Return a record as JSON, which has no other value for NaN than null."""
    plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "backslashreplace")


def hub_features(table: HubTable) -> dict[str, Any]:
    """Return what ``datasets`` has to know of the samples in tar files, since JSON says too little.

    Parameters
    ----------
    table : HubTable
        A table that `write_tars` has written.

    Returns
    -------
    dict
        An entry of ``dataset_info`` in a dataset card.
    """
    fields = [_feature(field.name, field.type) for field in schema_of(table.record_type)]
    # Not "audio": as that, `datasets` loads nothing where torchcodec is not installed.
    endings = {file.column: file.ending for file in _FILES[table.name]}
    files = [{"name": endings[column.name], "dtype": "binary"} for column in table.columns]
    texts = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return {
        "config_name": table.name,
        "features": [*texts, *files, {"name": "json", "struct": fields}],
    }


def _feature(name: str, arrow_type: Any) -> dict[str, Any]:
    text = str(arrow_type)
    if not text.startswith("list<"):
        return {"name": name, "dtype": _named(text)}
    item = arrow_type.value_type
    if not str(item).startswith("struct<"):
        return {"name": name, "list": _named(str(item))}
    members = (item.field(number) for number in range(item.num_fields))
    return {"name": name, "list": [_feature(member.name, member.type) for member in members]}


def _named(arrow_type: str) -> str:
    return {"double": "float64", "float": "float32"}.get(arrow_type, arrow_type)
