"""Checking that what ``stemsmith train`` wrote can be used."""

from __future__ import annotations

import torch
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.train.history import METRICS
from stemsmith.train.run import LAST, TrainedRun
from stemsmith.train.weights import read_epochs

__all__ = ["check_run"]


def check_run(run: TrainedRun, progress: Progress = QUIET) -> None:
    """Check that ``run.json``, ``metrics.csv`` and all checkpoints can be read and go together.

    Parameters
    ----------
    run : TrainedRun
        A run that has ended an epoch, or the one file of it.
    progress : Progress
        Is warned of checkpoints that have no checksum.

    Raises
    ------
    InvalidCorpus
        Naming the first file that is missing, damaged, of another model or version, has weights
        that are not finite, or lacks an epoch.
    """
    own = run.checkpoint_name
    for name in (own,) if run.is_file or own == LAST else (own, LAST):
        model = run.model(name, progress)
        if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
            raise InvalidCorpus(f"{run.checkpoint(name)}: has weights that are not finite")
    if run.is_file:  # whose members have their hashes
        _ = run.history
        return
    trained = read_epochs(run.checkpoint(LAST))
    # The file is written before the checkpoint: it may be an epoch ahead of a run that was killed.
    if list(run.history[: len(trained)]) != trained:
        raise InvalidCorpus(f"{run.root / METRICS}: its epochs are not those of {LAST}.ckpt")
