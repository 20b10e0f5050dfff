"""The clips of one target that incoherent mixtures draw from.

There may be thousands in a stem: only stems are known at all times, and where the clips of one
begin is found out again when one of them is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s, Int32s, Int64s
from stemsmith.mixing.plan.config import MixConfig, Weights
from stemsmith.mixing.plan.kept import KeptArrays
from stemsmith.mixing.plan.recipes import SILENCE_RMS_DBFS
from stemsmith.mixing.plan.weights import WeightedItems, inverse_class_weights
from stemsmith.mixing.sources.catalogue import SplitCatalogue

__all__ = ["ClipTable"]

_AT_ONCE: Final = 4096  # stems


class ClipTable:
    """The clips of a target: present if it is *the* target, not silent otherwise.

    With a pairing they are all chunks, but for a target whose level is asked for.

    Parameters
    ----------
    catalogue : SplitCatalogue
        The stems of the split.
    group : str
        The target whose clips they are.
    config : MixConfig
        Options of the set of mixtures.
    n_steps : int
        Length of the clips in 100 ms.
    kept : KeptArrays, optional
        Where what was found out of stems is kept, for several tables of one catalogue.

    Attributes
    ----------
    stems : numpy.ndarray
        (n_stems,) int32 numbers of the stems that have clips.
    """

    def __init__(
        self,
        catalogue: SplitCatalogue,
        group: str,
        config: MixConfig,
        n_steps: int,
        kept: KeptArrays | None = None,
    ) -> None:
        self._catalogue, self._group, self._n_steps = catalogue, group, n_steps
        self._kept = KeptArrays() if kept is None else kept
        is_target = group == config.target
        self._least_dbfs = config.least_rms_dbfs if is_target else SILENCE_RMS_DBFS
        self._hop_steps = None if config.pairing is None else config.clip_steps
        self._is_unconditional = config.pairing is not None and not (
            is_target and config.min_rms_dbfs is not None
        )
        members = catalogue.members[group]
        counts = self._counts(members)
        has_clips = counts > 0
        self.stems: Int32s = members if has_clips.all() else members[has_clips]
        self._stem_weights: WeightedItems | None = None
        self._weight_before: Float64s | None = None  # of all clips of earlier stems
        if config.pairing is not None:
            self._stem_weights = WeightedItems(counts[has_clips].astype(np.float64))
        elif config.weights is Weights.INVERSE_CLASS:
            self._stem_weights = WeightedItems(inverse_class_weights(catalogue, self.stems))
        elif config.weights is Weights.ACTIVITY:
            activity = (self._activity(k, starts).sum() for k, starts in self._all_starts())
            sums = np.cumsum(np.fromiter(activity, np.float64, len(self.stems)))
            self._weight_before = np.concatenate([[0.0], sums])

    def __len__(self) -> int:
        return len(self.stems)

    def _counts(self, stems: Int32s) -> Int32s:
        """Return how many clips each of some stems has."""
        catalogue, n_steps = self._catalogue, self._n_steps
        if self._hop_steps is None:
            return catalogue.n_present(stems, n_steps, self._least_dbfs)
        if not self._is_unconditional:
            return np.array([len(starts) for starts in self._starts(stems)], np.int32)
        n_hops = (catalogue.stems.n_steps[stems] - n_steps) // self._hop_steps
        return np.maximum(n_hops + 1, 0)

    def _starts(self, stems: npt.NDArray[Any]) -> list[Int32s]:
        """Return where the clips of some stems begin, in 100 ms."""
        catalogue, n_steps, hop_steps = self._catalogue, self._n_steps, self._hop_steps
        if hop_steps is None:
            return list(catalogue.starts_of(stems, n_steps, self._least_dbfs))
        chunks = [
            np.arange(0, n - n_steps + 1, hop_steps, dtype=np.int32)
            for n in catalogue.stems.n_steps[stems].tolist()
        ]
        if self._is_unconditional:
            return chunks
        found = catalogue.starts_of(stems, n_steps, self._least_dbfs)
        return [np.intersect1d(*both) for both in zip(chunks, found, strict=True)]

    def _known_starts(self, stems: Int64s) -> Sequence[Int32s]:
        """Return the same, of stems that may be the same as before."""
        key = self._group, self._n_steps
        found = {k: self._kept.get((*key, k)) for k in stems.tolist()}
        missing = [k for k, starts in found.items() if starts is None]
        for k, made in zip(missing, self._starts(np.array(missing, np.int64)), strict=True):
            found[k] = self._kept.keep((*key, k), made)
        return [starts for k in stems.tolist() if (starts := found[k]) is not None]

    def _all_starts(self) -> Iterator[tuple[int, Int32s]]:
        """Yield every stem, and where its clips begin."""
        for begin in range(0, len(self.stems), _AT_ONCE):
            some = self.stems[begin : begin + _AT_ONCE]
            yield from zip(some.tolist(), self._starts(some), strict=True)

    def _activity(self, k: int, starts: Int32s) -> Float64s:
        return self._catalogue.activity(k, starts, self._n_steps)

    def all_clips(self) -> Int64s:
        """Return (n_clips, 2) stem and step of all clips, stem after stem."""
        clips = [np.stack([np.full(len(s), k), s], axis=1) for k, s in self._all_starts()]
        return np.concatenate([np.zeros((0, 2), np.int64), *clips]).astype(np.int64)

    def draw(self, u: Float64s, v: Float64s) -> tuple[Int64s, Int64s]:
        """Return stems and steps of clips for numbers in [0, 1): first a stem, then its clip."""
        if self._stem_weights is None:
            which = (u * len(self.stems)).astype(np.int64)
        else:
            which = self._stem_weights.draw(u)
        stems = self.stems[which].astype(np.int64)
        starts = self._known_starts(stems)
        if self._weight_before is None:
            lengths = np.array([len(some) for some in starts], np.int64)
            clips = (v * lengths).astype(np.int64)
        else:
            drawn = zip(which.tolist(), stems.tolist(), starts, v.tolist(), strict=True)
            clips = np.array([self._drawn(*one) for one in drawn], np.int64)
        steps = [some[clip] for some, clip in zip(starts, clips.tolist(), strict=True)]
        return stems, np.array(steps, np.int64)

    def _drawn(self, which: int, k: int, starts: Int32s, v: float) -> int:
        """Draw one of a stem's clips in proportion to what is played in it.

        The sums are those over the clips of all stems, whose rounding decides with which number the
        next clip is drawn.
        """
        assert self._weight_before is not None
        before = float(self._weight_before[which])
        sums = before + np.concatenate([[0.0], np.cumsum(self._activity(k, starts))])
        return int(WeightedItems.of_sums(sums).draw(np.array([v]))[0])
