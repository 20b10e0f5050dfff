"""``shift``: targets are late by up to 0.2 s, in a circle (Miron 3.4, Martel 3.2 c)."""

from __future__ import annotations

from typing import Final

from stemsmith.mixing.augmentation import Augmentation, DrawRng

__all__ = ["AUGMENTATION", "Shift"]

_STEPS: Final = (0, 1, 2)  # 0, 0.1 and 0.2 s


class Shift(Augmentation):
    """A circular shift of every target; it is applied when a source is read."""

    name = "shift"
    summary = "each target 0, 0.1 or 0.2 s later, in a circle (coherent)"
    after = "Miron 3.4, Martel 3.2"
    # Incoherent clips come from any moment of a song as it is; renditions have shifts of their own.
    excluded_modes = frozenset({"incoherent", "renditions", "across", "combinations"})
    excludes = frozenset({"shift-padded"})

    @property
    def key(self) -> str:
        """Padded or not, the shifts are the same."""
        return "shift"

    def draw_shift_steps(self, rng: DrawRng) -> int:
        """Draw 0, 1 or 2 steps of 100 ms, all alike likely."""
        return int(rng().choice(_STEPS))


AUGMENTATION: Final = Shift()
