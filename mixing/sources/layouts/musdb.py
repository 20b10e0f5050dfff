"""MUSDB18-HQ, ``train/Artist - Title/vocals.wav``, and MUSDB18, ``train/Artist - Title.stem.mp4``.

The 14 training songs that musdb calls ``valid`` are split ``validation``. The data set's own
mixture is what is separated: mixtures are masters, and in ``.stem.mp4`` they and the stems were
encoded by themselves, so that the stems do not quite sum to them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.layout import SourceLayout, some, visible, wav_song

__all__ = ["LAYOUT", "MUSDB_VALIDATION"]

# https://github.com/sigsep/sigsep-mus-db, musdb/configs/mus.yaml
MUSDB_VALIDATION: Final = frozenset(
    (
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    )
)
# Audio streams of a .stem.mp4; number 0 is the mixture.
_STREAMS: Final = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
_MP4_ENDING: Final = ".stem.mp4"


class _Musdb(SourceLayout):
    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        found: list[SourceFile] = []
        for subset in ("train", "test"):
            for path in visible(root / subset):
                if path.is_file() and path.name.endswith(_MP4_ENDING):
                    song = path.name.removesuffix(_MP4_ENDING)
                    place = path.relative_to(root).as_posix()
                    split = _split_of(subset, song)
                    found += [
                        SourceFile(f"{subset}/{song}", stem, split, stem, place, stream)
                        for stem, stream in _STREAMS.items()
                    ]
                elif path.is_dir():
                    split = _split_of(subset, path.name)
                    found += wav_song(root, path, f"{subset}/{path.name}", split)
        expected = "train/<song>/vocals.wav or train/<song>.stem.mp4"
        return some(found, root, "MUSDB18 songs", expected)

    def mixture_of(self, file: SourceFile) -> SourceFile:
        if file.path.endswith(_MP4_ENDING):
            return replace(file, stem="mixture", stream=0)
        path = PurePosixPath(file.path).with_name("mixture.wav")
        return replace(file, stem="mixture", path=str(path))


def _split_of(subset: str, song: str) -> str:
    return "validation" if subset == "train" and song in MUSDB_VALIDATION else subset


LAYOUT: Final = _Musdb()
