"""Scores: timing by all tempo events, lossless splitting into parts, content hash, refusals."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.records import Reason
from stemsmith.render.midi import voices
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.midi.smf import Unusable

Timed = tuple[int, Any]  # absolute tick and mido message


def note(start: int, end: int, pitch: int, channel: int = 0, velocity: int = 64) -> list[Timed]:
    on = mido.Message("note_on", note=pitch, velocity=velocity, channel=channel)
    return [(start, on), (end, mido.Message("note_off", note=pitch, velocity=0, channel=channel))]


def change(tick: int, program: int, channel: int = 0) -> Timed:
    return tick, mido.Message("program_change", program=program, channel=channel)


def control(tick: int, number: int, value: int, channel: int = 0) -> Timed:
    return tick, mido.Message("control_change", control=number, value=value, channel=channel)


def tempo(tick: int, microseconds: int) -> Timed:
    return tick, mido.MetaMessage("set_tempo", tempo=microseconds)


def file_of(tracks: Sequence[Iterable[Timed]], ppq: int = 480) -> bytes:
    """Write a file; events of a track may come in any order, those of one tick stay in theirs."""
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


def score_of(*tracks: Iterable[Timed], ppq: int = 480) -> Score:
    return read_score(file_of(tracks, ppq))


def refusal(data: bytes, **kwargs: float) -> Unusable:
    with pytest.raises(Unusable) as caught:
        read_score(data, **kwargs)
    assert caught.value.detail
    return caught.value


def messages_of(data: bytes) -> list[tuple[int, Any]]:
    """Return all messages of a file by mido, with absolute ticks, but the ends of tracks."""
    messages = []
    for track in mido.MidiFile(file=io.BytesIO(data)).tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type != "end_of_track":
                messages.append((tick, message))
    return messages


def channel_events(data: bytes) -> Counter[tuple[int, bytes]]:
    return Counter(
        (tick, bytes(m.bytes()))
        for tick, m in messages_of(data)
        if not m.is_meta and m.type != "sysex"
    )


def notes_in(events: Counter[tuple[int, bytes]]) -> Counter[tuple[int, bytes]]:
    return Counter({event: n for event, n in events.items() if event[1][0] >> 4 in (8, 9)})


def playback_onsets_s(data: bytes) -> list[float]:
    """Return the times of note-ons as mido plays the file."""
    onsets, now = [], 0.0
    for message in mido.MidiFile(file=io.BytesIO(data)):
        now += message.time
        if message.type == "note_on" and message.velocity > 0:
            onsets.append(now)
    return onsets


def onsets_s(score: Score, k: int) -> list[float]:
    return [float(s) for s in score.tempo_map.seconds(score.notes(k).onset_tick)]


def pitches(score: Score, k: int) -> list[int]:
    return [int(pitch) for pitch in score.notes(k).pitch]


def heard(score: Score, k: int) -> pretty_midi.Instrument:
    """Return the one instrument that pretty_midi finds in a part's file."""
    instruments = pretty_midi.PrettyMIDI(io.BytesIO(score.midi(k))).instruments
    assert len(instruments) == 1
    return instruments[0]


def check_parts_with_pretty_midi(score: Score) -> None:
    for k, part in enumerate(score.parts):
        instrument = heard(score, k)
        assert instrument.is_drum == part.is_drum
        assert instrument.program == (part.kit if part.is_drum else part.program)
        expected = sorted(zip(onsets_s(score, k), pitches(score, k), strict=True))
        found = sorted((n.start, n.pitch) for n in instrument.notes)
        assert [pitch for _, pitch in found] == [pitch for _, pitch in expected]
        np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected], atol=1e-9)


# Timing.


def test_tempo_is_120_without_any_tempo_event() -> None:
    score = score_of(note(480, 960, 60))
    assert onsets_s(score, 0) == [0.5]
    assert score.duration_s == 1.0


