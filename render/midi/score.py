"""Scores: the parts of a MIDI file, timed by the tempo map of all its tracks.

Departure from pretty_midi, which reads tempo from track 0 only: times differ where a file keeps
tempo changes in other tracks (mido and FluidSynth read all, as here).
"""

from __future__ import annotations

import copy
import gc
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.records import Reason
from stemsmith.render.midi import smf
from stemsmith.render.midi.channel import PAN
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S, MAX_NOTES_PER_S, MAX_STEM_S
from stemsmith.render.midi.parts import OpenPart
from stemsmith.render.midi.playing import Playing
from stemsmith.render.midi.smf import META, Event, Unusable
from stemsmith.render.midi.smf_writer import serialise
from stemsmith.render.midi.streams import METER, TEMPO, Ordered, Streams, by_time
from stemsmith.render.midi.strikes import without_strikes
from stemsmith.render.midi.tuning import with_tuning_selected
from stemsmith.render.midi.voices import collect_parts

__all__ = ["Notes", "Score", "TempoMap", "collector_paused", "read_score"]

_DEFAULT_TEMPO_US: Final = 500_000  # RP-001: 120 quarter notes a minute until said otherwise
# Frames per second of SMPTE divisions, as a tempo in us when a "quarter" has frames * ticks.
_SMPTE_TEMPO_US: Final = {24: 1_000_000, 25: 1_000_000, 29: 1_001_000, 30: 1_000_000}
_HASH_RESOLUTION: Final = 960  # grid of the content hash, per quarter note
# What still sounds after the last note-on or note-off may go on to the last event for so long.
_LINGER_S: Final = 30.0
# pretty_midi refuses more, and other readers have made it their limit too.
_MAX_TICKS: Final = 9_999_999
_MOST_TICKS_PER_QUARTER: Final = 0x7FFF
_FINE_TICKS: Final = 9600  # a quarter note: of 0.05 ms at 120 quarter notes a minute


class Notes(NamedTuple):
    """Notes in order of onset; arrays of shape (n_notes,).

    A key that is released under a pedal sounds on: until `sounding_offset_tick`. Where RPN tune
    the channel, `sounding_pitch` is not `pitch`; it is that of the onset, without pitch bends.
    `is_silenced` are notes whose voice another one took in mono mode as they began. `cents` is by
    how much single notes are tuned away from the channel's tuning, which `sounding_pitch` has too.
    """

    onset_tick: npt.NDArray[np.int64]
    offset_tick: npt.NDArray[np.int64]
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]
    sounding_offset_tick: npt.NDArray[np.int64]
    sounding_pitch: npt.NDArray[np.float32]
    is_silenced: npt.NDArray[np.bool_]
    cents: npt.NDArray[np.float32]

    def only(self, rows: npt.NDArray[np.bool_]) -> Notes:
        """Return some of the notes: those of which `rows` is true."""
        return Notes(*(column[rows] for column in self))  # type: ignore[arg-type]


