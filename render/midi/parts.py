"""Splitting the tracks of a MIDI file into parts, without losing an event.

A *part* is what one stem is rendered from: the notes of one track on one channel under one
program (on channel 10, under one drum kit).

* A part has every controller, bend and pressure its channel receives, from whichever track: a
  channel's state is common to all tracks that play on it.
* The program of a note is the last program change before the note's onset in its own track or in
  a track that plays no notes on the channel; a track without any program change follows the
  other tracks of its channel (two-hand piano scores name the program once).
* A program change inside a part starts another part, as in Slakh (through pretty_midi). Each
  keeps the changes to its own program, so that the stem's MIDI names one program.
* Tempo, meter, key, markers and system exclusives of all tracks are in every part.

Departures from pretty_midi: it takes the program in force when a note *ends*, and knows only the
program changes of the note's own track.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Part, Reason
from stemsmith.render.midi.limits import MAX_PARTS
from stemsmith.render.midi.smf import META, Event, Unusable, new_event

__all__ = ["TEMPO", "OpenPart", "Streams", "by_time", "collect_parts"]

TEMPO: Final = 0x51

_DRUM_CHANNEL: Final = 9
_TRACK_NAME: Final = 0x03
# Meta events that concern the whole score: copyright, marker, cue, SMPTE offset, tempo, meter, key.
_CONDUCTOR_METAS: Final = frozenset({0x02, 0x06, 0x07, 0x54, TEMPO, 0x58, 0x59})
_ADDED: Final = 1 << 62  # place of an event that is not in the file: after all that are


class Ordered(NamedTuple):
    """An event with its place in the file: merged tracks play in the order of any player."""

    tick: int
    track: int
    place: int
    data: bytes


# Ordered(...) without its Python frame, as in `stemsmith.render.midi.smf`.
_new_ordered: Final[Callable[[tuple[int, int, int, bytes]], Ordered]] = partial(
    tuple.__new__, Ordered
)


def by_time(events: list[Ordered]) -> list[Event]:
    """Return events in playing order."""
    return [new_event((tick, data)) for tick, _, _, data in sorted(events)]


class Streams:
    """The events of a file, sorted by what they act on.

    Parameters
    ----------
    tracks : sequence of list of Event
        Events of each track in file order.

    Attributes
    ----------
    sounding : list of (int, int)
        Tracks and channels that have notes, in order.
    common : list of Ordered
        Conductor events and system exclusives of all tracks.
    last_tick : int
        Tick of the last event of any track.
    """

    def __init__(self, tracks: Sequence[list[Event]]) -> None:
        self.common: list[Ordered] = []
        self.notes: dict[tuple[int, int], list[Ordered]] = defaultdict(list)
        self._metas: dict[int, list[Ordered]] = defaultdict(list)
        self._names: dict[int, str] = {}
        self._programs: dict[int, dict[int, list[Ordered]]] = defaultdict(dict)
        self._controls: dict[int, list[Ordered]] = defaultdict(list)
        for track, events in enumerate(tracks):
            self._sort_track(track, events)
        self.sounding = sorted(
            key
            for key, events in self.notes.items()
            if any(e.data[0] >> 4 == 9 and e.data[2] > 0 for e in events)
        )
        self._sounding_tracks = {track for track, _ in self.sounding}
        self.last_tick = max((events[-1].tick for events in tracks if events), default=0)

    def _sort_track(self, track: int, events: list[Event]) -> None:
        for place, (tick, data) in enumerate(events):
            event = _new_ordered((tick, track, place, data))
            status = data[0]
            if status < 0xF0:
                kind, channel = status >> 4, status & 0x0F
                if kind <= 0x9:
                    self.notes[track, channel].append(event)
                elif kind == 0xC:
                    self._programs[channel].setdefault(track, []).append(event)
                else:
                    self._controls[channel].append(event)
            elif status == META and data[1] not in _CONDUCTOR_METAS:
                self._metas[track].append(event)
                if data[1] == _TRACK_NAME:
                    name = data[2:].decode("latin-1").strip("\0 \t\r\n")
                    self._names.setdefault(track, name)
            else:
                self.common.append(event)

    def name(self, track: int) -> str:
        """Return a track's name, or the empty string."""
        return self._names.get(track, "")

    def sysexes(self) -> list[Ordered]:
        """Return the system exclusives of all tracks."""
        return [e for e in self.common if e.data[0] != META]

    def everything(self) -> list[Ordered]:
        """Return all channel events and system exclusives of the file."""
        programs = (events for tracks in self._programs.values() for events in tracks.values())
        streams = (self.sysexes(), *self.notes.values(), *self._controls.values(), *programs)
        return [event for stream in streams for event in stream]

    def conductor(self) -> list[Ordered]:
        """Return what goes into the first track of every part's file.

        The common events, and all meta events of tracks without notes (titles, lyrics).
        """
        titles = [
            event
            for track, metas in self._metas.items()
            if track not in self._sounding_tracks
            for event in metas
        ]
        return self.common + titles

    def metas(self, track: int) -> list[Ordered]:
        """Return a track's own meta events (name, lyrics, text)."""
        return self._metas.get(track, [])

    def controls(self, channel: int) -> list[Ordered]:
        """Return the controllers, bends and pressures of a channel, from all tracks."""
        return self._controls.get(channel, [])

    def stray_note_offs(self, channel: int) -> list[Ordered]:
        """Return the note-offs of a channel's tracks that have no note on it."""
        return [
            event
            for key, events in self.notes.items()
            if key[1] == channel and key not in self.sounding
            for event in events
        ]

    def program_changes(self, track: int, channel: int) -> list[Ordered]:
        """Return the program changes that hold for a track's notes on a channel."""
        tracks = self._programs.get(channel, {})
        return [
            event
            for donor, events in tracks.items()
            if donor == track or track not in tracks or (donor, channel) not in self.notes
            for event in events
        ]


