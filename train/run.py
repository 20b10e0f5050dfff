"""A run: the one place that opens what ``stemsmith train`` wrote.

``run.json`` is written first and says everything that decides the result; ``metrics.csv`` has a row
for every epoch; ``checkpoints/best.ckpt`` is the best epoch and ``checkpoints/last.ckpt`` the last
one, which is the only one of a run that validates nothing. Checkpoints load with
``torch.load(weights_only=True)``. Nothing but `TrainedRun.model` and `TrainedRun.settings` needs
PyTorch. A run may also be one file, which ``stemsmith export`` wrote.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stemsmith.manifests import documents, storage
from stemsmith.manifests.documents import Every, Nullable, Optional
from stemsmith.manifests.errors import InvalidCorpus, UsageError, one_line, upgrade_command
from stemsmith.manifests.folder_kinds import RUN, FolderKind, refusal
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.places import place
from stemsmith.train.history import METRICS, parse_history, read_history
from stemsmith.train.models.registry import (
    check_shapes,
    from_settings,
    is_model_name,
    make_model,
)
from stemsmith.train.run_file import is_run_file, read_members_of
from stemsmith.train.schedule import Epoch, Monitor, best_epoch

if TYPE_CHECKING:
    from stemsmith.train.models.base import ModelConfig, SeparationModel

__all__ = ["BEST", "LAST", "RUN", "VERSION", "TrainedRun", "checkpoint_path"]

BEST: Final = "best"
LAST: Final = "last"
VERSION: Final = 1  # of run.json and of the names of weights
_SHAPE: Final = {  # of what readers ask
    "config": {
        "model": str,
        "settings": {"targets": Every(list, str)},
        "training": Optional({"monitor": Optional(str)}),
        "rules": Optional(dict),
        "data": Optional(Every(dict, Every(list, str))),
        "init": Optional(Nullable(str)),
    },
    "data": Optional(Every(dict, Every(list, str))),
    "n_parameters": Optional(int),
    "n_examples": Optional(Nullable(int)),
    "machine": Optional(dict),
    "versions": Optional(Every(dict, str)),
}
# What version 0.1 did not write, since there was no choice: the losses of its models.
_LOSSES_OF_0_1: Final = {
    "blstm": "tpsa",
    "umx": "magnitude",
    "cnn": "magnitude",
    "resnet": "complex",
}


def checkpoint_path(root: Path, name: str) -> Path:
    """Return where a checkpoint of a run is: `BEST` or `LAST`."""
    return root / "checkpoints" / f"{name}.ckpt"


class TrainedRun:
    """A run of ``stemsmith train``, finished or not.

    Parameters
    ----------
    folder : str or path
        The folder of the run, or the file that ``stemsmith export`` made of it.

    Attributes
    ----------
    root : Path
        Folder of the run, or its file.
    content : dict
        What ``run.json`` says.

    Raises
    ------
    InvalidCorpus
        If it is no run, is of a newer version, or is a damaged file; the text names the file.

    Examples
    --------
    >>> run = TrainedRun("run")
    >>> run.model_name, run.targets, len(run.history)
    ('blstm', ('bass',), 1)
    >>> sum(weight.numel() for weight in run.model().parameters())
    5481
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.root = place(folder)
        self._members = read_members_of(self.root) if is_run_file(self.root) else None
        self.content = _read(self.root / RUN, self._member(RUN))

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

    def _member(self, name: str) -> bytes | None:
        """Return a member of the one file that the run is; None where it is a folder."""
        return None if self._members is None else self._members[name]

    @property
    def is_file(self) -> bool:
        """Whether the run is one file, which has the weights of `checkpoint_name` alone."""
        return self._members is not None

    @property
    def config(self) -> dict[str, Any]:
        """What decided the result: model, settings, training, rules, data and init, as JSON."""
        config: dict[str, Any] = self.content["config"]
        return config

    @property
    def model_name(self) -> str:
        """Name of the model: one of `stemsmith.train.MODELS`, or ``package.module:Class``."""
        return str(self.config["model"])

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets that the model separates."""
        return tuple(self.config["settings"]["targets"])

    @property
    def monitor(self) -> Monitor:
        """What decides which epoch is the best."""
        return Monitor(self.config["training"]["monitor"])

    @property
    def is_validated(self) -> bool:
        """Whether epochs are validated, so that one of them is the best."""
        return bool(self.config.get("data", {}).get("validation", True))

    @property
    def checkpoint_name(self) -> str:
        """Name of the checkpoint with the run's weights: `BEST`, or `LAST` of no validation."""
        return BEST if self.is_validated else LAST

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters of the model."""
        if "n_parameters" not in self.content:
            raise InvalidCorpus(f"{self.root / RUN}: n_parameters is missing")
        return int(self.content["n_parameters"])

    @property
    def n_examples(self) -> int | None:
        """Number of training examples of an epoch; None in runs of version 0.1."""
        return self.content.get("n_examples")

    @property
    def machine(self) -> dict[str, Any]:
        """Device, loader and numbers of processes; empty in runs of version 0.1."""
        return dict(self.content.get("machine", {}))

    @cached_property
    def history(self) -> tuple[Epoch, ...]:
        """The epochs so far, when they were first asked for."""
        text = self._member(METRICS)
        return read_history(self.root) if text is None else parse_history(text, self.root / METRICS)

    @property
    def best(self) -> Epoch | None:
        """The best epoch; None before the first has ended, and where nothing is validated."""
        is_known = self.is_validated and self.history
        return best_epoch(self.history, self.monitor) if is_known else None

    def checkpoint(self, name: str | None = None) -> Path:
        """Return the file of a checkpoint, `BEST` or `LAST`; by default that of the run's weights.

        Of a run that is one file, it is the path that its weights would have beside it.
        """
        wanted = name or self.checkpoint_name
        return self.root / f"{wanted}.ckpt" if self.is_file else checkpoint_path(self.root, wanted)

    def _weights(self) -> bytes | None:
        """Return the file of the weights, if the run is one file; None where it is a folder."""
        if self._members is None:
            return None
        name = f"{self.checkpoint_name}.ckpt"
        if name not in self._members:
            raise InvalidCorpus(f"{self.root}: has no {name}, which its {RUN} speaks of")
        return self._members[name]

    def weights_hash(self) -> str:
        """Return the SHA-256 of the file of the run's weights."""
        data = self._weights()
        return storage.file_hash(self.checkpoint()) if data is None else _sha256(data)

    @property
    def settings(self) -> ModelConfig:
        """Configuration of the model.

        Raises
        ------
        InvalidCorpus
            If it is none of the model, or there is no such model; the text names ``run.json``.
        """
        try:
            return from_settings(self.model_name, self.config["settings"])
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise InvalidCorpus(f"{self.root / RUN}: {one_line(error)}") from error

    def model(
        self, checkpoint: str | None = None, progress: Progress = QUIET
    ) -> SeparationModel[Any]:
        """Return the model, ready to separate.

        Parameters
        ----------
        checkpoint : str, optional
            Whose weights it has: `BEST` or `LAST`; by default the run's, `checkpoint_name`.
        progress : Progress
            Is warned if the checkpoint has no checksum, as in runs of version 0.1.

        Returns
        -------
        SeparationModel
            On the CPU, in evaluation mode.

        Raises
        ------
        InvalidCorpus
            If the run has no checkpoint yet, or it is damaged or not of this model; the text names
            the file.
        """
        from stemsmith.train.weights import parse_weights, read_weights

        own, wanted = self.checkpoint_name, checkpoint or self.checkpoint_name
        path = self.checkpoint(wanted)
        if wanted == BEST != own:
            raise InvalidCorpus(f"{self.root}: validated nothing, so that no epoch is the best")
        if (data := self._weights()) is None:
            weights = read_weights(path, progress)
        elif wanted == own:
            weights = parse_weights(data, path)
        else:
            raise InvalidCorpus(f"{self.root}: has the {own} weights alone, not the {wanted}")
        settings = self.settings
        try:
            check_shapes(self.model_name, settings, weights)
        except ValueError as error:
            raise InvalidCorpus(f"{path}: not of the model of {RUN}: {one_line(error)}") from error
        except UsageError as error:
            raise InvalidCorpus(f"{self.root / RUN}: {one_line(error)}") from error
        try:
            model = make_model(self.model_name, settings)
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise InvalidCorpus(f"{self.root / RUN}: {one_line(error)}") from error
        try:
            model.load_state_dict(weights)
        except (RuntimeError, TypeError, ValueError) as error:
            raise InvalidCorpus(f"{path}: not of the model of {RUN}: {one_line(error)}") from error
        return model.eval()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, data: bytes | None) -> dict[str, Any]:
    """Return what ``run.json`` says, with what version 0.1 left to be understood.

    `data` is what it holds, where it lies in another file.
    """
    try:
        content: Any = (
            documents.read_json(path, InvalidCorpus) if data is None else documents.parse_json(data)
        )
    except FileNotFoundError:
        missing = f"{path}: missing; not a folder of `stemsmith train`"
        said = refusal(path.parent, FolderKind.RUN, otherwise=missing)
        raise InvalidCorpus(said) from None
    except ValueError as error:
        raise InvalidCorpus(f"{path}: cannot be read as JSON: {one_line(error)}") from error
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise InvalidCorpus(
            f"{path}: is of version {version}, and this version of stemsmith reads up to "
            f"{VERSION}: {upgrade_command()}"
        )
    if version != VERSION:
        raise InvalidCorpus(f"{path}: not a run of this version of stemsmith; train again")
    config = content.get("config")
    if not isinstance(config, dict) or not is_model_name(config.get("model")):
        raise InvalidCorpus(f"{path}: does not say what was trained")
    if problem := documents.misfit(content, _SHAPE):
        raise InvalidCorpus(f"{path}: does not say what was trained: {problem}")
    settings, training = config["settings"], config.setdefault("training", {})
    if (loss := _LOSSES_OF_0_1.get(config["model"])) is not None:
        settings.setdefault("loss", loss)
    settings.setdefault("n_channels", 1)  # all models were mono before this setting was there
    if training.setdefault("monitor", str(Monitor.LOSS)) not in list(Monitor):
        raise InvalidCorpus(f"{path}: monitors {training['monitor']!r}, which nobody knows")
    return dict(content)
