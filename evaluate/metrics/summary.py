"""Scores of a whole signal without filters, and what many of them say together.

Departures
----------
* SI-SDR does not remove the mean of the signals: Le Roux et al. 2019, eq. 5, does not, nor does
  their code; SI-SNR and nussl do. An offset in the estimate counts as an error (a DC of 0.01 in
  an estimate of RMS 0.1 costs about 1 dB).
* Nothing is added to keep logarithms finite. torchmetrics adds 2.2e-16, so that a silent
  reference scores about -190 dB there and a silent estimate 0 dB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.seeds import rng_for

__all__ = ["Interval", "Summary", "bootstrap_interval", "si_sdr_db", "snr_db", "summarise"]

Interval = tuple[float, float]

_N_RESAMPLES: Final = 10_000
_DRAWN_AT_ONCE: Final = 1_000_000


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
    """
    s, estimated = _pair(reference, estimate)
    if s.ndim not in (1, 2) or (s.ndim == 2 and len(s) > 1):
        raise ValueError(f"SI-SDR is of mono signals, these are of shape {s.shape}")
    s, estimated = s.ravel(), estimated.ravel()
    energy = s @ s
    if energy == 0:
        return math.nan
    target = (estimated @ s) / energy * s
    return _ratio_db(float(target @ target), float(np.square(estimated - target).sum()))


def snr_db(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> float:
    """Return the plain signal-to-noise ratio over all samples and channels.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples).

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
    s, estimated = _pair(reference, estimate)
    energy = float(np.square(s).sum())
    return math.nan if energy == 0 else _ratio_db(energy, float(np.square(s - estimated).sum()))


def _pair(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> tuple[Float64s, Float64s]:
    if reference.shape != estimate.shape:
        raise ValueError(
            f"the reference is of shape {reference.shape} and the estimate of {estimate.shape}"
        )
    s, estimated = reference.astype(np.float64), estimate.astype(np.float64)
    for name, signal in (("reference", s), ("estimate", estimated)):
        if not np.isfinite(signal).all():
            raise ValueError(f"a sample of the {name} is not finite")
    return s, estimated


def _ratio_db(signal: float, error: float) -> float:
    if signal == 0:
        return -math.inf
    return math.inf if error == 0 else 10 * math.log10(signal / error)


@dataclass(frozen=True)
class Summary:
    """What the scores of many songs say together.

    Attributes
    ----------
    n : int
        Scores that count.
    n_left_out : int
        Scores that are NaN: the reference was silent.
    mean, median : float
        NaN if none counts.
    mean_interval, median_interval : (float, float)
        Limits of the 95 % bootstrap intervals.
    """

    n: int
    n_left_out: int
    mean: float
    mean_interval: Interval
    median: float
    median_interval: Interval


def summarise(values: Sequence[float] | Float64s, seed: int = 0) -> Summary:
    """Summarise scores, leaving out and counting those that are NaN.

    Parameters
    ----------
    values : sequence of float
        One a song.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Summary
    """
    scores = np.asarray(values, np.float64)
    counted = scores[~np.isnan(scores)]
    n_left_out = len(scores) - len(counted)
    if not len(counted):
        return Summary(0, n_left_out, math.nan, (math.nan,) * 2, math.nan, (math.nan,) * 2)
    with np.errstate(invalid="ignore"):  # the mean of inf and -inf
        return Summary(
            len(counted),
            n_left_out,
            float(counted.mean()),
            bootstrap_interval(counted, np.mean, seed),
            float(np.median(counted)),
            bootstrap_interval(counted, np.median, seed),
        )


def bootstrap_interval(
    values: Sequence[float] | Float64s,
    statistic: Callable[..., Any],
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a confidence interval by the percentile bootstrap (Efron 1979) with 10,000 draws.

    Parameters
    ----------
    values : sequence of float
        At least one; independent of each other: songs, not frames.
    statistic : callable
        Of an (n_draws, n) array along ``axis=1``, as `numpy.mean`.
    seed : int
        The same seed and values give the same interval.
    level : float
        Probability between the limits.

    Returns
    -------
    (float, float)
        Lower and upper limit.
    """
    scores = np.asarray(values, np.float64)
    rng = rng_for(seed, "bootstrap")
    n_at_once = max(1, _DRAWN_AT_ONCE // len(scores))
    drawn = []
    for first in range(0, _N_RESAMPLES, n_at_once):
        n_draws = min(n_at_once, _N_RESAMPLES - first)
        chosen = rng.integers(len(scores), size=(n_draws, len(scores)))
        drawn.append(statistic(scores[chosen], axis=1))
    # A drawn statistic, not one between two: scores may be infinite.
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(drawn), tails, method="inverted_cdf")
    return float(low), float(high)
