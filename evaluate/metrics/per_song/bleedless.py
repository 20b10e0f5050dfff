"""Bleedless: how little an estimate has that the reference does not have, where it has more."""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._bleed import mel_differences_db, score_of
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "bleedless"]


def bleedless(reference: npt.NDArray[Any], estimate: npt.NDArray[Any], sample_rate: int) -> float:
    """Return 100 over 1 + the mean excess in dB, of bands and frames in which there is an excess.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples) of any real type.
    sample_rate : int
        Sample rate of both in Hz.

    Returns
    -------
    float
        From 0 to 100, where 100 has no excess anywhere. Whether a few bands are too loud or all of
        them is the same, if the mean excess is.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    differences_db = mel_differences_db(reference, estimate, sample_rate)
    return score_of(differences_db[differences_db > 0])


METRIC: Final = Metric("bleedless", bleedless, unit="")
