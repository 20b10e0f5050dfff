"""Drums that a file spreads over tracks, as one part."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.midi.smf import Unusable

Timed = tuple[int, Any]
KICK, SNARE, HIHAT, OPEN = 36, 38, 42, 46


def note(start: int, end: int, pitch: int, channel: int = 9) -> list[Timed]:
    on = mido.Message("note_on", note=pitch, velocity=80, channel=channel)
    return [(start, on), (end, mido.Message("note_off", note=pitch, velocity=0, channel=channel))]


def kit(tick: int, program: int) -> Timed:
    return tick, mido.Message("program_change", program=program, channel=9)


def score_of(*tracks: Iterable[Timed], joined: bool = True) -> Score:
    file = mido.MidiFile(ticks_per_beat=480)
    for number, events in enumerate(tracks):
        now, track = 0, mido.MidiTrack([mido.MetaMessage("track_name", name=f"track {number}")])
        for tick, message in sorted(events, key=lambda event: event[0]):
            track.append(message.copy(time=tick - now))
            now = tick
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return read_score(buffer.getvalue(), are_drums_joined=joined)


def strikes(score: Score, part_index: int) -> list[tuple[int, int]]:
    notes = score.notes(part_index)
    return list(zip(notes.onset_tick.tolist(), notes.pitch.tolist(), strict=True))


def written(score: Score, part_index: int) -> Counter[tuple[int, float]]:
    """Return onsets and pitches of a stem's MIDI as pretty_midi reads it."""
    midi = pretty_midi.PrettyMIDI(io.BytesIO(score.midi(part_index)))
    (instrument,) = midi.instruments
    assert instrument.is_drum
    return Counter((n.pitch, round(n.start, 6)) for n in instrument.notes)


def test_tracks_of_one_kit_are_one_part() -> None:
    kick = note(0, 60, KICK) + note(480, 540, KICK)
    hats = note(0, 60, HIHAT) + note(240, 300, HIHAT)
    piano = note(0, 480, 60, channel=0)
    apart = score_of(kick, piano, hats, joined=False)
    assert [part.n_notes for part in apart.parts] == [2, 1, 2]
    joined = score_of(kick, piano, hats)
    assert [(p.track, p.channel, p.name, p.n_notes) for p in joined.parts] == [
        (0, 9, "track 0", 4),
        (1, 0, "track 1", 1),
    ]
    assert strikes(joined, 0) == [(0, KICK), (0, HIHAT), (240, HIHAT), (480, KICK)]
    assert joined.n_notes == apart.n_notes
    assert joined.notes_sha256() == apart.notes_sha256()
    asked = joined.parts[0].strikes
    assert asked is not None
    assert asked.reshape(-1, 3).tolist() == [[KICK, 80, 2], [HIHAT, 80, 2]]
    assert sum(written(joined, 0).values()) == 4


def test_other_kits_stay_apart() -> None:
    standard, brushes = [kit(0, 0), *note(0, 60, KICK)], [kit(0, 40), *note(0, 60, SNARE)]
    score = score_of(standard, brushes, [kit(0, 0), *note(0, 60, HIHAT)])
    assert [(part.kit, part.n_notes, part.track) for part in score.parts] == [(0, 2, 0), (40, 1, 1)]


def test_a_change_of_kit_divides_the_player_and_not_the_tracks() -> None:
    """Every track follows a change that a track without notes makes for the channel."""
    conductor = [kit(0, 0), kit(960, 16)]
    tracks = [note(0, 60, key) + note(960, 1020, key) for key in (KICK, SNARE, HIHAT)]
    score = score_of(conductor, *tracks)
    assert [(part.kit, part.n_notes) for part in score.parts] == [(0, 3), (16, 3)]
    assert len(score_of(conductor, *tracks, joined=False).parts) == 6


def test_a_track_that_leaves_before_a_change_of_kit_belongs_to_the_others() -> None:
    conductor = [kit(0, 0), kit(960, 16)]
    both = note(0, 60, KICK) + note(960, 1020, KICK)
    score = score_of(conductor, note(0, 60, HIHAT), both, note(960, 1020, OPEN))
    assert [(part.kit, part.n_notes) for part in score.parts] == [(0, 2), (16, 2)]


