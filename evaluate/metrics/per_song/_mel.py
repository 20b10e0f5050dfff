"""Mel spectrograms, block by block, with the bands and frames that published metrics use.

Bands are triangles between points that are equally far from each other on a mel scale: of Slaney's
Auditory Toolbox (linear to 1 kHz, then logarithmic; librosa's default) or of HTK
(``2595 log10(1 + f / 700)``; torchaudio's default).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.sparse
from stemsmith.manifests.arrays import Float64s

__all__ = ["mel_bands", "mel_spectrogram"]

_FRAMES_AT_ONCE: Final = 256
# Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 steps to 6.4 times as much.
_LINEAR_HZ: Final = 200 / 3
_LOG_FROM_HZ: Final = 1000.0
_LOG_STEP: Final = np.log(6.4) / 27


def mel_bands(
    sample_rate: int, n_fft: int, n_bands: int, max_hz: float, scale: Literal["slaney", "htk"]
) -> Float64s:
    """Return the weights of bands.

    Parameters
    ----------
    sample_rate : int
        Sample rate in Hz.
    n_fft : int
        Length of the transform in samples.
    n_bands : int
        Number of bands.
    max_hz : float
        Where the last band ends, in Hz; it may be above half the sample rate.
    scale : {"slaney", "htk"}
        The mel scale. Slaney's bands have one area each, in Hz; those of HTK have one height.

    Returns
    -------
    numpy.ndarray
        (n_bands, n_fft // 2 + 1) weights, at least 0.
    """
    to_mel, to_hz = (_slaney_mel, _slaney_hz) if scale == "slaney" else (_htk_mel, _htk_hz)
    points = to_hz(np.linspace(0.0, float(to_mel(np.array(max_hz))), n_bands + 2))
    bins = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    distance, width = points[:, None] - bins, np.diff(points)[:, None]
    rising, falling = -distance[:-2] / width[:-1], distance[2:] / width[1:]
    weights: Float64s = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        weights *= (2 / (points[2:] - points[:-2]))[:, None]
    return weights


def _slaney_mel(hz: Float64s) -> Float64s:
    above = np.maximum(hz, _LOG_FROM_HZ)
    logarithmic = _LOG_FROM_HZ / _LINEAR_HZ + np.log(above / _LOG_FROM_HZ) / _LOG_STEP
    return np.where(hz < _LOG_FROM_HZ, hz / _LINEAR_HZ, logarithmic)


def _slaney_hz(mel: Float64s) -> Float64s:
    start = _LOG_FROM_HZ / _LINEAR_HZ
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (np.maximum(mel, start) - start))
    return np.where(mel < start, mel * _LINEAR_HZ, logarithmic)


def _htk_mel(hz: Float64s) -> Float64s:
    return np.asarray(2595 * np.log10(1 + hz / 700))


def _htk_hz(mel: Float64s) -> Float64s:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


def mel_spectrogram(
    audio: npt.NDArray[Any],
    bands: Float64s,
    hop: int,
    *,
    power: Literal[1, 2],
    padding: Literal["constant", "reflect"],
) -> Float64s:
    """Return what bands take of magnitudes or powers, in frames of a Hann window.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) of any real type.
    bands : numpy.ndarray
        (n_bands, n_fft // 2 + 1) of `mel_bands`.
    hop : int
        Samples from one frame to the next; frame k is centred at sample ``k * hop``.
    power : {1, 2}
        Whether magnitudes are weighted or their squares.
    padding : {"constant", "reflect"}
        What stands before and after the audio: zeros, or its mirror image.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_bands, n_frames) float64.
    """
    n_fft = 2 * (bands.shape[1] - 1)
    padded = np.pad(audio.astype(np.float64), ((0, 0), (n_fft // 2, n_fft // 2)), mode=padding)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    found = np.empty((len(audio), len(bands), frames.shape[1]))
    weights = scipy.sparse.csr_array(bands)  # a bin is in two bands, of hundreds
    for channel, own_frames in enumerate(frames):
        for first in range(0, len(own_frames), _FRAMES_AT_ONCE):
            block = slice(first, first + _FRAMES_AT_ONCE)
            magnitudes = np.abs(scipy.fft.rfft(own_frames[block] * window, axis=1))
            found[channel, :, block] = weights @ (magnitudes**power).T
    return found
