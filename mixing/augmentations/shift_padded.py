"""``shift-padded``: a shift that is filled with zeros, as the code of Miron et al. has it."""

from __future__ import annotations

from typing import Final

from stemsmith.mixing.augmentations.shift import Shift

__all__ = ["AUGMENTATION", "ShiftPadded"]


class ShiftPadded(Shift):
    """The same shifts as `Shift`, without what would come in at the other end."""

    name = "shift-padded"
    summary = "the same, filled with zeros as in the authors' code"
    after = "DeepConvSep"
    excludes = frozenset({"shift"})
    is_shift_padded = True


AUGMENTATION: Final = ShiftPadded()
