"""Folders of recorded notes: which notes they hold, and how they are played."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import shards
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Stem
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.note_files import DYNAMICS
from stemsmith.render.sound.patches import Patch, bank_from_yaml
from stemsmith.render.sound.sample_folder import RELEASE_S, SampleFolder, read_sample_folder
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, Synth, on_grid

Floats = npt.NDArray[np.float32]
Note = tuple[int, int, int, int]
Command = Callable[..., subprocess.CompletedProcess[str]]

RATE = 44100
N_RELEASE = round(RELEASE_S * RATE)


def write(path: Path, audio: npt.ArrayLike, sample_rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "PCM_24" if path.suffix.lower() == ".flac" else "FLOAT"
    soundfile.write(path, np.asarray(audio, np.float32), sample_rate, subtype=subtype)
    return path


def hertz(pitch: float) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def sine(pitch: float, sample_rate: int = RATE, seconds: float = 1.0) -> Floats:
    time_s = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.4 * np.sin(2 * np.pi * hertz(pitch) * time_s)).astype(np.float32)


def cents_between(audio: Floats, pitch: float) -> float:
    """Return how much too high a sine is, by the peak of its spectrum, interpolated."""
    spectrum = np.log(np.abs(np.fft.rfft(audio * np.blackman(len(audio)))))
    peak = int(np.argmax(spectrum))
    before, here, after = spectrum[peak - 1 : peak + 2]
    fraction = 0.5 * (before - after) / (before - 2 * here + after)
    return float(1200 * np.log2((peak + fraction) * RATE / len(audio) / hertz(pitch)))


def play(
    folder: SampleFolder, notes: list[Note], n_samples: int = 2 * RATE, **options: object
) -> Floats:
    out = np.full(n_samples, 7.0, np.float32)  # what it held is lost
    spans = folder.render(notes, out[None], RATE, **options)  # type: ignore[arg-type]
    covered = np.zeros(n_samples, bool)
    for start, stop in spans:
        assert 0 <= start < stop <= n_samples
        covered[start:stop] = True
    assert not np.any(out[~covered])
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))
    return out


@pytest.fixture(scope="module")
def violin(tmp_path_factory: pytest.TempPathFactory) -> SampleFolder:
    """Return a dozen notes of a soundfont's violin: six pitches, soft and loud."""
    root = tmp_path_factory.mktemp("violin")
    font = str(default_soundfont())
    synth = Synth(RATE, [font])
    for pitch in (55, 60, 64, 67, 71, 76):
        for dynamic, velocity in (("p", 40), ("f", 110)):
            events = [Event(0, bytes((0x90, pitch, velocity))), Event(0, bytes((0x80, pitch, 0)))]
            out = np.zeros(RATE, np.float32)
            synth.render(events, on_grid([0.0, 0.8], RATE), Preset(font, 0, 40), out)
            write(root / f"{pitch}_{dynamic}.flac", out)
    return read_sample_folder(root)


