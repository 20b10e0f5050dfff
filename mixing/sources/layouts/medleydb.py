"""MedleyDB 1 and 2: ``Audio/Artist_Title/Artist_Title_STEMS/Artist_Title_STEM_01.wav``.

The folders of songs may lie in the folder itself or one below it (``Audio``, ``V1``, ``V2``). What
plays is said by ``Artist_Title_METADATA.yaml``, which lies beside the stems or in a folder
``Metadata``: version 2 comes without, and has them in https://github.com/marl/medleydb, folder
``medleydb/data/Metadata``. Stems are used, after effects and panning, and not the raw recordings;
the mixture is their sum, since the data set's own is another mix of them. A stem of several
instruments has the classes of none but the first. There are no splits: all songs are of ``train``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.documents import Every, Optional, misfit, read_yaml
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.mixing.sources.instruments import instrument_classes
from stemsmith.mixing.sources.layout import SourceLayout, is_file, is_folder, some, visible

__all__ = ["LAYOUT"]

_METADATA: Final = "Metadata"
_SHAPE: Final = {"stems": Every(dict, {"instrument": object, "component": Optional(object)})}
_EXPECTED: Final = "Audio/<song>/<song>_STEMS/<song>_STEM_01.wav"
# What the authors call the bass of a song is no orchestral instrument.
_BASSES: Final = {"double bass": "acoustic-bass", "synthesizer": "synth-bass"}


class _MedleyDb(SourceLayout):
    is_undivided = True
    companions = ("*_RAW/*", "*_MIX.wav", "*_METADATA.yaml", "Annotations/*")

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        found = [file for song in _songs(root) for file in _stems(root, song)]
        return some(found, root, "MedleyDB songs", _EXPECTED)


def _songs(root: Path) -> Iterator[Path]:
    for folder in (root, *visible(root)):
        for song in visible(folder):
            if is_folder(song / f"{song.name}_STEMS"):
                yield song


def _stems(root: Path, song: Path) -> Iterator[SourceFile]:
    for name, stem in _metadata(root, song).items():
        number = name.removeprefix("S")
        path = song / f"{song.name}_STEMS" / f"{song.name}_STEM_{number}.wav"
        inst_class, *others = _classes(stem)
        place = path.relative_to(root).as_posix()
        yield SourceFile(song.name, name, "train", inst_class, place, other_classes=tuple(others))


def _metadata(root: Path, song: Path) -> Mapping[str, Mapping[str, Any]]:
    name = f"{song.name}_METADATA.yaml"
    places = (song / name, root / _METADATA / name)
    path = next((place for place in places if is_file(place)), None)
    if path is None:
        raise InvalidCorpus(
            f"{song}: no {name}, here or in {root / _METADATA}: expected the files of "
            "medleydb/data/Metadata of github.com/marl/medleydb there"
        )
    content = read_yaml(path, InvalidCorpus)
    if problem := misfit(content, _SHAPE):
        raise InvalidCorpus(f"{path}: not the metadata of a song of MedleyDB: {problem}")
    stems: Mapping[str, Mapping[str, Any]] = content["stems"]
    if odd := [name for name in stems if not re.fullmatch(r"S\d+", str(name))]:
        raise InvalidCorpus(f"{path}: {odd[0]!r} is no name of a stem, like S01")
    return stems


def _classes(stem: Mapping[str, Any]) -> tuple[str, ...]:
    said = stem["instrument"]
    name = str(said[0] if isinstance(said, list) and said else said)
    own = instrument_classes(name)
    if stem.get("component") == "bass" and name in _BASSES:
        return ("bass", _BASSES[name], own[-1])
    return own


LAYOUT: Final = _MedleyDb()
