"""Checkpoints of a run: the best epoch and the last one, each whole or not there at all.

What Lightning has for this moves a file from the system's temporary folder, which is a copy where
that is another disk, and forgets which epoch was best when a run's folder has been moved.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from stemsmith.manifests import storage
from stemsmith.manifests.places import place
from stemsmith.train.destination import RunDestination
from stemsmith.train.module import SeparationModule
from stemsmith.train.run import BEST, LAST
from stemsmith.train.schedule import Monitor, best_epoch

__all__ = ["AtomicCheckpointIO", "BestAndLast"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name, syncs it, and renames it; its checksum beside it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        place(path).parent.mkdir(parents=True, exist_ok=True)
        storage.write_with_checksum(place(path), content.getbuffer())


class BestAndLast(Checkpoint):
    """Writes checkpoints when an epoch has been validated, or has ended without validation.

    The last one is written last: a run that was killed between the two repeats the epoch. Where
    nothing is validated, there is no best one.

    Parameters
    ----------
    destination : RunDestination
        Folder of the run.
    monitor : Monitor
        What decides which epoch is the best.
    """

    def __init__(self, destination: RunDestination, monitor: Monitor) -> None:
        self._destination, self._monitor = destination, monitor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last checkpoint, and before it the best one if this epoch is it."""
        assert isinstance(pl_module, SeparationModule)
        history = pl_module.history
        if best_epoch(history, self._monitor) is history[-1]:
            trainer.save_checkpoint(self._destination.checkpoint(BEST))
        trainer.save_checkpoint(self._destination.checkpoint(LAST))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last checkpoint, if nothing is validated."""
        if not trainer.enable_validation:
            trainer.save_checkpoint(self._destination.checkpoint(LAST))
