"""What is a drum part, and which program a note has: resets, rhythm parts, banks, ports."""

from __future__ import annotations

import io

import mido
import pretty_midi
import pytest
from stemsmith.render.midi.score import Score, read_score

Timed = tuple[int, mido.Message | mido.MetaMessage]

GM_ON = bytes.fromhex("7e7f0901")
GM2_ON = bytes.fromhex("7e7f0903")
GS_ON = bytes.fromhex("411042124000 7f0041")
XG_ON = bytes.fromhex("43104c00007e00")


def gs(*address_and_value: int) -> bytes:
    """Return a Roland message with its checksum."""
    body = bytes(address_and_value)
    return bytes.fromhex("41104212") + body + bytes((-sum(body) % 128,))


def sysex(tick: int, data: bytes) -> Timed:
    return tick, mido.Message("sysex", data=data)


def change(tick: int, channel: int, program: int) -> Timed:
    return tick, mido.Message("program_change", channel=channel, program=program)


def bank(tick: int, channel: int, msb: int) -> Timed:
    return tick, mido.Message("control_change", channel=channel, control=0, value=msb)


def lsb(tick: int, channel: int, value: int) -> Timed:
    return tick, mido.Message("control_change", channel=channel, control=32, value=value)


def notes(channel: int, *ticks: int) -> list[Timed]:
    events: list[Timed] = []
    for tick in ticks:
        on = mido.Message("note_on", channel=channel, note=38, velocity=90)
        events += [(tick, on), (tick + 50, mido.Message("note_off", channel=channel, note=38))]
    return events


def file_of(*tracks: list[Timed]) -> bytes:
    file = mido.MidiFile(ticks_per_beat=480)
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


def parts_of(*tracks: list[Timed]) -> list[tuple[int, int, bool, int]]:
    """Return channel, program or kit, whether it is drums, and the number of notes."""
    score = score_of(*tracks)
    for k, part in enumerate(score.parts):  # readers see the same
        (heard,) = pretty_midi.PrettyMIDI(io.BytesIO(score.midi(k))).instruments
        assert (heard.is_drum, len(heard.notes)) == (part.is_drum, part.n_notes)
    return [
        (p.channel, p.kit if p.is_drum else p.program, p.is_drum, p.n_notes) for p in score.parts
    ]


