"""Corpora of renditions: which stems there are, what each factor changes, same bytes always.

The soundfonts are made here; scores last about a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soundfont_maker as maker
from distributed import LocalCluster
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests import shards, storage
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import Rendition, RenditionStem
from stemsmith.render.renditions.config import PRESETS, RenditionConfig
from stemsmith.render.renditions.plan import RenditionPlan, plan_renditions
from stemsmith.render.sound.patches import bank_from_soundfonts
from stemsmith.render.workflow import scan

Command = Callable[..., subprocess.CompletedProcess[str]]
Row = tuple[int, int, int, int]  # onset and offset in ticks, pitch, velocity

RATE = 8000
VIOLIN, CELLO = 40, 42
FORECAST = re.compile(r"\d+ stems?, \S+ h of audio: about \S+ GB and less than a minute")
QUICK = ("--sample-rate", RATE, "--tail", 0.5, "--splits", "1,0,0", "--jobs", 0)


# ---------------------------------------------------------------------------------------------
# Scores and soundfonts


def write_score(
    path: Path,
    parts: Sequence[tuple[int, int]] = ((VIOLIN, 0), (CELLO, 1)),
    n_notes: int = 4,
    seed: int = 0,
    tempos: Sequence[tuple[int, int]] = ((0, 500_000),),
    velocities: tuple[int, int] = (70, 90),
) -> Path:
    """Write parts (program, channel) of eighth notes at 120 BPM, a quarter of a second each."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=480)
    conductor = mido.MidiTrack()
    now = 0
    for tick, tempo in tempos:
        conductor.append(mido.MetaMessage("set_tempo", tempo=tempo, time=tick - now))
        now = tick
    file.tracks.append(conductor)
    for program, channel in parts:
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=f"part {channel}")])
        track.append(mido.Message("program_change", program=program, channel=channel))
        for _ in range(n_notes):
            key, velocity = int(rng.integers(57, 75)), int(rng.integers(*velocities))
            on = mido.Message("note_on", note=key, velocity=velocity, channel=channel)
            off = mido.Message("note_off", note=key, channel=channel, time=200)
            track.extend([on, off.copy(), mido.Message("control_change", control=11, value=127,
                                                       channel=channel, time=40)])  # fmt: skip
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def write_font(path: Path, shape: str = "sine", level: float = 0.5) -> Path:
    """Write a violin, a cello and a drum kit, all of one sample and without velocity layers."""
    zones = [Zone(0, generators={SAMPLE_MODES: 1})]
    programs = [
        Program([Zone(0)], 0, VIOLIN, "violin"),
        Program([Zone(0)], 0, CELLO, "cello"),
        Program([Zone(0)], 128, 0, "kit"),
    ]
    return maker.write_sf2(path, [tone(shape, level=level)], [zones], programs)


def write_layered_font(path: Path) -> Path:
    """Write the same presets: a sine up to velocity 63, a square wave from 64 on."""
    zones = [
        Zone(0, velocities=(0, 63), generators={SAMPLE_MODES: 1}),
        Zone(1, velocities=(64, 127), generators={SAMPLE_MODES: 1}),
    ]
    programs = [Program([Zone(0)], 0, n, f"layers {n}") for n in (VIOLIN, CELLO)]
    return maker.write_sf2(path, [tone("sine"), tone("square")], [zones], programs)


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two soundfonts that have the same instruments."""
    folder = tmp_path_factory.mktemp("fonts")
    return write_font(folder / "one.sf2"), write_font(folder / "two.sf2", "square")


@pytest.fixture(scope="module")
def duo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one score of two parts."""
    return write_score(tmp_path_factory.mktemp("duo") / "duo.mid").parent


# ---------------------------------------------------------------------------------------------
# What a corpus holds


class Content(NamedTuple):
    header: dict[str, Any]
    stems: dict[str, RenditionStem]
    renditions: list[Rendition]


def read(corpus: Path) -> Content:
    header = shards.read_manifest(corpus, "corpus")
    stems = shards.read_records(sorted(corpus.glob("stems-*.parquet")), RenditionStem)
    renditions = shards.read_records(sorted(corpus.glob("renditions-*.parquet")), Rendition)
    return Content(header, {stem.stem_id: stem for stem in stems}, renditions)


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


def audio_of(corpus: Path, stem: RenditionStem) -> npt.NDArray[np.float64]:
    audio, rate = soundfile.read(corpus / stem.path)
    assert (rate, len(audio)) == (stem.sample_rate, stem.n_samples)
    return np.asarray(audio, np.float64)


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not FORECAST.fullmatch(line)]
    errors = [line for line in lines if not line.startswith("warning: ")]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("Error: "), errors
    for text in texts:
        assert text in errors[0], (text, errors)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, fonts, duo: Path, here: Command):
    """Return a function that makes a corpus of the duo, each set of options once."""
    made: dict[tuple[str, ...], Path] = {}

    def run(*options: object) -> Path:
        key = tuple(map(str, options))
        if key not in made:
            corpus = tmp_path_factory.mktemp("corpus") / "c"
            done = here("render", duo, corpus, *QUICK, "--soundfont", fonts[0], *options)
            assert done.returncode == 0, done.stderr
            made[key] = corpus
        return made[key]

    return run


BASE = ("--renditions", "all", "--tempo", "100,140", "--dynamics", "p,f", "--shift", "0,0.1")


@pytest.fixture(scope="module")
def base(make) -> Path:
    """Return all renditions of two tempi, two dynamics and two shifts; read only."""
    return make(*BASE)


# ---------------------------------------------------------------------------------------------
# Combinatorics


