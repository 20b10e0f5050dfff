"""Checks of levels against the score: what must sound does, in time, and nothing else does.

Notes in polyphony hide each other's levels. What is decided here is decided after silence, where
the stem tells one beginning from another, and in gaps, where nothing may go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int64s
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.audit.blocks import BlockLevels
from stemsmith.render.audit.stem_notes import StemNotes

__all__ = [
    "Beginnings",
    "beginnings",
    "doubled_notes",
    "hung_notes",
    "late_onsets",
    "quiet_level",
    "silent_notes",
    "unlabelled",
]

_QUIET: Final = 10 ** (-60 / 20)  # of the stem's peak
_QUIET_FULL_SCALE: Final = 10 ** (-70 / 20)
_DRUM_S: Final = 1.0  # a drum may sound in several bursts
_SILENCE_S: Final = 0.05
_HEARD_S: Final = 0.25
_CHORD_S: Final = 0.012
_RISE_S: Final = (0.006, 0.025, 0.04)  # before, and after; none is looked for after a strike
_DOUBLED_DB: Final = 8.0
_DOUBLED_OVER_DB: Final = 6.0
_MARGIN_S: Final = 0.02
_BEFORE_S: Final = 0.005
_FIRST_OF_PEAK: Final = 1e-4
_MASKED: Final = 0.01
_LEAST_STEP: Final = 1.5 / 32768
_LATE_S: Final = 0.005
_LATE_OF_ALL_S: Final = 0.008
_FEWEST_ALIKE: Final = 3
_UNEXPECTED_DB: Final = -50.0  # of the stem's peak
_GAP_S: Final = 0.4
_DECAYED: Final = 0.1
_HUNG_S: Final = 0.12


class Beginnings(NamedTuple):
    """The moments at which something is struck after silence.

    Attributes
    ----------
    first, last : numpy.ndarray
        (n_groups,) indices of the first note, and behind the last, that are struck together.
    onset : numpy.ndarray
        (n_groups,) sample of the first strike.
    is_after_silence : numpy.ndarray
        (n_groups,) whether the stem is silent for 50 ms before.
    heard : numpy.ndarray
        (n_groups,) sample at which the stem is first above the silence again, from `onset` on.
    """

    first: Int64s
    last: Int64s
    onset: Int64s
    is_after_silence: Bools
    heard: Int64s


def quiet_level(levels: BlockLevels) -> float:
    """Return the magnitude below which a stem counts as silent."""
    return max(_QUIET * float(levels.peak.max(initial=0.0)), _QUIET_FULL_SCALE)


def beginnings(levels: BlockLevels, notes: StemNotes, sample_rate: int) -> Beginnings:
    """Group the strikes of a stem, and tell which of them follow silence."""
    n_blocks = len(levels.peak)
    kept = np.flatnonzero(notes.onset < n_blocks * levels.size)
    onset = notes.onset[kept]
    is_first = np.diff(onset, prepend=-(1 << 40)) > _CHORD_S * sample_rate
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(onset))[: len(first)]
    start = onset[first]
    loud = np.flatnonzero(levels.peak > quiet_level(levels))
    block = start // levels.size
    following = np.searchsorted(loud, block)
    heard = np.append(loud, n_blocks)[following] * levels.size
    before = np.append(-(1 << 40), loud)[following] * levels.size + levels.size
    is_after = start - before >= _SILENCE_S * sample_rate
    return Beginnings(first, last, start, is_after, np.maximum(heard, start))


def silent_notes(
    levels: BlockLevels, notes: StemNotes, begun: Beginnings, sample_rate: int
) -> Iterator[Defect]:
    """Find strikes after silence that nothing is heard of, or a stem that is silent throughout."""
    peak = float(levels.peak.max(initial=0.0))
    in_time = notes.onset < len(levels.peak) * levels.size - _HEARD_S * sample_rate
    n_heard = int((notes.is_heard & in_time).sum())
    if n_heard and peak < _QUIET_FULL_SCALE:
        stop = len(levels.peak) * levels.size
        yield Defect(DefectKind.SILENT_STEM, 0, stop, float(n_heard))
        return
    n_samples = len(levels.peak) * levels.size
    limit = _hearing_limits(begun, sample_rate, n_samples)
    silent = begun.is_after_silence & (limit > 0) & (begun.heard - begun.onset >= limit)
    for group in np.flatnonzero(silent):
        members = slice(begun.first[group], begun.last[group])
        if notes.is_heard[members].any():
            start = int(begun.onset[group])
            stop = start + int(limit[group])
            found = levels.peak[start // levels.size : stop // levels.size]
            size_db = 20 * math.log10(max(float(found.max(initial=0.0)), 1e-9) / peak)
            end = int(notes.offset[members].max())
            yield Defect(DefectKind.MISSING_NOTE, start, min(end, n_samples), size_db)


def _hearing_limits(begun: Beginnings, sample_rate: int, n_samples: int) -> Int64s:
    """Return after how many samples each strike must be heard; 0 where that cannot be told.

    It is 250 ms, or until the next strike if that leaves clearly more than such strikes need.
    """
    longest = round(_HEARD_S * sample_rate)
    following = np.append(begun.onset[1:], n_samples)[: len(begun.onset)] - begun.onset
    delay = (begun.heard - begun.onset)[begun.is_after_silence]
    usual = delay[delay < longest]
    needed = float(np.quantile(usual, 0.9)) if len(usual) >= _FEWEST_ALIKE else math.inf
    limit = np.where(following >= longest, longest, following)
    limit[(following < longest) & (following < needed + _MARGIN_S * sample_rate)] = 0
    return limit.astype(np.int64)


def late_onsets(
    audio: Float32s, notes: StemNotes, begun: Beginnings, sample_rate: int
) -> Iterator[Defect]:
    """Find strikes after silence that are heard later than the stem's strikes of their kind."""
    heard_s = np.where(begun.is_after_silence, begun.heard - begun.onset, 1 << 40) / sample_rate
    groups = np.flatnonzero(heard_s < _HEARD_S)
    groups = groups[notes.is_heard[begun.first[groups]]]
    if not len(groups):
        return
    delays = np.array([_delay(audio, int(begun.onset[g]), sample_rate) for g in groups])
    pitch = notes.pitch[begun.first[groups]]
    for index in np.flatnonzero(delays > _LATE_S * sample_rate):
        usual, spread = _usual_delay(
            np.delete(delays, index), np.delete(pitch, index), pitch[index], sample_rate
        )
        late = float(delays[index]) - usual
        if math.isfinite(usual) and late > spread:
            start = int(begun.onset[groups[index]])
            end = start + int(delays[index])
            yield Defect(DefectKind.LATE_ONSET, start, end, 1000 * late / sample_rate)