@pytest.mark.parametrize(
    ("setup", "channel", "program", "is_drum"),
    [
        pytest.param([], 9, 16, True, id="channel 10"),
        pytest.param([], 8, 16, False, id="channel 9"),
        pytest.param([sysex(1, gs(0x40, 0x1A, 0x15, 2))], 10, 8, True, id="GS rhythm part 11"),
        pytest.param([sysex(1, gs(0x40, 0x11, 0x15, 1))], 0, 8, True, id="GS rhythm part 1"),
        pytest.param([sysex(1, gs(0x40, 0x10, 0x15, 0))], 9, 8, False, id="GS melodic part 10"),
        pytest.param([sysex(1, gs(0x40, 0x1A, 0x15, 2))], 11, 8, False, id="another part"),
        pytest.param(
            [sysex(1, gs(0x40, 0x1A, 0x15, 2)[:-1] + b"\0")], 10, 8, False, id="wrong checksum"
        ),
        pytest.param(
            [sysex(0, GM_ON), sysex(1, gs(0x40, 0x1A, 0x15, 2))], 10, 8, False, id="GS under GM"
        ),
        pytest.param(
            [sysex(0, gs(0x40, 0x1A, 0x15, 2)), sysex(1, GS_ON)], 10, 8, False, id="GS reset after"
        ),
        pytest.param(
            [sysex(0, XG_ON), sysex(1, bytes.fromhex("43104c080a0701"))], 10, 8, True, id="XG part"
        ),
        pytest.param(
            [sysex(0, XG_ON), sysex(1, bytes.fromhex("43104c08090700"))],
            9, 8, False, id="XG part 10 melodic",
        ),
        pytest.param([sysex(1, bytes.fromhex("43104c080a0701"))], 10, 8, False, id="XG part alone"),
        pytest.param([sysex(0, XG_ON), bank(1, 10, 127)], 10, 8, True, id="XG bank 127"),
        pytest.param([sysex(0, XG_ON), bank(1, 10, 126)], 10, 8, True, id="XG bank 126"),
        pytest.param([bank(1, 10, 127)], 10, 8, False, id="bank 127 alone"),
        pytest.param([sysex(0, GS_ON), bank(1, 10, 127)], 10, 8, False, id="GS bank 127"),
        pytest.param([sysex(0, GM_ON), bank(1, 10, 127)], 10, 8, False, id="GM bank 127"),
        pytest.param(
            [sysex(0, XG_ON), bank(1, 9, 0), lsb(1, 9, 0)], 9, 8, False, id="XG channel 10 melodic"
        ),
        pytest.param([sysex(0, XG_ON), bank(1, 9, 0)], 9, 8, True, id="XG channel 10, no LSB"),
        pytest.param([sysex(0, GM2_ON), bank(1, 10, 120)], 10, 8, True, id="GM2 bank 120"),
        pytest.param([sysex(0, GM2_ON), bank(1, 9, 121)], 9, 8, False, id="GM2 channel 10 melodic"),
        pytest.param([bank(1, 10, 120)], 10, 8, True, id="bank 120 before any reset"),
        pytest.param([sysex(0, GM_ON), bank(1, 10, 120)], 10, 8, False, id="GM bank 120"),
        pytest.param([sysex(0, GS_ON), bank(1, 9, 8)], 9, 8, True, id="GS channel 10, a variation"),
    ],
)  # fmt: skip
def test_what_is_a_drum_part(setup: list[Timed], channel: int, program: int, is_drum: bool) -> None:
    assert parts_of([*setup, change(2, channel, program), *notes(channel, 10, 90)]) == [
        (channel, program, is_drum, 2)
    ]


def test_a_bank_counts_from_the_next_program_change_on() -> None:
    setup = [sysex(0, XG_ON), change(1, 3, 5), bank(15, 3, 127), change(200, 3, 5)]
    assert parts_of([*setup, *notes(3, 10, 90, 300)]) == [(3, 5, False, 2), (3, 5, True, 1)]


def test_a_rhythm_part_has_the_standard_kit_until_a_program_change() -> None:
    setup = [change(0, 10, 40), sysex(1, gs(0x40, 0x1A, 0x15, 1)), change(95, 10, 25)]
    assert parts_of([*setup, *notes(10, 10, 100)]) == [(10, 0, True, 1), (10, 25, True, 1)]


def test_a_reset_takes_programs_and_rhythm_parts_back() -> None:
    setup = [sysex(0, gs(0x40, 0x14, 0x15, 1)), change(1, 3, 8), change(1, 4, 60)]
    assert parts_of([*setup, sysex(60, GS_ON)], notes(3, 10, 90), notes(4, 10, 90)) == [
        (3, 8, True, 1),
        (3, 0, False, 1),
        (4, 60, False, 1),
        (4, 0, False, 1),
    ]


def test_a_fragment_of_a_system_exclusive_is_none() -> None:
    data = file_of([sysex(0, XG_ON), bank(1, 4, 127), change(2, 4, 0), *notes(4, 10)])
    assert read_score(data).parts[0].is_drum
    assert not read_score(data.replace(b"\x7e\x00\xf7", b"\x7e\x00\x00")).parts[0].is_drum


def test_the_file_of_a_melody_on_channel_10_has_no_drums() -> None:
    score = score_of([sysex(0, gs(0x40, 0x10, 0x15, 0)), change(1, 9, 73), *notes(9, 10)])
    assert score.parts[0].channel == 9
    messages = [m for m in mido.MidiFile(file=io.BytesIO(score.midi(0))) if not m.is_meta]
    assert {m.channel for m in messages if m.type != "sysex"} == {0}
    # The synthesiser is told what the score says.
    assert {e.data[0] & 15 for e in score.events(0) if e.data[0] < 0xF0} == {9}


