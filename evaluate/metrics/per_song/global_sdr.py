"""Global SDR: the signal-to-distortion ratio of the Music Demixing and Sound Demixing Challenges.

It is the SNR of a whole song over all samples and channels, with 1e-7 added to both energies
(Mitsufuji et al. 2022; ``evaluator/music_demixing.py`` in
AIcrowd/music-demixing-challenge-starter-kit at commit ec65914). Others call it uSDR (Luo and Yu
2023) or nSDR. Music-Source-Separation-Training adds 1e-8.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import pair
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "global_sdr_db"]

_DELTA: Final = 1e-7  # of full scale squared


def global_sdr_db(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> float:
    """Return the SDR of the MDX and SDX challenges.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples) of any real type, with full scale at 1.

    Returns
    -------
    float
        In dB, ``10 log10((|s|^2 + 1e-7) / (|s - estimate|^2 + 1e-7))``. It is never infinite: a
        perfect estimate of a minute at -20 dBFS in stereo has 117 dB. It differs from the SNR by
        less than 0.01 dB where both energies are above 5e-5.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    s, estimated = pair(reference, estimate)
    signal, error = float(np.square(s).sum()), float(np.square(s - estimated).sum())
    return 10 * math.log10((signal + _DELTA) / (error + _DELTA))


METRIC: Final = Metric(
    "global SDR", lambda reference, estimate, _: global_sdr_db(reference, estimate)
)
