"""When notes begin and end: note-offs, pedals, mono mode, resets, tunings; FluidSynth as oracle."""

from __future__ import annotations

import ctypes
import io
import itertools
import os
from collections import Counter

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.sound.fluid import fluidsynth
from stemsmith.render.sound.sf2 import default_soundfont

Timed = tuple[int, mido.Message | mido.MetaMessage]
Label = tuple[int, int, int, int]  # onset, release, end of the sound, pitch

GM_ON = mido.Message("sysex", data=bytes.fromhex("7e7f0901"))
GS_ON = mido.Message("sysex", data=bytes.fromhex("411042124000 7f0041"))
XG_ON = mido.Message("sysex", data=bytes.fromhex("43104c00007e00"))


def on(tick: int, pitch: int, channel: int = 0) -> Timed:
    return tick, mido.Message("note_on", note=pitch, velocity=80, channel=channel)


def off(tick: int, pitch: int, channel: int = 0) -> Timed:
    return tick, mido.Message("note_off", note=pitch, velocity=0, channel=channel)


def control(tick: int, number: int, value: int, channel: int = 0) -> Timed:
    return tick, mido.Message("control_change", control=number, value=value, channel=channel)


def change(tick: int, program: int, channel: int = 0) -> Timed:
    return tick, mido.Message("program_change", program=program, channel=channel)


def file_of(*tracks: list[Timed], ppq: int = 480) -> bytes:
    """Write a file; events of a track are in the order of the list within a tick."""
    file = mido.MidiFile(ticks_per_beat=ppq)
    for events in tracks:
        now, track = 0, mido.MidiTrack()
        for tick, message in sorted(events, key=lambda event: event[0]):
            track.append(message.copy(time=tick - now))
            now = tick
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def score_of(*tracks: list[Timed]) -> Score:
    return read_score(file_of(*tracks))


def labels(score: Score, k: int = 0) -> list[Label]:
    onset, offset, pitch, _, end, *_ = score.notes(k)
    return sorted(zip(onset.tolist(), offset.tolist(), end.tolist(), pitch.tolist(), strict=True))


def heard(score: Score, k: int = 0) -> list[tuple[int, int, int]]:
    """Return onset, release and pitch in ticks as pretty_midi reads the part's file."""
    (instrument,) = pretty_midi.PrettyMIDI(io.BytesIO(score.midi(k))).instruments
    return sorted((round(n.start * 960), round(n.end * 960), n.pitch) for n in instrument.notes)


def check_file(score: Score) -> None:
    """Check that readers find the notes of the table, and one note-off for each."""
    for k in range(len(score.parts)):
        silenced = score.notes(k).is_silenced
        notes = [label for label, mute in zip(labels(score, k), silenced, strict=True) if not mute]
        assert heard(score, k) == [(start, stop, pitch) for start, stop, _, pitch in notes]
        data = [e for track in mido.MidiFile(file=io.BytesIO(score.midi(k))).tracks for e in track]
        ons = Counter(e.note for e in data if e.type == "note_on" and e.velocity)
        offs = Counter(
            e.note for e in data if e.type == "note_off" or (e.type == "note_on" and not e.velocity)
        )
        assert ons == offs


# Note-offs.


def test_a_note_off_at_the_tick_of_the_next_strike_ends_the_first() -> None:
    track = [on(0, 60)]
    for tick in (100, 200, 300):
        track += [on(tick, 60), off(tick, 60)]
    score = score_of([*track, off(400, 60)])
    assert labels(score) == [(t, t + 100, t + 100, 60) for t in (0, 100, 200, 300)]
    check_file(score)
    events = [(e.tick, e.data[0]) for e in score.events(0)]
    assert events[:4] == [(0, 0x90), (100, 0x80), (100, 0x90), (200, 0x80)]


def test_a_note_on_with_velocity_0_there_does_the_same() -> None:
    silent = (100, mido.Message("note_on", note=60, velocity=0))
    score = score_of([on(0, 60), on(100, 60), silent, off(200, 60)])
    assert labels(score) == [(0, 100, 100, 60), (100, 200, 200, 60)]
    assert [e.data[2] for e in score.events(0)] == [80, 0, 80, 0]


