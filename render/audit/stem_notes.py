"""What a score promises of a stem: which notes are heard, until when, and at what pitch.

The note table has keys and note-offs. What sounds follows from the controllers too, as FluidSynth
obeys them: volume and expression may silence a note, pedals hold it, bends move its pitch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float64s, Int64s
from stemsmith.render.midi.channel import (
    DATA_LSB,
    DATA_MSB,
    EXPRESSION,
    MODULATION,
    NRPN,
    RESET_CONTROLLERS,
    RPN_LSB,
    RPN_MSB,
    SOSTENUTO,
    SUSTAIN,
    VOLUME,
)
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.compass import velocity_db

__all__ = ["StemNotes", "as_played"]

# Mono, legato and portamento tie notes together in ways that notes alone do not tell.
_TIES: Final = frozenset({65, 68, 84, 124, 125, 126, 127})
_CENTRE: Final = 8192
_SOFTEST_DB: Final = -40.0  # of volume and expression together; a note below may be inaudible
_DEEPEST_VIBRATO: Final = 40  # of modulation: 16 cents
_NOTE_S: Final = 0.25  # how long after its onset the volume of a note is looked at


class StemNotes(NamedTuple):
    """The notes of a stem as they shall be heard, in order of onset.

    Attributes
    ----------
    onset, offset : numpy.ndarray
        (n_notes,) samples at which the note starts and at which it is let go, by key or pedal.
    pitch : numpy.ndarray
        (n_notes,) sounding pitch as a MIDI number, with bends.
    key, velocity : numpy.ndarray
        (n_notes,) MIDI numbers as sent.
    voice_end : numpy.ndarray
        (n_notes,) sample at which the voice is told to end: `offset`, or before that the next
        strike of its key, where no pedal holds it.
    is_heard : numpy.ndarray
        (n_notes,) whether the note must be heard.
    is_steady : numpy.ndarray
        (n_notes,) whether its pitch stays where it is.
    changes : numpy.ndarray
        Samples at which a controller changes the level while nothing is struck.
    is_drum : bool
        Whether pitches are drums.
    is_tied : bool
        Whether mono mode, legato or portamento ever tie notes together.
    """

    onset: Int64s
    offset: Int64s
    pitch: Float64s
    key: Int64s
    velocity: Int64s
    voice_end: Int64s
    is_heard: Bools
    is_steady: Bools
    changes: Int64s
    is_drum: bool
    is_tied: bool


class _Course:
    """A value that changes at some samples."""

    def __init__(self, first: float) -> None:
        self.times: list[int] = [-1]
        self.values: list[float] = [first]

    def set(self, time: int, value: float) -> None:
        if value != self.values[-1]:
            self.times.append(time)
            self.values.append(value)

    def at(self, times: Int64s) -> Float64s:
        # From the event at its own sample on; the last of several at one sample holds.
        index = np.searchsorted(self.times, times, side="right") - 1
        values: Float64s = np.array(self.values)[index]
        return values

    def changes_within(self, starts: Int64s, stops: Int64s) -> Bools:
        changed: Bools = np.searchsorted(self.times, stops, side="left") > np.searchsorted(
            self.times, starts, side="right"
        )
        return changed


class _Channel:
    """The controllers of a part, read from its events in order."""

    def __init__(self) -> None:
        self.level_db, self.semitones, self.vibrato = _Course(0.0), _Course(0.0), _Course(0.0)
        self.pedal, self.sostenuto = _Course(0.0), _Course(0.0)
        self.is_tied = False
        self._volume, self._expression = 100, 127
        self._bend, self._range, self._coarse, self._fine = _CENTRE, 2.0, 0.0, 0.0
        self._rpn: tuple[int, int] | None = None
        self._rpn_msb, self._rpn_lsb = 127, 127

    def read(self, frame: int, data: bytes) -> None:
        kind = data[0] >> 4
        if kind == 0xB:
            self._control(frame, data[1], data[2])
        elif kind == 0xE:
            self._bend = data[1] | data[2] << 7
            self._tune(frame)
        elif kind == 0xD:
            self.vibrato.set(frame, max(float(data[1]), self.vibrato.values[-1]))
        elif kind == 0xF:
            # A reset of the whole instrument, or a tuning: what follows is not known here.
            self.is_tied = self.is_tied or (data[:2] == b"\xf0\x7f" and data[3:4] == b"\x08")

    def _control(self, frame: int, number: int, value: int) -> None:
        if number == VOLUME:
            self._volume = value
        elif number == EXPRESSION:
            self._expression = value
        elif number == MODULATION:
            self.vibrato.set(frame, float(value))
        elif number == SUSTAIN:
            self.pedal.set(frame, float(value >= 64))
        elif number == SOSTENUTO:
            self.sostenuto.set(frame, float(value >= 64))
        elif number in _TIES:
            self.is_tied = self.is_tied or value > 0 or number == 126
        elif number in NRPN:
            self._rpn_msb = self._rpn_lsb = 127
        elif number == RPN_MSB:
            self._rpn_msb = value
        elif number == RPN_LSB:
            self._rpn_lsb = value
        elif number in (DATA_MSB, DATA_LSB):
            self._data(frame, number, value)
        elif number == RESET_CONTROLLERS:
            self._expression, self._bend = 127, _CENTRE
            self.vibrato.set(frame, 0.0)
            self.pedal.set(frame, 0.0)
            self.sostenuto.set(frame, 0.0)
            self._tune(frame)
        self.level_db.set(frame, _level_db(self._volume) + _level_db(self._expression))

    def _data(self, frame: int, number: int, value: int) -> None:
        rpn = (self._rpn_msb, self._rpn_lsb)
        if rpn == (0, 0):
            whole = value if number == DATA_MSB else int(self._range)
            self._range = whole + (value / 100 if number == DATA_LSB else self._range % 1)
        elif rpn == (0, 1) and number == DATA_MSB:
            self._fine = (value - 64) / 64
        elif rpn == (0, 2) and number == DATA_MSB:
            self._coarse = value - 64.0
        elif rpn == (0, 1):
            self._fine += value / _CENTRE
        self._tune(frame)

    def _tune(self, frame: int) -> None:
        bend = (self._bend - _CENTRE) / _CENTRE * self._range
        self.semitones.set(frame, bend + self._fine + self._coarse)


def as_played(
    table: npt.ArrayLike,
    sample_rate: int,
    *,
    is_drum: bool = False,
    events: Sequence[Event] = (),
    frames: npt.ArrayLike = (),
    heard: npt.ArrayLike | None = None,
    sounding_offset: npt.ArrayLike | None = None,
    sounding_pitch: npt.ArrayLike | None = None,
    cents: npt.ArrayLike | None = None,
) -> StemNotes:
    """Return the notes of a stem as its controllers let them be heard.

    Parameters
    ----------
    table : array_like
        (n_notes, 4) samples of strike and note-off, and pitch and velocity as sent.
    sample_rate : int
        Sample rate of the stem in Hz.
    is_drum : bool
        Whether the part is a drum kit.
    events, frames : sequence of Event, array_like
        Channel messages of the part in order, and the sample of each. Without them no controller
        has moved.
    heard : array_like, optional
        (n_notes,) False where it is known already that a note makes no sound.
    sounding_offset, sounding_pitch : array_like, optional
        (n_notes,) what is known of pedals and bends; derived from the events if not given.
    cents : array_like, optional
        (n_notes,) by how much the player tuned each note, where the events do not say so.

    Returns
    -------
    StemNotes
        In order of onset.
    """
    on, off, keys, force = np.asarray(table, np.int64).reshape(-1, 4).T
    channel = _Channel()
    for frame, event in zip(np.asarray(frames, np.int64).tolist(), events, strict=True):
        if event.data[0] >> 4 > 0x9:
            channel.read(frame, event.data)
    known_end = sounding_offset is not None
    end = np.asarray(sounding_offset, np.int64) if known_end else _pedalled(on, off, channel)
    moved = channel.semitones.at(on)
    tone = keys + moved if sounding_pitch is None else np.asarray(sounding_pitch, np.float64)
    away = np.zeros(len(keys)) if cents is None else np.asarray(cents, np.float64)
    tone = tone + away / 100
    soon = on + round(_NOTE_S * sample_rate)
    is_soft = np.minimum(channel.level_db.at(on), channel.level_db.at(soon)) < _SOFTEST_DB
    is_soft |= channel.level_db.changes_within(on, soon)
    is_heard = ~is_soft if heard is None else ~is_soft & np.asarray(heard, np.bool_)
    unsteady = channel.semitones.changes_within(on, np.maximum(end, soon))
    unsteady |= channel.vibrato.at(on) > _DEEPEST_VIBRATO
    unsteady |= channel.vibrato.changes_within(on, end)
    unsteady |= away != 0  # unisons that are tuned apart beat
    if channel.is_tied:
        unsteady[:] = True
    order = np.lexsort((tone, on))
    changes = np.array(channel.level_db.times[1:], np.int64)
    return StemNotes(
        on[order], end[order], tone[order], keys[order], force[order],
        _voice_ends(on, end, keys, channel)[order], is_heard[order], ~unsteady[order],
        changes, is_drum, channel.is_tied,
    )  # fmt: skip


def _level_db(value: int) -> float:
    """Return what a volume controller does to the level: the concave curve of SoundFont 2.04."""
    return float(velocity_db(value)) if value else -200.0


def _voice_ends(onset: Int64s, end: Int64s, keys: Int64s, channel: _Channel) -> Int64s:
    """Return where voices end: a key that is struck again lets go of its voice, but for pedals."""
    order = np.lexsort((onset, keys))
    again = np.full(len(onset), np.iinfo(np.int64).max)
    same = keys[order][1:] == keys[order][:-1]
    again[order[:-1]] = np.where(same, onset[order][1:], again[order[:-1]])
    is_struck = again < end
    strikes = np.where(is_struck, again, 0)
    is_held = (channel.pedal.at(strikes) > 0) | (channel.sostenuto.at(strikes) > 0)
    ends: Int64s = np.where(is_struck & ~is_held, again, end)
    return ends


def _pedalled(onset: Int64s, offset: Int64s, channel: _Channel) -> Int64s:
    """Return note-offs, or where the pedal that is down at them is lifted."""
    end = offset.copy()
    for course in (channel.pedal, channel.sostenuto):
        lifts = [t for t, v in zip(course.times, course.values, strict=True) if not v]
        for index in np.flatnonzero(course.at(offset)):
            later = bisect_right(lifts, int(offset[index]))
            last = lifts[later] if later < len(lifts) else np.iinfo(np.int32).max
            end[index] = max(end[index], last)
    return end
