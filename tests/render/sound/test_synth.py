"""Synthesis: no state leaks, events on the grid, float output that adds up."""

from __future__ import annotations

import io
from collections.abc import Sequence

import mido
import numpy as np
import numpy.typing as npt
import pytest
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound import fluid
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, Synth, on_grid

SAMPLE_RATE = 44100
SOUNDFONT = str(default_soundfont())
PIANO, VIOLIN = Preset(SOUNDFONT, 0, 0), Preset(SOUNDFONT, 0, 40)
N = SAMPLE_RATE * 2


@pytest.fixture(scope="module")
def synth() -> Synth:
    return Synth(SAMPLE_RATE, (SOUNDFONT,))


def play(
    synth: Synth,
    messages: Sequence[tuple[float, Sequence[int]]],
    preset: Preset | None = PIANO,
    n_samples: int = N,
) -> npt.NDArray[np.float32]:
    events = [Event(0, bytes(data)) for _, data in messages]
    frames = on_grid([seconds for seconds, _ in messages], SAMPLE_RATE)
    out = np.full(n_samples, np.nan, np.float32)
    synth.render(events, frames, preset, out)
    assert not np.isnan(out).any()
    return out


NOTE = [(0.1, (0x90, 60, 100)), (0.6, (0x80, 60, 0))]
GS_RESET = (0xF0, 0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41, 0xF7)
XG_ON = (0xF0, 0x43, 0x10, 0x4C, 0x00, 0x00, 0x7E, 0x00, 0xF7)
# MIDI tuning standard: note 60 of the tuning program 0 sounds a fourth higher.
TUNING = (0xF0, 0x7F, 0x7F, 0x08, 0x02, 0x00, 0x01, 60, 65, 0, 0, 0xF7)
DISTURBANCES = {
    "sustain": [(0.0, (0xB0, 64, 127)), *NOTE],
    "bend": [(0.0, (0xE0, 0, 127)), *NOTE],
    "bank select": [(0.0, (0xB0, 0, 8)), (0.0, (0xC0, 5)), *NOTE],
    "RPN coarse tuning": [
        (0.0, (0xB0, 101, 0)),
        (0.0, (0xB0, 100, 2)),
        (0.0, (0xB0, 6, 76)),
        *NOTE,
    ],
    "volume and pan": [(0.0, (0xB0, 7, 10)), (0.0, (0xB0, 10, 0)), *NOTE],
    "sounding voices": [(k / 1000, (0x90, 40 + k, 127)) for k in range(40)],
    "GS reset": [(0.0, GS_RESET), *NOTE],
    "XG mode": [(0.0, XG_ON), *NOTE],
    "tuning dump": [(0.0, TUNING), *NOTE],
    "mono mode": [(0.0, (0xB0, 126, 1)), *NOTE],
    "portamento": [(0.0, (0xB0, 65, 127)), (0.0, (0xB0, 5, 60)), *NOTE],
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("preset", [PIANO, None], ids=["preset", "unsplit"])
def test_a_part_sounds_the_same_after_any_other(
    synth: Synth, disturbance: str, preset: Preset | None
) -> None:
    alone = play(Synth(SAMPLE_RATE, (SOUNDFONT,)), NOTE, preset)
    play(synth, DISTURBANCES[disturbance], VIOLIN if preset else None)
    assert play(synth, NOTE, preset).tobytes() == alone.tobytes()


def test_disturbances_are_heard(synth: Synth) -> None:
    """Otherwise the test above could not fail."""
    plain = play(synth, NOTE)
    for name in ("sustain", "bend", "RPN coarse tuning", "volume and pan"):
        assert not np.array_equal(play(synth, DISTURBANCES[name]), plain), name


def test_a_voice_starts_exactly_at_its_grid_frame(synth: Synth) -> None:
    for seconds in (0.1, 0.25, 0.7313, 1.0):
        frame = int(on_grid(seconds, SAMPLE_RATE))
        audio = play(synth, [(seconds, (0x90, 60, 127))])
        assert frame % BLOCK == 0
        assert abs(frame - seconds * SAMPLE_RATE) <= BLOCK / 2
        assert not audio[:frame].any()
        assert audio[frame : frame + 2 * BLOCK].any()


def test_silence_is_skipped_without_a_difference(synth: Synth) -> None:
    """A note far from the first one is not computed in the pause before it."""
    first = [(0.1, (0x90, 60, 90)), (0.15, (0x80, 60, 0))]
    messages = [*first, (3.0, (0x90, 60, 90)), (3.05, (0x80, 60, 0))]
    out = np.full(SAMPLE_RATE * 5, np.nan, np.float32)
    spans = synth.render(
        [Event(0, bytes(data)) for _, data in messages],
        on_grid([seconds for seconds, _ in messages], SAMPLE_RATE),
        VIOLIN,
        out,
    )
    assert len(spans) == 2
    assert [start for start, _ in spans] == on_grid([0.1, 3.0], SAMPLE_RATE).tolist()
    assert not out[: spans[0][0]].any()
    assert not out[spans[0][1] : spans[1][0]].any()
    assert not out[spans[1][1] :].any()
    alone = play(synth, first, VIOLIN, SAMPLE_RATE * 5)
    assert np.array_equal(out[: spans[0][1]], alone[: spans[0][1]])
    assert not alone[spans[0][1] :].any()


def test_output_is_not_dithered(synth: Synth) -> None:
    """A decaying note ends in exact zeros; 16-bit output of FluidSynth would add noise."""
    audio = play(synth, NOTE, PIANO, SAMPLE_RATE * 12)
    assert not audio[-SAMPLE_RATE:].any()


def test_hard_panned_parts_are_not_lost(synth: Synth) -> None:
    right = play(synth, [(0.0, (0xB0, 10, 127)), *NOTE], VIOLIN)
    left = play(synth, [(0.0, (0xB0, 10, 0)), *NOTE], VIOLIN)
    assert np.abs(right).max() > 0.5 * np.abs(left).max() > 0


def test_events_after_the_end_are_not_played(synth: Synth) -> None:
    assert np.array_equal(play(synth, NOTE, n_samples=64 * 100), play(synth, NOTE)[: 64 * 100])


def quartet(programs: Sequence[int]) -> Score:
    """One part a channel, two seconds, no panning."""
    file = mido.MidiFile(ticks_per_beat=480)
    rng = np.random.default_rng(1)
    for channel, program in enumerate(programs):
        track = mido.MidiTrack([mido.Message("program_change", channel=channel, program=program)])
        for _ in range(16):
            key = int(rng.integers(48, 84))
            track.append(mido.Message("note_on", channel=channel, note=key, velocity=90, time=60))
            track.append(mido.Message("note_off", channel=channel, note=key, time=100))
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return read_score(buffer.getvalue())


def split_and_unsplit(
    synth: Synth, programs: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], Score]:
    """Return the sum of the stems, the rendering of the whole file, and the score."""
    score = quartet(programs)
    out = np.empty(int((score.duration_s + 2) * SAMPLE_RATE), np.float32)

    def render(events: Sequence[Event], preset: Preset | None) -> npt.NDArray[np.float32]:
        frames = on_grid(score.tempo_map.seconds([e.tick for e in events]), SAMPLE_RATE)
        synth.render(events, frames, preset, out)
        return out.copy()

    stems = [
        render(score.events(k), Preset(SOUNDFONT, 0, program)) for k, program in enumerate(programs)
    ]
    assert all(np.abs(stem).max() > 0.01 for stem in stems)
    return np.sum(stems, axis=0, dtype=np.float64), render(score.unsplit_events(), None), score


