"""Reading Standard MIDI Files with rescue, and writing them."""

from __future__ import annotations

import io
import struct
import tracemalloc

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.records import Reason
from stemsmith.render.midi import smf
from stemsmith.render.midi.score import read_score
from stemsmith.render.midi.smf import META, Event, RawFile, Unusable, parse
from stemsmith.render.midi.smf_writer import serialise

LONGEST_DELTA = 0x0FFFFFFF  # what a variable-length number of a file holds
END = b"\0\xff\x2f\0"
NOTE = b"\0\x90\x3c\x40\x60\x80\x3c\0"
NOTE_EVENTS = [Event(0, b"\x90\x3c\x40"), Event(96, b"\x80\x3c\0")]


def chunk(body: bytes, length: int | None = None, kind: bytes = b"MTrk") -> bytes:
    return struct.pack(">4sL", kind, len(body) if length is None else length) + body


def header(n_tracks: int, form: int = 1, division: int = 480, length: int = 6) -> bytes:
    return struct.pack(">4sLHHh", b"MThd", length, form, n_tracks, division)


def file_of(*bodies: bytes, form: int = 1, division: int = 480) -> bytes:
    return header(len(bodies), form, division) + b"".join(chunk(body) for body in bodies)


def notes_body(n_notes: int, first_pitch: int = 40) -> bytes:
    """Return notes of eight bytes each, one after the other, without end-of-track."""
    return b"".join(
        bytes((0, 0x90, first_pitch + k % 40, 64, 0x60, 0x80, first_pitch + k % 40, 0))
        for k in range(n_notes)
    )


def events_of(body: bytes) -> list[Event]:
    """Return the events of a sound track body."""
    raw = parse(file_of(body + END))
    assert raw.repairs == ()
    return raw.tracks[0]


def refusal(data: bytes) -> Unusable:
    with pytest.raises(Unusable) as caught:
        parse(data)
    assert caught.value.detail
    return caught.value


# Events and tracks for hypothesis.

SEVEN_BIT = st.lists(st.integers(0, 127), max_size=200).map(bytes)

DATA = st.integers(0, 127)
CHANNEL_MESSAGES = st.one_of(
    st.builds(
        lambda kind, channel, a, b: bytes((kind << 4 | channel, a, b)),
        st.sampled_from((0x8, 0x9, 0xA, 0xB, 0xE)),
        st.integers(0, 15),
        DATA,
        DATA,
    ),
    st.builds(
        lambda kind, channel, a: bytes((kind << 4 | channel, a)),
        st.sampled_from((0xC, 0xD)),
        st.integers(0, 15),
        DATA,
    ),
)
TEXTS = st.builds(
    lambda kind, text: bytes((META, kind)) + text, st.integers(1, 7), st.binary(max_size=200)
)
TEMPOS = st.integers(1, 0xFFFFFF).map(lambda tempo: b"\xff\x51" + tempo.to_bytes(3, "big"))
METERS = st.builds(
    lambda numerator, power: bytes((META, 0x58, numerator, power, 24, 8)),
    st.integers(1, 255),
    st.integers(0, 6),
)
KEYS = st.builds(
    lambda fifths, mode: b"\xff\x59" + struct.pack("bB", fifths, mode),
    st.integers(-7, 7),
    st.integers(0, 1),
)
METAS = st.one_of(TEXTS, TEMPOS, METERS, KEYS)
SYSEXES = st.lists(DATA, max_size=200).map(lambda data: b"\xf0" + bytes(data) + b"\xf7")
# What mido does not keep: continued and escaped exclusives byte by byte, the time of unknown metas.
RARITIES = st.one_of(
    SEVEN_BIT.map(lambda data: b"\xf0" + data),
    SEVEN_BIT.map(lambda data: b"\xf0" + data + b"\xf7"),
    SEVEN_BIT.map(lambda data: b"\xf7" + data),
    st.binary(max_size=200).map(lambda data: b"\xff\x7f" + data),
    st.binary(max_size=200).map(lambda data: b"\xff\x4b" + data),
)
DELTAS = st.one_of(st.integers(0, 1000), st.integers(0, LONGEST_DELTA))


@st.composite
def tracks_of(
    draw: st.DrawFn, messages: st.SearchStrategy[bytes], deltas: st.SearchStrategy[int]
) -> list[list[Event]]:
    tracks = []
    for track in draw(st.lists(st.lists(st.tuples(deltas, messages), max_size=20), max_size=4)):
        tick, events = 0, []
        for delta, data in track:
            tick += delta
            events.append(Event(tick, data))
        tracks.append(events)
    return tracks