def test_the_program_change_of_another_track_is_in_the_part() -> None:
    early = [kit(0, 0), *note(0, 60, HIHAT)]
    both = [kit(0, 0), *note(240, 300, KICK), kit(960, 16), *note(960, 1020, KICK)]
    score = score_of(early, both)
    assert [(p.kit, p.n_notes, p.track) for p in score.parts] == [(0, 2, 0), (16, 1, 0)]
    for k, program in enumerate((0, 16)):
        (instrument,) = pretty_midi.PrettyMIDI(io.BytesIO(score.midi(k))).instruments
        assert instrument.program == program
        assert len(instrument.notes) == score.parts[k].n_notes


def test_a_key_that_another_track_strikes_ends_the_note_before() -> None:
    """Else the first note-off would end both, and readers would see notes of other lengths."""
    long, short = note(0, 480, HIHAT), note(240, 300, HIHAT)
    score = score_of(long, short)
    notes = score.notes(0)
    assert notes.onset_tick.tolist() == [0, 240]
    assert notes.offset_tick.tolist() == [240, 300]
    midi = pretty_midi.PrettyMIDI(io.BytesIO(score.midi(0)))
    ends = sorted(n.end - n.start for n in midi.instruments[0].notes)
    np.testing.assert_allclose(ends, [60 / 960, 240 / 960], atol=1e-6)


def test_controllers_are_sent_once() -> None:
    volume = (0, mido.Message("control_change", control=7, value=90, channel=9))
    score = score_of([volume, *note(0, 60, KICK)], note(0, 60, HIHAT))
    sent = [event.data for event in score.events(0) if event.data[0] >> 4 == 0xB]
    assert sent == [bytes((0xB9, 7, 90))]


def test_melodies_are_left_alone() -> None:
    tracks = [note(0, 60, 60, channel=0), note(0, 60, 64, channel=0), note(0, 60, KICK)]
    assert score_of(*tracks).parts == score_of(*tracks, joined=False).parts


def test_texts_of_all_tracks_are_kept_and_one_name() -> None:
    text = (0, mido.MetaMessage("text", text="swing"))
    score = score_of(note(0, 60, KICK), [text, *note(0, 60, HIHAT)])
    metas = [
        m for track in mido.MidiFile(file=io.BytesIO(score.midi(0))).tracks for m in track
        if m.type in ("text", "track_name")
    ]  # fmt: skip
    assert [(m.type, getattr(m, "text", None) or m.name) for m in metas] == [
        ("track_name", "track 0"),
        ("text", "swing"),
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 40),
                st.integers(1, 12),
                st.sampled_from((KICK, SNARE, HIHAT)),
                st.sampled_from((0, 0, 0, 16)),
            ),
            min_size=1,
            max_size=8,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_note_is_lost_or_added(tracks: Sequence[Sequence[tuple[int, int, int, int]]]) -> None:
    """Whatever tracks play: the same strikes, and a stem's MIDI with all of them."""
    files = [
        [
            event
            for start, length, key, program in track
            for event in (kit(30 * start, program), *note(30 * start, 30 * (start + length), key))
        ]
        for track in tracks
    ]
    apart, joined = score_of(*files, joined=False), score_of(*files)
    all_strikes = [
        Counter(strike for k in range(len(score.parts)) for strike in strikes(score, k))
        for score in (apart, joined)
    ]
    assert all_strikes[0] == all_strikes[1]
    assert len(joined.parts) <= len(apart.parts)
    for k, part in enumerate(joined.parts):
        on = [
            message
            for track in mido.MidiFile(file=io.BytesIO(joined.midi(k))).tracks
            for message in track
            if message.type == "note_on" and message.velocity
        ]
        assert len(on) == part.n_notes


def test_real_files_keep_their_notes(shared: Path) -> None:
    n_touched = 0
    for path in sorted((shared / "midi" / "dev").rglob("*.mid")):
        try:
            _, apart = load_score(path, 3600)
        except Unusable:
            continue
        tracks = Counter(part.channel for part in apart.parts if part.is_drum)
        if max(tracks.values(), default=0) < 2:
            continue
        _, joined = load_score(path, 3600, are_drums_joined=True)
        n_drums = [sum(p.n_notes for p in s.parts if p.is_drum) for s in (apart, joined)]
        assert n_drums[0] == n_drums[1], path
        n_touched += len(joined.parts) < len(apart.parts)
    assert n_touched
