"""Labels against the audio of the same recipe: notes that are heard are the notes that are listed.

The stems made here say what plays: each sample counts the notes that sound, in units of 1/64.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.mixing.audio.labels import NoteTable, realise_labels
from stemsmith.mixing.audio.realise import realise
from stemsmith.mixing.audio.transforms import encode
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.mixing.sources.catalogue import split_catalogues
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

Row = tuple[int, int, int, int]  # onset, offset, pitch, velocity

RATE = 8000
LENGTH = 1000
SCALE = 64


def activity(rows: Sequence[Row], n_samples: int) -> Int64s:
    """Return (128, n_samples): how many notes of each pitch sound in every sample."""
    counts = np.zeros((128, n_samples), np.int64)
    for onset, offset, pitch, _ in rows:
        counts[pitch, onset:offset] += 1
    return counts


def onsets(rows: Sequence[Row], n_samples: int) -> Int64s:
    """Return (128, n_samples): how many notes of each pitch begin in every sample."""
    counts = np.zeros((128, n_samples), np.int64)
    for onset, _, pitch, _ in rows:
        if onset < n_samples:
            counts[pitch, onset] += 1
    return counts


def rows_of(table: NoteTable) -> list[Row]:
    columns = (table.onset, table.offset, table.pitch, table.velocity)
    for column in columns[:2]:
        assert np.array_equal(column, np.rint(column))
    return list(zip(*(column.astype(int).tolist() for column in columns), strict=True))


def begun(table: NoteTable) -> list[Row]:
    rows = rows_of(table)
    return [row for row, inside in zip(rows, table.is_onset_inside, strict=True) if inside]


def blank(record_type: type[Any], **values: Any) -> Any:
    """Return a record whose other fields say nothing."""
    kinds = {"int": 0, "float": 0.0, "bool": False, "Float32s": np.zeros(0, np.float32)}
    fields = {f.name: kinds.get(f.type) for f in dataclasses.fields(record_type)}
    words = {f.name: f.name for f in dataclasses.fields(record_type) if f.type == "str"}
    return record_type(**{**fields, **words, "split": "train", **values})


def write_corpus(
    root: Path, stems: dict[str, tuple[list[Row], Float32s, int]]
) -> dict[str, MixtureSource]:
    """Write a folder that is as much of a corpus as mixing needs; return its sources by name."""
    records, sources = [], {}
    root.mkdir(parents=True, exist_ok=True)
    for name, (rows, audio, rate) in stems.items():
        soundfile.write(root / f"{name}.flac", audio, rate, subtype="PCM_16")
        sha256 = hashlib.sha256((root / f"{name}.flac").read_bytes()).hexdigest()
        onset, offset, pitch, velocity = np.array(rows or np.zeros((0, 4)), np.int32).T
        records.append(
            blank(
                Stem,
                stem_id=f"song/{name}",
                path=f"{name}.flac",
                sha256=sha256,
                sample_rate=rate,
                n_samples=len(audio),
                n_notes=len(rows),
                note_onset=onset,
                note_offset=offset,
                note_pitch=pitch.astype(np.uint8),
                note_velocity=velocity.astype(np.uint8),
            )
        )
        sources[name] = MixtureSource(
            stem_id=f"corpus:song/{name}",
            song_id="corpus:song",
            root="corpus",
            path=f"{name}.flac",
            stream=0,
            sha256=sha256,
            group=name,
            role="source",
            sample_rate=rate,
            n_stem_samples=len(audio),
            start=0,
            n_read=len(audio),
            shift=0,
            is_shift_padded=False,
            transforms=(),
            target_lufs=None,
            gain_db=0.0,
        )
    shards.write_records(root / "stems-00000.parquet", Stem, records)
    entries = [shards.shard_entry(root / "stems-00000.parquet")]
    shards.write_manifest(root, {"stage": "corpus", "shards": entries})
    return sources


def mixture_of(*sources: MixtureSource, n_samples: int = LENGTH, rate: int = RATE) -> Mixture:
    return Mixture("train-00000000", "coherent", "train", rate, n_samples, 1, -1.0, sources)


def random_rows(seed: int, n_notes: int = 25) -> list[Row]:
    """Return notes that overlap, some without length, some up to and some at the stem's end."""
    rng = np.random.default_rng(seed)
    onset = rng.integers(0, LENGTH, n_notes)
    offset = np.minimum(onset + rng.integers(0, 300, n_notes), LENGTH)
    pitch, velocity = rng.integers(0, 128, n_notes), rng.integers(1, 128, n_notes)
    onset[:2], offset[:2] = (0, LENGTH), LENGTH  # one of the whole stem, one that never sounds
    return sorted(zip(*map(np.ndarray.tolist, (onset, offset, pitch, velocity)), strict=True))