@pytest.fixture
def constant(tmp_path: Path) -> SampleFolder:
    """Return one recording that shows gains: half a second of 0.5, pitch 60."""
    write(tmp_path / "constant" / "60.wav", np.full(RATE // 2, 0.5))
    return read_sample_folder(tmp_path / "constant")


# What a folder holds.


@pytest.mark.parametrize(
    ("name", "pitch", "dynamic"),
    [
        ("60.wav", 60, "m"),
        ("C4.wav", 60, "m"),
        ("F#3_mf.wav", 54, "mf"),
        ("Bb2_pp.WAV", 46, "pp"),
        ("C-1_ff.flac", 0, "ff"),
        ("127_p.flac", 127, "p"),
        ("G9.wav", 127, "m"),
        ("B#3.wav", 60, "m"),
        ("Cb4_mp.wav", 59, "mp"),
    ],
)
def test_file_names_say_pitch_and_dynamic(
    tmp_path: Path, name: str, pitch: int, dynamic: str
) -> None:
    file = write(tmp_path / name, sine(60, seconds=0.1))
    (recording,) = read_sample_folder(tmp_path).recordings
    assert recording == (
        str(file.resolve()),
        hashlib.sha256(file.read_bytes()).hexdigest(),
        pitch,
        dynamic,
        RATE,
        4410,
    )


def test_recordings_come_by_pitch_and_dynamic(tmp_path: Path) -> None:
    for name in ("62_ff", "62_mf", "60_p", "62_m", "100", "62_pp", "62_mp"):
        write(tmp_path / f"{name}.wav", sine(60, seconds=0.01))
    for other in ("README.md", ".60.wav", "._62_m.wav"):
        (tmp_path / other).write_text("no audio")
    folder = read_sample_folder(tmp_path)
    assert [f"{r.pitch}_{r.dynamic}" for r in folder.recordings] == [
        *("60_p", "62_pp", "62_mp", "62_m", "62_mf", "62_ff", "100_m")
    ]
    assert [folder.layers(pitch) for pitch in (60, 61, 62, 100)] == [1, 0, 5, 1]


def test_a_map_names_files_in_any_folder_below(tmp_path: Path) -> None:
    write(tmp_path / "a" / "take 1.wav", sine(60))
    write(tmp_path / "b" / "take 2.flac", sine(62))
    write(tmp_path / "60.wav", sine(64))  # not in the map
    rows = "\ufeffpitch,file,dynamic\n60,a/take 1.wav,p\n\nF#3, b/take 2.flac ,\n"
    (tmp_path / "map.csv").write_text(rows, "utf-8")
    recordings = read_sample_folder(tmp_path).recordings
    assert [(Path(r.path).name, r.pitch, r.dynamic) for r in recordings] == [
        ("take 2.flac", 54, "m"),
        ("take 1.wav", 60, "p"),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "no notes"),
        ({"README.md": b"x"}, "no notes"),
        ({"H4.wav": None}, "H4.wav: 'H4' is no pitch"),
        ({"violin.wav": None}, "violin.wav: 'violin' is no pitch"),
        ({"128.wav": None}, "128.wav: '128' is no pitch"),
        ({"G#9.wav": None}, "G#9.wav: 'G#9' is no pitch"),
        ({"c4.wav": None}, "c4.wav: 'c4' is no pitch"),
        ({"60_loud.wav": None}, "60_loud.wav: no dynamic 'loud'; known: pp, p, mp, m, mf, f, ff"),
        ({"60_.wav": None}, "60_.wav: no dynamic ''"),
        ({"60_p.wav": None, "C4_p.flac": None}, "C4_p.flac: pitch 60 in p is there twice"),
        ({"60.wav": None, "60_m.wav": None}, "60_m.wav: pitch 60 in m is there twice"),
        ({"60.wav": b"no audio"}, "60.wav: cannot be decoded"),
        ({"60.wav": b""}, "60.wav: cannot be decoded"),
        ({"map.csv": b"file,pitch\n60.wav,60\n"}, "map.csv: the first line must be file,pitch,dy"),
        ({"map.csv": b""}, "map.csv: the first line must be file,pitch,dynamic"),
        ({"map.csv": b"file,pitch,dynamic\n"}, "no notes"),
        ({"map.csv": b"file,pitch,dynamic\n60.wav,60\n"}, "map.csv: line 2: must have 3 fields"),
        ({"map.csv": b"file,pitch,dynamic\na,60,p,4\n"}, "map.csv: line 2: must have 3 fields"),
        ({"map.csv": b"file,pitch,dynamic\ngone.wav,60,p\n"}, "line 2: there is no file"),
        ({"map.csv": b"file,pitch,dynamic\n../60.wav,60,p\n"}, "../60.wav is outside of the fo"),
        ({"map.csv": b"file,pitch,dynamic\n/60.wav,60,p\n"}, "/60.wav is outside of the folder"),
        ({"map.csv": b"file,pitch,dynamic\n60.wav,H,p\n", "60.wav": None}, "line 2: 'H' is no pi"),
        ({"map.csv": b"file,pitch,dynamic\n60.wav,60,x\n", "60.wav": None}, "line 2: no dynamic"),
        (
            {"map.csv": b"file,pitch,dynamic\n60.wav,60,p\n60.wav,C4,p\n", "60.wav": None},
            "map.csv: line 3: pitch 60 in p is there twice",
        ),
        ({"map.csv": b"file,pitch,dynamic\nmap.csv,60,p\n"}, "map.csv: cannot be decoded"),
        ({"map.csv": b"file,pitch,dynamic\n\xff.wav,60,p\n"}, "map.csv: not a CSV file in UTF-8"),
        ({"map.csv": b'file,pitch,dynamic\n"a"b,60,p\n'}, "map.csv: not a CSV file in UTF-8"),
    ],
)
def test_mistakes_are_one_line_that_names_the_file(
    tmp_path: Path, files: dict[str, bytes | None], expected: str
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, content in files.items():
        if content is None:
            write(folder / name, sine(60, seconds=0.01))
        else:
            (folder / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_sample_folder(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    assert expected in message


def test_a_missing_or_empty_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: there is no such folder of notes"):
        read_sample_folder(tmp_path / "gone")
    write(tmp_path / "60.wav", [])
    with pytest.raises(UsageError, match=r"60\.wav: holds no samples"):
        read_sample_folder(tmp_path)


def test_the_fingerprint_follows_content_pitch_and_dynamic_only(tmp_path: Path) -> None:
    def fingerprint(folder: str, **notes: Floats) -> str:
        for name, audio in notes.items():
            write(tmp_path / folder / f"{name}.wav", audio)
        return read_sample_folder(tmp_path / folder).fingerprint

    one, other = sine(60, seconds=0.1), sine(61, seconds=0.1)
    same = {fingerprint("a", C4=one, D4=other), fingerprint("b", C4_m=one, D4=other)}
    assert len(same) == 1
    others = {
        fingerprint("c", C4=other, D4=one),
        fingerprint("d", C4_p=one, D4=other),
        fingerprint("e", C4=one),
    }
    assert len(same | others) == 4
    file = write(tmp_path / "a" / "C4.wav", other)  # the same size
    os.utime(file, ns=(1, 1))
    assert read_sample_folder(tmp_path / "a").fingerprint not in same


# How it is played.


def test_a_note_starts_with_its_recording_at_the_exact_sample(violin: SampleFolder) -> None:
    recorded, _ = soundfile.read(violin.recordings[1].path, dtype="float32")
    for onset in (0, 1, 12345):
        out = play(violin, [(onset, onset + RATE // 2, 55, 127)])
        assert not np.any(out[:onset])
        np.testing.assert_array_equal(out[onset : onset + RATE // 2], recorded[: RATE // 2])


def test_overlapping_notes_are_added_and_not_overwritten(violin: SampleFolder) -> None:
    one: Note = (1000, 30000, 60, 100)
    other: Note = (20000, 50000, 64, 30)
    again: Note = (20000, 40000, 60, 100)  # the same key once more while it sounds
    parts = [play(violin, [note]) for note in (one, other, again)]
    np.testing.assert_array_equal(play(violin, [one, other]), parts[0] + parts[1])
    np.testing.assert_array_equal(play(violin, [one, other, again]), sum(parts))


def test_a_release_is_a_falling_raised_cosine_from_the_offset_on(constant: SampleFolder) -> None:
    out = play(constant, [(100, 10100, 60, 64)])
    assert np.all(out[100:10100] == 0.5)
    release = out[10100 : 10100 + N_RELEASE]
    assert np.all(np.diff(release) < 0)
    assert 0 < release[-1] < release[0] < 0.5
    assert not np.any(out[10100 + N_RELEASE :])
    middles = 0.5 * np.cos(np.pi / 2 * (np.arange(N_RELEASE) + 0.5) / N_RELEASE) ** 2
    np.testing.assert_allclose(release, middles, atol=1e-6)


def test_a_long_note_ends_with_its_recording(constant: SampleFolder) -> None:
    out = play(constant, [(0, 2 * RATE, 60, 64)])
    assert np.all(out[: RATE // 2] == 0.5)
    assert not np.any(out[RATE // 2 :])
    # One that ends within the release is faded as far as it goes.
    out = play(constant, [(0, RATE // 2 - 100, 60, 64)])
    assert np.count_nonzero(out) == RATE // 2
    assert out[RATE // 2 - 1] > 0.48


def test_the_end_of_the_output_cuts_notes(constant: SampleFolder) -> None:
    notes = [(900, 2000, 60, 64), (1000, 2000, 60, 64), (5000, 6000, 60, 64)]
    out = np.empty(1000, np.float32)
    assert constant.render(notes, out[None], RATE) == [(900, 1000)]
    assert np.all(out[900:] == 0.5)
    assert constant.render([], out[None], RATE) == []
    assert not np.any(out)


def test_spans_that_touch_are_one(constant: SampleFolder) -> None:
    out = np.empty(RATE, np.float32)
    notes = np.array([[9000, 9100, 60, 1], [0, 100, 60, 1], [100 + N_RELEASE, 3000, 60, 1]])
    spans = constant.render(notes, out[None], RATE)
    assert spans == [(0, 3000 + N_RELEASE), (9000, 9100 + N_RELEASE)]


def test_every_note_of_the_score_is_heard(violin: SampleFolder) -> None:
    rng = np.random.default_rng(1)
    # Of no length too: it has its release.
    lengths = rng.integers(0, 9000, 60)
    onsets = rng.integers(0, RATE, 60)
    pitches, velocities = rng.integers(53, 79, 60), rng.integers(1, 128, 60)
    lengths[:5] = 0
    notes = [
        (int(on), int(on + n), int(pitch), int(velocity))
        for on, n, pitch, velocity in zip(onsets, lengths, pitches, velocities, strict=True)
    ]
    alone = [play(violin, [note]) for note in notes]
    for (onset, offset, _, _), audio in zip(notes, alone, strict=True):
        assert np.any(audio[onset : offset + N_RELEASE])
    together = play(violin, notes)
    np.testing.assert_allclose(together, np.sum(alone, axis=0), atol=1e-5)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000), st.integers(0, 3000), st.integers(53, 78), st.integers(1, 127)
        ),
        max_size=8,
    )
)
@settings(deadline=None, max_examples=50, derandomize=True)
def test_spans_cover_all_that_sounds(
    violin: SampleFolder, notes: list[tuple[int, int, int, int]]
) -> None:
    play(violin, [(on, on + n, pitch, v) for on, n, pitch, v in notes], n_samples=4000)


def test_the_same_bytes_twice(violin: SampleFolder) -> None:
    notes: list[Note] = [(0, 9000, 60, 100), (4000, 20000, 66, 20), (7000, 9000, 54, 90)]
    first = play(violin, notes, cents=[3.0, -20.0, 0.0])
    play(violin, [(0, 44100, 60, 100)])  # leaves no trace in the recordings
    assert play(violin, notes, cents=[3.0, -20.0, 0.0]).tobytes() == first.tobytes()
    reread = read_sample_folder(Path(violin.path))
    assert reread == violin
    assert play(reread, notes, cents=[3.0, -20.0, 0.0]).tobytes() == first.tobytes()


# Pitches.


@pytest.mark.parametrize("pitch", [58, 59, 60, 61, 62])
def test_a_pitch_up_to_two_semitones_away_is_resampled(tmp_path: Path, pitch: int) -> None:
    write(tmp_path / "60.wav", sine(60, seconds=2))
    out = play(read_sample_folder(tmp_path), [(500, RATE, pitch, 64)])
    assert cents_between(out[1000:RATE], pitch) == pytest.approx(0, abs=0.5)
    assert np.abs(out[1000:RATE]).max() == pytest.approx(0.4, rel=0.01)
    assert not np.any(out[:500])


@pytest.mark.parametrize("cents", [-30.0, 12.5, 90.0])
@pytest.mark.parametrize("pitch", [60, 61])
def test_cents_shift_every_note(tmp_path: Path, pitch: int, cents: float) -> None:
    write(tmp_path / "60.wav", sine(60, seconds=2))
    notes: list[Note] = [(0, 1, 60, 64), (4000, RATE, pitch, 64)]
    out = play(read_sample_folder(tmp_path), notes, cents=[0.0, cents])
    assert cents_between(out[5000:RATE], pitch + cents / 100) == pytest.approx(0, abs=0.5)


def test_a_shifted_note_ends_cleanly_where_it_shall(tmp_path: Path) -> None:
    write(tmp_path / "60.wav", np.full(RATE, 0.5))
    folder = read_sample_folder(tmp_path)
    for pitch in (58, 61):
        out = play(folder, [(0, 10000, pitch, 64)])
        np.testing.assert_allclose(out[200:10000], 0.5, atol=1e-3)
        assert np.flatnonzero(out)[-1] < 10000 + N_RELEASE
        ratio = 2 ** ((pitch - 60) / 12)
        assert np.flatnonzero(play(folder, [(0, 2 * RATE, pitch, 64)]))[-1] == pytest.approx(
            RATE / ratio, abs=2
        )


def test_the_pitch_itself_is_played_before_any_other(tmp_path: Path) -> None:
    for pitch, level in ((60, 0.1), (61, 0.2), (64, 0.4)):
        write(tmp_path / f"{pitch}.wav", np.full(RATE, level))
    folder = read_sample_folder(tmp_path)
    chosen = {58: 0.1, 60: 0.1, 61: 0.2, 62: 0.2, 63: 0.4, 64: 0.4, 66: 0.4}
    for pitch, level in chosen.items():
        out = play(folder, [(0, 20000, pitch, 64)])
        assert out[10000] == pytest.approx(level, rel=1e-3), pitch
    write(tmp_path / "66.wav", np.full(RATE, 0.8))
    between = play(read_sample_folder(tmp_path), [(0, 20000, 65, 64)])
    assert between[10000] == pytest.approx(0.4, rel=1e-3)  # of two, the lower


@pytest.mark.parametrize("pitch", [0, 52, 79, 127])
def test_a_note_that_cannot_be_played_is_an_error(violin: SampleFolder, pitch: int) -> None:
    with pytest.raises(UsageError) as caught:
        play(violin, [(0, 100, 60, 64), (9 * RATE, 9 * RATE, pitch, 64)])
    message = str(caught.value)
    assert message.startswith(f"{violin.path}: no recording within 2 semitones of pitch {pitch};")
    assert "6 pitches from 55 to 76 are recorded" in message


@pytest.mark.parametrize(
    "note", [(-1, 5, 60, 64), (5, 4, 60, 64), (0, 5, 128, 64), (0, 5, 60, 0), (0, 5, 60, 128)]
)
def test_notes_out_of_range_are_refused(violin: SampleFolder, note: Note) -> None:
    with pytest.raises(ValueError, match="must"):
        play(violin, [note])
    with pytest.raises(ValueError, match="one finite deviation"):
        play(violin, [(0, 5, 60, 64)], cents=[1.0, 2.0])


# Dynamics, levels, rates.


def layered(folder: Path, *dynamics: str) -> SampleFolder:
    """Return a folder of pitch 60 where the level tells the dynamic."""
    for dynamic in dynamics:
        level = 0.1 * (1 + DYNAMICS.index(dynamic))
        write(folder / f"60_{dynamic}.wav", np.full(3000, level))
    return read_sample_folder(folder)


def heard(folder: SampleFolder, velocity: int = 64, dynamic: str | None = None) -> str:
    out = play(folder, [(0, 1000, 60, velocity)], dynamic=dynamic)
    return DYNAMICS[round(float(out[500]) * 10) - 1]


@pytest.mark.parametrize(
    ("recorded", "asked", "found"),
    [
        ("p m f", "p", "p"),
        ("p m f", "pp", "p"),
        ("p m f", "ff", "f"),
        ("p m f", "mf", "m"),  # as near to f: the softer
        ("p m f", "mp", "p"),
        ("pp ff", "m", "pp"),
        ("pp ff", "mf", "ff"),
        ("mp mf", "m", "mp"),
        ("f", "pp", "f"),
    ],
)
def test_the_nearest_dynamic_is_played(
    tmp_path: Path, recorded: str, asked: str, found: str
) -> None:
    folder = layered(tmp_path, *recorded.split())
    assert {heard(folder, velocity, asked) for velocity in (1, 64, 127)} == {found}


def test_velocities_divide_evenly_among_dynamics_and_do_not_scale(tmp_path: Path) -> None:
    folder = layered(tmp_path, "p", "m", "f")
    by_velocity = [heard(folder, velocity) for velocity in range(1, 128)]
    assert by_velocity == sorted(by_velocity, key=DYNAMICS.index)
    counts = [by_velocity.count(dynamic) for dynamic in ("p", "m", "f")]
    assert sum(counts) == 127
    assert max(counts) - min(counts) <= 1
    assert (by_velocity[0], by_velocity[63], by_velocity[-1]) == ("p", "m", "f")


def test_an_unknown_dynamic_is_an_error(violin: SampleFolder) -> None:
    with pytest.raises(UsageError, match="no dynamic 'forte'; known: pp, p, mp, m, mf, f, ff"):
        play(violin, [(0, 100, 60, 64)], dynamic="forte")


def test_recordings_at_other_rates_and_of_two_channels_are_played_right(tmp_path: Path) -> None:
    left = sine(60, 48000, seconds=2)
    write(tmp_path / "60.wav", np.stack([left, 0 * left], axis=1), 48000)
    write(tmp_path / "67.flac", sine(67, 22050, seconds=2), 22050)
    folder = read_sample_folder(tmp_path)
    for pitch, level in ((60, 0.2), (61, 0.2), (67, 0.4)):
        out = play(folder, [(0, RATE, pitch, 64)])
        assert cents_between(out[1000:RATE], pitch) == pytest.approx(0, abs=0.5)
        assert np.abs(out[1000:RATE]).max() == pytest.approx(level, rel=0.01)


def test_into_two_channels_go_those_of_a_recording_and_one_of_one_twice(tmp_path: Path) -> None:
    left, right = sine(60, seconds=2), sine(64, seconds=2)
    write(tmp_path / "60.wav", np.stack([left, right], axis=1))
    write(tmp_path / "67.wav", sine(67, seconds=2))
    folder = read_sample_folder(tmp_path)
    out = np.empty((2, RATE), np.float32)
    assert folder.render([(0, RATE, 60, 64)], out, RATE) == [(0, RATE)]
    np.testing.assert_array_equal(out, np.stack([left, right])[:, :RATE])
    folder.render([(0, RATE, 67, 64)], out, RATE)
    np.testing.assert_array_equal(out, np.stack([sine(67, seconds=2)] * 2)[:, :RATE])


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_a_recording_without_sound_is_an_error(tmp_path: Path, value: float) -> None:
    file = write(tmp_path / "60.wav", np.full(100, value))
    with pytest.raises(UsageError) as caught:
        play(read_sample_folder(tmp_path), [(0, 50, 60, 64)])
    assert str(caught.value) == f"{file}: is silent or has infinite samples"


def test_a_recording_that_is_cut_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(RATE) * 0.1
    file = write(tmp_path / "60.flac", noise)
    file.write_bytes(file.read_bytes()[:40000])
    with pytest.raises(UsageError, match=r"60\.flac: cannot be decoded") as caught:
        play(read_sample_folder(tmp_path), [(0, 50, 60, 64)])
    assert "\n" not in str(caught.value)


def test_the_attack_is_where_a_tenth_of_the_peak_is_reached(tmp_path: Path) -> None:
    ramp = np.concatenate([np.zeros(2400), np.arange(1, 4801) / 4800, np.ones(4800)])
    write(tmp_path / "60_p.wav", 0.3 * ramp, 48000)
    write(tmp_path / "60_f.wav", -0.9 * ramp[2400:], 48000)
    folder = read_sample_folder(tmp_path)
    assert folder.attack_s(60, "p") == pytest.approx((2400 + 479) / 48000, abs=1 / 48000)
    assert folder.attack_s(60, "ff") == pytest.approx(479 / 48000, abs=1 / 48000)
    assert folder.attack_s(62, "p") == pytest.approx(folder.attack_s(60, "p") / 2 ** (2 / 12))
    with pytest.raises(UsageError, match="no recording within 2 semitones of pitch 63"):
        folder.attack_s(63, "p")


# As a patch.


@pytest.fixture(scope="module")
def notes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sines that play 36 to 74."""
    root = tmp_path_factory.mktemp("bank") / "notes" / "violin-1"
    for pitch in (38, 43, 48, 53, 58, 63, 68, 72):
        write(root / f"{pitch}.wav", sine(pitch, seconds=0.5))
    return root


def test_a_bank_file_names_folders(notes_folder: Path) -> None:
    bank_file = notes_folder.parents[1] / "bank.yaml"
    bank_file.write_text(
        "Violin:\n- {folder: notes/violin-1}\n- {folder: notes/violin-1/, name: second}\n"
    )
    bank = bank_from_yaml(bank_file)
    path = str(notes_folder.resolve())
    assert bank.patches == (
        Patch("violin-1", "Violin", None, folder=path),
        Patch("second", "Violin", None, folder=path),
    )
    assert bank.has_effects
    assert bank.soundfonts == bank.warnings == ()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{folder: gone}", "gone: there is no such folder of notes"),
        ("{folder: notes}", "notes: no notes"),
        ("{folder: a, soundfont: b, preset: 0}", "give either a soundfont or an instrument or a"),
        ("{folder: a, instrument: b}", "give either a soundfont or an instrument or a folder of"),
    ],
)
def test_mistakes_of_a_bank_file(notes_folder: Path, entry: str, expected: str) -> None:
    bank_file = notes_folder.parents[1] / "wrong.yaml"
    bank_file.write_text(f"Violin: [{entry}]")
    with pytest.raises(UsageError) as caught:
        bank_from_yaml(bank_file)
    assert expected in str(caught.value)


@pytest.fixture
def render_with(
    notes_folder: Path, tmp_path: Path, make_song: Callable[..., Path], here: Command
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that renders a song of one violin with a folder of notes."""
    make_song(tmp_path / "midi" / "song.mid", [(40, 0)], n_notes=20)

    def run(corpus: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
        bank_file = tmp_path / "bank.yaml"
        bank_file.write_text(f"Violin: [{{folder: {folder}}}]")
        return here(
            *("render", tmp_path / "midi", tmp_path / corpus, "--no-band", "--jobs", 0),
            *("--patches", bank_file, *options),
        )

    return run


def test_a_corpus_is_rendered_with_a_folder_of_notes(
    render_with: Command, notes_folder: Path, tmp_path: Path
) -> None:
    for corpus in ("one", "two"):
        done = render_with(corpus, notes_folder)
        assert done.returncode == 0, done.stderr
    root = tmp_path / "one"
    (stem,) = shards.read_records([root / "stems-00000.parquet"], Stem)
    assert stem.patch == "violin-1"
    audio, _ = soundfile.read(root / stem.path, dtype="float32")
    # The stem is what the note table says, by a constant gain.
    onset, offset = np.asarray(stem.note_onset), np.asarray(stem.note_offset)
    notes = np.stack([onset, offset, stem.note_pitch, stem.note_velocity], axis=1)
    expected = np.empty(stem.n_samples, np.float32)
    read_sample_folder(notes_folder).render(notes, expected[None], stem.sample_rate)
    expected *= 10 ** (stem.gain_db / 20)
    np.testing.assert_allclose(audio, expected, atol=1 / 32768)
    assert len(notes) == 20
    assert np.abs(audio).max() > 0.1
    for file in root.rglob("*"):
        if file.is_file():
            assert (tmp_path / "two" / file.relative_to(root)).read_bytes() == file.read_bytes()


def test_the_manifest_knows_another_recording(
    render_with: Command, notes_folder: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "elsewhere" / "violin-1"
    changed.mkdir(parents=True)
    for file in notes_folder.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    headers = []
    for corpus in ("a", "b", "c"):
        folder = notes_folder if corpus == "a" else changed
        if corpus == "c":
            write(changed / "72.wav", 0.9 * sine(72, seconds=0.5))
        done = render_with(corpus, folder)
        assert done.returncode == 0, done.stderr
        headers.append(shards.read_manifest(tmp_path / corpus, "corpus"))
    banks = [json.dumps(header["patch_bank"]) for header in headers]
    assert banks[0] == banks[1] != banks[2]  # wherever the folder lies
    assert "soxr" in headers[0]["versions"]
    assert "pedalboard" not in headers[0]["versions"]


def test_a_note_beyond_the_recordings_leaves_its_song_out(
    render_with: Command, notes_folder: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    write(few / "72.wav", sine(72))
    done = render_with("c", few)
    assert done.returncode == 1
    assert "1 unplayable" in done.stderr
    assert not list(tmp_path.glob("c/*/Track*"))


def test_an_unsplit_mixture_cannot_have_folders(render_with: Command, notes_folder: Path) -> None:
    done = render_with("c", notes_folder, "--mix-source", "unsplit", "--patch-choice", "program")
    assert done.returncode == 2
    assert "unsplit cannot have effects, VST3 instruments or folders of notes" in done.stderr
