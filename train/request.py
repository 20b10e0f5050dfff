"""What is to be trained, on what machine, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stemsmith.train.data.examples import ExampleRules
from stemsmith.train.data.loaders import Choice, Loader
from stemsmith.train.models.base import ModelConfig
from stemsmith.train.schedule import Epoch, TrainConfig

__all__ = ["Machine", "Request", "Result"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be trained, on what: everything that decides the result.

    Attributes
    ----------
    mixtures : tuple of Path
        Folders of `mix` whose training mixtures are concatenated.
    validation : tuple of Path
        Folders whose validation mixtures count; empty for those of `mixtures`.
    model : str
        Name of the model.
    settings : ModelConfig
        Its shape and targets.
    training : TrainConfig
        How it learns.
    rules : ExampleRules
        How examples are drawn; has the seed of everything.
    init : Path or None
        A run whose best weights are the first ones (fine-tuning).
    """

    mixtures: tuple[Path, ...]
    validation: tuple[Path, ...]
    model: str
    settings: ModelConfig
    training: TrainConfig
    rules: ExampleRules
    init: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """On what it is trained: this changes how long it takes.

    Attributes
    ----------
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    n_devices, n_nodes : int
        Processes of one machine, and machines; batches add up (Lightning's DDP). Their launchers
        are Lightning's: local processes, or torchrun and SLURM where they started this one.
    loader : Loader
        Where examples come from.
    n_workers : int
        Processes that load ahead.
    cache : Path or None
        Folder of decoded clips; None is the user's cache.
    is_with_progress : bool
        Whether Lightning shows a progress bar.
    """

    device: str = "auto"
    n_devices: int = 1
    n_nodes: int = 1
    loader: Loader = Loader.AUTO
    n_workers: int = 0
    cache: Path | None = None
    is_with_progress: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    history : sequence of Epoch
        Every epoch, those before a resumption included.
    choice : Choice
        The loader.
    n_parameters : int
        Trained parameters of the model.
    n_examples : int
        Training examples of an epoch.
    """

    history: Sequence[Epoch]
    choice: Choice
    n_parameters: int
    n_examples: int

    @property
    def best(self) -> Epoch:
        """The epoch of the lowest validation loss."""
        return min(self.history, key=lambda epoch: epoch.validation_loss)
