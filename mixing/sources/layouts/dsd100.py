"""DSD100 and HHDS: ``Sources/Dev/055 - Artist - Title/vocals.wav``; Dev is ``train``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.layout import SourceLayout, some, visible, wav_song

__all__ = ["LAYOUT"]

_SPLITS: Final = {"Dev": "train", "Test": "test"}


class _Dsd100(SourceLayout):
    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        found: list[SourceFile] = []
        for subset, split in _SPLITS.items():
            for song in visible(root / "Sources" / subset):
                if song.is_dir():
                    found += wav_song(root, song, f"{subset}/{song.name}", split)
        return some(found, root, "DSD100 songs", "Sources/Dev/<song>/vocals.wav")


LAYOUT: Final = _Dsd100()
