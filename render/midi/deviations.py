"""Velocities and small deviations of notes as players have them: numbers, without any score."""

from __future__ import annotations

import numpy as np
from stemsmith.manifests.arrays import Float64s, UInt8s
from stemsmith.render.midi.playing import Dynamic

__all__ = ["deviations_of", "velocity_shift", "with_dynamic"]


def deviations_of(rng: np.random.Generator, scale: float, n: int) -> Float64s:
    """Return (n,) deviations of a standard deviation, normal but for being cut at three of it."""
    draws = rng.standard_normal(n)
    deviations: Float64s = np.clip(draws, -3, 3) * scale
    return deviations


def with_dynamic(written: UInt8s, dynamic: Dynamic, n_notes: UInt8s | None = None) -> UInt8s:
    """Return velocities as a dynamic has them.

    Parameters
    ----------
    written : numpy.ndarray
        (n,) velocities of the score.
    dynamic : Dynamic
        Moves them so that their median is its own, if it has one.
    n_notes : array_like, optional
        (n,) how many notes each velocity stands for; one by default.
    """
    if dynamic.velocity is None:
        return written
    moved = written.astype(np.int64) + velocity_shift(written, dynamic, n_notes)
    return moved.clip(1, 127).astype(np.uint8)


def velocity_shift(written: UInt8s, dynamic: Dynamic, n_notes: UInt8s | None = None) -> int:
    """Return by how much harder a dynamic is played; parameters are those of `with_dynamic`."""
    if dynamic.velocity is None:
        return 0
    every = written if n_notes is None else np.repeat(written, n_notes)
    return dynamic.velocity - int(np.median(every))