def test_all_renditions_of_a_space_and_each_stem_once(base: Path, here: Command) -> None:
    header, stems, renditions = read(base)
    # A (C D E)^J renditions of A C D J stems.
    assert len(renditions) == 2 * (1 * 2 * 2) ** 2 == header["n_renditions"]
    assert len(stems) == 2 * 1 * 2 * 2 == header["n_stems"]
    assert header["n_points"] == {"Track00001": "32"}
    assert header["kind"] == "renditions"
    assert sorted(int(r.point) for r in renditions) == list(range(32))
    choices = set()
    for rendition in renditions:
        own = [stems[source.stem_id] for source in rendition.sources]
        assert [stem.stem for stem in own] == ["S00", "S01"]
        assert {stem.tempo for stem in own} == {rendition.tempo}
        assert {stem.n_samples for stem in own} == {rendition.n_samples}
        assert {source.gain_db for source in rendition.sources} == {0.0}
        parts = [(stem.dynamic, s.shift) for stem, s in zip(own, rendition.sources, strict=True)]
        choices.add((rendition.tempo, *parts))
    assert len(choices) == 32
    assert {source.shift for r in renditions for source in r.sources} == {0, RATE // 10}
    files = {p.name for p in base.glob("stems/*/*")}
    assert files == {f"{s}.{suffix}" for s in stems for suffix in ("flac", "mid")}
    assert here("validate", base, "--jobs", 0).returncode == 0


def test_what_a_stem_says_of_itself(base: Path, fonts, duo: Path) -> None:
    header, stems, _ = read(base)
    score = duo / "duo.mid"
    assert (base / "scores" / "Track00001.mid").read_bytes() == score.read_bytes()
    for stem in stems.values():
        assert stem.song_id == storage.file_hash(score, "md5")
        assert stem.gain_db == -18
        assert stem.inst_class == "Strings"
        assert stem.patch.startswith("one.sf2:000-04")
        audio = audio_of(base, stem)
        peak_dbfs = 20 * math.log10(np.abs(audio).max())
        assert stem.peak_dbfs == pytest.approx(peak_dbfs, abs=1e-3)
        assert 0 <= stem.attack_s < 0.01
        for column in (stem.note_onset, stem.note_offset):
            assert not np.any(column % 64)
        (sounding,) = np.nonzero(audio)
        assert 0 <= sounding[0] - stem.note_onset[0] <= 64
        assert {stem.tempo for stem in stems.values()} == {"100", "140"}
    assert header["config"]["headroom_db"] == 18


def test_midi_of_a_stem_has_the_times_of_its_notes(base: Path) -> None:
    for stem in read(base).stems.values():
        file = mido.MidiFile(base / stem.midi_path)
        found, now = [], 0.0
        sounding: dict[int, tuple[float, int]] = {}
        for message in file:
            now += message.time
            if message.type == "note_on" and message.velocity:
                sounding[message.note] = (now, message.velocity)
            elif message.type in ("note_on", "note_off"):
                onset, velocity = sounding.pop(message.note)
                found.append((onset * RATE, now * RATE, message.note, velocity))
        columns = (stem.note_onset, stem.note_offset, stem.note_pitch, stem.note_velocity)
        rows = sorted(zip(*(column.tolist() for column in columns), strict=True))
        np.testing.assert_allclose(sorted(found), rows, atol=0.01)


def test_times_follow_the_tempo(base: Path) -> None:
    for stem in read(base).stems.values():
        ticks = 240 * np.arange(4)
        expected = ticks / 480 * 60 / float(stem.tempo) * RATE
        assert np.abs(stem.note_onset - expected).max() <= 32
        last_s = (3 * 240 + 200) / 480 * 60 / float(stem.tempo)
        assert stem.n_samples == math.ceil(round((last_s + 0.5) * 10, 6)) * RATE // 10


@pytest.mark.parametrize(
    ("preset", "tempos", "n_points", "n_drawn"),
    [("miron-rwc", 1, 27 * 26 * 25 * 24, 400), ("miron-sibelius", 3, 3 * 78, 3 * 78)],
)
def test_presets_through_the_planner(
    tmp_path: Path, preset: str, tempos: int, n_points: int, n_drawn: int
) -> None:
    paths = [write_font(tmp_path / f"{name}.sf2") for name in "abc"]
    score = write_score(
        tmp_path / "midi" / "quartet.mid",
        [(VIOLIN, 0), (VIOLIN, 1), (CELLO, 2), (CELLO, 3)],
    )
    planned = planned_of(score.parent, paths, **PRESETS[preset])
    (piece,) = planned.pieces
    assert piece.space.n_points == n_points
    assert len(set(piece.points)) == len(piece.points) == n_drawn
    points = [piece.space.point(number) for number in piece.points]
    n_sounds = 9 if preset == "miron-rwc" else 1
    assert len(piece.specs) == tempos * n_sounds * 4  # 400 points miss none of them
    for point in points:
        if preset == "miron-rwc":
            assert len(set(point.parts)) == 4
        else:
            assert len({shift for _, _, shift in point.parts}) > 1


def planned_of(midi: Path, soundfonts: Sequence[Path], **factors: Any) -> RenditionPlan:
    """Plan without a command."""
    bank = bank_from_soundfonts(soundfonts)
    return plan_renditions(scan(midi).found, midi, RenditionConfig(**factors), bank)


# ---------------------------------------------------------------------------------------------
# Each factor alone


def stem_hashes(corpus: Path) -> dict[str, tuple[str, str]]:
    return {s.stem_id: (s.sha256, s.midi_sha256) for s in read(corpus).stems.values()}


def by_name(corpus: Path) -> dict[tuple[str, str, str, str], RenditionStem]:
    """Return stems by what a user calls them."""
    stems = read(corpus).stems.values()
    return {(s.stem, s.tempo, s.patch, s.dynamic): s for s in stems}


def test_more_renditions_use_the_same_stems(make, base: Path) -> None:
    all_stems = stem_hashes(base)
    options = BASE[2:]
    for n in (1, 3, 32):
        some = make("--renditions", n, *options)
        assert len(read(some).renditions) == n
        assert stem_hashes(some).items() <= all_stems.items()
    assert {r.rendition_id for r in read(some).renditions} == {
        r.rendition_id for r in read(base).renditions
    }


def test_renditions_are_drawn_by_the_seed(make) -> None:
    options = BASE[2:]
    points = [
        [r.point for r in read(make("--renditions", 8, *options, "--seed", seed)).renditions]
        for seed in (0, 1)
    ]
    assert points[0] != points[1]
    assert all(len(set(drawn)) == 8 for drawn in points)


def test_the_seed_changes_no_stem_without_deviations(make, base: Path) -> None:
    assert stem_hashes(make(*BASE, "--seed", 7)) == stem_hashes(base)


def test_another_tempo_changes_the_stems_of_that_tempo(make, base: Path) -> None:
    other = make("--renditions", "all", "--tempo", "100,90", *BASE[4:])
    ours, theirs = by_name(base), by_name(other)
    shared = {name for name in ours if name[1] == "100"}
    assert set(ours) & set(theirs) == shared
    assert {theirs[name].stem_id for name in shared} == {ours[name].stem_id for name in shared}
    assert {theirs[name].sha256 for name in shared} == {ours[name].sha256 for name in shared}
    new = [s for name, s in theirs.items() if name not in shared]
    assert len(new) == 4
    assert not {s.stem_id for s in new} & set(stem_hashes(base))
    for name, stem in theirs.items():
        slow_or_fast = ours[name[0], "140", *name[2:]]
        assert np.array_equal(stem.note_pitch, slow_or_fast.note_pitch)
        assert np.array_equal(stem.note_velocity, slow_or_fast.note_velocity)


def test_a_stem_has_the_hash_of_its_file_and_of_its_samples(base: Path) -> None:
    for stem in read(base).stems.values():
        assert hashlib.sha256((base / stem.path).read_bytes()).hexdigest() == stem.sha256
        integers, _ = soundfile.read(base / stem.path, dtype="int32")
        plain = (integers >> 8).astype("<i4").tobytes()
        assert hashlib.sha256(plain).hexdigest() == stem.samples_sha256


def test_another_dynamic_changes_the_stems_of_that_dynamic(make, base: Path) -> None:
    other = make(*BASE[:4], "--dynamics", "p,m", *BASE[6:])
    ours, theirs = by_name(base), by_name(other)
    for name, stem in theirs.items():
        if name[3] == "p":
            assert (stem.stem_id, stem.sha256) == (ours[name].stem_id, ours[name].sha256)
        else:
            loud = ours[(*name[:3], "f")]
            assert stem.stem_id != loud.stem_id
            assert stem.sha256 != loud.sha256
            assert np.array_equal(stem.note_onset, loud.note_onset)
            assert np.array_equal(stem.note_pitch, loud.note_pitch)
    assert len(theirs) == 8


def test_other_velocities_of_a_dynamic_are_another_stem(make, base: Path) -> None:
    other = make(*BASE, "--velocities", "f=100")
    ours, theirs = by_name(base), by_name(other)
    assert set(ours) == set(theirs)
    for name, stem in theirs.items():
        is_same = name[3] == "p"
        assert (stem.stem_id == ours[name].stem_id) == is_same
        assert (stem.sha256 == ours[name].sha256) == is_same


def test_shifts_change_renditions_and_no_stem(make, base: Path) -> None:
    other = make(*BASE[:6], "--shift", "0,0.3,0.5")
    assert stem_hashes(other) == stem_hashes(base)
    found = read(other).renditions
    assert len(found) == 2 * (2 * 3) ** 2
    assert {source.shift for r in found for source in r.sources} == {0, 2400, 4000}


@pytest.mark.parametrize("option", [("--jitter", 0.01), ("--tuning", 10)], ids=lambda o: o[0])
def test_deviations_change_every_stem_and_no_rendition(make, base: Path, option) -> None:
    other = make(*BASE, *option)
    ours, theirs = by_name(base), by_name(other)
    assert set(ours) == set(theirs)
    for name, stem in theirs.items():
        exact = ours[name]
        assert stem.stem_id != exact.stem_id
        assert stem.sha256 != exact.sha256
        assert np.array_equal(np.sort(stem.note_pitch), np.sort(exact.note_pitch))
        assert np.array_equal(stem.note_onset, exact.note_onset) == (option[0] == "--tuning")
        assert bool(stem.note_cents.any()) == (option[0] == "--tuning")
        assert (stem.midi_sha256 == exact.midi_sha256) == (option[0] == "--tuning")
    points = [[(r.point, [s.shift for s in r.sources]) for r in read(c).renditions]
              for c in (base, other)]  # fmt: skip
    assert points[0] == points[1]
    reseeded = stem_hashes(make(*BASE, *option, "--seed", 1))
    assert not set(reseeded) & {s.stem_id for s in theirs.values()}
    assert not set(reseeded.values()) & {(s.sha256, s.midi_sha256) for s in theirs.values()}


def test_jitter_is_the_same_at_any_dynamic_and_keeps_lengths(make) -> None:
    stems = by_name(make(*BASE, "--jitter", 0.01))
    for name, stem in stems.items():
        twin = stems[(*name[:3], "f")]
        assert np.array_equal(stem.note_onset, twin.note_onset)
        assert np.array_equal(stem.note_offset, twin.note_offset)
    by_tempo = {tempo: {s.n_samples for n, s in stems.items() if n[1] == tempo}
                for tempo in ("100", "140")}  # fmt: skip
    assert all(len(lengths) == 1 for lengths in by_tempo.values())


def test_renditions_as_written(make, duo: Path) -> None:
    corpus = make("--renditions", 1)
    header, stems, (rendition,) = read(corpus)
    assert header["n_points"] == {"Track00001": "1"}
    assert rendition.tempo == "as-written"
    velocities = [
        [m.velocity for m in track if m.type == "note_on"]
        for track in mido.MidiFile(duo / "duo.mid").tracks[1:]
    ]
    found = [s.note_velocity.tolist() for s in sorted(stems.values(), key=lambda s: s.stem)]
    assert found == velocities
    assert {(s.dynamic, s.dynamic_changes) for s in stems.values()} == {("as-written", "nothing")}


def test_tempo_changes_are_scaled_or_replaced(tmp_path: Path, fonts, here: Command) -> None:
    write_score(tmp_path / "midi" / "a.mid", tempos=((0, 1_000_000), (480, 500_000)))
    expected = {
        "scale": [0, 0.25, 0.5, 0.625],  # 120 BPM instead of 60, then 240
        "replace": [0, 0.25, 0.5, 0.75],
    }
    ids = set()
    for mode, onsets_s in expected.items():
        corpus = tmp_path / mode
        done = here("render", tmp_path / "midi", corpus, *QUICK, "--soundfont", fonts[0],
                    "--renditions", 1, "--tempo", 120, "--tempo-mode", mode)  # fmt: skip
        assert done.returncode == 0, done.stderr
        for stem in read(corpus).stems.values():
            ids.add(stem.stem_id)
            assert np.abs(stem.note_onset - np.array(onsets_s) * RATE).max() <= 32
    assert len(ids) == 4


def test_aligned_scores_say_when_notes_sound(
    tmp_path: Path, duo: Path, fonts, here: Command
) -> None:
    texts = tmp_path / "aligned" / "duo"
    texts.mkdir(parents=True)
    (texts / "S00.txt").write_text("0.2500,0.5000,A4\n0.8000,1.1000,A4#\n")
    (texts / "S01.txt").write_text("0.5000,1.4000,A4\n")
    command = ("render", duo, tmp_path / "c", *QUICK, "--soundfont", fonts[0], "--renditions",
               "all", "--dynamics", "p,f", "--aligned", tmp_path / "aligned")  # fmt: skip
    assert_one_line_error(here(*command, "--tempo", 100), 2, "not with --tempo")
    done = here(*command)
    assert done.returncode == 0, done.stderr
    for stem in read(tmp_path / "c").stems.values():
        expected_s = [0.25, 0.8] if stem.stem == "S00" else [0.5]
        assert np.abs(stem.note_onset - np.array(expected_s) * RATE).max() <= 32
        assert stem.note_pitch.tolist() == ([69, 70] if stem.stem == "S00" else [69])
        assert stem.n_samples == round(1.9 * RATE)  # of both, and the tail
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0
    (texts / "S01.txt").write_text("! nothing\n")
    done = here(*(tmp_path / "d" if part == tmp_path / "c" else part for part in command))
    assert_one_line_error(done, 2, "no aligned note of duo.mid: S01")


def test_the_sounding_pitch_is_that_of_the_sound(tmp_path: Path, fonts, here: Command) -> None:
    file = mido.MidiFile(write_score(tmp_path / "midi" / "a.mid", n_notes=8))
    violin = file.tracks[1]
    for control, value in ((6, 96), (100, 1), (101, 0), (6, 57), (100, 2), (101, 0)):
        violin.insert(2, mido.Message("control_change", control=control, value=value))
    file.save(tmp_path / "midi" / "a.mid")
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", 1, "--tempo", 0.5, "--tuning", 20)  # fmt: skip
    assert done.returncode == 0, done.stderr
    stems = read(tmp_path / "c").stems.values()
    for stem in stems:
        shift = -6.5 if stem.stem == "S00" else 0
        expected = stem.note_pitch + shift + stem.note_cents / 100
        np.testing.assert_allclose(stem.note_sounding_pitch, expected, atol=1e-4)
        audio = audio_of(tmp_path / "c", stem)
        for onset, pitch in zip(stem.note_onset, stem.note_sounding_pitch, strict=True):
            note = audio[onset + 200 : onset + 3000] * np.hanning(2800)
            frequency_hz = np.abs(np.fft.rfft(note, 1 << 18)).argmax() * RATE / (1 << 18)
            assert abs(12 * np.log2(frequency_hz / 440) + 69 - pitch) < 0.1
    assert len(stems) == 2


# ---------------------------------------------------------------------------------------------
# Timbres


def test_timbres_of_two_soundfonts(duo: Path, fonts, tmp_path: Path, here: Command) -> None:
    options = [*QUICK, "--soundfont", fonts[0], "--soundfont", fonts[1]]
    done = here("render", duo, tmp_path / "c", *options, "--renditions", "all", "--timbres", 2)
    assert done.returncode == 0, done.stderr
    _, stems, renditions = read(tmp_path / "c")
    assert (len(stems), len(renditions)) == (4, 4)
    for part, number in (("S00", VIOLIN), ("S01", CELLO)):
        own = {s.patch: overtones(tmp_path / "c", s) for s in stems.values() if s.stem == part}
        names = [name[:15] for name in sorted(own)]
        assert names == [f"{font}.sf2:000-0{number}" for font in ("one", "two")]
        sine, square = (own[name] for name in sorted(own))
        assert sine < 0.01 < 0.1 < square
    pairs = [tuple(stems[s.stem_id].patch[:3] for s in r.sources) for r in renditions]
    assert sorted(pairs) == [("one", "one"), ("one", "two"), ("two", "one"), ("two", "two")]


def overtones(corpus: Path, stem: RenditionStem) -> float:
    """Return the share of the first note's power that is not near its fundamental."""
    audio = audio_of(corpus, stem)[stem.note_onset[0] + 100 : stem.note_offset[0]]
    power = np.abs(np.fft.rfft(audio * np.blackman(len(audio)))) ** 2
    fundamental_hz = 441 * 2 ** ((int(stem.note_pitch[0]) - 69) / 12)
    is_near = np.abs(np.fft.rfftfreq(len(audio), 1 / RATE) - fundamental_hz) < 50
    return float(power[~is_near].sum() / power.sum())


def test_too_many_timbres_asked_for(duo: Path, fonts, tmp_path: Path, here: Command) -> None:
    options = [*QUICK, "--soundfont", fonts[0], "--soundfont", fonts[1], "--renditions", 1]
    done = here("render", duo, tmp_path / "c", *options, "--timbres", 3)
    assert_one_line_error(done, 2, "duo.mid: S00", "Violin", "2 of 3 timbres", "or --timbres 2")
    assert not (tmp_path / "c").exists()


def test_an_instrument_that_no_soundfont_has(tmp_path: Path, fonts, here: Command) -> None:
    write_score(tmp_path / "midi" / "viola.mid", [(VIOLIN, 0), (41, 1)])
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", 1)  # fmt: skip
    # No patch of its class either: the part is left out, as in any corpus.
    assert done.returncode == 0, done.stderr
    assert {s.program for s in read(tmp_path / "c").stems.values()} == {VIOLIN}
    # A kit that is not there is another instrument of a class that is.
    drums = write_score(tmp_path / "drums" / "jazz.mid", [(32, 9)])
    done = here("render", drums.parent, tmp_path / "d", *QUICK, "--soundfont", fonts[0],
                "--renditions", 1)  # fmt: skip
    assert_one_line_error(done, 2, "jazz.mid: S00 (Drums): 0 of 1 timbres", "more --soundfont")
    assert "--timbres" not in done.stderr


def test_of_a_class_another_instrument_is_no_timbre(tmp_path: Path, here: Command) -> None:
    """Patches of General MIDI programs that share a class are different instruments."""
    zones = [[Zone(0, generators={SAMPLE_MODES: 1})]]
    programs = [Program([Zone(0)], 0, n, f"brass {n}") for n in (56, 57)]
    font = maker.write_sf2(tmp_path / "brass.sf2", [tone()], zones, programs)
    write_score(tmp_path / "midi" / "a.mid", [(56, 0), (57, 1)])
    planned = planned_of(tmp_path / "midi", [font])
    patches = [spec.patch.preset for spec in planned.pieces[0].specs.values()]
    assert sorted(preset.number for preset in patches if preset) == [56, 57]


# ---------------------------------------------------------------------------------------------
# Dynamics


def test_two_layers_change_the_timbre(duo: Path, tmp_path: Path, here: Command) -> None:
    font = write_layered_font(tmp_path / "layers.sf2")
    done = here("render", duo, tmp_path / "c", *QUICK, "--soundfont", font, "--renditions", "all",
                "--dynamics", "p,f")  # fmt: skip
    assert done.returncode == 0
    assert FORECAST.fullmatch(done.stderr.removesuffix("\n"))
    stems = by_name(tmp_path / "c")
    assert {s.dynamic_changes for s in stems.values()} == {"timbre"}
    for name, stem in stems.items():
        share = overtones(tmp_path / "c", stem)
        assert share < 0.01 if name[3] == "p" else share > 0.1


def test_one_layer_changes_the_level_and_is_warned_of(
    base: Path, duo: Path, fonts, tmp_path: Path, here: Command
) -> None:
    done = here("render", duo, tmp_path / "c", *QUICK, "--soundfont", fonts[0], "--renditions", 1,
                "--dynamics", "p,f")  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("warning: dynamics change only the level, not the timbre")
    _, line = done.stderr.splitlines()
    assert FORECAST.fullmatch(line)
    assert "one.sf2:000-040 violin" in done.stderr
    stems = by_name(base)
    assert {s.dynamic_changes for s in stems.values()} == {"level"}
    for (part, tempo, patch, dynamic), stem in stems.items():
        if dynamic == "p":
            loud = stems[part, tempo, patch, "f"]
            assert stem.peak_dbfs is not None
            assert loud.peak_dbfs is not None
            assert stem.loudness_lufs < loud.loudness_lufs - 6
            assert stem.peak_dbfs < loud.peak_dbfs - 6
            assert stem.gain_db == loud.gain_db  # one headroom for all


def write_chord(path: Path, program: int = VIOLIN) -> Path:
    """Write one long chord of twenty keys, struck as hard as can be."""
    track = mido.MidiTrack([mido.Message("program_change", program=program)])
    keys = range(50, 70)
    track.extend(mido.Message("note_on", note=key, velocity=127) for key in keys)
    track.extend(mido.Message("note_off", note=key, time=480 * (key == 50)) for key in keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(path)
    return path


def test_the_headroom_that_is_needed_is_named(tmp_path: Path, here: Command, stemsmith) -> None:
    font = write_font(tmp_path / "loud.sf2", level=1.0)
    midi = write_chord(tmp_path / "midi" / "chord.mid").parent

    def command(corpus: str, *options: object) -> tuple[object, ...]:
        options = ("--soundfont", font, "--renditions", 1, *options)
        return ("render", midi, tmp_path / corpus, *QUICK, *options)

    done = here(*command("c", "--headroom", 0))
    assert_one_line_error(done, 2, "chord.mid: S00", "above full scale", "use --headroom ")
    needed_db = int(done.stderr.split("--headroom ")[1].split()[0].rstrip(".,;"))
    in_workers = stemsmith(*command("w", "--headroom", 0), "--jobs", 2)
    assert_one_line_error(in_workers, 2, f"use --headroom {needed_db}")
    # The folder holds stems of another headroom: another one is asked for, and works.
    again = here(*command("c", "--headroom", needed_db))
    assert_one_line_error(again, 2, "choose another folder")
    done = here(*command("d", "--headroom", needed_db))
    assert done.returncode == 0, done.stderr
    (stem,) = read(tmp_path / "d").stems.values()
    assert stem.gain_db == -needed_db
    assert -2 <= (stem.peak_dbfs or 0) <= 0
    assert_one_line_error(here(*command("e", "--headroom", needed_db - 2)), 2, "--headroom")


# ---------------------------------------------------------------------------------------------
# Folders of recorded notes


def write_notes(folder: Path, dynamics: Sequence[str] = ("p", "f")) -> Path:
    """Write every fourth key: soft ones are sines, loud ones square waves."""
    folder.mkdir(parents=True)
    time_s = np.arange(round(0.8 * RATE)) / RATE
    for pitch in range(57, 76, 4):
        phase = 2 * np.pi * 441 * 2 ** ((pitch - 69) / 12) * time_s
        for dynamic in dynamics:
            audio = 0.1 * np.sin(phase) if dynamic == "p" else 0.3 * np.sign(np.sin(phase))
            soundfile.write(folder / f"{pitch}_{dynamic}.wav", audio, RATE, subtype="PCM_24")
    return folder


def write_bank(path: Path, violins: Sequence[str], font: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["Violin:", *(f"  - {{folder: {name}}}" for name in violins)]
    lines += ["Cello:", *(f"  - {{soundfont: {font}, preset: {CELLO}, name: cello {name}}}"
                          for name in violins)]  # fmt: skip
    path.write_text("\n".join(lines))
    return path


def test_recorded_notes_with_dynamics(duo: Path, fonts, tmp_path: Path, here: Command) -> None:
    write_notes(tmp_path / "bank" / "v1")
    bank = write_bank(tmp_path / "bank" / "bank.yaml", ["v1"], fonts[0])
    done = here("render", duo, tmp_path / "c", *QUICK, "--patches", bank, "--renditions", "all",
                "--dynamics", "p,f", "--headroom", 6)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cello v1" in done.stderr  # which has no layers
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0
    stems = by_name(tmp_path / "c")
    soft, loud = (stems["S00", "as-written", "v1", dynamic] for dynamic in "pf")
    assert {soft.dynamic_changes, loud.dynamic_changes} == {"timbre"}
    assert soft.loudness_lufs < loud.loudness_lufs - 6
    assert overtones(tmp_path / "c", soft) < 0.01
    assert overtones(tmp_path / "c", loud) > 0.1
    assert 0 <= soft.attack_s < 0.01


@pytest.mark.parametrize("velocities", [(20, 30), (100, 110)], ids=["soft", "loud"])
def test_recorded_notes_as_written(
    fonts, tmp_path: Path, here: Command, velocities: tuple[int, int]
) -> None:
    """Velocities choose among the recordings."""
    write_score(tmp_path / "midi" / "a.mid", velocities=velocities)
    write_notes(tmp_path / "bank" / "v1")
    bank = write_bank(tmp_path / "bank" / "bank.yaml", ["v1"], fonts[0])
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--patches", bank,
                "--renditions", 1, "--tuning", 10)  # fmt: skip
    assert done.returncode == 0
    assert FORECAST.fullmatch(done.stderr.removesuffix("\n"))
    stem = by_name(tmp_path / "c")["S00", "as-written", "v1", "as-written"]
    assert stem.dynamic_changes == "nothing"
    assert (overtones(tmp_path / "c", stem) < 0.01) == (velocities[0] == 20)
    assert 0 <= stem.attack_s < 0.01


def test_recorded_notes_of_one_dynamic_are_warned_of(
    duo: Path, fonts, tmp_path: Path, here: Command
) -> None:
    write_notes(tmp_path / "bank" / "v1", ["m"])
    bank = write_bank(tmp_path / "bank" / "bank.yaml", ["v1"], fonts[0])
    done = here("render", duo, tmp_path / "c", *QUICK, "--patches", bank, "--renditions", "all",
                "--dynamics", "p,f", "--headroom", 6)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "dynamics change nothing" in done.stderr
    assert "v1" in done.stderr
    stems = by_name(tmp_path / "c")
    soft, loud = (stems["S00", "as-written", "v1", dynamic] for dynamic in "pf")
    assert soft.dynamic_changes == loud.dynamic_changes == "nothing"
    assert soft.sha256 == loud.sha256


def test_recordings_decide_the_stem_and_not_where_they_lie(
    duo: Path, fonts, tmp_path: Path, here: Command
) -> None:
    found = []
    write_notes(tmp_path / "a" / "v1")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "changed")
    flip(tmp_path / "changed" / "v1" / "61_p.wav")
    for name in ("a", "b", "changed"):
        bank = write_bank(tmp_path / name / "bank.yaml", ["v1"], fonts[0])
        done = here("render", duo, tmp_path / f"c-{name}", *QUICK, "--patches", bank,
                    "--renditions", 1, "--dynamics", "p")  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append({s.stem: s.stem_id for s in read(tmp_path / f"c-{name}").stems.values()})
    assert found[0] == found[1]
    assert found[0]["S00"] != found[2]["S00"]
    assert found[0]["S01"] == found[2]["S01"]


def test_a_dynamic_that_recordings_do_not_know(duo: Path, fonts, tmp_path: Path, here) -> None:
    write_notes(tmp_path / "bank" / "v1")
    bank = write_bank(tmp_path / "bank" / "bank.yaml", ["v1"], fonts[0])
    done = here("render", duo, tmp_path / "c", *QUICK, "--patches", bank, "--renditions", 1,
                "--dynamics", "soft", "--velocities", "soft=30")  # fmt: skip
    assert_one_line_error(done, 2, "v1: no dynamic 'soft'", "pp, p, mp, m, mf, f, ff")


# ---------------------------------------------------------------------------------------------
# Scores of many kinds


def test_drums(tmp_path: Path, fonts, here: Command) -> None:
    write_score(tmp_path / "midi" / "band.mid", [(VIOLIN, 0), (0, 9)])
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", 1, "--tuning", 5, "--jitter", 0.005)  # fmt: skip
    assert done.returncode == 0, done.stderr
    drums = next(s for s in read(tmp_path / "c").stems.values() if s.stem == "S01")
    assert (drums.program, drums.inst_class) == (128, "Drums")
    assert drums.patch == "one.sf2:128-000 kit"
    assert drums.loudness_lufs is not None
    messages = mido.MidiFile(tmp_path / "c" / drums.midi_path).tracks[1]
    assert {m.channel for m in messages if not m.is_meta} == {9}
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def write_album(folder: Path, n_scores: int = 6) -> Path:
    """Write scores, two of them with the same notes, one twice, and one file that is no score."""
    for k in range(n_scores):
        write_score(folder / f"{k}.mid", n_notes=3, seed=k)
    twin = mido.MidiFile(folder / "0.mid")
    twin.tracks[1][0].name = "another name"
    twin.save(folder / "twin.mid")
    shutil.copy(folder / "1.mid", folder / "copy.mid")
    (folder / "broken.mid").write_bytes(b"MThd")
    return folder


def rejections_of(corpus: Path) -> dict[str, Reason]:
    found = shards.read_records(corpus / "rejections-00000.parquet", Rejection)
    return {rejection.id: rejection.reason for rejection in found}


def test_scores_that_cannot_be_read_splits_and_duplicates(
    tmp_path: Path, fonts, here: Command
) -> None:
    write_album(tmp_path / "midi", 12)
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--splits", "0.5,0.25,0.25", "--renditions", 2, "--shift", "0,0.1", "--seed", 2,
                "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, stems, renditions = read(tmp_path / "c")
    assert rejections_of(tmp_path / "c") == {
        "broken.mid": Reason.NOT_MIDI,
        "copy.mid": Reason.DUPLICATE_FILE,
    }
    assert len(renditions) == 2 * 13
    splits: dict[str, set[str]] = {}
    for rendition in renditions:
        splits.setdefault(rendition.song_id, set()).add(rendition.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({split for found in splits.values() for split in found}) > 1
    of_notes: dict[str, set[str]] = {}
    for stem in stems.values():
        of_notes.setdefault(stem.notes_sha256, set()).add(stem.split)
    assert len(of_notes) == 12
    assert all(len(found) == 1 for found in of_notes.values())
    assert header["n_duplicates_grouped"] == 2
    assert sum(header["n_songs"].values()) == 13
    summary = json.loads(done.stdout)
    assert summary["n_renditions"] == 26
    assert summary["n_stems"] == len(stems) == 26
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_other_scores_change_no_stem(tmp_path: Path, make, duo: Path, fonts, here) -> None:
    write_album(tmp_path / "midi")
    shutil.copy(duo / "duo.mid", tmp_path / "midi" / "renamed.mid")
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", 4, *BASE[2:], "--jitter", 0.01)  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone, among = make("--renditions", 4, *BASE[2:], "--jitter", 0.01), tmp_path / "c"
    assert stem_hashes(alone).items() <= stem_hashes(among).items()
    points = {r.rendition_id for r in read(alone).renditions}
    assert points <= {r.rendition_id for r in read(among).renditions}


def test_no_score_at_all(tmp_path: Path, fonts, here: Command) -> None:
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi" / "broken.mid").write_bytes(b"MThd")
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", 1)  # fmt: skip
    assert_one_line_error(done, 1, "1 not-midi")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("n_scores", [1, 2])
def test_a_score_that_changes_while_it_is_rendered(
    tmp_path: Path, fonts, here: Command, monkeypatch: pytest.MonkeyPatch, n_scores: int
) -> None:
    """Its other stems go as well; nothing is left if there is no other score."""
    from stemsmith.render import workflow

    midi = tmp_path / "midi"
    for k in range(n_scores):
        write_score(midi / f"{k}.mid", seed=k)
    render_stems, seen = workflow.render_stems, []

    def changing(job):
        seen.append(job.source)
        if seen.count("0.mid") == 2:
            write_score(midi / "0.mid", seed=99)
        return render_stems(job)

    monkeypatch.setattr(workflow, "render_stems", changing)
    done = here("render", midi, tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", "all", "--tempo", "90,100")  # fmt: skip
    if n_scores == 1:
        assert_one_line_error(done, 1, "1 changed")
        assert not any(path.is_file() for path in tmp_path.glob("c/**/*"))
        return
    assert done.returncode == 0, done.stderr
    header, stems, renditions = read(tmp_path / "c")
    assert rejections_of(tmp_path / "c") == {"0.mid": Reason.CHANGED}
    assert (len(stems), len(renditions)) == (4, 2)
    assert len(list(tmp_path.glob("c/stems/*/*"))) == 8
    assert sum(header["n_songs"].values()) == 1
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_a_score_that_a_tempo_makes_endless(tmp_path: Path, fonts, here: Command) -> None:
    """Its first tempo is one microsecond a beat, and that becomes half a second."""
    write_score(tmp_path / "midi" / "odd.mid", tempos=((0, 1), (10, 500_000)))
    write_score(tmp_path / "midi" / "sane.mid", seed=1)
    command = ("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
               "--renditions", 1, "--tempo", 120)  # fmt: skip
    done = here(*command)
    assert done.returncode == 0, done.stderr
    assert rejections_of(tmp_path / "c") == {"odd.mid": Reason.TOO_LONG}
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


# ---------------------------------------------------------------------------------------------
# Same bytes

RESUMED = ("--renditions", 6, "--tempo", "100,140", "--dynamics", "p,f", "--shift", "0,0.1",
           "--jitter", 0.01, "--tuning", 5, "--splits", "0.5,0.25,0.25")  # fmt: skip


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, fonts, here: Command) -> tuple[Path, Path]:
    """Return scores and the corpus that is made of them in process; read only."""
    root = tmp_path_factory.mktemp("album")
    write_album(root / "midi")
    done = here("render", root / "midi", root / "c", *QUICK, "--soundfont", fonts[0], *RESUMED)
    assert done.returncode == 0, done.stderr
    return root / "midi", root / "c"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_same_bytes_for_any_number_of_workers(
    album, fonts, tmp_path: Path, here: Command, n_jobs: int
) -> None:
    midi, corpus = album
    done = here("render", midi, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *RESUMED,
                     "--jobs", n_jobs)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "c") == hashes(corpus)


def test_same_bytes_of_a_worker_with_several_threads(
    album, fonts, tmp_path: Path, here: Command
) -> None:
    midi, corpus = album
    with LocalCluster(n_workers=1, threads_per_worker=4, dashboard_address=":0") as cluster:
        done = here("render", midi, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *RESUMED,
                         "--scheduler", cluster.scheduler_address)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "c") == hashes(corpus)


