"""``polarity``: half of the sources are upside down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stemsmith.manifests.arrays import Float32s
from stemsmith.mixing.augmentation import Augmentation, Decided, DrawRng, SourceEffect

__all__ = ["AUGMENTATION", "Invert", "Polarity"]


@dataclass(frozen=True)
class Invert(SourceEffect):
    """The negative of every sample."""

    name = "invert"

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Turn the audio upside down."""
        return -audio


class Polarity(Augmentation):
    """A coin for every source."""

    name = "polarity"
    summary = "every second source upside down"
    effects = (Invert,)
    place = 8

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Throw the coin."""
        return (Invert(),) if rng().random() < 0.5 else ()


AUGMENTATION: Final = Polarity()
