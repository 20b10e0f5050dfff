"""A part with its notes moved: in time, in velocity and in tuning.

Notes are moved where they were read, so that the table of notes, the messages to the synthesiser
and the MIDI of the part follow from one place. Controllers stay where they are, and a note keeps
its place among those that decide when it ends (pedals, modes, resets) and does not come before a
message of its own tick, which is meant for it. Notes of one key keep their order. In mono mode
notes end one another, and so a part that is ever in it keeps its times.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float64s, Int64s
from stemsmith.render.midi.channel import (
    DOWN,
    LEGATO,
    MODES,
    MONO,
    RESET_CONTROLLERS,
    SUSTAIN,
    is_relevant,
)
from stemsmith.render.midi.parts import OpenPart, Strike
from stemsmith.render.midi.playing import Playing
from stemsmith.render.midi.score import TempoMap
from stemsmith.render.midi.streams import ADDED, N_CHANNELS, Ordered, Streams
from stemsmith.render.midi.tuning import tunable, tuning_of

__all__ = ["Moves", "moved", "struck"]

_NEVER: Final = 1 << 40


class Moves(NamedTuple):
    """By how much each note is moved; arrays of shape (n_struck,), as `struck` has the notes.

    Attributes
    ----------
    onset_s : numpy.ndarray
        Later by so many seconds; the note keeps its duration.
    velocity : numpy.ndarray
        Harder by so much.
    cents : numpy.ndarray
        Higher by so many cents.
    """

    onset_s: Float64s
    velocity: Int64s
    cents: Float64s


def struck(part: OpenPart) -> list[tuple[int, int]]:
    """Return tick and pitch of the notes of a part, in order, each pair once."""
    return sorted({(s.onset, s.pitch) for s in part.strikes if not s.is_resumed})


def moved(
    part: OpenPart, streams: Streams, tempo_map: TempoMap, moves: Moves, playing: Playing
) -> OpenPart:
    """Return a part with its notes moved as far as they can be.

    Parameters
    ----------
    part : OpenPart
        The part as it is written; it stays as it is.
    streams : Streams
        The events of the file.
    tempo_map : TempoMap
        Gives the time in seconds of a tick.
    moves : Moves
        By how much.
    playing : Playing
        What the new part says of how it is played.
    """
    notes = struck(part)
    later_s = moves.onset_s * (not _is_mono(part, streams))
    times = _Times(part, streams, tempo_map, dict(zip(notes, later_s.tolist(), strict=True)))
    harder = _Velocities(notes, moves.velocity.tolist())
    pitches = np.array([pitch for _, pitch in notes], np.uint8)
    cents = dict(zip(notes, tunable(moves.cents, pitches).tolist(), strict=True))

    def event(old: Ordered) -> Ordered:
        kind = old.data[0] >> 4
        if kind not in (0x8, 0x9):
            return old
        data, pitch = old.data, old.data[1]
        if kind == 0x9 and data[2] > 0:
            data = bytes((data[0], pitch, harder.of(old.tick, pitch, data[2])))
        return old._replace(tick=times.of(old.tick, pitch), data=data)

    def strike(old: Strike) -> Strike:
        offset = times.of(old.offset, old.pitch)
        return replace(
            old,
            onset=times.of(old.onset, old.pitch),
            offset=offset,
            velocity=harder.of(old.onset, old.pitch, old.velocity),
            sounding_offset=offset if old.sounding_offset == old.offset else old.sounding_offset,
            cents=cents.get((old.onset, old.pitch), 0.0),
        )

    new = copy.copy(part)
    new.strikes = [strike(old) for old in part.strikes]
    new.sent = [event(old) for old in part.sent]
    new.written = [event(old) for old in part.written]
    new.playing = playing
    if playing.tuning_sd_cents:
        new.sent += _tunings(part, times, cents)
    return new


def _tunings(
    part: OpenPart, times: _Times, cents: dict[tuple[int, int], float]
) -> Iterator[Ordered]:
    """Yield the messages that tune keys, each before its note is struck."""
    for old in part.sent:
        if old.data[0] >> 4 == 0x9 and old.data[2] > 0:
            pitch = old.data[1]
            data = tuning_of(pitch, cents[old.tick, pitch])
            yield Ordered(times.of(old.tick, pitch), old.track, old.place - 1, data)


class _Velocities:
    """The velocities of a part's notes as they are played."""

    def __init__(self, notes: list[tuple[int, int]], harder: list[int]) -> None:
        self._ticks: dict[int, list[int]] = defaultdict(list)
        self._harder: dict[int, list[int]] = defaultdict(list)
        for (tick, pitch), by in zip(notes, harder, strict=True):
            self._ticks[pitch].append(tick)
            self._harder[pitch].append(by)

    def of(self, tick: int, pitch: int, written: int) -> int:
        """Return the velocity of a note; one that sounds again has that of its last strike."""
        place = bisect_right(self._ticks[pitch], tick) - 1
        return min(max(written + self._harder[pitch][max(place, 0)], 1), 127)


