"""What ratios of energies have in common.

Nothing is added to keep logarithms finite. torchmetrics adds 2.2e-16, so that a silent reference
scores about -190 dB there and a silent estimate 0 dB.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s

__all__ = ["mono_pair", "pair", "ratio_db"]


def pair(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> tuple[Float64s, Float64s]:
    """Return both signals in double precision; refuse shapes that differ and NaN."""
    if reference.shape != estimate.shape:
        raise ValueError(
            f"the reference is of shape {reference.shape} and the estimate of {estimate.shape}"
        )
    s, estimated = reference.astype(np.float64), estimate.astype(np.float64)
    for name, signal in (("reference", s), ("estimate", estimated)):
        if not np.isfinite(signal).all():
            raise ValueError(f"a sample of the {name} is not finite")
    return s, estimated


def mono_pair(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], metric: str
) -> tuple[Float64s, Float64s]:
    """Return both mono signals as (n_samples,) in double precision; refuse as `pair` and stereo.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_samples,) or (1, n_samples).
    metric : str
        What is to be computed, to name it in an error.
    """
    s, estimated = pair(reference, estimate)
    if s.ndim not in (1, 2) or (s.ndim == 2 and len(s) > 1):
        raise ValueError(f"{metric}: of mono signals, and these are of shape {s.shape}")
    return s.ravel(), estimated.ravel()


def ratio_db(signal: float, error: float) -> float:
    """Return a ratio of energies in dB, which may be infinite."""
    if signal == 0:
        return -math.inf
    return math.inf if error == 0 else 10 * math.log10(signal / error)
