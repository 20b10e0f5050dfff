"""The start of a note: where the voice begins, and when it is there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfont_maker as maker
from soundfont_maker import Program, Zone, tone
from stemsmith.manifests.errors import UsageError
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.attack import attack_s
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, Spans, Synth

RATE = 44100
KEY = 69  # the root key of the samples: one sample of the file a frame


def play(path: Path, frame: int, rate: int = RATE) -> tuple[npt.NDArray[np.float32], Spans]:
    out = np.empty(rate // 2, np.float32)
    event = [Event(0, bytes((0x90, KEY, 127)))]
    preset = Preset(str(path), 0, 0)
    spans = Synth(rate, (str(path),)).render(event, np.array([frame]), preset, out)
    return out, spans


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("n_blocks", [0, 1, 37, 100])
def test_a_voice_runs_from_the_frame_of_its_event(tmp_path: Path, n_blocks: int, rate: int) -> None:
    """Its first sample is zero: FluidSynth raises a voice from zero over its first block."""
    frame = n_blocks * BLOCK
    out, spans = play(maker.write_rectangle(tmp_path / "rectangle.sf2"), frame, rate)
    assert spans[0][0] == frame
    assert np.flatnonzero(out)[0] == frame + 1


def test_a_rectangle_rises_within_one_block(tmp_path: Path) -> None:
    """Amplitude and panning rise linearly at once, so that the level rises with the square."""
    path = maker.write_rectangle(tmp_path / "rectangle.sf2")
    out, _ = play(path, 0)
    rise = (np.arange(BLOCK) / BLOCK) ** 2
    assert np.abs(out[:BLOCK] / out.max() - rise).max() < 0.02
    assert out[BLOCK:].min() == pytest.approx(out.max(), rel=1e-3)
    frames = attack_s(Preset(str(path), 0, 0), KEY, 127, RATE) * RATE
    assert frames == pytest.approx(math.ceil(math.sqrt(0.1) * BLOCK), abs=1)


@pytest.mark.parametrize("ramp", [1000, 4410, 22050])
def test_a_linear_ramp_is_there_at_a_tenth_of_its_length(tmp_path: Path, ramp: int) -> None:
    path = maker.write_rectangle(tmp_path / "ramp.sf2", ramp)
    preset = Preset(str(path), 0, 0)
    assert attack_s(preset, KEY, 100, RATE) * RATE == pytest.approx(ramp / 10, abs=1.5)
    # An octave lower the ramp takes twice as long; at twice the rate, the same time.
    assert attack_s(preset, KEY - 12, 100, RATE) * RATE == pytest.approx(ramp / 5, abs=1.5)
    assert attack_s(preset, KEY, 100, 2 * RATE) * RATE == pytest.approx(ramp / 10, abs=1.5)


def test_velocity_without_layers_does_not_change_the_attack() -> None:
    for number in (0, 40, 66, 70, 71, 73):
        preset = Preset(str(default_soundfont()), 0, number)
        attacks = [attack_s(preset, 60, velocity, RATE) for velocity in (30, 80, 127)]
        assert attacks[0] == attacks[1] == attacks[2]
        assert 0.0005 < attacks[0] < 0.025


def test_presets_of_one_number_in_two_banks_are_both_played(tmp_path: Path) -> None:
    """A square wave is there at once; a sine rises for a while."""
    path = str(maker.write_two_banks(tmp_path / "banks.sf2"))
    sine, square = (attack_s(Preset(path, bank, 40), KEY - 24, 100, RATE) for bank in (0, 8))
    assert square < sine


def test_a_key_that_does_not_sound_has_no_attack(tmp_path: Path) -> None:
    path = tmp_path / "high.sf2"
    maker.write_sf2(path, [tone()], [[Zone(0, keys=(60, 127))]], [Program([Zone(0)])])
    assert math.isnan(attack_s(Preset(str(path), 0, 0), 59, 100, RATE))
    assert attack_s(Preset(str(path), 0, 0), 60, 100, RATE) > 0


def test_what_cannot_be_played_is_a_usage_error(tmp_path: Path) -> None:
    path = maker.write_two_banks(tmp_path / "banks.sf2")
    with pytest.raises(UsageError, match="no preset"):
        attack_s(Preset(str(path), 0, 0), 60, 100, RATE)
    (tmp_path / "bad.sf2").write_bytes(b"RIFF")
    with pytest.raises(UsageError, match="FluidSynth cannot load"):
        attack_s(Preset(str(tmp_path / "bad.sf2"), 0, 0), 60, 100, RATE)
