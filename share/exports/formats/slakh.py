"""Slakh2100's layout: ``slakh2100_flac_redux/SPLIT/TrackNNNNN/{mix,stems/SNN}.flac`` and scores.

The loaders of Slakh2100 read it, mirdata's among them: ``train``, ``validation`` and ``test`` as in
the version without duplicates (redux). Its fourth folder, ``omitted``, holds songs that these would
have in common; corpora of ours keep such songs in one split. A file is that of the corpus, sample
by sample, with the MD5 of the samples in its header, so that ``flac --test`` has something to
compare. Rate and channels are those of the corpus; Slakh's are 44.1 kHz, mono. Scores and metadata
are hard links where the file system has such.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.audio.flac import with_md5
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Reason
from stemsmith.share.exports.base import NotExportable, PlannedFile
from stemsmith.share.exports.track_folders import (
    TrackFile,
    TrackFolderFormat,
    TrackSong,
)

__all__ = ["FORMAT", "SlakhFormat"]


class SlakhFormat(TrackFolderFormat):
    """Folders as Slakh2100-redux has them."""

    summary = "Slakh2100-redux: slakh2100_flac_redux/SPLIT/TrackNNNNN, FLAC with MD5, and MIDI"
    top = "slakh2100_flac_redux"

    def folder_of(self, song: TrackSong) -> str:
        """Return the folder of a song."""
        return f"{song.split}/{song.name}"

    def planned(self, song: TrackSong, file: TrackFile) -> PlannedFile:
        """Return the file as it is: the MD5 takes no room."""
        return PlannedFile(file.place, file.n_bytes)

    def write_audio(self, song: TrackSong, folder: Path) -> Mapping[str, Any]:
        """Write mixture and stems with their MD5."""
        for file in song.files:
            if file.is_audio:
                try:
                    data = with_md5(file.read(), file.path)
                except InvalidCorpus as error:
                    raise NotExportable(Reason.DAMAGED, str(error)) from error
                with storage.naming(folder / file.place):
                    (folder / file.place).write_bytes(data)
        return {}


FORMAT: Final = SlakhFormat()
