"""Drawing what is rare, or what is busy, more often than its share.

``inverse-class`` draws a class evenly, one of its stems evenly, and one of the stem's clips evenly;
``activity`` draws a stem (of a target) or a song evenly, and one of its clips in proportion to what
is played in it. Classes differ where any name of theirs does: acoustic and clean guitars are two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from stemsmith.manifests.arrays import Float64s, Int32s, Int64s
from stemsmith.mixing.sources.catalogue import SplitCatalogue

__all__ = ["draw_weighted", "inverse_class_weights", "song_activity"]


def inverse_class_weights(catalogue: SplitCatalogue, stems: Sequence[int]) -> Float64s:
    """Return the probability of each of some stems where classes are drawn evenly, (n_stems,)."""
    classes = [catalogue.stems[k].classes for k in stems]
    counts = Counter(classes)
    return np.array([1 / (counts[name] * len(counts)) for name in classes])


def song_activity(
    catalogue: SplitCatalogue, stems: Sequence[int], starts: Int32s, n_steps: int
) -> Float64s:
    """Return how much all stems of a song play in clips that begin at some steps, (n_clips,)."""
    total = np.zeros(len(starts))
    for k in stems:
        total += catalogue.activity(k, starts, n_steps)
    return total


def draw_weighted(weights: Float64s, first: Int64s, last: Int64s, v: Float64s) -> Int64s:
    """Draw items, each from a range of its own, in proportion to their weights.

    Parameters
    ----------
    weights : numpy.ndarray
        (n_items,) numbers of at least 0. A range in which all are 0 is drawn from evenly.
    first, last : numpy.ndarray
        (n,) where the ranges begin, and where they end (exclusive).
    v : numpy.ndarray
        (n,) numbers in [0, 1), one a draw.

    Returns
    -------
    numpy.ndarray
        (n,) int64, items drawn.
    """
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    total = sums[last] - sums[first]
    # side="right": an item without weight has no width.
    drawn = np.searchsorted(sums, sums[first] + v * total, side="right") - 1
    evenly = first + (v * (last - first)).astype(np.int64)
    return np.where(total > 0, np.clip(drawn, first, last - 1), evenly)