def test_a_note_of_no_length_is_still_one() -> None:
    score = score_of([on(0, 60), off(0, 60), on(100, 60), off(100, 60), on(200, 62), off(300, 62)])
    assert labels(score)[:2] == [(0, 0, 0, 60), (100, 100, 100, 60)]
    assert heard(score) == [(0, 1, 60), (100, 101, 60), (200, 300, 62)]  # none is lost
    sent = [(e.tick, e.data[0]) for e in score.events(0)]
    assert sent[:4] == [(0, 0x90), (0, 0x80), (100, 0x90), (100, 0x80)]
    repeated = score_of([on(0, 60), off(0, 60), on(1, 60), off(2, 60)])
    assert heard(repeated) == [(0, 1, 60), (1, 2, 60)]


def test_a_note_of_no_length_goes_on_where_its_key_is_struck_again_at_once() -> None:
    score = score_of([on(0, 60), off(0, 60), on(0, 60), off(90, 60), on(100, 60), off(110, 60)])
    assert labels(score) == [(0, 90, 90, 60), (0, 90, 90, 60), (100, 110, 110, 60)]
    check_file(score)
    assert len(score.events(0)) == 6


def test_a_key_struck_again_ends_the_note_before_by_a_note_off() -> None:
    score = score_of([on(0, 60), on(40, 60), off(100, 60), off(120, 60)])
    assert labels(score) == [(0, 40, 40, 60), (40, 100, 100, 60)]
    check_file(score)


def test_strikes_of_one_tick_end_together() -> None:
    score = score_of([on(0, 60), on(0, 60), off(100, 60), off(100, 60)])
    assert labels(score) == [(0, 100, 100, 60)] * 2
    check_file(score)
    assert labels(score_of([on(0, 60), on(0, 60), off(100, 60)])) == [(0, 100, 100, 60)] * 2


def test_a_note_off_belongs_to_the_part_that_struck_the_key_last() -> None:
    tracks = [change(0, 73), on(0, 69), off(10, 69), change(20, 16), on(20, 57)]
    tracks += [control(40, 126, 1), off(60, 57), on(90, 64), off(99, 64)]
    score = score_of([(t, m.copy(channel=1)) for t, m in tracks])
    assert labels(score, 1) == [(20, 60, 60, 57), (90, 99, 99, 64)]
    check_file(score)


def test_a_note_off_after_all_notes_off_stays_with_its_part() -> None:
    tracks = [change(0, 73), on(0, 69), off(10, 69), change(20, 16), on(20, 57)]
    score = score_of([*tracks, control(40, 123, 0), off(60, 57), on(90, 64), off(99, 64)])
    assert labels(score, 1) == [(20, 40, 40, 57), (90, 99, 99, 64)]
    check_file(score)
    assert (60, b"\x80\x39\0") in [(e.tick, e.data) for e in score.events(1)]
    assert (60, b"\x80\x39\0") not in [(e.tick, e.data) for e in score.events(0)]


def test_a_note_off_in_another_track_with_notes_ends_the_note() -> None:
    score = score_of(
        [on(0, 60), on(300, 61), off(400, 61)], [on(50, 40), off(90, 40), off(100, 60)]
    )
    assert labels(score, 0)[0] == (0, 100, 100, 60)
    assert labels(score, 1) == [(50, 90, 90, 40)]
    check_file(score)


def test_tracks_that_share_a_channel_end_their_own_notes() -> None:
    score = score_of([on(0, 60), off(100, 60)], [on(50, 60), off(150, 60)])
    assert labels(score, 0) == [(0, 100, 100, 60)]
    assert labels(score, 1) == [(50, 150, 150, 60)]


# Controllers and resets.


@pytest.mark.parametrize(
    ("channel", "number", "value", "end"),
    [
        (0, 120, 0, 40), (1, 120, 0, 40), (0, 123, 0, 40), (1, 123, 0, 40),
        (0, 124, 0, 40), (0, 125, 0, 40), (0, 126, 0, 40), (0, 127, 0, 40),
        (1, 124, 0, 90), (1, 125, 0, 90), (1, 126, 1, 90), (1, 127, 0, 90),
        (0, 122, 0, 90), (0, 121, 0, 90),
    ],
)  # fmt: skip
def test_which_controllers_end_notes(channel: int, number: int, value: int, end: int) -> None:
    events = [on(0, 60, channel), control(40, number, value, channel), off(90, 60, channel)]
    score = score_of([*events, on(100, 62, channel), off(110, 62, channel)])
    assert labels(score) == [(0, end, end, 60), (100, 110, 110, 62)]
    check_file(score)