ROWS = {f"s{k}": random_rows(k) for k in range(4)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, MixtureSource]]:
    """Return a corpus of stems that count their notes."""
    root = tmp_path_factory.mktemp("labels") / "corpus"
    stems = {
        name: (rows, (activity(rows, LENGTH).sum(axis=0) / SCALE).astype(np.float32), RATE)
        for name, rows in ROWS.items()
    }
    return root, write_corpus(root, stems)


Made = tuple[Path, dict[str, MixtureSource]]


def table_of(made: Made, source: MixtureSource, n_samples: int, rate: int = RATE) -> NoteTable:
    mixture = mixture_of(source, n_samples=n_samples, rate=rate)
    return realise_labels(mixture, {"corpus": made[0]})[source.group]


def heard(made: Made, source: MixtureSource, n_samples: int) -> Int64s:
    """Return how many notes sound in every sample of the realised audio."""
    audio = realise(mixture_of(source, n_samples=n_samples), {"corpus": made[0]})[source.group]
    return np.rint(audio[0] * SCALE).astype(np.int64)


# ---------------------------------------------------------------------------------------------
# Excerpts and shifts


names = st.sampled_from(sorted(ROWS))


@settings(deadline=None)
@given(names, st.integers(-2 * LENGTH, 2 * LENGTH))
def test_labels_of_a_shifted_stem_are_its_rolled_activity(
    made: Made, name: str, shift: int
) -> None:
    table = table_of(made, dataclasses.replace(made[1][name], shift=shift), LENGTH)
    expected = np.roll(activity(ROWS[name], LENGTH), shift, axis=1)
    np.testing.assert_array_equal(activity(rows_of(table), LENGTH), expected)
    expected = np.roll(onsets(ROWS[name], LENGTH), shift, axis=1)
    np.testing.assert_array_equal(onsets(begun(table), LENGTH), expected)


@settings(deadline=None)
@given(
    names,
    st.integers(0, LENGTH),
    st.integers(1, 3 * LENGTH),
    st.integers(-LENGTH, LENGTH),
    st.booleans(),
)
def test_labels_of_any_excerpt_are_what_is_heard(
    made: Made, name: str, start: int, n_read: int, shift: int, is_padded: bool
) -> None:
    source = dataclasses.replace(
        made[1][name], start=start, n_read=n_read, shift=shift, is_shift_padded=is_padded
    )
    table = table_of(made, source, n_read)
    found = activity(rows_of(table), n_read)
    np.testing.assert_array_equal(found.sum(axis=0), heard(made, source, n_read))
    place = start - shift + np.arange(n_read)
    is_there = (place >= 0) & (place < LENGTH) | (not is_padded)
    expected = activity(ROWS[name], LENGTH)[:, place % LENGTH] * is_there
    np.testing.assert_array_equal(found, expected)
    expected = onsets(ROWS[name], LENGTH)[:, place % LENGTH] * is_there
    np.testing.assert_array_equal(onsets(begun(table), n_read), expected)
    assert (table.onset >= 0).all()
    assert (table.onset < n_read).all()
    assert (table.offset >= table.onset).all()
    assert (table.offset <= n_read).all()
    assert (np.diff(table.onset) >= 0).all()
    # What did not begin inside sounds from the first sample on, or from the seam of a loop.
    seams = {0, *np.flatnonzero(place % LENGTH == 0).tolist()}
    assert set(table.onset[~table.is_onset_inside].tolist()) <= seams


