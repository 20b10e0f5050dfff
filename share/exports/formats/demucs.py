"""Demucs' folders: ``{train,valid,test}/SONG/{mixture,TARGET...}.wav``, and what it knows of them.

``get_wav_datasets`` of facebookresearch/demucs (demucs/wav.py at e976d93, lines 187 to 213) reads
``train`` and ``valid`` below the folder that ``dset.wav`` names. Before the first epoch it decodes
all mixtures for their mean and standard deviation (lines 30 to 104), and keeps the result as
``wav_<SHA-1 of dset.wav, 8 digits>.json`` in the folder ``dset.metadata``. That file is written
here too, in ``metadata``, for the absolute path of the export, so that training begins at once.
Every song needs every source: a missing one is silent. Rates and channels are converted by Demucs
as it reads. ``test`` is as MUSDB18-HQ has it: ``dset.musdb`` may name the same folder, whose songs
are then scored at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.arrays import Int16s
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.records import Reason
from stemsmith.share.exports.base import ExportedSong, NotExportable
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.target_songs import SUBSETS, TargetFormat, TargetSong

__all__ = ["FORMAT", "DemucsFormat"]

_FOLDER: Final = "metadata"


class DemucsFormat(TargetFormat):
    """Folders of songs as Demucs trains on, with its metadata."""

    summary = "Demucs: {train,valid,test}/SONG/{mixture,TARGET...}.wav, stereo, and its metadata"
    accepts = TargetFormat.accepts - {"missing"}

    def path_of(self, song: TargetSong, target: str, config: ExportConfig) -> str:
        """Return where the file of a target is."""
        return f"{SUBSETS[song.split]}/{song.name}/{target}.wav"

    def facts_of(self, song: TargetSong, mixture: Int16s) -> Mapping[str, Any]:
        """Return mean and standard deviation of the mono mixture, by which Demucs divides."""
        mono = mixture.mean(axis=0) / FULL_SCALE_16
        if not mono.any():
            detail = f"{song.name}: the mixture is silent, and Demucs divides by its level"
            raise NotExportable(Reason.SILENT, detail)
        return {"mean": float(mono.mean()), "std": float(mono.std(ddof=1))}

    def finish_at(
        self,
        root: Path,
        songs: Sequence[ExportedSong[TargetSong]],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write the metadata of training and validation, under the name that Demucs looks for."""
        metadata: list[dict[str, dict[str, float]]] = []
        for split in ("train", "validation"):
            metadata.append(
                {
                    done.song.name: {
                        "length": done.facts["n_samples"],
                        "mean": done.facts["mean"],
                        "std": done.facts["std"],
                        "samplerate": done.facts["sample_rate"],
                    }
                    for done in songs
                    if done.song.split == split
                }
            )
        signature = hashlib.sha1(str(root).encode(), usedforsecurity=False).hexdigest()[:8]
        place = folder / _FOLDER / f"wav_{signature}.json"
        place.parent.mkdir()
        place.write_text(f"{json.dumps(metadata)}\n", "utf-8")


FORMAT: Final = DemucsFormat()
