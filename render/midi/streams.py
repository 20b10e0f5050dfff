"""The events of a MIDI file, sorted by what they act on: tracks, channels, or everything.

A file may play on several devices of 16 channels each: tracks say so by a MIDI port (meta event
0x21) or by the name of a device (0x09, RP-019). A *line* is one channel of one device:
16 * device + channel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from stemsmith.render.midi.smf import META, Event, new_event
from stemsmith.render.midi.text import decoded

__all__ = ["ADDED", "METER", "N_CHANNELS", "TEMPO", "TRACK_NAME", "Ordered", "Streams", "by_time"]

TEMPO: Final = 0x51
METER: Final = 0x58
TRACK_NAME: Final = 0x03
N_CHANNELS: Final = 16
ADDED: Final = 1 << 62  # place of an event that is not in the file: after all that are

_DEVICE_NAME: Final = 0x09
_PORT: Final = 0x21
# Meta events that concern the whole score: copyright, marker, cue, SMPTE offset, tempo, meter, key.
_CONDUCTOR_METAS: Final = frozenset({0x02, 0x06, 0x07, 0x54, TEMPO, METER, 0x59})
_ALL_DEVICES: Final = -1


class Ordered(NamedTuple):
    """An event with its place in the file: merged tracks play in the order of any player.

    Places are even, so that what is moved or added fits between two.
    """

    tick: int
    track: int
    place: int
    data: bytes


# Ordered(...) without its Python frame, as in `stemsmith.render.midi.smf`.
_new_ordered: Final[Callable[[tuple[int, int, int, bytes]], Ordered]] = partial(
    tuple.__new__, Ordered
)


def by_time(events: Iterable[Ordered]) -> list[Event]:
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
    notes : dict of (int, int) to list of Ordered
        Note-ons and note-offs of each track and line.
    sounding : list of (int, int)
        Tracks and lines that have notes, in order.
    metas : list of Ordered
        Meta events that concern the whole score, of all tracks.
    last_tick : int
        Tick of the last event of any track.
    last_note_tick : int
        Tick of the last note-on or note-off.
    n_devices : int
        Number of sets of 16 channels.
    """

    def __init__(self, tracks: Sequence[list[Event]]) -> None:
        self.metas: list[Ordered] = []
        self.notes: dict[tuple[int, int], list[Ordered]] = defaultdict(list)
        self._systems: dict[int, list[Ordered]] = defaultdict(list)
        self._track_metas: dict[int, list[Ordered]] = defaultdict(list)
        self._names: dict[int, str] = {}
        self._programs: dict[int, dict[int, list[Ordered]]] = defaultdict(dict)
        self._controls: dict[int, list[Ordered]] = defaultdict(list)
        self._n_conductor_bytes: dict[int, int] = {}
        self._n_track_bytes: dict[int, int] = {}
        devices = _Devices(tracks)
        self.n_devices = devices.n_devices
        for track, events in enumerate(tracks):
            self._sort_track(track, events, devices)
        self.sounding = sorted(
            key
            for key, events in self.notes.items()
            if any(e.data[0] >> 4 == 9 and e.data[2] > 0 for e in events)
        )
        self._sounding_tracks = {track for track, _ in self.sounding}
        self._tracks_of: dict[int, list[int]] = defaultdict(list)
        for track, line in sorted(self.notes):
            self._tracks_of[line].append(track)
        self.last_tick = max((events[-1].tick for events in tracks if events), default=0)
        self.last_note_tick = max((events[-1].tick for events in self.notes.values()), default=0)

    def _sort_track(self, track: int, events: list[Event], devices: _Devices) -> None:
        device, is_named = devices.of_track(track)
        for place, (tick, data) in enumerate(events):
            event = _new_ordered((tick, track, 2 * place, data))
            status = data[0]
            if status < 0xF0:
                kind, line = status >> 4, N_CHANNELS * device + (status & 0x0F)
                if kind <= 0x9:
                    self.notes[track, line].append(event)
                elif kind == 0xC:
                    self._programs[line].setdefault(track, []).append(event)
                else:
                    self._controls[line].append(event)
            elif status != META:
                self._systems[device if is_named else _ALL_DEVICES].append(event)
            elif data[1] in _CONDUCTOR_METAS:
                self.metas.append(event)
            else:
                self._track_metas[track].append(event)
                if data[1] == TRACK_NAME:
                    self._names.setdefault(track, decoded(data[2:]))
                elif data[1] in (_PORT, _DEVICE_NAME):
                    device = devices.after(track, event)

    def name(self, track: int) -> str:
        """Return a track's name, or the empty string."""
        return self._names.get(track, "")

    def tracks_of(self, line: int) -> list[int]:
        """Return the tracks that have note-ons or note-offs on a line."""
        return self._tracks_of[line]

    def systems(self, device: int) -> list[Ordered]:
        """Return the system exclusives of a device; those of no named one are for all."""
        own = self._systems.get(device, [])
        return self._systems.get(_ALL_DEVICES, []) + own

    def everything(self, device: int) -> list[Ordered]:
        """Return all events of a device but its notes."""
        lines = range(N_CHANNELS * device, N_CHANNELS * (device + 1))
        events = self.systems(device)
        for line in lines:
            events += self.controls(line)
            events += self.changes(line)
        return events

    def conductor(self, device: int) -> list[Ordered]:
        """Return what goes into the first track of every part's file.

        What concerns the score, the device's system exclusives, and all other meta events of
        tracks without notes (titles, lyrics).
        """
        titles = [
            event
            for track, metas in self._track_metas.items()
            if track not in self._sounding_tracks
            for event in metas
        ]
        return self.metas + self.systems(device) + titles

    def n_common_bytes(self, track: int, device: int) -> int:
        """Return the size of what a part's file has beside its channel's messages."""
        if device not in self._n_conductor_bytes:
            self._n_conductor_bytes[device] = _n_bytes(self.conductor(device))
        if track not in self._n_track_bytes:
            self._n_track_bytes[track] = _n_bytes(self.track_metas(track))
        return self._n_conductor_bytes[device] + self._n_track_bytes[track]

    def track_metas(self, track: int) -> list[Ordered]:
        """Return a track's own meta events (name, lyrics, text)."""
        return self._track_metas.get(track, [])

    def controls(self, line: int) -> list[Ordered]:
        """Return the controllers, bends and pressures of a line, from all tracks."""
        return self._controls.get(line, [])

    def changes(self, line: int) -> list[Ordered]:
        """Return the program changes of a line, from all tracks."""
        return [event for events in self._programs.get(line, {}).values() for event in events]

    def changes_for(self, track: int, line: int) -> list[Ordered]:
        """Return the program changes that hold for a track's notes on a line."""
        tracks = self._programs.get(line, {})
        return [
            event
            for donor, events in tracks.items()
            if donor == track or track not in tracks or (donor, line) not in self.notes
            for event in events
        ]


