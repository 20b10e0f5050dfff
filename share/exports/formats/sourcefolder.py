"""Open-Unmix's folders of sources: ``{train,valid,test}/TARGET/SONG.wav``, stereo.

``SourceFolderDataset`` of sigsep/open-unmix-pytorch (openunmix/data.py at fb672c9, lines 403 to
500) draws a file of each folder below ``train`` and ``valid`` for every example, at a random place,
and adds them up: songs need not have the same sources, and there are no mixtures. It takes whatever
rate a file has for 44.1 kHz, and files that are no longer than an excerpt are passed over.
"""

from __future__ import annotations

from typing import Final

from stemsmith.manifests import storage
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.share.exports.options import ExportConfig, Missing
from stemsmith.share.exports.target_songs import SUBSETS, TargetFormat, TargetSong

__all__ = ["FORMAT", "SourceFolderFormat"]


class SourceFolderFormat(TargetFormat):
    """A folder for each target, and in it a file for each song that has the target."""

    summary = "Open-Unmix's source folders: {train,valid,test}/TARGET/SONG.wav, stereo"
    missing = Missing.SKIP
    has_one_rate = True

    def path_of(self, song: TargetSong, target: str, config: ExportConfig) -> str | None:
        """Return where the file of a target is; there is none of the mixture."""
        if target == MIXTURE:
            return None
        name = storage.short_name(song.name, len(".wav"))
        return f"{SUBSETS[song.split]}/{target}/{name}.wav"


FORMAT: Final = SourceFolderFormat()
