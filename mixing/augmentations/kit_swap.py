"""``kit-swap``: drum kits are assembled from pieces of different songs of one tempo."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from stemsmith.manifests.programs import DrumPiece
from stemsmith.mixing.augmentation import Augmentation
from stemsmith.mixing.sources.stems import CatalogueStem

__all__ = ["AUGMENTATION", "KitSwap"]


class KitSwap(Augmentation):
    """Every piece of the kit but *the* target comes from another song, bar on bar.

    Its tempo differs by at most 0.1 percent, and its bars are as long; a piece that no such song
    has stays.
    """

    name = "kit-swap"
    summary = "pieces of the drum kit from other songs of the same tempo, bar on bar (coherent)"
    excluded_modes = frozenset({"incoherent", "renditions", "across", "combinations"})
    excludes = frozenset({"remix"})

    def why_idle(self, stems: Sequence[CatalogueStem], targets: Collection[str]) -> str | None:
        """Ask for pieces of drum kits, in songs of one tempo."""
        pieces = [stem for stem in stems if {*stem.classes} & {*DrumPiece}]
        if not pieces:
            return (
                "no stem is a piece of a drum kit; mix corpora of render --drum-pieces with a "
                "taxonomy that names pieces, such as drum-pieces"
            )
        if not any(stem.tempo_bpm and stem.bar_quarters for stem in pieces):
            return "no song with drums is known to keep one tempo and meter"
        return None

    def in_time(self, groups: Mapping[str, Collection[str]], kept: str) -> Collection[str]:
        """Return the pieces of the kit but the kept target."""
        pieces = {name for name, classes in groups.items() if {*classes} & {*DrumPiece}}
        return pieces - {kept}


AUGMENTATION: Final = KitSwap()