def _usual_delay(
    delays: Int64s, pitch: Float64s, own: float, sample_rate: int
) -> tuple[float, float]:
    """Return the usual delay of strikes of a pitch, and how much later one may be.

    They are compared with those of the same pitch, or with all where those are few: then more is
    allowed. Usual is NaN where there is nothing to compare with.
    """
    same = delays[pitch == own]
    others, least_s = (same, _LATE_S) if len(same) >= _FEWEST_ALIKE else (delays, _LATE_OF_ALL_S)
    if len(others) < _FEWEST_ALIKE:
        return math.nan, 0.0
    low, usual, high = np.quantile(others, (0.1, 0.5, 0.9))
    return float(usual), least_s * sample_rate + float(high - low)


def _delay(audio: Float32s, onset: int, sample_rate: int) -> int:
    """Return the samples from a strike to the first that stands out from what was before."""
    before = audio[max(onset - round(_BEFORE_S * sample_rate), 0) : onset]
    floor = 4 * float(np.abs(before).max(initial=0.0))
    part = np.abs(audio[onset : onset + round(_HEARD_S * sample_rate)])
    peak = float(part.max(initial=0.0))
    if floor > _MASKED * peak:  # what rings from before hides the beginning
        return 0
    least = max(floor, _FIRST_OF_PEAK * peak, _LEAST_STEP)
    return int(np.argmax(part > least))


