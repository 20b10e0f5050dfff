"""A stem beside its reference: where they differ, and where that can be told."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int64s
from stemsmith.render.audit.reference import Reference
from stemsmith.render.audit.voices import decimated

__all__ = ["BEGINNING", "WHOLE_SHARE", "Comparison", "compare", "energies", "power"]

BEGINNING: Final = 8  # blocks, in which a note is looked at
WHOLE_SHARE: Final = 0.85  # of notes that differ: the stem does
_BLOCK_S: Final = 0.0058
_DIFFERENT: Final = 0.05  # energy of the difference against that of the louder of the two
_QUIET_DB: Final = -66.0  # of the loudest block: too soft to be judged
_FITTED_DB: Final = -33.0  # of the loudest block: loud enough to tell the level of the stem
_NOISE: Final = 8.0  # times the energy of the differences in the quietest fifth
_MOST_NOISE: Final = 0.02  # of the mean energy of the stem
_DOUBTED: Final = 0.25  # energy that does not follow from the notes, against all
_FEWEST: Final = 4  # notes that make a stem
_AUDIBLE: Final = 1e-6  # of the power of the loudest block
_MOSTLY, _ENOUGH = 0.8, 0.2  # shares of blocks that are known


class Comparison(NamedTuple):
    """A stem beside its reference, decimated and in one level.

    Attributes
    ----------
    audio, expected, difference : numpy.ndarray
        (n_low,) float32 samples.
    is_different, is_known : numpy.ndarray
        (n_blocks,) where they differ, and where that can be told.
    size, samples_per_block : int
        Decimated samples in a block, and samples of the stem.
    share : float
        Part of the notes that differ as soon as they sound.
    known_share : float
        Part of the blocks with sound of which it is known what they must be.
    level : float
        Of the stem against its reference.
    loudest : float
        Mean power of the loudest block that is promised.
    noise_db : float
        Power of the difference where it is least, against the stem's: what may be noise.
    """

    audio: Float32s
    expected: Float32s
    difference: Float32s
    is_different: Bools
    is_known: Bools
    size: int
    samples_per_block: int
    share: float
    known_share: float
    level: float
    loudest: float
    noise_db: float

    @property
    def decides(self) -> bool:
        """Whether the comparison alone tells what is wrong with the stem."""
        return self.known_share >= _MOSTLY and self.share <= WHOLE_SHARE

    def promises(self, start: int, end: int) -> bool:
        """Return whether there must be sound between two samples of the stem, as far as known."""
        per_low = self.samples_per_block // self.size
        blocks = slice(start // self.samples_per_block, -(-end // self.samples_per_block))
        promised = power(self.expected[start // per_low : end // per_low])
        return bool(promised > _AUDIBLE * self.loudest and self.is_known[blocks].all())

    def agrees(self, start: int, end: int) -> bool:
        """Return whether stem and reference are known to agree between two samples of the stem."""
        blocks = slice(start // self.samples_per_block, -(-end // self.samples_per_block))
        known = self.is_known[blocks]
        if not len(known) or self.is_different[blocks].any():
            return False
        # What is said of a whole stem is wrong if it is wrong of a good part of it.
        return bool(known.mean() >= (_ENOUGH if 2 * len(known) > len(self.is_known) else _MOSTLY))


def compare(audio: Float32s, reference: Reference, sample_rate: int) -> Comparison | None:
    """Lay a stem beside its reference.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) float32 samples of the stem, in any level.
    reference : Reference
        What it must sound like.
    sample_rate : int
        Sample rate of the stem in Hz.

    Returns
    -------
    Comparison or None
        None where one of the two is silent, or too little of it is known.
    """
    low = decimated(audio, reference.factor)
    size = max(1, round(_BLOCK_S * sample_rate / reference.factor))
    n = min(len(low), len(reference.audio)) // size * size
    low, expected = low[:n], reference.audio[:n]
    doubtful = energies(reference.doubtful[:n], size)
    there, promised = energies(low, size), energies(expected, size)
    top = float(promised.max(initial=0.0))
    is_known = doubtful <= np.maximum(_DOUBTED * promised, top * 10 ** (_QUIET_DB / 10))
    both = is_known & (promised > top * 10 ** (_FITTED_DB / 10)) & (there > 0)
    if not both.any():
        return None
    level = float(np.sqrt(np.median(there[both] / promised[both])))
    expected = expected * np.float32(level)
    promised *= level**2
    difference = low - expected
    differing = energies(difference, size)
    least = float(np.quantile(differing, 0.2))
    noise = min(least, _MOST_NOISE * float(there.mean()))
    floor = max(top * level**2 * 10 ** (_QUIET_DB / 10), _NOISE * noise)
    louder = _widened(np.maximum(there, promised))
    doubtful *= 4 * level**2  # both with their sign turned, at the most
    is_different = is_known & (differing > np.maximum(_DIFFERENT * louder, floor) + doubtful)
    sounding = promised > floor
    known_share = float(is_known[sounding].mean()) if sounding.any() else 0.0
    if known_share < _ENOUGH:
        return None
    return Comparison(
        audio=low,
        expected=expected,
        difference=difference,
        is_different=is_different,
        is_known=is_known,
        size=size,
        samples_per_block=size * reference.factor,
        share=_share(is_different, is_known & sounding, reference.start // size),
        known_share=known_share,
        level=level,
        loudest=float(promised.max()) / size,
        noise_db=10 * float(np.log10(max(least, 1e-30) / float(there.mean()))),
    )


def _share(is_different: Bools, is_promised: Bools, starts: Int64s) -> float:
    """Return the part of the notes that differ as soon as they sound."""
    differs = []
    for start in starts.tolist():
        beginning = slice(start, start + BEGINNING)
        if is_promised[beginning].any():
            differs.append(is_different[beginning][is_promised[beginning]].mean() > 0.5)
    return float(np.mean(differs)) if len(differs) >= _FEWEST else 0.0


def power(audio: Float32s) -> float:
    """Return the mean square of samples; 0 for none."""
    return float(np.vdot(audio, audio)) / max(len(audio), 1)


def energies(audio: Float32s, size: int) -> Float64s:
    """Return the energy of each block of so many samples, (n_blocks,)."""
    rows = audio.reshape(-1, size)
    energy: Float64s = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
    return energy


def _widened(energy: Float64s) -> Float64s:
    """Return the largest of each block and its two neighbours."""
    padded = np.pad(energy, 1)
    widest: Float64s = np.maximum(np.maximum(padded[:-2], padded[2:]), energy)
    return widest
