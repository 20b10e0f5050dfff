"""The automatic mix of Slakh (Manilow et al. 2019, section 2.2), as pure functions.

Every stem is brought to one BS.1770 loudness, all are added, and one uniform gain keeps mixture and
stems below a peak. Stems are quantised once; the mixture is their exact integer sum.

Gains are rounded to 0.0001 dB: what the record says is what was applied, and the last bits of a
logarithm, which differ between processors, do not reach the audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["StemGain", "db_to_linear", "peak_of", "quantise", "stem_gain", "uniform_gain_db"]

_GAIN_DECIMALS: Final = 4


class StemGain(NamedTuple):
    """Gain of one stem before the uniform gain, and whether it was cut to the largest allowed."""

    gain_db: float
    is_limited: bool


def peak_of(audio: npt.NDArray[np.float32]) -> float:
    """Return the largest absolute sample of some audio; 0 if there is none."""
    return max(float(audio.max()), -float(audio.min())) if audio.size else 0.0


def db_to_linear(gain_db: float) -> float:
    """Return the amplitude factor of a gain in dB."""
    return float(10 ** (gain_db / 20))


def stem_gain(loudness_lufs: float | None, target_lufs: float, max_gain_db: float) -> StemGain:
    """Return the gain that brings a stem to a target loudness.

    Parameters
    ----------
    loudness_lufs : float or None
        Measured, best as it will be at the target (`loudness_when_played_at`); None (silent or
        too short to measure) keeps the level.
    target_lufs : float
        Loudness that is wanted, in LUFS.
    max_gain_db : float
        Largest gain; a few percussive hits in a long song would otherwise be raised by more than
        anybody would.

    Returns
    -------
    StemGain
        Rounded to 0.0001 dB.
    """
    if loudness_lufs is None:
        return StemGain(0.0, False)
    wanted = round(target_lufs - loudness_lufs, _GAIN_DECIMALS)
    return StemGain(min(wanted, max_gain_db), wanted > max_gain_db)


def uniform_gain_db(
    mixture_peak: float, stem_peaks: Sequence[float], ceiling_dbfs: float, full_scale: int
) -> float:
    """Return the gain, at most 0 dB, that keeps the mixture and every stem below a ceiling.

    Stems are looked at too, since stems that cancel in the sum can clip alone. Room is left for
    rounding: n stems rounded to integers can add n / 2 steps to the sum.

    Parameters
    ----------
    mixture_peak : float
        Largest absolute sample of the sum, full scale 1.
    stem_peaks : sequence of float
        The same of each stem.
    ceiling_dbfs : float
        Highest allowed sample peak.
    full_scale : int
        Integer of full scale (32768 for 16 bits).

    Returns
    -------
    float
        In dB, rounded down to 0.0001 dB.

    Raises
    ------
    ValueError
        If the ceiling leaves no room for rounding.
    """
    ceiling = db_to_linear(ceiling_dbfs)
    # One more step covers the float32 sum and a ceiling of exactly 0 dBFS.
    mixture_room = ceiling - (len(stem_peaks) / 2 + 1) / full_scale
    stem_room = ceiling - 1.5 / full_scale
    if mixture_room <= 0:
        raise ValueError(f"a ceiling of {ceiling_dbfs} dBFS leaves no room for rounding")
    gain = 1.0
    if mixture_peak > 0:
        gain = min(gain, mixture_room / mixture_peak)
    if stem_peaks and max(stem_peaks) > 0:
        gain = min(gain, stem_room / max(stem_peaks))
    step = 10**_GAIN_DECIMALS
    return math.floor(20 * math.log10(gain) * step) / step if gain < 1 else 0.0


def quantise(
    audio: npt.NDArray[np.float32], gain_db: float, full_scale: int
) -> npt.NDArray[np.int16]:
    """Apply a gain and round to 16-bit integers (half to even), without dither.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) float32, full scale 1; below full scale after the gain.
    gain_db : float
        Gain in dB that is applied before rounding.
    full_scale : int
        Integer of full scale.

    Returns
    -------
    numpy.ndarray
        (n_samples,) int16.
    """
    scaled = audio * np.float32(db_to_linear(gain_db) * full_scale)
    np.rint(scaled, out=scaled)
    return scaled.astype(np.int16)
