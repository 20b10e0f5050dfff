"""The partials of single notes within polyphony: where they are, and how strong.

A window around each note is decimated and transformed. Partials that lie on those of other notes
which sound at the time tell nothing of the note, and are left out.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int64s
from stemsmith.render.audit.stem_notes import StemNotes

__all__ = [
    "SHIFTS",
    "UNSHIFTED",
    "WINDOW_S",
    "PartialLevels",
    "Windows",
    "neighbours",
    "partial_levels",
    "spectra",
]

_HIGHEST_HZ: Final = 5000.0
_RATE_HZ: Final = 11025.0
WINDOW_S: Final = 0.186
_N_FFT: Final = 4096
_N_PARTIALS: Final = 12
_N_OTHER_PARTIALS: Final = 20
_TUNING: Final = 0.012  # 20 cents
# Fractions of the pitch at which a sounding note is looked for, in cents.
SHIFTS: Final[Float64s] = np.concatenate([[-1200.0], np.arange(-160.0, 161.0, 10.0), [1200.0]])

UNSHIFTED: Final = int(np.argmin(np.abs(SHIFTS)))
_HALF_SEMITONE: Final = 2 ** (50 / 1200) - 1


class Windows(NamedTuple):
    """Stretches of a stem, one for each note that is looked at.

    Attributes
    ----------
    note : numpy.ndarray
        (n_windows,) index of the note.
    start, stop : numpy.ndarray
        (n_windows,) first sample, and the one behind the last.
    """

    note: Int64s
    start: Int64s
    stop: Int64s


class PartialLevels(NamedTuple):
    """What the windows show of their notes.

    Attributes
    ----------
    amplitude : numpy.ndarray
        (n_windows, n_shifts, n_partials) amplitude near each partial of the note, if it were
        shifted by `SHIFTS`; NaN where another note's partials hide it.
    resolution : numpy.ndarray
        (n_windows,) by how many widths of a spectral line 50 cents move the highest partial that
        is not hidden.
    """

    amplitude: Float32s
    resolution: Float64s


@cache
def _decimator(factor: int) -> Float32s:
    from scipy.signal import firwin

    taps: Float32s = firwin(12 * factor + 1, 0.9 / factor).astype(np.float32)
    return taps


def spectra(audio: Float32s, sample_rate: int, windows: Windows) -> tuple[Float32s, float]:
    """Return the amplitude spectrum of each window, (n_windows, n_bins), and the Hz of a bin."""
    import scipy.fft
    from scipy.signal import upfirdn

    factor = max(1, round(sample_rate / _RATE_HZ))
    length = round(WINDOW_S * sample_rate)
    taps = _decimator(factor)
    lead = len(taps) // 2
    index = windows.start[:, None] - lead + np.arange(length + 2 * lead)
    rows = audio[np.clip(index, 0, len(audio) - 1)]
    low = rows if factor == 1 else upfirdn(taps, rows, down=factor, axis=1)
    skipped = 2 * lead // factor if factor > 1 else 0
    low = low[:, skipped : skipped + length // factor]
    n_low = np.maximum((windows.stop - windows.start) // factor, 8)[:, None]
    place = np.arange(low.shape[1])[None, :]
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * (place + 0.5) / n_low)
    shape = np.where(place < n_low, shape / n_low, 0).astype(np.float32)
    amplitude = np.abs(scipy.fft.rfft(low * shape, _N_FFT, axis=1)) * np.float32(4)
    return amplitude.astype(np.float32), sample_rate / factor / _N_FFT


def partial_levels(
    audio: Float32s, sample_rate: int, notes: StemNotes, rings: Int64s, windows: Windows
) -> PartialLevels:
    """Measure the partials of notes in windows.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) float32 samples of the stem.
    sample_rate : int
        Sample rate in Hz.
    notes : StemNotes
        All notes of the stem.
    rings : numpy.ndarray
        (n_notes,) sample until which each may ring.
    windows : Windows
        Where to look, and for which note.
    """
    amplitude, bin_hz = spectra(audio, sample_rate, windows)
    hidden = _hidden(notes, rings, windows, amplitude.shape[1], bin_hz, sample_rate)
    f0_hz = 440 * 2 ** ((notes.pitch[windows.note] - 69) / 12)
    partials = np.arange(1, _N_PARTIALS + 1)
    hz = f0_hz[:, None, None] * 2 ** (SHIFTS[:, None] / 1200) * partials
    bins = np.rint(hz / bin_hz).astype(np.int64)
    beyond = hz > min(_HIGHEST_HZ, (amplitude.shape[1] - 2) * bin_hz)
    bins[beyond] = 0
    row = np.arange(len(bins))[:, None, None]
    found = np.maximum(amplitude[row, bins], amplitude[row, np.maximum(bins - 1, 0)])
    found = np.maximum(found, amplitude[row, bins + 1])
    found[beyond | hidden[row, bins]] = np.nan
    shown = np.where(np.isnan(found[:, UNSHIFTED]), 0, partials).max(axis=1)
    seconds = (windows.stop - windows.start) / sample_rate
    return PartialLevels(found, shown * f0_hz * _HALF_SEMITONE * seconds)


def _hidden(
    notes: StemNotes,
    rings: Int64s,
    windows: Windows,
    n_bins: int,
    bin_hz: float,
    sample_rate: int,
) -> Bools:
    """Return the bins of each window that other notes' partials may fill, (n_windows, n_bins)."""
    rows, others = neighbours(notes, rings, windows)
    f0_hz = 440 * 2 ** ((notes.pitch[others] - 69) / 12)
    hz = f0_hz[:, None] * np.arange(1, _N_OTHER_PARTIALS + 1)
    seconds = (windows.stop - windows.start)[rows, None] / sample_rate
    width = 1.5 / np.maximum(seconds, 0.02) + _TUNING * hz
    low = np.clip(np.floor((hz - width) / bin_hz), 0, n_bins).astype(np.int64)
    high = np.clip(np.ceil((hz + width) / bin_hz) + 1, 0, n_bins).astype(np.int64)
    flat = np.repeat(rows[:, None], hz.shape[1], axis=1) * (n_bins + 1)
    size = len(windows.note) * (n_bins + 1)
    edges = np.bincount((flat + low).ravel(), minlength=size)
    edges -= np.bincount((flat + high).ravel(), minlength=size)
    depth = np.cumsum(edges.reshape(-1, n_bins + 1), axis=1)
    hidden: Bools = depth[:, :n_bins] > 0
    return hidden


def neighbours(notes: StemNotes, rings: Int64s, windows: Windows) -> tuple[Int64s, Int64s]:
    """Return pairs of a window and another note that may sound in it.

    Parameters
    ----------
    notes : StemNotes
        All notes of the stem.
    rings : numpy.ndarray
        (n_notes,) sample until which each may ring.
    windows : Windows
        Where to look, and for which note.

    Returns
    -------
    rows, others : numpy.ndarray
        (n_pairs,) indices of windows and of notes.
    """
    latest = np.maximum.accumulate(rings)
    first = np.searchsorted(latest, windows.start, side="right")
    last = np.searchsorted(notes.onset, windows.stop, side="left")
    count = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(count)), count)
    others = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[rows]
    kept = (rings[others] > windows.start[rows]) & (others != windows.note[rows])
    return rows[kept], others[kept]