DIVISIONS = st.one_of(
    st.integers(1, 32767),
    st.builds(
        lambda frames, ticks: -(frames << 8) + ticks,
        st.sampled_from((24, 25, 29, 30)),
        st.integers(1, 255),
    ),
)


@given(DIVISIONS, tracks_of(st.one_of(CHANNEL_MESSAGES, METAS, SYSEXES, RARITIES), DELTAS))
@settings(deadline=None)
def test_what_is_written_is_read_again_unchanged(division: int, tracks: list[list[Event]]) -> None:
    assert parse(serialise(division, tracks)) == RawFile(division, tuple(tracks), ())


def mido_events(data: bytes) -> list[list[Event]]:
    tracks = []
    for track in mido.MidiFile(file=io.BytesIO(data)).tracks:
        tick, events = 0, []
        for message in track:
            tick += message.time
            if message.type == "end_of_track":
                continue
            raw = bytes(message.bytes())
            if message.is_meta:  # mido's bytes have the length, one byte or two
                raw = raw[:2] + raw[4 if raw[2] >= 0x80 else 3 :]
            events.append(Event(tick, raw))
        tracks.append(events)
    return tracks


@given(st.integers(1, 32767), tracks_of(st.one_of(CHANNEL_MESSAGES, METAS, SYSEXES), DELTAS))
@settings(deadline=None)
def test_mido_reads_the_same_messages(division: int, tracks: list[list[Event]]) -> None:
    data = serialise(division, tracks)
    assert mido_events(data) == tracks
    assert mido.MidiFile(file=io.BytesIO(data)).ticks_per_beat == division


def test_times_between_events_beyond_the_format_are_kept() -> None:
    # Splitting takes events out, so that the others lie further apart than in any file.
    events = [Event(5, b"\x90\x3c\x40"), Event(5 + 3 * LONGEST_DELTA, b"\x80\x3c\0")]
    data = serialise(480, [events])
    raw = parse(data)
    assert raw.repairs == ()
    assert [event for event in raw.tracks[0] if event.data[0] != META] == events
    assert [e for e in mido_events(data)[0] if e.data[0] != META] == events


def test_running_status_is_expanded() -> None:
    events = events_of(b"\0\x90\x3c\x40\x60\x3c\0\0\x40\x50\x10\xc3\x07\0\x08\0\x90\x41\x42")
    assert events == [
        Event(0, b"\x90\x3c\x40"),
        Event(96, b"\x90\x3c\0"),
        Event(96, b"\x90\x40\x50"),
        Event(112, b"\xc3\x07"),
        Event(112, b"\xc3\x08"),
        Event(112, b"\x90\x41\x42"),
    ]


def test_running_status_outlives_meta_events_and_exclusives() -> None:
    # Not allowed, but common; there is only one thing it can mean.
    events = events_of(b"\0\x90\x3c\x40\0\xff\x01\x01a\0\x3d\x40\0\xf0\x02\x7d\xf7\0\x3e\x40")
    assert [e.data for e in events if e.data[0] == 0x90] == [
        b"\x90\x3c\x40",
        b"\x90\x3d\x40",
        b"\x90\x3e\x40",
    ]


def test_data_without_any_status_is_damage() -> None:
    assert refusal(file_of(b"\0\x3c\x40" + NOTE + END)).reason is Reason.DAMAGED


N_NOTES = 60
BODY = notes_body(N_NOTES) + END


@pytest.mark.parametrize(
    "length",
    [0, 1, 3, 4, 5, 8, 200, 240, 243, len(BODY) - 4, len(BODY) - 1, len(BODY) + 1, 9999, 2**32 - 1],
)
def test_a_wrong_chunk_length_loses_nothing(length: int) -> None:
    second = notes_body(30, 41) + END
    raw = parse(header(2) + chunk(BODY, length) + chunk(second))
    assert raw.tracks == (events_of(notes_body(N_NOTES)), events_of(notes_body(30, 41)))
    assert raw.repairs == ("track 0: chunk length is wrong",)


@pytest.mark.parametrize("length", [0, 240, 243, len(BODY) + 1, 2**32 - 1])
def test_a_wrong_chunk_length_of_the_last_track_loses_nothing(length: int) -> None:
    raw = parse(header(1) + chunk(BODY, length))
    assert raw.tracks == (events_of(notes_body(N_NOTES)),)
    assert raw.repairs == ("track 0: chunk length is wrong",)


