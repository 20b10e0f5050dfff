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
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.train.model import SeparationModel
from stemsmith.train.models import MODELS, from_settings, make_model
from stemsmith.train.schedule import Epoch

__all__ = ["BEST", "LAST", "RunDir", "load_run"]

BEST: Final = "best"
LAST: Final = "last"
_RUN: Final = "run.json"
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

    def begin(self, content: dict[str, Any], is_resumed: bool) -> None:
        """Write ``run.json``, or check that it is of the same run.

        Parameters
        ----------
        content : dict
            JSON values: what decides the result under ``"config"``, and what is good to know.
        is_resumed : bool
            Whether to go on with what is there; a folder without a run begins one.

        Raises
        ------
        UsageError
            If the folder holds another run, one that was not to be resumed, or other files.
        """
        path = self.root / _RUN
        if path.exists():
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
        elif self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise UsageError(f"{self.root}: not empty and no run; choose another folder")
        self.root.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": _VERSION, **content}, indent=2, sort_keys=True)
        storage.write_atomic(path, text.encode() + b"\n")

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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights = {
            name.removeprefix(_WEIGHTS): value
            for name, value in content["state_dict"].items()
            if name.startswith(_WEIGHTS)
        }
        if config["model"] not in MODELS:
            raise KeyError(config["model"])
        model = make_model(config["model"], from_settings(config["model"], config["settings"]))
        model.load_state_dict(weights)
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: missing; the run has not ended an epoch yet") from None
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidCorpus(f"{path}: not a checkpoint of this run: {reason}") from error
    except UsageError as error:
        raise InvalidCorpus(f"{root}: {error}") from error
    return model.eval()