def test_a_note_across_the_seam_becomes_two(tmp_path: Path) -> None:
    root = tmp_path / "c"
    audio = np.zeros(LENGTH, np.float32)
    source = write_corpus(root, {"a": ([(900, 980, 60, 99), (10, 20, 61, 98)], audio, RATE)})["a"]
    made = root, {"a": source}
    table = table_of(made, dataclasses.replace(source, shift=50), LENGTH)
    assert rows_of(table) == [(0, 30, 60, 99), (60, 70, 61, 98), (950, 1000, 60, 99)]
    assert table.is_onset_inside.tolist() == [False, True, True]
    padded = dataclasses.replace(source, shift=50, is_shift_padded=True)
    table = table_of(made, padded, LENGTH)
    assert rows_of(table) == [(60, 70, 61, 98), (950, 1000, 60, 99)]
    assert table.is_onset_inside.tolist() == [True, True]


def test_notes_cut_by_the_clip_are_flagged_and_those_outside_are_gone(made: Made) -> None:
    source = dataclasses.replace(made[1]["s0"], start=400, n_read=100)
    table = table_of(made, source, 100)
    sounding = [row for row in ROWS["s0"] if row[0] < 400 < row[1]]
    assert len(sounding) > 1
    assert sum(~table.is_onset_inside) == len(sounding)
    assert not table.onset[~table.is_onset_inside].any()
    assert sorted(table.pitch[~table.is_onset_inside]) == sorted(row[2] for row in sounding)
    dtypes = [getattr(table, f.name).dtype for f in dataclasses.fields(table)[:6]]
    assert dtypes == [np.float64, np.float64, np.uint8, np.uint8, np.bool_, np.int32]


# ---------------------------------------------------------------------------------------------
# Transforms


def silence(*keep: tuple[int, int]) -> tuple[str, ...]:
    return (encode({"name": "silence", "keep": [list(stretch) for stretch in keep]}),)


@settings(deadline=None)
@given(
    names,
    st.lists(
        st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 400)).map(
            lambda stretch: (stretch[0], min(stretch[1], LENGTH - stretch[0]))
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_labels_of_what_is_left_without_silence_are_what_is_heard(
    made: Made, name: str, keep: list[tuple[int, int]]
) -> None:
    source = dataclasses.replace(made[1][name], transforms=silence(*keep))
    n_samples = sum(n for _, n in keep)
    table = table_of(made, source, n_samples)
    place = np.concatenate([start + np.arange(n) for start, n in keep])
    found = activity(rows_of(table), n_samples)
    np.testing.assert_array_equal(found.sum(axis=0), heard(made, source, n_samples))
    np.testing.assert_array_equal(found, activity(ROWS[name], LENGTH)[:, place])
    expected = onsets(ROWS[name], LENGTH)[:, place]
    np.testing.assert_array_equal(onsets(begun(table), n_samples), expected)


def test_a_note_that_goes_on_after_a_cut_stays_one(tmp_path: Path) -> None:
    root = tmp_path / "c"
    rows = [(100, 500, 60, 99), (250, 350, 61, 98)]
    source = write_corpus(root, {"a": (rows, np.zeros(LENGTH, np.float32), RATE)})["a"]
    cut = dataclasses.replace(source, transforms=silence((50, 150), (300, 100), (450, 100)))
    table = table_of((root, {}), cut, 350)
    assert rows_of(table) == [(50, 300, 60, 99), (150, 200, 61, 98)]
    assert table.is_onset_inside.tolist() == [True, False]


def test_muted_sources_have_no_notes_and_other_transforms_leave_time_alone(made: Made) -> None:
    source = made[1]["s1"]
    muted = table_of(made, dataclasses.replace(source, transforms=(encode({"name": "mute"}),)), 500)
    assert len(muted) == 0
    assert muted.stem_ids == ("corpus:song/s1",)
    wet = [encode({"name": "reverb", "reverberance": 40}), encode({"name": "invert"})]
    changed = table_of(made, dataclasses.replace(source, transforms=tuple(wet)), 500)
    assert rows_of(changed) == rows_of(table_of(made, source, 500))


# Bursts with gaps: what sounds begins, and ends, where its note does.
BURSTS: list[Row] = [
    (start, start + 4000, 60 + k, 100) for k, start in enumerate((3000, 12_000, 22_050, 35_000))
]


def write_bursts(root: Path, rate: int, is_noise: bool = False) -> MixtureSource:
    audio = np.zeros(48_000, np.float32)
    sound = 0.5 * np.sin(2 * np.pi * 1000 / rate * np.arange(48_000))
    if is_noise:
        sound = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000)
    for start, stop, _, _ in BURSTS:
        audio[start:stop] = sound[start:stop]
    return write_corpus(root, {"a": (BURSTS, audio, rate)})["a"]


