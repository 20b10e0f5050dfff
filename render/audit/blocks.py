"""The level of a stem in blocks of 1.5 ms, which the checks of levels work on."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.render.sound.synth import Spans

__all__ = ["BlockLevels", "block_levels"]

_BLOCKS_PER_S: Final = 689.0625  # 64 samples at 44,100 Hz, FluidSynth's own


class BlockLevels(NamedTuple):
    """The extremes and the means of a stem, block by block.

    Attributes
    ----------
    size : int
        Samples in a block.
    highest, lowest, mean : numpy.ndarray
        (n_blocks,) float32 largest and smallest sample and the mean of each block; a last one
        that is not whole is left out.
    peak : numpy.ndarray
        (n_blocks,) float32 largest magnitude of each.
    """

    size: int
    highest: Float32s
    lowest: Float32s
    mean: Float32s
    peak: Float32s


def block_levels(audio: Float32s, sample_rate: int, spans: Spans | None = None) -> BlockLevels:
    """Measure a stem once for all checks.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) float32, full scale 1.
    sample_rate : int
        Sample rate in Hz.
    spans : sequence of (int, int), optional
        Where `audio` may be other than zero; what lies outside is not looked at.
    """
    size = max(8, round(sample_rate / _BLOCKS_PER_S))
    n_blocks = len(audio) // size
    highest, lowest, mean = (np.zeros(n_blocks, np.float32) for _ in range(3))
    for start, stop in spans if spans is not None else [(0, len(audio))]:
        first, last = start // size, min(-(-stop // size), n_blocks)
        rows = audio[first * size : last * size].reshape(-1, size)
        highest[first:last], lowest[first:last] = rows.max(axis=1), rows.min(axis=1)
        mean[first:last] = rows.sum(axis=1) / np.float32(size)
    return BlockLevels(size, highest, lowest, mean, np.maximum(highest, -lowest))
