"""Checking a folder of ``stemsmith train``: that its models can be used."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.train.checkpoints import read_history
from stemsmith.train.run_dir import BEST, LAST, RunDir, load_run

__all__ = ["Checked", "check_run"]


class Checked(NamedTuple):
    """What a run is of."""

    model: str
    targets: tuple[str, ...]
    n_epochs: int


def check_run(root: Path) -> Checked:
    """Check that ``run.json`` and both checkpoints can be read and go together.

    Parameters
    ----------
    root : Path
        The folder, of a run that has ended an epoch.

    Returns
    -------
    Checked
        What it is of.

    Raises
    ------
    InvalidCorpus
        Naming the first file that is missing, damaged, of another model or version, or has weights
        that are not finite.
    """
    folder = RunDir(root)
    for name in (BEST, LAST):
        model = load_run(root, name)
        if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
            raise InvalidCorpus(f"{folder.checkpoint(name)}: has weights that are not finite")
    n_epochs = len(read_history(folder))
    return Checked(folder.describe()["config"]["model"], model.config.targets, n_epochs)
