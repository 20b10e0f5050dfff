"""SynthSOD: ``SynthSOD_data/<song>/Tree/Violin_1.flac``, of which ``Tree`` is a microphone.

Splits are those of ``SynthSOD_metadata_{train,evaluation,test}.json`` beside ``SynthSOD_data``,
where ``evaluation`` is ``validation``; a song that none of them names is not used. Where there is
no such file, all songs are of ``train``. Both violins are violins, and an untuned percussion is
``percussion``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from stemsmith.manifests.documents import Every, misfit, read_json
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.instruments import instrument_classes
from stemsmith.mixing.sources.layout import SourceLayout, is_file, is_folder, some, visible

__all__ = ["LAYOUT"]

_SPLITS: Final = {"train": "train", "evaluation": "validation", "test": "test"}
_SHAPE: Final = {"songs": Every(dict, {"song_name": str})}
_MICROPHONE: Final = "Tree"
_NUMBER: Final = re.compile(r"_\d+$")  # of first and second violins
_NAMES: Final = {"Bass": "double bass"}  # what else is called otherwise than an instrument


class _SynthSod(SourceLayout):
    taxonomy = "orchestra"
    companions = ("SynthSOD_metadata_*.json", "*.mid")

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        data = root / "SynthSOD_data" if is_folder(root / "SynthSOD_data") else root
        splits = _splits(root)
        songs = (song for song in visible(data) if is_folder(song / _MICROPHONE))
        found = [file for song in songs for file in _stems(root, song, splits)]
        expected = f"SynthSOD_data/<song>/{_MICROPHONE}/Violin_1.flac"
        return some(found, root, "songs of SynthSOD", expected)


def _splits(root: Path) -> dict[str, str]:
    """Return the split of every song that is named; nothing if no list is there."""
    splits: dict[str, str] = {}
    for name, split in _SPLITS.items():
        path = root / f"SynthSOD_metadata_{name}.json"
        if is_file(path):
            content = read_json(path, InvalidCorpus)
            if problem := misfit(content, _SHAPE):
                raise InvalidCorpus(f"{path}: not a list of songs of SynthSOD: {problem}")
            splits |= {song["song_name"]: split for song in content["songs"].values()}
    return splits


def _stems(root: Path, song: Path, splits: dict[str, str]) -> Iterator[SourceFile]:
    omission = "named by no SynthSOD_metadata_*.json" if splits and song.name not in splits else ""
    for path in visible(song / _MICROPHONE):
        if path.suffix != ".flac":
            continue
        name = _NAMES.get(path.stem, _NUMBER.sub("", path.stem))
        inst_class, *others = instrument_classes(name)
        yield SourceFile(
            song_id=song.name,
            stem=path.stem,
            split=splits.get(song.name, "train"),
            inst_class=inst_class,
            path=path.relative_to(root).as_posix(),
            other_classes=tuple(others),
            omission=omission,
        )


LAYOUT: Final = _SynthSod()
