"""Checks of single notes by their partials: pitch, octave, notes that are not there, hung notes.

A note is looked at if no other note of its pitch class sounds with it, since octaves share their
partials. It is compared with the notes of about its pitch in the same stem, which the same
recording plays: this tells a wrong note from a patch that is what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int64s
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.audit.blocks import BlockLevels
from stemsmith.render.audit.level_checks import quiet_level
from stemsmith.render.audit.partials import (
    SHIFTS,
    UNSHIFTED,
    WINDOW_S,
    PartialLevels,
    Windows,
    neighbours,
    partial_levels,
)
from stemsmith.render.audit.stem_notes import StemNotes

__all__ = ["decidable", "ring_ends", "wrong_notes"]

_LOWEST_PITCH, _HIGHEST_PITCH = 24, 100
_SHORTEST_S: Final = 0.0895  # 100 ms, less the attack
_ATTACK_S: Final = 0.01
_TAIL_S: Final = 0.5
_AFTER_S: Final = (0.25, 0.95)  # of a note's end, where a hung one sounds
_NEAR: Final = (2.0, 7.0, 128.0)  # semitones
_FEWEST_NEAR: Final = 4
_FEWEST_SAME: Final = 3
_RESOLVED: Final = 1.5
_FEWEST_SHOWN: Final = 3
_PITCHED_SHARE: Final = 0.7
_STABLE_SHARE, _VERY_STABLE_SHARE = 0.85, 0.95
_STABLE_CENTS: Final = 25.0
_WRONG_CENTS: Final = 36.0
_WRONG_RATIO, _CLEARLY_WRONG_RATIO = 1.5, 1.3
_WHOLE_SHARE, _WHOLE_RATIO, _WHOLE_OCTAVE_UP = 0.45, 1.3, 0.2
_MISSING_DB: Final = -26.0
_UNDER_SOFTEST_DB: Final = -12.0
_SPREAD_DB: Final = 25.0
_OCTAVE_UP, _OCTAVE_DOWN = 2.0**-2.6, 2.0**2.3
_LEAST_HALVES: Final = 0.5
_HUNG_DB: Final = -12.0
_HUNG_OVER_DB: Final = 20.0
_TINY: Final = 1e-9


class _Measures(NamedTuple):
    """What the partials of notes say, arrays of (n_windows,).

    Attributes
    ----------
    cents : numpy.ndarray
        Shift at which the partials fit best.
    ratio : numpy.ndarray
        How much better they fit there than at the label.
    level_db : numpy.ndarray
        Power of the partials at the label, for a velocity of 127.
    best_db : numpy.ndarray
        The same at the shift at which they fit best.
    odd : numpy.ndarray
        Odd against even partials; NaN where either are hidden.
    halves : numpy.ndarray
        What lies half way between the partials, against them; NaN where hidden.
    is_clear : numpy.ndarray
        Whether enough partials are seen, and well enough.
    """

    cents: Float64s
    ratio: Float64s
    level_db: Float64s
    best_db: Float64s
    odd: Float64s
    halves: Float64s
    is_clear: Bools

    def at(self, kept: Bools) -> _Measures:
        """Return the measures of some windows."""
        return _Measures._make(column[kept] for column in self)


def wrong_notes(
    audio: Float32s,
    levels: BlockLevels,
    notes: StemNotes,
    sample_rate: int,
    place: float = 0.0,
) -> Iterator[Defect]:
    """Find notes that are missing, at a wrong pitch or octave, or hung.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) float32 samples of the stem.
    levels : BlockLevels
        What `block_levels` says of them.
    notes : StemNotes
        All notes of the stem. Drums have no pitch, and are passed over.
    sample_rate : int
        Sample rate in Hz.
    place : float
        Where notes are looked at: 0 just after their beginning, 0.5 half way to their end.
    """
    if notes.is_drum:
        return
    rings = ring_ends(levels, notes, sample_rate)
    windows = _note_windows(notes, len(audio), sample_rate, place)
    windows = _alone(notes, rings, windows, sample_rate)
    if not len(windows.note):
        return
    partials = partial_levels(audio, sample_rate, notes, rings, windows)
    found = _measures(partials, notes, windows)
    windows = Windows(*(column[found.is_clear] for column in windows))
    found = found.at(found.is_clear)
    if len(windows.note) < _FEWEST_NEAR:
        return
    yield from _whole_stem(found, len(audio))
    usual = _near(found.cents, notes.pitch[windows.note])
    if np.mean(np.abs(found.cents - usual) <= _STABLE_CENTS) < _PITCHED_SHARE:
        return  # bells, harmonics and noises: their partials are not where the label says
    yield from _whole_octave(found, len(audio))
    yield from _single(found, notes, windows)
    yield from _hung(audio, found, notes, rings, windows, sample_rate)


def ring_ends(levels: BlockLevels, notes: StemNotes, sample_rate: int) -> Int64s:
    """Return the sample until which each note may ring: half a second, or until it is silent."""
    quiet = np.flatnonzero(levels.peak <= quiet_level(levels))
    following = np.searchsorted(quiet, notes.offset // levels.size)
    silent = np.append(quiet, 1 << 40)[following] * levels.size
    ends: Int64s = np.minimum(notes.offset + round(_TAIL_S * sample_rate), silent)
    return ends


def _note_windows(
    notes: StemNotes, n_samples: int, sample_rate: int, place: float = 0.0
) -> Windows:
    start = notes.onset + round(_ATTACK_S * sample_rate)
    start = start + (place * (notes.offset - start)).astype(np.int64)
    stop = np.minimum(np.minimum(notes.offset, start + int(WINDOW_S * sample_rate)), n_samples)
    fits = (stop - start >= _SHORTEST_S * sample_rate) & notes.is_heard & notes.is_steady
    fits &= (notes.pitch >= _LOWEST_PITCH) & (notes.pitch <= _HIGHEST_PITCH)
    note = np.flatnonzero(fits)
    return Windows(note, start[note], stop[note])


def _alone(notes: StemNotes, rings: Int64s, windows: Windows, sample_rate: int) -> Windows:
    """Keep the windows, or what begins them, in which no other note of the pitch class sounds."""
    rows, others = neighbours(notes, rings, windows)
    apart = np.rint(notes.pitch[others]) - np.rint(notes.pitch[windows.note[rows]])
    same = apart % 12 == 0
    stop = windows.stop.copy()
    np.minimum.at(stop, rows[same], notes.onset[others[same]])
    fits = stop - windows.start >= _SHORTEST_S * sample_rate
    return Windows(windows.note[fits], windows.start[fits], stop[fits])


def _measures(levels: PartialLevels, notes: StemNotes, windows: Windows) -> _Measures:
    shown = ~np.isnan(levels.amplitude)
    roots = np.sqrt(np.where(shown, levels.amplitude, 0))
    n_shown = shown.sum(axis=2)
    fit = np.where(n_shown >= 2, roots.sum(axis=2) / np.maximum(n_shown, 1), 0)
    best = np.argmax(fit[:, 1:-1], axis=1) + 1
    at_label = np.maximum(fit[:, UNSHIFTED], _TINY)
    row = np.arange(len(fit))
    velocity_db = 40 * np.log10(np.maximum(notes.velocity[windows.note], 1) / 127)
    odd = _mean(roots[:, UNSHIFTED, ::2], shown[:, UNSHIFTED, ::2])
    even = _mean(roots[:, UNSHIFTED, 1::2], shown[:, UNSHIFTED, 1::2])
    halves = _mean(roots[:, 0, ::2], shown[:, 0, ::2])
    return _Measures(
        cents=SHIFTS[best],
        ratio=fit[row, best] / at_label,
        level_db=_power_db(roots[:, UNSHIFTED]) - velocity_db,
        best_db=_power_db(roots[row, best]) - velocity_db,
        odd=(odd + _TINY) / (even + _TINY),
        halves=(halves + _TINY) / at_label,
        is_clear=(n_shown[:, UNSHIFTED] >= _FEWEST_SHOWN) & (levels.resolution >= _RESOLVED),
    )


def _power_db(roots: Float32s) -> Float64s:
    power_db: Float64s = 10 * np.log10((roots.astype(np.float64) ** 4).sum(axis=1) + _TINY**2)
    return power_db


def _mean(values: Float32s, shown: Bools) -> Float64s:
    count = shown.sum(axis=1)
    means: Float64s = np.where(count >= 2, values.sum(axis=1) / np.maximum(count, 1), np.nan)
    return means


def _near(values: Float64s, pitch: Float64s, quantile: float | None = 0.5) -> Float64s:
    """Return for each note the median of the notes of about its pitch, NaN for too few."""
    return _medians(values, pitch, _NEAR, _FEWEST_NEAR, quantile)


def _medians(
    values: Float64s,
    pitch: Float64s,
    widths: tuple[float, ...],
    n_fewest: int,
    quantile: float | None = 0.5,
) -> Float64s:
    """Return a quantile over the first width in semitones within which there are enough notes.

    The quantile is 0.5 for the median; None is the mean.
    """
    keys, group = np.unique(pitch, return_inverse=True)
    medians = np.full(len(keys), np.nan)
    known = ~np.isnan(values)
    for index, key in enumerate(keys):
        for width in widths:
            alike = values[known & (np.abs(pitch - key) <= width)]
            if len(alike) >= n_fewest:
                medians[index] = (
                    np.mean(alike) if quantile is None else np.quantile(alike, quantile)
                )
                break
    return medians[group]


def _whole_stem(found: _Measures, n_samples: int) -> Iterator[Defect]:
    """Find a stem whose notes are all off by the same."""
    cents = float(np.median(found.cents))
    is_one = float(np.mean(np.abs(found.cents - cents) <= _STABLE_CENTS)) >= _WHOLE_SHARE
    if is_one and abs(cents) >= _WRONG_CENTS and float(np.median(found.ratio)) > _WHOLE_RATIO:
        yield Defect(DefectKind.WRONG_PITCH, 0, n_samples, cents)


def _whole_octave(found: _Measures, n_samples: int) -> Iterator[Defect]:
    """Find a stem whose notes lack their odd partials, as those an octave higher do."""
    odd = found.odd[~np.isnan(found.odd)]
    if len(odd) >= _FEWEST_NEAR and float(np.median(odd)) < _WHOLE_OCTAVE_UP:
        yield Defect(DefectKind.WRONG_OCTAVE, 0, n_samples, 1.0)


def _same(values: Float64s, pitch: Float64s) -> Float64s:
    """Return for each note the median of the notes of its key, NaN for fewer than three."""
    return _medians(values, pitch, (0.0,), _FEWEST_SAME)


def _single(found: _Measures, notes: StemNotes, windows: Windows) -> Iterator[Defect]:
    """Find notes that differ from those of about their pitch, and from those of their key."""
    pitch = notes.pitch[windows.note]
    usual_db = _near(found.level_db, pitch)
    tone_db = np.maximum(found.level_db, found.best_db)
    softest_db = np.fmin(_near(tone_db, pitch, 0.1), _medians(tone_db, pitch, (0.0,), 3, 0.1))
    is_missing = tone_db - np.fmin(usual_db, _same(found.level_db, pitch)) < _MISSING_DB
    is_missing &= tone_db < np.fmax(softest_db, usual_db - _SPREAD_DB) + _UNDER_SOFTEST_DB
    off = found.cents - _near(found.cents, pitch)
    # A patch without a stable pitch about there is judged by its sound alone.
    steady_share = _near((np.abs(off) <= _STABLE_CENTS).astype(np.float64), pitch, None)
    is_stable = steady_share >= _STABLE_SHARE
    least = np.fmin(np.abs(off), np.abs(found.cents - _same(found.cents, pitch)))
    usual_ratio = np.fmax(_near(found.ratio, pitch), _same(found.ratio, pitch))
    is_wrong = is_stable & (least >= _WRONG_CENTS)
    is_wrong &= found.ratio > usual_ratio * np.where(
        steady_share >= _VERY_STABLE_SHARE, _CLEARLY_WRONG_RATIO, _WRONG_RATIO
    )
    odd = np.fmin(_near(found.odd, pitch), _same(found.odd, pitch))
    halves = np.fmax(_near(found.halves, pitch), _same(found.halves, pitch))
    is_up = is_stable & (found.odd < _OCTAVE_UP * odd)
    is_down = is_stable & (found.halves > _OCTAVE_DOWN * halves)
    is_down &= found.halves > _LEAST_HALVES
    octave = np.where(is_up, 1.0, np.where(is_down, -1.0, 0.0))
    for index in np.flatnonzero(is_missing | is_wrong | (octave != 0)):
        note = windows.note[index]
        start, end = int(notes.onset[note]), int(notes.offset[note])
        if is_missing[index]:
            size_db = float(found.level_db[index] - usual_db[index])
            yield Defect(DefectKind.MISSING_NOTE, start, end, size_db)
        elif is_wrong[index]:
            yield Defect(DefectKind.WRONG_PITCH, start, end, float(off[index]))
        else:
            yield Defect(DefectKind.WRONG_OCTAVE, start, end, float(octave[index]))


def _hung(
    audio: Float32s,
    found: _Measures,
    notes: StemNotes,
    rings: Int64s,
    windows: Windows,
    sample_rate: int,
) -> Iterator[Defect]:
    """Look for the partials of notes where they are over."""
    first, last = (round(s * sample_rate) for s in _AFTER_S)
    start = notes.offset[windows.note] + first
    stop = start + int(WINDOW_S * sample_rate)
    long = Windows(windows.note, start - first // 2, start + last - first)
    kept = _alone(notes, rings, long, sample_rate)
    is_free = np.zeros(len(notes.onset), np.bool_)
    is_free[kept.note[kept.stop - kept.start == last - first + first // 2]] = True
    fits = is_free[windows.note] & (stop < len(audio))
    after = Windows(*(column[fits] for column in (windows.note, start, stop)))
    if len(after.note) < _FEWEST_NEAR:
        return
    later = _measures(partial_levels(audio, sample_rate, notes, rings, after), notes, after)
    left_db = later.level_db - found.level_db[fits]
    is_there = later.is_clear & (np.abs(later.cents - found.cents[fits]) <= _STABLE_CENTS)
    left_db[~later.is_clear] = np.nan
    if np.isnan(left_db).all():
        return
    pitch = notes.pitch[after.note]
    usual = np.fmax(_near(left_db, pitch), _same(left_db, pitch))
    usual = np.fmax(usual, float(np.nanquantile(left_db, 0.9)))
    is_hung = is_there & (left_db > _HUNG_DB) & (left_db > usual + _HUNG_OVER_DB)
    for index in np.flatnonzero(is_hung):
        end = int(notes.offset[after.note[index]])
        stop_at = int(after.stop[index])
        yield Defect(DefectKind.HUNG_NOTE, end, stop_at, 1000 * (stop_at - end) / sample_rate)


def decidable(levels: BlockLevels, notes: StemNotes, n_samples: int, sample_rate: int) -> list[int]:
    """Return the indices of the notes that are alone in their pitch class while they are looked at.

    Parameters
    ----------
    levels : BlockLevels
        The levels of the stem.
    notes : StemNotes
        All notes of the stem.
    n_samples, sample_rate : int
        Length of the stem, and its sample rate in Hz.
    """
    windows = _note_windows(notes, n_samples, sample_rate)
    alone = _alone(notes, ring_ends(levels, notes, sample_rate), windows, sample_rate)
    return [int(note) for note in alone.note]
