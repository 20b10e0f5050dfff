"""A run's folder: what was trained, how, and what came of it.

``run.json`` is written first and says everything that decides the result; ``metrics.csv`` has a row
for every epoch; ``checkpoints/best.ckpt`` is the epoch of the lowest validation loss and
``checkpoints/last.ckpt`` the last one. Checkpoints load with ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.train.models.base import SeparationModel
from stemsmith.train.models.registry import MODELS, from_settings, make_model
from stemsmith.train.schedule import Epoch

__all__ = ["BEST", "LAST", "RunDir", "load_run", "read_checkpoint"]

BEST: Final = "best"
LAST: Final = "last"
_RUN: Final = "run.json"
_LOCK: Final = ".lock"
_VERSION: Final = 1  # of run.json and of the weights' names
# What may differ when a run goes on: how far, not where to.
_FREE: Final = ("epochs",)
_WEIGHTS: Final = "model."  # the name of the model in `SeparationModule`


class RunDir:
    """One run's folder.

    Parameters
    ----------
    root : Path
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"

    def checkpoint(self, name: str) -> Path:
        """Return where a checkpoint is, `BEST` or `LAST`."""
        return self.checkpoints / f"{name}.ckpt"

    @contextmanager
    def opened(self, content: dict[str, Any], is_resumed: bool) -> Iterator[None]:
        """Write ``run.json``, or check that it is of the same run, and keep other runs out.

        Parameters
        ----------
        content : dict
            JSON values: what decides the result under ``"config"``, and what is good to know.
        is_resumed : bool
            Whether to go on with what is there; a folder without a run begins one.

        Raises
        ------
        UsageError
            If the folder holds another run, one that was not to be resumed, or other files; or
            if another process is writing there.
        """
        self._check(content, is_resumed)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with storage.exclusive(self.checkpoints / _LOCK):
            self._check(content, is_resumed)
            text = json.dumps({"version": _VERSION, **content}, indent=2, sort_keys=True)
            storage.write_atomic(self.root / _RUN, text.encode() + b"\n")
            yield

    def _check(self, content: dict[str, Any], is_resumed: bool) -> None:
        if (self.root / _RUN).exists():
            if not is_resumed:
                raise UsageError(
                    f"{self.root}: holds a run; --resume goes on with it, or choose another folder"
                )
            known = self.describe()["config"]
            if other := _difference(known, json.loads(json.dumps(content["config"]))):
                raise UsageError(
                    f"{self.root}: the run here has another {other}; repeat its command with "
                    "--resume, or choose another folder"
                )
        elif self.root.exists() and not (self.root.is_dir() and self._is_new()):
            raise UsageError(f"{self.root}: not empty and no run; choose another folder")

    def _is_new(self) -> bool:
        """Whether nothing is in the folder but what a run leaves that was killed at once."""
        own = {f".{_RUN}.tmp", self.checkpoints.name, f"{self.checkpoints.name}/{_LOCK}"}
        return all(path.relative_to(self.root).as_posix() in own for path in self.root.rglob("*"))

    def describe(self) -> dict[str, Any]:
        """Read ``run.json``.

        Raises
        ------
        InvalidCorpus
            If it is missing, damaged or of another version.
        """
        path = self.root / _RUN
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise InvalidCorpus(f"{path}: missing; not a folder of `stemsmith train`") from None
        except (OSError, ValueError) as error:
            raise InvalidCorpus(f"{path}: cannot be read: {error}") from error
        if not isinstance(content, dict) or content.get("version") != _VERSION:
            raise InvalidCorpus(f"{path}: not a run of this version of stemsmith; train again")
        config = content.get("config")
        if not isinstance(config, dict) or str(config.get("model")) not in MODELS:
            raise InvalidCorpus(f"{path}: does not say what was trained")
        return content

    def write_history(self, history: Sequence[Epoch]) -> None:
        """Write ``metrics.csv``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Epoch)])
        writer.writerows(dataclasses.astuple(epoch) for epoch in history)
        storage.write_atomic(self.root / "metrics.csv", text.getvalue().encode())


def _difference(known: Any, wanted: Any, name: str = "configuration") -> str:
    """Return the name of the first value in which two configurations differ, or nothing."""
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in sorted({*known, *wanted} - set(_FREE)):
            if found := _difference(known.get(key), wanted.get(key), key):
                return found
        return ""
    return "" if known == wanted else name


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


def load_run(root: Path, checkpoint: str = BEST) -> SeparationModel[Any]:
    """Return the model of a run, ready to separate.

    Parameters
    ----------
    root : Path
        What ``stemsmith train`` wrote.
    checkpoint : str
        `BEST` or `LAST`.

    Returns
    -------
    SeparationModel
        On the CPU, in evaluation mode.

    Raises
    ------
    InvalidCorpus
        If the run is not there, has no checkpoint yet, or is of another version; the text names
        the file.
    """
    folder = RunDir(root)
    config = folder.describe()["config"]
    path = folder.checkpoint(checkpoint)
    weights = {
        name.removeprefix(_WEIGHTS): value
        for name, value in read_checkpoint(path)["state_dict"].items()
        if name.startswith(_WEIGHTS)
    }
    try:
        settings = from_settings(config["model"], config["settings"])
        model = make_model(config["model"], settings)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise InvalidCorpus(f"{root / _RUN}: {error}") from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InvalidCorpus(f"{path}: not of the model of {_RUN}: {reason}") from error
    return model.eval()
