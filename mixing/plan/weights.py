"""Drawing what is rare, or what is busy, more often than its share.

``inverse-class`` draws a class evenly, one of its stems evenly, and one of the stem's clips evenly;
``activity`` draws a stem (of a target) or a song evenly, and one of its clips in proportion to what
is played in it. Classes differ where any name of theirs does: acoustic and clean guitars are two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s, Int32s, Int64s
from stemsmith.mixing.sources.catalogue import SplitCatalogue

__all__ = ["WeightedItems", "inverse_class_weights", "song_activity"]


class WeightedItems:
    """Items that are drawn in proportion to their weights.

    Parameters
    ----------
    weights : numpy.ndarray
        (n_items,) numbers of at least 0. If all are 0, items are drawn evenly.
    """

    def __init__(self, weights: Float64s) -> None:
        self._sums = np.concatenate([[0.0], np.cumsum(weights)])

    @classmethod
    def of_sums(cls, sums: Float64s) -> WeightedItems:
        """Return items by the sums of the weights before each, and of all, (n_items + 1,)."""
        items = cls(np.zeros(0))
        items._sums = sums
        return items

    def draw(self, v: Float64s) -> Int64s:
        """Return an item for each number in [0, 1), (n,) int64."""
        sums, n_items = self._sums, len(self._sums) - 1
        total = sums[-1] - sums[0]
        if not total > 0:
            return (v * n_items).astype(np.int64)
        # side="right": an item without weight has no width.
        drawn = np.searchsorted(sums, sums[0] + v * total, side="right") - 1
        items: Int64s = np.clip(drawn, 0, n_items - 1)
        return items


def inverse_class_weights(catalogue: SplitCatalogue, stems: npt.NDArray[np.integer]) -> Float64s:
    """Return the probability of each of some stems where classes are drawn evenly, (n_stems,)."""
    kinds = catalogue.stems.kind_numbers[stems]
    counts = np.bincount(kinds, minlength=1)
    weights: Float64s = 1 / (counts[kinds] * np.count_nonzero(counts))
    return weights


def song_activity(
    catalogue: SplitCatalogue, stems: Sequence[int], starts: Int32s, n_steps: int
) -> Float64s:
    """Return how much all stems of a song play in clips that begin at some steps, (n_clips,)."""
    total = np.zeros(len(starts))
    for k in stems:
        total += catalogue.activity(k, starts, n_steps)
    return total
