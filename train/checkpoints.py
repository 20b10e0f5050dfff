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
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.train.module import SeparationModule, history_of
from stemsmith.train.run_dir import BEST, LAST, RunDir, read_checkpoint
from stemsmith.train.schedule import Epoch

__all__ = ["AtomicCheckpointIO", "BestAndLast", "read_history"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name, syncs it, and renames it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with storage.atomic_file(Path(path)) as file:
            file.write(content.getbuffer())


class BestAndLast(Checkpoint):
    """Writes checkpoints when an epoch has been validated.

    The last one is written last: a run that was killed between the two repeats the epoch.

    Parameters
    ----------
    folder : RunDir
        Of the run.
    """

    def __init__(self, folder: RunDir) -> None:
        self._folder = folder

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is to be written."""
        assert isinstance(pl_module, SeparationModule)
        history = pl_module.history
        if min(history, key=lambda epoch: epoch.validation_loss) is history[-1]:
            trainer.save_checkpoint(self._folder.checkpoint(BEST))
        trainer.save_checkpoint(self._folder.checkpoint(LAST))


def read_history(folder: RunDir) -> list[Epoch]:
    """Return the epochs before a run's last checkpoint.

    Raises
    ------
    InvalidCorpus
        If it is damaged; the text names it.
    """
    path = folder.checkpoint(LAST)
    content = read_checkpoint(path)
    try:
        return history_of(content)
    except (KeyError, TypeError) as error:
        raise InvalidCorpus(f"{path}: not a checkpoint of this version of stemsmith") from error
