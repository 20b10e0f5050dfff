"""SNR, the plain signal-to-noise ratio of a whole song.

It is the SDR of the Music Demixing Challenge (Mitsufuji et al. 2022), which adds a small number to
both energies.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import pair, ratio_db
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "snr_db"]


def snr_db(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> float:
    """Return the plain signal-to-noise ratio over all samples and channels.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples) of any real type.

    Returns
    -------
    float
        In dB, ``10 log10(|s|^2 / |s - estimate|^2)``. NaN if the reference is silent, inf if the
        estimate is the reference.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    s, estimated = pair(reference, estimate)
    energy = float(np.square(s).sum())
    return math.nan if energy == 0 else ratio_db(energy, float(np.square(s - estimated).sum()))


METRIC: Final = Metric("SNR", lambda reference, estimate, _: snr_db(reference, estimate))