class OpenPart:
    """A part being collected.

    Attributes
    ----------
    program : int
        The program in force at its notes; on the drum channel, the kit.
    notes : list of [int, int, int, int]
        Onset and offset in ticks (-1 while it sounds), pitch, velocity.
    note_events : list of Ordered
        Note-ons and note-offs in the order of the file.
    """

    def __init__(self, track: int, channel: int, program: int, bank: int) -> None:
        self.track, self.channel, self.program, self.bank = track, channel, program, bank
        self.notes: list[list[int]] = []
        self.note_events: list[Ordered] = []

    def channel_events(self, streams: Streams) -> list[Ordered]:
        """Return all channel messages of the part, unordered."""
        own_changes = [
            event
            for event in streams.program_changes(self.track, self.channel)
            if event.data[1] == self.program
        ]
        return self.note_events + streams.controls(self.channel) + own_changes

    def end_notes(self, end_tick: int) -> None:
        """End the notes that still sound."""
        for note in self.notes:
            if note[1] < 0:
                note[1] = end_tick
                off = bytes((0x80 | self.channel, note[2], 0))
                self.note_events.append(Ordered(end_tick, self.track, _ADDED, off))

    def added_events(self) -> list[Ordered]:
        """Return the note-offs that are not in the file."""
        return [event for event in self.note_events if event.place == _ADDED]

    def describe(self, streams: Streams) -> Part:
        """Return the part's record."""
        is_drum = self.channel == _DRUM_CHANNEL
        return Part(
            track=self.track,
            channel=self.channel,
            program=DRUMS if is_drum else self.program,
            bank=self.bank,
            kit=self.program if is_drum else 0,
            n_notes=len(self.notes),
            name=streams.name(self.track),
        )


def collect_parts(streams: Streams) -> list[OpenPart]:
    """Split a file into parts: by track, channel, and order of a program's first note.

    Raises
    ------
    Unusable
        If there is no note, or more parts than any song has.
    """
    parts: list[OpenPart] = []
    for track, channel in streams.sounding:
        parts.extend(_Voices(streams, track, channel).split())
        if len(parts) > MAX_PARTS:
            raise Unusable(Reason.TOO_LARGE, f"more than {MAX_PARTS} parts")
    if not parts:
        raise Unusable(Reason.NO_NOTES, "not a single note")
    return parts


def _is_relevant(data: bytes) -> bool:
    """Tell bank selects, all-sound-off, all-notes-off and mode changes from other messages."""
    return data[0] >> 4 == 0xB and (data[1] in (0, 120) or data[1] >= 123)


class _Voices:
    """Splits the notes of one track on one channel by program."""

    def __init__(self, streams: Streams, track: int, channel: int) -> None:
        self._stream = sorted(
            streams.notes[track, channel]
            + streams.stray_note_offs(channel)
            + [e for e in streams.controls(channel) if _is_relevant(e.data)]
            + streams.program_changes(track, channel)
        )
        self._track, self._channel = track, channel
        self._parts: dict[int, OpenPart] = {}
        self._sounding: dict[int, list[tuple[OpenPart, list[int]]]] = {}

    def split(self) -> list[OpenPart]:
        """Return the parts; a note-off nobody waits for stays with the first."""
        program = bank = selected_bank = 0
        orphans: list[Ordered] = []
        for event in self._stream:
            data = event.data
            kind = data[0] >> 4
            if kind == 0xC:
                program, bank = data[1], selected_bank
            elif kind == 0xB and data[1] == 0:
                selected_bank = data[2]  # in force from the next program change on
            elif kind == 0xB:
                self._end_all(event.tick)
            elif kind == 0x9 and data[2] > 0:
                self._start(event, program, bank)
            elif data[1] in self._sounding:
                for part, note in self._sounding.pop(data[1]):
                    note[1] = event.tick
                    part.note_events.append(event)
            else:
                orphans.append(event)
        parts = list(self._parts.values())
        parts[0].note_events.extend(orphans)
        return parts

    def _end_all(self, tick: int) -> None:
        for notes in self._sounding.values():
            for _, note in notes:
                note[1] = tick
        self._sounding.clear()

    def _start(self, event: Ordered, program: int, bank: int) -> None:
        part = self._parts.get(program)
        if part is None:
            part = self._parts[program] = OpenPart(self._track, self._channel, program, bank)
        tick, pitch = event.tick, event.data[1]
        others = []
        for other, note in self._sounding.get(pitch, ()):
            if other is part:
                note[1] = tick  # a synthesiser releases the voice when its key is struck again
            else:
                others.append((other, note))
        note = [tick, -1, pitch, event.data[2]]
        self._sounding[pitch] = [*others, (part, note)]
        part.notes.append(note)
        part.note_events.append(event)
