"""Taking notes out of the messages of a part."""

from __future__ import annotations

import io

import pretty_midi
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.render.midi.smf import Event
from stemsmith.render.midi.smf_writer import serialise
from stemsmith.render.midi.strikes import without_strikes


def on(tick: int, key: int = 60, velocity: int = 100) -> Event:
    return Event(tick, bytes((0x90, key, velocity)))


def off(tick: int, key: int = 60) -> Event:
    return Event(tick, bytes((0x80, key, 0)))


def without(events: list[Event], *strikes: tuple[int, int, int]) -> list[Event]:
    return list(without_strikes(events, set(strikes)))


def test_a_note_goes_with_its_end() -> None:
    events = [on(0), off(10), on(20), off(30)]
    assert without(events, (0, 60, 100)) == events[2:]
    assert without(events, (20, 60, 100)) == events[:2]
    assert without(events) == events


def test_only_the_velocity_that_is_named_goes() -> None:
    events = [on(0, velocity=3), off(10), on(10, velocity=90), off(20)]
    assert without(events, (0, 60, 3)) == events[2:]


def test_a_note_that_another_ended_by_striking_its_key_is_ended() -> None:
    events = [on(0), on(10, velocity=2), off(20)]
    assert without(events, (10, 60, 2)) == [on(0), off(10)]


def test_other_keys_and_other_messages_stay() -> None:
    volume = Event(5, bytes((0xB0, 7, 0)))
    events = [on(0), on(0, 64), volume, off(10), off(10, 64)]
    assert without(events, (0, 60, 100)) == [on(0, 64), volume, off(10, 64)]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_pretty_midi_reads_the_notes_that_are_left(data: st.DataObject) -> None:
    """Notes of a few keys, none struck while it sounds."""
    free = dict.fromkeys((60, 61, 62), 1)
    notes = []
    for _ in range(data.draw(st.integers(1, 12))):
        key = data.draw(st.sampled_from(sorted(free)))
        start = free[key] + data.draw(st.integers(1, 5))
        free[key] = start + data.draw(st.integers(1, 5))
        notes.append((start, free[key], key, data.draw(st.integers(1, 127))))
    dropped = data.draw(st.sets(st.sampled_from(notes)))
    messages = [(end, 0, off(end, key)) for _, end, key, _ in notes]
    messages += [(start, 1, on(start, key, velocity)) for start, _, key, velocity in notes]
    events = [event for _, _, event in sorted(messages)]
    kept = without(events, *[(start, key, velocity) for start, _, key, velocity in dropped])
    read = pretty_midi.PrettyMIDI(io.BytesIO(serialise(480, [[], kept])))
    found = [note for instrument in read.instruments for note in instrument.notes]
    assert sorted((read.time_to_tick(n.start), n.pitch, n.velocity) for n in found) == sorted(
        (start, key, velocity) for start, _, key, velocity in set(notes) - dropped
    )
