"""Fullness: how little an estimate lacks of its reference, where it has less."""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt
from stemsmith.evaluate.metrics.per_song._bleed import mel_differences_db, score_of
from stemsmith.evaluate.metrics.registry import Metric

__all__ = ["METRIC", "fullness"]


def fullness(reference: npt.NDArray[Any], estimate: npt.NDArray[Any], sample_rate: int) -> float:
    """Return 100 over 1 + the mean loss in dB, of bands and frames in which there is a loss.

    Parameters
    ----------
    reference, estimate : numpy.ndarray
        (n_channels, n_samples) of any real type.
    sample_rate : int
        Sample rate of both in Hz.

    Returns
    -------
    float
        From 0 to 100, where 100 has no loss anywhere. The mixture has almost that: look at
        `bleedless` as well.

    Raises
    ------
    ValueError
        If the shapes differ, or a sample is not finite.
    """
    differences_db = mel_differences_db(reference, estimate, sample_rate)
    return score_of(-differences_db[differences_db < 0])


METRIC: Final = Metric("fullness", fullness, unit="")