def sounding(root: Path, mixture: Mixture, gap: int = 1000) -> tuple[list[int], list[int]]:
    """Return where the energy of a mixture begins and ends, by its samples above a tenth."""
    (loud,) = np.nonzero(np.abs(realise(mixture, {"corpus": root})["mixture"][0]) > 0.05)
    breaks = np.flatnonzero(np.diff(loud) > gap)
    return [loud[0], *loud[breaks + 1]], [*(loud[breaks] + 1), loud[-1] + 1]


@pytest.mark.parametrize(
    ("file_rate", "rate"), [(48_000, 44_100), (44_100, 22_050), (22_050, 32_000), (16_000, 16_000)]
)
@pytest.mark.parametrize("is_padded", [False, True])
def test_energy_begins_and_ends_at_labels_after_resampling(
    tmp_path: Path, file_rate: int, rate: int, is_padded: bool
) -> None:
    source = dataclasses.replace(
        write_bursts(tmp_path, file_rate),
        start=4800,
        n_read=38_400,
        shift=24_000,
        is_shift_padded=is_padded,
    )
    mixture = mixture_of(source, n_samples=38_400 * rate // file_rate, rate=rate)
    table = table_of((tmp_path, {}), source, mixture.n_samples, rate)
    begins, ends = sounding(tmp_path, mixture)
    # The first two bursts, and the last one where the shift is circular.
    assert table.pitch.tolist() == ([60, 61] if is_padded else [63, 60, 61])
    near = 0.001 * rate
    np.testing.assert_allclose(table.onset, begins, atol=near, rtol=0)
    np.testing.assert_allclose(table.offset, ends, atol=near, rtol=0)


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.25, 2])
def test_energy_begins_and_ends_at_labels_after_a_change_of_tempo(
    tmp_path: Path, factor: float
) -> None:
    pytest.importorskip("librosa")
    stretch = encode({"name": "tempo", "factor": factor})
    # Noise: slowed down, a steady tone would have gaps of the phase vocoder's.
    bursts = write_bursts(tmp_path, 44_100, is_noise=True)
    source = dataclasses.replace(bursts, transforms=(stretch,))
    n_samples = round(48_000 / factor)
    table = table_of((tmp_path, {}), source, n_samples, 44_100)
    mixture = mixture_of(source, n_samples=n_samples, rate=44_100)
    begins, ends = sounding(tmp_path, mixture, gap=500)
    assert len(table) == 4
    # The phase vocoder smears over its window of 2048 samples.
    np.testing.assert_allclose(table.onset, begins, atol=1500, rtol=0)
    np.testing.assert_allclose(table.offset, ends, atol=1500, rtol=0)
    np.testing.assert_allclose(table.onset * factor, [row[0] for row in BURSTS], rtol=1e-12)


def test_what_a_slower_tempo_moves_behind_the_end_is_gone(tmp_path: Path) -> None:
    stretch = encode({"name": "tempo", "factor": 0.5})
    source = dataclasses.replace(write_bursts(tmp_path, RATE), transforms=(stretch,))
    table = table_of((tmp_path, {}), source, 24_001)
    assert rows_of(table) == [(6000, 14_000, 60, 100), (24_000, 24_001, 61, 100)]


# ---------------------------------------------------------------------------------------------
# Pedals


def hold(root: Path, sounding_offset: Sequence[int] | None) -> None:
    """Say until when the notes of a corpus of one stem sound."""
    path = root / "stems-00000.parquet"
    (stem,) = shards.read_records(path, Stem)
    held = None if sounding_offset is None else np.array(sounding_offset, np.int32)
    shards.write_records(path, Stem, [dataclasses.replace(stem, note_sounding_offset=held)])
    shards.write_manifest(root, {"stage": "corpus", "shards": [shards.shard_entry(path)]})


# Each note has a pitch of its own.
KEYS: list[Row] = [(*row[:2], k, row[3]) for k, row in enumerate(random_rows(7))]
PEDALLED = [min(offset + 37 * k, LENGTH + 50) for k, (_, offset, _, _) in enumerate(KEYS)]


