"""log-WMSE: the logarithm of a squared error that is weighted as hearing weighs frequencies.

As nomonosound/log-wmse-audio-quality (Apache 2.0) defines it, at commit ed03283: the error relative
to the mixture's level, filtered, without samples below -68 dB, as ``-4 ln(mean square + 1e-8)`` of
each channel, averaged. It is 73.7 for a perfect estimate, and has a value for silent targets. The
filter is symmetric, with the response of four filters (`_WEIGHTING`), of 4000 taps at 44.1 kHz, to
which other rates are resampled. crlandsc/torch-log-wmse resamples the filter instead.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import scipy.signal
import soxr
from stemsmith.evaluate.metrics.per_song._ratios import pair
from stemsmith.evaluate.metrics.registry import Metric
from stemsmith.manifests.arrays import Float64s

__all__ = ["METRIC", "hearing_filter", "log_wmse"]

_RATE: Final = 44100
_N_FFT: Final = 8192
_N_TAPS: Final = 4000
_INAUDIBLE: Final = 10 ** (-68 / 20)  # relative to the mixture's RMS
_DELTA: Final = 1e-8
_SCALE: Final = -4.0
# Kind, frequency in Hz, gain in dB, Q: two of the Audio EQ Cookbook's.
_WEIGHTING: Final[tuple[tuple[Literal["shelf", "peak"], float, float, float], ...]] = (
    ("shelf", 1500.0, 5.0, 1 / math.sqrt(2)),
    ("peak", 500.0, 2.5, 1.5 / math.sqrt(2)),
)
_HIGH_PASS_HZ: Final = 120.0  # 12 dB an octave
_LOW_PASS_HZ: Final = 10000.0  # 6 dB an octave, there and back


def log_wmse(
    reference: npt.NDArray[Any],
    estimate: npt.NDArray[Any],
    sample_rate: int,
    mixture: npt.NDArray[Any],
) -> float:
    """Return the log-WMSE of an estimate, whose reference may be silent.

    Parameters
    ----------
    reference, estimate, mixture : numpy.ndarray
        (n_channels, n_samples) of any real type.
    sample_rate : int
        Sample rate of all of them in Hz.

    Returns
    -------
    float
        The higher the better, at most 73.7; a halved error has 5.5 more. It has no unit: of
        ``-4 ln``, ten decibels of error are 9.2.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    values = [
        _of_channel(*channel, sample_rate)
        for channel in zip(reference, estimate, mixture, strict=True)
    ]
    return _SCALE * float(np.mean(values))


def _of_channel(
    reference: npt.NDArray[Any],
    estimate: npt.NDArray[Any],
    mixture: npt.NDArray[Any],
    sample_rate: int,
) -> float:
    s, estimated = pair(reference, estimate)
    level = math.sqrt(float(np.square(_heard(pair(reference, mixture)[1], sample_rate)).mean()))
    if level == 0:
        return math.log(_DELTA)
    # Filters are linear: filtering the difference is the difference of what is filtered.
    error = _heard(estimated - s, sample_rate) / level
    audible = np.where(np.abs(error) < _INAUDIBLE, 0.0, error)
    return math.log(float(np.square(audible).mean()) + _DELTA)


def _heard(audio: Float64s, sample_rate: int) -> Float64s:
    if sample_rate != _RATE:
        audio = soxr.resample(audio, sample_rate, _RATE, quality="HQ")
    filtered: Float64s = scipy.signal.oaconvolve(audio, hearing_filter(), mode="same")
    return filtered


@cache
def hearing_filter() -> Float64s:
    """Return the (4000,) impulse response of the weighting at 44.1 kHz, symmetric around tap 1999.

    The response is sampled at 4097 frequencies from 0 to just below half the sample rate, as in
    the published filter: it ends one step early.
    """
    frequencies = np.pi * np.arange(_N_FFT // 2 + 1) / (_N_FFT // 2 + 1)
    sections = np.vstack(
        [
            *(_cookbook(*parameters) for parameters in _WEIGHTING),
            scipy.signal.butter(2, _HIGH_PASS_HZ, "highpass", fs=_RATE, output="sos"),
        ]
    )
    low_pass = scipy.signal.butter(1, _LOW_PASS_HZ, "lowpass", fs=_RATE, output="sos")
    response = np.abs(scipy.signal.freqz_sos(sections, frequencies)[1])
    response *= np.abs(scipy.signal.freqz_sos(low_pass, frequencies)[1]) ** 2
    centred = np.fft.fftshift(np.fft.irfft(response, _N_FFT))
    first = _N_FFT // 2 + 1 - _N_TAPS // 2
    taps: Float64s = centred[first : first + _N_TAPS]
    return taps


def _cookbook(kind: Literal["shelf", "peak"], hz: float, gain_db: float, q: float) -> Float64s:
    """Return one second-order section: a high shelf or a peak of the Audio EQ Cookbook."""
    a, omega = 10 ** (gain_db / 40), 2 * math.pi * hz / _RATE
    alpha, cosine = math.sin(omega) / (2 * q), math.cos(omega)
    if kind == "peak":
        b = [1 + alpha * a, -2 * cosine, 1 - alpha * a]
        d = [1 + alpha / a, -2 * cosine, 1 - alpha / a]
    else:
        slope = 2 * math.sqrt(a) * alpha
        b = [
            a * ((a + 1) + (a - 1) * cosine + slope),
            -2 * a * ((a - 1) + (a + 1) * cosine),
            a * ((a + 1) + (a - 1) * cosine - slope),
        ]
        d = [
            (a + 1) - (a - 1) * cosine + slope,
            2 * ((a - 1) - (a + 1) * cosine),
            (a + 1) - (a - 1) * cosine - slope,
        ]
    return np.array([*b, *d])[None] / d[0]


METRIC: Final = Metric("log-WMSE", log_wmse, unit="", needs=("mixture",), is_of_silence=True)
