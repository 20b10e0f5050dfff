"""Faults put into stems on purpose: what the audit must find, for its tests and benchmark.

Single notes are taken out of a stem by rendering it without them: the synthesiser adds voices up,
so that the difference is the note. One that is moved, shifted in pitch or held is put back changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.records import DefectKind
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.synth import Preset, shared_synth

__all__ = ["EXPECTED", "SINGLE", "Fault", "FaultKind", "PlayedPart", "inject"]


class FaultKind(StrEnum):
    """The kinds of faults."""

    MUTED = "note muted"
    DOUBLED = "note doubled"
    LATE = "note 10 ms late"
    HUNG = "note hung for 1 s"
    OCTAVE_UP = "note an octave up"
    OCTAVE_DOWN = "note an octave down"
    SEMITONE = "note a semitone off"
    HALF_SEMITONE = "note 50 cents off"
    STEM_MUTED = "stem silent"
    STEM_SEMITONE = "stem a semitone off"
    STEM_HALF_SEMITONE = "stem 50 cents off"
    STEM_OCTAVE = "stem an octave off"
    DROPOUT = "dropout of 5 ms"
    NOISE = "noise at -20 dB"
    CLIPPED = "0.1 % clipped"
    DC = "DC of -40 dBFS"


_PITCH: Final = frozenset(
    {DefectKind.WRONG_PITCH, DefectKind.WRONG_OCTAVE, DefectKind.MISSING_NOTE}
)
# What the audit may call a fault; it must lie where the fault is.
EXPECTED: Final[dict[FaultKind, frozenset[DefectKind]]] = {
    FaultKind.MUTED: frozenset({DefectKind.MISSING_NOTE, DefectKind.SILENT_STEM}),
    # A second strike within a note is a rise, or at least makes the tone longer.
    FaultKind.DOUBLED: frozenset(
        {DefectKind.DOUBLED_NOTE, DefectKind.UNEXPECTED_SOUND, DefectKind.HUNG_NOTE}
    ),
    FaultKind.LATE: frozenset({DefectKind.LATE_ONSET}),
    FaultKind.HUNG: frozenset({DefectKind.HUNG_NOTE, DefectKind.UNEXPECTED_SOUND}),
    FaultKind.OCTAVE_UP: _PITCH,
    FaultKind.OCTAVE_DOWN: _PITCH,
    FaultKind.SEMITONE: _PITCH,
    FaultKind.HALF_SEMITONE: _PITCH,
    FaultKind.STEM_MUTED: frozenset({DefectKind.SILENT_STEM}),
    FaultKind.STEM_SEMITONE: frozenset({DefectKind.WRONG_PITCH}),
    FaultKind.STEM_HALF_SEMITONE: frozenset({DefectKind.WRONG_PITCH}),
    FaultKind.STEM_OCTAVE: frozenset({DefectKind.WRONG_OCTAVE}),
    FaultKind.DROPOUT: frozenset({DefectKind.DROPOUT}),
    FaultKind.NOISE: frozenset({DefectKind.WHITE_NOISE}),
    FaultKind.CLIPPED: frozenset({DefectKind.CLIPPING}),
    FaultKind.DC: frozenset({DefectKind.DC_OFFSET}),
}
SINGLE: Final = (
    FaultKind.MUTED,
    FaultKind.DOUBLED,
    FaultKind.LATE,
    FaultKind.HUNG,
    FaultKind.OCTAVE_UP,
    FaultKind.OCTAVE_DOWN,
    FaultKind.SEMITONE,
    FaultKind.HALF_SEMITONE,
)
# As ratios of whole numbers: 1200, -1200, 100.1 and 51.2 cents.
_RATIOS: Final = {
    FaultKind.OCTAVE_UP: (2, 1),
    FaultKind.OCTAVE_DOWN: (1, 2),
    FaultKind.SEMITONE: (89, 84),
    FaultKind.HALF_SEMITONE: (103, 100),
}
_SEMITONES: Final = {FaultKind.STEM_SEMITONE: 1, FaultKind.STEM_OCTAVE: 12}
_LATE_S, _HUNG_S, _DROPOUT_S = 0.01, 1.0, 0.005
_NOISE_DB: Final = -20.0
_CLIPPED: Final = 0.001
_DC: Final = 0.01
_PEAK: Final = 0.5  # of the stem as it is written
_LEAST_PEAK: Final = 1e-3  # of a note that is worth taking out
_CONTROL, _NOTE_ON = 0xB0, 0x90


@dataclass(frozen=True, slots=True, eq=False)
class PlayedPart:
    """A part and what plays it.

    Attributes
    ----------
    events : sequence of Event
        Channel messages by time.
    frames : numpy.ndarray
        (n_events,) sample of each.
    notes : numpy.ndarray
        (n_notes, 4) onset, offset, pitch and velocity.
    preset : Preset
        The sound that plays them.
    sample_rate, n_samples : int
        Sample rate in Hz, and length of the stem.
    """

    events: Sequence[Event]
    frames: Int64s
    notes: Int64s
    preset: Preset
    sample_rate: int
    n_samples: int

    def audio(self, gain: float | None = None) -> tuple[Float32s, float]:
        """Return the stem, (n_samples,), and the gain it has: by default a peak of -6 dBFS."""
        out = np.empty(self.n_samples, np.float32)
        synth = shared_synth(self.sample_rate, (self.preset.soundfont,))
        synth.render(self.events, self.frames, self.preset, out)
        if gain is None:
            gain = _PEAK / max(float(np.abs(out).max()), 1e-9)
        return out * np.float32(gain), gain

    def _indices(self, note: int) -> tuple[int, int] | None:
        """Return the events of a note, or None where they are not its alone."""
        onset, _, pitch, _ = self.notes[note].tolist()
        of_key = [
            index
            for index, event in enumerate(self.events)
            if event.data[0] >> 4 in (0x8, 0x9) and event.data[1] == pitch
        ]
        at_onset = [i for i in of_key if self.frames[i] == onset and self._is_strike(i)]
        later = [i for i in of_key if at_onset and i > at_onset[0]]
        if len(at_onset) != 1 or not later or self._is_strike(later[0]):
            return None
        return at_onset[0], later[0]

    def _is_strike(self, index: int) -> bool:
        data = self.events[index].data
        return data[0] >> 4 == 0x9 and data[2] > 0

    def without(self, note: int) -> PlayedPart | None:
        """Return the part without a note."""
        pair = self._indices(note)
        if pair is None:
            return None
        kept = [index for index in range(len(self.events)) if index not in pair]
        return replace(self, events=[self.events[i] for i in kept], frames=self.frames[kept])

    def holding(self, note: int, n_longer: int) -> PlayedPart | None:
        """Return the part with a note held for longer, where its key is not struck meanwhile."""
        pair = self._indices(note)
        if pair is None:
            return None
        release = pair[1]
        until = int(self.frames[release]) + n_longer
        place = int(np.searchsorted(self.frames, until))
        key = self.events[release].data[1]
        between = self.events[release + 1 : place]
        if any(e.data[0] >> 4 in (0x8, 0x9) and e.data[1] == key for e in between):
            return None
        events, frames = list(self.events), self.frames.tolist()
        event = events.pop(release)
        frames.pop(release)
        events.insert(place - 1, event)
        frames.insert(place - 1, until)
        return replace(self, events=events, frames=np.array(frames, np.int64))

    def transposed(self, semitones: int) -> PlayedPart:
        """Return the part some semitones higher; the notes' labels stay."""
        events = [
            Event(e.tick, bytes((e.data[0], min(e.data[1] + semitones, 127), *e.data[2:])))
            if e.data[0] >> 4 in (0x8, 0x9)
            else e
            for e in self.events
        ]
        return replace(self, events=events)

    def detuned(self) -> PlayedPart:
        """Return the part 50 cents higher, by the channels' fine tuning."""
        tuning = [
            Event(0, bytes((_CONTROL | channel, number, value)))
            for channel in range(16)
            for number, value in ((101, 0), (100, 1), (6, 96), (38, 0), (101, 127), (100, 127))
        ]
        # Just before the first note, after whatever resets the score begins with.
        first = next(i for i in range(len(self.events)) if self._is_strike(i))
        at = np.full(len(tuning), self.frames[first], np.int64)
        frames = np.concatenate([self.frames[:first], at, self.frames[first:]])
        events = [*self.events[:first], *tuning, *self.events[first:]]
        return replace(self, events=events, frames=frames)


