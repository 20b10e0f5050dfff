"""Which notes a preset plays, measured on soundfonts that are made for it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfont_maker as maker
from hypothesis import given, settings
from hypothesis import strategies as st
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests.jobs import QUIET
from stemsmith.manifests.records import Part
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound import measurement
from stemsmith.render.sound.compass import Compass
from stemsmith.render.sound.known_fonts import KNOWN, find_fonts
from stemsmith.render.sound.measured_bank import with_compasses
from stemsmith.render.sound.measurement import measure_soundfont
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.patches import bank_from_soundfonts, bank_from_yaml
from stemsmith.render.sound.sf2 import default_soundfont, read_soundfont
from stemsmith.render.sound.synth import Preset, Synth
from stemsmith.render.sound.velocity_layers import velocity_layers

COARSE, FINE = 51, 52  # generators: tuning in semitones and in cents
IN_TUNE = 4  # cents by which the tone of 441 Hz is sharp on key 69
LOOPED = {SAMPLE_MODES: 1}


def write(path: Path, *presets: list[Zone], programs: list[Program] | None = None) -> Path:
    """Write a soundfont of presets that play a sine, one instrument each; in bank 0 from 0 on."""
    programs = programs or [Program([Zone(k)], 0, k) for k in range(len(presets))]
    return maker.write_sf2(path, [tone()], presets, programs)


def zone(
    low: int = 0, high: int = 127, velocities: tuple[int, int] | None = None, **tuning: int
) -> Zone:
    """Return a looped zone, tuned off by `cents`; the tone itself is put in tune."""
    semitones, cents = divmod(tuning.get("cents", 0) - IN_TUNE, 100)
    return Zone(0, (low, high), velocities, {**LOOPED, COARSE: semitones, FINE: cents})


def compasses(*paths: Path) -> dict[tuple[str, int, int], Compass]:
    bank = with_compasses(bank_from_soundfonts(paths))
    found = {}
    for patch in bank.patches:
        assert patch.preset is not None
        assert patch.compass is not None
        found[Path(patch.preset.soundfont).name, *patch.preset[1:]] = patch.compass
    return found


def played(compass: Compass, velocity: int = 100) -> list[int]:
    keys = np.arange(128)
    return np.flatnonzero(compass.plays(keys, np.full(128, velocity))).tolist()


def test_a_gap_between_zones_is_not_played(tmp_path: Path) -> None:
    path = write(tmp_path / "gap.sf2", [zone(40, 63), zone(65, 90)])
    (compass,) = compasses(path).values()
    assert played(compass) == [*range(40, 64), *range(65, 91)]
    levels = compass.notes_db([63, 64, 65], [100, 100, 100])
    assert np.isneginf(levels[1])
    assert np.isfinite(levels[[0, 2]]).all()


def test_a_detuned_zone_is_out_of_tune_from_30_cents_on(tmp_path: Path) -> None:
    zones = [zone(36, 59), zone(60, 65, cents=25), zone(66, 71, cents=40), zone(72, 96)]
    (compass,) = compasses(write(tmp_path / "detuned.sf2", zones)).values()
    assert played(compass) == [*range(36, 66), *range(72, 97)]
    sounding = compass.sounding_pitch([60, 66, 71, 80], [100] * 4)
    assert sounding == pytest.approx([60, 66.4, 71.4, 80], abs=0.03)


def test_a_zone_an_octave_off_is_wrong(tmp_path: Path) -> None:
    (compass,) = compasses(
        write(tmp_path / "octave.sf2", [zone(36, 63), zone(64, 70, cents=-1200), zone(71, 96)])
    ).values()
    assert played(compass) == [*range(36, 64), *range(71, 97)]
    assert compass.sounding_pitch([66], [100]) == pytest.approx([54], abs=0.05)


def test_an_octave_is_right_where_another_preset_of_the_class_has_it(tmp_path: Path) -> None:
    """Two electric pianos of which one is an octave low would vouch for each other."""
    low, usual = [zone(cents=-1200)], [zone()]
    alone = write(tmp_path / "a.sf2", low, usual,
                  programs=[Program([Zone(0)], 0, 4), Program([Zone(1)], 0, 5)])  # fmt: skip
    found = compasses(alone)
    assert 60 not in played(found["a.sf2", 0, 4])
    assert 60 in played(found["a.sf2", 0, 5])
    both = write(tmp_path / "b.sf2", low, low,
                 programs=[Program([Zone(0)], 0, 4), Program([Zone(1)], 0, 5)])  # fmt: skip
    found = compasses(both)
    assert 60 in played(found["b.sf2", 0, 4])
    other_class = write(tmp_path / "c.sf2", low, low,
                        programs=[Program([Zone(0)], 0, 4), Program([Zone(1)], 0, 40)])  # fmt: skip
    assert 60 not in played(compasses(other_class)["c.sf2", 0, 4])


@pytest.mark.parametrize(
    ("program", "octave"), [(16, -1), (19, -1), (31, 2), (47, -1), (86, -2), (9, 1)]
)
def test_instruments_that_sound_at_another_octave_are_right(
    tmp_path: Path, program: int, octave: int
) -> None:
    path = write(tmp_path / "own.sf2", [zone(cents=1200 * octave)],
                 programs=[Program([Zone(0)], 0, program)])  # fmt: skip
    (compass,) = compasses(path).values()
    assert {48, 60, 72} <= set(played(compass))


def test_a_preset_that_is_nine_semitones_flat_plays_nothing_in_tune(tmp_path: Path) -> None:
    path = write(tmp_path / "whistle.sf2", [zone(0, 78, cents=-875)],
                 programs=[Program([Zone(0)], 0, 78)])  # fmt: skip
    (compass,) = compasses(path).values()
    assert not set(range(28, 97)) & set(played(compass))
    assert compass.sounding_pitch([72], [100]) == pytest.approx([63.25], abs=0.03)


def test_noise_and_drums_are_judged_by_their_sound_alone(tmp_path: Path) -> None:
    noise = 0.3 * np.random.default_rng(1).standard_normal(20000).clip(-3, 3)
    samples = [maker.Sample(noise, (0, 19000)), tone()]
    instruments = [[Zone(0, (40, 80), None, LOOPED)], [zone(35, 60, cents=50)]]
    instruments[1] = [Zone(1, z.keys, None, z.generators) for z in instruments[1]]
    programs = [Program([Zone(0)], 0, 0), Program([Zone(1)], 128, 0, "kit")]
    path = maker.write_sf2(tmp_path / "noise.sf2", samples, instruments, programs)
    found = compasses(path)
    assert played(found["noise.sf2", 0, 0]) == list(range(40, 81))
    assert played(found["noise.sf2", 128, 0]) == list(range(35, 61))


def test_a_gap_in_the_velocities_is_not_played(tmp_path: Path) -> None:
    path = write(tmp_path / "soft.sf2", [zone(velocities=(0, 40)), zone(velocities=(71, 127))])
    (compass,) = compasses(path).values()
    velocities = np.arange(1, 128)
    is_played = compass.plays(np.full(127, 60), velocities)
    assert velocities[~is_played].tolist() == list(range(41, 71))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 127), st.integers(0, 127), st.integers(1, 127), st.integers(1, 127)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_cells_are_where_voices_start(
    tmp_path_factory: pytest.TempPathFactory, ranges: list[tuple[int, int, int, int]]
) -> None:
    zones = [
        Zone(0, (min(a, b), max(a, b)), (min(c, d), max(c, d)), LOOPED) for a, b, c, d in ranges
    ]
    path = write(tmp_path_factory.getbasetemp() / "cells.sf2", zones)
    covered = np.zeros((128, 128), int)
    for cell in velocity_layers(path)[0, 0].cells():
        covered[cell.keys[0] : cell.keys[1] + 1, cell.velocities[0] : cell.velocities[1] + 1] += 1
    expected = np.zeros((128, 128), bool)
    for z in zones:
        assert z.keys is not None
        assert z.velocities is not None
        expected[z.keys[0] : z.keys[1] + 1, z.velocities[0] : z.velocities[1] + 1] = True
    assert covered.max() == 1
    assert np.array_equal(covered == 1, expected)


def test_levels_are_those_of_a_rendering(tmp_path: Path) -> None:
    """FluidSynth's velocity curve included; a second of a looped sine is as loud as its start."""
    path = write(tmp_path / "level.sf2", [zone()])
    (compass,) = compasses(path).values()
    for key, velocity in ((60, 100), (60, 64), (72, 20), (48, 127)):
        out = np.empty(22050, np.float32)
        event = [Event(0, bytes((0x90, key, velocity)))]
        Synth(44100, (str(path),)).render(
            event, np.zeros(1, np.int64), Preset(str(path), 0, 0), out
        )
        expected = 20 * math.log10(float(np.abs(out).max()))
        assert compass.notes_db([key], [velocity])[0] == pytest.approx(expected, abs=0.3)


