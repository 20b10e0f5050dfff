"""How a part is played: its notes and messages in seconds, under tempo, dynamics and deviations.

Miron et al. 2017, section 3.4. Notes are those that are heard (`Score.notes`); controllers keep
their place in the score. Departure from the paper, which queries recordings of each dynamic: here
a dynamic moves the velocities of a part so that their median is the dynamic's, and what a part has
of accents stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s, Int64s
from stemsmith.render.midi.deviations import deviations_of, with_dynamic
from stemsmith.render.midi.notes import BLOCK, end_at_next_strike
from stemsmith.render.midi.playing import Deviations, Dynamic
from stemsmith.render.midi.score import Score, TempoMap
from stemsmith.render.midi.smf import Event
from stemsmith.render.midi.tuning import channel_tuning, tunable, tuning_of, with_tuning_selected
from stemsmith.render.sound.synth import on_grid

__all__ = ["PartNotes", "Performance", "TimedNotes", "perform"]

_OFFS, _CONTROLS, _TUNINGS, _ONS = range(4)  # order of what happens at one moment


class TimedNotes(NamedTuple):
    """Notes in seconds, in order of onset; four arrays of shape (n_notes,)."""

    onset_s: Float64s
    offset_s: Float64s
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]


class PartNotes(NamedTuple):
    """Notes of a part in order of onset; five arrays of shape (n_notes,).

    Samples are multiples of 64, where the synthesiser acts.
    """

    onset: Int64s
    offset: Int64s
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]
    cents: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Performance:
    """A part ready to be synthesised.

    Attributes
    ----------
    notes : PartNotes
        The notes that sound.
    events : list of Event
        All messages in playing order; ticks are samples.
    tuning : numpy.ndarray
        (n_notes,) semitones by which the score tunes the channel (RPN 1 and 2) as a note begins.
    """

    notes: PartNotes
    events: list[Event]
    tuning: Float32s

    @property
    def frames(self) -> Int64s:
        """Sample of each event."""
        return np.array([event.tick for event in self.events], np.int64)


def perform(
    score: Score,
    part_index: int,
    tempo_map: TempoMap,
    dynamic: Dynamic,
    deviations: Deviations,
    sample_rate: int,
    rng: np.random.Generator,
    aligned: TimedNotes | None = None,
) -> Performance:
    """Play a part.

    Parameters
    ----------
    score : Score
        Score that is played.
    part_index : int
        Index of the part in the score.
    tempo_map : TempoMap
        Gives the time in seconds of the ticks of the score.
    dynamic : Dynamic
        Dynamic that decides the velocities.
    deviations : Deviations
        Standard deviations of the onsets and of the tuning of single notes.
    sample_rate : int
        Sample rate in Hz.
    rng : numpy.random.Generator
        Draws the deviations; the same one gives the same deviations at any tempo and dynamic.
    aligned : TimedNotes, optional
        Notes that replace the score's, in seconds: what was really played ("GT" in the paper).
        The tempo then does nothing, and controllers move along with the notes around them.

    Returns
    -------
    Performance
        Notes and messages.
    """
    written = _written(score, part_index, tempo_map)
    played = written if aligned is None else aligned
    n_notes = len(played.pitch)
    moved_s = deviations_of(rng, deviations.onset_s, n_notes)
    cents = tunable(deviations_of(rng, deviations.cents, n_notes), played.pitch)
    onset_s = np.maximum(played.onset_s + moved_s, 0.0)
    notes = _tidied(
        PartNotes(
            on_grid(onset_s, sample_rate),
            on_grid(onset_s + played.offset_s - played.onset_s, sample_rate),
            played.pitch,
            with_dynamic(played.velocity, dynamic),
            cents,
        )
    )
    channel = score.parts[part_index].channel
    controls = [e for e in score.events(part_index) if e.data[0] >> 4 not in (0x8, 0x9)]
    control_s = tempo_map.seconds([e.tick for e in controls])
    if aligned is not None:
        control_s = _moved_along(control_s, written, aligned)
    frames = on_grid(control_s, sample_rate).tolist()
    sent = list(zip(frames, [e.data for e in controls], strict=True))
    if deviations.cents:
        sent = list(with_tuning_selected(sent, channel))
    happening = [(frame, _CONTROLS, i, data) for i, (frame, data) in enumerate(sent)]
    happening += _note_messages(notes, channel, bool(deviations.cents))
    happening.sort()
    events = [Event(frame, data) for frame, _, _, data in happening]
    return Performance(notes, events, channel_tuning(events, channel))


def _written(score: Score, part_index: int, tempo_map: TempoMap) -> TimedNotes:
    notes = score.notes(part_index)
    return TimedNotes(
        tempo_map.seconds(notes.onset_tick),
        tempo_map.seconds(notes.offset_tick),
        notes.pitch,
        notes.velocity,
    )


def _moved_along(seconds: Float64s, written: TimedNotes, aligned: TimedNotes) -> Float64s:
    """Move moments of the score to where they are when its notes are played as aligned."""
    ends = [written.offset_s.max(), aligned.offset_s.max()]
    if len(written.pitch) != len(aligned.pitch):  # no note for note relation: in proportion
        in_proportion: Float64s = seconds * (ends[1] / ends[0])
        return in_proportion
    known, first = np.unique(written.onset_s, return_index=True)
    moved = np.maximum.accumulate(aligned.onset_s[first])
    places = np.interp(seconds, [*known, ends[0]], [*moved, max(ends[1], moved[-1])])
    moved_s: Float64s = np.where(seconds <= known[0], np.minimum(seconds, moved[0]), places)
    return moved_s


def _tidied(notes: PartNotes) -> PartNotes:
    """Order notes by onset; end a note where its key is struck again; none without length."""
    order = np.lexsort((notes.pitch, notes.onset))
    onset, pitch = notes.onset[order], notes.pitch[order]
    offset = end_at_next_strike(onset, notes.offset[order], pitch, shortest=BLOCK)
    return PartNotes(onset, offset, pitch, notes.velocity[order], notes.cents[order])


def _note_messages(
    notes: PartNotes, channel: int, is_tuned: bool
) -> list[tuple[int, int, int, bytes]]:
    messages = []
    for i, (onset, offset, pitch, velocity, cents) in enumerate(zip(*notes, strict=True)):
        onset, offset = int(onset), int(offset)
        if is_tuned:
            messages.append((onset, _TUNINGS, i, tuning_of(int(pitch), float(cents))))
        messages.append((onset, _ONS, i, bytes((0x90 | channel, int(pitch), int(velocity)))))
        messages.append((offset, _OFFS, i, bytes((0x80 | channel, int(pitch), 0))))
    return messages