@pytest.fixture(scope="module")
def pedalled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """Return a corpus whose notes pedals hold, and one whose keys are down for as long."""
    made = []
    for rows in (KEYS, [(row[0], end, *row[2:]) for row, end in zip(KEYS, PEDALLED, strict=True)]):
        root = tmp_path_factory.mktemp("pedals")
        made.append((root, write_corpus(root, {"a": (rows, np.zeros(LENGTH, np.float32), RATE)})))
    hold(made[0][0], PEDALLED)
    return made[0], made[1]


def stretches_between(cuts: set[int]) -> list[tuple[int, int]]:
    """Return what is kept between the first cut and the second, the third and the fourth ..."""
    ends = sorted(cuts)
    return [(start, stop - start) for start, stop in zip(ends[::2], ends[1::2], strict=False)]


@settings(deadline=None)
@given(
    st.integers(-LENGTH, LENGTH),
    st.integers(1, 3 * LENGTH),
    st.booleans(),
    st.sets(st.integers(0, LENGTH), max_size=8).map(stretches_between),
)
def test_a_pedal_holds_notes_as_long_as_their_keys_would(
    pedalled: tuple[Made, Made],
    shift: int,
    n_read: int,
    is_padded: bool,
    keep: list[tuple[int, int]],
) -> None:
    n_samples = sum(n for _, n in keep) or n_read
    held, down = (
        table_of(
            made,
            dataclasses.replace(
                made[1]["a"],
                n_read=n_read,
                shift=shift,
                is_shift_padded=is_padded,
                transforms=silence(*keep) if keep else (),
            ),
            n_samples,
        )
        for made in pedalled
    )
    ends = dict(zip(zip(down.pitch, down.onset, strict=True), down.offset, strict=True))
    found = zip(held.pitch, held.onset, held.sounding_offset, strict=True)
    assert all(ends[pitch, onset] == end for pitch, onset, end in found)
    assert (held.sounding_offset >= held.offset).all()
    assert held.sounding_offset.dtype == np.float64
    assert np.isnan(down.sounding_offset).all()


def test_a_pedal_goes_on_after_a_cut_but_not_behind_the_clip(tmp_path: Path) -> None:
    rows = [(100, 120, 60, 99), (400, 420, 61, 98), (600, 610, 62, 97)]
    source = write_corpus(tmp_path, {"a": (rows, np.zeros(LENGTH, np.float32), RATE)})["a"]
    hold(tmp_path, [350, 900, 610])
    cut = dataclasses.replace(source, transforms=silence((50, 150), (300, 200)))
    table = table_of((tmp_path, {}), cut, 350)
    assert rows_of(table) == [(50, 70, 60, 99), (250, 270, 61, 98)]
    assert table.sounding_offset.tolist() == [200, 350]
    slow = dataclasses.replace(source, transforms=(encode({"name": "tempo", "factor": 0.5}),))
    table = table_of((tmp_path, {}), slow, 2 * LENGTH)
    assert table.sounding_offset.tolist() == [700, 1800, 1220]
    # Of the first note only the pedal is left where this clip begins.
    late = dataclasses.replace(source, start=200, n_read=500)
    table = table_of((tmp_path, {}), late, 500)
    assert table.pitch.tolist() == [61, 62]
    assert table.sounding_offset.tolist() == [500, 410]


def test_sounding_ends_of_several_sources_stay_with_their_notes(tmp_path: Path) -> None:
    audio = np.zeros(LENGTH, np.float32)
    sources = {}
    for name, onset, ends in (("known", 20, [90]), ("unknown", 10, None)):
        source = write_corpus(tmp_path / name, {name: ([(onset, 50, 60, 99)], audio, RATE)})[name]
        hold(tmp_path / name, ends)
        sources[name] = dataclasses.replace(source, root=name, group="both")
    roots = {name: tmp_path / name for name in sources}
    table = realise_labels(mixture_of(*sources.values()), roots)["both"]
    assert table.onset.tolist() == [10, 20]
    np.testing.assert_array_equal(table.sounding_offset, [np.nan, 90])


# ---------------------------------------------------------------------------------------------
# Targets, roots