def test_tempo_changes_of_every_track_hold() -> None:
    data = file_of(
        [
            [tempo(0, 600_000)],
            [tempo(960, 250_000), *note(0, 480, 60), *note(960, 1440, 62)],
            [tempo(1920, 1_000_000), *note(1920, 2880, 64, channel=1)],
        ]
    )
    score = read_score(data)
    assert onsets_s(score, 0) == pytest.approx([0.0, 1.2], abs=1e-12)
    assert onsets_s(score, 1) == pytest.approx([1.2 + 0.5], abs=1e-12)
    closed_form = 2 * 0.6 + 2 * 0.25 + 2 * 1.0
    assert score.duration_s == pytest.approx(closed_form, rel=1e-12)
    playback = sum(message.time for message in mido.MidiFile(file=io.BytesIO(data)))
    assert score.duration_s == pytest.approx(playback, rel=1e-12)


def test_the_last_of_several_tempos_at_one_tick_holds() -> None:
    score = score_of([tempo(0, 100_000)], [tempo(0, 700_000), tempo(0, 900_000)], note(0, 480, 60))
    assert score.duration_s == pytest.approx(0.9)


TICKS = st.integers(0, 5000)


@given(
    st.lists(
        st.lists(st.tuples(TICKS, st.integers(1000, 2_000_000)), max_size=4),
        min_size=3,
        max_size=3,
    ),
    st.lists(TICKS, min_size=1, max_size=8, unique=True),
    st.integers(1, 2000),
)
@settings(deadline=None)
def test_onsets_are_those_of_mido(
    tempos: list[list[tuple[int, int]]], onsets: list[int], ppq: int
) -> None:
    tracks: list[list[Timed]] = [[tempo(*event) for event in events] for events in tempos]
    for onset in onsets:
        tracks[1] += note(onset, onset + 7, 60)
    data = file_of(tracks, ppq)
    score = read_score(data, max_duration_s=1e9)
    assert onsets_s(score, 0) == pytest.approx(playback_onsets_s(data), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ticks_per_frame", [4, 40, 100])
@pytest.mark.parametrize(
    ("code", "frames_per_s"), [(24, 24.0), (25, 25.0), (29, 30000 / 1001), (30, 30.0)]
)
def test_smpte_time_is_exact(code: int, frames_per_s: float, ticks_per_frame: int) -> None:
    data = bytearray(file_of([[tempo(0, 123_456)], [*note(50, 1000, 60), *note(1234, 5678, 62)]]))
    data[12:14] = struct.pack(">bB", -code, ticks_per_frame)
    score = read_score(bytes(data))
    rate = frames_per_s * ticks_per_frame
    assert onsets_s(score, 0) == pytest.approx([50 / rate, 1234 / rate], rel=1e-12)
    assert score.duration_s == pytest.approx(5678 / rate, rel=1e-12)
    assert score.parts[0].track == 1
    notes = heard(score, 0).notes
    assert [n.start for n in notes] == pytest.approx([50 / rate, 1234 / rate], rel=1e-9)
    assert [n.end for n in notes] == pytest.approx([1000 / rate, 5678 / rate], rel=1e-9)


# Splitting.


def test_two_channels_of_one_track_are_two_parts() -> None:
    score = score_of([change(0, 5, 0), change(0, 33, 1), *note(0, 10, 60), *note(5, 15, 40, 1)])
    assert [(p.track, p.channel, p.program, p.n_notes) for p in score.parts] == [
        (0, 0, 5, 1),
        (0, 1, 33, 1),
    ]
    assert (pitches(score, 0), pitches(score, 1)) == ([60], [40])
    check_parts_with_pretty_midi(score)


def test_a_track_name_is_the_parts() -> None:
    name = (0, mido.MetaMessage("track_name", name="Lead Vocal "))
    score = score_of([], [name, *note(0, 10, 60)], note(0, 10, 62, 1))
    assert [part.name for part in score.parts] == ["Lead Vocal", ""]


def test_a_program_change_starts_another_part_at_the_next_note_on() -> None:
    score = score_of(
        [
            change(0, 5),
            *note(0, 100, 60),  # sounds on under the next program
            change(50, 40),
            *note(60, 70, 61),
            change(80, 5),
            *note(90, 95, 62),
        ]
    )
    assert [(part.program, part.n_notes) for part in score.parts] == [(5, 2), (40, 1)]
    assert (pitches(score, 0), pitches(score, 1)) == ([60, 62], [61])
    assert list(score.notes(0).offset_tick) == [100, 95]
    check_parts_with_pretty_midi(score)


def test_a_change_to_the_same_program_starts_no_part() -> None:
    score = score_of([change(0, 5), *note(0, 10, 60), change(20, 5), *note(30, 40, 60)])
    assert [(part.program, part.n_notes) for part in score.parts] == [(5, 2)]


def test_a_track_without_programs_follows_the_other_track_of_its_channel() -> None:
    score = score_of([change(0, 11), *note(0, 10, 60)], note(5, 15, 48), note(5, 15, 50, 2))
    assert [(part.track, part.program) for part in score.parts] == [(0, 11), (1, 11), (2, 0)]
    check_parts_with_pretty_midi(score)


def test_a_track_with_programs_ignores_those_of_a_playing_track() -> None:
    score = score_of(
        [change(0, 11), *note(0, 10, 60), change(20, 12), *note(30, 40, 60)],
        [change(0, 33), *note(5, 15, 40), *note(35, 45, 40)],
    )
    assert [(part.track, part.program) for part in score.parts] == [(0, 11), (0, 12), (1, 33)]


def test_a_track_with_programs_follows_a_track_that_only_sets_up() -> None:
    score = score_of(
        [change(0, 11), change(100, 12)],
        [change(0, 33), *note(5, 15, 40), *note(105, 115, 40)],
    )
    assert [(part.program, part.n_notes) for part in score.parts] == [(33, 1), (12, 1)]


def test_drums_are_program_128_with_a_kit() -> None:
    score = score_of([change(0, 25, 9), *note(0, 5, 36, 9), change(9, 0, 9), *note(10, 15, 38, 9)])
    assert [(p.program, p.kit, p.is_drum, p.n_notes) for p in score.parts] == [
        (128, 25, True, 1),
        (128, 0, True, 1),
    ]
    check_parts_with_pretty_midi(score)


def test_the_bank_is_the_one_at_the_first_note() -> None:
    score = score_of(
        [control(0, 0, 8), change(0, 5), *note(10, 20, 60), control(30, 0, 3), *note(40, 50, 60)]
    )
    assert [(part.program, part.bank, part.kit) for part in score.parts] == [(5, 8, 0)]


CONDUCTOR: list[Timed] = [
    tempo(0, 400_000),
    tempo(70, 600_000),
    (0, mido.MetaMessage("time_signature", numerator=3, denominator=4)),
    (0, mido.MetaMessage("key_signature", key="Ebm")),
    (30, mido.MetaMessage("marker", text="B")),
    (0, mido.Message("sysex", data=(0x7E, 0x7F, 9, 1))),
]


def test_every_part_has_what_acts_on_it() -> None:
    tracks = [
        CONDUCTOR,
        [
            (0, mido.Message("pitchwheel", pitch=300)),
            (3, mido.Message("aftertouch", value=7)),
            (4, mido.Message("polytouch", note=60, value=8)),
            change(0, 5),
            *note(0, 10, 60),
            change(20, 6),
            *note(30, 40, 60),
        ],
        [control(1, 7, 99), control(2, 64, 127, 1), *note(0, 10, 40, 1), tempo(90, 300_000)],
        [(60, mido.Message("sysex", data=(1, 2, 3))), control(8, 10, 3), control(8, 10, 3, 5)],
    ]
    data = file_of(tracks)
    score = read_score(data)
    whole = messages_of(data)
    assert [(p.track, p.channel, p.program) for p in score.parts] == [
        (1, 0, 5),
        (1, 0, 6),
        (2, 1, 0),
    ]
    for k, part in enumerate(score.parts):
        messages = messages_of(score.midi(k))
        for kind in ("set_tempo", "time_signature", "key_signature", "marker", "sysex"):
            found = [(tick, bytes(m.bytes())) for tick, m in messages if m.type == kind]
            wanted = [(tick, bytes(m.bytes())) for tick, m in whole if m.type == kind]
            assert sorted(found) == sorted(wanted)
        for kind in ("control_change", "pitchwheel", "aftertouch", "polytouch"):
            found = [(tick, bytes(m.bytes())) for tick, m in messages if m.type == kind]
            wanted = [
                (tick, bytes(m.bytes()))
                for tick, m in whole
                if m.type == kind and m.channel == part.channel
            ]
            if kind == "control_change" and part.channel == 1:
                wanted.append((90, b"\xb1\x40\0"))  # the pedal that nobody lifts
            assert sorted(found) == sorted(wanted)


def test_tempo_meter_and_key_lie_in_the_first_of_two_tracks() -> None:
    score = score_of([], [*CONDUCTOR, *note(0, 10, 60)])
    conductor, part = mido.MidiFile(file=io.BytesIO(score.midi(0))).tracks
    assert {"set_tempo", "time_signature", "key_signature"} <= {m.type for m in conductor}
    assert {m.type for m in part} == {"note_on", "note_off", "end_of_track"}


def test_titles_of_a_track_without_notes_are_in_every_part_and_lyrics_in_their_own() -> None:
    title = (0, mido.MetaMessage("track_name", name="Song"))
    lyrics = [(0, mido.MetaMessage("lyrics", text="la")), *note(0, 10, 60)]
    score = score_of([title], lyrics, note(0, 10, 40, 1))
    texts = [[m.type for _, m in messages_of(score.midi(k)) if m.is_meta] for k in range(2)]
    assert texts == [["track_name", "lyrics"], ["track_name"]]


def test_events_are_the_messages_of_the_part_by_time() -> None:
    score = score_of(
        CONDUCTOR, [change(0, 5), *note(0, 10, 60)], [control(5, 7, 9), *note(6, 8, 1)]
    )
    events = score.events(0)
    assert [event.tick for event in events] == sorted(event.tick for event in events)
    assert Counter(event.data for event in events) == Counter(
        [b"\xf0\x7e\x7f\x09\x01\xf7", b"\xc0\x05", b"\x90\x3c\x40", b"\xb0\x07\x09", b"\x80\x3c\0"]
    )


def test_a_channels_messages_of_one_tick_keep_their_order() -> None:
    score = score_of([control(0, 0, 8), control(0, 32, 1), change(0, 5), *note(0, 10, 60)])
    order = [event.data[0] >> 4 for event in score.events(0)]
    assert order == [0xB, 0xB, 0xC, 0x9, 0x8]
    again = [m.type for _, m in messages_of(score.midi(0))]
    assert again == ["control_change", "control_change", "program_change", "note_on", "note_off"]


def test_unsplit_events_are_all_messages_of_the_file() -> None:
    tracks = [
        CONDUCTOR,
        [change(0, 5), *note(0, 10, 60), change(20, 6), *note(30, 40, 60), control(1, 7, 9, 7)],
        [change(0, 9, 1), *note(0, 12, 40, 1), *note(20, 30, 41, 1)[:1]],
    ]
    data = file_of(tracks)
    events = read_score(data).unsplit_events()
    assert [event.tick for event in events] == sorted(event.tick for event in events)
    found = Counter((event.tick, event.data) for event in events)
    wanted = channel_events(data)
    wanted.update((tick, bytes(m.bytes())) for tick, m in messages_of(data) if m.type == "sysex")
    wanted[70, b"\x81\x29\0"] += 1  # of the note that never ends
    assert found == wanted


@st.composite
def scores(draw: st.DrawFn) -> list[list[Timed]]:
    """Return tracks of notes that never overlap on one key, amid all kinds of messages."""
    channels = st.sampled_from((0, 1, 9))
    ticks = st.integers(0, 400)
    tracks: list[list[Timed]] = []
    for _ in range(draw(st.integers(1, 3))):
        events: list[Timed] = []
        ends: dict[tuple[int, int], int] = {}
        for channel, pitch, gap, length, velocity in draw(
            st.lists(
                st.tuples(
                    channels,
                    st.integers(60, 63),
                    st.integers(1, 60),
                    st.integers(1, 90),
                    st.integers(1, 127),
                ),
                max_size=12,
            )
        ):
            start = ends.get((channel, pitch), -1) + gap
            ends[channel, pitch] = start + length
            events += note(start, start + length, pitch, channel, velocity)
        for tick, channel, program in draw(
            st.lists(st.tuples(ticks, channels, st.sampled_from((0, 5, 40))), max_size=5)
        ):
            events.append(change(tick, program, channel))
        for tick, channel, number, value in draw(
            st.lists(
                # Legato (68) takes notes from one another: see the tests of how they sound.
                st.tuples(
                    ticks,
                    channels,
                    st.integers(0, 119).filter(lambda number: number != 68),
                    st.integers(0, 127),
                ),
                max_size=5,
            )
        ):
            events.append(control(tick, number, value, channel))
        for tick, channel, pitch in draw(
            st.lists(st.tuples(ticks, channels, st.integers(-8192, 8191)), max_size=3)
        ):
            events.append((tick, mido.Message("pitchwheel", channel=channel, pitch=pitch)))
        for tick, microseconds in draw(
            st.lists(st.tuples(ticks, st.integers(1000, 900_000)), max_size=2)
        ):
            events.append(tempo(tick, microseconds))
        tracks.append(events)
    tracks[-1] += note(0, 10, 70, 1)
    return tracks


@given(scores())
@settings(deadline=None, max_examples=150)
def test_splitting_loses_and_doubles_nothing(tracks: list[list[Timed]]) -> None:
    data = file_of(tracks)
    score = read_score(data)
    whole = channel_events(data)
    files = [channel_events(score.midi(k)) for k in range(len(score.parts))]
    united_notes: Counter[tuple[int, bytes]] = Counter()
    for events in files:
        united_notes.update(notes_in(events))
    assert united_notes == notes_in(whole)
    for part, events in zip(score.parts, files, strict=True):
        others = Counter({e: n for e, n in events.items() if e[1][0] >> 4 not in (8, 9, 0xC)})
        wanted = {
            e: n
            for e, n in whole.items()
            if e[1][0] >> 4 not in (8, 9, 0xC) and e[1][0] & 15 == part.channel
        }
        # Pedals that nobody lifts are lifted at the end.
        added = others - Counter(wanted)
        assert {e[1][1:] for e in added} <= {b"\x40\0", b"\x42\0"} and len(added) <= 2
        assert others - added == Counter(wanted)
        changes = {e[1] for e in events if e[1][0] >> 4 == 0xC}
        program = part.kit if part.is_drum else part.program
        assert changes <= {bytes((0xC0 | part.channel, program))}
        assert part.n_notes == sum(n for e, n in events.items() if e[1][0] >> 4 == 9)
    assert score.n_notes == sum(n for e, n in whole.items() if e[1][0] >> 4 == 9)


@given(scores())
@settings(deadline=None, max_examples=150)
def test_pretty_midi_finds_one_instrument_with_the_same_notes(tracks: list[list[Timed]]) -> None:
    check_parts_with_pretty_midi(score_of(*tracks))


def test_a_key_held_over_a_program_change_and_struck_again_ends_in_both_parts() -> None:
    on, off = note(0, 100, 60)
    score = score_of([on, change(10, 7), *note(20, 90, 60), off])
    assert [part.program for part in score.parts] == [0, 7]
    assert (list(score.notes(0).offset_tick), list(score.notes(1).offset_tick)) == ([20], [90])
    for k, end in ((0, 20), (1, 90)):
        ends = [(tick, data) for tick, data in channel_events(score.midi(k)) if data[0] == 0x80]
        assert ends == [(end, b"\x80\x3c\0")]
        assert (end, b"\x80\x3c\0") in [(e.tick, e.data) for e in score.events(k)]


def test_a_note_off_nobody_waits_for_is_kept() -> None:
    data = file_of([[*note(0, 10, 60), note(0, 20, 61)[1], note(0, 0, 62)[1]]])
    assert channel_events(read_score(data).midi(0)) == channel_events(data)


def test_note_offs_in_a_track_without_notes_are_kept() -> None:
    on, off = note(0, 100, 60)
    data = file_of([[on], [off], note(0, 500, 40, 1)])
    assert (100, b"\x80\x3c\0") in channel_events(read_score(data).midi(0))


def _is_on(data: bytes) -> bool:
    return data[0] >> 4 == 9 and data[2] > 0


def test_real_scores_are_split_without_loss(shared: Path) -> None:
    paths = sorted((shared / "midi" / "dev").rglob("*.mid"))[::16]
    assert paths
    for path in paths:
        data = path.read_bytes()
        score = read_score(data)
        whole = channel_events(data)
        united: Counter[tuple[int, bytes]] = Counter()
        sent: Counter[tuple[int, bytes]] = Counter()
        played = {part.channel for part in score.parts}
        for k, part in enumerate(score.parts):
            events = channel_events(score.midi(k))
            united.update(events)
            sent.update((event.tick, event.data) for event in score.events(k))
            n_ons, n_offs = (
                sum(n for (_, data), n in events.items() if data[0] >> 4 in kinds and is_on(data))
                for kinds, is_on in (((9,), _is_on), ((8, 9), lambda data: not _is_on(data)))
            )
            assert n_ons == part.n_notes <= n_offs, path.name
            for event, n in whole.items():
                if event[1][0] & 15 == part.channel and event[1][0] >> 4 not in (8, 9, 0xC):
                    assert events[event] == n, path.name
        for event, n in whole.items():
            if event[1][0] >> 4 == 9 and event[1][2] > 0:
                assert united[event] == n, path.name
            elif event[1][0] >> 4 in (8, 9) and event[1][0] & 15 in played:
                assert sent[event] >= n, path.name
        if all(np.all(score.notes(k)[1] > score.notes(k)[0]) for k in range(len(score.parts))):
            check_parts_with_pretty_midi(score)


# Notes.


def test_notes_without_an_end_stop_with_the_last_event_and_are_reported() -> None:
    data = file_of([[*note(0, 10, 60), note(20, 0, 62)[0]], [control(700, 7, 100, 3)]])
    score = read_score(data)
    assert list(score.notes(0).offset_tick) == [10, 700]
    assert score.duration_s == pytest.approx(700 / 960)
    assert score.repairs == ("1 notes without an end stop with the last event",)
    assert heard(score, 0).notes[-1].end == pytest.approx(700 / 960)
    assert (700, b"\x80\x3e\0") in [(e.tick, e.data) for e in score.events(0)]


def test_a_repeated_key_ends_the_note_before() -> None:
    score = score_of([*note(0, 100, 60), *note(40, 120, 60)])
    notes = score.notes(0)
    assert list(notes.onset_tick) == [0, 40]
    assert list(notes.offset_tick) == [40, 100]
    assert score.repairs == ()


def test_a_note_on_with_velocity_0_ends_a_note() -> None:
    silent = (30, mido.Message("note_on", note=60, velocity=0))
    score = score_of([note(0, 0, 60)[0], silent])
    assert score.n_notes == 1
    assert list(score.notes(0).offset_tick) == [30]


def test_notes_of_no_length_are_kept() -> None:
    score = score_of([*note(0, 10, 60), *note(20, 20, 62), *note(30, 40, 64)])
    notes = score.notes(0)
    assert score.n_notes == 3
    assert list(notes.onset_tick) == [0, 20, 30]
    assert list(notes.offset_tick) == [10, 20, 40]
    assert notes_in(channel_events(score.midi(0)))[20, b"\x90\x3e\x40"] == 1


def test_notes_come_by_onset_with_their_pitch_and_velocity() -> None:
    score = score_of([*note(50, 60, 70, velocity=1), *note(0, 90, 50, velocity=127)])
    notes = score.notes(0)
    assert list(notes.onset_tick) == [0, 50]
    assert list(notes.pitch) == [50, 70]
    assert list(notes.velocity) == [127, 1]
    assert notes.pitch.dtype == notes.velocity.dtype == np.uint8


# The content hash.

MELODY = [(0, 60), (240, 62), (480, 64), (480, 67), (721, 60)]


def melody(
    notes: Sequence[tuple[int, int]] = MELODY, scale: int = 1, shift: int = 0, **kwargs: int
) -> list[Timed]:
    return [
        event
        for tick, pitch in notes
        for event in note(tick * scale + shift, (tick + 100) * scale + shift, pitch, **kwargs)
    ]


BASS = [(0, 36), (480, 43)]
BASE = score_of([tempo(0, 500_000)], melody(), melody(BASS, channel=1)).notes_sha256()


@pytest.mark.parametrize(
    ("tracks", "ppq"),
    [
        pytest.param(
            [
                [tempo(0, 500_000)],
                [(0, mido.MetaMessage("track_name", name="x")), *melody()],
                melody(BASS, channel=1),
            ],
            480,
            id="renamed track",
        ),
        pytest.param([melody(BASS, channel=1), [], melody()], 480, id="reordered tracks"),
        pytest.param([[*melody(), *melody(BASS, channel=1)]], 480, id="one track"),
        pytest.param(
            [[change(0, 40), *melody()], [change(300, 33, 1), *melody(BASS, channel=1)]],
            480,
            id="other programs",
        ),
        pytest.param(
            [melody(velocity=90), melody(BASS, channel=1, velocity=1)], 480, id="other velocities"
        ),
        pytest.param([melody(scale=2), melody(BASS, scale=2, channel=1)], 960, id="doubled ppq"),
        pytest.param(
            [melody(shift=777), melody(BASS, shift=777, channel=1)], 480, id="shifted start"
        ),
        pytest.param(
            [[tempo(0, 300_000), tempo(480, 900_000)], melody(), melody(BASS, channel=1)],
            480,
            id="other tempo",
        ),
    ],
)
def test_the_same_music_has_the_same_hash(tracks: list[list[Timed]], ppq: int) -> None:
    assert score_of(*tracks, ppq=ppq).notes_sha256() == BASE


@pytest.mark.parametrize(
    "changed",
    [
        [(0, 60), (240, 62), (480, 64), (480, 67), (721, 61)],
        [(0, 60), (240, 62), (480, 64), (480, 67), (722, 60)],
        [(0, 60), (240, 62), (480, 64), (480, 67)],
        [(0, 60), (240, 62), (480, 64), (480, 64), (480, 67), (721, 60)],
        [(1, 60), (240, 62), (480, 64), (480, 67), (721, 60)],
    ],
)
def test_other_music_has_another_hash(changed: list[tuple[int, int]]) -> None:
    assert score_of(melody(changed), melody(BASS, channel=1)).notes_sha256() != BASE


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 127)), min_size=1, max_size=20),
    st.integers(1, 8191),
    st.integers(2, 4),
    st.integers(0, 5000),
)
@settings(deadline=None)
def test_the_hash_does_not_depend_on_resolution_or_start(
    notes: list[tuple[int, int]], ppq: int, factor: int, shift: int
) -> None:
    base = read_score(file_of([melody(notes)], ppq), 1e9)
    other = read_score(file_of([melody(notes, factor, shift)], ppq * factor), 1e9)
    assert base.notes_sha256() == other.notes_sha256()


