"""Corpora of renditions: which stems there are, what each factor changes, same bytes always.

The soundfonts are made here; scores last about a second.
"""

from __future__ import annotations

import json
import math
import os
import random
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
from stemsmith.manifests import shards, storage
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import Rendition, RenditionStem
from stemsmith.render import inventory
from stemsmith.render.config import RenderConfig
from stemsmith.render.patches import bank_from_soundfonts
from stemsmith.render.rendition_config import PRESETS, RenditionConfig
from stemsmith.render.rendition_plan import RenditionPlan
from stemsmith.render.rendition_plan import plan as plan_renditions

from tests import soundfont_maker as maker
from tests.soundfont_maker import SAMPLE_MODES, Program, Zone, tone

Command = Callable[..., subprocess.CompletedProcess[str]]
Row = tuple[int, int, int, int]  # onset and offset in ticks, pitch, velocity

RATE = 8000
VIOLIN, CELLO = 40, 42
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
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
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
    jobs = inventory.plan(midi, inventory.find_midi_files(midi, None), 1200.0)
    scanned = [found for job in jobs for found in inventory.run(job)]
    config = RenditionConfig(RenderConfig(band=None), **factors)
    return plan_renditions(scanned, midi, config, bank_from_soundfonts(soundfonts))


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


# ---------------------------------------------------------------------------------------------
# Timbres


def test_timbres_of_two_soundfonts(duo: Path, fonts, tmp_path: Path, here: Command) -> None:
    options = [*QUICK, "--soundfont", fonts[0], "--soundfont", fonts[1]]
    done = here("render", duo, tmp_path / "c", *options, "--renditions", "all", "--timbres", 2)
    assert done.returncode == 0, done.stderr
    _, stems, renditions = read(tmp_path / "c")
    assert (len(stems), len(renditions)) == (4, 4)
    for part, number in (("S00", VIOLIN), ("S01", CELLO)):
        own = {s.patch: audio_of(tmp_path / "c", s) for s in stems.values() if s.stem == part}
        assert [name[:15] for name in sorted(own)] == [f"{f}.sf2:000-0{number}" for f in
                                                       ("one", "two")]  # fmt: skip
        sine, square = (own[name] for name in sorted(own))
        assert crest(sine) > crest(square) + 0.15
    pairs = [tuple(stems[s.stem_id].patch[:3] for s in r.sources) for r in renditions]
    assert sorted(pairs) == [("one", "one"), ("one", "two"), ("two", "one"), ("two", "two")]


def crest(audio: npt.NDArray[np.float64]) -> float:
    """Return peak over RMS of the beginning: 1.41 of a sine, near 1 of a square wave."""
    start = audio[400:1500]
    return float(np.abs(start).max() / np.sqrt(np.mean(start**2)))


def test_too_many_timbres_asked_for(duo: Path, fonts, tmp_path: Path, here: Command) -> None:
    options = [*QUICK, "--soundfont", fonts[0], "--soundfont", fonts[1], "--renditions", 1]
    done = here("render", duo, tmp_path / "c", *options, "--timbres", 3)
    assert_one_line_error(done, 2, "duo.mid: S00", "Violin", "2 timbres", "--timbres 2")
    assert not (tmp_path / "c").exists()


def test_an_instrument_that_no_soundfont_has(tmp_path: Path, fonts, here: Command) -> None:
    write_score(tmp_path / "midi" / "viola.mid", [(VIOLIN, 0), (41, 1)])
    done = here("render", tmp_path / "midi", tmp_path / "c", *QUICK, "--soundfont", fonts[0],
                "--renditions", 1)  # fmt: skip
    if done.returncode == 0:  # the class of the viola has no patch: the part is left out
        assert {s.program for s in read(tmp_path / "c").stems.values()} == {VIOLIN}
    else:
        assert_one_line_error(done, 2, "viola.mid: S01", "Viola", "0 timbres")
        assert "--timbres 0" not in done.stderr


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
    assert (done.returncode, done.stderr) == (0, "")
    stems = by_name(tmp_path / "c")
    assert {s.dynamic_changes for s in stems.values()} == {"timbre"}
    for name, stem in stems.items():
        expected = 1.41 if name[3] == "p" else 1.0
        assert crest(audio_of(tmp_path / "c", stem)) == pytest.approx(expected, abs=0.2)


def test_one_layer_changes_the_level_and_is_warned_of(
    base: Path, duo: Path, fonts, tmp_path: Path, here: Command
) -> None:
    done = here("render", duo, tmp_path / "c", *QUICK, "--soundfont", fonts[0], "--renditions", 1,
                "--dynamics", "p,f")  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("warning: dynamics change only the level, not the timbre")
    assert done.stderr.count("\n") == 1
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


def test_the_headroom_that_is_needed_is_named(duo: Path, tmp_path: Path, here: Command) -> None:
    font = write_font(tmp_path / "loud.sf2", level=1.0)
    command = ("render", duo, tmp_path / "c", *QUICK, "--soundfont", font, "--renditions", 1,
               "--velocities", "x=127", "--dynamics", "x")  # fmt: skip
    done = here(*command, "--headroom", 0)
    assert done.returncode in (0, 2)
    loudest_dbfs = None
    if done.returncode == 0:  # the synthesiser's full scale leaves room: no stem can clip
        loudest_dbfs = max(s.peak_dbfs or -99 for s in read(tmp_path / "c").stems.values())
        assert loudest_dbfs < 0
