"""SI-SIR, the scale-invariant signal-to-interference ratio (Le Roux et al. 2019)."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import ratio_db
from stemsmith.evaluate.metrics.per_song._si_bss import si_parts
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "si_sir_db"]


def si_sir_db(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], others: npt.NDArray[Any]
) -> float:
    """Return how far the target is above what an estimate has of the other sources.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_samples,) or (1, n_samples).
    others : numpy.ndarray
        (n_others, n_samples) or (n_others, 1, n_samples), the other true sources.

    Returns
    -------
    float
        In dB. NaN if the reference is silent, or there are no other sources. Inf if nothing of
        them is heard, -inf if nothing of the target is.

    Raises
    ------
    ValueError
        If the shapes differ or are not mono, or a sample is not finite.
    """
    if not reference.any() or not others.any():
        return math.nan
    parts = si_parts(reference, estimate, others)
    return ratio_db(parts.target, parts.interference)


METRIC: Final = Metric(
    "SI-SIR",
    lambda reference, estimate, _, others: si_sir_db(reference, estimate, others),
    is_mono=True,
    needs=("others",),
)