class Fault(NamedTuple):
    """A stem with a fault.

    Attributes
    ----------
    audio : numpy.ndarray
        (n_samples,) float32 samples of the stem.
    start, end : int
        Samples between which the fault lies.
    """

    audio: Float32s
    start: int
    end: int


def inject(kind: FaultKind, part: PlayedPart, note: int, rng: np.random.Generator) -> Fault | None:
    """Return a stem with one fault.

    Parameters
    ----------
    kind : FaultKind
        What goes wrong.
    part : PlayedPart
        The sound part.
    note : int
        Index of the note, for faults of single notes.
    rng : numpy.random.Generator
        Draws noise and the place of a dropout.

    Returns
    -------
    Fault or None
        None where the note cannot be taken out, or makes no sound.
    """
    if kind not in SINGLE:
        return _whole(kind, part, rng)
    audio, gain = part.audio()
    onset, offset = part.notes[note, :2].tolist()
    if kind is FaultKind.HUNG:
        n_longer = round(_HUNG_S * part.sample_rate)
        held = part.holding(note, n_longer)
        if held is None:
            return None
        longer = held.audio(gain)[0]
        late = offset + n_longer // 4
        if np.abs(longer - audio)[late:].max(initial=0.0) < _LEAST_PEAK:
            return None  # it has died away, or its key is struck again
        return Fault(longer, offset, offset + n_longer)
    rest = part.without(note)
    if rest is None:
        return None
    others = rest.audio(gain)[0]
    alone = audio - others
    if np.abs(alone[onset:offset]).max(initial=0.0) < _LEAST_PEAK:
        return None
    if kind is FaultKind.MUTED:
        return Fault(others, onset, offset)
    if kind is FaultKind.DOUBLED:
        half = (offset - onset) // 2
        return Fault(audio + _moved(alone, half), onset, offset + half)
    if kind is FaultKind.LATE:
        late = _moved(alone, round(_LATE_S * part.sample_rate))
        return Fault(others + late, onset, offset)
    return Fault(others + _repitched(alone, onset, *_RATIOS[kind]), onset, offset)


