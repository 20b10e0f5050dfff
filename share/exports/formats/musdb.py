"""MUSDB18-HQ's layout: ``{train,test}/SONG/{mixture,drums,bass,other,vocals}.wav``, stereo.

The musdb package reads it with ``musdb.DB(root, is_wav=True)`` (sigsep-mus-db, musdb/__init__.py,
`DB.load_mus_tracks`: folders ``train`` and ``test``, in them a folder a song, in that a file a
source). It knows two subsets, and finds the songs of validation by their names, which stand in its
settings: here in ``mus.yaml``, for ``musdb.DB(root, is_wav=True, setup_file="mus.yaml",
subsets="train", split="valid")``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.share.exports.base import ExportedSong
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.sources import ExportSource
from stemsmith.share.exports.target_songs import TargetFormat, TargetSong

__all__ = ["FORMAT", "MusdbFormat"]

_SETTINGS: Final = "mus.yaml"


class MusdbFormat(TargetFormat):
    """Folders as MUSDB18-HQ has them."""

    summary = "MUSDB18-HQ: {train,test}/SONG/{mixture,drums,bass,other,vocals}.wav, stereo"

    def path_of(self, song: TargetSong, target: str, config: ExportConfig) -> str:
        """Return where the file of a target is."""
        subset = "test" if song.split == "test" else "train"
        return f"{subset}/{song.name}/{target}.wav"

    def finish(
        self,
        songs: Sequence[ExportedSong[TargetSong]],
        sources: Sequence[ExportSource],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the settings of the musdb package, with the songs of validation."""
        targets = dict.fromkeys(target for done in songs for target in done.song.targets)
        rate = next((done.facts["sample_rate"] for done in songs), 44100)
        members = {target: {target: 1} for target in targets}
        if "vocals" in targets and len(targets) > 1:
            members["accompaniment"] = {name: 1 for name in targets if name != "vocals"}
        settings = {
            "sample_rate": float(rate),
            "sources": {target: f"{target}.wav" for target in targets},
            "mixture": f"{MIXTURE}.wav",
            "stem_ids": {name: number for number, name in enumerate((MIXTURE, *targets))},
            "targets": {**members, "linear_mixture": dict.fromkeys(targets, 1)},
            "validation_tracks": [d.song.name for d in songs if d.song.split == "validation"],
        }
        # JSON is YAML.
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (folder / _SETTINGS).write_text(f"{text}\n", "utf-8")


FORMAT: Final = MusdbFormat()
