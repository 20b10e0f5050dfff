"""Part of a part, in another key and at another tempo: what is sent to a synthesiser.

Playing begins before the excerpt, so that what sounds already when it begins sounds there as it
would: with the first of the notes that are held then, or with those of the second before. All that
was sent earlier, but notes, is sent at once, in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float64s, Int64s, UInt8s
from stemsmith.mixing.plan.score_grid import TempoKnots, interpolated
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.score import Notes, Score
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.synth import on_grid

__all__ = ["Excerpt", "excerpt_of"]

SamplesAt = Callable[[Float64s, int], Int64s]

_LEAST_BEFORE_S: Final = 1.0  # notes that end so long before are not heard any more
_MOST_BEFORE_S: Final = 30.0
_NOTE_OFF, _NOTE_ON, _KEY_PRESSURE = 0x8, 0x9, 0xA


class Excerpt(NamedTuple):
    """An excerpt ready to be synthesised, in samples of what is synthesised.

    Attributes
    ----------
    n_before : int
        Samples that are played before the excerpt begins.
    onset, offset : numpy.ndarray
        (n_notes,) of the notes, where the patch acts.
    pitch, velocity : numpy.ndarray
        (n_notes,) MIDI numbers as sent, transposed.
    is_silenced : numpy.ndarray
        (n_notes,) as in `Notes`.
    events : list of Event
        All messages in playing order, whose ticks do not count.
    frames : numpy.ndarray
        (n_events,) sample of each.
    """

    n_before: int
    onset: Int64s
    offset: Int64s
    pitch: UInt8s
    velocity: UInt8s
    is_silenced: Bools
    events: list[Event]
    frames: Int64s


def excerpt_of(
    score: Score,
    part_index: int,
    transposition: int,
    tempo_map: TempoKnots,
    sample_rate: int,
    n_samples: int,
    samples_at: SamplesAt = on_grid,
) -> Excerpt:
    """Return what plays an excerpt of a part.

    Parameters
    ----------
    score : Score
        Score that the part is from.
    part_index : int
        Index of the part in the score.
    transposition : int
        Semitones by which notes are higher; MIDI must have the keys.
    tempo_map : tuple of (float, float)
        Quarter notes, and the seconds after the beginning of the excerpt at which they are played.
        Before the first, and after the last, the nearest tempo goes on.
    sample_rate : int
        Sample rate of what is played in Hz.
    n_samples : int
        How much is played after the beginning of the excerpt.
    samples_at : callable
        Returns the samples at which the patch acts on events, for seconds and a sample rate.
    """
    time = _Time(tempo_map, score.ticks_per_quarter)
    notes = score.notes(part_index)
    onset_s, offset_s = time.seconds(notes.onset_tick), time.seconds(notes.offset_tick)
    before_s = _before_s(time, notes, onset_s)
    n_before = BLOCK * math.ceil(before_s * sample_rate / BLOCK)
    end_s = n_samples / sample_rate
    is_played = (onset_s >= -before_s) & (onset_s < end_s)
    played = onset_s[is_played], offset_s[is_played]
    onset, offset = (n_before + samples_at(s, sample_rate) for s in played)
    pitch = (notes.pitch[is_played].astype(np.int64) + transposition).astype(np.uint8)
    events, seconds = _sent(score, part_index, transposition, time, before_s, end_s)
    return Excerpt(
        n_before,
        onset,
        offset,
        pitch,
        notes.velocity[is_played],
        notes.is_silenced[is_played],
        events,
        (n_before + samples_at(seconds, sample_rate)).clip(min=0),
    )


class _Time:
    """When ticks of a score are played."""

    def __init__(self, tempo_map: TempoKnots, ticks_per_quarter: int) -> None:
        self._beats, self._seconds = np.array(tempo_map, np.float64).T
        self._ticks_per_quarter = ticks_per_quarter

    def seconds(self, ticks: npt.ArrayLike) -> Float64s:
        """Return the seconds after the beginning of the excerpt of ticks (same shape)."""
        beats = np.asarray(ticks, np.float64) / self._ticks_per_quarter
        return interpolated(beats, self._beats, self._seconds)


def _before_s(time: _Time, notes: Notes, onset_s: Float64s) -> float:
    """Return how long before the excerpt playing begins, in seconds."""
    ends_s = time.seconds(notes.sounding_offset_tick)
    is_held = (onset_s < 0) & (ends_s > -_LEAST_BEFORE_S)
    first_s = float(onset_s[is_held].min(initial=0.0))
    return min(max(_LEAST_BEFORE_S, -first_s + 0.01), _MOST_BEFORE_S)


def _sent(
    score: Score, part_index: int, transposition: int, time: _Time, before_s: float, end_s: float
) -> tuple[list[Event], Float64s]:
    """Return messages and their seconds; notes that begin before playing does are not sent."""
    events = score.events(part_index)
    seconds = time.seconds([event.tick for event in events])
    sent, at = [], []
    for event, second in zip(events, seconds.tolist(), strict=True):
        kind, data = event.data[0] >> 4, event.data
        if second >= end_s or (second < -before_s and kind in (_NOTE_OFF, _NOTE_ON)):
            continue
        if kind in (_NOTE_OFF, _NOTE_ON, _KEY_PRESSURE):
            key = min(max(data[1] + transposition, 0), 127)
            data = bytes((data[0], key)) + data[2:]
        sent.append(Event(event.tick, data))
        at.append(max(second, -before_s))
    return sent, np.array(at, np.float64)
