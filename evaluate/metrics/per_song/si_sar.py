"""SI-SAR, the scale-invariant signal-to-artefacts ratio (Le Roux et al. 2019)."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import ratio_db
from stemsmith.evaluate.metrics.per_song._si_bss import si_parts
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "si_sar_db"]


def si_sar_db(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], others: npt.NDArray[Any]
) -> float:
    """Return how far the target is above what no true source explains in an estimate.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_samples,) or (1, n_samples).
    others : numpy.ndarray
        (n_others, n_samples) or (n_others, 1, n_samples), the other true sources.

    Returns
    -------
    float
        In dB, of the scaled target alone: BSS Eval's SAR counts interference as signal, too. NaN
        if the reference is silent. -inf if nothing of the target is heard. An estimate that is a
        sum of true sources, such as the mixture, has but rounding errors for artefacts: more than
        100 dB, or infinite.

    Raises
    ------
    ValueError
        If the shapes differ or are not mono, or a sample is not finite.
    """
    if not reference.any():
        return math.nan
    parts = si_parts(reference, estimate, others)
    return ratio_db(parts.target, parts.artefacts)


METRIC: Final = Metric(
    "SI-SAR",
    lambda reference, estimate, _, others: si_sar_db(reference, estimate, others),
    is_mono=True,
    needs=("others",),
)
