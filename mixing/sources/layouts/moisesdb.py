"""MoisesDB: ``moisesdb_v0.1/<song>/{data.json,bass/<track>.wav,...}``.

``data.json`` lists the tracks of every stem, each of which is read as a stem of its own; what it is
called there (``bass``, ``other_keys``) and what the track is (``grand piano``) are its classes.
There are no splits, and no mixtures: all songs are of ``train``, and mixtures are sums.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from stemsmith.manifests.documents import Every, misfit, read_json
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.names import slug
from stemsmith.mixing.sources.instruments import instrument_classes
from stemsmith.mixing.sources.layout import SourceLayout, is_file, some, visible

__all__ = ["LAYOUT"]

_LIST: Final = "data.json"
_TRACK: Final = {"id": str, "trackType": str, "extension": str}
_SHAPE: Final = {"stems": Every(list, {"stemName": str, "tracks": Every(list, _TRACK)})}


class _MoisesDb(SourceLayout):
    is_undivided = True
    companions = ("*data.json",)

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        folders = (root, *visible(root))
        songs = (song for folder in folders for song in visible(folder) if is_file(song / _LIST))
        found = [file for song in songs for file in _tracks(root, song)]
        return some(found, root, "songs of MoisesDB", f"moisesdb_v0.1/<song>/{_LIST}")


def _tracks(root: Path, song: Path) -> Iterator[SourceFile]:
    path = song / _LIST
    content = read_json(path, InvalidCorpus)
    if problem := misfit(content, _SHAPE):
        raise InvalidCorpus(f"{path}: not the list of a song of MoisesDB: {problem}")
    for stem in content["stems"]:
        for track in stem["tracks"]:
            name, file = stem["stemName"], f"{track['id']}.{track['extension']}"
            if any(Path(part).name != part for part in (name, file)):
                raise InvalidCorpus(f"{path}: {name}/{file} is no file below its folder")
            inst_class = slug(name)
            kind = track["trackType"].partition("(")[0]  # "violin (solo)"
            others = [one for one in instrument_classes(kind) if one not in (inst_class, "")]
            yield SourceFile(
                song_id=song.relative_to(root).as_posix(),
                stem=f"{name}-{track['id']}",
                split="train",
                inst_class=inst_class,
                path=(song / name / file).relative_to(root).as_posix(),
                other_classes=tuple(others),
            )


LAYOUT: Final = _MoisesDb()
