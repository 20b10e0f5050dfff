"""The bus of a mixture: one compressor for all channels, and a limiter that looks ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.ndimage
from stemsmith.manifests.arrays import Float32s
from stemsmith.mixing.level.gains import peak_of
from stemsmith.mixing.production.chain import Effect, apply_effects
from stemsmith.mixing.production.parameters import Parameters, draw_evenly, draw_in_octaves

__all__ = ["Bus", "apply_bus", "draw_bus", "limit"]

_CEILING_DBFS: Final = -1.0


@dataclass(frozen=True, slots=True)
class Bus(Parameters):
    """Parameters of a bus.

    Attributes
    ----------
    threshold_db : float
        Level at which the compressor begins, in dB against the peak of the mixture.
    ratio : float
        How many dB more become one dB more.
    attack_ms, release_ms : float
        Time constants of the compressor.
    limiting_db : float
        What the limiter takes off the highest peak, in dB.
    lookahead_ms : float
        How long before a peak the limiter begins, and how long after it ends.
    ceiling_dbfs : float
        Highest sample peak of the result.
    """

    threshold_db: float
    ratio: float
    attack_ms: float
    release_ms: float
    limiting_db: float
    lookahead_ms: float
    ceiling_dbfs: float = _CEILING_DBFS


def draw_bus(rng: np.random.Generator) -> Bus:
    """Draw the bus of a song."""
    return Bus(
        threshold_db=draw_evenly(rng, -15, -8),
        ratio=draw_evenly(rng, 1.5, 3),
        attack_ms=draw_in_octaves(rng, 10, 40),
        release_ms=draw_in_octaves(rng, 100, 400),
        limiting_db=draw_evenly(rng, 0, 4),
        lookahead_ms=draw_in_octaves(rng, 4, 16),
    )


def apply_bus(audio: Float32s, bus: Bus, sample_rate: int) -> Float32s:
    """Run a mixture through a bus.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32 at any level.
    bus : Bus
        The parameters of the bus.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32, sample-aligned, whose peak is the ceiling; silence stays
        silence.
    """
    peak = peak_of(audio)
    if not peak:
        return audio
    compressor = Effect(
        "Compressor",
        (
            ("attack_ms", bus.attack_ms),
            ("ratio", bus.ratio),
            ("release_ms", bus.release_ms),
            ("threshold_db", bus.threshold_db),
        ),
    )
    compressed = apply_effects(audio / np.float32(peak), [compressor], sample_rate)
    ceiling = 10 ** (bus.ceiling_dbfs / 20)
    driven = compressed * np.float32(ceiling * 10 ** (bus.limiting_db / 20) / peak_of(compressed))
    return limit(driven, ceiling, bus.lookahead_ms, sample_rate)


def limit(audio: Float32s, ceiling: float, lookahead_ms: float, sample_rate: int) -> Float32s:
    """Keep peaks at a ceiling by a gain that moves smoothly, the same for all channels.

    The gain is the least one that is needed within half the time to look ahead, before and after,
    averaged over as long: so it is never more than what a sample needs.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32.
    ceiling : float
        Largest absolute sample of the result.
    lookahead_ms : float
        How long before a peak the gain begins to fall, and how long after it is back.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32; what lies under the ceiling is the same as before, but
        near a peak.
    """
    loudest = np.abs(audio).max(axis=0).astype(np.float64)
    needed = np.minimum(1.0, ceiling / np.maximum(loudest, ceiling))
    n = 2 * max(1, round(lookahead_ms / 2000 * sample_rate)) + 1
    least = scipy.ndimage.minimum_filter1d(needed, n, mode="nearest")
    gain = scipy.ndimage.uniform_filter1d(least, n, mode="nearest")
    limited: Float32s = (audio * np.minimum(gain, needed)).astype(np.float32)
    return limited
