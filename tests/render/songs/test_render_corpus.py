"""The corpus that `render` makes: layout, numbers, mixture, records."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pretty_midi
import pyarrow.parquet as pq
import pyloudnorm
import pytest
import soundfile
import yaml
from stemsmith.manifests import shards
from stemsmith.manifests.audio import flac
from stemsmith.manifests.records import Rejection, Song, Stem


def songs_of(corpus: Path) -> list[Song]:
    return shards.read_records(corpus / "songs-00000.parquet", Song)


def stems_of(corpus: Path) -> list[Stem]:
    return shards.read_records(corpus / "stems-00000.parquet", Stem)


def test_the_layout_is_slakhs(corpus: Path) -> None:
    for song in songs_of(corpus):
        folder = corpus / song.path
        assert folder.parent.name == song.split
        assert {p.name for p in folder.iterdir()} == {
            "all_src.mid",
            "metadata.yaml",
            "mix.flac",
            "MIDI",
            "stems",
        }
        stems = {p.stem for p in (folder / "stems").iterdir()}
        assert stems == {p.stem for p in (folder / "MIDI").iterdir()}
        assert {p.suffix for p in (folder / "stems").iterdir()} == {".flac"}
    assert [s.track for s in songs_of(corpus)] == [f"Track{k:05d}" for k in range(1, 7)]


def test_nothing_of_the_run_is_left(corpus: Path) -> None:
    assert not (corpus / ".render").exists()
    assert not [p for p in corpus.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def test_uuid_is_the_md5_of_the_byte_copy(corpus: Path, band_folder: Path) -> None:
    for song in songs_of(corpus):
        data = (corpus / song.path / "all_src.mid").read_bytes()
        assert data == (band_folder / song.source).read_bytes()
        metadata = yaml.safe_load((corpus / song.path / "metadata.yaml").read_bytes())
        assert metadata["UUID"] == song.song_id == hashlib.md5(data).hexdigest()


def test_metadata_has_slakhs_keys_in_order_and_values(corpus: Path) -> None:
    for song in songs_of(corpus):
        text = (corpus / song.path / "metadata.yaml").read_text("utf-8")
        metadata = yaml.safe_load(text)
        assert list(metadata) == sorted(metadata)
        assert set(metadata) == {
            "UUID",
            "audio_dir",
            "lmd_midi_dir",
            "midi_dir",
            "normalization_factor",
            "normalized",
            "overall_gain",
            "stems",
            "stemsmith",
            "target_peak",
        }
        assert (metadata["audio_dir"], metadata["midi_dir"]) == ("stems", "MIDI")
        assert (metadata["normalization_factor"], metadata["target_peak"]) == (-13.0, -1.0)
        assert metadata["normalized"] is True
        assert 0 < metadata["overall_gain"] <= 1
        classes = {s["program_num"]: s["inst_class"] for s in metadata["stems"].values()}
        assert classes[128] == "Drums"
        assert classes[33] == "Bass"
        omitted = [s for s in metadata["stems"].values() if s["program_num"] == 103]
        assert omitted == [
            {
                "audio_rendered": False,
                "inst_class": "Sound Effects",
                "is_drum": False,
                "midi_program_name": "FX 8 (sci-fi)",
                "midi_saved": False,
                "plugin_name": "None",
                "program_num": 103,
            }
        ]
        for stem in metadata["stems"].values():
            assert ("integrated_loudness" in stem) == stem["audio_rendered"]


def test_the_mixture_is_the_integer_sum_of_equally_long_stems(corpus: Path) -> None:
    for song in songs_of(corpus):
        folder = corpus / song.path
        total = np.zeros(song.n_samples, np.int64)
        for path in sorted((folder / "stems").iterdir()):
            info = soundfile.info(path)
            assert (info.channels, info.samplerate, info.subtype) == (1, 44100, "PCM_16")
            total += soundfile.read(path, dtype="int16")[0]
        mix, _ = soundfile.read(folder / "mix.flac", dtype="int16")
        assert np.array_equal(mix, total)
        assert np.abs(mix.astype(int)).max() <= 32768 * 10 ** (-1 / 20)


def test_the_length_is_the_last_note_and_the_tail_on_the_grid(corpus: Path) -> None:
    for song in songs_of(corpus):
        score = pretty_midi.PrettyMIDI(str(corpus / song.path / "all_src.mid"))
        end = max(note.end for part in score.instruments for note in part.notes)
        assert song.n_samples % 4410 == 0
        assert end + 5 <= song.n_samples / 44100 + 1e-9 < end + 5.1


def test_stems_are_equally_loud_by_an_independent_meter(corpus: Path) -> None:
    meter = pyloudnorm.Meter(44100, filter_class="DeMan")
    for song in songs_of(corpus):
        loudness = {}
        for stem in stems_of(corpus):
            if stem.song_id == song.song_id and not stem.is_gain_limited and not stem.is_silent:
                audio, _ = soundfile.read(corpus / stem.path)
                loudness[stem.stem] = meter.integrated_loudness(audio)
        assert len(loudness) >= 4
        assert max(loudness.values()) - min(loudness.values()) < 0.1
        assert max(loudness.values()) == pytest.approx(-13 + song.overall_gain_db, abs=0.1)


def test_records_say_what_is_on_disk(corpus: Path) -> None:
    for stem in stems_of(corpus):
        audio, _ = soundfile.read(corpus / stem.path)
        assert hashlib.sha256((corpus / stem.path).read_bytes()).hexdigest() == stem.sha256
        integers, _ = soundfile.read(corpus / stem.path, dtype="int16")
        plain = integers.astype("<i2").tobytes()
        assert hashlib.sha256(plain).hexdigest() == stem.samples_sha256
        assert len(audio) == stem.n_samples
        power = np.square(audio).reshape(-1, 4410).mean(axis=1)
        recorded = stem.power * 10 ** (stem.gain_db / 10)
        assert np.allclose(power, recorded, rtol=1e-2, atol=1e-9)
        assert len(stem.k_power) == len(power)


def test_without_libflac_other_bytes_hold_the_same_samples(
    corpus: Path, band_folder: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flac, "_libflac", lambda: None)
    command = ("render", band_folder, tmp_path / "c", "--songs", 1, "--seed", 3, "--jobs", 0)
    done = here(*command)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1 and "libsndfile" in warnings[0]
    versions = shards.read_manifest(tmp_path / "c", "corpus")["versions"]
    assert "libflac" not in versions
    assert versions["libsndfile"] == soundfile.__libsndfile_version__
    ours = {stem.stem_id: stem for stem in stems_of(corpus)}
    theirs = stems_of(tmp_path / "c")
    assert theirs
    for stem in theirs:
        assert stem.samples_sha256 == ours[stem.stem_id].samples_sha256
        assert stem.sha256 != ours[stem.stem_id].sha256
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_note_table_says_when_voices_start(corpus: Path) -> None:
    for stem in stems_of(corpus):
        midi = pretty_midi.PrettyMIDI(str(corpus / stem.midi_path))
        (part,) = midi.instruments
        onsets = np.array([note.start for note in part.notes])
        assert np.all(stem.note_onset % 64 == 0)
        assert np.abs(np.sort(stem.note_onset) - np.sort(onsets) * 44100).max() <= 32.001
        assert sorted(stem.note_pitch) == sorted(note.pitch for note in part.notes)
        assert np.all(stem.note_offset >= stem.note_onset)


def test_audio_begins_at_the_first_recorded_onset(corpus: Path) -> None:
    for stem in stems_of(corpus):
        audio, _ = soundfile.read(corpus / stem.path, dtype="int16")
        first = int(stem.note_onset.min())
        assert not audio[:first].any()
        assert audio[first : first + 4410].any()


def test_omitted_programs_are_rendered_on_request(band_folder: Path, tmp_path: Path, here) -> None:
    done = here(
        "render", band_folder, tmp_path / "c", "--render-omitted", "--songs", 1, "--jobs", 0
    )
    assert done.returncode == 0, done.stderr
    assert 103 in {stem.program for stem in stems_of(tmp_path / "c")}


def test_parts_of_few_notes_are_left_out_on_request_and_listed(
    make_song, tmp_path: Path, here
) -> None:
    folder = tmp_path / "scores"
    make_song(folder / "a.mid", parts=[(0, 0), (40, 1)], n_notes=9)
    song = pretty_midi.PrettyMIDI(str(folder / "a.mid"))
    song.instruments[1].notes = song.instruments[1].notes[:2]
    song.write(str(folder / "a.mid"))
    options = ["--no-band", "--jobs", 0, "--tail", 0, "--sample-rate", 16000]
    for n_notes, expected, listed in ((2, ["S00", "S01"], None), (3, ["S00"], {"S01": 2})):
        corpus = tmp_path / str(n_notes)
        done = here("render", folder, corpus, "--min-stem-notes", n_notes, *options)
        assert done.returncode == 0, done.stderr
        assert [stem.stem for stem in stems_of(corpus)] == expected
        (path,) = corpus.rglob("metadata.yaml")
        metadata = yaml.safe_load(path.read_text("utf-8"))
        assert metadata["stemsmith"].get("too_few_notes") == listed
        assert metadata["stems"]["S01"]["audio_rendered"] is (listed is None)
        assert here("validate", corpus, "--jobs", 0).returncode == 0


def test_the_note_table_says_when_a_pedal_lets_notes_go(tmp_path: Path, here) -> None:
    folder = tmp_path / "scores"
    folder.mkdir()
    song = pretty_midi.PrettyMIDI(initial_tempo=120)
    organ = pretty_midi.Instrument(16)
    organ.control_changes = [pretty_midi.ControlChange(64, 127, 0.0)]
    organ.control_changes += [pretty_midi.ControlChange(64, 0, 2.0)]
    organ.notes = [pretty_midi.Note(100, 48, 0.0, 0.5), pretty_midi.Note(100, 55, 2.5, 3.0)]
    song.instruments.append(organ)
    song.write(str(folder / "a.mid"))
    options = ["--no-band", "--jobs", 0, "--tail", 1, "--sample-rate", 16000, "--render-omitted"]
    done = here("render", folder, tmp_path / "c", "--patch-choice", "program", *options)
    assert done.returncode == 0, done.stderr
    (stem,) = stems_of(tmp_path / "c")
    assert stem.note_sounding_offset is not None
    np.testing.assert_allclose(stem.note_offset / 16000, [0.5, 3.0], atol=0.003)
    np.testing.assert_allclose(stem.note_sounding_offset / 16000, [2.0, 3.0], atol=0.003)
    audio, _ = soundfile.read(tmp_path / "c" / stem.path)
    held, gone = audio[16000:31000], audio[int(2.4 * 16000) : int(2.48 * 16000)]
    assert np.abs(held).max() > 100 * np.abs(gone).max()


def test_duplicates_share_a_split_and_are_reported(corpus: Path) -> None:
    by_content: dict[str, set[str]] = {}
    for song in songs_of(corpus):
        by_content.setdefault(song.notes_sha256, set()).add(song.split)
    assert len(by_content) == 5
    assert all(len(splits) == 1 for splits in by_content.values())
    header = json.loads((corpus / "manifest.json").read_text())
    assert header["n_duplicates_grouped"] == 2


def test_the_manifest_says_what_made_the_corpus(corpus: Path) -> None:
    header = json.loads((corpus / "manifest.json").read_text())
    assert header["config"]["seed"] == 3
    assert header["rejections"] == {"not-midi": 1}
    (soundfont,) = header["soundfonts"]
    assert soundfont["file"] == "TimGM6mb.sf2"
    assert "GPL-2" in soundfont["licence"]
    assert header["versions"]["libfluidsynth"].count(".") == 2
    (rejection,) = shards.read_records(corpus / "rejections-00000.parquet", Rejection)
    assert (rejection.id, rejection.stage) == ("broken.mid", "scan")


def test_shards_open_without_stemsmith(corpus: Path) -> None:
    table = pq.read_table(corpus / "stems-00000.parquet")
    assert {"path", "program", "loudness_lufs", "k_power"} <= set(table.column_names)
    frame = table.to_pandas()
    assert (frame.groupby("song_id")["n_samples"].nunique() == 1).all()


# Of mirdata's own dependencies: audioread imports aifc, sunau and audioop; google.api_core asks for
# grpcio-status where it finds the grpcio of TensorBoard.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning")
def test_mirdata_reads_the_corpus(corpus: Path, tmp_path: Path) -> None:
    """Mirdata's own slakh loader, on an index made as its script makes it."""
    from mirdata.datasets import slakh

    root = tmp_path / "home"
    shutil.copytree(corpus, root / "slakh2100_flac_redux")

    def entry(path: Path | None) -> list[str | None]:
        if path is None or not path.exists():
            return [None, None]
        return [path.relative_to(root).as_posix(), hashlib.md5(path.read_bytes()).hexdigest()]

    tracks, multitracks = {}, {}
    for folder in sorted((root / "slakh2100_flac_redux").glob("*/Track*")):
        metadata = entry(folder / "metadata.yaml")
        ids = []
        for midi in sorted((folder / "MIDI").glob("*.mid")):
            ids.append(f"{folder.name}-{midi.stem}")
            tracks[ids[-1]] = {
                "audio": entry(folder / "stems" / f"{midi.stem}.flac"),
                "midi": entry(midi),
                "metadata": metadata,
            }
        multitracks[folder.name] = {
            "tracks": ids,
            "midi": entry(folder / "all_src.mid"),
            "mix": entry(folder / "mix.flac"),
            "metadata": metadata,
        }
    index = {"version": "2100-redux", "tracks": tracks, "multitracks": multitracks}
    dataset = slakh.Dataset(data_home=str(root), version="2100-redux")
    dataset._index_data = index
    dataset.__dict__["_index"] = index

    loaded = dataset.load_multitracks()
    assert set(loaded) == {song.track for song in songs_of(corpus)}
    stems = {(s.track, s.stem): s for s in stems_of(corpus)}
    for song in songs_of(corpus):
        multitrack = loaded[song.track]
        assert multitrack.uuid == song.song_id
        assert multitrack.split == song.split
        mix = np.squeeze(multitrack.audio[0])
        assert mix.shape == (song.n_samples,)
        summed = multitrack.get_target(multitrack.track_ids, average=False)
        assert np.abs(np.squeeze(summed) - mix).max() < 1e-6
        for track_id in multitrack.track_ids:
            track, stem = multitrack.tracks[track_id], stems[song.track, track_id[-3:]]
            assert track.program_number == stem.program
            assert track.instrument == stem.inst_class
            assert track.plugin_name == stem.patch
            if not track.is_drum:  # mirdata gives no notes of drums
                assert len(track.notes.intervals) == stem.n_notes
            assert np.squeeze(track.audio[0]).shape == (song.n_samples,)
