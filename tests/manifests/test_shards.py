"""Records on disk, and the manifest that vouches for them."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.benchmark.results import SongScore
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.records import Reason, Rejection, Song, Stem
from stemsmith.manifests.renditions import RenditionStem


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, eq=False)
class Everything:
    text: str
    count: int
    level: float
    is_set: bool
    colour: Colour
    maybe_text: str | None
    maybe_count: int | None
    maybe_level: float | None
    maybe_colour: Colour | None
    powers: npt.NDArray[np.float32]
    onsets: npt.NDArray[np.int32]
    pitches: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Note:
    name: str
    pitch: int


def everything(**values: Any) -> Everything:
    return Everything(
        **{
            "text": "Märchen 🎹 \0 \n",
            "count": -(1 << 63),
            "level": 0.1,
            "is_set": True,
            "colour": Colour.BLUE,
            "maybe_text": None,
            "maybe_count": None,
            "maybe_level": None,
            "maybe_colour": None,
            "powers": np.array([0.1, 0, 1e-40, 3e38], np.float32),
            "onsets": np.array([-(1 << 31), (1 << 31) - 1], np.int32),
            "pitches": np.array([0, 255], np.uint8),
            **values,
        }
    )


def assert_same(read: list[Everything], written: list[Everything]) -> None:
    assert len(read) == len(written)
    for one, other in zip(read, written, strict=True):
        for field in dataclasses.fields(Everything):
            value, expected = getattr(one, field.name), getattr(other, field.name)
            assert type(value) is type(expected), field.name
            if isinstance(expected, np.ndarray):
                assert value.dtype == expected.dtype, field.name
                assert value.tobytes() == expected.tobytes(), field.name
            elif isinstance(expected, float) and math.isnan(expected):
                assert math.isnan(value), field.name
            else:
                assert value == expected, field.name


def any_array(dtype: type[np.generic]) -> st.SearchStrategy[Any]:
    return hnp.arrays(dtype, st.integers(0, 9))


int64 = st.integers(-(1 << 63), (1 << 63) - 1)
any_record = st.builds(
    Everything,
    text=st.text(),
    count=int64,
    level=st.floats(),
    is_set=st.booleans(),
    colour=st.sampled_from(Colour),
    maybe_text=st.none() | st.text(),
    maybe_count=st.none() | int64,
    maybe_level=st.none() | st.floats(),
    maybe_colour=st.none() | st.sampled_from(Colour),
    powers=any_array(np.float32),
    onsets=any_array(np.int32),
    pitches=any_array(np.uint8),
)

NOTES = [Note("a", 60), Note("b", 62)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes-00000.parquet"


def write_table(path: Path, **columns: pa.Array) -> None:
    pq.write_table(pa.table(columns), path)


@settings(deadline=None)
@given(st.lists(any_record, max_size=4))
def test_what_was_written_is_read_back(folder: Path, records: list[Everything]) -> None:
    path = folder / "records-00000.parquet"
    shards.write_records(path, Everything, records)
    assert_same(shards.read_records(path, Everything), records)


def test_limits_of_every_kind_of_column_are_kept(path: Path) -> None:
    records = [
        everything(),
        everything(count=(1 << 63) - 1, level=math.inf, maybe_level=-math.inf),
        everything(level=math.nan, maybe_level=math.nan, text=""),
        everything(maybe_text="", maybe_count=0, maybe_level=-0.0, maybe_colour=Colour.RED),
        everything(powers=np.array([np.nan, -np.inf], np.float32)),
    ]
    shards.write_records(path, Everything, records)
    assert_same(shards.read_records(path, Everything), records)


def test_empty_arrays_stay_empty_arrays_of_their_type(path: Path) -> None:
    empty = everything(
        powers=np.zeros(0, np.float32), onsets=np.zeros(0, np.int32), pitches=np.zeros(0, np.uint8)
    )
    records = [empty, everything(), empty]
    shards.write_records(path, Everything, records)
    assert_same(shards.read_records(path, Everything), records)


def test_a_shard_without_records_has_columns_and_no_rows(path: Path) -> None:
    shards.write_records(path, Everything, [])
    assert shards.read_records(path, Everything) == []
    assert pq.read_schema(path).names == [f.name for f in dataclasses.fields(Everything)]


@settings(deadline=None, max_examples=30)
@given(st.lists(any_record, min_size=1, max_size=6), st.data())
def test_a_table_makes_the_same_records_one_by_one(
    folder: Path, records: list[Everything], data: st.DataObject
) -> None:
    shards.write_records(folder / "a.parquet", Everything, records)
    table = shards.RecordTable(folder / "a.parquet", Everything)
    assert_same(list(table), records)
    assert_same(list(pickle.loads(pickle.dumps(table))), records)
    some = data.draw(st.slices(len(records)))
    assert_same(table[some], records[some])
    assert_same([table[-1]], records[-1:])
    for beyond in (len(records), -len(records) - 1):
        with pytest.raises(IndexError):
            table[beyond]
    assert table.column("count").tolist() == [record.count for record in records]


@dataclass(frozen=True)
class Chord:
    name: str
    notes: tuple[Note, ...]


def test_a_table_knows_what_is_in_its_lists(path: Path) -> None:
    chords = [
        Chord("a", (Note("c", 60), Note("e", 64))),
        Chord("b", ()),
        Chord("c", (Note("e", 76), Note("c", 60))),
    ]
    shards.write_records(path, Chord, chords)
    table = shards.RecordTable(path, Chord)
    assert [table[1], table[2], *table[::-2]] == [chords[1], chords[2], chords[2], chords[0]]
    assert table.distinct("notes", "name") == [{"name": "c"}, {"name": "e"}]
    found = table.distinct("notes", "name", "pitch")
    assert [(note["name"], note["pitch"]) for note in found] == [("c", 60), ("e", 64), ("e", 76)]


def test_a_table_of_many_records_is_small(path: Path) -> None:
    """What training holds of a million recipes."""
    n = 20_000
    notes = (Note("a rather long name of a note", 60), Note("another one", 64))
    shards.write_records(path, Chord, (Chord(f"{i:08d}", notes) for i in range(n)))
    table = shards.RecordTable(path, Chord)
    assert len(pickle.dumps(table)) < 100 * n
    assert table[n - 1] == Chord(f"{n - 1:08d}", notes)


@dataclass(frozen=True)
class Pitched:
    """A part of `Note`."""

    pitch: int


@dataclass(frozen=True)
class Counted:
    n_notes: int


@pytest.mark.parametrize("n_at_once", [1, 3, 100])
def test_records_come_one_after_another_as_they_do_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_at_once: int
) -> None:
    monkeypatch.setattr(shards, "_ROWS_AT_ONCE", n_at_once)
    several = [[everything(count=k, text=f"{k % 3}") for k in range(n)] for n in (5, 0, 4)]
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for path, records in zip(paths, several, strict=True):
        shards.write_records(path, Everything, records)
    found = list(shards.iter_records(paths, Everything))
    assert_same(found, shards.read_records(paths, Everything))
    assert len(found) == 9
    shards.write_records(paths[0], Note, NOTES)
    pitches = [Pitched(note.pitch) for note in NOTES]
    assert list(shards.iter_records(paths[:1], Pitched)) == pitches


def test_what_is_wrong_with_a_later_record_is_found_when_it_is_reached(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_ROWS_AT_ONCE", 2)
    shards.write_records(path, Counted, [Counted(n) for n in (1, 2, 3, -4, 5)])
    found = shards.iter_records([path], Counted)
    assert [next(found).n_notes for _ in range(2)] == [1, 2]
    with pytest.raises(InvalidCorpus, match=f"{re.escape(str(path))}: .*n_notes is -4"):
        next(found)
    with pytest.raises(InvalidCorpus, match="cannot be read"):
        next(shards.iter_records([path.with_name("none.parquet")], Rejection))


@pytest.mark.parametrize("n_records", [0, 1, 6, 7, 12, 20])
def test_groups_of_rows_are_those_that_arrow_makes(
    path: Path, monkeypatch: pytest.MonkeyPatch, n_records: int
) -> None:
    """The same bytes, though not all records are in memory at a time."""
    monkeypatch.setattr(shards, "_ROWS_CONVERTED", 3)
    monkeypatch.setattr(shards, "_ROWS_OF_GROUP", 6)
    records = [everything(count=k, text="same", maybe_text=str(k)) for k in range(n_records)]
    shards.write_records(path, Everything, iter(records))
    sink = pa.BufferOutputStream()
    table = shards.table_of(records, Everything)
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    pq.write_table(table, sink, row_group_size=6, **options)
    assert path.read_bytes() == sink.getvalue().to_pybytes()


def test_records_may_come_from_a_generator(path: Path) -> None:
    shards.write_records(path, Note, (note for note in NOTES))
    assert shards.read_records(path, Note) == NOTES


def test_a_strided_array_is_written_as_it_looks(path: Path) -> None:
    shards.write_records(path, Everything, [everything(onsets=np.arange(9, dtype=np.int32)[::3])])
    assert shards.read_records(path, Everything)[0].onsets.tolist() == [0, 3, 6]


def test_reasons_come_back_as_reasons(path: Path) -> None:
    rejections = [Rejection(f"{reason}.mid", "scan", reason, "no") for reason in Reason]
    shards.write_records(path, Rejection, rejections)
    read = shards.read_records(path, Rejection)
    assert read == rejections
    assert [type(rejection.reason) for rejection in read] == [Reason] * len(Reason)


def test_a_word_that_is_no_member_of_an_enumeration_is_refused_by_name(path: Path) -> None:
    schema = shards.schema_of(Rejection)
    rows = [{"id": "a", "stage": "scan", "reason": "no-reason", "detail": ""}]
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        shards.read_records(path, Rejection)


def test_names_that_are_not_utf_8_are_recorded_with_escapes(path: Path) -> None:
    names = ["caf\udce9.mid", "caf\udce8.mid", "café.mid"]
    rejections = [Rejection(name, "scan", Reason.NOT_MIDI, f"{name}: no") for name in names]
    shards.write_records(path, Rejection, rejections)
    read = shards.read_records(path, Rejection)
    assert [r.id for r in read] == [r"caf\udce9.mid", r"caf\udce8.mid", "café.mid"]
    assert read[0].detail == r"caf\udce9.mid: no"


def test_records_of_a_song_and_its_stems_survive(path: Path) -> None:
    words = {f.name: f"the {f.name}" for f in dataclasses.fields(Song) if f.type == "str"}
    song = Song(
        **{**words, "split": "test"},
        sample_rate=44100,
        n_samples=441000,
        overall_gain_db=-0.1234,
        mix_peak_dbfs=None,
        n_stems=1,
    )
    shards.write_records(path, Song, [song])
    assert shards.read_records(path, Song) == [song]
    words = {f.name: f"the {f.name}" for f in dataclasses.fields(Stem) if f.type == "str"}
    stem = Stem(
        **{**words, "split": "test"},
        program=128,
        sample_rate=44100,
        n_samples=441000,
        loudness_lufs=None,
        gain_db=0.0,
        is_silent=True,
        is_gain_limited=False,
        n_notes=2,
        k_power=np.zeros(100, np.float32),
        power=np.ones(100, np.float32),
        note_onset=np.array([0, 64], np.int32),
        note_offset=np.array([64, 128], np.int32),
        note_pitch=np.array([36, 127], np.uint8),
        note_velocity=np.array([1, 127], np.uint8),
    )
    shards.write_records(path, Stem, [stem])
    (read,) = shards.read_records(path, Stem)
    for name in (field.name for field in dataclasses.fields(Stem)):
        np.testing.assert_array_equal(getattr(read, name), getattr(stem, name), strict=True)


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    contents = set()
    for name in ("a.parquet", "b.parquet"):
        shards.write_records(tmp_path / name, Everything, [everything(), everything(text="x")])
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_shards_are_read_in_the_order_given(tmp_path: Path) -> None:
    paths = [tmp_path / f"notes-{k}.parquet" for k in range(3)]
    for k, path in enumerate(paths):
        shards.write_records(path, Note, [Note("n", 2 * k), Note("n", 2 * k + 1)])
    read = shards.read_records([paths[2], paths[0], paths[1]], Note)
    assert [note.pitch for note in read] == [4, 5, 0, 1, 2, 3]
    assert shards.read_records([], Note) == []


def test_none_in_a_column_that_has_none_is_refused_and_nothing_is_written(path: Path) -> None:
    shards.write_records(path, Note, NOTES)
    with pytest.raises(ValueError, match="pitch"):
        shards.write_records(path, Note, [Note("a", None)])  # type: ignore[arg-type]
    assert shards.read_records(path, Note) == NOTES


def test_columns_are_those_of_the_record(path: Path) -> None:
    fields = {field.name: field for field in shards.schema_of(Everything)}
    assert {name: str(field.type) for name, field in fields.items()} == {
        "text": "string",
        "count": "int64",
        "level": "double",
        "is_set": "bool",
        "colour": "string",
        "maybe_text": "string",
        "maybe_count": "int64",
        "maybe_level": "double",
        "maybe_colour": "string",
        "powers": "list<element: float>",
        "onsets": "list<element: int32>",
        "pitches": "list<element: uint8>",
    } or {str(fields["powers"].type)} == {"list<item: float>"}
    assert {name for name, field in fields.items() if field.nullable} == {
        "maybe_text",
        "maybe_count",
        "maybe_level",
        "maybe_colour",
    }


def test_other_programs_read_a_shard_without_stemsmith(path: Path) -> None:
    shards.write_records(path, Everything, [everything(), everything(maybe_text="x")])
    file = pq.ParquetFile(path)
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    rows = file.read().to_pylist()
    assert [row["maybe_text"] for row in rows] == [None, "x"]
    assert rows[0]["text"] == "Märchen 🎹 \0 \n"
    assert rows[0]["colour"] == "blue"
    assert rows[0]["onsets"] == [-(1 << 31), (1 << 31) - 1]
    assert rows[0]["pitches"] == [0, 255]
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(path)
    assert frame["count"].tolist() == [-(1 << 63)] * 2
    assert frame["powers"][1].dtype == np.float32


def test_a_missing_shard_is_refused_by_name(path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        shards.read_records(path, Note)


def test_the_shard_that_is_missing_is_the_one_that_is_named(tmp_path: Path, path: Path) -> None:
    shards.write_records(path, Note, NOTES)
    missing = tmp_path / "notes-00001.parquet"
    with pytest.raises(InvalidCorpus, match=re.escape(str(missing))):
        shards.read_records([path, missing], Note)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"name,pitch\na,60\n" * 50])
def test_a_file_that_is_not_parquet_is_refused_by_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        shards.read_records(path, Note)


def test_a_shard_cut_anywhere_is_refused_by_name(path: Path) -> None:
    shards.write_records(path, Note, NOTES)
    content = path.read_bytes()
    for cut in range(0, len(content), 29):
        path.write_bytes(content[:cut])
        with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
            shards.read_records(path, Note)


def test_overwritten_data_is_refused_by_name(path: Path) -> None:
    shards.write_records(path, Everything, [everything(text=f"text {k}") for k in range(200)])
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        shards.read_records(path, Everything)


def test_text_that_is_not_utf_8_is_refused_by_name(path: Path) -> None:
    offsets = pa.py_buffer(np.array([0, 1], np.int32))
    damaged = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    columns = [damaged, pa.array([60], pa.int64())]
    pq.write_table(pa.Table.from_arrays(columns, schema=shards.schema_of(Note)), path)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        shards.read_records(path, Note)


def test_a_folder_is_no_shard(tmp_path: Path) -> None:
    shards.write_records(tmp_path / "notes-00000.parquet", Note, NOTES)
    with pytest.raises(InvalidCorpus, match=re.escape(str(tmp_path))):
        shards.read_records(tmp_path, Note)


NAMES, PITCHES = pa.array(["a"]), pa.array([60], pa.int64())


@pytest.mark.parametrize(
    "columns",
    [
        {"name": NAMES},
        {"name": NAMES, "key": PITCHES},
        {"name": NAMES, "pitch": pa.array([60], pa.int32())},
        {"name": NAMES, "pitch": pa.array([None], pa.int64())},
    ],
    ids=["fewer", "other name", "other type", "empty cells"],
)
def test_a_shard_with_other_columns_is_refused_by_name(
    path: Path, columns: dict[str, pa.Array]
) -> None:
    write_table(path, **columns)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))) as refusal:
        shards.read_records(path, Note)
    assert "Note records: the column pitch " in str(refusal.value)


@pytest.mark.parametrize(
    "columns",
    [
        {"name": NAMES, "pitch": PITCHES, "velocity": PITCHES},
        {"pitch": PITCHES, "name": NAMES},
    ],
    ids=["of a later version", "in another order"],
)
def test_unknown_columns_and_the_order_of_columns_do_not_matter(
    path: Path, columns: dict[str, pa.Array]
) -> None:
    write_table(path, **columns)
    assert shards.read_records(path, Note) == [Note("a", 60)]


@dataclass(frozen=True)
class Heard:
    name: str
    is_loud: bool | None
    colour: Colour | None = None


@dataclass(frozen=True)
class LaterNote:
    """A `Note` of a later version: every column that it adds is nullable."""

    name: str
    pitch: int
    bend: float | None = None
    colour: Colour | None = None
    powers: npt.NDArray[np.float32] | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Bar:
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class LaterBar:
    notes: tuple[LaterNote, ...]
    heard: tuple[Heard, ...] | None = None


@dataclass(frozen=True)
class Name:
    name: str


@dataclass(frozen=True)
class Names:
    notes: tuple[Name, ...]


def test_columns_that_a_file_lacks_are_none(path: Path) -> None:
    shards.write_records(path, Note, NOTES)
    assert shards.read_records(path, LaterNote) == [LaterNote("a", 60), LaterNote("b", 62)]


def test_fields_that_records_in_a_column_lack_are_none(path: Path) -> None:
    shards.write_records(path, Bar, [Bar((Note("a", 60),)), Bar(())])
    expected = [LaterBar((LaterNote("a", 60),)), LaterBar(())]
    assert shards.read_records(path, LaterBar) == expected


def test_what_a_later_version_wrote_is_read_without_its_columns(path: Path) -> None:
    later = LaterBar((LaterNote("a", 60, 0.5, Colour.BLUE, None, ("x",)),), (Heard("a", True),))
    shards.write_records(path, LaterBar, [later])
    assert shards.read_records(path, Bar) == [Bar((Note("a", 60),))]


def test_tables_follow_the_same_rule(path: Path) -> None:
    shards.write_records(path, Note, NOTES)
    assert shards.read_table([path], Note).to_pylist() == [vars(note) for note in NOTES]
    later = shards.read_table([path, path], LaterNote)
    assert later.schema.equals(shards.schema_of(LaterNote))
    none = {"bend": None, "colour": None, "powers": None, "tags": None}
    assert later.to_pylist() == [{**vars(note), **none} for note in (*NOTES, *NOTES)]
    shards.write_records(path, LaterBar, [LaterBar((LaterNote("a", 60, 0.5),))])
    assert shards.read_table([path], Bar).to_pylist() == [{"notes": [{"name": "a", "pitch": 60}]}]
    assert shards.read_table([], Bar).num_rows == 0


def test_nullable_lists_come_back(path: Path) -> None:
    powers = np.array([1, 2], np.float32)
    notes = [LaterNote("a", 60, None, None, powers, ()), LaterNote("b", 62)]
    shards.write_records(path, LaterNote, notes)
    one, other = shards.read_records(path, LaterNote)
    assert one.powers is not None
    assert one.powers.tobytes() == powers.tobytes()
    assert (one.tags, other.powers, other.tags) == ((), None, None)
    bars = [LaterBar((), (Heard("a", None, Colour.BLUE),)), LaterBar((), None)]
    shards.write_records(path, LaterBar, bars)
    assert shards.read_records(path, LaterBar) == bars


@dataclass(frozen=True, slots=True)
class Ornament:
    name: str
    note: Name | None
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ornamented:
    count: int
    ornament: Ornament | None = None


ORNAMENTS = [
    None,
    Ornament("trill", Name("a"), ("up", "down")),
    Ornament("turn", None, ()),
]


@given(st.lists(st.sampled_from(ORNAMENTS), max_size=8))
def test_a_column_of_records_that_may_be_none_comes_back(
    folder: Path, ornaments: list[Ornament | None]
) -> None:
    path, records = folder / "o.parquet", [Ornamented(k, one) for k, one in enumerate(ornaments)]
    shards.write_records(path, Ornamented, records)
    table = shards.RecordTable(path, Ornamented)
    assert shards.read_records(path, Ornamented) == records
    assert [table[k] for k in range(len(records))] == records
    assert table[1:3] == records[1:3]
    assert table.n_given("ornament") == sum(one is not None for one in ornaments)
    names = {one.name for one in ornaments if one is not None}
    assert {found["name"] for found in table.distinct("ornament", "name")} == names
    assert table.table.num_rows == len(records)
    assert table.table.schema == shards.schema_of(Ornamented)


def test_a_column_of_records_that_a_file_lacks_is_none_throughout(path: Path) -> None:
    write_table(path, count=pa.array([1, 2], pa.int64()))
    table = shards.RecordTable(path, Ornamented)
    assert table[:] == [Ornamented(1), Ornamented(2)]
    assert table.n_given("ornament") == 0 and table.distinct("ornament", "name") == []


def test_what_a_record_in_a_column_cannot_have_is_refused_by_name(path: Path) -> None:
    rows = [{"name": None, "note": None, "steps": []}, None]
    fields = [(f.name, f.type) for f in shards.schema_of(Ornament)]
    column = pa.array(rows, pa.struct(fields))
    write_table(path, count=pa.array([1, 2], pa.int64()), ornament=column)
    with pytest.raises(InvalidCorpus, match="the column name has empty cells"):
        shards.RecordTable(path, Ornamented)


def test_a_required_field_of_records_in_a_column_is_missed_by_name(path: Path) -> None:
    shards.write_records(path, Names, [Names((Name("a"),))])
    with pytest.raises(InvalidCorpus, match=r"column notes of records: .* pitch is missing"):
        shards.read_records(path, Bar)


def test_folders_named_like_partitions_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "pitch=7"
    folder.mkdir()
    shards.write_records(folder / "notes-00000.parquet", Note, NOTES)
    assert shards.read_records(folder / "notes-00000.parquet", Note) == NOTES


def test_a_folder_whose_name_is_not_utf_8_holds_shards_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"this file system has UTF-8 names only: {error}")
    path = folder / "notes-00000.parquet"
    shards.write_records(path, Note, NOTES)
    assert shards.read_records(path, Note) == NOTES
    shards.write_manifest(folder, {"stage": "render", "shards": [shards.shard_entry(path)]})
    shards.check_shards(folder, shards.read_manifest(folder, "render"))


# ---------------------------------------------------------------------------------------------
# The manifest


@pytest.fixture
def header(tmp_path: Path) -> dict[str, Any]:
    """Write a finished folder of two shards and return its manifest."""
    for k in range(2):
        notes = [Note(f"note {k}", pitch) for pitch in range(k + 1)]
        shards.write_records(tmp_path / f"notes-0000{k}.parquet", Note, notes)
    entries = [shards.shard_entry(tmp_path / f"notes-0000{k}.parquet") for k in range(2)]
    shards.write_manifest(tmp_path, {"stage": "render", "seed": 3, "shards": entries})
    return shards.read_manifest(tmp_path, "render")


def test_a_manifest_is_read_back(tmp_path: Path) -> None:
    written = {
        "stage": "render",
        "seed": 1 << 70,
        "config": {"target_lufs": -13.0, "tail_s": 0.1, "soundfonts": ["Märchen.sf2"], "x": None},
        "shards": [],
    }
    shards.write_manifest(tmp_path, written)
    expected = {"schema_version": shards.schema_version_of("render"), **written}
    assert shards.read_manifest(tmp_path, "render") == expected


def test_a_manifest_is_json_for_people_with_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    shards.write_manifest(tmp_path, {"stage": "render", "name": "Märchen"})
    first = (tmp_path / "manifest.json").read_bytes()
    shards.write_manifest(tmp_path, {"name": "Märchen", "stage": "render"})
    assert (tmp_path / "manifest.json").read_bytes() == first
    assert first.decode() == (
        '{\n  "name": "Märchen",\n  "schema_version": 1,\n  "stage": "render"\n}\n'
    )


def test_a_manifest_may_hold_names_that_are_not_utf_8(tmp_path: Path) -> None:
    shards.write_manifest(tmp_path, {"stage": "render", "midi": "caf\udce9"})
    assert shards.read_manifest(tmp_path, "render")["midi"] == "caf\udce9"
    json.loads((tmp_path / "manifest.json").read_text("utf-8"))  # and is JSON for everybody


def test_a_folder_without_manifest_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=r"manifest\.json: missing; not a finished render"):
        shards.read_manifest(tmp_path, "render")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", "cannot be read"),
        (b'{"stage": "render"', "cannot be read"),
        (b'{"stage": "\xff"}', "cannot be read|does not describe"),
        (b"[]", "does not describe a render folder"),
        (b"{}", "does not describe a render folder"),
        (b'{"stage": "mix", "schema_version": 1}', "does not describe a render folder"),
        (b'{"stage": "render"}', "schema version None"),
        (
            b'{"stage": "render", "schema_version": 2, "versions": {"stemsmith": "9.1"}}',
            "written by stemsmith 9.1 with schema version 2, .*: git -C .* pull$",
        ),
        (b'{"stage": "render", "schema_version": "1"}', "schema version '1' is none"),
    ],
)
def test_a_manifest_of_another_kind_is_refused_by_name(
    tmp_path: Path, content: bytes, finding: str
) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InvalidCorpus, match=finding) as refusal:
        shards.read_manifest(tmp_path, "render")
    assert str(refusal.value).startswith(str(tmp_path / "manifest.json"))


def test_a_folder_in_place_of_the_manifest_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(InvalidCorpus, match=r"manifest\.json: cannot be read"):
        shards.read_manifest(tmp_path, "render")


def test_a_sound_folder_passes(tmp_path: Path, header: dict[str, Any]) -> None:
    shards.check_shards(tmp_path, header)
    assert [entry["n_records"] for entry in header["shards"]] == [1, 2]
    assert [entry["file"] for entry in header["shards"]] == [
        "notes-00000.parquet",
        "notes-00001.parquet",
    ]


def remove(path: Path) -> None:
    path.unlink()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_another_shard(path: Path) -> None:
    shards.write_records(path, Note, [Note("other", 0)])


DAMAGES = [
    (remove, "missing"),
    (flip_a_bit, "SHA-256"),
    (cut, "SHA-256"),
    (replace_by_another_shard, "SHA-256"),
]


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize(("damage", "finding"), DAMAGES)
def test_a_damaged_shard_is_named(
    tmp_path: Path, header: dict[str, Any], damage: Callable[[Path], None], finding: str, k: int
) -> None:
    path = tmp_path / header["shards"][k]["file"]
    damage(path)
    with pytest.raises(InvalidCorpus, match=f"^{re.escape(str(path))}: .*{finding}"):
        shards.check_shards(tmp_path, header)


def test_the_first_of_two_damaged_shards_is_named(tmp_path: Path, header: dict[str, Any]) -> None:
    for entry in header["shards"]:
        flip_a_bit(tmp_path / entry["file"])
    with pytest.raises(InvalidCorpus, match=r"notes-00000\.parquet: SHA-256"):
        shards.check_shards(tmp_path, header)


def test_a_wrong_record_count_is_named(tmp_path: Path, header: dict[str, Any]) -> None:
    header["shards"][1]["n_records"] = 1
    with pytest.raises(InvalidCorpus, match=r"notes-00001\.parquet: not 1 records"):
        shards.check_shards(tmp_path, header)


def test_a_shard_outside_the_folder_is_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    header["shards"][0]["file"] = "../notes-00000.parquet"  # which is there, and sound
    with pytest.raises(InvalidCorpus, match=r"'\.\./notes-00000\.parquet' leads out"):
        shards.check_shards(inner, header)


# Values that somebody else has written.

OLD = Path(__file__).parents[1] / "data" / "0.1"
SONGS = OLD / "corpus" / "songs-00000.parquet"
STEMS = OLD / "corpus" / "stems-00000.parquet"
RENDITION_STEMS = OLD / "renditions" / "stems-00000.parquet"
RECIPES = OLD / "mixtures" / "mixtures-train-00000.parquet"


def spoilt(source: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write the records of a shard with one that is changed."""
    table = pq.read_table(source)
    rows = table.to_pylist()
    change(rows[-1])
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    return path


