"""What the music of a score is made of, in half a kilobyte: whatever its key, tempo, instruments.

Two files of the same music need not have a byte, a track or a tick in common. What they share is
the order of the steps from note to note within each voice. Eight steps that follow one another are
a shingle, if three of them differ: scales, trills and repeated notes are in all music. Scores are
compared by how many of their shingles they have in common, and MinHash (Broder 1997, "On the
resemblance and containment of documents") estimates it from signatures of a fixed length, of which
16 bits a hash are kept (Li and König 2010, "b-bit minwise hashing").

Drums do not count: their patterns belong to a style and not to a song.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Int64s

__all__ = ["N_HASHES", "MelodicSignature", "melodic_signature"]

UInt16s: TypeAlias = npt.NDArray[np.uint16]
UInt64s: TypeAlias = npt.NDArray[np.uint64]

N_HASHES: Final = 256
_N_STEPS: Final = 8  # of a shingle
_FEWEST_SHINGLES: Final = 16  # of a score that can be told from others
# Notes that begin together up to this share of the mean time between notes are a chord, read from
# the bottom. Being relative it does not change with the tempo, of which ticks know nothing.
_CHORD_SPAN: Final = 0.2
_N_AT_ONCE: Final = 512  # shingles hashed at a time, so that they stay in the processor's cache


class MelodicSignature(NamedTuple):
    """The MinHash signature of a score.

    Attributes
    ----------
    n_shingles : int
        Number of different shingles, 16 or more.
    minima : numpy.ndarray
        (N_HASHES,) uint16: 16 bits of the least value of each hash function over the shingles.
        Two scores agree in about as many as they share of all their shingles (Jaccard index).
    """

    n_shingles: int
    minima: UInt16s

    def __str__(self) -> str:
        return f"{self.n_shingles:08x}{self.minima.astype('<u2').tobytes().hex()}"

    @classmethod
    def parse(cls, text: str) -> MelodicSignature:
        """Return the signature that ``str()`` has written."""
        return cls(int(text[:8], 16), np.frombuffer(bytes.fromhex(text[8:]), "<u2"))


def melodic_signature(parts: Iterable[tuple[Int64s, Int64s]]) -> MelodicSignature | None:
    """Return the signature of the parts of a score.

    Parameters
    ----------
    parts : iterable of (numpy.ndarray, numpy.ndarray)
        Onsets in ticks of any length, and pitches, of every track and channel but drums; both
        have the shape (n_notes,), in any order.

    Returns
    -------
    MelodicSignature or None
        None where the parts have too few notes, or too plain ones, to tell them from others.
    """
    shingles = [_shingles(_steps(onset, pitch)) for onset, pitch in parts]
    different = np.unique(np.concatenate(shingles)) if shingles else np.zeros(0, np.uint64)
    if len(different) < _FEWEST_SHINGLES:
        return None
    return MelodicSignature(len(different), _minima(_mixed(different)))


def _steps(onset: Int64s, pitch: Int64s) -> Int64s:
    """Return the steps in semitones from note to note, chords from the bottom up."""
    order = np.argsort(onset, kind="stable")
    onset, pitch = onset[order], pitch[order]
    gaps = np.diff(onset)
    is_next = np.concatenate([[0], gaps * len(onset) > _CHORD_SPAN * gaps.sum()])
    notes = np.unique(np.cumsum(is_next) * 128 + pitch)
    return np.diff(notes % 128)


def _shingles(steps: Int64s) -> UInt64s:
    """Return the different runs of steps that are not too plain, a byte a step."""
    n_runs = max(len(steps) - _N_STEPS + 1, 0)
    digits = (steps + 128).astype("<u8")  # from 1 to 255
    runs = np.zeros(n_runs, "<u8")
    for place in range(_N_STEPS):
        runs |= digits[place : place + n_runs] << np.uint64(8 * place)
    runs = np.unique(runs)
    digit = np.ascontiguousarray(runs.view(np.uint8).reshape(-1, _N_STEPS).T)
    has_third: Bools = ((digit != digit.min(axis=0)) & (digit != digit.max(axis=0))).any(axis=0)
    kept: UInt64s = runs[has_third].astype(np.uint64)
    return kept


def _mixed(values: UInt64s) -> UInt64s:
    """Return 64 bits that each depend on all bits of a value (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


# Multiply-shift hashing (Dietzfelbinger et al. 1997): odd factors, and terms.
_FACTORS: Final = _mixed(np.arange(1, N_HASHES + 1, dtype=np.uint64)) | np.uint64(1)
_TERMS: Final = _mixed(np.arange(N_HASHES + 1, 2 * N_HASHES + 1, dtype=np.uint64))


def _minima(shingles: UInt64s) -> UInt16s:
    lowest = np.full(N_HASHES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(shingles), _N_AT_ONCE):
        hashes = shingles[start : start + _N_AT_ONCE, np.newaxis] * _FACTORS + _TERMS
        np.minimum(lowest, hashes.min(axis=0), out=lowest)
    return (_mixed(lowest) & np.uint64(0xFFFF)).astype(np.uint16)