def test_a_rendering_in_stereo_adds_up_to_the_mono_one(tmp_path: Path) -> None:
    preset = Preset(str(default_soundfont()), 0, 0)
    synth = Synth(22050, (preset.soundfont,))
    events = [Event(0, bytes((0x90, 60, 100))), Event(0, bytes((0xB0, 10, 20)))]
    frames = np.array([0, 6400])
    mono, stereo = np.empty(12800, np.float32), np.empty((2, 12800), np.float32)
    assert synth.render(events, frames, preset, mono) == synth.render(
        events, frames, preset, stereo
    )
    assert np.abs(stereo.mean(axis=0) - mono).max() < 1e-6
    assert np.abs(stereo[0] - stereo[1]).max() > 1e-3


# The record.


def test_a_soundfont_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    path = write(tmp_path / "once.sf2", [zone(40, 80)])
    before = set(own_cache.glob("soundfonts/*"))  # some of processes that tests have killed
    first = measure_soundfont(read_soundfont(path))
    (record,) = own_cache.glob(f"soundfonts/{read_soundfont(path).sha256}*")
    written = record.read_bytes()
    measurement._KNOWN.clear()
    with monkeypatch.context() as patch:
        patch.setattr(measurement, "_listen", lambda *_: pytest.fail("measured again"))
        again = measure_soundfont(read_soundfont(path))
    assert np.array_equal(again[0, 0].level_db, first[0, 0].level_db)
    assert np.array_equal(again[0, 0].cents, first[0, 0].cents, equal_nan=True)
    # A damaged record is made again, byte for byte.
    record.write_bytes(written[:-100])
    measurement._KNOWN.clear()
    measure_soundfont(read_soundfont(path))
    assert record.read_bytes() == written
    assert set(record.parent.iterdir()) == {*before, record}