def refusal(path: Path, record_type: type) -> str:
    with pytest.raises(InvalidCorpus) as caught:
        shards.RecordTable(path, record_type)
    start = f"{path}: not readable as {record_type.__name__} records: "
    assert str(caught.value).startswith(start)
    assert str(caught.value).isprintable()
    return str(caught.value).removeprefix(start)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_samples", 1 << 62), ("n_samples", -1), ("sample_rate", 0), ("sample_rate", 1 << 40),
        ("n_stems", -1),
        ("overall_gain_db", math.nan), ("overall_gain_db", math.inf), ("overall_gain_db", 1e300),
        ("mix_peak_dbfs", -math.inf), ("split", "../../evil"), ("split", ""), ("split", "training"),
        ("split", "train\n"), ("path", "../../evil"), ("path", "/etc"), ("path", "a\0b"), ("path",
        ""),
        ("mix_path", "a/../../b"), ("mix_path", ".."), ("source", "a/.."), ("track", "a/b"),
        ("track", ".."),
        ("track", "."), ("track", "a\0"), ("track", ""),
    ],
)  # fmt: skip
def test_a_value_that_no_song_has_is_refused(path: Path, name: str, value: object) -> None:
    text = refusal(spoilt(SONGS, path, lambda song: song.update({name: value})), Song)
    assert text.startswith(f"{name} is ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("program", 129), ("program", -1), ("n_notes", -4), ("loudness_lufs", math.nan),
        ("gain_db", -2000.0),
        ("stem", "../S00"), ("midi_path", "x\0"),
    ],
)  # fmt: skip
def test_a_value_that_no_stem_has_is_refused(path: Path, name: str, value: object) -> None:
    text = refusal(spoilt(STEMS, path, lambda stem: stem.update({name: value})), Stem)
    assert text.startswith(f"{name} is ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("note_pitch", 128), ("note_velocity", 255), ("note_onset", -1), ("k_power", math.nan),
     ("k_power", -1e-3), ("power", math.inf)],
)  # fmt: skip
def test_values_within_a_column_of_notes_or_powers_are_checked(
    path: Path, name: str, value: float
) -> None:
    def change(stem: dict[str, Any]) -> None:
        stem[name][-1] = value

    assert refusal(spoilt(STEMS, path, change), Stem).startswith(f"{name} is ")


