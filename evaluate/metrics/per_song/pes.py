"""PES, the predicted energy at silence (Schulze-Forster et al. 2019).

What is heard of an estimate while its target is silent: BSS Eval says nothing of such windows, and
SI-SDR nothing of silent songs. As in the paper's code (``silent_frames_evaluation.py`` of
schufo/wiass at commit 34068ba): windows of a second, one after the other, in which the reference is
exactly zero; in each the energy of the estimate in dB; their mean.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import mono_pair
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "predicted_energy_at_silence_db"]

_WINDOW_S: Final = 1
_DELTA: Final = 1e-12


def predicted_energy_at_silence_db(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], sample_rate: int
) -> float:
    """Return the mean energy in dB of an estimate in the seconds in which its target is silent.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_samples,) or (1, n_samples) of any real type, with full scale at 1.
    sample_rate : int
        Sample rate of both in Hz.

    Returns
    -------
    float
        In dB, ``10 log10`` of a second's sum of squares + 1e-12: -120 for silence, and 10 dB more
        for ten times the sample rate. The lower the better. NaN if the target is never silent for
        a whole second.

    Raises
    ------
    ValueError
        If the shapes differ or are not mono, or a sample is not finite.
    """
    s, estimated = mono_pair(reference, estimate, "PES")
    window = _WINDOW_S * sample_rate
    n_samples = s.size // window * window
    targets, estimates = (x[:n_samples].reshape(-1, window) for x in (s, estimated))
    is_silent = ~targets.any(axis=1)
    if not is_silent.any():
        return math.nan
    energies = np.square(estimates[is_silent]).sum(axis=1)
    return float(np.mean(10 * np.log10(energies + _DELTA)))


METRIC: Final = Metric(
    "PES",
    predicted_energy_at_silence_db,
    is_mono=True,
    is_of_silence=True,
    is_lower_better=True,
)