def test_without_a_folder_for_the_cache_it_is_measured_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / "file" / "cache"))
    path = write(tmp_path / "uncached.sf2", [zone(40, 80)])
    (compass,) = compasses(path).values()
    assert played(compass) == list(range(40, 81))


def test_attack_release_and_width_are_measured(tmp_path: Path) -> None:
    """A release of 2^(1200/1200) = 2 s falls by 100 dB, so that 60 dB take 1.2 s."""
    pan, release = 17, 38
    slow = Zone(0, None, None, {**LOOPED, release: 1200})
    sides = [Zone(0, None, None, {**LOOPED, pan: side}) for side in (-500, 500)]
    path = write(tmp_path / "slow.sf2", [slow], sides)
    found = measure_soundfont(read_soundfont(path))
    assert found[0, 0].release_s == pytest.approx(1.2, abs=0.1)
    assert found[0, 0].attack_s < 0.01
    assert found[0, 0].correlation == pytest.approx(1, abs=1e-3)
    assert found[0, 1].correlation == pytest.approx(1, abs=1e-3)  # the same tone on both sides


def test_the_default_soundfont_has_the_faults_that_are_known() -> None:
    found = compasses(default_soundfont())
    font = default_soundfont().name
    whistle, alto = found[font, 0, 78], found[font, 0, 65]
    assert not set(range(28, 97)) & set(played(whistle))
    assert np.isneginf(whistle.notes_db(np.arange(79, 102), np.full(23, 100))).all()
    assert set(range(36, 97)) - set(played(alto)) == {64}
    for number in (0, 16, 19, 24, 33, 40, 47, 48, 73, 86):  # pianos, organs, timpani and others
        assert set(range(40, 85)) <= set(played(found[font, 0, number])), number
    assert played(found[font, 128, 0]) == list(range(27, 88))