# The program at the first note.


def test_a_program_change_written_after_the_first_note_counts_for_it() -> None:
    track = [*notes(0, 0, 100)[:1], change(0, 0, 73), *notes(0, 0, 100)[1:]]
    assert parts_of(track) == [(0, 73, False, 2)]
    (on,) = [e.tick for e in score_of(track).events(0) if e.data[0] == 0xC0]
    assert on == 0
    order = [e.data[0] >> 4 for e in score_of(track).events(0)]
    assert order[:2] == [0xC, 0x9]


def test_it_may_be_in_a_later_track() -> None:
    assert parts_of(notes(0, 0, 100), [change(0, 0, 73)]) == [(0, 73, False, 2)]
    assert parts_of(notes(0, 0, 100), [change(0, 0, 73), *notes(0, 0)]) == [
        (0, 73, False, 2),
        (0, 73, False, 1),
    ]


def test_a_later_program_change_counts_from_the_next_note_on() -> None:
    track = notes(0, 0, 100)
    track.insert(3, change(100, 0, 73))
    assert parts_of(track) == [(0, 0, False, 2)]
    assert parts_of([*track, *notes(0, 200)]) == [(0, 0, False, 2), (0, 73, False, 1)]


# Ports and device names.


def on_port(port: int) -> Timed:
    return 0, mido.MetaMessage("midi_port", port=port)


def on_device(name: str) -> Timed:
    return 0, mido.MetaMessage("device_name", name=name)


BEND: Timed = (20, mido.Message("pitchwheel", channel=0, pitch=8191))


@pytest.mark.parametrize("named", [on_port, lambda k: on_device(f"module {k}")])
def test_two_ports_or_devices_are_two_sets_of_channels(named: object) -> None:
    first, second = (named(k) for k in range(2))  # type: ignore[operator]
    score = score_of(
        [first, change(0, 0, 73), *notes(0, 10)],
        [second, change(0, 0, 48), *notes(0, 10), BEND],
        [second, *notes(0, 40)],
    )
    assert [(p.track, p.channel, p.program) for p in score.parts] == [
        (0, 0, 73), (1, 0, 48), (2, 0, 48),
    ]  # fmt: skip
    bends = [[e.tick for e in score.events(k) if e.data[0] >> 4 == 0xE] for k in range(3)]
    assert bends == [[], [20], [20]]
    assert score.n_devices == 2
    ons = [sum(e.data[0] == 0x90 for e in score.unsplit_events(k)) for k in range(2)]
    assert ons == [1, 2]


def test_a_rhythm_part_of_one_port_is_none_on_the_other() -> None:
    rhythm = sysex(1, gs(0x40, 0x1A, 0x15, 2))
    assert [p.is_drum for p in score_of(
        [on_port(0), rhythm, *notes(10, 10)], [on_port(1), *notes(10, 10)]
    ).parts] == [True, False]  # fmt: skip
    assert [p.is_drum for p in score_of(
        [rhythm], [on_port(0), *notes(10, 10)], [on_port(1), *notes(10, 10)]
    ).parts] == [True, True]  # fmt: skip


def test_what_names_no_port_is_on_the_first() -> None:
    score = score_of(
        [change(0, 0, 5)], [on_port(3), *notes(0, 10)], [BEND, on_port(4), *notes(0, 10)]
    )
    assert [p.program for p in score.parts] == [5, 0]
    assert score_of([change(0, 0, 5)], [on_port(1), *notes(0, 10)]).parts[0].program == 5


def test_a_track_may_change_its_port() -> None:
    track = [
        on_port(0),
        *notes(0, 10),
        (100, mido.MetaMessage("midi_port", port=1)),
        change(100, 0, 9),
    ]
    assert [p.program for p in score_of([*track, *notes(0, 200)]).parts] == [0, 9]
