"""When the notes of a line begin and end as FluidSynth sounds them, and which part each is of.

A note-off ends the note of its own track, or where that has none, of any track of the line. A key
that is struck again ends the note before; where the note-off comes at the same tick, but is written
behind, it ends the note before too, and goes before the strike, as pretty_midi and symusic read it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from stemsmith.manifests.records import Reason
from stemsmith.render.midi.channel import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    LEGATO,
    MODES,
    RESET_CONTROLLERS,
    SOSTENUTO,
    SUSTAIN,
    ChannelState,
    is_relevant,
    mode_messages,
)
from stemsmith.render.midi.limits import MAX_COMMON_BYTES, MAX_PARTS, MAX_STEM_EVENTS
from stemsmith.render.midi.parts import OpenPart, Strike
from stemsmith.render.midi.programs import Place, Setting, Timeline, effective_systems
from stemsmith.render.midi.smf import Stopwatch, Unusable
from stemsmith.render.midi.streams import ADDED, N_CHANNELS, Ordered, Streams
from stemsmith.render.midi.system import BankMode, PartMode, Reset

__all__ = ["collect_parts"]

_NEVER: Final = 1 << 40

Systems = Sequence[tuple[Ordered, Reset | PartMode]]
Modes = Sequence[tuple[Ordered, bool]]


def collect_parts(
    streams: Streams, stop_tick: int, stopwatch: Stopwatch, *, are_drums_joined: bool = False
) -> tuple[list[OpenPart], int]:
    """Split a file into parts: by track, channel, and order of a program's first note.

    Parameters
    ----------
    streams : Streams
        The events of the file.
    stop_tick : int
        Tick at which all that still sounds is ended.
    stopwatch : Stopwatch
        Is asked at every line.
    are_drums_joined : bool
        Whether tracks that play drums on one channel are one player, with a part for each kit.

    Returns
    -------
    list of OpenPart
        The parts, in the order of their first notes in the file.
    int
        Number of notes that had no end.

    Raises
    ------
    Unusable
        If there is no note, or more parts or repeated events than any song has.
    """
    if not streams.sounding:
        raise Unusable(Reason.NO_NOTES, "not a single note")
    _check_size(streams, streams.sounding)
    players: dict[int, list[int]] = defaultdict(list)
    for track, line in streams.sounding:
        players[line].append(track)
    systems = [effective_systems(streams.systems(k)) for k in range(streams.n_devices)]
    modes = [_modes_of(streams, k, systems[k]) for k in range(streams.n_devices)]
    parts: list[OpenPart] = []
    n_hanging = 0
    for line, tracks in players.items():
        stopwatch.check()
        device, channel = divmod(line, N_CHANNELS)
        voices = _LineVoices(streams, line, tracks, systems[device], modes[device][channel])
        if are_drums_joined:
            voices.join_drums()
        parts += voices.split(stop_tick)
        n_hanging += voices.n_hanging
        _check_size(streams, [(part.track, part.line) for part in parts])
    parts.sort(key=lambda part: (part.track, part.line))  # those of one line stay in order
    return parts, n_hanging


def _check_size(streams: Streams, parts: Sequence[tuple[int, int]]) -> None:
    """Refuse more than any song has, before or after the parts are split by program."""
    if len(parts) > MAX_PARTS:
        raise Unusable(Reason.TOO_LARGE, f"more than {MAX_PARTS} parts")
    n_events = sum(len(streams.controls(line)) for _, line in parts)
    if n_events > MAX_STEM_EVENTS:
        raise Unusable(Reason.TOO_LARGE, f"more than {MAX_STEM_EVENTS} controllers of all parts")
    n_bytes = sum(streams.n_common_bytes(track, line // N_CHANNELS) for track, line in parts)
    if n_bytes > MAX_COMMON_BYTES:
        raise Unusable(
            Reason.TOO_LARGE, f"{len(parts)} parts with {n_bytes} bytes that concern all of them"
        )


def _modes_of(streams: Streams, device: int, systems: Systems) -> list[list[tuple[Ordered, bool]]]:
    lines = range(N_CHANNELS * device, N_CHANNELS * (device + 1))
    messages = [
        event
        for line in lines
        for event in streams.controls(line)
        if event.data[0] >> 4 == 0xB and event.data[1] in MODES
    ]
    resets = [event for event, message in systems if isinstance(message, Reset)]
    return mode_messages(messages, resets) if messages else [[] for _ in lines]


class _LineVoices:
    """Walks over the events of one line."""

    def __init__(
        self, streams: Streams, line: int, tracks: Sequence[int], systems: Systems, modes: Modes
    ) -> None:
        channel = line % N_CHANNELS
        controls = streams.controls(line)
        self._line = line
        self._timeline = Timeline(line, controls, streams.changes(line), systems, frozenset(tracks))
        self._notes = [
            event for track in streams.tracks_of(line) for event in streams.notes[track, line]
        ]
        # The track whose notes those of a track are; its own, unless drums are joined.
        self._owners: dict[int, int] = {}
        self._members: dict[int, tuple[int, ...]] = {}
        self._first_ticks: dict[int, int] = {}
        # Of each track: its part, and the tick from which another one may be meant.
        self._current: dict[int, tuple[OpenPart, int]] = {}
        self._messages: dict[tuple[int, int, int], Reset | PartMode | bool] = {
            event[:3]: message
            for event, message in systems
            if isinstance(message, Reset) or message.channel == channel
        }
        others = [event for event, _ in systems if event[:3] in self._messages]
        self._messages.update((event[:3], is_mono) for event, is_mono in modes)
        self._foreign = [event for event, _ in modes if event.data[0] & 0x0F != channel]
        self._stream = sorted(
            [
                *self._notes,
                *(e for e in controls if is_relevant(e.data)),
                *others,
                *(event for event, _ in modes),
            ]
        )
        self._early, self._taken = _written_behind(self._notes), set[tuple[int, int]]()
        self._state = ChannelState()
        self._parts: dict[tuple[int, Setting], OpenPart] = {}
        # Of each key, what sounds: the part and its strikes (more than one if at one tick).
        self._down: dict[int, dict[int, tuple[OpenPart, list[Strike]]]] = defaultdict(dict)
        self._n_replaced: dict[tuple[int, int], int] = defaultdict(int)
        # Of each track and key, the last note of no length.
        self._instants: dict[tuple[int, int], tuple[OpenPart, Strike]] = {}
        self._last_part: dict[tuple[int, int], OpenPart] = {}
        self._sustained: list[Strike] = []
        self._sostenuto: list[Strike] = []
        self._orphans: list[Ordered] = []
        self._n_strikes = 0
        self.n_hanging = 0

    def join_drums(self) -> None:
        """Take tracks that play nothing but drums, with a kit in common, for one player."""
        kits: dict[int, set[Setting]] = {}
        for event in self._notes:
            if event.data[0] >> 4 == 0x9 and event.data[2] > 0:
                first_tick = self._first_ticks.setdefault(event.track, event.tick)
                setting = self._setting_at(event, first_tick)[0]
                kits.setdefault(event.track, set()).add(setting._replace(bank=0))
        groups: list[tuple[set[int], set[Setting]]] = []
        for track, own in kits.items():
            if all(setting.is_drum for setting in own):
                alike = [group for group in groups if group[1] & own]
                groups = [group for group in groups if group not in alike]
                tracks = {track}.union(*(group[0] for group in alike))
                groups.append((tracks, own.union(*(group[1] for group in alike))))
        for tracks, _ in groups:
            members = tuple(sorted(tracks))
            self._members[members[0]] = members
            self._owners.update(dict.fromkeys(members, members[0]))

    def _owner(self, event: Ordered) -> int:
        return self._owners.get(event.track, event.track)

    def split(self, stop_tick: int) -> list[OpenPart]:
        """Return the parts of the line."""
        for event in self._stream:
            if event.tick > stop_tick:
                break
            kind = event.data[0] >> 4
            if kind == 0x9 and event.data[2] > 0:
                self._strike(event)
            elif kind <= 0x9:
                if (event.track, event.place) not in self._taken:
                    self._note_off(event)
            elif kind == 0xB and event.data[1] not in MODES:
                self._control(event)
            else:
                self._obey(event)
        self._stop(stop_tick)
        parts = list(self._parts.values())
        for event in self._orphans:
            track = self._owner(event)
            owner = next((part for part in parts if part.track == track), parts[0])
            owner.add(event)
        for part in parts:
            part.sent += self._foreign
        return parts

    # Notes.

    def _strike(self, event: Ordered) -> None:
        part = self._part_of(event)
        track, pitch = self._owner(event), event.data[1]
        self._make_way(event, part)
        strike = Strike(
            event.tick, -1, pitch, event.data[2], self._n_strikes, -1, self._state.shift
        )
        self._n_strikes += 1
        if self._state.is_mono:
            if part.mono:
                self._cut(part, part.mono[-1], event)
            part.mono.append(strike)
        else:
            part.mono = [strike]
        self._begin(part, strike, track)
        self._last_part[track, pitch] = self._last_part[-1, pitch] = part
        part.add(event)

    def _part_of(self, event: Ordered) -> OpenPart:
        track, tick = event.track, event.tick
        known = self._current.get(track)
        if known is not None and tick < known[1]:
            return known[0]
        first_tick = self._first_ticks.setdefault(track, tick)
        setting, place = self._setting_at(event, first_tick)
        owner = self._owner(event)
        key = (owner, setting._replace(bank=0))
        if key not in self._parts:
            members = self._members.get(owner, (owner,))
            self._parts[key] = OpenPart(event, self._line, setting, members)
        self._current[track] = (self._parts[key], self._timeline.next_tick(place))
        return self._parts[key]

    def _setting_at(self, event: Ordered, first_tick: int) -> tuple[Setting, Place]:
        """Return what a note is played with, and the place that decides it."""
        is_first = event.tick == first_tick
        place = (event.tick, _NEVER, 0) if is_first else (event.tick, event.track, event.place)
        return self._timeline.at(event.track, place), place

    def _begin(self, part: OpenPart, strike: Strike, track: int) -> None:
        part.strikes.append(strike)
        instant = self._instants.pop((track, strike.pitch), None)
        if instant is not None and instant[0] is part and instant[1].onset == strike.onset:
            self._take_back(part, instant[1], track)
        down = self._down[strike.pitch].get(track)
        if down is not None and down[1][0].onset == strike.onset and not self._state.is_mono:
            down[1].append(strike)
        else:
            self._down[strike.pitch][track] = (part, [strike])

    def _take_back(self, part: OpenPart, strike: Strike, track: int) -> None:
        """Let a note of no length go on: its key is struck again in the same moment."""
        part.unwrite_end(strike)
        for held in (self._sustained, self._sostenuto):
            held[:] = [other for other in held if other is not strike]
        strike.offset = strike.sounding_offset = -1
        self._n_replaced[track, strike.pitch] -= 1  # its note-off was there
        self._down[strike.pitch][track] = (part, [strike])

    def _make_way(self, event: Ordered, part: OpenPart) -> None:
        """End what still sounds of the key that is struck."""
        track, pitch = self._owner(event), event.data[1]
        before = self._down[pitch].get(track)
        if before is None and not self._state.is_mono:
            return
        is_open = before is not None and before[1][0].onset < event.tick
        is_cut = self._state.is_mono and any(strike.pitch == pitch for strike in part.mono)
        if is_open or is_cut:
            for off in self._early.pop((event.tick, event.track, pitch), ()):
                self._taken.add((off.track, off.place))
                self._note_off(off._replace(place=event.place - 1))
            before = self._down[pitch].get(track)
        if before is None or (before[0] is part and before[1][0].onset == event.tick):
            return
        other, strikes = self._down[pitch].pop(track)
        for strike in strikes:
            self._n_replaced[track, pitch] += 1
            off = other.note_off(pitch, event.tick, event.track, event.place - 1)
            other.written.append(off)
            if other is not part:
                other.sent.append(off)
            self._release(strike, event.tick)

    def _note_off(self, event: Ordered) -> None:
        track, pitch = self._owner(event), event.data[1]
        down = self._down[pitch]
        if track in down:
            self._lift_all(track, event)
            return
        if down and not self._n_replaced[track, pitch]:
            for owner in list(down):
                self._lift_all(owner, event)
            return
        waiting = self._last_part.get((track, pitch)) or self._last_part.get((-1, pitch))
        if waiting is None:
            self._orphans.append(event)
        elif self._n_replaced[track, pitch]:
            self._n_replaced[track, pitch] -= 1
            waiting.sent.append(event)
            held = [strike for strike in waiting.mono if strike.pitch == pitch]
            if held:
                waiting.mono.remove(held[0])
        else:
            waiting.add(event)

    def _lift_all(self, owner: int, event: Ordered) -> None:
        """Release a track's strikes of a key; only one of them has a note-off of its own here."""
        pitch = event.data[1]
        part, strikes = self._down[pitch].pop(owner)
        part.sent.append(event)
        if len(strikes) > 1:
            self._n_replaced[owner, pitch] += len(strikes) - 1
        for strike in strikes:
            self._lift(part, strike, event)

    def _lift(self, part: OpenPart, strike: Strike, event: Ordered) -> None:
        """Release a key; in mono mode, the note before it sounds again if its key is down."""
        part.write_end(strike, event)
        if strike.onset == event.tick and not self._state.is_mono:
            self._instants[part.track, strike.pitch] = (part, strike)
        mono = part.mono
        is_last = bool(mono) and mono[-1] is strike
        if is_last and self._state.is_mono:
            mono.pop()
        elif is_last:
            mono.clear()
        if is_last and mono:
            strike.offset = strike.sounding_offset = event.tick
            self._resume(part, event)
        else:
            self._release(strike, event.tick)

    def _resume(self, part: OpenPart, event: Ordered) -> None:
        """Let the last key that is still down take the voice back."""
        held, track = part.mono[-1], part.track
        again = Strike(event.tick, -1, held.pitch, held.velocity, self._n_strikes)
        again.shift, again.is_resumed = self._state.shift, True
        self._n_strikes += 1
        part.mono[-1] = again
        self._n_replaced[track, held.pitch] -= 1
        self._begin(part, again, track)
        data = bytes((0x90 | part.channel, held.pitch, held.velocity))
        part.written.append(Ordered(event.tick, event.track, event.place + 1, data))

    def _cut(self, part: OpenPart, strike: Strike, event: Ordered) -> None:
        """End a note whose voice another one takes."""
        if strike.offset >= 0:
            return
        self._down[strike.pitch].pop(part.track, None)
        self._n_replaced[part.track, strike.pitch] += 1
        strike.offset = strike.sounding_offset = event.tick
        if strike.onset == event.tick:
            strike.is_silenced = True
            part.discard(strike)
        else:
            off = part.note_off(strike.pitch, event.tick, event.track, event.place - 1)
            part.written.append(off)

    def _release(self, strike: Strike, tick: int) -> None:
        strike.offset = tick
        if self._state.is_sostenuto and strike.number < self._state.sostenuto_number:
            self._sostenuto.append(strike)
        elif self._state.is_sustained:
            self._sustained.append(strike)
        else:
            strike.sounding_offset = tick

    # Messages that end notes.

    def _control(self, event: Ordered) -> None:
        number, value = event.data[1], event.data[2]
        self._state.control(number, value, self._n_strikes)
        if number == ALL_SOUND_OFF:
            self._release_all(event, is_at_once=True)
        elif number == ALL_NOTES_OFF:
            self._release_all(event)
        elif number == LEGATO:
            self._leave_mono()
        elif number in (SUSTAIN, SOSTENUTO, RESET_CONTROLLERS):
            self._free_held(event.tick)

    def _obey(self, event: Ordered) -> None:
        message = self._messages[event[:3]]
        if isinstance(message, bool):
            self._state.set_mode(message)
            self._release_all(event)
        elif isinstance(message, Reset):
            self._state.reset()
            self._release_all(event, is_at_once=True)
            for part in self._parts.values():
                part.mono.clear()
        elif message.mode is BankMode.GS:
            self._state.reset_controllers()
            self._free_held(event.tick)

    def _leave_mono(self) -> None:
        if not self._state.is_mono:
            for part in self._parts.values():
                del part.mono[:-1]

    def _release_all(self, event: Ordered, is_at_once: bool = False) -> None:
        for pitch, tracks in self._down.items():
            for track, (part, strikes) in tracks.items():
                self._n_replaced[track, pitch] += len(strikes)
                off = part.note_off(pitch, event.tick, event.track, event.place + 1)
                for strike in strikes:
                    part.write_end(strike, off)
                    self._release(strike, event.tick)
            tracks.clear()
        if is_at_once:
            self._end_held(self._sustained, event.tick)
            self._end_held(self._sostenuto, event.tick)

    def _free_held(self, tick: int) -> None:
        if not self._state.is_sustained:
            self._end_held(self._sustained, tick)
        if not self._state.is_sostenuto:
            self._end_held(self._sostenuto, tick)

    @staticmethod
    def _end_held(held: list[Strike], tick: int) -> None:
        for strike in held:
            strike.sounding_offset = tick
        held.clear()

    def _stop(self, tick: int) -> None:
        """End what still sounds: keys first, then pedals."""
        for pitch, tracks in self._down.items():
            for track, (part, strikes) in tracks.items():
                off = part.note_off(pitch, tick, track, ADDED)
                for strike in strikes:
                    self.n_hanging += not strike.is_resumed
                    part.sent.append(off)
                    part.write_end(strike, off)
                    self._release(strike, tick)
        pedals = [(SUSTAIN, self._state.is_sustained), (SOSTENUTO, self._state.is_sostenuto)]
        for part in self._parts.values():
            for number, is_down in pedals:
                if is_down:
                    lift = bytes((0xB0 | part.channel, number, 0))
                    part.add(Ordered(tick, part.track, ADDED + 1, lift))
        self._end_held(self._sustained, tick)
        self._end_held(self._sostenuto, tick)


def _written_behind(notes: Sequence[Ordered]) -> dict[tuple[int, int, int], list[Ordered]]:
    """Return note-offs that come after a note-on of the same tick, track and key."""
    struck: set[tuple[int, int, int]] = set()
    behind: dict[tuple[int, int, int], list[Ordered]] = defaultdict(list)
    for event in notes:
        key = (event.tick, event.track, event.data[1])
        if event.data[0] >> 4 == 9 and event.data[2] > 0:
            struck.add(key)
        elif key in struck:
            behind[key].append(event)
    return behind