def _moved(audio: Float32s, n: int) -> Float32s:
    return np.concatenate([np.zeros(n, np.float32), audio[:-n]])


def _repitched(audio: Float32s, onset: int, up: int, down: int) -> Float32s:
    """Play what begins at a sample faster by a ratio, as a recording of a wrong root key is."""
    from scipy.signal import resample_poly

    faster = resample_poly(audio[onset:], down, up).astype(np.float32)
    out = np.zeros_like(audio)
    length = min(len(faster), len(audio) - onset)
    out[onset : onset + length] = faster[:length]
    return out


def _whole(kind: FaultKind, part: PlayedPart, rng: np.random.Generator) -> Fault | None:
    n = part.n_samples
    if kind in _SEMITONES:
        return Fault(part.transposed(_SEMITONES[kind]).audio()[0], 0, n)
    if kind is FaultKind.STEM_HALF_SEMITONE:
        return Fault(part.detuned().audio()[0], 0, n)
    audio, _ = part.audio()
    if kind is FaultKind.STEM_MUTED:
        return Fault(np.zeros_like(audio), 0, n)
    if kind is FaultKind.DROPOUT:
        length = round(_DROPOUT_S * part.sample_rate)
        peaks = np.abs(audio[: n // length * length].reshape(-1, length)).max(axis=1)
        start = int(rng.choice(np.flatnonzero(peaks > _LEAST_PEAK))) * length
        audio[start : start + length] = 0
        return Fault(audio, start, start + length)
    if kind is FaultKind.NOISE:
        rms = float(np.sqrt(np.mean(np.square(audio[audio != 0], dtype=np.float64))))
        noise = rng.standard_normal(n).astype(np.float32)
        return Fault(audio + noise * np.float32(rms * 10 ** (_NOISE_DB / 20)), 0, n)
    if kind is FaultKind.CLIPPED:
        sounding = np.abs(audio[audio != 0])
        limit = np.quantile(sounding, 1 - _CLIPPED)
        return Fault(np.clip(audio, -limit, limit), 0, n)
    return Fault(audio + np.float32(_DC), 0, n)