def test_an_attack_is_finite_or_not_known(path: Path) -> None:
    unknown = spoilt(RENDITION_STEMS, path, lambda stem: stem.update(attack_s=math.nan))
    *_, last = shards.read_records(unknown, RenditionStem)
    assert math.isnan(last.attack_s)
    for value in (math.inf, -0.1):
        changed = spoilt(RENDITION_STEMS, path, lambda s, value=value: s.update(attack_s=value))
        assert refusal(changed, RenditionStem).startswith(f"attack_s is {value}, which is not in 0")


@pytest.mark.parametrize("name", ["note_onset", "note_offset", "note_pitch", "note_velocity"])
def test_columns_of_notes_have_an_entry_a_note(path: Path, name: str) -> None:
    changed = spoilt(STEMS, path, lambda stem: stem.update({name: stem[name][1:]}))
    assert refusal(changed, Stem) == f"{name} has not as many entries as n_notes says"


@pytest.mark.parametrize(
    ("name", "value"),
    [("path", "../../evil"), ("path", "/x"), ("n_read", -1), ("n_stem_samples", 1 << 62),
    ("sample_rate", 0),
     ("gain_db", math.nan), ("target_lufs", math.inf), ("stream", -1), ("group", "a/b"), ("shift",
     -(1 << 50))],
)  # fmt: skip
def test_values_within_the_sources_of_a_recipe_are_checked(
    path: Path, name: str, value: object
) -> None:
    changed = spoilt(RECIPES, path, lambda recipe: recipe["sources"][-1].update({name: value}))
    assert refusal(changed, Mixture).startswith(f"{name} is ")


