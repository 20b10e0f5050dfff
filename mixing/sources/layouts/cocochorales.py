"""CocoChorales: ``[main_dataset/]train/string_track000001/stems_audio/0_violin.wav``.

Splits are those of the folders (``train``, ``valid``, ``test``), or else those of the numbers of
the tracks, which the authors give: up to 192000, up to 216000, above. What plays is in the names of
the files, so that no metadata is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.splits import split_of_folder
from stemsmith.mixing.sources.instruments import instrument_classes
from stemsmith.mixing.sources.layout import SourceLayout, is_folder, some, visible

__all__ = ["LAYOUT"]

_TRACK: Final = re.compile(r"(string|brass|woodwind|random)_track(?P<number>\d{6})")
_STEM: Final = re.compile(r"\d_(?P<instrument>.+)\.wav")
_LAST_OF_TRAIN, _LAST_OF_VALIDATION = 192_000, 216_000


class _CocoChorales(SourceLayout):
    taxonomy = "orchestra"
    companions = ("*.yaml", "*.mid")

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        base = root / "main_dataset" if is_folder(root / "main_dataset") else root
        found: list[SourceFile] = []
        for folder in (base, *visible(base)):
            split = split_of_folder(folder.name)
            for track in visible(folder):
                if name := _TRACK.fullmatch(track.name):
                    found += _stems(root, track, split or _split_of(int(name["number"])))
        expected = "train/string_track000001/stems_audio/0_violin.wav"
        return some(found, root, "tracks of CocoChorales", expected)

    def mixture_of(self, file: SourceFile) -> SourceFile:
        track = PurePosixPath(file.path).parents[1]
        return replace(file, stem="mixture", path=str(track / "mix.wav"))


def _stems(root: Path, track: Path, split: str) -> Iterator[SourceFile]:
    for path in visible(track / "stems_audio"):
        if stem := _STEM.fullmatch(path.name):
            inst_class, *others = instrument_classes(stem["instrument"])
            place, song_id = (p.relative_to(root).as_posix() for p in (path, track))
            yield SourceFile(
                song_id, path.stem, split, inst_class, place, other_classes=tuple(others)
            )


def _split_of(number: int) -> str:
    if number <= _LAST_OF_TRAIN:
        return "train"
    return "validation" if number <= _LAST_OF_VALIDATION else "test"


LAYOUT: Final = _CocoChorales()
