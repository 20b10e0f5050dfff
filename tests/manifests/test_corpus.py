"""`Corpus`: tables, records, audio and notes of a corpus folder of either kind."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from stemsmith.manifests import shards
from stemsmith.manifests.corpus import Corpus, TrackStem
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.records import Rejection, Song, Stem
from stemsmith.manifests.renditions import Rendition, RenditionStem


def write_duo(path: Path) -> None:
    """Write two parts of twelve notes."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, program in enumerate((40, 42)):
        track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
        for note in range(12):
            key = 60 + (5 * note + channel) % 12
            on = mido.Message("note_on", note=key, velocity=70 + note, channel=channel)
            off = mido.Message("note_off", note=key, channel=channel, time=200)
            track.extend([on, off])
        file.tracks.append(track)
    path.parent.mkdir(parents=True)
    file.save(path)


@pytest.fixture(scope="module")
def renditions(tmp_path_factory: pytest.TempPathFactory, here) -> Path:
    """Return a corpus of renditions with shifts; read only."""
    folder = tmp_path_factory.mktemp("renditions")
    write_duo(folder / "scores" / "duo.mid")
    done = here(
        "render", folder / "scores", folder / "c", "--renditions", "all", "--shift", "0,0.3",
        "--sample-rate", 8000, "--tail", 0.5, "--splits", "1,0,0", "--jobs", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "c"


def test_the_tables_are_the_shards(corpus: Path) -> None:
    read = Corpus(corpus)
    assert read.kind == "songs"
    for name in ("songs", "stems", "rejections"):
        table = getattr(read, name)
        assert table.equals(pq.read_table(corpus / f"{name}-00000.parquet"))
    assert read.songs.column("track").to_pylist() == [f"Track{k:05d}" for k in range(1, 7)]


def test_the_records_are_the_shards(corpus: Path) -> None:
    read = Corpus(corpus)
    assert read.song_records() == shards.read_records(corpus / "songs-00000.parquet", Song)
    rejections = shards.read_records(corpus / "rejections-00000.parquet", Rejection)
    assert read.rejection_records() == rejections
    stems = shards.read_records(corpus / "stems-00000.parquet", Stem)
    for found in (read.stem_records(), list(read.iter_stems())):
        assert [stem.stem_id for stem in found] == [stem.stem_id for stem in stems]


def rewritten(corpus: Path, folder: Path, name: str, records: list[Any]) -> Corpus:
    """Return a corpus with other records of one kind; it has no audio."""
    folder.mkdir()
    for path in corpus.glob("*.parquet"):
        shutil.copy(path, folder)
    path = folder / f"{name}-00000.parquet"
    shards.write_records(path, type(records[0]), records)
    header = json.loads((corpus / "manifest.json").read_text())
    entries = [shards.shard_entry(folder / entry["file"]) for entry in header["shards"]]
    (folder / "manifest.json").write_text(json.dumps({**header, "shards": entries}))
    return Corpus(folder)


def test_songs_have_their_stems_in_whatever_order_these_lie(corpus: Path, tmp_path: Path) -> None:
    opened = Corpus(corpus)
    songs, stems = opened.song_records(), opened.stem_records()
    by_song = {song.song_id: [s for s in stems if s.song_id == song.song_id] for song in songs}
    lost = dataclasses.replace(stems[0], song_id="0" * 32, stem_id=f"{'0' * 32}/S00")
    turned = [stem for k in range(9) for own in by_song.values() for stem in own[k : k + 1]]
    for number, records in enumerate((stems, [lost, *stems], [*turned, lost], stems[::-1])):
        found = list(rewritten(corpus, tmp_path / f"{number}", "stems", records).iter_with_stems())
        assert [song for song, _, _ in found] == songs
        for song, own, pieces in found:
            expected = [s.stem_id for s in records if s.song_id == song.song_id]
            assert [stem.stem_id for stem in own] == expected and len(own) == song.n_stems
            np.testing.assert_array_equal(
                own[0].power, {s.stem_id: s for s in stems}[own[0].stem_id].power
            )
            assert pieces == ()


def test_a_song_is_what_other_readers_find_in_its_folder(corpus: Path) -> None:
    read = Corpus(corpus)
    assert len(read) == len(list(read)) == 6
    for name, song in read.items():
        folder = next(corpus.glob(f"*/{name}"))
        audio, rate = soundfile.read(folder / "mix.flac", dtype="float32")
        assert song.sample_rate == rate
        assert (song.mixture.dtype, song.mixture.shape) == (np.float32, (1, len(audio)))
        np.testing.assert_array_equal(song.mixture[0], audio)
        files = {path.stem: path for path in (folder / "stems").iterdir()}
        assert set(song.stems) == set(files)
        assert list(song.stems) == sorted(files)
        for stem_name, stem in song.stems.items():
            audio, _ = soundfile.read(files[stem_name], dtype="float32")
            assert stem.audio.shape == (1, len(audio))
            np.testing.assert_array_equal(stem.audio[0], audio)


def test_notes_are_those_of_the_record(corpus: Path) -> None:
    for stem in Corpus(corpus)["Track00001"].stems.values():
        record = stem.record
        names = ["onset", "offset", "pitch", "velocity", "is_heard", "sounding_pitch"]
        assert stem.notes.column_names == [*names, "sounding_offset"]
        columns = (
            record.note_onset,
            record.note_offset,
            record.note_pitch,
            record.note_velocity,
            record.note_heard,
            record.note_sounding_pitch,
            record.note_sounding_offset,
        )
        for name, column in zip(stem.notes.column_names, columns, strict=True):
            assert stem.notes.column(name).to_pylist() == column.tolist()


def test_a_corpus_may_stand_where_a_path_does(corpus: Path) -> None:
    read = Corpus(str(corpus))
    assert Path(read) == read.root == corpus
    assert (read == Corpus(corpus), hash(read) == hash(Corpus(corpus))) == (False, False)
    assert repr(read) == f"Corpus({str(corpus)!r})"


def test_names_that_are_not_there(corpus: Path) -> None:
    read = Corpus(corpus)
    assert "Track00001" in read
    assert "Track09999" not in read
    with pytest.raises(KeyError, match="no song 'Track09999'"):
        read["Track09999"]


def test_renditions_are_the_rolled_stems(renditions: Path) -> None:
    read = Corpus(renditions)
    assert read.kind == "renditions"
    table = pq.read_table(renditions / "renditions-00000.parquet")
    assert read.renditions.to_pylist() == table.to_pylist()
    stems = {stem.stem_id: stem for stem in read.rendition_stem_records()}
    assert all(isinstance(stem, RenditionStem) for stem in read.iter_stems())
    records = shards.read_records(renditions / "renditions-00000.parquet", Rendition)
    assert read.rendition_records() == records
    assert list(read) == [f"{r.track}-{r.point}" for r in records]
    for record in records:
        song = read[f"{record.track}-{record.point}"]
        assert song.record == record
        total = np.zeros(record.n_samples)
        for source in record.sources:
            audio, _ = soundfile.read(renditions / stems[source.stem_id].path)
            rolled = np.roll(audio, source.shift)
            np.testing.assert_allclose(song.stems[source.stem].audio[0], rolled, atol=1e-7)
            total += rolled
        np.testing.assert_allclose(song.mixture, total[None], atol=1e-6)


def test_notes_of_a_rendition_are_in_its_stretch_of_time(renditions: Path) -> None:
    read = Corpus(renditions)
    shifts = set()
    for song in read.values():
        for stem in song.stems.values():
            shifts.add(stem.shift)
            record, rows = stem.record, stem.notes.to_pylist()
            if not stem.shift:
                assert [row["onset"] for row in rows] == record.note_onset.tolist()
            onset = (record.note_onset + stem.shift) % record.n_samples
            assert {row["onset"] for row in rows} >= set(onset.tolist())
            assert all(0 <= row["onset"] <= row["offset"] <= record.n_samples for row in rows)
            assert [row["onset"] for row in rows] == sorted(row["onset"] for row in rows)
    assert shifts == {0, 2400}


def test_a_note_that_a_shift_carries_over_the_end_is_cut_in_two(renditions: Path) -> None:
    stem = next(iter(Corpus(renditions).values())).stems["S00"]
    n_samples = stem.record.n_samples
    length = int((stem.record.note_offset - stem.record.note_onset)[0])
    shift = n_samples - int(stem.record.note_onset[0]) - 100  # the first note has 100 samples left
    turned = TrackStem(stem.name, stem.record, stem.root, shift).notes.to_pylist()
    pitch, velocity = int(stem.record.note_pitch[0]), int(stem.record.note_velocity[0])
    same = {"pitch": pitch, "velocity": velocity, "is_heard": True, "sounding_pitch": pitch}
    same["sounding_offset"] = None  # of renditions it is not known
    assert turned[0] == {"onset": 0, "offset": length - 100, **same}
    assert turned[-1] == {"onset": n_samples - 100, "offset": n_samples, **same}
    sounding = sum(row["offset"] - row["onset"] for row in turned)
    assert sounding == int((stem.record.note_offset - stem.record.note_onset).sum())


def test_what_a_pedal_holds_ends_where_the_stem_does(corpus: Path) -> None:
    stem = Corpus(corpus)["Track00001"].stems["S00"]
    n_samples = stem.record.n_samples
    shown = dataclasses.replace(
        stem.record,
        note_onset=np.array([0, n_samples - 300, n_samples - 250], np.int32),
        note_offset=np.array([10, n_samples - 280, n_samples - 180], np.int32),
        note_pitch=np.array([60, 61, 62], np.uint8),
        note_velocity=np.array([1, 2, 3], np.uint8),
        note_heard=None,
        note_sounding_pitch=None,
        note_sounding_offset=np.array([200, n_samples + 500, n_samples + 90], np.int32),
    )

    def rows(shift: int) -> list[tuple[int, ...]]:
        notes = TrackStem(stem.name, shown, stem.root, shift).notes
        names = ("pitch", "onset", "offset", "sounding_offset")
        return list(zip(*(notes.column(name).to_pylist() for name in names), strict=True))

    assert rows(0)[1] == (61, n_samples - 300, n_samples - 280, n_samples + 500)
    assert rows(200) == [
        (62, 0, 20, 200),  # the rest of the note whose key is down over the end
        (60, 200, 210, 400),
        (61, n_samples - 100, n_samples - 80, n_samples),
        (62, n_samples - 50, n_samples, n_samples),
    ]


def test_what_a_kind_does_not_have_says_what_to_use(corpus: Path, renditions: Path) -> None:
    with pytest.raises(UsageError, match=r"a corpus of renditions: no songs; use renditions"):
        Corpus(renditions).songs  # noqa: B018
    with pytest.raises(UsageError, match=r"no stem_records; use rendition_stem_records"):
        Corpus(renditions).stem_records()
    with pytest.raises(UsageError, match=r"a corpus of songs: no renditions; use songs"):
        Corpus(corpus).renditions  # noqa: B018
    with pytest.raises(UsageError, match=r"no rendition_stem_records; use stem_records"):
        Corpus(corpus).rendition_stem_records()


def test_folders_that_are_no_corpus(corpus: Path, mixtures: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=r"manifest.json: missing; not a finished corpus"):
        Corpus(tmp_path)
    with pytest.raises(
        InvalidCorpus, match=r"recipes: holds mixtures, made of .*; did you mean that"
    ):
        Corpus(mixtures / "recipes")
    (tmp_path / "manifest.json").write_text('{"stage": "corpus", "schema_version": 1}')
    with pytest.raises(InvalidCorpus, match="does not list its shards"):
        Corpus(tmp_path).songs  # noqa: B018


def test_verify_names_the_shard_that_changed(corpus: Path, tmp_path: Path) -> None:
    assert len(Corpus(corpus).verify()) == 6
    copy = shutil.copytree(corpus, tmp_path / "c")
    path = copy / "songs-00000.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InvalidCorpus, match=r"songs-00000.parquet: SHA-256"):
        Corpus(copy).verify()


def test_a_stem_of_which_there_is_no_record_is_named(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "data" / "0.1" / "renditions"
    root = tmp_path / "c"
    shutil.copytree(old, root)
    stems = shards.read_records(root / "stems-00000.parquet", RenditionStem)
    shards.write_records(root / "stems-00000.parquet", RenditionStem, stems[1:])
    with pytest.raises(InvalidCorpus, match=f"no record is of the stem '{stems[0].stem_id}' of"):
        list(Corpus(root).values())


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("kind", 3, "kind is not text"),
        ("shards", [{"file": 1}], "shards.0.file is not text"),
        ("config", None, "config is not a table of names and values"),
        ("n_songs", {"train": "3"}, "n_songs.train is not a whole number"),
        ("versions", {"numpy": 2}, "versions.numpy is not text"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    tmp_path: Path, key: str, value: object, text: str
) -> None:
    header = json.loads((Path(__file__).parents[1] / "data/0.1/corpus/manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps({**header, key: value}))
    with pytest.raises(InvalidCorpus) as caught:
        Corpus(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'manifest.json'}: {text}"