def test_a_finished_corpus_is_left_alone(album, fonts, here: Command) -> None:
    midi, corpus = album
    before = {path: path.stat().st_mtime_ns for path in [corpus, *corpus.rglob("*")]}
    command = ("render", midi, corpus, *QUICK, "--soundfont", fonts[0])
    done = here(*command, *RESUMED)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in [corpus, *corpus.rglob("*")]} == before
    for other in (("--seed", 1), ("--renditions", 7), ("--shift", "0,0.2"), ("--headroom", 20)):
        done = here(*command, *RESUMED, *other)
        assert_one_line_error(done, 2, str(corpus), "other arguments", "choose another folder")
    assert {path: path.stat().st_mtime_ns for path in [corpus, *corpus.rglob("*")]} == before


def test_killed_at_every_step_and_resumed(
    tmp_path: Path, fonts, here: Command, killed_after
) -> None:
    """The process ends at the 1st, 2nd, ... sync or rename, the steps that files appear by."""
    write_score(tmp_path / "midi" / "a.mid", [(VIOLIN, 0)], n_notes=1)

    def render(corpus: Path) -> subprocess.CompletedProcess[str]:
        return here("render", tmp_path / "midi", corpus, *QUICK, "--tail", 0, "--soundfont",
                    fonts[0], "--renditions", "all", "--tempo", "100,140")  # fmt: skip

    assert render(tmp_path / "whole").returncode == 0
    whole = hashes(tmp_path / "whole")
    for n_steps in range(1000):
        corpus = tmp_path / f"c{n_steps}"
        is_done = False
        with killed_after(n_steps):
            is_done = render(corpus).returncode == 0
        if (corpus / shards.MANIFEST).exists():
            assert whole.items() <= hashes(corpus).items()
        assert render(corpus).returncode == 0
        assert hashes(corpus) == whole
        if is_done:
            break
    assert n_steps > 2 * len(whole)