def test_scan_shows_what_is_heard(tmp_path: Path, here) -> None:
    path = write(tmp_path / "shown.sf2", [zone(40, 63), zone(65, 80, cents=60)])
    done = here("scan", "--soundfonts", "--soundfont", path, "--json")
    assert done.returncode == 0, done.stderr
    (preset,) = json.loads(done.stdout)["presets"]
    (layer,) = preset["layers"]
    assert layer["velocity"] == 1
    assert layer["keys"] == [[40, 63], [65, 80]]
    assert set(layer["out_of_tune"]) == {str(key) for key in range(65, 81)}
    assert layer["level_db"][64] is None
    assert len(layer["level_db"]) == len(layer["cents"]) == 128
    assert layer["cents"][60] == pytest.approx(0, abs=3)
    assert preset["stereo_correlation"] == 1


def test_a_preset_that_waits_for_a_controller_is_not_drawn(tmp_path: Path) -> None:
    """With the breath controller at 0, its default, those of MuseScore_General are 40 dB softer."""
    loud, faint = tone(level=0.5), tone(level=0.002)
    zones = [[Zone(k, generators=LOOPED)] for k in range(2)]
    programs = [Program([Zone(0)], 0, 40, "Violin"), Program([Zone(1)], 17, 40, "Violin Expr.")]
    path = maker.write_sf2(tmp_path / "f.sf2", [loud, faint], zones, programs)
    bank = with_compasses(bank_from_soundfonts([path]))
    drawn = {
        patch.name
        for k in range(40)
        if (patch := bank.patch_for(violin(17), PatchChoice.CLASS, 0, f"song {k}"))
    }
    assert drawn == {"f.sf2:000-040 Violin"}
    own = bank.patch_for(violin(17), PatchChoice.PROGRAM, 0, "song")
    assert own is not None
    assert own.name == "f.sf2:000-040 Violin"
    assert [patch.name for patch in bank.timbres(violin(17))] == ["f.sf2:000-040 Violin"]


def test_a_faint_preset_that_somebody_chose_is_drawn_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faint = [[Zone(0, generators=LOOPED)]]
    programs = [Program([Zone(0)], 17, 40, "Violin Expr.")]
    maker.write_sf2(tmp_path / "f.sf2", [tone(level=0.002)], faint, programs)
    (tmp_path / "bank.yaml").write_text("Violin:\n  - {soundfont: f.sf2, bank: 17, preset: 40}\n")
    told: list[str] = []

    monkeypatch.setattr(type(QUIET), "warn", lambda _, text: told.append(text))
    bank = with_compasses(bank_from_yaml(tmp_path / "bank.yaml"))
    drawn = bank.patch_for(violin(), PatchChoice.CLASS, 0, "song")
    assert drawn is not None
    assert told == [
        "f.sf2:017-040 Violin Expr.: makes next to no sound; it may wait for a controller that "
        "scores do not send, such as the breath controller (CC2)"
    ]


