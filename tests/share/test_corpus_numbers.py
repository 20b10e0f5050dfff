"""The numbers of a corpus are those of its records."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.evaluate.benchmark.datasets import find_dataset
from stemsmith.manifests import shards
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.records import Defect, DefectKind, Reason, Rejection, Song, Stem
from stemsmith.share.report import published_sizes, spectra
from stemsmith.share.report.corpus_numbers import (
    CorpusNumbers,
    TrackCounts,
    measure_corpus,
    measure_dataset,
)
from stemsmith.share.report.musical_key import KEYS, key_of
from stemsmith.share.report.spectra import measure_spectrum, song_spectrum

RATE = 8000
SINE_LUFS = -3.01  # of a full-scale sine at 997 Hz, as BS.1770 has it


def song(number: int, **fields: Any) -> Song:
    """Make the record of a song of ten seconds."""
    name = f"Track{number:05d}"
    known: dict[str, Any] = {
        "song_id": f"id{number}",
        "track": name,
        "split": "train",
        "source": f"{name}.mid",
        "notes_sha256": f"notes{number}",
        "path": f"train/{name}",
        "mix_path": f"train/{name}/mix.flac",
        "sample_rate": RATE,
        "n_samples": 10 * RATE,
        "mix_source": "automix",
        "overall_gain_db": 0.0,
        "mix_peak_dbfs": -3.0,
        "n_stems": 1,
        "midi_sha256": "",
        "mix_sha256": "",
        "metadata_sha256": "",
    }
    return Song(**{**known, **fields})


def stem(number: int, part: int, notes: list[tuple[int, int, int]], **fields: Any) -> Stem:
    """Make the record of a stem with notes of (onset, offset, pitch)."""
    onset, offset, pitch = (list(c) for c in zip(*notes, strict=True)) if notes else ([], [], [])
    known: dict[str, Any] = {
        "stem_id": f"id{number}/S{part:02d}",
        "song_id": f"id{number}",
        "track": f"Track{number:05d}",
        "split": "train",
        "stem": f"S{part:02d}",
        "program": 0,
        "inst_class": "Piano",
        "rendering_class": "Acoustic Piano",
        "patch": "grand",
        "path": f"{number}-{part}.flac",
        "midi_path": f"{number}-{part}.mid",
        "sample_rate": RATE,
        "n_samples": 10 * RATE,
        "loudness_lufs": -20.0,
        "gain_db": 0.0,
        "is_silent": False,
        "is_gain_limited": False,
        "n_notes": len(notes),
        "sha256": "",
        "midi_sha256": "",
        "k_power": np.zeros(100, np.float32),
        "power": np.zeros(100, np.float32),
        "note_onset": np.array(onset, np.int32),
        "note_offset": np.array(offset, np.int32),
        "note_pitch": np.array(pitch, np.uint8),
        "note_velocity": np.full(len(notes), 64, np.uint8),
    }
    return Stem(**{**known, **fields})


def numbers(
    folder: Path,
    songs: list[Song],
    stems: list[Stem],
    rejections: list[Rejection] | None = None,
    **header: Any,
) -> CorpusNumbers:
    """Write a corpus that has no audio, and measure it."""
    folder.mkdir()
    entries = []
    for name, kind, records in (
        ("songs", Song, songs),
        ("stems", Stem, stems),
        ("rejections", Rejection, rejections or []),
    ):
        path = folder / f"{name}-00000.parquet"
        shards.write_records(path, kind, records)  # type: ignore[arg-type]
        entries.append(shards.shard_entry(path))
    shards.write_manifest(folder, {"stage": "corpus", "shards": entries, **header})
    return measure_corpus(Corpus(folder))


def test_songs_hours_tracks_and_classes_are_counted(tmp_path: Path) -> None:
    songs = [
        song(1, n_stems=3, licence="CC0-1.0"),
        song(2, split="test", n_samples=20 * RATE, licence="CC0-1.0"),
        song(3, split="train"),
    ]
    bass = {"program": 33, "inst_class": "Bass", "rendering_class": "Electric Bass"}
    stems = [
        stem(1, 0, []),
        stem(1, 1, [], patch="upright"),
        stem(1, 2, [], **bass),
        stem(2, 0, [], split="test", **bass),
        stem(3, 0, [], **bass),
    ]
    found = numbers(
        tmp_path / "c",
        songs,
        stems,
        [
            Rejection("a.mid", "select", Reason.NO_BAND, ""),
            Rejection("b.mid", "scan", Reason.NOT_MIDI, ""),
            Rejection("c.mid", "select", Reason.NO_BAND, ""),
        ],
        soundfonts=[{"file": "a.sf2", "licence": "MIT"}, {"file": "b.sf2"}],
    )
    assert (found.n_songs, found.n_stems, found.n_notes) == (3, 5, 0)
    assert found.hours == pytest.approx(40 / 3600)
    assert found.tracks == TrackCounts(1, 1.0, 3)
    assert found.songs_by_split == {"train": 2, "test": 1}
    assert found.hours_by_split == pytest.approx({"train": 20 / 3600, "test": 20 / 3600})
    # Two pianos of one song are one song with a piano.
    assert found.songs_by_class == {"Bass": 3, "Piano": 1}
    assert found.songs_by_rendering_class == {"Electric Bass": 3, "Acoustic Piano": 1}
    assert list(found.stems_by_patch.items()) == [("grand", 4), ("upright", 1)]
    assert found.licences == {"CC0-1.0": 2, "unknown": 1}
    assert list(found.rejections.items()) == [
        (("select", "no-band"), 2),
        (("scan", "not-midi"), 1),
    ]
    assert found.soundfonts == (("a.sf2", "MIT"), ("b.sf2", "unknown"))
    np.testing.assert_array_equal(found.duration_s, [10, 20, 10])


def test_polyphony_is_a_mean_over_the_time_with_sound(tmp_path: Path) -> None:
    stems = [
        stem(1, 0, [(0, 100, 60), (50, 150, 64)]),  # 200 samples of notes in 150
        stem(1, 1, [(1000, 1100, 36)], program=128, inst_class="Drums"),  # and 100 in 100
    ]
    found = numbers(tmp_path / "c", [song(1, n_stems=2)], stems)
    np.testing.assert_allclose(found.polyphony, [300 / 250])


def test_a_note_that_a_pedal_holds_sounds_until_it_is_let_go(tmp_path: Path) -> None:
    held = np.array([200, 400], np.int32)
    stems = [stem(1, 0, [(0, 100, 60), (100, 200, 64)], note_sounding_offset=held)]
    found = numbers(tmp_path / "c", [song(1)], stems)
    np.testing.assert_allclose(found.polyphony, [(200 + 300) / 400])


def test_what_no_notes_tell_is_not_known(tmp_path: Path) -> None:
    drums = {"program": 128, "inst_class": "Drums"}
    stems = [stem(1, 0, []), stem(2, 0, [(0, 9, 36)], **drums)]
    found = numbers(tmp_path / "c", [song(1), song(2)], stems)
    assert found.polyphony.tolist() == [1.0] and found.songs_by_key == {}
    assert found.n_songs_without_key == 2 and found.n_audited == 0


def test_an_empty_corpus_has_numbers(tmp_path: Path) -> None:
    found = numbers(tmp_path / "c", [], [])
    assert found.n_songs == 0 and found.hours == 0 and math.isnan(found.tracks.median)


def test_levels_are_as_in_the_mixture(tmp_path: Path) -> None:
    power = np.full(100, 10 ** ((-23 + 0.691) / 10), np.float32)
    stems = [
        stem(1, 0, [], loudness_lufs=-23.0, gain_db=3.0, k_power=power),
        stem(1, 1, [], loudness_lufs=-23.0, gain_db=3.0, k_power=power),
        stem(1, 2, [], loudness_lufs=None, gain_db=0.0),
        stem(2, 0, [], loudness_lufs=-20.0, gain_db=-5.0),
    ]
    found = numbers(tmp_path / "c", [song(1, n_stems=3), song(2)], stems)
    np.testing.assert_allclose(found.stem_lufs, [-20, -20, -25])
    np.testing.assert_allclose(found.level_spread_lu, [0.0])
    # Two unrelated signals of one power are 3 LU louder than either; a silent mixture has none.
    np.testing.assert_allclose(found.mixture_lufs, [-20 + 10 * math.log10(2)], atol=1e-3)


def test_defects_are_counted_by_stem_and_by_kind(tmp_path: Path) -> None:
    late, dropout = (
        Defect(kind, 0, 10, 1.0) for kind in (DefectKind.LATE_ONSET, DefectKind.DROPOUT)
    )
    stems = [
        stem(1, 0, [], audit=(late, late, dropout)),
        stem(1, 1, [], audit=(late,)),
        stem(1, 2, [], audit=()),
        stem(1, 3, [], audit=None),
    ]
    found = numbers(tmp_path / "c", [song(1, n_stems=4)], stems)
    assert (found.n_audited, found.n_defective) == (3, 2)
    assert found.stems_by_defect == {"late-onset": 2, "dropout": 1}
    assert found.defects_by_kind == {"late-onset": 3, "dropout": 1}


def test_duplicates_are_groups_of_more_than_one_song(tmp_path: Path) -> None:
    songs = [song(1, duplicate_group="a"), song(2, duplicate_group="a"), song(3)]
    songs += [song(4, notes_sha256="same"), song(5, notes_sha256="same")]  # of version 0.1
    found = numbers(tmp_path / "c", songs, [stem(k, 0, []) for k in range(1, 6)])
    assert (found.n_duplicate_groups, found.n_songs_in_groups) == (2, 4)


def test_tempo_is_of_songs_that_keep_one(tmp_path: Path) -> None:
    songs = [song(1, tempo_bpm=120.0), song(2)]
    found = numbers(tmp_path / "c", songs, [stem(1, 0, []), stem(2, 0, [])])
    assert found.tempo_bpm.tolist() == [120.0]


def test_records_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match="stem of no song"):
        numbers(tmp_path / "a", [song(1)], [stem(2, 0, [])])
    with pytest.raises(InvalidCorpus, match="does not have all its stems"):
        numbers(tmp_path / "b", [song(1, n_stems=2)], [stem(1, 0, [])])


def test_numbers_are_those_of_the_tables_of_a_rendered_corpus(workshop: Path) -> None:
    corpus = Corpus("corpus")
    found = measure_corpus(corpus)
    songs, stems = corpus.songs.to_pylist(), corpus.stems.to_pylist()
    assert found.n_songs == len(songs) and found.n_stems == len(stems)
    assert found.hours == pytest.approx(
        sum(s["n_samples"] / s["sample_rate"] for s in songs) / 3600
    )
    pairs = {(s["song_id"], s["inst_class"]) for s in stems}
    assert found.songs_by_class == dict(Counter(name for _, name in pairs))
    assert sum(found.songs_by_key.values()) + found.n_songs_without_key == len(songs)


def test_renditions_are_songs(workshop: Path) -> None:
    corpus = Corpus("renditions")
    found = measure_corpus(corpus)
    assert found.kind == "renditions" and found.n_songs == len(corpus) == 4
    n_tracks = [len(corpus[name].stems) for name in corpus]
    assert found.n_stems == sum(n_tracks)
    assert found.tracks == TrackCounts(min(n_tracks), float(np.median(n_tracks)), max(n_tracks))
    assert sum(found.stems_by_patch.values()) == corpus.stems.num_rows  # each once
    assert found.n_duplicate_groups == 0 and set(found.tempo_bpm) == {160.0}


@pytest.mark.parametrize(
    ("scale", "tonic", "expected"),
    [
        ((0, 2, 4, 5, 7, 9, 11), 0, "C major"),
        ((0, 2, 4, 5, 7, 9, 11), 7, "G major"),
        ((0, 2, 3, 5, 7, 8, 11), 9, "A minor"),
        ((0, 2, 3, 5, 7, 8, 11), 4, "E minor"),
    ],
)
def test_a_scale_with_its_triad_has_the_key_of_its_tonic(
    scale: tuple[int, ...], tonic: int, expected: str
) -> None:
    durations = np.zeros(12)
    for degree, step in enumerate(scale):
        durations[(tonic + step) % 12] = 4.0 if degree in (0, 2, 4) else 1.0
    assert key_of(durations) == expected


def test_keys_go_around_with_their_notes() -> None:
    rng = np.random.default_rng(0)
    durations = rng.random(12)
    found = key_of(durations)
    assert found is not None
    for steps in range(12):
        moved = key_of(np.roll(durations, steps))
        assert moved is not None
        mode, place = divmod(KEYS.index(found), 12)
        assert KEYS.index(moved) == 12 * mode + (place + steps) % 12


@pytest.mark.parametrize("durations", [np.zeros(12), np.ones(12), np.full(12, np.nan)])
def test_no_key_is_guessed_from_nothing(durations: np.ndarray) -> None:
    assert key_of(durations) is None


def in_blocks(audio: np.ndarray, size: int = 5000) -> Any:
    return iter([audio[:, k : k + size] for k in range(0, audio.shape[1], size)])


def test_a_spectrum_has_unit_energy_and_that_of_white_noise_is_flat() -> None:
    noise = np.random.default_rng(1).standard_normal((2, 800_000)).astype(np.float32)
    spectrum = song_spectrum(in_blocks(noise))
    assert spectrum is not None and np.sum(spectrum**2) == pytest.approx(1.0)
    inner = 20 * np.log10(spectrum[2:-2])  # half as many numbers are behind the ends
    assert np.abs(inner - 10 * math.log10(1 / len(spectrum))).max() < 1.0
    assert abs(inner.mean() - 10 * math.log10(1 / len(spectrum))) < 0.05


def test_the_spectrum_is_that_of_all_frames_at_once() -> None:
    audio = np.random.default_rng(2).standard_normal((1, 30_000)).astype(np.float32)
    n, hop = spectra.N_FRAME, spectra.N_FRAME // 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    frames = [audio[0, k : k + n] * window for k in range(0, audio.shape[1] - n + 1, hop)]
    mean = np.mean([np.abs(np.fft.rfft(frame)) for frame in frames], axis=0)
    for size in (100, 4096, 7777, 30_000):
        found = song_spectrum(in_blocks(audio, size))
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), rtol=1e-9)


def test_level_does_not_count_and_silence_has_no_spectrum() -> None:
    audio = np.random.default_rng(3).standard_normal((1, 9000)).astype(np.float32)
    first, second = song_spectrum(in_blocks(audio)), song_spectrum(in_blocks(audio / 8))
    np.testing.assert_allclose(first, second)
    assert song_spectrum(in_blocks(np.zeros((1, 9000), np.float32))) is None
    assert song_spectrum(iter([])) is None
    assert song_spectrum(in_blocks(np.full((1, 9000), np.nan, np.float32))) is None
    assert song_spectrum(in_blocks(audio[:, :100])) is not None  # shorter than a frame


def test_the_peak_of_a_sine_is_at_its_frequency(tmp_path: Path) -> None:
    bin_hz = RATE / spectra.N_FRAME
    for name, seconds in (("a", 4), ("b", 3)):
        wave = 0.5 * np.sin(2 * np.pi * 200 * bin_hz * np.arange(seconds * RATE) / RATE)
        (tmp_path / "train" / name).mkdir(parents=True)
        for part in ("bass", "drums", "other", "vocals", "mixture"):
            level = 1.0 if part in ("bass", "mixture") else 0.0
            soundfile.write(tmp_path / "train" / name / f"{part}.wav", level * wave, RATE)
    found = measure_spectrum(f"musdb:{tmp_path}")
    assert (found.n_songs, found.n_available, found.sample_rate) == (2, 2, RATE)
    assert int(np.argmax(found.mean_db)) == 200
    assert found.frequency_hz[200] == pytest.approx(200 * bin_hz)
    # Of a Hann window the neighbours have half the magnitude: 1 / sqrt(1 + 2 / 4) remains.
    assert found.mean_db[200] == pytest.approx(10 * math.log10(2 / 3), abs=0.01)
    assert found.deviation_db[200] == pytest.approx(0, abs=0.01)


def test_a_sample_of_the_songs_is_measured_and_what_cannot_be_is_named(
    workshop: Path, tmp_path: Path
) -> None:
    whole = measure_spectrum("corpus")
    assert (whole.n_songs, whole.n_available, whole.left_out) == (3, 3, ())
    one = measure_spectrum("corpus", 1, seed=1)
    assert one.n_songs == 1 and one.deviation_db.max() == 0
    again = measure_spectrum("corpus", 1, seed=1)
    np.testing.assert_array_equal(one.mean_db, again.mean_db)
    (workshop / "corpus/test/Track00003/mix.flac").unlink()
    rest = measure_spectrum("corpus")
    assert rest.n_songs == 2 and rest.left_out[0].startswith("Track00003: ")
    assert measure_spectrum("renditions").n_songs == 4
    with pytest.raises(UsageError, match="not a folder"):
        measure_spectrum("nowhere")


def test_the_table_is_the_one_that_was_printed(shared: Path) -> None:
    text = (shared / "papers" / "manilow2019-slakh.txt").read_text("utf-8")
    for size in published_sizes.PUBLISHED_SIZES:
        hours = f"{size.hours:,}"
        row = next(
            line for line in text.splitlines() if line.startswith(size.name) and "\t" in line
        )
        cells = row.split("\t")[1:]
        songs = {f"{size.n_songs}", f"{size.n_songs:,}"}
        assert cells[0] in songs and cells[1] in {hours, hours.replace(",", "")}
        assert cells[2:] == [size.tracks, str(size.n_classes)]


def test_the_size_of_a_data_set_is_that_of_its_files(musdb: Path) -> None:
    size = measure_dataset(find_dataset(f"musdb:{musdb}", None, ("train", "validation", "test")))
    assert (size.n_songs, size.n_classes) == (4, 4)
    assert (size.tracks.least, size.tracks.median, size.tracks.most) == (4, 4.0, 4)
    assert size.hours == pytest.approx(4 * 4.0 / 3600)  # songs of four seconds