def test_dry_stems_add_up_to_the_unsplit_rendering(synth: Synth) -> None:
    """The Slakh paper could not mix Flakh from its stems; with float output one can."""
    total, unsplit, _ = split_and_unsplit(synth, (40, 41, 42, 43))
    assert np.abs(unsplit).max() > 0.5
    assert np.abs(unsplit - total).max() < 1e-6


def test_differences_from_the_unsplit_rendering_are_confined_to_onsets(synth: Synth) -> None:
    """FluidSynth starts a voice with the pan of the one that had its place before.

    It glides to the voice's own over one block. Which place a voice gets differs between the
    renderings, so presets with other pans differ there, and nowhere else.
    """
    total, unsplit, score = split_and_unsplit(synth, (73, 71, 66, 70))
    onsets = np.concatenate([score.notes(k).onset_tick for k in range(4)])
    blocks = on_grid(score.tempo_map.seconds(onsets), SAMPLE_RATE) // BLOCK
    different = np.flatnonzero(np.abs(unsplit - total) > 1e-6) // BLOCK
    assert set(different) <= set(blocks)


def test_the_library_comes_from_the_wheel_and_has_a_version() -> None:
    major, minor, _ = (int(n) for n in fluid.version().split("."))
    assert (major, minor) >= (2, 3)
