"""``remix``: targets from different songs, at their own levels (Martel 3.2 b, Brunner IV-C)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from stemsmith.mixing.augmentation import Augmentation

__all__ = ["AUGMENTATION", "Remix"]


class Remix(Augmentation):
    """Every target but one comes from another song."""

    name = "remix"
    summary = "all targets but one from other songs, at their own levels (coherent)"
    after = "Martel 3.2, Brunner IV-C"
    excludes = frozenset({"kit-swap"})
    excluded_modes = frozenset({"incoherent", "renditions", "across", "combinations"})

    def from_elsewhere(self, groups: Sequence[str], kept: str) -> Collection[str]:
        """Return all targets but the kept one."""
        return set(groups) - {kept}


AUGMENTATION: Final = Remix()
