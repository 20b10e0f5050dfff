"""Where a stem differs from what its notes sound like, and which fault explains that.

A difference is reported only with a fault that accounts for it: the note itself, the note moved in
time or in pitch, or sound where nothing else is. What no fault explains is how the patch is, and is
left to the checks that know the labels alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.audit.comparison import (
    BEGINNING,
    WHOLE_SHARE,
    Comparison,
    energies,
    power,
)
from stemsmith.render.audit.likeness import N_FFT, correlated, energy_left, shift_of, shifted
from stemsmith.render.audit.reference import Reference
from stemsmith.render.audit.signal_checks import runs

__all__ = ["differences"]

# Seconds.
_JOINED_S: Final = 0.03  # between two stretches that are one
_REACH_S, _SLOWEST_S = 0.02, 0.25  # of attacks: from a strike until it differs
_CHORD_S: Final = 0.012  # between strikes that are one
_STRIKE_S, _PITCH_S, _LOOKED_AT_S = 0.06, 0.15, 0.5  # of a note: the least, and the most
_LATE_S, _LATEST_S = 0.005, 0.04
_AGAIN_S: Final = 0.3  # of what may be another strike
_RECENT_S: Final = (3.0, 0.6)  # since the strike of the note, and since its end
_HUNG_S, _FADES_S = 0.08, 1.5  # what is too long, and how late it may begin to differ
# Shares of energies.
_GONE: Final = 0.15  # that is left of a note that is missing
_EXPLAINED: Final = 0.4  # of a difference that is left by what explains it
_HEARD: Final = 0.15  # of a note that was heard as it should be
_FAINTEST: Final = 0.15  # of a note, where it hangs
# Likenesses, from 0 to 1.
_MOVED, _TWIN, _STILL_THERE = 0.6, 0.5, 0.5
_SHIFTED, _CLEARLY, _SAME, _AS_GOOD = 0.6, 0.05, 0.8, 0.85
_LEAST_CENTS, _FAR_CENTS = 35.0, 200.0
_LOUD_DB: Final = -55.0  # of the loudest block
_N_FRAMES: Final = 48
_MOST_TRIED, _MOST_STRETCHES = 8, 200


def differences(found: Comparison, reference: Reference, sample_rate: int) -> Iterator[Defect]:
    """Explain the differences of a stem from its reference.

    Parameters
    ----------
    found : Comparison
        What `compare` says.
    reference : Reference
        What the stem must sound like.
    sample_rate : int
        Sample rate of the stem in Hz.
    """
    if found.share > WHOLE_SHARE:
        whole = list(_whole(found, reference, sample_rate))
        yield from whole
        if whole:
            return
    judge = _Judge(found, reference, sample_rate)
    starts, stops = runs(_joined(found.is_different, judge.blocks(_JOINED_S)))
    for start, stop in list(zip(starts.tolist(), stops.tolist(), strict=True))[:_MOST_STRETCHES]:
        yield from judge.explain(start * found.size, stop * found.size)


def _joined(mask: Bools, gap: int) -> Bools:
    """Fill gaps of up to some blocks between two that are True."""
    filled = mask.copy()
    starts, stops = runs(~mask)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if start > 0 and stop < len(mask) and stop - start <= gap:
            filled[start:stop] = True
    return filled


def _whole(found: Comparison, reference: Reference, sample_rate: int) -> Iterator[Defect]:
    """Find by how much a stem that differs throughout is off in pitch."""
    rate = sample_rate / reference.factor
    n_samples = len(reference.audio) * reference.factor
    starts = np.linspace(0, len(found.audio) - N_FFT, 4 * _N_FRAMES).astype(np.int64)
    if len(found.audio) < N_FFT:
        return
    frames = starts[:, None] + np.arange(N_FFT)
    energy = energies(found.expected[frames], N_FFT)
    loudest = frames[np.sort(np.argsort(-energy)[:_N_FRAMES])]
    lags, values = shifted(found.audio[loudest], found.expected[loudest], rate)
    if values[lags == 0] > _SAME:
        return  # it is the patch that does not keep to what it plays alone
    best = int(np.argmax(np.where(np.abs(lags) < _LEAST_CENTS, -1, values)))
    octaves = {n: float(values[lags == 1200 * n].max()) for n in (-1, 1)}
    octave = max(octaves, key=lambda n: octaves[n])
    cents = 1200.0 * octave if octaves[octave] > _AS_GOOD * values[best] else float(lags[best])
    yield _wrong(cents, 0, n_samples)


def _wrong(cents: float, start: int, end: int) -> Defect:
    octaves = round(cents / 1200)
    if octaves and abs(cents - 1200 * octaves) < _LEAST_CENTS:
        return Defect(DefectKind.WRONG_OCTAVE, start, end, float(octaves))
    return Defect(DefectKind.WRONG_PITCH, start, end, cents)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Tells what a stretch that differs is a fault of."""

    found: Comparison
    reference: Reference
    sample_rate: int

    def blocks(self, seconds: float) -> int:
        return max(1, self.samples(seconds) // self.found.size)

    def samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate / self.reference.factor)

    def explain(self, start: int, stop: int) -> list[Defect]:
        """Return the faults that explain a stretch of decimated samples."""
        if not self._is_loud(start, stop):
            return []
        explained = self._first_fault(self._struck(start), stop)
        for strike in self._strikes_within(start, stop):
            explained += self._first_fault(strike, stop)
        if explained:
            return explained
        other = self._hung(start, stop) or self._again(start, stop) or self._extra(start, stop)
        return [] if other is None else [other]

    def _first_fault(self, notes: list[int], stop: int) -> list[Defect]:
        """Return what is wrong with notes that are struck about together: all, or one of them."""
        groups = [notes] * (len(notes) > 1) + [[note] for note in notes]
        for tell in (self._missing, self._moved, self._pitch):
            for group in groups:
                if defects := tell(group, stop):
                    return defects
        return []

    def _struck(self, start: int) -> list[int]:
        """Return the notes that start about there, the nearest first.

        One that has been heard for a while, as it should, is not among them.
        """
        earliest, latest = start - self.samples(_SLOWEST_S), start + self.samples(_REACH_S)
        distance = np.abs(self.reference.start - start)
        near = np.flatnonzero((self.reference.start >= earliest) & (self.reference.start <= latest))
        nearest = near[np.argsort(distance[near], kind="stable")][:_MOST_TRIED]
        return [note for note in nearest.tolist() if not self._is_heard(note, start)]

    def _strikes_within(self, start: int, stop: int) -> Iterator[list[int]]:
        """Yield the notes that are struck together later in a stretch, and differ from then on."""
        starts = self.reference.start
        within = np.flatnonzero((starts > start + self.samples(_REACH_S)) & (starts < stop))
        apart = np.flatnonzero(np.diff(starts[within]) > self.samples(_CHORD_S)) + 1
        for strike in np.split(within, apart):
            block = int(starts[strike[0]]) // self.found.size if len(strike) else 0
            if self.found.is_different[block + 1 : block + 1 + BEGINNING].sum() > BEGINNING // 2:
                yield strike.tolist()

    def _is_heard(self, note: int, start: int) -> bool:
        sound = self.reference.note(note)[: self.samples(_PITCH_S)]
        until = start - int(self.reference.start[note]) - self.found.size
        before = sound[: max(0, until)]
        return float(np.vdot(before, before)) > _HEARD * float(np.vdot(sound, sound))

    def _pair(self, notes: list[int], stop: int) -> tuple[Float32s, Float32s]:
        """Return what is there instead of notes, and the notes, as far as they differ."""
        first = int(self.reference.start[notes].min())
        longest = min(max(stop - first, self.samples(_STRIKE_S)), self.samples(_LOOKED_AT_S))
        sound = np.zeros(max(0, min(longest, len(self.found.difference) - first)), np.float32)
        for note in notes:
            later = int(self.reference.start[note]) - first
            one = self.reference.note(note)[: max(0, len(sound) - later)]
            sound[later : later + len(one)] += one * self._level()
        return self.found.difference[first : first + len(sound)] + sound, sound

    def _level(self) -> np.float32:
        return np.float32(self.found.level)

    def _bounds(self, note: int) -> tuple[int, int]:
        factor = self.reference.factor
        first = int(self.reference.start[note])
        return first * factor, (first + max(int(self.reference.held[note]), 1)) * factor

    def _missing(self, notes: list[int], stop: int) -> list[Defect]:
        instead, sound = self._pair(notes, stop)
        energy = float(np.vdot(sound, sound))
        left = float(np.vdot(instead, instead))
        if left < _GONE * energy:
            size_db = 10 * float(np.log10(max(left / energy, 1e-9)))
            return [Defect(DefectKind.MISSING_NOTE, *self._bounds(n), size_db) for n in notes]
        return []

    def _moved(self, notes: list[int], stop: int) -> list[Defect]:
        instead, sound = self._pair(notes, stop)
        reach = self.samples(_LATEST_S)
        lags, values = correlated(instead, sound, reach)
        best = int(np.argmax(values))
        lag_s = float(lags[best]) * self.reference.factor / self.sample_rate
        energy, left = (
            float(np.vdot(instead, instead)),
            energy_left(instead, sound, int(lags[best])),
        )
        if values[best] > _MOVED and lag_s >= _LATE_S and left < _EXPLAINED * energy:
            late_ms = 1000 * lag_s
            return [Defect(DefectKind.LATE_ONSET, *self._bounds(n), late_ms) for n in notes]
        return []

    def _pitch(self, notes: list[int], stop: int) -> list[Defect]:
        first = int(self.reference.start[notes].min())
        instead, sound = self._pair(notes, max(stop, first + self.samples(_PITCH_S)))
        if len(sound) < 32 or float(np.vdot(instead, instead)) < _GONE * float(
            np.vdot(sound, sound)
        ):
            return []
        rate = self.sample_rate / self.reference.factor
        shift, likeness, unshifted = shift_of(instead, sound, rate)
        is_there = float(np.vdot(instead, sound)) > _STILL_THERE * float(np.vdot(sound, sound))
        if is_there and abs(shift) > _FAR_CENTS:
            return []
        if abs(shift) >= _LEAST_CENTS and likeness > _SHIFTED and likeness > unshifted + _CLEARLY:
            return [_wrong(shift, *self._bounds(n)) for n in notes]
        return []

    def _again(self, start: int, stop: int) -> Defect | None:
        """Return that a note is heard a second time."""
        reference, reach = self.reference, self.samples(_REACH_S)
        recent = (reference.start < start - reach) & (
            reference.start > start - self.samples(_RECENT_S[0])
        )
        recent &= reference.start + reference.held > start - self.samples(_RECENT_S[1])
        first = max(start - reach, 0)
        length = min(max(stop - first, self.samples(_STRIKE_S)), self.samples(_AGAIN_S))
        piece = self.found.difference[first : first + length]
        energy = float(np.vdot(piece, piece))
        for note in np.flatnonzero(recent)[::-1][:16].tolist():
            sound = reference.note(note)[: len(piece)] * self._level()
            if len(sound) < 32:
                continue
            lags, values = correlated(piece, sound, 2 * reach + 1)
            lag = int(lags[int(np.argmax(values))])
            if float(values.max()) > _TWIN and energy_left(piece, sound, lag) < _EXPLAINED * energy:
                at = first + lag
                factor = reference.factor
                end = at + int(reference.held[note])
                return Defect(DefectKind.DOUBLED_NOTE, at * factor, end * factor, 0.0)
        return None

    def _hung(self, start: int, stop: int) -> Defect | None:
        """Return that a note goes on after its end."""
        reference = self.reference
        if stop - start < self.samples(_HUNG_S):
            return None
        end = reference.start + reference.held
        earliest, latest = start - self.samples(_FADES_S), start + self.samples(_REACH_S)
        ended = np.flatnonzero((end <= latest) & (end > earliest))
        n_more = min(stop - start, self.samples(_LOOKED_AT_S))
        piece = self.found.difference[start : start + n_more]
        for note in ended[np.argsort(-end[ended], kind="stable")][:_MOST_TRIED].tolist():
            if self._may_hang(note, piece) and self._hangs(note, piece, start):
                factor = reference.factor
                size_ms = 1000 * (stop - int(end[note])) * factor / self.sample_rate
                return Defect(DefectKind.HUNG_NOTE, int(end[note]) * factor, stop * factor, size_ms)
        return None

    def _may_hang(self, note: int, piece: Float32s) -> bool:
        """Return whether what is too much is about as loud as a note is before its end."""
        n = self.samples(_HUNG_S)
        held = int(self.reference.held[note])
        last = self.reference.note(note)[max(0, held - n) : held] * self._level()
        before = power(last)
        after = max(power(piece[at : at + n]) for at in range(0, max(1, len(piece) - n // 2), n))
        return _FAINTEST * before < after < before / _FAINTEST

    def _hangs(self, note: int, piece: Float32s, start: int) -> bool:
        """Return whether what is too much is the note, held longer, less the note as it is."""
        skipped = start - int(self.reference.start[note])
        longer = self.reference.longer(note, skipped + len(piece) - int(self.reference.held[note]))
        more = longer[skipped : skipped + len(piece)].copy()
        plain = self.reference.note(note)[skipped : skipped + len(piece)]
        more[: len(plain)] -= plain[: len(more)]
        energy = float(np.vdot(piece, piece))
        return len(more) > 0 and energy_left(piece, more * self._level(), 0) < _EXPLAINED * energy

    def _is_loud(self, start: int, stop: int) -> bool:
        """Return whether a difference is loud enough to be heard, at its loudest."""
        energy = energies(self.found.difference[start:stop], self.found.size) / self.found.size
        return float(energy.max()) > self.found.loudest * 10 ** (_LOUD_DB / 10)

    def _extra(self, start: int, stop: int) -> Defect | None:
        """Return that there is something, or nothing, where it should be the other way round."""
        there, promised, differing = (
            float(np.vdot(x[start:stop], x[start:stop]))
            for x in (self.found.audio, self.found.expected, self.found.difference)
        )
        if stop - start < self.samples(0.03):
            return None
        loud_db = 10 * float(np.log10(max(there, promised) / (stop - start) / self.found.loudest))
        factor = self.reference.factor
        if promised < 0.1 * there and differing > 0.8 * there:
            return Defect(DefectKind.UNEXPECTED_SOUND, start * factor, stop * factor, loud_db)
        if there < 0.1 * promised and differing > 0.8 * promised:
            size_db = 10 * float(np.log10(max(there / promised, 1e-9)))
            return Defect(DefectKind.MISSING_NOTE, start * factor, stop * factor, size_db)
        return None
