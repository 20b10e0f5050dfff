"""Bach10 as Sibelius plays it: ``01-AchGottundHerr/01-AchGottundHerr_original_violin.wav``.

Each of the ten pieces is there in four styles, which are songs of their own: ``original``, as the
score has it, ``fast`` and ``slow``, and ``gt``, as the recording of Bach10 was played. All are of
``train`` (Miron et al. 2017, section 4.1).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.layout import SourceLayout, is_file, some, visible

__all__ = ["LAYOUT"]

_STYLES: Final = ("fast", "gt", "original", "slow")
_PLAYERS: Final = ("bassoon", "clarinet", "saxophone", "violin")


class _Bach10Sibelius(SourceLayout):
    taxonomy = "bach10"
    is_undivided = True
    companions = ("*.txt", "*.mid")

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        found: list[SourceFile] = []
        for piece in visible(root):
            if not re.match(r"\d\d-", piece.name):
                continue
            for style in _STYLES:
                song = f"{piece.name}_{style}"
                paths = {player: piece / f"{song}_{player}.wav" for player in _PLAYERS}
                if any(is_file(path) for path in paths.values()):
                    found += [
                        SourceFile(song, player, "train", player, path.relative_to(root).as_posix())
                        for player, path in paths.items()
                    ]
        expected = "<NN-name>/<NN-name>_original_violin.wav"
        return some(found, root, "pieces of Bach10 Sibelius", expected)


LAYOUT: Final = _Bach10Sibelius()