def test_events_behind_an_end_of_track_inside_the_chunk_are_read() -> None:
    body = NOTE + END + b"\x10" + NOTE[1:]
    later = [Event(112, b"\x90\x3c\x40"), Event(208, b"\x80\x3c\0")]
    for tail in (END, b"", END + END):
        raw = parse(file_of(body + tail, NOTE + END))
        assert raw.tracks == (NOTE_EVENTS + later, NOTE_EVENTS)
        assert "track 0: events behind the end of the track" in raw.repairs


@pytest.mark.parametrize(
    "behind",
    [b"\0\x90\x3c", b"\x12\x34\x56", END, b"\0\x90\xff\x40" + END],
    ids=["cut", "no status", "nothing", "byte over 127"],
)
def test_what_is_no_music_behind_an_end_of_track_is_not(behind: bytes) -> None:
    raw = parse(file_of(NOTE + END + behind, NOTE + END))
    assert raw.tracks == (NOTE_EVENTS, NOTE_EVENTS)
    assert raw.repairs == ("track 0: chunk length is wrong",)


def test_a_chunk_too_long_by_what_is_not_of_the_track_is_not_read_on() -> None:
    raw = parse(header(1) + chunk(NOTE + END, len(NOTE + END + NOTE)) + NOTE + b"more")
    assert raw.tracks == (NOTE_EVENTS,)


@pytest.mark.parametrize("meter", [b"\0\x02\x18\x08", b"\x04\x20\x18\x08"])
def test_a_time_signature_that_readers_refuse_is_dropped(meter: bytes) -> None:
    raw = parse(file_of(b"\0\xff\x58\x04" + meter + NOTE + END))
    assert raw.tracks == (NOTE_EVENTS,)
    assert raw.repairs == ("track 0: impossible time signature dropped",)


def test_a_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smf, "MAX_CPU_S", -1.0)
    assert refusal(file_of(NOTE + END)).reason is Reason.TOO_LARGE


def test_a_missing_end_of_track_loses_nothing() -> None:
    raw = parse(file_of(notes_body(20), notes_body(30, 41)))
    assert raw.tracks == (events_of(notes_body(20)), events_of(notes_body(30, 41)))
    assert raw.repairs == ("track 0: no end-of-track event", "track 1: no end-of-track event")


def test_without_end_of_track_a_chunk_that_follows_is_not_read_as_events() -> None:
    alien = chunk(b"\x05\x90\x3c\x40", kind=b"XFIH")
    raw = parse(header(2) + chunk(notes_body(20)) + alien + chunk(notes_body(30, 41) + END))
    assert raw.tracks == (events_of(notes_body(20)), events_of(notes_body(30, 41)))
    assert raw.repairs == ("track 0: no end-of-track event",)


def test_the_declared_length_holds_where_damage_ends_the_reading() -> None:
    # The second track is found although the first one cannot be read to its end.
    body = notes_body(200) + b"\0\xff\xff\xff\xff\xff"
    raw = parse(file_of(body, notes_body(200, 41) + END))
    assert raw.tracks == (events_of(notes_body(200)), events_of(notes_body(200, 41)))
    assert len(raw.repairs) == 1
    assert raw.repairs[0].startswith("track 0: unreadable from byte")


@pytest.mark.parametrize("position", [0, 240, 472])
def test_a_track_unreadable_from_its_middle_is_damage(position: int) -> None:
    broken = b"\0\xff\xff\xff\xff\xff\xff"
    body = BODY[:position] + broken + BODY[position:]
    assert refusal(file_of(body)).reason is Reason.DAMAGED
    assert refusal(file_of(body, BODY)).reason is Reason.DAMAGED


@pytest.mark.parametrize("length", [0, 5, 100])
def test_damage_beyond_a_chunk_length_that_is_too_short_counts_as_loss(length: int) -> None:
    broken = b"\0\xff\xff\xff\xff\xff\xff"
    body = BODY[:240] + broken + BODY[240:]
    assert refusal(header(1) + chunk(body, length)).reason is Reason.DAMAGED
    assert refusal(header(2) + chunk(body, length) + chunk(BODY)).reason is Reason.DAMAGED


def test_a_few_data_bytes_over_127_are_clipped() -> None:
    body = bytearray(notes_body(100))
    body[3] = 0xFF  # a velocity
    body[8 * 50 + 6] = 0x90  # a pitch
    raw = parse(file_of(bytes(body) + END))
    expected = events_of(notes_body(100))
    expected[0] = Event(0, b"\x90\x28\x7f")
    expected[101] = Event(expected[101].tick, b"\x80\x7f\0")
    assert raw.tracks == (expected,)
    assert raw.repairs == ("track 0: data byte over 127 clipped (2 times)",)