@pytest.mark.slow
def test_killed_at_random_instants_and_resumed(tmp_path: Path, fonts, stemsmith: Command) -> None:
    for k in range(12):
        write_score(tmp_path / "midi" / f"{k}.mid", n_notes=40, seed=k)
    options = [*QUICK, "--sample-rate", 44100, "--soundfont", fonts[0], *RESUMED]
    done = stemsmith("render", tmp_path / "midi", tmp_path / "whole", *options)
    assert done.returncode == 0, done.stderr
    whole = hashes(tmp_path / "whole")
    rng = random.Random(20261121)
    n_interrupted, n_kills = 0, 12
    for attempt in range(n_kills):
        corpus = tmp_path / f"killed{attempt // 4}"  # four kills a corpus
        command = [sys.executable, "-m", "stemsmith.cli.main", "render", tmp_path / "midi", corpus,
                   *options, "--jobs", attempt % 3, "-q"]  # fmt: skip
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(rng.uniform(0.6, 4.0))
        n_interrupted += process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it was done
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if attempt % 4 == 3:
            done = stemsmith("render", tmp_path / "midi", corpus, *options, "--jobs", 1)
            assert done.returncode == 0, done.stderr
            assert hashes(corpus) == whole
            assert stemsmith("validate", corpus, "--jobs", 0).returncode == 0
    assert n_interrupted >= n_kills // 3


