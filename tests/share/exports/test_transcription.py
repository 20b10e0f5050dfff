"""Recordings with notes in sounding time, read by pretty_midi, mir_eval, jams and pandas."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
from stemsmith.manifests.audio.flac import with_md5
from stemsmith.manifests.corpus import Corpus
from stemsmith.share import export_dataset
from stemsmith.share.exports.jams import jams_text
from stemsmith.share.exports.sounding_notes import (
    Control,
    SoundingNote,
    controls_of,
    midi_of,
    notes_of,
)

MAESTRO = [
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
]
_TICK_S = 1 / 4800


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def recordings(folder: Path) -> Iterator[tuple[dict[str, str], np.ndarray[Any, Any], Any]]:
    """Yield the rows of the table, with notes as (onset, offset, pitch, velocity), and the MIDI."""
    for row in rows_of(folder / "metadata.csv"):
        place = folder / row["midi_filename"]
        table = rows_of(place.with_suffix(".notes.csv"))
        names = ("onset_s", "offset_s", "pitch", "velocity")
        notes = sorted(tuple(float(note[name]) for name in names) for note in table)
        yield row, np.array(notes).reshape(-1, 4), pretty_midi.PrettyMIDI(str(place))


def notes_in(midi: Any) -> np.ndarray[Any, Any]:
    notes = [(n.start, n.end, n.pitch, n.velocity) for i in midi.instruments for n in i.notes]
    return np.array(sorted(notes)).reshape(-1, 4)


@pytest.mark.parametrize("variant", ["mix", "stems"])
@pytest.mark.parametrize("kind", ["corpus", "renditions", "stereo"])
def test_the_notes_of_the_midi_are_those_of_the_table(
    stereo: Path, workshop: Path, variant: str, kind: str
) -> None:
    mir_eval = pytest.importorskip("mir_eval")
    folder = stereo if kind == "stereo" else workshop / kind
    export_dataset(folder, "x", "transcription", variant=variant)
    n_notes = 0
    for row, notes, midi in recordings(workshop / "x"):
        found = notes_in(midi)
        assert found.shape == notes.shape
        assert np.abs(found[:, :2] - notes[:, :2]).max(initial=0) <= _TICK_S
        assert np.array_equal(found[:, 2:], notes[:, 2:])
        hz = 440 * 2 ** ((notes[:, 2] - 69) / 12)
        scores = mir_eval.transcription.precision_recall_f1_overlap(
            notes[:, :2], hz, found[:, :2], hz, onset_tolerance=0.01
        )
        assert scores[:3] == (1.0, 1.0, 1.0)
        assert soundfile.info(workshop / "x" / row["audio_filename"]).duration == pytest.approx(
            float(row["duration"])
        )
        n_notes += len(notes)
    expected = [notes_of(stem) for song in Corpus(folder).values() for stem in song.stems.values()]
    assert n_notes == sum(map(len, expected)) > 0


def test_the_table_is_maestros_and_claims_nothing_unknown(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "transcription")
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(tmp_path / "x" / "metadata.csv")
    assert list(table.columns) == MAESTRO
    assert sorted(table.canonical_title) == [f"Żółć, noc <1> ночь {n}" for n in range(2)]
    assert table.canonical_composer.isna().all() and table.year.isna().all()
    assert list(table.split) == ["train", "train"]
    for audio, midi in zip(table.audio_filename, table.midi_filename, strict=True):
        assert (tmp_path / "x" / audio).is_file() and (tmp_path / "x" / midi).is_file()
    assert "CC0-1.0" in (tmp_path / "x" / "README.md").read_text()


@pytest.mark.parametrize("variant", ["mix", "mix-flac", "stems", "stems-flac"])
def test_audio_is_that_of_the_corpus(stereo: Path, tmp_path: Path, variant: str) -> None:
    export_dataset(stereo, tmp_path / "x", "transcription", variant=variant)
    opened = Corpus(stereo)
    for row in rows_of(tmp_path / "x" / "metadata.csv"):
        path = tmp_path / "x" / row["audio_filename"]
        name, _, stem = path.stem.partition("_")
        record = opened[name].record
        source = opened[name].stems[stem].record.path if stem else record.mix_path  # type: ignore[union-attr]
        assert np.array_equal(
            soundfile.read(path, dtype="int16")[0],
            soundfile.read(stereo / source, dtype="int16")[0],
        )
        assert path.suffix == (".flac" if variant.endswith("flac") else ".wav")
        if path.suffix == ".flac":
            assert path.read_bytes() == with_md5((stereo / source).read_bytes(), "")


def test_pedals_and_bends_are_in_tables_and_jams(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "transcription")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own packages' deprecations
        jams = pytest.importorskip("jams")
        annotated = jams.load(str(tmp_path / "x" / "train" / "Track00001.jams"), validate=True)
    controls = rows_of(tmp_path / "x" / "train" / "Track00001.controls.csv")
    kinds = {(row["stem"], row["kind"]) for row in controls}
    assert kinds == {("S00", "sustain"), ("S01", "bend")}
    # The wheel was moved to half of its range, which the score had made an octave.
    assert [float(row["value"]) for row in controls if row["kind"] == "bend"] == [6.0, 0.0]
    pedal = [float(row["time_s"]) for row in controls if row["kind"] == "sustain"]
    held = annotated.search(namespace="segment_open")[0]
    assert held.sandbox.stem == "S00"
    assert (held.data[0].time, held.data[0].value) == (pedal[0], "sustain")
    assert held.data[0].duration == pytest.approx(pedal[1] - pedal[0])
    notes = annotated.search(namespace="note_midi")
    assert len(notes) == 3
    piano = next(a for a in notes if a.sandbox.stem == "S00")
    table = [
        row
        for row in rows_of(tmp_path / "x" / "train" / "Track00001.notes.csv")
        if row["stem"] == "S00"
    ]
    assert [o.time for o in piano.data] == [float(row["onset_s"]) for row in table]
    assert [o.value for o in piano.data] == [float(row["sounding_pitch"]) for row in table]
    assert list(piano.sandbox.velocity) == [int(row["velocity"]) for row in table]
    # The pedal holds the second note beyond its key; the first ends where its key is struck again.
    assert float(table[1]["offset_s"]) > float(table[1]["key_offset_s"])
    assert float(table[0]["offset_s"]) == float(table[2]["onset_s"])


def stem_of(notes: list[dict[str, Any]], n_samples: int = 8000, shift: int = 0) -> Any:
    keys = ("onset", "offset", "pitch", "velocity", "is_heard", "sounding_pitch", "sounding_offset")
    rows = [{**dict.fromkeys(keys), "velocity": 80, **note} for note in notes]
    return SimpleNamespace(
        sample_rate=8000,
        shift=shift,
        record=SimpleNamespace(n_samples=n_samples, program=0, inst_class="Piano"),
        notes=SimpleNamespace(to_pylist=lambda: rows),
    )


def test_notes_sound_as_measured_or_else_as_written() -> None:
    found = notes_of(
        stem_of(
            [
                {"onset": 0, "offset": 80, "pitch": 60},
                {"onset": 8, "offset": 80, "pitch": 61, "is_heard": False},
                {"onset": 16, "offset": 80, "pitch": 36, "sounding_pitch": 24.2},
                {"onset": 24, "offset": 80, "pitch": 70, "sounding_offset": 800},
                {"onset": 32, "offset": 32, "pitch": 72, "velocity": 0},
                {"onset": 7000, "offset": 9000, "pitch": 73},
                {"onset": 8000, "offset": 9000, "pitch": 74},
            ]
        )
    )
    assert found == [
        SoundingNote(0.0, 0.01, 0.01, 60, 60.0, 80),
        SoundingNote(0.002, 0.01, 0.01, 24, 24.2, 80),
        SoundingNote(0.003, 0.1, 0.01, 70, 70.0, 80),
        SoundingNote(0.004, 33 / 8000, 33 / 8000, 72, 72.0, 1),
        SoundingNote(0.875, 1.0, 1.0, 73, 73.0, 80),
    ]


def test_one_note_of_a_pitch_at_a_time() -> None:
    found = notes_of(
        stem_of(
            [
                {"onset": 0, "offset": 800, "pitch": 60, "sounding_offset": 4000},
                {"onset": 0, "offset": 80, "pitch": 60},
                {"onset": 1600, "offset": 2400, "pitch": 60},
                {"onset": 1604, "offset": 2000, "pitch": 60},
            ]
        )
    )
    assert [(n.onset_s, n.offset_s, n.key_offset_s) for n in found] == [
        (0.0, 0.2005, 0.1),
        (0.2005, 0.25, 0.25),
    ]


def controls_in(messages: list[mido.Message], shift: int = 0) -> list[Control]:
    file = mido.MidiFile(tracks=[mido.MidiTrack(messages)], ticks_per_beat=500)  # ms
    written = io.BytesIO()
    file.save(file=written)
    return controls_of(stem_of([], shift=shift), written.getvalue())


def test_controls_of_a_midi_file() -> None:
    def control(number: int, value: int, time: int = 0) -> mido.Message:
        return mido.Message("control_change", control=number, value=value, time=time)

    messages = [
        control(66, 127, 100),
        mido.Message("pitchwheel", pitch=-8192, time=100),
        *(control(number, value) for number, value in ((101, 0), (100, 0), (6, 1), (38, 50))),
        control(99, 0),  # another kind of parameter
        control(6, 24),
        control(121, 0, 100),
        control(64, 127, 9000),  # after the end
    ]
    found = [(round(c.time_s, 9), c.kind, c.value) for c in controls_in(messages)]
    assert [Control(*control) for control in found] == [
        Control(0.1, "sostenuto", 127.0),
        Control(0.2, "bend", -2.0),
        Control(0.2, "bend", -1.0),
        Control(0.2, "bend", -1.5),
        Control(0.3, "sustain", 0.0),
        Control(0.3, "sostenuto", 0.0),
        Control(0.3, "bend", 0.0),
    ]
    moved = controls_in([control(64, 127, 100), control(64, 0, 500)], shift=4000)
    assert [(c.time_s, c.value) for c in moved] == [(pytest.approx(0.1), 0.0), (0.6, 127.0)]


def test_a_long_recording_is_no_corrupt_file_to_pretty_midi(tmp_path: Path) -> None:
    n_samples = 8000 * 7200
    stem = stem_of([{"onset": n_samples - 800, "offset": n_samples, "pitch": 60}], n_samples)
    track: Any = SimpleNamespace(sample_rate=8000, record=stem.record, stems={"S00": stem})
    path = tmp_path / "x.mid"
    path.write_bytes(midi_of(track, {"S00": notes_of(stem)}))
    (note,) = pretty_midi.PrettyMIDI(str(path)).instruments[0].notes
    assert note.start == pytest.approx(7199.9, abs=0.002)


def test_a_pedal_that_stays_down_is_held_to_the_end() -> None:
    text = jams_text("x", 2.0, {"S00": []}, {"S00": [Control(0.5, "sustain", 127.0)]}, {})
    assert '"time": 0.5' in text and '"duration": 1.5' in text