def test_a_kit_without_the_usual_drums_is_not_drawn(tmp_path: Path) -> None:
    whole, few = [zone()], [zone(34, 35), zone(82, 87)]
    programs = [Program([Zone(0)], 128, 0, "Kit"), Program([Zone(1)], 128, 55, "Metronome")]
    path = write(tmp_path / "kits.sf2", whole, few, programs=programs)
    bank = with_compasses(bank_from_soundfonts([path]))
    drums = Part(0, 9, 128, 0, 55, 1, "")
    # What both would play.
    strikes = np.array([35, 100, 10], np.uint8)
    drawn = {
        patch.name
        for k in range(40)
        if (patch := bank.patch_for(drums, PatchChoice.CLASS, 0, f"song {k}", strikes))
    }
    assert drawn == {"kits.sf2:128-000 Kit"}
    own = bank.patch_for(drums, PatchChoice.PROGRAM, 0, "song")  # it is what the score asks for
    assert own is not None
    assert own.name == "kits.sf2:128-055 Metronome"
    alone = write(tmp_path / "one.sf2", few, programs=[Program([Zone(0)], 128, 55, "Metronome")])
    bank = with_compasses(bank_from_soundfonts([alone]))
    assert bank.patch_for(drums, PatchChoice.CLASS, 0, "song") is not None  # there is no other


def test_a_kit_in_a_melodic_bank_has_no_pitch(tmp_path: Path) -> None:
    """Such as the kits of AVL, which lie in bank 0, if somebody puts them among the drums."""
    write(tmp_path / "kit.sf2", [zone(36, 60, cents=300), zone(61, 90, cents=-250)])
    (tmp_path / "bank.yaml").write_text("Drums:\n  - {soundfont: kit.sf2, preset: 0}\n")
    (patch,) = with_compasses(bank_from_yaml(tmp_path / "bank.yaml")).patches
    assert patch.n_lost(np.array([36, 100, 1, 70, 100, 1], np.uint8)) == 0
    sounding = patch.sounding_pitch([36, 70], [100, 100])
    assert sounding is not None
    assert sounding.tolist() == [36, 70]


def test_a_preset_without_a_release_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of the default font have undefined values in them."""
    soundfont = read_soundfont(default_soundfont())
    first = measure_soundfont(soundfont)
    assert any(np.isnan(preset.release_s) for preset in first.values())
    measurement._KNOWN.clear()
    monkeypatch.setattr(measurement, "_listen", lambda *_: pytest.fail("measured again"))
    assert measure_soundfont(soundfont).keys() == first.keys()


def violin(bank: int = 0) -> Part:
    return Part(0, 0, 40, bank, 0, 1, "")


@pytest.mark.slow
def test_no_odd_preset_of_musescore_general_is_drawn() -> None:
    wanted = [font for font in KNOWN if font.file == "MuseScore_General_Full.sf3"]
    found = find_fonts(wanted)
    if not found:
        pytest.skip("MuseScore_General_Full.sf3 is not installed")
    bank = with_compasses(bank_from_soundfonts(list(found.values())))
    drawn = {patch.name for patches in bank._drawn.values() for patch in patches}
    left_out = [patch.name for patch in bank.patches if patch.name not in drawn]
    n_faint = sum(name.endswith("Expr.") for name in left_out)
    kits = {name.rpartition("128-")[2][:3] for name in left_out if "128-" in name}
    assert n_faint == 92
    assert kits == {"055", "056", "057", "058", "059", "095", "096"}  # metronome and marching
    assert len(left_out) == n_faint + len(kits)


def test_octaves_by_convention_are_labelled_as_they_sound() -> None:
    """A 16-foot stop is an octave below its keys, which is no defect, and a piano is at them."""
    found = compasses(default_soundfont())
    organ, piano = (found["TimGM6mb.sf2", 0, number] for number in (16, 0))
    keys, velocities = [48, 55, 60, 67], [100] * 4
    assert organ.plays(keys, velocities).all()
    assert organ.sounding_pitch(keys, velocities).tolist() == [key - 12 for key in keys]
    assert piano.sounding_pitch(keys, velocities).tolist() == keys
    harmonics = found["TimGM6mb.sf2", 0, 31]
    assert harmonics.sounding_pitch([48, 60], [100] * 2).tolist() == [72, 84]
