"""SI-SDR, the scale-invariant signal-to-distortion ratio (Le Roux et al. 2019).

The mean of the signals is not removed: eq. 5 of the paper does not, nor does its code; SI-SNR and
nussl do. An offset in the estimate counts as an error (a DC of 0.01 in an estimate of RMS 0.1
costs about 1 dB).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._ratios import mono_pair, ratio_db
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "si_sdr_db"]


def si_sdr_db(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> float:
    """Return the scale-invariant signal-to-distortion ratio of a mono estimate.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_samples,) or (1, n_samples). More channels are refused: their mean, their joint ratio
        and that of their sum differ by a dB and more.

    Returns
    -------
    float
        In dB, after Le Roux et al. 2019, eq. 5. NaN if the reference is silent: to be counted and
        left out, see `summarise`. -inf if the estimate is silent or orthogonal to the reference,
        inf if it is a multiple of it.

    Raises
    ------
    ValueError
        If the shapes differ or are not mono, or a sample is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import stemsmith
    >>> reference = np.array([1.0, 0.0, -1.0, 0.0])
    >>> estimate = 3 * reference + np.array([0.0, 0.3, 0.0, 0.3])
    >>> round(stemsmith.si_sdr_db(reference, estimate), 6)
    20.0
    """
    s, estimated = mono_pair(reference, estimate, "SI-SDR")
    energy = s @ s
    if energy == 0:
        return math.nan
    target = (estimated @ s) / energy * s
    return ratio_db(float(target @ target), float(np.square(estimated - target).sum()))


METRIC: Final = Metric(
    "SI-SDR", lambda reference, estimate, _: si_sdr_db(reference, estimate), is_mono=True
)