def test_a_mode_message_of_channel_1_counts_for_its_group() -> None:
    others = [[on(0, 60, k), on(50, 64, k), off(90, 60, k), off(90, 64, k)] for k in (2, 5)]
    for size, mono in ((0, [True, True]), (4, [True, False])):
        score = score_of([control(10, 126, size), on(0, 40), off(90, 40)], *others)
        for k, is_mono in enumerate(mono, start=1):
            ends = [end for _, end, _, _ in labels(score, k)]
            assert ends == ([10, 90] if is_mono else [90, 90])
            check_file(score)
            sent = [e.data for e in score.events(k) if e.data[0] >> 4 == 0xB]
            assert sent == [bytes((0xB0, 126, size))] * is_mono


@pytest.mark.parametrize("message", [GM_ON, GS_ON, XG_ON])
def test_a_reset_ends_notes_and_pedals(message: mido.Message) -> None:
    score = score_of([
        control(0, 64, 127), on(0, 60), on(0, 61), off(10, 60), (40, message), off(90, 61),
        on(100, 62), off(110, 62),
    ])  # fmt: skip
    assert labels(score) == [(0, 10, 40, 60), (0, 40, 40, 61), (100, 110, 110, 62)]
    check_file(score)


def test_the_sustain_pedal_holds_the_sound_of_released_keys() -> None:
    score = score_of([
        on(0, 60), control(5, 64, 64), off(10, 60), on(20, 62), off(30, 62), on(40, 60),
        control(50, 64, 63), off(70, 60),
    ])  # fmt: skip
    assert labels(score) == [(0, 10, 50, 60), (20, 30, 50, 62), (40, 70, 70, 60)]
    check_file(score)


def test_the_sostenuto_pedal_holds_keys_that_were_struck_before_it() -> None:
    score = score_of([
        on(0, 60), control(5, 66, 127), on(8, 62), off(10, 60), off(12, 62), control(50, 66, 0),
    ])  # fmt: skip
    assert labels(score) == [(0, 10, 50, 60), (8, 12, 12, 62)]


@pytest.mark.parametrize("number", [120, 121])
def test_what_else_lifts_pedals(number: int) -> None:
    score = score_of([
        control(0, 64, 127), on(0, 60), control(5, 66, 127), on(6, 61), off(10, 60), off(10, 61),
        control(40, number, 0), control(90, 64, 0), control(90, 66, 0),
    ])  # fmt: skip
    assert labels(score) == [(0, 10, 40, 60), (6, 10, 40, 61)]


def test_a_pedal_that_stays_down_is_lifted_at_the_last_event() -> None:
    score = score_of([control(0, 64, 127), on(0, 60), off(10, 60), control(700, 7, 90, 3)])
    assert labels(score) == [(0, 10, 700, 60)]
    assert score.end_tick == 700
    lift = (700, b"\xb0\x40\0")
    assert lift in [(e.tick, e.data) for e in score.events(0)]
    file = mido.MidiFile(file=io.BytesIO(score.midi(0)))
    assert [m.value for m in file if m.type == "control_change"] == [127, 0]


def test_a_pedal_lifted_after_the_last_key_belongs_to_the_score() -> None:
    score = score_of([control(0, 64, 127), on(0, 60), off(480, 60), control(19200, 64, 0)])
    assert labels(score) == [(0, 480, 19200, 60)]
    assert score.duration_s == 20.0


def test_what_still_sounds_does_not_wait_for_a_stray_event() -> None:
    hour = 3600 * 960
    stray = (hour, mido.MetaMessage("text", text="end"))
    for last in (stray, control(hour, 64, 0), control(hour, 7, 0, 5)):
        score = score_of([control(0, 64, 127), on(0, 60), off(960, 60), on(960, 62), last])
        assert labels(score) == [(0, 960, 31 * 960, 60), (960, 31 * 960, 31 * 960, 62)]
        assert score.duration_s == 31.0
    assert read_score(file_of([on(0, 60), off(960, 60), stray])).duration_s == 1.0


# Mono mode and legato.


@pytest.mark.parametrize("setup", [control(0, 126, 0), control(0, 68, 127)])
def test_a_mono_note_ends_the_one_before(setup: Timed) -> None:
    score = score_of([setup, on(1, 60), on(30, 64), off(60, 60), off(90, 64)])
    assert labels(score) == [(1, 30, 30, 60), (30, 90, 90, 64)]
    check_file(score)
    # The synthesiser needs the true note-offs for its legato.
    sent = [(e.tick, e.data[0] >> 4, e.data[1]) for e in score.events(0) if e.data[0] >> 4 < 10]
    assert sent == [(1, 9, 60), (30, 9, 64), (60, 8, 60), (90, 8, 64)]


