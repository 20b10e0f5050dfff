"""Splitting the tracks of a MIDI file into parts, without losing an event.

A *part* is what one stem is rendered from: the notes of one track on one channel under one
program (of drums, under one drum kit).

* A part has every controller, bend and pressure its channel receives, from whichever track: a
  channel's state is common to all tracks that play on it.
* Drums that a file spreads over several tracks of one channel are, on request, one part a kit.
* Which program a note has, and what are drums, is said in `stemsmith.render.midi.programs`. At the
  tick of a track's first note, program changes count that are written after the note.
* A program change inside a part starts another part, as in Slakh (through pretty_midi). Each
  keeps the changes to its own program, so that the stem's MIDI names one program.
* Tempo, meter, key, markers and system exclusives of all tracks are in every part.
* What is *sent* to a synthesiser and what is *written* into the stem's MIDI differ where readers of
  MIDI could not know how it sounds: written notes end where the sound is told to end, each by one
  note-off.

Departures from pretty_midi: it takes the program in force when a note *ends*, and knows only the
program changes of the note's own track.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import UInt8s
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Part
from stemsmith.render.midi.playing import Playing
from stemsmith.render.midi.programs import Setting
from stemsmith.render.midi.streams import ADDED, N_CHANNELS, TRACK_NAME, Ordered, Streams

__all__ = ["OpenPart", "Strike"]

_DRUM_CHANNEL: Final = 9
_FIRST: Final = -1  # place of what comes before all else of its tick and track
_SUBSTITUTE_CHANNEL: Final = 0  # of a melody on channel 10, which readers take for drums


@dataclass(slots=True)
class Strike:
    """One note of a part.

    Attributes
    ----------
    onset, offset : int
        Ticks at which the key is struck and released; the offset is -1 while it is down.
    pitch, velocity : int
        MIDI numbers as sent.
    number : int
        Number of the strike on its line.
    sounding_offset : int
        Tick at which its voice is told to end: later than the release where a pedal holds it.
    shift : float
        Semitones by which the channel's tuning moves it.
    is_silenced : bool
        Whether another note took its voice in the moment at which it began.
    is_resumed : bool
        Whether it is none of the file's notes, but one that sounds again in mono mode.
    cents : float
        By how much the player tunes it, beside the channel's tuning.
    """

    onset: int
    offset: int
    pitch: int
    velocity: int
    number: int
    sounding_offset: int = -1
    shift: float = 0.0
    is_silenced: bool = False
    is_resumed: bool = False
    cents: float = 0.0


class OpenPart:
    """A part being collected.

    Attributes
    ----------
    tracks : tuple of int
        Tracks that it plays the notes of; the first one names it.
    line, channel, device : int
        Channel of a device, and both by themselves.
    strikes : list of Strike
        Its notes, by onset.
    sent : list of Ordered
        Note-ons and note-offs for the synthesiser, and what else only it is told.
    written : list of Ordered
        Note-ons and note-offs for the part's MIDI.
    mono : list of Strike
        Notes whose keys are down, as the synthesiser remembers them for legato.
    first : Ordered
        The note-on that opens the part.
    playing : Playing
        How it is played; as it is written, unless somebody says otherwise.
    """

    def __init__(
        self, first: Ordered, line: int, setting: Setting, tracks: tuple[int, ...]
    ) -> None:
        self.first, self.tracks, self.line, self.setting = first, tracks, line, setting
        self.track = tracks[0]
        self.device, self.channel = divmod(line, N_CHANNELS)
        self.strikes: list[Strike] = []
        self.sent: list[Ordered] = []
        self.written: list[Ordered] = []
        self.mono: list[Strike] = []
        self.playing = Playing()

    @property
    def midi_channel(self) -> int:
        """The channel of the part's MIDI: 10 for drums, and for nothing else."""
        if self.setting.is_drum:
            return _DRUM_CHANNEL
        return _SUBSTITUTE_CHANNEL if self.channel == _DRUM_CHANNEL else self.channel

    def add(self, event: Ordered) -> None:
        """Take an event for the synthesiser and for the part's MIDI."""
        self.sent.append(event)
        self.written.append(event)

    def write_end(self, strike: Strike, off: Ordered) -> None:
        """Write the note-off of a note; one of no length that is not the file's is none.

        Others of no length, which sound for an instant, last a tick: pretty_midi would pass a
        note-off at the tick of its note-on over.
        """
        if strike.onset < off.tick:
            self.written.append(off)
        elif strike.is_resumed:
            self.discard(strike)
        else:
            self.written.append(Ordered(off.tick + 1, off.track, _FIRST, off.data))

    def unwrite_end(self, strike: Strike) -> None:
        """Take back the note-off of a note of no length."""
        for place in range(len(self.written) - 1, -1, -1):
            event = self.written[place]
            if event.place == _FIRST and event.data[1] == strike.pitch:
                del self.written[place]
                break

    def discard(self, strike: Strike) -> None:
        """Take a note of no length out of the part's MIDI; out of all, if not the file's own."""
        for place in range(len(self.written) - 1, -1, -1):
            event = self.written[place]
            if event.data[0] >> 4 == 9 and event.data[1] == strike.pitch and event.data[2]:
                del self.written[place]
                break
        if strike.is_resumed:
            self.strikes = [other for other in self.strikes if other is not strike]

    def note_off(self, pitch: int, tick: int, track: int, place: int) -> Ordered:
        """Return a note-off that is not in the file."""
        return Ordered(tick, track, place, bytes((0x80 | self.channel, pitch, 0)))

    def program_changes(self, streams: Streams) -> list[Ordered]:
        """Return the changes to the part's program, none after the note that it counts for."""
        return [
            min(event, _just_before(event, self.first)) if event.tick == self.first.tick else event
            for event in self._changes(streams)
            if event.data[1] == self.setting.program
        ]

    def _changes(self, streams: Streams) -> list[Ordered]:
        several = [streams.changes_for(track, self.line) for track in self.tracks]
        return several[0] if len(several) == 1 else sorted({e for some in several for e in some})

    def track_metas(self, streams: Streams) -> list[Ordered]:
        """Return the meta events of its tracks, of which the first one gives the name."""
        first, *others = self.tracks
        metas = streams.track_metas(first)
        for track in others:
            metas = metas + [e for e in streams.track_metas(track) if e.data[1] != TRACK_NAME]
        return metas

    def midi_events(self, streams: Streams) -> list[Ordered]:
        """Return the channel messages of the part's MIDI, unordered."""
        events = self.written + streams.controls(self.line) + self.program_changes(streams)
        channel = self.midi_channel
        if channel == self.channel:
            return events
        return [
            event._replace(data=bytes((event.data[0] & 0xF0 | channel,)) + event.data[1:])
            for event in events
        ]

    def sounding_events(self, streams: Streams) -> list[Ordered]:
        """Return all messages for the part's synthesiser, unordered."""
        own = self.sent + streams.controls(self.line) + self.program_changes(streams)
        return own + streams.systems(self.device)

    def added_events(self) -> list[Ordered]:
        """Return the events at the end that are not in the file."""
        return [event for event in self.sent if event.place == ADDED]

    def describe(self, streams: Streams) -> Part:
        """Return the part's record."""
        program, bank, is_drum = self.setting
        return Part(
            track=self.track,
            channel=self.channel,
            program=DRUMS if is_drum else program,
            bank=bank,
            kit=program if is_drum else 0,
            n_notes=len(self.strikes),
            name=streams.name(self.track),
            strikes=self._asked(),
        )

    def _asked(self) -> UInt8s:
        """Return what the part asks of a patch."""
        counts = Counter([strike.pitch << 7 | strike.velocity for strike in self.strikes])
        pairs, n_notes = np.array(sorted(counts.items()), np.int64).T
        strikes = np.stack([pairs >> 7, pairs & 127, np.minimum(n_notes, 255)], axis=1)
        return strikes.astype(np.uint8).ravel()


def _just_before(event: Ordered, note: Ordered) -> Ordered:
    return Ordered(note.tick, note.track, note.place - 1, event.data)
