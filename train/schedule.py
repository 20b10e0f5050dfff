"""How long and how fast a model learns: optimiser, learning rate, when to stop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from stemsmith.manifests.errors import UsageError
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = [
    "Epoch",
    "Optimiser",
    "Precision",
    "TrainConfig",
    "is_over",
    "make_optimiser",
    "make_plateau",
]


class Optimiser(StrEnum):
    """The papers' optimisers."""

    ADAM = "adam"
    ADADELTA = "adadelta"


class Precision(StrEnum):
    """Of the arithmetic inside the network; spectra and losses are float32 in any case."""

    FULL = "32-true"
    BFLOAT16 = "bf16-mixed"
    HALF = "16-mixed"


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of an epoch: a row of ``metrics.csv``.

    Attributes
    ----------
    epoch : int
        0-based.
    train_loss, validation_loss : float
        Means over examples; training's while the weights changed.
    learning_rate : float
        In this epoch.
    examples_per_s : float
        Of training and validation together.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    examples_per_s: float


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything about training that is not the model's shape or its data.

    Attributes
    ----------
    epochs : int
        At most.
    batch_size : int
        Examples of a step, on each device.
    optimiser : Optimiser
        And its `learning_rate` and `weight_decay`.
    plateau_epochs : int
        The learning rate is multiplied by `plateau_factor` after so many consecutive epochs in
        which the validation loss was not lower than ever before; then `plateau_cooldown` epochs
        are not counted. 0: never.
    stop_epochs : int
        Training ends after so many consecutive epochs without a lower validation loss. 0: never.
    stop_change : float
        Training ends when the training loss changes by less from one epoch to the next. 0: never.
    clip_gradient : float
        Largest norm of the gradient. 0: any.
    precision : Precision
        Of the arithmetic.
    """

    epochs: int = 100
    batch_size: int = 32
    optimiser: Optimiser = Optimiser.ADAM
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    plateau_epochs: int = 0
    plateau_factor: float = 0.5
    plateau_cooldown: int = 0
    stop_epochs: int = 0
    stop_change: float = 0.0
    clip_gradient: float = 0.0
    precision: Precision = Precision.FULL

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be above 0, not {getattr(self, name)}")
        names = ("weight_decay", "plateau_epochs", "plateau_cooldown", "stop_epochs")
        for name in (*names, "stop_change", "clip_gradient"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 < self.plateau_factor < 1:
            raise UsageError(f"plateau_factor must be between 0 and 1, not {self.plateau_factor}")


def make_optimiser(parameters: Iterable[Tensor], config: TrainConfig) -> Optimizer:
    """Return the optimiser of some parameters."""
    kinds = {Optimiser.ADAM: torch.optim.Adam, Optimiser.ADADELTA: torch.optim.Adadelta}
    optimiser: Optimizer = kinds[config.optimiser](
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    return optimiser


def make_plateau(optimiser: Optimizer, config: TrainConfig) -> ReduceLROnPlateau | None:
    """Return what lowers the learning rate, or None.

    PyTorch acts one epoch after as many bad ones as its patience says, hence one less.
    """
    if not config.plateau_epochs:
        return None
    return ReduceLROnPlateau(
        optimiser,
        factor=config.plateau_factor,
        patience=config.plateau_epochs - 1,
        cooldown=config.plateau_cooldown,
        threshold=0.0,  # any lower loss is an improvement
    )


def is_over(history: Sequence[Epoch], config: TrainConfig) -> bool:
    """Return whether training has ended after some epochs."""
    if len(history) >= config.epochs:
        return True
    if config.stop_epochs and history:
        losses = [epoch.validation_loss for epoch in history]
        if len(losses) - 1 - losses.index(min(losses)) >= config.stop_epochs:
            return True
    if config.stop_change and len(history) > 1:
        change = history[-1].train_loss - history[-2].train_loss
        return abs(change) < config.stop_change
    return False