class TempoMap:
    """Seconds of ticks, from the tempo events of all tracks.

    Parameters
    ----------
    ticks_per_quarter : int
        Resolution of the file.
    tempos : sequence of (int, int)
        Ticks and microseconds per quarter note, by tick; the last one of a tick holds.
    """

    def __init__(self, ticks_per_quarter: int, tempos: Sequence[tuple[int, int]]) -> None:
        self._ticks_per_quarter = ticks_per_quarter
        by_tick = dict([(0, _DEFAULT_TEMPO_US), *tempos])
        self._ticks = np.array(list(by_tick), np.int64)
        self._s_per_tick = np.array(list(by_tick.values())) / (1e6 * ticks_per_quarter)
        steps = np.diff(self._ticks) * self._s_per_tick[:-1]
        self._seconds = np.concatenate([[0.0], np.cumsum(steps)])

    def bpm_at(self, tick: int) -> float:
        """Return the tempo in force at a tick, in quarter notes a minute."""
        i = int(np.searchsorted(self._ticks, tick, side="right")) - 1
        return 60 / (float(self._s_per_tick[i]) * self._ticks_per_quarter)

    def constant(self, bpm: float) -> TempoMap:
        """Return a map of the same ticks with one tempo throughout."""
        constant = TempoMap(self._ticks_per_quarter, [])
        constant._s_per_tick = np.array([60 / (bpm * self._ticks_per_quarter)])
        return constant

    @property
    def only_bpm(self) -> float | None:
        """The tempo in quarter notes a minute if there is but one, else None."""
        is_one = bool((self._s_per_tick == self._s_per_tick[0]).all())
        return self.bpm_at(0) if is_one else None

    @property
    def changes(self) -> list[int]:
        """Ticks at which a tempo is set, the first of which is 0."""
        ticks: list[int] = self._ticks.tolist()
        return ticks

    def faster(self, factor: float) -> TempoMap:
        """Return the same map with every tempo multiplied by a factor."""
        faster = TempoMap(self._ticks_per_quarter, [])
        faster._ticks = self._ticks
        faster._s_per_tick = self._s_per_tick / factor
        faster._seconds = self._seconds / factor
        return faster

    def nearest_ticks(self, seconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the tick that is nearest to each time in seconds (same shape)."""
        seconds = np.asarray(seconds, np.float64)
        i = np.maximum(np.searchsorted(self._seconds, seconds, side="right") - 1, 0)
        beyond = np.rint((seconds - self._seconds[i]) / self._s_per_tick[i]).astype(np.int64)
        ticks: npt.NDArray[np.int64] = self._ticks[i] + beyond
        return ticks

    def last_tick_before(self, second: float) -> int:
        """Return the last tick that is not later than a time in seconds."""
        i = int(np.searchsorted(self._seconds, second, side="right")) - 1
        return int(self._ticks[i] + (second - self._seconds[i]) // self._s_per_tick[i])

    def seconds(self, ticks: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the time in seconds of each tick (same shape)."""
        ticks = np.asarray(ticks, np.int64)
        i = np.searchsorted(self._ticks, ticks, side="right") - 1
        seconds: npt.NDArray[np.float64] = (
            self._seconds[i] + (ticks - self._ticks[i]) * self._s_per_tick[i]
        )
        return seconds


class Score:
    """A whole score. Its parts are numbered from 0; part 3 is the stem ``S03``.

    Parameters
    ----------
    raw : RawFile
        The events of the file.
    stopwatch : Stopwatch, optional
        Is asked at every channel.
    are_drums_joined : bool
        Whether tracks that play drums on one channel, with one kit, are one part.
    is_fine : bool
        Whether ticks are divided, so that notes can be moved by a fraction of a millisecond.

    Attributes
    ----------
    ticks_per_quarter, n_divided : int
        Resolution; and how many ticks are one of the file, which is 1 unless they are divided.
    parts : list of Part
        In order of track, channel and first note.
    tempo_map : TempoMap
        Gives the time in seconds of a tick.
    first_tick, end_tick : int
        Ticks at which the first note begins and the last one is told to end: under a pedal, when
        the pedal is lifted.
    duration_s : float
        Time of the latter. Notes without an end, and pedals that stay down, end with the last
        event, but 30 s after the last note-on or note-off at the latest.
    n_notes : int
        Number of notes of all parts.
    repairs : tuple of str
        What had to be mended to read the file, in words.
    has_quarters : bool
        Whether the file counts time in quarter notes, and not in frames of SMPTE.

    Raises
    ------
    Unusable
        Without notes, with too many parts, or with an impossible time division.
    """

    def __init__(
        self,
        raw: smf.RawFile,
        stopwatch: smf.Stopwatch | None = None,
        *,
        are_drums_joined: bool = False,
        is_fine: bool = False,
    ) -> None:
        self.ticks_per_quarter, tracks = _in_quarters(raw)
        self.n_divided = _n_divided(self.ticks_per_quarter, tracks) if is_fine else 1
        if self.n_divided > 1:
            self.ticks_per_quarter *= self.n_divided
            tracks = [[Event(e.tick * self.n_divided, e.data) for e in track] for track in tracks]
        self.has_quarters = raw.division > 0
        streams = self._streams = Streams(tracks)
        tempos = sorted(e for e in streams.metas if e.data[:2] == bytes((META, TEMPO)))
        self.tempo_map = TempoMap(
            self.ticks_per_quarter,
            [(e.tick, int.from_bytes(e.data[2:], "big")) for e in tempos],
        )
        self._open, n_hanging = collect_parts(
            streams,
            self._stop_tick(),
            stopwatch or smf.Stopwatch(),
            are_drums_joined=are_drums_joined,
        )
        self.parts = [part.describe(streams) for part in self._open]
        self.n_notes = sum(part.n_notes for part in self.parts)
        self._find_ends()
        self.repairs = raw.repairs
        if n_hanging:
            self.repairs += (f"{n_hanging} notes without an end stop with the last event",)

    def _find_ends(self) -> None:
        strikes = [strike for part in self._open for strike in part.strikes]
        self.first_tick = min(strike.onset for strike in strikes)
        self.end_tick = max(max(strike.offset, strike.sounding_offset) for strike in strikes)
        self.duration_s = float(self.tempo_map.seconds(self.end_tick))

    def _stop_tick(self) -> int:
        """Return the tick at which everything ends that nothing else does."""
        last_s = float(self.tempo_map.seconds(self._streams.last_note_tick))
        latest = self.tempo_map.last_tick_before(last_s + _LINGER_S)
        return min(self._streams.last_tick, max(latest, self._streams.last_note_tick))

    def notes(self, part_index: int) -> Notes:
        """Return the notes of a part as they are heard: a repeated key ends the note before."""
        rows = sorted(
            (
                *(s.onset, s.offset, s.pitch, s.velocity, s.sounding_offset),
                *(s.shift, s.is_silenced, s.cents),
            )
            for s in self._open[part_index].strikes
        )
        onset, offset, pitch, velocity, sounding_offset, shift, is_silenced, cents = zip(
            *rows, strict=True
        )
        return Notes(
            np.array(onset, np.int64),
            np.array(offset, np.int64),
            np.array(pitch, np.uint8),
            np.array(velocity, np.uint8),
            np.array(sounding_offset, np.int64),
            (np.array(pitch) + np.array(shift) + np.array(cents) / 100).astype(np.float32),
            np.array(is_silenced, np.bool_),
            np.array(cents, np.float32),
        )

    def events(self, part_index: int) -> list[Event]:
        """Return the channel messages and system exclusives of a part by time."""
        part = self._open[part_index]
        events = by_time(part.sounding_events(self._streams))
        if not part.playing.tuning_sd_cents:
            return events
        return [Event(*sent) for sent in with_tuning_selected(events, part.channel)]

    def playing(self, part_index: int) -> Playing:
        """Return how a part is played."""
        return self._open[part_index].playing

    def played(self, play: Callable[[int, OpenPart, Streams], OpenPart]) -> Score:
        """Return the score with parts that are played otherwise; this one stays as it is.

        Parameters
        ----------
        play : callable
            Returns a part in its new form from its index, itself, and the events of the file.
        """
        score = copy.copy(self)
        score._open = [play(index, part, self._streams) for index, part in enumerate(self._open)]
        score._find_ends()
        return score

    @property
    def is_panned(self) -> bool:
        """Whether the score says of any part where it stands between left and right."""
        controls = (e for part in self._open for e in self._streams.controls(part.line))
        return any(e.data[0] >> 4 == 0xB and e.data[1] == PAN for e in controls)

    def place(self, part_index: int, pan: int) -> None:
        """Say where a part stands, by controller 10 (0 is left), for its sound and its MIDI.

        It is said again after each system exclusive, which may reset the channel.
        """
        part = self._open[part_index]
        data = bytes((0xB0 | part.channel, PAN, pan))
        part.add(Ordered(0, part.track, -1, data))
        for event in self._streams.systems(part.device):
            part.add(event._replace(place=event.place + 1, data=data))

    @property
    def only_bar_quarters(self) -> float | None:
        """The quarter notes of a bar, 4 unless it is said; None if the meter changes."""
        lengths = {*({0: 4.0} | self.meters).values()}
        return lengths.pop() if len(lengths) == 1 and 0 not in lengths else None

    @property
    def meters(self) -> dict[int, float]:
        """Ticks at which the meter is set, in order, and the quarter notes of a bar from there."""
        said = [e for e in self._streams.metas if e.data[:2] == bytes((META, METER))]
        bars = {e.tick: 4 * e.data[2] / 2 ** e.data[3] for e in said if len(e.data) > 3}
        return dict(sorted(bars.items()))

    @property
    def n_devices(self) -> int:
        """The number of sets of 16 channels that the file plays on."""
        return self._streams.n_devices

    def unsplit_events(self, device: int = 0) -> list[Event]:
        """Return the channel messages and system exclusives of a device by time."""
        sent = [e for part in self._open if part.device == device for e in part.sent]
        return by_time(set(sent + self._streams.everything(device)))

    def midi(
        self, part_index: int, unheard: Collection[tuple[int, int, int]] = frozenset()
    ) -> bytes:
        """Return a part as a format 1 file of two tracks (conductor, part), as Slakh's.

        Drums are on channel 10, melodies on another, whatever channel the score has them on.

        Parameters
        ----------
        part_index : int
            Index of the part.
        unheard : collection of (int, int, int)
            Onset in ticks, pitch and velocity of notes that are left out.
        """
        part, streams = self._open[part_index], self._streams
        own = part.track_metas(streams) + part.midi_events(streams)
        played = by_time(own)
        if unheard:
            played = list(without_strikes(played, unheard))
        tracks = [by_time(streams.conductor(part.device)), played]
        return serialise(*self._readable(tracks))

    def _readable(self, tracks: list[list[Event]]) -> tuple[int, list[list[Event]]]:
        """Return time division and tracks with no more ticks than readers take.

        What comes after the end of the score moves there first; only then is time coarser.
        """
        division = self.ticks_per_quarter
        last = max(events[-1].tick for events in tracks if events)
        if last <= _MAX_TICKS:
            return division, tracks
        factor = -(-self.end_tick // _MAX_TICKS)
        coarser = max(division // factor, 1)
        slower = -(-factor * coarser // division)  # where one tick a quarter is not coarse enough

        def moved(event: Event) -> Event:
            tick = min(event.tick, self.end_tick) * coarser // (division * slower)
            if event.data[:2] != bytes((META, TEMPO)) or slower == 1:
                return Event(tick, event.data)
            tempo_us = min(int.from_bytes(event.data[2:], "big") * slower, 0xFFFFFF)
            return Event(tick, event.data[:2] + tempo_us.to_bytes(3, "big"))

        return coarser, [[moved(event) for event in events] for events in tracks]

    def notes_sha256(self) -> str:
        """Hash pitches and onsets, the first onset being zero, in 1/960 of a quarter note.

        Durations and velocities do not count: a copy with other ones is the same music, and
        songs that are the same music must not lie in two splits.
        """
        return _content_hash(self._open, self.ticks_per_quarter)


def read_score(
    data: bytes,
    max_duration_s: float = DEFAULT_MAX_DURATION_S,
    *,
    are_drums_joined: bool = False,
    is_fine: bool = False,
) -> Score:
    """Read a MIDI file as a score.

    Parameters
    ----------
    data : bytes
        Content of the MIDI file.
    max_duration_s : float
        Length in seconds of the longest score that is accepted.
    are_drums_joined : bool
        As for `Score`.
    is_fine : bool
        Whether ticks are divided, so that notes can be moved by a fraction of a millisecond.

    Returns
    -------
    Score
        With at least one part and one note.

    Raises
    ------
    Unusable
        With the reason, when the file cannot be used.
    """
    with collector_paused():
        stopwatch = smf.Stopwatch()
        raw = smf.parse(data, stopwatch)
        score = Score(raw, stopwatch, are_drums_joined=are_drums_joined, is_fine=is_fine)
    if score.duration_s > max_duration_s:
        raise Unusable(
            Reason.TOO_LONG, f"lasts {score.duration_s:.0f} s, more than {max_duration_s:g} s"
        )
    if score.duration_s * len(score.parts) > MAX_STEM_S:
        raise Unusable(
            Reason.TOO_LARGE,
            f"{len(score.parts)} parts of {score.duration_s:.0f} s are more than "
            f"{MAX_STEM_S / 3600:.0f} h of stems",
        )
    if score.n_notes > MAX_NOTES_PER_S * max(score.duration_s, 1.0):
        raise Unusable(Reason.TOO_DENSE, f"{score.n_notes} notes in {score.duration_s:.3f} s")
    return score


@contextmanager
def collector_paused() -> Iterator[None]:
    """Do without Python's search for cycles: events make none, and are many to search."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _in_quarters(raw: smf.RawFile) -> tuple[int, Sequence[list[Event]]]:
    """Return ticks per quarter note and tracks; SMPTE time becomes an equal constant tempo.

    The conversion is exact, and readers that know only quarter notes can read the parts.
    """
    if raw.division > 0:
        return raw.division, raw.tracks
    frames, ticks = -(raw.division >> 8), raw.division & 0xFF
    if frames not in _SMPTE_TEMPO_US or ticks == 0:
        raise Unusable(Reason.BAD_DIVISION, f"time division {raw.division}")
    tempo_code = bytes((META, TEMPO))
    tempo = Event(0, tempo_code + _SMPTE_TEMPO_US[frames].to_bytes(3, "big"))
    others = [[e for e in events if e.data[:2] != tempo_code] for events in raw.tracks]
    first, *rest = others or [[]]
    return (30 if frames == 29 else frames) * ticks, [[tempo, *first], *rest]


def _n_divided(ticks_per_quarter: int, tracks: Sequence[list[Event]]) -> int:
    """Return into how many ticks one of the file is divided, where readers of MIDI allow it."""
    last = max((events[-1].tick for events in tracks if events), default=0)
    wanted = -(-_FINE_TICKS // ticks_per_quarter)
    most = min(_MOST_TICKS_PER_QUARTER // ticks_per_quarter, _MAX_TICKS // max(last, 1))
    return max(1, min(wanted, most))


def _content_hash(parts: list[OpenPart], ticks_per_quarter: int) -> str:
    strikes = [strike for part in parts for strike in part.strikes]
    onsets = np.array([strike.onset for strike in strikes], np.int64)
    pitches = np.array([strike.pitch for strike in strikes], np.int64)
    onsets -= onsets.min()
    # Rounded half up in integers, so that no platform rounds another way.
    grid = (2 * onsets * _HASH_RESOLUTION + ticks_per_quarter) // (2 * ticks_per_quarter)
    content = np.sort(grid * 128 + pitches).astype("<i8")
    return hashlib.sha256(content.tobytes()).hexdigest()