def _n_bytes(events: Iterable[Ordered]) -> int:
    return sum(len(event.data) + 1 for event in events)


class _Devices:
    """Numbers the sets of 16 channels by port and by device name."""

    def __init__(self, tracks: Sequence[list[Event]]) -> None:
        self._first: dict[int, tuple[bytes | None, bytes | None]] = {}
        ports: list[bytes] = []
        names: list[bytes] = []
        pairs: list[tuple[bytes | None, bytes | None]] = []
        for track, events in enumerate(tracks):
            port = name = None
            for _, data in events:
                if data[0] < 0xF0:
                    if not self._first.get(track):
                        self._first[track] = (port, name)
                    continue
                if data[0] == META and data[1] == _PORT:
                    port = data[2:]
                    ports.append(port)
                elif data[0] == META and data[1] == _DEVICE_NAME:
                    name = data[2:]
                    names.append(name)
                else:
                    continue
                pairs.append((port, name))
            self._first.setdefault(track, (port, name))
        # What names none is on the first: that is what most files mean by it.
        self._default = (min(ports, default=None), names[0] if names else None)
        used = [self._settled(pair) for pair in [*self._first.values(), *pairs]]
        self._numbers = {pair: number for number, pair in enumerate(dict.fromkeys(used))}
        self.n_devices = max(len(self._numbers), 1)
        self._now: dict[int, tuple[bytes | None, bytes | None]] = {}

    def _settled(
        self, pair: tuple[bytes | None, bytes | None]
    ) -> tuple[bytes | None, bytes | None]:
        port, name = pair
        default_port, default_name = self._default
        return (default_port if port is None else port, default_name if name is None else name)

    def of_track(self, track: int) -> tuple[int, bool]:
        """Return the device of a track's first message, and whether the track names it."""
        first = self._first[track]
        return self._numbers[self._settled(first)], first != (None, None)

    def after(self, track: int, event: Ordered) -> int:
        """Return the device of a track from a meta event on."""
        port, name = self._now.get(track, (None, None))
        if event.data[1] == _PORT:
            port = event.data[2:]
        else:
            name = event.data[2:]
        self._now[track] = (port, name)
        return self._numbers[self._settled((port, name))]
