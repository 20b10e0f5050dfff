"""How alike two sounds are: moved in time, moved in pitch, and as they are."""

from __future__ import annotations

from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float32s, Float64s, Int64s

__all__ = ["N_FFT", "correlated", "energy_left", "shift_of", "shifted"]

N_FFT: Final = 4096
_STEP_CENTS: Final = 10.0
_MOST_CENTS: Final = 1300.0
_GRID_HZ: Final = (25.0, 4000.0)
_SMOOTH: Final = 61  # steps, 600 cents: wider than between two partials of most notes
_GAINS: Final = (0.5, 1.5)  # of what is another of a note, against the note
_TINY: Final = 1e-20


def shift_of(audio: Float32s, expected: Float32s, rate: float) -> tuple[float, float, float]:
    """Return by how many cents sounds are shifted, how alike they are then, and without a shift."""
    lags, values = shifted(audio, expected, rate)
    best = int(np.argmax(values))
    return float(lags[best]), float(values[best]), float(values[lags == 0].max())


def shifted(audio: Float32s, expected: Float32s, rate: float) -> tuple[Float64s, Float64s]:
    """Return shifts in cents, and how alike two sounds are at each, -1 to 1."""
    n_octaves = np.log2(_GRID_HZ[1] / _GRID_HZ[0])
    grid = _GRID_HZ[0] * 2 ** (np.arange(int(n_octaves * 1200 / _STEP_CENTS)) * _STEP_CENTS / 1200)
    a, b = (_log_spectra(x, rate, grid) for x in (audio, expected))
    reach = round(_MOST_CENTS / _STEP_CENTS)
    size = a.shape[1] + reach
    product = np.fft.rfft(a, size, axis=1) * np.conj(np.fft.rfft(b, size, axis=1))
    correlation = np.fft.irfft(product.sum(axis=0), size)
    lags = np.arange(-reach, reach + 1)
    norm = np.sqrt(float((a**2).sum()) * float((b**2).sum())) + _TINY
    values: Float64s = np.asarray(correlation[lags] / norm, np.float64)
    shifts: Float64s = lags.astype(np.float64) * _STEP_CENTS
    return shifts, values


def _log_spectra(frames: Float32s, rate: float, grid: Float64s) -> Float64s:
    """Return roots of amplitudes over a grid of frequencies, less the mean, (n_frames, n_grid)."""
    from scipy.ndimage import uniform_filter1d

    rows = np.atleast_2d(frames)
    window = np.hanning(rows.shape[1]).astype(np.float32)
    n_fft = max(N_FFT, 1 << (rows.shape[1] - 1).bit_length())
    amplitude = np.abs(np.fft.rfft(rows * window, n_fft, axis=1))
    bins = grid * n_fft / rate
    low = np.minimum(bins.astype(np.int64), amplitude.shape[1] - 2)
    part = bins - low
    roots = np.sqrt(amplitude[:, low] * (1 - part) + amplitude[:, low + 1] * part)
    spectra: Float64s = roots - uniform_filter1d(roots, _SMOOTH, axis=1, mode="nearest")
    return spectra


def correlated(audio: Float32s, sound: Float32s, reach: int) -> tuple[Int64s, Float64s]:
    """Return lags from 0 on, and the part of a sound that is in `audio` at each."""
    size = 1 << (len(audio) + len(sound) + reach - 1).bit_length()
    product = np.fft.rfft(audio, size) * np.conj(np.fft.rfft(sound, size))
    values: Float64s = np.fft.irfft(product, size)[:reach] / max(
        float(np.vdot(sound, sound)), _TINY
    )
    return np.arange(reach), values


def energy_left(audio: Float32s, sound: Float32s, lag: int) -> float:
    """Return the energy that is left of `audio` without a sound that begins at a lag, fitted."""
    part = audio[lag : lag + len(sound)]
    sound = sound[: len(part)]
    gain = float(np.vdot(part, sound)) / max(float(np.vdot(sound, sound)), _TINY)
    if not _GAINS[0] <= gain <= _GAINS[1]:
        return float(np.vdot(audio, audio))
    explained = gain * sound
    return float(np.vdot(audio, audio) - np.vdot(part, part)) + float(
        np.vdot(part - explained, part - explained)
    )