def unlabelled(levels: BlockLevels, notes: StemNotes, sample_rate: int) -> Iterator[Defect]:
    """Find sounds that begin after silence where nothing is struck."""
    loud = levels.peak > quiet_level(levels)
    index = np.flatnonzero(loud)
    if not len(index):
        return
    gap = round(_SILENCE_S * sample_rate / levels.size)
    starts = index[np.diff(index, prepend=-(1 << 40)) > gap]
    ends = np.append(index[:-1][np.diff(index) > gap], index[-1]) + 1
    peak = float(levels.peak.max())
    causes = np.sort(np.concatenate([notes.onset, notes.changes]))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        latest = np.searchsorted(causes, (start + 1) * levels.size, side="right") - 1
        since = start * levels.size - int(causes[latest]) if latest >= 0 else 1 << 40
        busy = _is_held(notes, start * levels.size)
        allowed_s = _DRUM_S if notes.is_drum else _HEARD_S
        if since > allowed_s * sample_rate and not busy:
            if latest + 1 < len(causes):
                # What is struck then is labelled; before may be the rest of a long decay.
                end = min(end, max(int(causes[latest + 1]) // levels.size, start + 1))
            loudest = float(levels.peak[start:end].max())
            size_db = 20 * math.log10(loudest / peak)
            if size_db > _UNEXPECTED_DB:
                yield Defect(
                    DefectKind.UNEXPECTED_SOUND, start * levels.size, end * levels.size, size_db
                )


def doubled_notes(
    levels: BlockLevels, notes: StemNotes, begun: Beginnings, sample_rate: int
) -> Iterator[Defect]:
    """Find rises of level, as strikes make them, well after one strike and before the next."""
    short, long, guard = (round(s * sample_rate / levels.size) for s in _RISE_S)
    n_blocks = len(levels.peak)
    if n_blocks <= 2 * (short + long):
        return
    window = np.lib.stride_tricks.sliding_window_view
    now = window(levels.peak, short).max(axis=1)  # from a block on
    before = window(levels.peak, long).max(axis=1)  # the blocks behind it
    base = np.maximum(before[: len(now) - long - short], quiet_level(levels))
    rise = now[long + short :] / base  # of block index + long + short
    first = long + short
    starts = np.minimum(begun.heard // levels.size, n_blocks)  # before, it is late and not double
    stops = np.append(begun.onset[1:] // levels.size, n_blocks)[: len(starts)]
    largest = np.zeros(len(starts))
    place = np.zeros(len(starts), np.int64)
    for group, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        low, high = start + guard - first, stop - short - 1 - first
        if high > low >= 0:
            part = rise[low:high]
            if len(part):
                place[group] = int(np.argmax(part)) + low + first
                largest[group] = part.max()
    rises_db = 20 * np.log10(np.maximum(largest, 1e-6))
    usual = rises_db[largest > 0]
    if len(usual) < _FEWEST_ALIKE:
        return
    least = max(_DOUBLED_DB, float(np.quantile(usual, 0.9)) + _DOUBLED_OVER_DB)
    top = float(levels.peak.max())
    for group in np.flatnonzero(rises_db > least).tolist():
        sample = int(place[group]) * levels.size
        near = np.abs(notes.changes - sample) < _SILENCE_S * sample_rate
        loud = float(levels.peak[place[group] : place[group] + short].max()) / top
        if not near.any() and 20 * math.log10(max(loud, 1e-9)) > _UNEXPECTED_DB:
            end, size_db = int(stops[group]) * levels.size, float(rises_db[group])
            yield Defect(DefectKind.DOUBLED_NOTE, sample, end, size_db)


def _is_held(notes: StemNotes, sample: int) -> bool:
    return bool(((notes.onset <= sample) & (notes.offset > sample)).any())


def hung_notes(levels: BlockLevels, notes: StemNotes, sample_rate: int) -> Iterator[Defect]:
    """Find tones that go on, in gaps of the score, for much longer than the stem's others."""
    if notes.is_drum:
        return
    starts, stops = _gaps(notes, len(levels.peak) * levels.size)
    long_enough = stops - starts >= _GAP_S * sample_rate
    starts, stops = starts[long_enough] // levels.size, stops[long_enough] // levels.size
    if not len(starts):
        return
    decay = np.array([_decay(levels, a, b) for a, b in zip(starts, stops, strict=True)])
    is_over = decay < stops - starts
    per_s = sample_rate / levels.size
    for index in range(len(decay)):
        others = np.delete(decay, index)[np.delete(is_over, index)]
        usual = float(np.max(others)) if len(others) >= _FEWEST_ALIKE else np.nan
        excess = float(decay[index]) - usual
        if excess > _HUNG_S * per_s:
            start, end = int(starts[index]), int(starts[index] + decay[index])
            size_ms = 1000 * excess / per_s
            yield Defect(DefectKind.HUNG_NOTE, start * levels.size, end * levels.size, size_ms)


def _gaps(notes: StemNotes, n_samples: int) -> tuple[Int64s, Int64s]:
    """Return the stretches in which no key and no pedal is held."""
    if not len(notes.onset):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    busy_until = np.maximum.accumulate(notes.offset)
    following = np.append(notes.onset[1:], n_samples)
    free = (following > busy_until) & (busy_until < n_samples)
    return busy_until[free], np.minimum(following[free], n_samples)


def _decay(levels: BlockLevels, start: int, stop: int) -> int:
    """Return the blocks after which a gap has fallen by 20 dB for good, or its length."""
    peaks = levels.peak[max(start - 14, 0) : stop]
    top = float(peaks[:28].max(initial=0.0))
    still = np.flatnonzero(levels.peak[start:stop] > _DECAYED * top)
    return int(still[-1]) + 1 if len(still) else 0