def test_many_data_bytes_over_127_are_damage() -> None:
    body = bytearray(notes_body(100))
    for k in range(5):  # of 200 events
        body[8 * k + 3] = 0xFF
    assert refusal(file_of(bytes(body) + END)).reason is Reason.DAMAGED


@pytest.mark.parametrize(
    "meta",
    [
        b"\xff\x59\x02\x14\x00",  # 20 sharps
        b"\xff\x59\x02\x00\x04",  # mode 4
        b"\xff\x59\x00",
        b"\xff\x54\x05\x00\x00\x00\x00\xff",  # SMPTE offset with sub-frame 255
        b"\xff\x58\x02\x04\x02",  # time signature of two bytes
        b"\xff\x51\x03\x00\x00\x00",  # tempo of 0
        b"\xff\x51\x00",
        b"\xff\x51\x02\x07\xa1",
    ],
)
def test_a_meta_event_nobody_can_digest_is_dropped(meta: bytes) -> None:
    raw = parse(file_of(NOTE + b"\x0a" + meta + NOTE + END))
    assert raw.tracks == ([*NOTE_EVENTS, *(Event(e.tick + 106, e.data) for e in NOTE_EVENTS)],)
    assert len(raw.repairs) == 1
    assert "dropped" in raw.repairs[0]


@pytest.mark.parametrize("n_bytes", [4, 9, 127])
def test_a_tempo_of_more_than_three_bytes_is_dropped(n_bytes: int) -> None:
    for payload in (bytes(n_bytes), b"\xff" * n_bytes, b"\x07\xa1\x20" + bytes(n_bytes - 3)):
        raw = parse(file_of(b"\0\xff\x51" + bytes((n_bytes,)) + payload + NOTE + END))
        assert raw.tracks == (NOTE_EVENTS,)
        assert "dropped" in raw.repairs[0]


def test_a_tempo_of_many_bytes_does_not_break_the_tempo_map() -> None:
    data = file_of(b"\0\xff\x51\x81\x48" + b"\xff" * 200 + NOTE + END)
    assert read_score(data).duration_s == pytest.approx(0.1)


@pytest.mark.parametrize("junk", [b"\0" * 128, b"From: someone\r\n\r\n", b"MTrk" + b"\0" * 60])
def test_junk_before_the_header_is_skipped(junk: bytes) -> None:
    raw = parse(junk + file_of(NOTE + END))
    assert raw.tracks == (NOTE_EVENTS,)
    assert raw.repairs == (f"{len(junk)} bytes before the header skipped",)


def test_riff_rmid_is_read() -> None:
    inner = file_of(NOTE + END)
    body = b"RMIDdata" + struct.pack("<L", len(inner)) + inner
    raw = parse(b"RIFF" + struct.pack("<L", len(body)) + body)
    assert raw.tracks == (NOTE_EVENTS,)
    assert raw.repairs == ("20 bytes before the header skipped",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"M",
        b"<html><body>404 not found</body></html>",
        bytes(range(256)) * 16,
        b"MThd",
        header(1)[:13],
        b"\0" * 5000 + file_of(NOTE + END),
        chunk(NOTE + END),
    ],
)
def test_a_file_without_a_header_is_not_midi(data: bytes) -> None:
    assert refusal(data).reason is Reason.NOT_MIDI


@pytest.mark.parametrize("n_extra", [1, 2, 10])
def test_a_longer_header_is_read_by_its_length(n_extra: int) -> None:
    raw = parse(header(1, length=6 + n_extra) + b"x" * n_extra + chunk(NOTE + END))
    assert raw == RawFile(480, (NOTE_EVENTS,), ())


@pytest.mark.parametrize("length", [0, 5, 22, 2**32 - 1])
def test_a_wrong_header_length_is_ignored(length: int) -> None:
    raw = parse(header(1, length=length) + chunk(NOTE + END))
    assert raw.tracks == (NOTE_EVENTS,)
    assert raw.repairs == (f"header length {length} ignored",)


@pytest.mark.parametrize("n_declared", [0, 1, 3, 900])
def test_a_wrong_number_of_tracks_is_reported(n_declared: int) -> None:
    raw = parse(header(n_declared) + chunk(NOTE + END) * 2)
    assert raw.tracks == (NOTE_EVENTS, NOTE_EVENTS)
    assert raw.repairs == (f"2 tracks found, {n_declared} declared",)


