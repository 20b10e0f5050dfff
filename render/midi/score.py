"""Scores: the parts of a MIDI file, timed by the tempo map of all its tracks.

Departure from pretty_midi, which reads tempo from track 0 only: times differ where a file keeps
tempo changes in other tracks (mido and FluidSynth read all, as here).
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.records import Reason
from stemsmith.render.midi import smf
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S, MAX_NOTES_PER_S
from stemsmith.render.midi.parts import TEMPO, OpenPart, Streams, by_time, collect_parts
from stemsmith.render.midi.smf import META, Event, Unusable
from stemsmith.render.midi.smf_writer import serialise

__all__ = ["Notes", "Score", "TempoMap", "collector_paused", "read_score"]

_DEFAULT_TEMPO_US: Final = 500_000  # RP-001: 120 quarter notes a minute until said otherwise
# Frames per second of SMPTE divisions, as a tempo in us when a "quarter" has frames * ticks.
_SMPTE_TEMPO_US: Final = {24: 1_000_000, 25: 1_000_000, 29: 1_001_000, 30: 1_000_000}
_HASH_RESOLUTION: Final = 960  # grid of the content hash, per quarter note


class Notes(NamedTuple):
    """Notes in order of onset; four arrays of shape (n_notes,)."""

    onset_tick: npt.NDArray[np.int64]
    offset_tick: npt.NDArray[np.int64]
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]


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

    def faster(self, factor: float) -> TempoMap:
        """Return the same map with every tempo multiplied by a factor."""
        faster = TempoMap(self._ticks_per_quarter, [])
        faster._ticks = self._ticks
        faster._s_per_tick = self._s_per_tick / factor
        faster._seconds = self._seconds / factor
        return faster

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

    Attributes
    ----------
    parts : list of Part
        In order of track, channel and first note.
    tempo_map : TempoMap
        Gives the time in seconds of a tick.
    first_tick, end_tick : int
        Ticks at which the first note begins and the last note ends.
    duration_s : float
        Time at which the last note ends. Notes without an end stop with the last event.
    n_notes : int
        Number of notes of all parts.
    repairs : tuple of str
        What had to be mended to read the file, in words.

    Raises
    ------
    Unusable
        Without notes, with too many parts, or with an impossible time division.
    """

    def __init__(self, raw: smf.RawFile) -> None:
        self._ticks_per_quarter, tracks = _in_quarters(raw)
        self._streams = Streams(tracks)
        self._open = collect_parts(self._streams)
        self.parts = [part.describe(self._streams) for part in self._open]
        self.n_notes = sum(part.n_notes for part in self.parts)
        tempos = sorted(e for e in self._streams.common if e.data[:2] == bytes((META, TEMPO)))
        self.tempo_map = TempoMap(
            self._ticks_per_quarter,
            [(e.tick, int.from_bytes(e.data[2:], "big")) for e in tempos],
        )
        n_hanging, self.end_tick = self._end_notes()
        self.first_tick = min(note[0] for part in self._open for note in part.notes)
        self.duration_s = float(self.tempo_map.seconds(self.end_tick))
        self.repairs = raw.repairs
        if n_hanging:
            self.repairs += (f"{n_hanging} notes without an end stop with the last event",)

    def _end_notes(self) -> tuple[int, int]:
        offsets = [note[1] for part in self._open for note in part.notes]
        n_hanging = sum(offset < 0 for offset in offsets)
        end_tick = max(offsets) if not n_hanging else max(*offsets, self._streams.last_tick)
        for part in self._open:
            part.end_notes(end_tick)
        return n_hanging, end_tick

    def notes(self, part_index: int) -> Notes:
        """Return the notes of a part as they are heard: a repeated key ends the note before."""
        table = np.array(sorted(self._open[part_index].notes), np.int64)
        onset, offset, pitch, velocity = table.T
        return Notes(onset, offset, pitch.astype(np.uint8), velocity.astype(np.uint8))

    def events(self, part_index: int) -> list[Event]:
        """Return the channel messages and system exclusives of a part by time."""
        return by_time(
            self._open[part_index].channel_events(self._streams) + self._streams.sysexes()
        )

    def unsplit_events(self) -> list[Event]:
        """Return the channel messages and system exclusives of the whole file by time."""
        added = [event for part in self._open for event in part.added_events()]
        return by_time(self._streams.everything() + added)

    def midi(self, part_index: int) -> bytes:
        """Return a part as a format 1 file of two tracks (conductor, part), as Slakh's."""
        part = self._open[part_index]
        own = self._streams.metas(part.track) + part.channel_events(self._streams)
        tracks = [by_time(self._streams.conductor()), by_time(own)]
        return serialise(self._ticks_per_quarter, tracks)

    def notes_sha256(self) -> str:
        """Hash pitches and onsets, the first onset being zero, in 1/960 of a quarter note.

        Durations and velocities do not count: a copy with other ones is the same music, and
        songs that are the same music must not lie in two splits.
        """
        return _content_hash(self._open, self._ticks_per_quarter)


def read_score(data: bytes, max_duration_s: float = DEFAULT_MAX_DURATION_S) -> Score:
    """Read a MIDI file as a score.

    Parameters
    ----------
    data : bytes
        Content of the MIDI file.
    max_duration_s : float
        Length in seconds of the longest score that is accepted.

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
        score = Score(smf.parse(data))
    if score.duration_s > max_duration_s:
        raise Unusable(
            Reason.TOO_LONG, f"lasts {score.duration_s:.0f} s, more than {max_duration_s:g} s"
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


def _content_hash(parts: list[OpenPart], ticks_per_quarter: int) -> str:
    onsets = np.array([note[0] for part in parts for note in part.notes], np.int64)
    pitches = np.array([note[2] for part in parts for note in part.notes], np.int64)
    onsets -= onsets.min()
    # Rounded half up in integers, so that no platform rounds another way.
    grid = (2 * onsets * _HASH_RESOLUTION + ticks_per_quarter) // (2 * ticks_per_quarter)
    content = np.sort(grid * 128 + pitches).astype("<i8")
    return hashlib.sha256(content.tobytes()).hexdigest()