def test_sources_of_a_target_share_a_table(made: Made) -> None:
    sources = [dataclasses.replace(made[1][name], group="both") for name in ("s2", "s3")]
    alone = made[1]["s0"]
    labels = realise_labels(mixture_of(*sources, alone), {"corpus": made[0]})
    assert list(labels) == ["both", "s0"]
    assert labels.unlabelled == {}
    table = labels["both"]
    assert table.stem_ids == ("corpus:song/s2", "corpus:song/s3")
    assert (np.diff(table.onset) >= 0).all()
    for k, name in enumerate(("s2", "s3")):
        own = [row for row, stem in zip(rows_of(table), table.stem, strict=True) if stem == k]
        assert sorted(own) == [row for row in ROWS[name] if row[0] < LENGTH]


def test_sources_without_notes_to_know_of_are_named(made: Made, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"a data set": "with a manifest of its own"}')
    corpus = dataclasses.replace(made[1]["s0"], group="bass")
    foreign = [
        dataclasses.replace(corpus, root="musdb", stem_id=f"musdb:song/{stem}", group=group)
        for stem, group in (("bass", "bass"), ("vocals", "vocals"), ("choir", "vocals"))
    ]
    roots = {"corpus": made[0], "musdb": tmp_path}
    labels = realise_labels(mixture_of(corpus, *foreign), roots)
    assert list(labels) == ["bass"]
    assert labels["bass"].stem_ids == ("corpus:song/s0",)
    assert labels.unlabelled == {
        "bass": ("musdb:song/bass",),
        "vocals": ("musdb:song/vocals", "musdb:song/choir"),
    }


def test_stems_without_notes_make_an_empty_table(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, {"a": ([], np.zeros(LENGTH, np.float32), RATE)})["a"]
    table = table_of((tmp_path, {}), source, LENGTH)
    assert len(table) == 0
    assert table.onset.dtype == np.float64


def test_notes_are_read_once_a_process_and_again_when_the_corpus_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[Path]] = []
    read = shards.iter_records
    monkeypatch.setattr(shards, "iter_records", lambda p, t: (calls.append(p), read(p, t))[1])
    audio = np.zeros(LENGTH, np.float32)
    for n_reads, row in enumerate([(0, 10, 60, 1), (5, 15, 60, 1)], 1):
        source = write_corpus(tmp_path, {"a": ([row], audio, RATE)})["a"]
        for _ in range(3):
            assert rows_of(table_of((tmp_path, {}), source, LENGTH)) == [row]
        assert len(calls) == n_reads


def test_notes_that_are_not_heard_are_no_labels(made: Made, tmp_path: Path) -> None:
    rows = [(0, 10, 60, 1), (20, 30, 61, 2), (40, 50, 62, 3)]
    source = write_corpus(tmp_path, {"a": (rows, np.zeros(LENGTH, np.float32), RATE)})["a"]
    path = tmp_path / "stems-00000.parquet"
    (stem,) = shards.read_records(path, Stem)
    marked = dataclasses.replace(stem, note_heard=np.array([True, False, True]), n_notes_unheard=1)
    shards.write_records(path, Stem, [marked])
    shards.write_manifest(tmp_path, {"stage": "corpus", "shards": [shards.shard_entry(path)]})
    assert rows_of(table_of((tmp_path, {}), source, LENGTH)) == [rows[0], rows[2]]


def test_corpora_of_renditions_have_notes_as_well(made: Made, tmp_path: Path) -> None:
    source = write_corpus(tmp_path, {"a": ([(0, 10, 60, 1)], np.zeros(LENGTH, np.float32), RATE)})[
        "a"
    ]
    path = tmp_path / "stems-00000.parquet"
    (stem,) = shards.read_records(path, Stem)
    names = ("path", "sha256", "sample_rate", "n_samples", "n_notes")
    names += ("note_onset", "note_offset", "note_pitch", "note_velocity")
    known = {"note_cents": np.zeros(1, np.float32), **{name: getattr(stem, name) for name in names}}
    shards.write_records(path, RenditionStem, [blank(RenditionStem, **known)])
    header = {"stage": "corpus", "kind": "renditions", "shards": [shards.shard_entry(path)]}
    shards.write_manifest(tmp_path, header)
    assert rows_of(table_of((tmp_path, {}), source, LENGTH)) == [(0, 10, 60, 1)]


