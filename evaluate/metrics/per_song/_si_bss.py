"""What SI-SIR and SI-SAR have in common: the parts of the error of an estimate.

With the optimally scaled target removed, the rest of an estimate is projected onto the space of all
true sources (Le Roux et al. 2019). What lies in it is interference, what is left is artefacts, so
that ``10^(-SI-SDR/10) = 10^(-SI-SIR/10) + 10^(-SI-SAR/10)``. No mean is removed, and no filters are
allowed, unlike in BSS Eval.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import mono_pair

__all__ = ["SiParts", "si_parts"]


class SiParts(NamedTuple):
    """Energies of the parts of an estimate.

    Attributes
    ----------
    target, interference, artefacts : float
        Energy of the scaled target, of what the other sources explain, and of what nothing does.
    """

    target: float
    interference: float
    artefacts: float


def si_parts(
    reference: npt.NDArray[Any], estimate: npt.NDArray[Any], others: npt.NDArray[Any]
) -> SiParts:
    """Divide a mono estimate into target, interference and artefacts.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_samples,) or (1, n_samples).
    others : numpy.ndarray
        (n_others, n_samples) or (n_others, 1, n_samples), the other true sources.

    Raises
    ------
    ValueError
        If the shapes differ or are not mono, or a sample is not finite.
    """
    s, estimated = mono_pair(reference, estimate, "SI-SIR and SI-SAR")
    rest = others.astype(np.float64).reshape(-1, len(s))
    if not np.isfinite(rest).all():
        raise ValueError("a sample of the other sources is not finite")
    target = (estimated @ s) / (s @ s) * s
    error = estimated - target
    # The others without what they share with the target: the error has nothing of it.
    rest = rest - np.outer(rest @ s / (s @ s), s)
    scale = np.linalg.norm(rest, axis=1, keepdims=True)
    rest = np.divide(rest, scale, out=np.zeros_like(rest), where=scale > 0)
    gains = (
        np.linalg.lstsq(rest @ rest.T, rest @ error, rcond=1e-12)[0] if len(rest) else rest[:, 0]
    )
    interference = gains @ rest
    return SiParts(
        float(target @ target),
        float(interference @ interference),
        float(np.square(error - interference).sum()),
    )
