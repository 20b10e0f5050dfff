"""Checkpoint: a run as one file, which `stemsmith separate` and ``evaluate run:FILE`` take.

It has ``run.json`` (the model, its settings, how it was trained), the epochs, the weights
without the state of the optimiser, what is known of the data with the certificates of its corpora,
and what is known of the licences. Nothing in it names a folder of the machine it was made on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.errors import require
from stemsmith.manifests.splits import SPLITS
from stemsmith.share.exports.base import ExportFormat, PlannedFile
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.provenance import licences_text, provenance_of
from stemsmith.share.exports.sources import ExportSource, SourceKind
from stemsmith.train.history import METRICS, history_text
from stemsmith.train.run import RUN, TrainedRun
from stemsmith.train.run_file import LICENCES, PROVENANCE, pack_members

__all__ = ["FORMAT", "CheckpointFormat", "ExportedRun"]

_BYTES_PER_WEIGHT: Final = 4


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """The run, in the place of a song.

    Attributes
    ----------
    name : str
        Name of its folder, or of its file.
    root : str
        Absolute path of its folder, or of its file.
    split : str
        ``train``: what all of it comes of.
    """

    name: str
    root: str
    split: str = SPLITS[0]


class CheckpointFormat(ExportFormat[ExportedRun]):
    """One file of a run."""

    summary = "a run as one file: weights, settings, licences, provenance (of a run)"
    takes = frozenset({SourceKind.RUN})
    accepts = frozenset({"licence"})
    is_one_file = True

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> Sequence[ExportedRun]:
        """Return the run."""
        return [ExportedRun(source.root.name, str(source.root)) for source in sources]

    def files(self, song: ExportedRun, config: ExportConfig) -> Sequence[PlannedFile]:
        """Return the file, whose size is about that of the weights."""
        n_bytes = _BYTES_PER_WEIGHT * TrainedRun(song.root).n_parameters
        return [PlannedFile(f"{song.name}.ckpt", n_bytes)]

    def write(self, song: ExportedRun, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the file."""
        require("train", "torch", task="exporting a run")
        from stemsmith.train.weights import encode_weights

        run = TrainedRun(song.root)
        provenance = provenance_of(run)
        members = {
            RUN: _json(_without_paths(run.content)),
            METRICS: history_text(run.history),
            LICENCES: licences_text(provenance, config.licence).encode(),
            PROVENANCE: _json({**provenance, "licence": config.licence}),
            f"{run.checkpoint_name}.ckpt": encode_weights(run.model().state_dict()),
        }
        (folder / f"{song.name}.ckpt").write_bytes(pack_members(members))
        return {}


def _without_paths(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``run.json`` says, with the names of mixtures in place of their paths."""
    data = content.get("data") or {}
    names = {split: [Path(path).name for path in paths] for split, paths in data.items()}
    return {**content, **({"data": names} if names else {})}


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


FORMAT: Final = CheckpointFormat()