def test_of_a_mono_chord_the_last_note_sounds() -> None:
    chord = [on(10, 60), on(10, 64), on(10, 67), off(90, 60), off(90, 64), off(90, 67)]
    score = score_of([control(0, 126, 0), *chord])
    assert labels(score) == [(10, 10, 10, 60), (10, 10, 10, 64), (10, 90, 90, 67)]
    assert score.notes(0).is_silenced.tolist() == [True, True, False]
    assert heard(score) == [(10, 90, 67)]


def test_a_mono_key_that_is_still_down_sounds_again() -> None:
    score = score_of([control(0, 126, 0), on(1, 60), on(30, 64), off(60, 64), off(90, 60)])
    assert labels(score) == [(1, 30, 30, 60), (30, 60, 60, 64), (60, 90, 90, 60)]
    check_file(score)


def test_legato_on_and_off_again() -> None:
    score = score_of([
        on(0, 60), control(10, 68, 127), on(20, 62), off(30, 60), off(40, 62),
        control(50, 68, 0), on(60, 60), on(70, 62), off(80, 60), off(90, 62),
    ])  # fmt: skip
    assert labels(score) == [
        (0, 20, 20, 60), (20, 40, 40, 62), (60, 80, 80, 60), (70, 90, 90, 62),
    ]  # fmt: skip
    check_file(score)


# Tuning.


def rpn(tick: int, number: int, msb: int, low: int | None = None) -> list[Timed]:
    events = [control(tick, 101, 0), control(tick, 100, number), control(tick, 6, msb)]
    return events if low is None else [*events, control(tick, 38, low)]


@pytest.mark.parametrize(
    ("setup", "shift"),
    [
        ([], 0),
        (rpn(0, 2, 52), -12),
        (rpn(0, 2, 65), 1),
        (rpn(0, 1, 96), 0.5),
        ([*rpn(0, 2, 76), *rpn(0, 1, 32, 0)], 11.5),
        (rpn(0, 0, 12), 0),  # the range of bends
        ([*rpn(0, 2, 52), control(1, 121, 0)], 0),
        ([*rpn(0, 2, 52), (1, GM_ON)], 0),
        ([*rpn(0, 2, 64), control(1, 99, 1), control(1, 98, 2), control(1, 6, 52)], 0),
        ([*rpn(0, 2, 64), control(1, 101, 127), control(1, 100, 127), control(1, 6, 52)], 0),
    ],
)
def test_registered_parameters_tune_notes(setup: list[Timed], shift: float) -> None:
    score = score_of([*setup, on(10, 60), off(20, 60)])
    assert score.notes(0).pitch.tolist() == [60]
    np.testing.assert_allclose(score.notes(0).sounding_pitch, [60 + shift], atol=1e-4)


# FluidSynth as oracle.


