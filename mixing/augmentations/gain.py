"""``gain``: sources are louder or softer, as in the training of Open-Unmix."""

from __future__ import annotations

import math
from typing import Final

from stemsmith.mixing.augmentation import Augmentation, DrawRng

__all__ = ["AUGMENTATION", "Gain"]

_MIN_AMPLITUDE: Final = 0.25
_MAX_AMPLITUDE: Final = 1.25
_DECIMALS: Final = 4


class Gain(Augmentation):
    """An amplitude of 0.25 to 1.25, evenly; it is part of the gain in the recipe."""

    name = "gain"
    summary = "amplitude times 0.25 to 1.25"
    after = "Open-Unmix"

    def draw_gain_db(self, rng: DrawRng) -> float:
        """Draw the gain of a source in dB."""
        amplitude = rng().uniform(_MIN_AMPLITUDE, _MAX_AMPLITUDE)
        return round(20 * math.log10(amplitude), _DECIMALS)


AUGMENTATION: Final = Gain()
