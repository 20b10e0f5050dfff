"""Weights on disk: checkpoints, read without running any code of theirs."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.train.schedule import Epoch
from torch import Tensor

__all__ = ["STATE", "history_of", "read_checkpoint", "read_epochs", "read_weights"]

STATE: Final = "stemsmith"  # key of our part of a checkpoint
_WEIGHTS: Final = "model."  # the name of the model in `SeparationModule`


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, running no code of it.

    Raises
    ------
    InvalidCorpus
        If it is missing or damaged; the text names it.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: missing; the run has not ended an epoch yet") from None
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidCorpus(f"{path}: cannot be read: {reason}") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise InvalidCorpus(f"{path}: not a checkpoint of a run")
    return content


def history_of(checkpoint: dict[str, Any]) -> list[Epoch]:
    """Return the epochs before a checkpoint."""
    return [Epoch(**epoch) for epoch in checkpoint[STATE]["history"]]


def read_epochs(path: Path) -> list[Epoch]:
    """Return the epochs before the checkpoint in a file.

    Raises
    ------
    InvalidCorpus
        If it is missing or damaged; the text names it.
    """
    content = read_checkpoint(path)
    try:
        return history_of(content)
    except (KeyError, TypeError) as error:
        raise InvalidCorpus(f"{path}: not a checkpoint of this version of stemsmith") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of the model in a checkpoint, by their names there.

    Raises
    ------
    InvalidCorpus
        If the file is missing or damaged; the text names it.
    """
    return {
        name.removeprefix(_WEIGHTS): value
        for name, value in read_checkpoint(path)["state_dict"].items()
        if name.startswith(_WEIGHTS)
    }
