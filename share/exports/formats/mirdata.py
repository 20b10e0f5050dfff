"""mirdata: Slakh2100's layout, and the index by which mirdata's loader for it finds the files.

``stemsmith.share.mirdata_dataset(FOLDER)`` opens it, and so do mirdata's own classes, as
docs/export.md shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.places import place
from stemsmith.share.exports.base import ExportedSong
from stemsmith.share.exports.corpus_cards import write_cards
from stemsmith.share.exports.formats.slakh import SlakhFormat
from stemsmith.share.exports.mirdata_index import (
    INDEX,
    IndexedFile,
    IndexedSong,
    index_of,
    part_of,
)
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.sources import ExportSource
from stemsmith.share.exports.track_folders import TrackSong

__all__ = ["FORMAT", "MirdataFormat"]


class MirdataFormat(SlakhFormat):
    """Slakh2100's layout with an index."""

    summary = "mirdata: Slakh2100-redux's folders, and the index of mirdata's loader for them"

    def write(self, song: TrackSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the files of a song; return their MD5, which the checksums of mirdata are."""
        facts = super().write(song, config, folder)
        place = folder / self.top / self.folder_of(song)
        hashes = {file.place: storage.file_hash(place / file.place, "md5") for file in song.files}
        return {**facts, "md5": hashes}

    def finish(
        self,
        songs: Sequence[ExportedSong[TrackSong]],
        sources: Sequence[ExportSource],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the index, and what is known of the licences."""
        text = json.dumps(index_of(map(self._indexed, songs)), indent=2) + "\n"
        (folder / INDEX).write_text(text, "utf-8")
        labels: dict[Path, set[str]] = defaultdict(set)
        for done in songs:
            track = place(done.song.files[0].path).parent  # ROOT/SPLIT/TrackNNNNN
            labels[track.parents[1]].add(track.name)
        write_cards(folder, sources, labels, _HOW_TO_LOAD)

    def _indexed(self, done: ExportedSong[TrackSong]) -> IndexedSong:
        home = PurePosixPath(self.top, self.folder_of(done.song))
        files = [
            IndexedFile(part, str(home / place), md5)
            for place, md5 in done.facts["md5"].items()
            if (part := part_of(place)) is not None
        ]
        return IndexedSong(done.song.name, files)


_HOW_TO_LOAD: Final = f"""\
```python
from stemsmith.share import mirdata_dataset
dataset = mirdata_dataset("FOLDER")

from mirdata import core                # or without stemsmith
from mirdata.datasets import slakh
slakh.INDEXES["ours"] = core.Index("/path/to/FOLDER/{INDEX}")
dataset = slakh.Dataset(data_home="/path/to/FOLDER", version="ours")
```"""


FORMAT: Final = MirdataFormat()
