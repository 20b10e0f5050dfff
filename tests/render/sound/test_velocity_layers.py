"""Velocity layers: what the zones say, what FluidSynth plays, damaged files, the report."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfont_maker as maker
from hypothesis import given, settings
from hypothesis import strategies as st
from soundfont_maker import ATTENUATION, SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests.errors import UsageError
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, Synth, check_soundfonts
from stemsmith.render.sound.velocity_layers import Layers, velocity_layers

FILTER_FC = 8
VELOCITY_RANGE = 44
LOOPED = {SAMPLE_MODES: 1}
KEY = 69


def layers_of(
    path: Path, *instruments: Sequence[Zone], program: Sequence[Zone] = (Zone(0),)
) -> Layers:
    """Write a preset of two samples, read it back, and let FluidSynth load it."""
    maker.write_sf2(path, [tone("sine"), tone("square")], instruments, [Program(program)])
    check_soundfonts([str(path)])
    return velocity_layers(path)[0, 0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made.sf2"


# What the zones say.


def test_two_layers_are_found_and_differ(path: Path) -> None:
    layers = velocity_layers(maker.write_two_layers(path))[0, 0]
    for key in (0, 21, 60, 127):
        assert layers.boundaries(key) == (64,)
        assert layers.n_layers(key) == 2
        assert layers.differ(key, 63, 64)
        assert layers.differ(key, 127, 1)
        assert not layers.differ(key, 1, 63)
        assert not layers.differ(key, 64, 127)


def test_presets_are_told_apart_by_bank_and_number(path: Path) -> None:
    layers = velocity_layers(maker.write_two_banks(path))
    assert sorted(layers) == [(0, 40), (8, 40)]
    assert [found.n_layers(KEY) for found in layers.values()] == [1, 1]


def test_the_first_of_two_presets_of_the_same_number_counts(path: Path) -> None:
    split = [Zone(0, velocities=(0, 63)), Zone(1, velocities=(64, 127))]
    programs = [Program([Zone(1)]), Program([Zone(0)])]
    maker.write_sf2(path, [tone(), tone("square")], [split, [Zone(0)]], programs)
    assert velocity_layers(path)[0, 0].n_layers(KEY) == 1


def test_ranges_of_preset_and_instrument_are_intersected(path: Path) -> None:
    layers = layers_of(
        path,
        [Zone(0, keys=(50, 80), velocities=(0, 99)), Zone(1, velocities=(100, 127))],
        program=[Zone(0, keys=(60, 90), velocities=(20, 110))],
    )
    assert layers.boundaries(70) == (20, 100, 111)  # silent, sine, square, silent
    assert layers.n_layers(70) == 2
    assert layers.boundaries(85) == (100, 111)
    assert layers.n_layers(85) == 1
    assert layers.boundaries(55) == ()
    assert layers.n_layers(55) == 0
    assert layers.differ(70, 10, 50)  # silence and sound
    assert not layers.differ(70, 10, 120)


def test_zones_of_the_preset_make_layers_too(path: Path) -> None:
    soft, loud = Zone(0, velocities=(0, 79)), Zone(1, velocities=(80, 127))
    assert layers_of(path, [Zone(0)], [Zone(1)], program=[soft, loud]).boundaries(KEY) == (80,)
    # Two instruments of the same content are the same sound.
    assert layers_of(path, [Zone(0)], [Zone(0)], program=[soft, loud]).boundaries(KEY) == ()


def test_zones_that_differ_in_nothing_but_velocity_are_one_layer(path: Path) -> None:
    zones = [Zone(0, velocities=(0, 63)), Zone(0, velocities=(64, 127))]
    layers = layers_of(path, zones)
    assert layers.boundaries(KEY) == ()
    assert layers.n_layers(KEY) == 1


@pytest.mark.parametrize(
    ("soft", "loud", "is_other"),
    [
        ({ATTENUATION: 100}, {}, False),
        ({FILTER_FC: 8000}, {}, True),
        ({FILTER_FC: 13500}, {}, False),  # the default
        ({FILTER_FC: 8000}, {FILTER_FC: 8000}, False),
    ],
)
def test_level_is_no_layer_and_every_other_generator_is(
    path: Path, soft: dict[int, int], loud: dict[int, int], is_other: bool
) -> None:
    zones = [
        Zone(0, velocities=(0, 63), generators=soft),
        Zone(0, velocities=(64, 127), generators=loud),
    ]
    assert layers_of(path, zones).differ(KEY, 20, 100) == is_other


def test_a_balance_between_voices_is_more_than_level(path: Path) -> None:
    def voices(velocities: tuple[int, int], sine: int, square: int) -> list[Zone]:
        return [
            Zone(0, velocities=velocities, generators={ATTENUATION: sine}),
            Zone(1, velocities=velocities, generators={ATTENUATION: square}),
        ]

    soft = voices((0, 63), 50, 100)
    assert not layers_of(path, soft + voices((64, 127), 0, 50)).differ(KEY, 20, 100)
    assert layers_of(path, soft + voices((64, 127), 100, 50)).differ(KEY, 20, 100)


def test_generators_add_up_over_both_levels_and_their_global_zones(path: Path) -> None:
    def fc(plays: int | None, cents: int, velocities: tuple[int, int] | None = None) -> Zone:
        return Zone(plays, velocities=velocities, generators={FILTER_FC: cents})

    soft, loud = (0, 63), (64, 127)
    # 9000 by the instrument's own zone; 9000 by its global zone.
    same = [fc(None, 9000), fc(0, 9000, soft), Zone(0, velocities=loud)]
    assert layers_of(path, same).boundaries(KEY) == ()
    # 9000 of the zone in place of 8000 of the global one.
    assert layers_of(path, [fc(None, 8000), *same[1:]]).boundaries(KEY) == (64,)
    # 9000 + 1000 and 8000 + 2000.
    program = [fc(None, 2000), fc(0, 1000), Zone(1)]
    layers = layers_of(path, [fc(0, 9000, soft)], [fc(0, 8000, loud)], program=program)
    assert layers.boundaries(KEY) == ()


def test_a_zone_that_plays_nothing_is_ignored_after_the_first(path: Path) -> None:
    zones = [Zone(0), Zone(None, velocities=(0, 63), generators={FILTER_FC: 8000})]
    maker.write_sf2(path, [tone()], [zones], [Program([Zone(0)])])
    assert velocity_layers(path)[0, 0].n_layers(KEY) == 1


def test_a_range_out_of_its_place_is_ignored(path: Path) -> None:
    late = {FILTER_FC: 8000, VELOCITY_RANGE: 63 << 8}
    layers = layers_of(path, [Zone(0, generators=late)])
    assert layers.boundaries(KEY) == ()
    assert layers.n_layers(KEY) == 1


# What FluidSynth plays.


def play(
    synth: Synth, preset: Preset, velocity: int, key: int = KEY, n_samples: int = 22050
) -> npt.NDArray[np.float64]:
    out = np.empty(n_samples, np.float32)
    synth.render([Event(0, bytes((0x90, key, velocity)))], np.zeros(1, np.int64), preset, out)
    return out.astype(np.float64)


def differ_by_more_than_level(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    """Return whether no gain makes one of the other, to a thousandth of the peak."""
    if not one.any() or not other.any():
        return bool(one.any() or other.any())
    gain = float(one @ other / (one @ one))
    return float(np.abs(other - gain * one).max() / np.abs(other).max()) > 1e-3


@pytest.mark.parametrize("seed", range(12))
def test_rendering_agrees_on_random_zones(path: Path, seed: int) -> None:
    """Three samples, each split at a velocity and a key of its own, under split presets."""
    rng = np.random.default_rng(seed)
    samples = [tone("sine"), tone("square"), replace(tone("sine"), root_key=57)]
    instruments = []
    for k in range(len(samples)):
        split, edge = int(rng.integers(20, 110)), int(rng.integers(0, KEY + 20))
        zones = [
            Zone(
                k,
                (edge, 127) if rng.random() < 0.3 else None,
                velocities,
                {
                    SAMPLE_MODES: 1,
                    ATTENUATION: int(rng.choice([0, 100])),
                    FILTER_FC: int(rng.choice([9000, 13500])),
                },
            )
            for velocities in ((0, split), (split + 1, 127))
        ]
        shared = Zone(None, velocities=(int(rng.integers(1, 127)), 127), generators={})
        instruments.append([shared, *zones] if rng.random() < 0.5 else zones)
    program = []
    for k in range(len(instruments)):
        low = int(rng.integers(0, 60)) if rng.random() < 0.5 else 0
        program.append(Zone(k, None, (low, int(rng.integers(80, 128)))))
    maker.write_sf2(path, samples, instruments, [Program(program)])
    layers = velocity_layers(path)[0, 0]
    synth, preset = Synth(22050, (str(path),)), Preset(str(path), 0, 0)
    edges = {*layers.boundaries(KEY), 1, 40, 90, 127}
    velocities = sorted(edges | {edge - 1 for edge in edges if edge > 1})
    played = [play(synth, preset, velocity, n_samples=8000) for velocity in velocities]
    for a, one in zip(velocities, played, strict=True):
        for b, other in zip(velocities, played, strict=True):
            assert layers.differ(KEY, a, b) == differ_by_more_than_level(one, other), (a, b)


@pytest.mark.parametrize("level", ["instrument", "preset"])
@pytest.mark.parametrize(
    ("zones", "sounding"),
    [
        ([Zone(None, velocities=(64, 127)), Zone(0)], {(60, 64), (70, 64), (60, 127), (70, 127)}),
        ([Zone(None, velocities=(64, 127)), Zone(0, velocities=(0, 63))], {(60, 1), (70, 1)}),
        ([Zone(None, velocities=(64, 127)), Zone(0, keys=(65, 90))], {(70, 64), (70, 127)}),
        ([Zone(None, keys=(65, 90)), Zone(0, velocities=(64, 127))], {(70, 64), (70, 127)}),
        ([Zone(0, keys=(65, 90)), Zone(None, velocities=(64, 127))],
         {(70, 1), (70, 64), (70, 127)}),
    ],
)  # fmt: skip
def test_ranges_of_a_global_zone_hold_where_a_zone_has_none(
    path: Path, level: str, zones: list[Zone], sounding: set[tuple[int, int]]
) -> None:
    plain = [Zone(0)]
    instrument, program = (zones, plain) if level == "instrument" else (plain, zones)
    layers = layers_of(path, instrument, program=program)
    synth, preset = Synth(22050, (str(path),)), Preset(str(path), 0, 0)
    notes = [(key, velocity) for key in (60, 70) for velocity in (1, 64, 127)]
    assert {n for n in notes if play(synth, preset, n[1], n[0], 2048).any()} == sounding
    heard = {n for n in notes if layers.differ(*n, 200)}  # nothing has velocity 200
    assert heard == sounding


@pytest.fixture(scope="module")
def timgm() -> tuple[dict[tuple[int, int], Layers], Synth, str]:
    file = default_soundfont()
    return velocity_layers(file), Synth(22050, (str(file),)), str(file)


@pytest.mark.parametrize("number", [40, 71, 66, 70], ids=["violin", "clarinet", "tenor", "bassoon"])
def test_winds_and_strings_of_timgm6mb_have_one_layer(
    timgm: tuple[dict[tuple[int, int], Layers], Synth, str], number: int
) -> None:
    layers, synth, file = timgm
    for key in range(21, 109):
        assert layers[0, number].n_layers(key) == 1
        assert not layers[0, number].differ(key, 40, 120)
    for key in (55, 67, 79):
        soft, loud = (play(synth, Preset(file, 0, number), v, key) for v in (40, 120))
        spectra = [np.abs(np.fft.rfft(audio)) for audio in (soft, loud)]
        normalised = [spectrum / np.linalg.norm(spectrum) for spectrum in spectra]
        assert np.abs(normalised[0] - normalised[1]).max() < 1e-4
        assert np.abs(loud).max() > 2 * np.abs(soft).max()


def test_no_preset_of_timgm6mb_has_velocity_layers(
    timgm: tuple[dict[tuple[int, int], Layers], Synth, str],
) -> None:
    """The file has not one velocity range, and rendering hears none."""
    layers, synth, file = timgm
    assert len(layers) == 136
    for (bank, number), found in layers.items():
        assert not any(found.boundaries(key) for key in range(128)), (bank, number)
        soft, loud = (play(synth, Preset(file, bank, number), v, 60, 4410) for v in (40, 120))
        assert not differ_by_more_than_level(soft, loud), (bank, number)


# Damaged files.


def replaced(data: bytes, chunk: bytes, offset: int, value: bytes) -> bytes:
    start = data.index(chunk, data.index(b"pdta")) + 8 + offset
    return data[:start] + value + data[start + len(value) :]


WORD = struct.Struct("<H").pack


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda d: d[:-100], "cut off"),
        (lambda d: d.replace(b"pdta", b"pdtb"), "no presets"),
        (lambda d: d.replace(b"ibag", b"xbag"), "no chunk 'ibag'"),
        (lambda d: d.replace(b"igen", b"shdr"), "does not hold whole records"),
        (lambda d: replaced(d, b"phdr", 24, WORD(9)), "'phdr' points at 9 to 1 of 1"),
        (lambda d: replaced(d, b"phdr", 38 + 24, WORD(9)), "'phdr' points at 0 to 9 of 1"),
        (lambda d: replaced(d, b"inst", 22 + 20, WORD(9)), "'inst' points at 0 to 9 of 2"),
        (lambda d: replaced(d, b"pbag", 4, WORD(999)), "'pbag' points at 0 to 999 of 2"),
        (lambda d: replaced(d, b"ibag", 4, WORD(999)), "'ibag' points at 0 to 999 of 7"),
        (lambda d: replaced(d, b"pgen", 2, WORD(1)), "'pgen' names 'inst' 1: there is none"),
        (lambda d: replaced(d, b"igen", 10, WORD(2)), "'igen' names 'shdr' 2: there is none"),
        (lambda d: replaced(d, b"igen", -4, b"\xff\xff\xff\x7f"), "'igen' is cut off"),
        (lambda d: replaced(d, b"pgen", -4, bytes(4)), "chunk"),
        (lambda d: b"RIFF", "not a SoundFont"),
        (lambda d: b"", "not a SoundFont"),
        (lambda d: d[:12], "no presets"),
    ],
)
def test_a_damaged_file_is_a_usage_error(
    path: Path, damage: Callable[[bytes], bytes], text: str
) -> None:
    data = maker.write_two_layers(path).read_bytes()
    path.write_bytes(damage(data))
    with pytest.raises(UsageError) as caught:
        velocity_layers(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value)


def test_a_file_that_is_not_there_is_a_usage_error(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the soundfont"):
        velocity_layers(path)
    with pytest.raises(UsageError, match="cannot read the soundfont"):
        velocity_layers(path.parent)


@given(st.lists(st.tuples(st.integers(0, 599), st.integers(1, 255)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_flipped_bytes_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.sf2"
    data = bytearray(maker.write_two_layers(path).read_bytes())
    for position, mask in flips:
        data[-1 - position] ^= mask  # the hydra is at the end
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        for layers in velocity_layers(path).values():
            layers.boundaries(KEY)


# The report.


def test_scan_reports_soundfonts(tmp_path: Path, here) -> None:
    two = maker.write_two_layers(tmp_path / "two.sf2")
    banks = maker.write_two_banks(tmp_path / "banks.sf2")
    done = here("scan", "--soundfonts", "--soundfont", two, "--soundfont", banks)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].strip() == "two.sf2"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert [row for row in rows if len(row) == 6] == [
        ["0", "0", "preset", "Acoustic Piano", "2", "64"],
        ["0", "40", "sine", "Violin", "1", ""],
        ["8", "40", "square", "Violin", "1", ""],
    ]
    assert [row for row in rows if len(row) == 8 and row[0]] == [
        ["0", "0", "0-127", "", "-15 to -10", "1.00", "1 ms", "12 ms"],
        ["0", "40", "0-127", "", "-17 to -16", "1.00", "1 ms", "12 ms"],
        ["8", "40", "0-127", "", "-15 to -10", "1.00", "1 ms", "12 ms"],
    ]
    assert lines[-1] == "2 soundfonts: 3 presets, 1 of them with velocity layers"


def test_scan_reports_soundfonts_as_json(path: Path, here) -> None:
    split = [Zone(0, keys=(60, 127), velocities=(0, 63)), Zone(1, velocities=(64, 127))]
    maker.write_sf2(path, [tone(), tone()], [split], [Program([Zone(0)], 128, 25, "kit")])
    done = here("scan", "--soundfonts", "--soundfont", path, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    heard = ("attack_s", "release_s", "stereo_correlation", "layers")  # see test_compass
    soft, loud = {name: report["presets"][0].pop(name) for name in heard}["layers"]
    assert (soft["velocity"], soft["keys"]) == (1, [[60, 127]])
    assert (loud["velocity"], loud["keys"]) == (64, [[0, 127]])
    assert report == {
        "n_soundfonts": 1,
        "n_presets": 1,
        "n_with_layers": 1,
        "presets": [
            {
                "soundfont": "made.sf2",
                "bank": 128,
                "number": 25,
                "name": "kit",
                "class": "Drums",
                "n_layers_min": 1,
                "n_layers_max": 2,
                "boundaries": [64],
            }
        ],
    }


def test_scan_reports_the_default_soundfont(here) -> None:
    done = here("scan", "--soundfonts", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 soundfonts: 136 presets, 0 of them with velocity layers\n"


@pytest.mark.parametrize("arguments", [(), ("somewhere", "--soundfonts")])
def test_scan_wants_either_scores_or_soundfonts(arguments: tuple[str, ...], here) -> None:
    done = here("scan", *arguments)
    assert done.returncode == 2
    assert done.stderr == "Error: give either a MIDI_DIR or --soundfonts\n"


def test_scan_names_a_soundfont_that_is_damaged(path: Path, here) -> None:
    path.write_bytes(b"RIFF")
    done = here("scan", "--soundfonts", "--soundfont", path)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert done.stderr.count("\n") == 1


def test_scan_takes_soundfonts_in_place_of_a_folder(tmp_path: Path, here) -> None:
    fonts = [maker.write_two_layers(tmp_path / "a.sf2"), maker.write_two_banks(tmp_path / "b.sf2")]
    told = [here("scan", "--soundfonts", fonts[0], "--soundfont", fonts[1], "--json").stdout]
    told += [here("scan", *fonts, "--soundfonts", "--json").stdout]
    told += [here("scan", "--soundfonts", *fonts, "--json").stdout]
    assert told[0] == told[1] == told[2]
    said = json.loads(told[0])
    assert (said["n_soundfonts"], said["n_presets"]) == (2, 3)


@pytest.mark.parametrize("name", ["missing.sf2", "empty.sf2"])
def test_scan_names_a_soundfont_that_it_cannot_read(name: str, tmp_path: Path, here) -> None:
    (tmp_path / "empty.sf2").write_bytes(b"")
    done = here("scan", "--soundfonts", tmp_path / name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {tmp_path / name}: ")
    assert done.stderr.count("\n") == 1
    done = here("scan", tmp_path, tmp_path)
    assert done.stderr == "Error: give one MIDI_DIR, not 2\n"