@pytest.mark.parametrize("name", ["note_onset", "note_pitch", "k_power"])
def test_an_empty_cell_among_notes_or_powers_is_refused(path: Path, name: str) -> None:
    def change(stem: dict[str, Any]) -> None:
        stem[name][-1] = None

    assert refusal(spoilt(STEMS, path, change), Stem) == f"the column {name} has empty cells"


def test_an_empty_cell_among_sources_is_refused(path: Path) -> None:
    table = pq.read_table(RECIPES)
    rows = table.to_pylist()
    rows[-1]["sources"][-1]["path"] = None
    fields = [pa.field(f.name, f.type) for f in table.schema.field("sources").type.value_type]
    kind = pa.list_(pa.struct(fields))
    place = table.schema.get_field_index("sources")
    schema = table.schema.set(place, pa.field("sources", kind, nullable=False))
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    assert refusal(path, Mixture) == "the column path has empty cells"


def test_names_that_are_odd_but_possible_are_read(path: Path) -> None:
    odd = {"track": "...", "path": "a..b/..c/d..", "source": "ä\n b/...mid", "mix_path": "."}
    (*_, song) = shards.read_records(spoilt(SONGS, path, lambda song: song.update(odd)), Song)
    assert {name: getattr(song, name) for name in odd} == odd