class _Times:
    """Where the notes of a part are moved to: a rising map of ticks for each key."""

    def __init__(
        self,
        part: OpenPart,
        streams: Streams,
        tempo_map: TempoMap,
        later_s: dict[tuple[int, int], float],
    ) -> None:
        self._messages = _Messages(part, streams)
        strikes: dict[int, list[Strike]] = defaultdict(list)
        for strike in part.strikes:
            strikes[strike.pitch].append(strike)
        ons: dict[int, dict[int, Ordered]] = defaultdict(dict)
        offs: dict[int, set[int]] = defaultdict(set)
        for event in part.sent:
            kind = event.data[0] >> 4
            if kind == 0x9 and event.data[2] > 0:
                ons[event.data[1]].setdefault(event.tick, event)
            elif kind in (0x8, 0x9) and event.place != ADDED:
                offs[event.data[1]].add(event.tick)
        self._maps: dict[int, tuple[list[int], list[int]]] = {}
        for key, members in strikes.items():
            knots = _knots(members, ons[key], offs[key], later_s)
            self._maps[key] = (list(knots), self._placed(knots, tempo_map))

    def of(self, tick: int, pitch: int) -> int:
        """Return where what a key does at a tick is moved to."""
        ticks, places = self._maps.get(pitch, ([], []))
        if not ticks:
            return tick
        i = bisect_right(ticks, tick) - 1
        if i < 0:
            return min(tick, max(places[0] - 1, 0))
        place = places[i] + tick - ticks[i]
        return min(place, max(places[i + 1] - 1, places[i])) if i + 1 < len(ticks) else place

    def _placed(self, knots: dict[int, _Knot], tempo_map: TempoMap) -> list[int]:
        """Return the ticks that the knots are moved to."""
        ticks = list(knots)
        later_s = np.array([knot.later_s for knot in knots.values()])
        wanted = tempo_map.nearest_ticks(tempo_map.seconds(ticks) + later_s).tolist()
        onsets = [tick for tick, knot in knots.items() if knot.on is not None]
        for tick in ticks:  # a note does not begin where its end cannot follow
            before = bisect_left(onsets, tick) - 1
            if knots[tick].on is None and before >= 0:
                start = knots[onsets[before]]
                start.last = min(start.last, self._messages.around_end(tick, knots[tick])[1])
        starts: dict[int, int] = {}
        aims = dict(zip(ticks, wanted, strict=True))
        for i, tick in enumerate(onsets):
            lowest, highest = self._messages.around_onset(tick, knots[tick])
            if i:  # two neighbours keep a third of what is between them
                lowest = max(lowest, tick - (tick - onsets[i - 1] - 1) // 3)
            if i + 1 < len(onsets):
                highest = min(highest, tick + (onsets[i + 1] - tick - 1) // 3)
            starts[tick] = min(max(aims[tick], lowest), highest)
        places: list[int] = []
        for tick, to in zip(ticks, wanted, strict=True):
            if tick in starts:
                places.append(starts[tick])
                continue
            lowest, highest = self._messages.around_end(tick, knots[tick])
            following = bisect_right(onsets, tick)
            if following < len(onsets):
                highest = min(highest, starts[onsets[following]] - 1)
            begun = starts[onsets[following - 1]] + 1 if following else 0
            least = max(places[-1] if places else 0, begun)
            places.append(max(min(max(to, lowest), highest), least))
        return places


class _Knot:
    """A tick at which notes of a key begin or end."""

    __slots__ = ("ends", "is_fixed", "last", "later_s", "on")

    def __init__(self, later_s: float) -> None:
        self.later_s = later_s
        self.on: Ordered | None = None  # the first note-on, if any
        self.ends = False  # whether a note ends here
        self.is_fixed = False  # whether a message ends it, and no key
        self.last = _NEVER  # the tick before which it stays


def _knots(
    strikes: list[Strike],
    ons: dict[int, Ordered],
    offs: set[int],
    later_s: dict[tuple[int, int], float],
) -> dict[int, _Knot]:
    """Return the ticks at which something happens to a key, in order."""
    knots: dict[int, _Knot] = {}
    for strike in strikes:
        if not strike.is_resumed:
            by_s = later_s[strike.onset, strike.pitch]
            knots.setdefault(strike.onset, _Knot(by_s)).on = ons.get(strike.onset)
    begun = set(knots)
    for strike in sorted(strikes, key=lambda strike: (strike.offset, strike.onset)):
        start = knots.get(strike.onset)
        if strike.offset == strike.onset:
            if start is not None and strike.onset not in offs:  # a message of that tick ends it
                start.is_fixed = True
            continue
        by_s = start.later_s if start is not None else 0.0
        knot = knots.setdefault(strike.offset, _Knot(by_s))
        knot.ends = True
        if strike.offset not in begun:
            knot.later_s = by_s
            knot.is_fixed = strike.offset not in offs
            if knot.is_fixed and start is not None:
                start.last = min(start.last, strike.offset)
        if strike.sounding_offset > strike.offset:
            knot.last = min(knot.last, strike.sounding_offset)
    return dict(sorted(knots.items()))


class _Messages:
    """The messages of a part's channel that its notes must not pass."""

    def __init__(self, part: OpenPart, streams: Streams) -> None:
        every = sorted(
            [
                *streams.controls(part.line),
                *streams.changes(part.line),
                *streams.systems(part.line // N_CHANNELS),
                *(e for e in part.sent if e.data[0] >> 4 == 0xB),
            ]
        )
        self._at: dict[int, list[Ordered]] = defaultdict(list)
        for event in every:
            self._at[event.tick].append(event)
        deciding = list(_deciding(every))
        self._of_ends = sorted({event.tick for event in deciding})
        self._of_onsets = sorted({e.tick for e in deciding if not _is_controller(e, SUSTAIN)})
        self._deciding = {event[:3] for event in deciding}

    def around_onset(self, tick: int, knot: _Knot) -> tuple[int, int]:
        """Return the first and the last tick that the beginning of a note may be moved to."""
        if knot.is_fixed:
            return tick, tick
        lowest, highest = _around(self._of_ends if knot.ends else self._of_onsets, tick)
        for event in self._at.get(tick, ()):
            if knot.on is None or event < knot.on:
                lowest = tick
            if (knot.on is None or event > knot.on) and event[:3] in self._deciding:
                highest = tick
        return lowest, max(min(highest, knot.last - 1), lowest)

    def around_end(self, tick: int, knot: _Knot) -> tuple[int, int]:
        """Return the first and the last tick that the end of a note may be moved to."""
        if knot.is_fixed or self._of_ends[bisect_left(self._of_ends, tick) :][:1] == [tick]:
            return tick, tick
        lowest, highest = _around(self._of_ends, tick)
        return lowest, max(min(highest, knot.last - 1), lowest)


def _around(ticks: list[int], tick: int) -> tuple[int, int]:
    """Return what lies between the ticks before and after one, these not included."""
    before, after = bisect_left(ticks, tick), bisect_right(ticks, tick)
    return (
        ticks[before - 1] + 1 if before else 0,
        ticks[after] - 1 if after < len(ticks) else _NEVER,
    )


def _is_mode(event: Ordered) -> bool:
    return event.data[0] >> 4 == 0xB and event.data[1] in MODES


def _is_controller(event: Ordered, number: int) -> bool:
    return event.data[0] >> 4 == 0xB and event.data[1] == number


def _deciding(events: list[Ordered]) -> Iterator[Ordered]:
    """Yield the messages that decide when notes end, how high they are, or which part they are of.

    Of the sustain pedal these are the ones that press or lift it.
    """
    is_down = False
    for event in events:
        kind = event.data[0] >> 4
        if _is_controller(event, SUSTAIN):
            was_down, is_down = is_down, event.data[2] >= DOWN
            if was_down != is_down:
                yield event
            continue
        if _is_controller(event, RESET_CONTROLLERS) or kind == 0xF:
            is_down = False  # or soon pressed again
        if kind in (0xC, 0xF) or is_relevant(event.data) or _is_mode(event):
            yield event


def _is_mono(part: OpenPart, streams: Streams) -> bool:
    """Tell whether notes of a part ever end one another."""
    return any(
        _is_controller(event, MONO) or (_is_controller(event, LEGATO) and event.data[2] >= DOWN)
        for event in [*streams.controls(part.line), *part.sent]
    )
