"""``drums-bass-noise``: drums and bass of some mixtures have each other's labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from stemsmith.mixing.augmentations.label_noise import LabelNoise

if TYPE_CHECKING:
    from stemsmith.mixing.sources.stems import CatalogueStem

__all__ = ["AUGMENTATION", "DrumsBassNoise"]


class DrumsBassNoise(LabelNoise):
    """With probability 0.2 the drums of a mixture are recorded as its bass, and its bass as drums.

    A training set that must be worse than the same one without: if it is not, a study does not
    see what labels are worth.
    """

    name = "drums-bass-noise"
    summary = "with p = 0.2 drums and bass of a mixture have each other's labels"
    after = "ours"
    excludes = frozenset({"label-noise"})
    swapped = ("bass", "drums")

    def why_idle(self, stems: Sequence[CatalogueStem], targets: Collection[str]) -> str | None:
        """Ask for both targets."""
        lacking = [name for name in self.swapped if name not in targets]
        return f"no stem belongs to a target {lacking[0]}" if lacking else None


AUGMENTATION: Final = DrumsBassNoise()
