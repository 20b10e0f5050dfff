"""From a soundfont with faults to a corpus that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
import soundfont_maker as maker
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.records import Stem
from stemsmith.render.workflow import render_corpus, render_midi, render_renditions

COARSE = 51
SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "unheard_notes.py"
Note = tuple[int, int, int, int]  # onset and length in ticks of 1/960 s, key, velocity


def write_part(
    path: Path, notes: Sequence[Note], controls: Sequence[tuple[int, int, int]] = (),
    program: int = 0, channel: int = 0,
) -> Path:  # fmt: skip
    """Write a song of one part, with controllers of (tick, number, value)."""
    messages = [(0, 0, mido.Message("program_change", program=program, channel=channel))]
    for onset, length, key, velocity in notes:
        strike = {"note": key, "channel": channel}
        messages.append((onset, 2, mido.Message("note_on", velocity=velocity, **strike)))
        messages.append((onset + length, 1, mido.Message("note_off", **strike)))
    for tick, number, value in controls:
        control = mido.Message("control_change", control=number, value=value, channel=channel)
        messages.append((tick, 0, control))
    track, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(messages, key=lambda m: m[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(path)
    return path


def write_font(path: Path, *zones: Zone, number: int = 0, bank: int = 0) -> Path:
    instrument = [Zone(0, z.keys, z.velocities, {SAMPLE_MODES: 1, **z.generators}) for z in zones]
    return maker.write_sf2(path, [tone()], [instrument], [Program([Zone(0)], bank, number)])


def stem_of(folder: Path, font: Path, corpus: str = "corpus") -> tuple[Corpus, Stem]:
    made = render_corpus(
        folder / "midi", folder / corpus, soundfonts=[font], band=None, sample_rate=16000
    )
    (stem,) = made.stem_records()
    return made, stem


def notes_in(path: Path) -> list[tuple[int, int]]:
    instruments = pretty_midi.PrettyMIDI(str(path)).instruments
    return [(note.pitch, note.velocity) for i in instruments for note in i.notes]


SCALE: list[Note] = [(960 * k, 400, key, 100) for k, key in enumerate((62, 63, 64, 65))]
GAP = (Zone(0, (40, 63)), Zone(0, (65, 90)))


def test_a_note_that_no_patch_plays_is_marked(tmp_path: Path, here) -> None:
    write_part(tmp_path / "midi" / "song.mid", SCALE)
    corpus, stem = stem_of(tmp_path, write_font(tmp_path / "gap.sf2", *GAP))
    assert stem.note_pitch.tolist() == [62, 63, 64, 65]
    assert stem.note_heard is not None
    assert stem.note_heard.tolist() == [True, True, False, True]
    assert stem.n_notes_unheard == 1
    # It is not in the MIDI of the stem, and stays in that of the song.
    assert notes_in(corpus.root / stem.midi_path) == [(62, 100), (63, 100), (65, 100)]
    assert len(notes_in((corpus.root / stem.midi_path).parents[1] / "all_src.mid")) == 4
    assert here("validate", corpus.root).returncode == 0
    done = subprocess.run([sys.executable, SCRIPT, corpus.root], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["marked"] == 1


def test_where_notes_sound_at_another_pitch_it_is_said(tmp_path: Path) -> None:
    write_part(tmp_path / "midi" / "song.mid", SCALE)
    zones = Zone(0, (40, 63)), Zone(0, (64, 64), None, {COARSE: -12}), Zone(0, (65, 90))
    _, stem = stem_of(tmp_path, write_font(tmp_path / "octave.sf2", *zones))
    assert stem.note_heard is not None
    assert stem.note_sounding_pitch is not None
    assert stem.note_heard.all()
    assert stem.note_sounding_pitch == pytest.approx([62, 63, 52, 65], abs=0.06)


def test_a_velocity_that_has_no_zone_is_marked(tmp_path: Path) -> None:
    soft = [(960 * k, 400, 60, velocity) for k, velocity in enumerate((20, 60, 100))]
    write_part(tmp_path / "midi" / "song.mid", soft)
    zones = Zone(0, None, (0, 40)), Zone(0, None, (71, 127))
    _, stem = stem_of(tmp_path, write_font(tmp_path / "soft.sf2", *zones))
    assert stem.note_heard is not None
    assert stem.note_heard.tolist() == [True, False, True]


def test_a_kit_that_lacks_keys_is_marked(tmp_path: Path) -> None:
    beats = [(480 * k, 100, key, 100) for k, key in enumerate((36, 16, 38, 20))]
    write_part(tmp_path / "midi" / "song.mid", beats, channel=9)
    font = write_font(tmp_path / "kit.sf2", Zone(0, (27, 87)), bank=128)
    _, stem = stem_of(tmp_path, font)
    assert stem.note_heard is not None
    assert stem.note_heard.tolist() == [True, False, True, False]
    assert stem.note_sounding_pitch is not None
    assert stem.note_sounding_pitch.tolist() == [36, 16, 38, 20]


@pytest.mark.parametrize("controller", [7, 11])
def test_notes_at_zero_volume_or_expression_are_marked(tmp_path: Path, controller: int) -> None:
    controls = [(950, controller, 0), (1900, controller, 100)]
    write_part(tmp_path / "midi" / "song.mid", SCALE, controls)
    corpus, stem = stem_of(tmp_path, write_font(tmp_path / "whole.sf2", Zone(0)))
    assert stem.note_heard is not None
    assert stem.note_heard.tolist() == [True, False, True, True]
    assert notes_in(corpus.root / stem.midi_path) == [(62, 100), (64, 100), (65, 100)]


def test_all_notes_of_a_muted_part_are_marked(tmp_path: Path, here) -> None:
    """Another part plays on, so that the song is none of silence."""
    write_part(tmp_path / "midi" / "song.mid", SCALE, [(0, 7, 0)])
    file = mido.MidiFile(tmp_path / "midi" / "song.mid")
    file.tracks.append(mido.MidiTrack(m.copy() for m in file.tracks[0]))
    for message in file.tracks[1]:
        if message.is_cc(7):
            message.value = 100
        if not message.is_meta:
            message.channel = 1
    file.save(tmp_path / "midi" / "song.mid")
    corpus = render_corpus(
        tmp_path / "midi",
        tmp_path / "corpus",
        soundfonts=[write_font(tmp_path / "whole.sf2", Zone(0))],
        band=None,
        sample_rate=16000,
    )
    muted, other = corpus.stem_records()
    assert (muted.n_notes_unheard, other.n_notes_unheard) == (4, 0)
    assert notes_in(corpus.root / muted.midi_path) == []
    assert here("validate", corpus.root).returncode == 0


def test_a_silent_note_among_others_is_marked(tmp_path: Path) -> None:
    chord = [(960 * k, 1900, key, 100) for k in range(2) for key in (60 + k, 64, 67 + k)]
    write_part(tmp_path / "midi" / "song.mid", chord)
    _, stem = stem_of(tmp_path, write_font(tmp_path / "gap.sf2", *GAP))
    assert stem.note_heard is not None
    assert stem.note_heard.tolist() == [pitch != 64 for pitch in stem.note_pitch]


def test_a_part_without_a_fault_has_the_stem_midi_of_the_score(tmp_path: Path) -> None:
    write_part(tmp_path / "midi" / "song.mid", SCALE)
    corpus, stem = stem_of(tmp_path, write_font(tmp_path / "whole.sf2", Zone(0)))
    assert stem.n_notes_unheard == 0
    assert stem.note_sounding_pitch is not None
    assert stem.note_sounding_pitch.tolist() == stem.note_pitch.tolist()
    assert len(notes_in(corpus.root / stem.midi_path)) == 4


def test_a_part_gets_the_patch_that_plays_it(tmp_path: Path) -> None:
    """Of two flutes, one has a gap; also in memory, and in the timbres of renditions."""
    path = write_part(tmp_path / "midi" / "song.mid", SCALE, program=73)
    zones = [[Zone(0, z.keys, None, {SAMPLE_MODES: 1}) for z in GAP], [Zone(0)]]
    programs = [Program([Zone(0)], 0, 73, "gap"), Program([Zone(1)], 1, 73, "whole")]
    font = maker.write_sf2(tmp_path / "two.sf2", [tone()], zones, programs)
    for seed in range(6):
        corpus = render_corpus(
            tmp_path / "midi", tmp_path / str(seed), soundfonts=[font], band=None, seed=seed
        )
        (stem,) = corpus.stem_records()
        assert stem.patch.endswith("whole")
    (audio,) = render_midi(path, soundfonts=[font]).values()
    onset = 2 * 44100
    assert np.abs(audio[0, onset : onset + 4000]).max() > 0.01
    renditions = render_renditions(
        tmp_path / "midi", tmp_path / "r", soundfonts=[font], band=None, n_renditions=1
    )
    (played,) = renditions.rendition_stem_records()
    assert played.patch.endswith("whole")


def test_renditions_mark_what_is_not_heard(tmp_path: Path, here) -> None:
    write_part(tmp_path / "midi" / "song.mid", SCALE)
    font = write_font(tmp_path / "gap.sf2", *GAP)
    corpus = render_renditions(
        tmp_path / "midi", tmp_path / "r", soundfonts=[font], band=None, n_renditions=1
    )
    (stem,) = corpus.rendition_stem_records()
    assert stem.note_heard is not None
    assert stem.note_heard.tolist() == [True, True, False, True]
    assert stem.n_notes_unheard == 1
    assert [pitch for pitch, _ in notes_in(corpus.root / stem.midi_path)] == [62, 63, 65]
    assert here("validate", corpus.root).returncode == 0


def test_the_same_bytes_whether_the_soundfont_was_measured_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part(tmp_path / "midi" / "song.mid", SCALE)
    font = write_font(tmp_path / "gap.sf2", *GAP)
    written = []
    for cache, corpus in (("a", "one"), ("a", "two"), ("b", "three")):
        monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / cache))
        made, _ = stem_of(tmp_path, font, corpus)
        files = sorted(path for path in made.root.rglob("*") if path.is_file())
        written.append([(p.relative_to(made.root).as_posix(), p.read_bytes()) for p in files])
    assert written[0] == written[1] == written[2]


@pytest.mark.slow
def test_no_labelled_note_of_real_songs_is_unheard(tmp_path: Path, shared: Path) -> None:
    """The script reads FLAC and Parquet, and shares no code."""
    for choice in ("class", "program"):
        corpus = render_corpus(
            shared / "midi" / "dev", tmp_path / choice, band=None, n_songs=12, patch_choice=choice
        )
        done = subprocess.run([sys.executable, SCRIPT, corpus.root], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        assert json.loads(done.stdout.splitlines()[0])["looked_at"] > 100


def test_recorded_notes_do_not_follow_the_tuning_of_the_channel(tmp_path: Path) -> None:
    down = [(0, number, value) for number, value in ((101, 0), (100, 2), (6, 52))]
    write_part(tmp_path / "midi" / "song.mid", SCALE, down, program=40)
    (tmp_path / "notes").mkdir()
    time_s = np.arange(8000) / 16000
    for pitch in range(60, 68):
        audio = 0.1 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time_s)
        soundfile.write(tmp_path / "notes" / f"{pitch}.wav", audio, 16000, subtype="PCM_16")
    bank = tmp_path / "bank.yaml"
    bank.write_text("Violin:\n  - {folder: notes}\n")
    options = {"patches": bank, "sample_rate": 16000}
    song = render_corpus(tmp_path / "midi", tmp_path / "c", band=None, **options)
    renditions = render_renditions(tmp_path / "midi", tmp_path / "r", **options)
    for stem in (*song.stem_records(), *renditions.rendition_stem_records()):
        assert stem.note_sounding_pitch is not None
        assert stem.note_sounding_pitch.tolist() == [62, 63, 64, 65]
