"""What bleedless and fullness have in common: the differences of two mel spectrograms in dB.

As `bleed_full` of ``utils/metrics.py`` in ZFTurbo/Music-Source-Separation-Training defines them,
at commit ccc011a: 512 mel bands (Slaney) of magnitudes, frames of 4096 samples every 1024, each
spectrogram cut 80 dB below its own loudest value. There the bands are those of 44.1 kHz, whatever
the rate of the audio; here they are those of its rate, which at 44.1 kHz is the same.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._mel import mel_bands, mel_spectrogram
from stemsmith.evaluate.metrics.per_song._ratios import pair
from stemsmith.manifests.arrays import Float64s

__all__ = ["mel_differences_db", "score_of"]

_N_FFT: Final = 4096
_HOP: Final = 1024
_N_BANDS: Final = 512
_RANGE_DB: Final = 80.0
_LEAST: Final = 1e-10


def mel_differences_db(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], sample_rate: int
) -> Float64s:
    """Return by how much an estimate is above its reference in each band and frame.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples) of any real type.
    sample_rate : int
        Sample rate of both in Hz.

    Returns
    -------
    numpy.ndarray
        (n_channels, 512, n_frames) differences in dB.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    s, estimated = pair(reference, estimate)
    bands = mel_bands(sample_rate, _N_FFT, _N_BANDS, sample_rate / 2, "slaney")
    return _levels_db(estimated, bands) - _levels_db(s, bands)


def _levels_db(audio: Float64s, bands: Float64s) -> Float64s:
    magnitudes = mel_spectrogram(audio, bands, _HOP, power=1, padding="constant")
    levels = 20 * np.log10(np.maximum(magnitudes, _LEAST))
    cut: Float64s = np.maximum(levels, levels.max() - _RANGE_DB)
    return cut


def score_of(excess_db: Float64s) -> float:
    """Return 100 for no excess, and ``100 / (1 + mean)`` for one, as percentages are."""
    return 100.0 / (1.0 + float(excess_db.mean())) if len(excess_db) else 100.0