def test_tracks_after_the_declared_ones_and_junk_are_remains_of_an_older_file() -> None:
    # Editors that write a shorter song over a longer one leave the old tail; no player reads it.
    old_tail = notes_body(40)[3:] + END + chunk(notes_body(30) + END)
    raw = parse(header(2) + chunk(NOTE + END) * 2 + old_tail)
    assert raw.tracks == (NOTE_EVENTS, NOTE_EVENTS)


def test_junk_after_the_last_track_is_ignored() -> None:
    raw = parse(file_of(NOTE + END) + bytes(range(1, 200)))
    assert raw.tracks == (NOTE_EVENTS,)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (b"\xf1\x10", "0xf1"),
        (b"\xf2\x10\x20", "0xf2"),
        (b"\xf3\x10", "0xf3"),
        (b"\xf4", "0xf4"),
        (b"\xf5", "0xf5"),
        (b"\xf6", "0xf6"),
        (b"\xf8", "0xf8"),
        (b"\xfc", "0xfc"),
        (b"\xfe", "0xfe"),
    ],
)
def test_a_status_byte_without_meaning_in_files_is_skipped(message: bytes, name: str) -> None:
    raw = parse(file_of(NOTE + b"\x0a" + message + NOTE + END))
    assert raw.tracks == ([*NOTE_EVENTS, *(Event(e.tick + 106, e.data) for e in NOTE_EVENTS)],)
    assert raw.repairs == (f"track 0: status byte {name} skipped",)


def test_an_alien_chunk_between_tracks_is_skipped() -> None:
    alien = chunk(b"\x01\x02\x90\x3c\x40", kind=b"XFIH")
    raw = parse(header(2) + alien + chunk(NOTE + END) + alien + chunk(NOTE + END) + alien)
    assert raw.tracks == (NOTE_EVENTS, NOTE_EVENTS)


def test_format_2_with_several_tracks_is_refused() -> None:
    assert refusal(file_of(NOTE + END, NOTE + END, form=2)).reason is Reason.ASYNCHRONOUS


def test_format_2_with_one_track_is_read() -> None:
    assert parse(file_of(NOTE + END, form=2)) == RawFile(480, (NOTE_EVENTS,), ())


def test_an_unknown_format_is_read_as_format_1() -> None:
    raw = parse(file_of(NOTE + END, NOTE + END, form=29697))
    assert raw.tracks == (NOTE_EVENTS, NOTE_EVENTS)
    assert raw.repairs == ("unknown format 29697 read as format 1",)


def test_truncation_anywhere_is_refused_or_reported_and_loses_little() -> None:
    bodies = [
        b"\0\xff\x51\x03\x07\xa1\x20\0\xff\x03\x04name\0\xf0\x05\x7d\x01\x02\x03\xf7" + END,
        b"\0\xc0\x05" + notes_body(60) + END,
        b"\0\xc1\x21\0\xb1\x07\x64" + notes_body(70) + b"\0\xe0\0\x40" + END,
    ]
    whole = file_of(*bodies)
    expected = parse(whole).tracks
    n_bytes = len(whole) - len(header(3))
    outcomes = set()
    for size in range(len(whole)):
        try:
            raw = parse(whole[:size])
        except Unusable as finding:
            outcomes.add(finding.reason)
            continue
        for events, sound in zip(raw.tracks, expected, strict=False):
            assert events == sound[: len(events)]
        if len(raw.tracks) == len(expected):
            outcomes.add("shorter")
            assert len(whole) - size <= 0.0105 * n_bytes
            assert raw.repairs
        else:  # cut between two tracks: like a wrong number in the header
            outcomes.add("fewer")
            assert [len(events) for events in raw.tracks] == [
                len(events) for events in expected[: len(raw.tracks)]
            ]
            assert f"{len(raw.tracks)} tracks found, 3 declared" in raw.repairs
    assert outcomes == {Reason.NOT_MIDI, Reason.DAMAGED, "shorter", "fewer"}


def test_a_small_loss_is_damage_where_whole_tracks_are_missing() -> None:
    bodies = [notes_body(300) + END, notes_body(300) + END, notes_body(5) + END]
    kept = file_of(*bodies)[: -len(chunk(bodies[2])) - 3]
    assert refusal(kept).reason is Reason.DAMAGED
    complete = parse(header(2) + kept[len(header(3)) :])
    assert complete.tracks == (events_of(notes_body(300)),) * 2


