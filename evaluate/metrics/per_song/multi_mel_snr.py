"""Multi-mel SNR: the metric of the first Music Source Restoration Challenge (arXiv 2601.04343).

The SNR of power spectrograms in three resolutions of mel bands, averaged in dB, of an estimate that
is scaled by its best gain before: frames of 512, 1024 and 2048 samples, half overlapping, with 80,
128 and 192 bands (HTK) from 0 to 24 kHz, whatever the rate. Channels are scored each by itself, and
averaged in dB. As in ``msr_separation/src/training/metrics/multi_mel_snr.py`` of
CPJKU/music-source-restoration at commit 3bae84c.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._mel import mel_bands, mel_spectrogram
from stemsmith.evaluate.metrics.per_song._ratios import pair
from stemsmith.evaluate.metrics.registry import Metric
from stemsmith.manifests.arrays import Float64s

__all__ = ["METRIC", "multi_mel_snr_db"]

_RESOLUTIONS: Final = ((512, 80), (1024, 128), (2048, 192))  # samples, bands
_MAX_HZ: Final = 24000.0
_DELTA: Final = 1e-8


def multi_mel_snr_db(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], sample_rate: int
) -> float:
    """Return the SNR of mel spectrograms, the mean of three resolutions and of all channels.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples) of any real type, with full scale at 1; at least 1025 samples.
    sample_rate : int
        Sample rate of both in Hz. Bands reach 24 kHz, and those above half of it are empty.

    Returns
    -------
    float
        In dB. Phases do not count, nor does the gain of the estimate, except for its sign. NaN if
        the reference is silent; channels in which it is are left out.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    s, estimated = pair(reference, estimate)
    heard = s.any(axis=1)
    if not heard.any():
        return math.nan
    return float(
        np.mean(
            [
                _snr_db(channel[None], of_estimate[None], sample_rate)
                for channel, of_estimate in zip(s[heard], estimated[heard], strict=True)
            ]
        )
    )


def _snr_db(reference: Float64s, estimate: Float64s, sample_rate: int) -> float:
    gain = float((reference * estimate).sum()) / (float(np.square(estimate).sum()) + _DELTA)
    ratios_db = []
    for n_fft, n_bands in _RESOLUTIONS:
        bands = mel_bands(sample_rate, n_fft, n_bands, _MAX_HZ, "htk")
        of_reference, of_estimate = (
            mel_spectrogram(audio, bands, n_fft // 2, power=2, padding="reflect")
            for audio in (reference, gain * estimate)
        )
        signal = float(np.square(of_reference).sum())
        error = float(np.square(of_reference - of_estimate).sum()) + _DELTA
        ratios_db.append(10 * math.log10(max(signal / error, _DELTA)))
    return float(np.mean(ratios_db))


METRIC: Final = Metric("multi-mel SNR", multi_mel_snr_db)
