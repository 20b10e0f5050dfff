"""The frames of BSS Eval: which are asked for, and the scores they are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:  # options name framings: importing this module imports nothing heavy
    from stemsmith.manifests.arrays import Float64s

__all__ = ["DSD100", "SISEC18", "BssScores", "Framing", "SilenceRule"]


class Framing(NamedTuple):
    """Windows of one length at regular distances.

    Attributes
    ----------
    window_s : float
        Length of a window in seconds, which is rounded down to samples as museval does.
    hop_s : float
        Distance from the start of one window to that of the next in seconds, rounded likewise.
    has_own_filters : bool
        Whether the filters are fitted to each window (BSS Eval 3) instead of the whole track
        (version 4).
    """

    window_s: float
    hop_s: float
    has_own_filters: bool = False

    def windows(self, sample_rate: int, n_samples: int) -> list[tuple[int, int]]:
        """Return start and stop of each frame, in samples.

        Parameters
        ----------
        sample_rate : int
            Sample rate of the track in Hz.
        n_samples : int
            Length of the track in samples.

        Returns
        -------
        list of (int, int)
            All of one length; one shorter frame if the track is shorter than a window, which may
            be infinite.

        Raises
        ------
        ValueError
            If the window or the hop is shorter than a sample, or no number.
        """
        if self.window_s * sample_rate >= n_samples:
            return [(0, n_samples)]
        if math.isnan(self.window_s) or not math.isfinite(self.hop_s):
            raise ValueError(f"{self} is no framing")
        window, hop = int(self.window_s * sample_rate), int(self.hop_s * sample_rate)
        if window < 1 or hop < 1:
            raise ValueError(f"{self} is less than a sample at {sample_rate} Hz")
        return [(start, start + window) for start in range(0, n_samples - window + 1, hop)]


SISEC18: Final = Framing(1.0, 1.0)  # Stöter et al. 2018, and museval's default
DSD100: Final = Framing(30.0, 15.0, has_own_filters=True)  # SiSEC 2015 and 2016


class SilenceRule(StrEnum):
    """Whose scores are NaN in a frame in which a reference or an estimate is silent."""

    ALL = "all"  # museval's: those of all targets
    OWN = "own"  # those of the target it belongs to


@dataclass(frozen=True)
class BssScores:
    """Scores of the frames of one track.

    Attributes
    ----------
    sdr_db, isr_db, sir_db, sar_db : numpy.ndarray
        (n_targets, n_frames) float64 in dB. NaN where there is silence, inf where there is no
        error.
    start_s : numpy.ndarray
        (n_frames,) float64, where each frame begins, in seconds.
    duration_s : float
        Length of every frame in seconds.
    source_sdr_db : numpy.ndarray or None
        (n_targets, n_frames) float64, the SDR of sources and not of images, in dB; None where
        museval's engine computed the scores.
    """

    sdr_db: Float64s
    isr_db: Float64s
    sir_db: Float64s
    sar_db: Float64s
    start_s: Float64s
    duration_s: float
    source_sdr_db: Float64s | None = None

    def values(self, metric: str) -> Float64s:
        """Return the (n_targets, n_frames) scores of a metric in dB.

        Parameters
        ----------
        metric : str
            ``SDR``, ``ISR``, ``SIR``, ``SAR`` or ``source-SDR``.
        """
        values: Float64s = getattr(self, f"{metric.lower().replace('-', '_')}_db")
        return values
