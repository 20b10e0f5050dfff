"""The folders of Music-Source-Separation-Training (MSST), one variant a type of its data sets.

``MSSTDataset`` of ZFTurbo/Music-Source-Separation-Training (utils/dataset.py at ccc011a,
``get_metadata``) reads below ``--data_path``:

- types 1 (any excerpts together), 4 (excerpts of one place) and 5 (the same, cut beforehand):
  ``SONG/TARGET.wav``; type 1 draws a file of each target from any song, so that all are needed;
- type 6: the same with ``SONG/mixture.wav``, which is the input of the network;
- type 7: the same, of which a target that a song lacks has no file: rare targets are drawn as often
  as others;
- type 2: ``TARGET/SONG.wav``;
- type 3: a CSV file of the columns ``instrum`` and ``path``, here ``train.csv``, with the places of
  the files at the time of the export.

Names that begin with a dot are passed over. Rates are not converted in training. Its validation
(valid.py, lines 86 to 112 and 257 to 269) takes every ``mixture.wav`` below ``--valid_path`` and
those targets beside it that are there, whatever the type: ``valid`` and ``test`` here. A target
that a song lacks has no file there, for a silent reference has no SDR.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stemsmith.manifests import storage
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.share.exports.base import ExportedSong
from stemsmith.share.exports.options import ExportConfig, Missing
from stemsmith.share.exports.sources import ExportSource
from stemsmith.share.exports.target_songs import SUBSETS, TargetFormat, TargetSong

__all__ = ["FORMAT", "MsstFormat"]

_LIST: Final = "train.csv"
# What each type can do with a target that a song lacks; first what its users expect.
_MISSING: Final = {
    "1": (Missing.SILENCE,),
    "2": (Missing.SKIP, Missing.SILENCE),
    "3": (Missing.SKIP, Missing.SILENCE),
    "4": (Missing.SILENCE, Missing.SKIP),
    "6": (Missing.SILENCE, Missing.SKIP),
    "7": (Missing.SKIP,),
}
_OF_TARGETS: Final = ("2", "3")  # types whose songs are taken apart
_OF_MIXTURES: Final = ("6", "7")  # types that read mixtures in training


class MsstFormat(TargetFormat):
    """Folders for one type of MSST's data sets, and for its validation."""

    summary = "Music-Source-Separation-Training, dataset types 1, 2, 3, 4, 6, 7: train, valid, test"
    variants = tuple(_MISSING)
    has_one_rate = True

    def check(self, name: str, sources: Sequence[ExportSource], config: ExportConfig) -> None:
        """Check the options as for all formats, and that the type can do without a target."""
        super().check(name, sources, config)
        kind = self.variant(config)
        if config.missing is not None and config.missing not in _MISSING[kind]:
            (only,) = _MISSING[kind]
            raise UsageError(
                f"--missing {config.missing}: dataset type {kind} of MSST needs --missing {only}"
            )

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> list[TargetSong]:
        """Find the songs; see `ExportFormat.songs`.

        A target that no song of training has is not written there: silence of which loud excerpts
        are wanted would be drawn from forever.
        """
        songs = super().songs(sources, config)
        known = {name for song in songs if song.split == "train" for name in song.own_targets}
        return [
            dataclasses.replace(song, targets=tuple(t for t in song.targets if t in known))
            if song.split == "train"
            else song
            for song in songs
        ]

    def missing_in(self, song: TargetSong, config: ExportConfig) -> Missing:
        """Return what becomes of a target that the song lacks."""
        if config.missing is not None:
            return config.missing
        return _MISSING[self.variant(config)][0] if song.split == "train" else Missing.SKIP

    def path_of(self, song: TargetSong, target: str, config: ExportConfig) -> str | None:
        """Return where the file of a target is; none for mixtures that training does not read."""
        kind, subset = self.variant(config), SUBSETS[song.split]
        if song.split == "train" and kind in _OF_TARGETS:
            name = storage.short_name(song.name, len(".wav"))
            return None if target == MIXTURE else f"{subset}/{target}/{name}.wav"
        if song.split == "train" and target == MIXTURE and kind not in _OF_MIXTURES:
            return None
        return f"{subset}/{song.name}/{target}.wav"

    def finish_at(
        self,
        root: Path,
        songs: Sequence[ExportedSong[TargetSong]],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the list of type 3, whose paths MSST opens as they are."""
        if self.variant(config) != "3":
            return
        with (folder / _LIST).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("instrum", "path"))
            for done in songs:
                if done.song.split == "train":
                    places = sorted(done.files)
                    rows.writerows((Path(place).parts[1], str(root / place)) for place in places)


FORMAT: Final = MsstFormat()