# ---------------------------------------------------------------------------------------------
# Options

BAD: dict[str, tuple[tuple[object, ...], str]] = {
    "none": (("--renditions", 0), "--renditions must be at least 1"),
    "negative": (("--renditions", -3), "--renditions -3: a number, or all"),
    "words": (("--renditions", "many"), "--renditions many: a number, or all"),
    "superscript": (("--renditions", "²"), "a number, or all"),
    "more than there are": (
        ("--renditions", 5, "--shift", "0,0.1"),
        "duo.mid has 4 renditions, not 5",
    ),
    "too many": (
        ("--renditions", "all", "--shift", ",".join(f"{k / 10}" for k in range(600)),
         "--dynamics", "p,f"),
        "too many for --renditions all",
    ),
    "tempo": (("--renditions", 1, "--tempo", "fast"), "--tempo fast: BPM"),
    "tempo twice": (("--renditions", 1, "--tempo", "80,80"), "--tempo names one twice"),
    "dynamics twice": (("--renditions", 1, "--dynamics", "p,p"), "--dynamics names one twice"),
    "shift twice": (("--renditions", 1, "--shift", "0.1,0.10"), "--shift names one twice"),
    "dynamic": (("--renditions", 1, "--dynamics", "loud"), "--dynamics loud"),
    "velocities": (
        ("--renditions", 1, "--dynamics", "p", "--velocities", "p=200"),
        "--velocities p=200",
    ),
    "velocities of nothing": (("--renditions", 1, "--velocities", "p=48"), "needs --dynamics"),
    "shift": (("--renditions", 1, "--shift", "0.05"), "--shift 0.05"),
    "timbres": (("--renditions", 1, "--timbres", 0), "--timbres must be between"),
    "jitter": (("--renditions", 1, "--jitter", -1), "--jitter must be between"),
    "no jitter": (("--renditions", 1, "--jitter", "nan"), "--jitter must be between"),
    "tuning": (("--renditions", 1, "--tuning", 60), "--tuning must be between"),
    "headroom": (("--renditions", 1, "--headroom", -1), "--headroom must be between"),
    "sibelius": (("--preset", "miron-sibelius", "--shift", "0"), "duo.mid has 0 renditions"),
    "rwc": (
        ("--preset", "miron-rwc"),
        "1 of 3 timbres are in the patch bank; give more --soundfont files (--preset miron-rwc "
        "needs 3), or --bank general, or --timbres 1",
    ),
    "rwc-few": (("--preset", "miron-rwc", "--timbres", 1), "duo.mid has 72 renditions, not 400"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_options_are_one_line(
    duo: Path, fonts, tmp_path: Path, here: Command, what: str
) -> None:
    options, text = BAD[what]
    done = here("render", duo, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *options)
    assert_one_line_error(done, 2, text)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "option",
    [("--tempo", 100), ("--tempo-mode", "scale"), ("--timbres", 2), ("--shift", 0),
     ("--headroom", 3)],
    ids=lambda option: option[0],
)  # fmt: skip
def test_factors_need_renditions(duo: Path, fonts, tmp_path: Path, here, option) -> None:
    done = here("render", duo, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *option)
    assert_one_line_error(done, 2, f"{option[0]} needs --renditions or --preset")


def test_options_win_over_a_preset_and_come_from_a_file(
    duo: Path, fonts, tmp_path: Path, here: Command
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'preset = "miron-rwc"\nrenditions = 5\ntimbres = 1\nshift = [0, 0.4]\ntail = 0.5\n'
        f'soundfont = ["{fonts[0]}"]\nsplits = ["1", "0", "0"]\nsample-rate = {RATE}\njobs = 0\n'
    )
    done = here("render", duo, tmp_path / "c", "--config", config, "--tempo", 140)
    assert done.returncode == 0, done.stderr
    header, stems, renditions = read(tmp_path / "c")
    assert len(renditions) == 5
    assert header["n_points"] == {"Track00001": str(6 * 5)}  # of p, m, f and two shifts, distinct
    assert {stem.tempo for stem in stems.values()} == {"140"}
    assert {stem.dynamic for stem in stems.values()} <= {"p", "m", "f"}
    assert header["config"]["rule"] == "distinct"


# ---------------------------------------------------------------------------------------------
# Damage


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    shutil.copytree(base, tmp_path / "c")
    return tmp_path / "c"


def flip(path: Path, place: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


def first(corpus: Path) -> RenditionStem:
    return next(iter(read(corpus).stems.values()))


def rewrite(corpus: Path, kind: str, change: Callable[[Any], Sequence[Any]]) -> None:
    """Change the first record of a shard and make the manifest agree with it."""
    path = corpus / f"{kind}-00000.parquet"
    record_type = RenditionStem if kind == "stems" else Rendition
    one, *others = shards.read_records(path, record_type)
    shards.write_records(path, record_type, [*change(one), *others])
    header = json.loads((corpus / shards.MANIFEST).read_text())
    for k, entry in enumerate(header["shards"]):
        if entry["file"] == path.name:
            header["shards"][k] = shards.shard_entry(path)
    (corpus / shards.MANIFEST).write_text(json.dumps(header))


def reshifted(rendition: Rendition) -> list[Rendition]:
    one, *others = rendition.sources
    return [replace(rendition, sources=(replace(one, stem_id="0" * 40), *others))]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "stem": (lambda c: flip(c / first(c).path), ".flac: SHA-256"),
    "midi": (lambda c: flip(c / first(c).midi_path), ".mid: SHA-256"),
    "missing stem": (lambda c: (c / first(c).path).unlink(), ".flac: missing"),
    "missing midi": (lambda c: (c / first(c).midi_path).unlink(), ".mid: missing"),
    "shard of stems": (lambda c: flip(c / "stems-00000.parquet"), "stems-00000.parquet"),
    "shard of renditions": (
        lambda c: flip(c / "renditions-00000.parquet"),
        "renditions-00000.parquet",
    ),
    "shard of rejections": (
        lambda c: (c / "rejections-00000.parquet").unlink(),
        "rejections-00000.parquet",
    ),
    "missing score": (lambda c: (c / "scores" / "Track00001.mid").unlink(), "Track00001.mid"),
    "changed score": (lambda c: flip(c / "scores" / "Track00001.mid"), "Track00001.mid"),
    "no manifest": (lambda c: (c / "manifest.json").unlink(), "manifest.json: missing"),
    "stray stem": (
        lambda c: (c / first(c).path).with_name("0.flac").write_bytes(b""),
        "0.flac: no record names it",
    ),
    "stray file of stems": (
        lambda c: (c / "stems" / "notes.txt").write_text(""),
        "notes.txt: no record names it",
    ),
    "stray score": (
        lambda c: (c / "scores" / "Track00002.mid").write_bytes(b""),
        "Track00002.mid: no record names it",
    ),
    "stray shard": (
        lambda c: shutil.copy(c / "renditions-00000.parquet", c / "renditions-00001.parquet"),
        "renditions-00001.parquet: no record names it",
    ),
    "remains of a run": (lambda c: (c / ".render").mkdir(), ".render: left by a run"),
    "stem that is not there": (lambda c: rewrite(c, "renditions", reshifted), "is no stem of"),
    "stem recorded twice": (lambda c: rewrite(c, "stems", lambda s: [s, s]), "counts are not"),
    "another gain": (
        lambda c: rewrite(c, "stems", lambda s: [replace(s, gain_db=s.gain_db - 1)]),
        "as its envelope says",
    ),
    "another peak": (
        lambda c: rewrite(c, "stems", lambda s: [replace(s, peak_dbfs=s.peak_dbfs - 1)]),
        "peaks at",
    ),
    "other samples": (
        lambda c: rewrite(c, "stems", lambda s: [replace(s, samples_sha256="0" * 64)]),
        "SHA-256 of its samples",
    ),
    "another length": (
        lambda c: rewrite(c, "stems", lambda s: [replace(s, n_samples=s.n_samples - 800)]),
        "is no stem of its tempo and length",
    ),
    "notes missing": (
        lambda c: rewrite(c, "stems", lambda s: [replace(s, note_onset=s.note_onset[:-1])]),
        "note_onset has not as many entries as n_notes says",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_named(copy: Path, here: Command, what: str) -> None:
    change, text = DAMAGE[what]
    change(copy)
    done = here("validate", copy, "--jobs", 0)
    assert_one_line_error(done, 1, text, str(copy))


# ---------------------------------------------------------------------------------------------
# Jobs of an array


@pytest.mark.parametrize("n_jobs", [2, 3, 40])
def test_jobs_and_merge_make_the_bytes_of_one_run(
    album, fonts, tmp_path: Path, here: Command, n_jobs: int
) -> None:
    midi, corpus = album
    n_stems = 0
    for number in reversed(range(1, n_jobs + 1)):
        if number == 1:
            assert_one_line_error(here("merge", tmp_path / "c"), 1, f"1/{n_jobs} has not begun")
        done = here("render", midi, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *RESUMED,
                    "--job", f"{number}/{n_jobs}", "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        n_stems += json.loads(done.stdout)["n_stems"]
    done = here("merge", tmp_path / "c", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_stems"] == n_stems
    assert hashes(tmp_path / "c") == hashes(corpus)
    assert here("merge", tmp_path / "c").returncode == 0
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_a_whole_run_goes_on_with_what_jobs_left(
    album, fonts, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render import workflow

    midi, corpus = album
    command = ("render", midi, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *RESUMED)
    assert here(*command, "--job", "2/3").returncode == 0
    rendered: list[str] = []
    render_stems = workflow.render_stems

    def counted(job):
        rendered.append(Path(job.record).name)
        return render_stems(job)

    monkeypatch.setattr(workflow, "render_stems", counted)
    assert here(*command).returncode == 0
    assert hashes(tmp_path / "c") == hashes(corpus)
    in_turn = sorted(rendered)
    rendered.clear()
    assert here("render", midi, tmp_path / "w", *command[3:]).returncode == 0
    every = sorted(rendered)
    assert in_turn == [name for k, name in enumerate(every) if k % 3 != 1]


@pytest.mark.parametrize("killed", ["1/2", "2/2", "merge"])
def test_jobs_that_were_killed_at_every_step_go_on(
    album, fonts, tmp_path: Path, here: Command, killed_after, killed: str
) -> None:
    midi, corpus = album
    command = ("render", midi, tmp_path / "c", *QUICK, "--soundfont", fonts[0], *RESUMED)
    for name in ("1/2", "2/2", "merge"):
        one = ("merge", tmp_path / "c") if name == "merge" else (*command, "--job", name)
        ended = name != killed
        for n_steps in (0, 1, 2, 3, 5, 8, 13, *range(20, 500, 40)):
            if ended:
                break
            with killed_after(n_steps):
                here(*one)
                ended = True
        assert here(*one).returncode == 0
    assert hashes(tmp_path / "c") == hashes(corpus)


@pytest.mark.parametrize("deadly", [1, 2, 3])
def test_a_piece_of_which_one_job_was_refused(
    tmp_path: Path, fonts, here: Command, monkeypatch: pytest.MonkeyPatch, deadly: int
) -> None:
    """Nothing of it is left, whichever of its jobs it was, in whichever job of the array."""
    from stemsmith.render import workflow
    from stemsmith.render.renditions.render import RefusedStems

    midi = tmp_path / "midi"
    for k in range(2):
        write_score(midi / f"{k}.mid", seed=k)
    render_stems = workflow.render_stems

    def refusing(job):
        if job.source == "0.mid" and job.tempo.name in {1: "90", 2: "100", 3: "90 100"}[deadly]:
            text = f"not at {job.tempo.name}"
            return RefusedStems(job.record, Rejection("0.mid", "render", Reason.TOO_LONG, text))
        return render_stems(job)

    monkeypatch.setattr(workflow, "render_stems", refusing)
    options = (*QUICK, "--soundfont", fonts[0], "--renditions", "all", "--tempo", "90,100")
    assert here("render", midi, tmp_path / "w", *options).returncode == 0
    for job in ("4/4", "3/4", "2/4", "1/4"):
        done = here("render", midi, tmp_path / "c", *options, "--job", job)
        assert done.returncode == 0, done.stderr
    assert here("merge", tmp_path / "c").returncode == 0
    assert hashes(tmp_path / "c") == hashes(tmp_path / "w")
    assert rejections_of(tmp_path / "c") == {"0.mid": Reason.TOO_LONG}
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_no_piece_is_left_by_any_job(
    tmp_path: Path, fonts, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render import workflow
    from stemsmith.render.renditions.render import RefusedStems

    def refuse(job):
        return RefusedStems(job.record, Rejection("0.mid", "render", Reason.TOO_LONG, "long"))

    write_score(tmp_path / "midi" / "0.mid")
    render_stems = workflow.render_stems
    options = (*QUICK, "--soundfont", fonts[0], "--renditions", "all", "--tempo", "90,100")
    for number, function in ((1, render_stems), (2, refuse)):
        monkeypatch.setattr(workflow, "render_stems", function)
        done = here("render", tmp_path / "midi", tmp_path / "c", *options, "--job", f"{number}/2")
        assert done.returncode == 0, done.stderr
    assert_one_line_error(here("merge", tmp_path / "c"), 1, "1 too-long")
    assert not any(path.is_file() for path in tmp_path.glob("c/**/*"))