def test_what_does_not_fit_the_recipe_is_refused_by_name(made: Made, tmp_path: Path) -> None:
    root, sources = made
    source = sources["s0"]
    with pytest.raises(UsageError, match="no folder is given for the root 'corpus'"):
        realise_labels(mixture_of(source), {})
    with pytest.raises(InvalidCorpus, match="gone: the folder is not there"):
        realise_labels(mixture_of(source), {"corpus": tmp_path / "gone"})
    lost = dataclasses.replace(source, path="lost.flac")
    with pytest.raises(InvalidCorpus, match=r"corpus: has no stem lost\.flac"):
        realise_labels(mixture_of(lost), {"corpus": root})
    other = dataclasses.replace(source, sha256="0" * 64)
    with pytest.raises(InvalidCorpus, match=r"s0\.flac: has changed since"):
        realise_labels(mixture_of(other), {"corpus": root})


@pytest.mark.parametrize("damage", ["manifest", "shard", "unfinished"])
def test_a_damaged_corpus_is_refused_not_taken_for_another_data_set(
    tmp_path: Path, damage: str
) -> None:
    rows, audio = [(0, 10, 60, 1)], np.zeros(LENGTH, np.float32)
    source = write_corpus(tmp_path, {"a": (rows, audio, RATE)})["a"]
    manifest, shard = tmp_path / "manifest.json", tmp_path / "stems-00000.parquet"
    if damage == "manifest":
        manifest.write_text("{")
    elif damage == "shard":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        manifest.unlink()
    with pytest.raises(InvalidCorpus, match="stems-" if damage == "shard" else "manifest"):
        table_of((tmp_path, {}), source, LENGTH)


# ---------------------------------------------------------------------------------------------
# A rendered corpus


def test_rendered_energy_begins_at_the_first_label(corpus: Path, tmp_path: Path) -> None:
    stems = read_stems(find_sources([str(corpus)], tmp_path), {}, 1)
    config = MixConfig(seed=1, clip_s=1.5, augment=("shift-padded",))
    roots = {"corpus": corpus}
    n_shifted = 0
    for split, catalogue in split_catalogues(stems, TAXONOMIES["slakh"]).items():
        for mixture in CoherentPlan(catalogue, split, config, 44_100).mixtures(0, 6):
            # From the beginning of the song, where it is silent before the first note.
            sources = [
                dataclasses.replace(s, start=0, group=s.stem_id) for s in mixture.sources if s.shift
            ]
            from_start = dataclasses.replace(mixture, sources=tuple(sources))
            made, labels = realise(from_start, roots), realise_labels(from_start, roots)
            for source in sources:
                table = labels[source.stem_id]
                (heard,) = np.nonzero(made[source.stem_id][0])
                assert table.is_onset_inside[0]
                assert table.onset[0] == source.shift  # the scores begin with a note each
                assert 0 <= heard[0] - table.onset[0] < 0.02 * 44_100
                n_shifted += 1
    assert n_shifted > 5


def test_labels_of_planned_mixtures_are_those_of_their_stems(corpus: Path, tmp_path: Path) -> None:
    stems = read_stems(find_sources([str(corpus)], tmp_path), {}, 1)
    config = MixConfig(seed=2, clip_s=1.0, augment=("shift",))
    records = {
        stem.path: stem
        for stem in shards.read_records(sorted(corpus.glob("stems-*.parquet")), Stem)
    }
    n_notes = 0
    for split, catalogue in split_catalogues(stems, TAXONOMIES["slakh"]).items():
        for mixture in CoherentPlan(catalogue, split, config, 44_100).mixtures(0, 4):
            labels = realise_labels(mixture, {"corpus": corpus})
            assert set(labels) == {source.group for source in mixture.sources}
            for source in mixture.sources:
                table, stem = labels[source.group], records[source.path]
                expected = np.roll(
                    np.bincount(stem.note_onset, minlength=stem.n_samples), source.shift
                )[source.start : source.start + source.n_read]
                own = table.is_onset_inside & (table.stem == table.stem_ids.index(source.stem_id))
                found = np.bincount(table.onset[own].astype(int), minlength=mixture.n_samples)
                np.testing.assert_array_equal(found, expected)
                n_notes += int(own.sum())
    assert n_notes > 100
