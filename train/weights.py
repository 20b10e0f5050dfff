"""Weights on disk: checkpoints, read without running any code of theirs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, one_line
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.train.schedule import Epoch
from torch import Tensor

__all__ = [
    "STATE",
    "encode_weights",
    "history_of",
    "parse_weights",
    "read_checkpoint",
    "read_epochs",
    "read_weights",
]

STATE: Final = "stemsmith"  # key of our part of a checkpoint
_WEIGHTS: Final = "model."  # the name of the model in `SeparationModule`


def read_checkpoint(path: Path, progress: Progress = QUIET) -> dict[str, Any]:
    """Read a checkpoint, running no code of it.

    Parameters
    ----------
    path : Path
        File of the checkpoint; its checksum lies beside it.
    progress : Progress
        Is warned if there is no checksum: version 0.1 wrote none.

    Raises
    ------
    InvalidCorpus
        If it is missing or damaged; the text names it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: missing; the run has not ended an epoch yet") from None
    except OSError as error:
        raise InvalidCorpus(f"{path}: cannot be read: {error.strerror or error}") from error
    is_as_written = storage.has_its_checksum(path, data)
    if is_as_written is None:
        progress.warn(f"{path}: has no checksum, as of version 0.1: damage may go unnoticed")
    elif not is_as_written:
        raise InvalidCorpus(
            f"{path}: cannot be used: its SHA-256 is not the one in "
            f"{storage.checksum_path(path).name}; restore it from a copy, or train again"
        )
    return _parse(data, path)


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damage may make the unpickler do anything that is allowed
        raise InvalidCorpus(f"{path}: cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise InvalidCorpus(f"{path}: not a checkpoint of a run")
    return content


def history_of(checkpoint: dict[str, Any]) -> list[Epoch]:
    """Return the epochs before a checkpoint."""
    return [Epoch(**epoch) for epoch in checkpoint[STATE]["history"]]


def read_epochs(path: Path, progress: Progress = QUIET) -> list[Epoch]:
    """Return the epochs before the checkpoint in a file.

    Parameters
    ----------
    path : Path
        File of the checkpoint.
    progress : Progress
        Is warned if it has no checksum.

    Raises
    ------
    InvalidCorpus
        If it is missing or damaged; the text names it.
    """
    content = read_checkpoint(path, progress)
    try:
        return history_of(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidCorpus(f"{path}: not a checkpoint of this version of stemsmith") from error


def read_weights(path: Path, progress: Progress = QUIET) -> dict[str, Tensor]:
    """Return the weights of the model in a checkpoint, by their names there.

    Parameters
    ----------
    path : Path
        File of the checkpoint.
    progress : Progress
        Is warned if it has no checksum.

    Raises
    ------
    InvalidCorpus
        If the file is missing or damaged; the text names it.
    """
    return _weights(read_checkpoint(path, progress), path)


def parse_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    """Return the weights in what the file of a checkpoint holds; see `read_weights`."""
    return _weights(_parse(data, path), path)


def encode_weights(weights: Mapping[str, Tensor]) -> bytes:
    """Return the file of a checkpoint that has weights alone, which `parse_weights` reads.

    Parameters
    ----------
    weights : mapping of str to Tensor
        By their names in the model.
    """
    content = io.BytesIO()
    state = {_WEIGHTS + name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    torch.save({"state_dict": state}, content)
    return content.getvalue()


def _weights(checkpoint: dict[str, Any], path: Path) -> dict[str, Tensor]:
    state = checkpoint["state_dict"]
    if not all(isinstance(name, str) and isinstance(state[name], Tensor) for name in state):
        raise InvalidCorpus(f"{path}: not a checkpoint of a run")
    return {
        name.removeprefix(_WEIGHTS): value
        for name, value in state.items()
        if name.startswith(_WEIGHTS)
    }