# Refusals.


def test_a_score_that_lasts_too_long_is_refused() -> None:
    data = file_of([note(0, 960 * 1200, 60)])
    assert read_score(data).duration_s == 1200.0
    assert refusal(file_of([note(0, 960 * 1200 + 1, 60)])).reason is Reason.TOO_LONG
    assert refusal(data, max_duration_s=1199.9).reason is Reason.TOO_LONG


def test_a_score_of_thousands_of_notes_at_once_is_refused() -> None:
    dense = [event for k in range(1001) for event in note(k // 100, k // 100 + 1, k % 100)]
    assert refusal(file_of([dense])).reason is Reason.TOO_DENSE
    assert read_score(file_of([dense[:2000]])).n_notes == 1000
    assert read_score(file_of([[*dense, *note(0, 1940, 120)]])).n_notes == 1002


@pytest.mark.parametrize(
    "tracks",
    [
        [],
        [[]],
        [[tempo(0, 1000), change(0, 5), control(0, 7, 1)]],
        [[(5, mido.Message("note_off", note=60)), (6, mido.Message("note_on", velocity=0))]],
    ],
)
def test_a_score_without_notes_is_refused(tracks: list[list[Timed]]) -> None:
    assert refusal(file_of(tracks)).reason is Reason.NO_NOTES


def test_a_score_of_too_many_parts_is_refused() -> None:
    tracks = [[e for c in range(16) for e in note(c, c + 5, 60, c)] for _ in range(8)]
    assert len(read_score(file_of(tracks)).parts) == 128
    assert refusal(file_of([*tracks, note(0, 5, 60)])).reason is Reason.TOO_LARGE


def test_thousands_of_tracks_are_refused_before_they_are_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracks = [note(0, 5, 60, k % 16) for k in range(3200)]
    monkeypatch.setattr(voices, "effective_systems", None)  # the first step of splitting
    assert refusal(file_of(tracks)).reason is Reason.TOO_LARGE


def test_work_grows_with_the_file_where_tracks_share_a_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of so many tracks, each event is taken once."""
    taken = Counter[str]()
    walk = voices._LineVoices._control

    def counted(self: voices._LineVoices, event: object) -> None:
        taken["controls"] += 1
        walk(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(voices._LineVoices, "_control", counted)
    pedal = [control(k, 64, k % 2) for k in range(500)]
    score_of(*[note(k, k + 5, 60) for k in range(100)], pedal)
    assert taken["controls"] == 500


def test_controllers_of_all_parts_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "MAX_STEM_EVENTS", 100)
    controls = [control(k, 7, 1) for k in range(10)]
    tracks = [note(0, 5, 60 + k) for k in range(10)]
    assert len(score_of(*tracks, controls).parts) == 10
    assert refusal(file_of([*tracks, controls, note(0, 5, 40)])).reason is Reason.TOO_LARGE
    programs = [e for k in range(11) for e in (change(k, k), *note(k, k + 1, 60))]
    assert refusal(file_of([programs, controls])).reason is Reason.TOO_LARGE
    others = [event for k in range(20) for event in (control(k, 7, 1, 5),)]
    assert len(score_of(*tracks, controls, others).parts) == 10  # a channel without notes


def test_what_all_parts_repeat_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "MAX_COMMON_BYTES", 1000)
    text = [(0, mido.MetaMessage("text", text="x" * 97))]
    tracks = [note(0, 5, 60 + k) for k in range(10)]
    assert len(score_of(*tracks, text).parts) == 10
    assert refusal(file_of([*tracks, text, note(0, 5, 40)])).reason is Reason.TOO_LARGE
    sysex = [(0, mido.Message("sysex", data=(1,) * 97))]
    assert refusal(file_of([*tracks, sysex, note(0, 5, 40)])).reason is Reason.TOO_LARGE


def test_hours_of_stems_are_refused() -> None:
    tracks = [note(0, 960 * 1000, 20 + k, k % 16) for k in range(80)]
    assert len(read_score(file_of(tracks)).parts) == 80
    refused = refusal(file_of([*tracks, note(0, 5, 60)]))
    assert refused.reason is Reason.TOO_LARGE
    assert "81 parts of 1000 s" in refused.detail


# Files that every reader opens.


@pytest.mark.parametrize(
    ("ppq", "microseconds", "factor"),
    [(30_720, 333_333, 1), (30_720, 333_333, 3), (1, 10, 4), (7, 100, 1)],
)
def test_time_is_coarser_in_files_of_more_ticks_than_readers_take(
    ppq: int, microseconds: int, factor: int
) -> None:
    end = 12_000_000 * factor
    events = [tempo(0, microseconds), *note(0, end // 2, 60), *note(end // 2, end, 62)]
    score = score_of(events, [control(2 * end, 7, 1)], ppq=ppq)
    seconds = score.tempo_map.seconds([0, end // 2, end])
    notes = heard(score, 0).notes
    assert len(notes) == 2
    found = [notes[0].start, notes[0].end, notes[1].end]
    np.testing.assert_allclose(found, seconds, atol=seconds[-1] / 4e6)
    np.testing.assert_allclose([n.start for n in notes], seconds[:2], atol=seconds[-1] / 4e6)


def test_a_stray_event_far_behind_does_not_make_time_coarser() -> None:
    score = score_of(note(1, 3, 60), [(2 * 10**7, mido.MetaMessage("text", text="x"))])
    (found,) = heard(score, 0).notes
    assert (found.start, found.end) == pytest.approx((1 / 960, 3 / 960))
    assert mido.MidiFile(file=io.BytesIO(score.midi(0))).ticks_per_beat == 480


@pytest.mark.parametrize(
    "division",
    [b"\0\0", b"\xff\xff", b"\xe6\x28", b"\xe7\0", b"\x80\x80"],
    ids=["zero", "1 frame", "26 frames", "25 frames of no tick", "128 frames"],
)
def test_an_impossible_time_division_is_refused(division: bytes) -> None:
    data = file_of([note(0, 10, 60)])
    assert refusal(data[:12] + division + data[14:]).reason is Reason.BAD_DIVISION


def test_smpte_time_without_any_track_is_refused() -> None:
    data = file_of([])
    assert refusal(data[:12] + b"\xe7\x28").reason is Reason.NO_NOTES
