"""Bach10: ``01-AchGottundHerr/01-AchGottundHerr-violin.wav``, also below ``Sources``.

It has no splits: pieces are for training unless they are left out (``mix --leave-out``), and all of
them are for scoring, where they are scored.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.layout import SourceLayout, first_file, some, visible

__all__ = ["LAYOUT"]

# The first spelling of each is the data set's own.
_SPELLINGS: Final = {
    "bassoon": ("bassoon",),
    "clarinet": ("clarinet",),
    "saxophone": ("saxphone", "saxophone"),
    "violin": ("violin",),
}


class _Bach10(SourceLayout):
    taxonomy = "bach10"
    is_undivided = True

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        base = root / "Sources" if (root / "Sources").is_dir() else root
        found: list[SourceFile] = []
        for song in visible(base):
            if not song.is_dir() or not re.match(r"\d\d-", song.name):
                continue
            for inst_class, spellings in _SPELLINGS.items():
                path = first_file(song / f"{song.name}-{spelling}.wav" for spelling in spellings)
                place = path.relative_to(root).as_posix()
                found.append(SourceFile(song.name, inst_class, "train", inst_class, place))
        return some(found, root, "Bach10 pieces", "<NN-name>/<NN-name>-violin.wav")


LAYOUT: Final = _Bach10()
