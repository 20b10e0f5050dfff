"""How two channels become a mono stem: their sum, or one of them where the sum would lose much.

Recordings with two microphones, such as grand pianos, are alike in both channels at some pitches
and opposed at others. Their sum is then a comb: some keys are loud, others nearly gone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Float64s

__all__ = ["MonoFrom", "is_lossy", "mono_from"]

# Power of (left + right) / 2 against the mean of the two channels' powers: 1 for equal channels,
# 0.5 for independent ones and for a single one. A hundredth less is the rounding of measurements.
_LOSSY: Final = 0.5 * 0.99


class MonoFrom(StrEnum):
    """What of the synthesiser's two channels a mono stem is."""

    SUM = "sum"  # (left + right) / 2
    LEFT = "left"
    RIGHT = "right"


def is_lossy(left: Float32s, right: Float32s, both: Float32s) -> Bools:
    """Return where (left + right) / 2 is more than 3 dB below the mean of the channels' powers.

    Parameters
    ----------
    left, right, both : numpy.ndarray
        Mean squares of the two channels and of (left + right) / 2, of one shape.
    """
    mean = (np.asarray(left, np.float64) + np.asarray(right, np.float64)) / 2
    lossy: Bools = np.asarray(both, np.float64) < _LOSSY * mean
    return lossy


def mono_from(left: Float32s, right: Float32s, both: Float32s) -> MonoFrom:
    """Return what a mono stem of some notes is: one channel for all if the sum of any is lossy.

    Parameters
    ----------
    left, right, both : numpy.ndarray
        (n_notes,) mean squares of each note, as for `is_lossy`.

    Returns
    -------
    MonoFrom
        Of the two channels the one in which the notes have more power together.
    """
    if not is_lossy(left, right, both).any():
        return MonoFrom.SUM
    totals: Float64s = np.array([np.sum(left, dtype=np.float64), np.sum(right, dtype=np.float64)])
    return MonoFrom.LEFT if totals[0] >= totals[1] else MonoFrom.RIGHT