class Oracle:
    """Asks FluidSynth which keys of a channel are down, or held by a pedal."""

    def __init__(self) -> None:
        fluid = self._fluid = fluidsynth()
        self._settings = fluid.new_fluid_settings()
        fluid.fluid_settings_setnum(self._settings, b"synth.sample-rate", 8000.0)
        self._synth = fluid.new_fluid_synth(self._settings)
        number = fluid.fluid_synth_sfload(self._synth, os.fsencode(default_soundfont()), 1)
        self._font = fluid.fluid_synth_get_sfont_by_id(self._synth, number)
        voice = ("voice", ctypes.c_void_p, 1)
        self._tests = [
            fluid.cfunc(f"fluid_voice_{name}", ctypes.c_int, voice)
            for name in ("is_on", "is_sustained", "is_sostenuto")
        ]
        self._key = fluid.cfunc("fluid_voice_get_actual_key", ctypes.c_int, voice)
        self._list = fluid.cfunc(
            "fluid_synth_get_voicelist", None, ("synth", ctypes.c_void_p, 1),
            ("buf", ctypes.c_void_p, 1), ("bufsize", ctypes.c_int, 1), ("ID", ctypes.c_int, 1),
        )  # fmt: skip
        self._voices = (ctypes.c_void_p * 256)()
        self._out = np.zeros(8000, np.float32)
        self._outputs = (ctypes.c_void_p * 2)(self._out.ctypes.data, self._out.ctypes.data)

    def start(self, program: int) -> None:
        """Begin anew: a reset would leave voices behind."""
        fluid = self._fluid
        fluid.fluid_synth_system_reset(self._synth)
        fluid.fluid_synth_remove_sfont(self._synth, self._font)
        fluid.delete_fluid_synth(self._synth)
        self._synth = fluid.new_fluid_synth(self._settings)
        fluid.fluid_synth_add_sfont(self._synth, self._font)
        self._fluid.fluid_synth_program_change(self._synth, 0, program)

    def send(self, data: bytes) -> None:
        if data[0] == 0x90 and data[2]:
            self._fluid.fluid_synth_noteon(self._synth, 0, data[1], data[2])
        elif data[0] in (0x80, 0x90):
            self._fluid.fluid_synth_noteoff(self._synth, 0, data[1])
        elif data[0] == 0xB0:
            self._fluid.fluid_synth_cc(self._synth, 0, data[1], data[2])
        elif data[0] == 0xF0:
            self._fluid.fluid_synth_sysex(
                self._synth, data[1:-1], len(data) - 2, None, None, None, 0
            )

    def step(self) -> None:
        """Let a second pass, after which voices that were released are gone."""
        self._fluid.fluid_synth_process(self._synth, 8000, 0, None, 2, self._outputs)

    def sounding(self) -> set[int]:
        self._list(self._synth, self._voices, len(self._voices), -1)
        voices = itertools.takewhile(bool, self._voices)
        return {self._key(v) for v in voices if any(test(v) for test in self._tests)}


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle()


KEYS = st.integers(60, 63)
MESSAGES = st.one_of(
    KEYS.map(lambda key: mido.Message("note_on", note=key, velocity=80)),
    KEYS.map(lambda key: mido.Message("note_on", note=key, velocity=80)),
    KEYS.map(lambda key: mido.Message("note_off", note=key)),
    KEYS.map(lambda key: mido.Message("note_off", note=key)),
    st.builds(
        lambda number, value: mido.Message("control_change", control=number, value=value),
        st.sampled_from((64, 66)),
        st.sampled_from((0, 127)),
    ),
    st.sampled_from((120, 121, 123, 124, 127)).map(
        lambda number: mido.Message("control_change", control=number, value=0)
    ),
    st.just(GM_ON),
)


@given(st.lists(MESSAGES, min_size=2, max_size=15))
@settings(deadline=None, max_examples=60)
def test_notes_sound_as_long_as_fluidsynth_holds_them(
    oracle: Oracle, messages: list[mido.Message]
) -> None:
    program = 16  # an organ: it sounds until it is told to end
    events = [(10 * k, message) for k, message in enumerate(messages, start=1)]
    end = 10 * len(events) + 10
    score = score_of([change(0, program), on(0, 30), off(1, 30), *events, control(end, 7, 100)])
    notes = [label for k in range(len(score.parts)) for label in labels(score, k)]
    oracle.start(program)
    for tick, message in events:
        oracle.send(bytes(message.bytes()))
        oracle.step()
        expected = {pitch for start, _, stop, pitch in notes if start <= tick < stop}
        assert expected == oracle.sounding(), tick
    for k in range(len(score.parts)):
        assert heard(score, k) == [(a, b, pitch) for a, b, _, pitch in labels(score, k)]


@given(st.lists(KEYS, min_size=2, max_size=12), st.sampled_from((68, 126)))
@settings(deadline=None, max_examples=60)
def test_mono_notes_follow_one_another_as_in_fluidsynth(
    oracle: Oracle, keys: list[int], number: int
) -> None:
    setup = mido.Message("control_change", control=number, value=127 if number == 68 else 0)
    down: set[int] = set()
    events: list[Timed] = [(1, setup)]
    for key in keys:
        tick = events[-1][0] + 10
        events.append(off(tick, key) if key in down else on(tick, key))
        down ^= {key}
    events += [off(2000 + key, key) for key in sorted(down)]
    score = score_of([change(0, 16), *events, on(9990, 30), off(9999, 30)])
    notes = labels(score)
    oracle.start(16)
    for tick, message in events:
        oracle.send(bytes(message.bytes()))
        oracle.step()
        expected = {pitch for start, _, stop, pitch in notes if start <= tick < stop}
        assert expected == oracle.sounding(), tick
    check_file(score)