def test_a_word_of_an_enumeration_in_the_table_is_checked_too(path: Path) -> None:
    rows = [{"id": "a", "stage": "scan", "reason": "no-reason", "detail": ""}]
    pq.write_table(pa.Table.from_pylist(rows, shards.schema_of(Rejection)), path)
    assert refusal(path, Rejection).startswith("reason is 'no-reason', not unreadable or ")


def test_a_text_that_is_none_of_the_file_s_is_refused(path: Path) -> None:
    """Arrow takes the number of a text in the file's list for what it is: here for one of 36."""
    data = bytearray((OLD / "results" / "scores.parquet").read_bytes())
    data[124] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(InvalidCorpus, match=re.escape(f"{path}: cannot be read as Parquet: ")):
        shards.RecordTable(path, SongScore)


def test_a_few_bytes_that_stand_for_millions_of_rows_are_not_read(path: Path) -> None:
    n = 3_000_000
    row = {"id": "a", "stage": "scan", "reason": "damaged", "detail": ""}
    same = pa.Table.from_pylist([row], shards.schema_of(Rejection))
    table = pa.concat_tables([same] * 3).take(pa.array(np.zeros(n, np.int64)))
    pq.write_table(table, path, row_group_size=n, data_page_size=1 << 30)
    assert path.stat().st_size < n / 100
    assert " rows in " in refusal(path, Rejection)


def test_damage_that_ends_the_process_where_arrow_is_asked_for_columns(path: Path) -> None:
    data = bytearray((OLD / "renditions" / "renditions-00000.parquet").read_bytes())
    data[2736] ^= 0x20  # the statistics of a column's chunk
    path.write_bytes(data)
    program = (
        "import sys, pathlib\n"
        "from stemsmith.manifests import errors, renditions, shards\n"
        "try:\n"
        "    shards.read_records(pathlib.Path(sys.argv[1]), renditions.Rendition)\n"
        "except errors.InvalidCorpus as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: cannot be read as Parquet: ")


def test_silence_is_not_taken_for_a_bomb(path: Path) -> None:
    long = everything(powers=np.zeros(36_000, np.float32))  # an hour
    shards.write_records(path, Everything, [long])
    (read,) = shards.read_records(path, Everything)
    assert not read.powers.any()


def test_null_bytes_and_ways_out_of_a_folder(tmp_path: Path) -> None:
    for name in ("a\0b", "../a", "/a", "a/../../b"):
        with pytest.raises(InvalidCorpus, match=re.escape(str(tmp_path))) as caught:
            storage.inside(tmp_path, name)
        assert str(caught.value).isprintable()
