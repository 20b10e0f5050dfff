"""URMP: ``[Dataset/]01_Jupiter_vn_vc/AuSep_1_vn_01_Jupiter.wav``.

The mixture is the sum of the players; the data set's own (``AuMix``) is not used. There are no
splits: all pieces are of ``train``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.instruments import instrument_classes
from stemsmith.mixing.sources.layout import SourceLayout, is_folder, some, visible

__all__ = ["LAYOUT"]

_INSTRUMENTS: Final = {
    "vn": "violin", "va": "viola", "vc": "cello", "db": "double bass", "fl": "flute",
    "ob": "oboe", "cl": "clarinet", "sax": "saxophone", "bn": "bassoon", "tpt": "trumpet",
    "hn": "horn", "tbn": "trombone", "tba": "tuba",
}  # fmt: skip
_PLAYER: Final = re.compile(r"AuSep_(?P<number>\d+)_(?P<code>[a-z]+)_.+\.wav")


class _Urmp(SourceLayout):
    taxonomy = "orchestra"
    is_undivided = True
    companions = ("*/AuMix_*", "*.mid", "*.mp4", "*.pdf", "*.txt")

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        base = root / "Dataset" if is_folder(root / "Dataset") else root
        found: list[SourceFile] = []
        for piece in visible(base):
            for path in visible(piece):
                player = _PLAYER.fullmatch(path.name)
                if player is None or player["code"] not in _INSTRUMENTS:
                    continue
                inst_class, *others = instrument_classes(_INSTRUMENTS[player["code"]])
                found.append(
                    SourceFile(
                        song_id=piece.name,
                        stem=f"{player['number']}-{others[-1] if others else inst_class}",
                        split="train",
                        inst_class=inst_class,
                        path=path.relative_to(root).as_posix(),
                        other_classes=tuple(others),
                    )
                )
        return some(found, root, "pieces of URMP", "<piece>/AuSep_1_vn_<piece>.wav")


LAYOUT: Final = _Urmp()
