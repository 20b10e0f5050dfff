"""``bleed``: every source is heard, softly, in the recordings of the other targets (SDX'23)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stemsmith.mixing.augmentation import Augmentation, DrawRng, SourceEffect, number

__all__ = ["AUGMENTATION", "Bleed", "Leak"]

_SOFTEST_DB: Final = -30.0
_LOUDEST_DB: Final = -10.0
_DECIMALS: Final = 2


@dataclass(frozen=True)
class Leak(SourceEffect):
    """Says how loud the source is in recordings of others, and does nothing to its own audio."""

    name = "bleed"
    level_db: float = number(-200, 0)

    @property
    def leak_db(self) -> float:
        """The level."""
        return self.level_db


class Bleed(Augmentation):
    """A level for every source, evenly in dB. The mixture is that of the true sources.

    Departure from the data set of the Sound Demixing Challenge 2023 (Fabbro et al. 2024), which
    gives no true sources beside its recordings: here they are kept.
    """

    name = "bleed"
    summary = "each source leaks into the recordings of the other targets at -30 to -10 dB"
    after = "SDX'23"
    excluded_modes = frozenset({"across"})  # which joins mixtures that were drawn by themselves
    effects = (Leak,)
    is_fault = True
    keeps_sum = False

    def draw_faults(
        self, rng: DrawRng, rng_of_mixture: DrawRng, group: str, groups: Sequence[str]
    ) -> Sequence[SourceEffect]:
        """Draw the level of a source in others' recordings."""
        if len(groups) < 2:
            return ()
        return (Leak(round(float(rng().uniform(_SOFTEST_DB, _LOUDEST_DB)), _DECIMALS)),)


AUGMENTATION: Final = Bleed()
