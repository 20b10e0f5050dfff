"""``drums-bass-noise``: drums and bass of some mixtures have each other's labels."""

from __future__ import annotations

from typing import Final

from stemsmith.mixing.augmentations.label_noise import LabelNoise

__all__ = ["AUGMENTATION", "DrumsBassNoise"]


class DrumsBassNoise(LabelNoise):
    """With probability 0.2 the drums of a mixture are recorded as its bass, and its bass as drums.

    A training set that must be worse than the same one without: if it is not, a study does not
    see what labels are worth.
    """

    name = "drums-bass-noise"
    summary = "with p = 0.2 drums and bass of a mixture have each other's labels"
    effects = ()  # what it writes is that of the class it is of
    swapped = ("bass", "drums")


AUGMENTATION: Final = DrumsBassNoise()
