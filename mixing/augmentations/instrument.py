"""``instrument``: one of the targets may be muted (Martel 3.2 a).

As in the authors' code (MTG/DeepConvSep, examples/hiphopss/augmentations/
compute_features_instr_aug.py at 6511208), whose five renditions of a song are the whole and those
without one of four: with four targets each comes with probability 1/5. Departures: mixtures for one
target (``--target``) keep it, and what alone sounds is kept as well, since silence teaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.mixing.augmentation import Augmentation, Decided, DrawRng, SourceEffect

__all__ = ["AUGMENTATION", "Instrument", "Mute"]


@dataclass(frozen=True)
class Mute(SourceEffect):
    """Silence, of the same length."""

    name = "mute"

    @property
    def is_muting(self) -> bool:
        """It is."""
        return True

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Return zeros."""
        return np.zeros_like(audio)


class Instrument(Augmentation):
    """None or one of the targets is muted, all alike likely."""

    name = "instrument"
    summary = "none or one of the targets is muted, all alike likely; with --target never it"
    after = "Martel 3.2"
    excluded_modes = frozenset({"across"})
    effects = (Mute,)
    place = 9

    def draw_muted(
        self, rng: DrawRng, groups: Sequence[str], kept: Callable[[], str | None]
    ) -> str | None:
        """Draw none or one of the targets, without the kept one; none where there is but one."""
        if len(set(groups)) < 2:
            return None
        candidates = [None, *sorted(set(groups) - {kept()})]
        return candidates[int(rng().integers(len(candidates)))]

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Mute the source, if it is of the target that was drawn."""
        return (Mute(),) if decided.is_muted else ()


AUGMENTATION: Final = Instrument()