def rich_file() -> bytes:
    """Return a file with every kind of event."""
    conductor = (
        b"\0\xff\x51\x03\x07\xa1\x20\0\xff\x58\x04\x04\x02\x18\x08\0\xff\x59\x02\x02\0"
        b"\0\xff\x54\x05\x60\0\0\0\0\0\xff\x03\x04name\0\xf0\x05\x7d\x01\x02\x03\xf7"
        b"\0\xff\x20\x01\x02\0\xff\x21\x01\0\0\xff\0\x02\0\x05\x83\x60\xff\x51\x03\x05\xa1\x20"
    )
    part = (
        b"\0\xc0\x05\0\xb0\x07\x64\x40\x0a\x20\x20\xe0\x10\x41\x10\xd0\x30\x10\xa0\x3c\x20"
        + notes_body(12)
        + b"\0\x90\x3c\x40\x20\x3c\0\0\xff\x05\x02la"
    )
    return file_of(conductor + END, part + END, b"\0\xc9\x08" + notes_body(6, 35) + END)


RICH = rich_file()


def survives(data: bytes) -> None:
    """Read a hostile file: it is refused, or what was read is sound."""
    try:
        raw = parse(data)
    except Unusable:
        return
    tracks = list(raw.tracks)
    assert parse(serialise(raw.division, tracks)) == RawFile(raw.division, raw.tracks, ())
    try:
        score = read_score(data)
    except Unusable:
        return
    assert score.n_notes == sum(part.n_notes for part in score.parts) > 0
    for k, _ in enumerate(score.parts):
        assert parse(score.midi(k)).repairs == ()


@given(st.lists(st.tuples(st.integers(0, len(RICH) - 1), st.integers(1, 255)), max_size=6))
@settings(deadline=None, max_examples=400, derandomize=True)
def test_flipped_bytes_raise_nothing_else(flips: list[tuple[int, int]]) -> None:
    data = bytearray(RICH)
    for position, mask in flips:
        data[position] ^= mask
    survives(bytes(data))


@given(st.integers(0, len(RICH)), st.integers(0, len(RICH)), st.binary(max_size=30))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_spliced_files_raise_nothing_else(end: int, start: int, between: bytes) -> None:
    survives(RICH[:end] + between + RICH[start:])


@given(st.integers(0, 3), st.integers(-32768, 32767), st.lists(st.binary(max_size=60), max_size=3))
@settings(deadline=None, max_examples=300, derandomize=True)
def test_random_tracks_raise_nothing_else(form: int, division: int, bodies: list[bytes]) -> None:
    survives(file_of(*bodies, form=form, division=division))


def test_a_large_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(BODY)
    monkeypatch.setattr(smf, "MAX_FILE_BYTES", len(data))
    parse(data)
    monkeypatch.setattr(smf, "MAX_FILE_BYTES", len(data) - 1)
    assert refusal(data).reason is Reason.TOO_LARGE


def test_too_many_events_of_all_tracks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(BODY, BODY)
    monkeypatch.setattr(smf, "MAX_EVENTS", 4 * N_NOTES)
    parse(data)
    monkeypatch.setattr(smf, "MAX_EVENTS", 4 * N_NOTES - 1)
    assert refusal(data).reason is Reason.TOO_LARGE


def test_a_length_field_allocates_nothing() -> None:
    sysex = file_of(b"\0\xf0\xff\xff\xff\x7f" + NOTE + END)
    text = file_of(b"\0\xff\x01\xff\xff\xff\x7f" + NOTE + END)
    tracemalloc.start()
    for data in (sysex, text, header(65535) + chunk(NOTE, 2**32 - 1)):
        assert refusal(data).reason is Reason.DAMAGED
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_more_chunks_than_the_header_can_count_are_refused() -> None:
    data = header(1) + b"MTrk\0\0\0\0" * 70_000
    assert refusal(data).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("message", [b"\xf0\x05\x43\x90\x7f\x00\xf7", b"\xf7\x01\xfe"])
def test_a_system_exclusive_that_readers_refuse_is_dropped(message: bytes) -> None:
    raw = parse(file_of(b"\0" + message + NOTE + END))
    assert not any(data[0] in (0xF0, 0xF7) for _, data in raw.tracks[0])
    assert any("system exclusive" in repair for repair in raw.repairs)
    mido.MidiFile(file=io.BytesIO(serialise(raw.division, list(raw.tracks))))
