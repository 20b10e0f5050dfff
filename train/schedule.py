"""How long and how fast a model learns, and when that has come to an end.

Imports nothing heavy: commands read their options from here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option, settle

__all__ = [
    "Epoch",
    "Monitor",
    "Optimiser",
    "Precision",
    "TrainConfig",
    "best_epoch",
    "is_over",
    "without_validation",
]


class Optimiser(StrEnum):
    """The papers' optimisers."""

    ADAM = "adam"
    ADADELTA = "adadelta"


class Precision(StrEnum):
    """Arithmetic inside the network; spectra and losses are float32 in any case."""

    FULL = "32-true"
    BFLOAT16 = "bf16-mixed"
    HALF = "16-mixed"


class Monitor(StrEnum):
    """What decides which epoch of a run is the best."""

    LOSS = "loss"
    SI_SDR = "si-sdr"


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of an epoch: a row of ``metrics.csv``.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 0 on.
    train_loss, validation_loss : float
        Mean losses over the examples; in training they are taken while the weights change. The
        validation loss is None in runs that validate nothing.
    learning_rate : float
        Learning rate in this epoch.
    examples_per_s : float
        Examples a second, of training and validation together.
    si_sdr_db : float or None
        Mean scale-invariant signal-to-distortion ratio over the validation examples and targets
        whose reference sounds, in dB; see `stemsmith.train.si_sdr`. None where none sounds, where
        nothing is validated, or in runs of version 0.1.
    elapsed_s : float or None
        Seconds of the wall clock that training and validation took; None in runs of version 0.1.
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    learning_rate: float
    examples_per_s: float
    si_sdr_db: float | None = None
    elapsed_s: float | None = None

    def cost(self, monitor: Monitor) -> float:
        """Return what is lowest in the best epoch; infinity where it was not measured."""
        if monitor is Monitor.LOSS:
            return math.inf if self.validation_loss is None else self.validation_loss
        return math.inf if self.si_sdr_db is None else -self.si_sdr_db


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model learns.

    Attributes
    ----------
    epochs : int
        Number of epochs after which training ends at the latest.
    batch_size : int
        Number of examples of a step, of each process.
    optimiser : Optimiser
        What turns gradients into steps.
    learning_rate, weight_decay : float
        Learning rate at the beginning, and L2 penalty, both the optimiser's.
    plateau_epochs, plateau_factor, plateau_cooldown : int, float, int
        The learning rate is multiplied by `plateau_factor` after so many consecutive epochs in
        which validation was not better than ever before; then `plateau_cooldown` epochs are not
        counted. With 0 epochs it stays as it is.
    stop_epochs : int
        Training ends after so many consecutive epochs in which validation was not better than ever
        before; 0 never ends it for that.
    stop_change : float
        Training ends when its loss changes by less from one epoch to the next; 0 never ends it.
    clip_gradient : float
        Largest norm of the gradient, to which larger ones are scaled; 0 leaves them.
    precision : Precision
        Arithmetic inside the network.
    monitor : Monitor
        What makes validation better: a lower loss, or a higher SI-SDR.

    Examples
    --------
    >>> import stemsmith
    >>> stemsmith.TrainConfig(epochs=20, monitor="si-sdr").batch_size
    32
    """

    epochs: int = option(100, "Number of epochs, at most.")
    batch_size: int = option(32, "Examples of a step.")
    optimiser: Optimiser = option(Optimiser.ADAM, "What turns gradients into steps.")
    learning_rate: float = option(1e-3, "Learning rate at the beginning.")
    weight_decay: float = option(0.0, "L2 penalty of the optimiser.")
    plateau_epochs: int = option(
        0, "Epochs without better validation that lower the learning rate; 0: never."
    )
    plateau_factor: float = option(0.5, "What the learning rate is multiplied by then.")
    plateau_cooldown: int = option(0, "Epochs after that which are not counted.")
    stop_epochs: int = option(0, "Epochs without better validation that end training; 0: never.")
    stop_change: float = option(
        0.0, "Training ends when its loss changes by less in an epoch; 0: never."
    )
    clip_gradient: float = option(0.0, "Largest norm of the gradient; 0: any.")
    precision: Precision = option(Precision.FULL, "Arithmetic inside the network.")
    monitor: Monitor = option(
        Monitor.LOSS,
        "What makes validation better, and the best epoch the best: a lower loss, or a higher "
        "SI-SDR.",
    )

    def __post_init__(self) -> None:
        settle(self)
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be above 0, not {getattr(self, name)}")
        names = ("weight_decay", "plateau_epochs", "plateau_cooldown", "stop_epochs")
        for name in (*names, "stop_change", "clip_gradient"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 < self.plateau_factor < 1:
            raise UsageError(f"plateau_factor must be between 0 and 1, not {self.plateau_factor}")


# What it takes validation for, and the values that need none.
_OF_VALIDATION: Final[dict[str, Any]] = {
    "monitor": Monitor.LOSS,
    "plateau_epochs": 0,
    "stop_epochs": 0,
}
_OF_A_PLATEAU: Final = ("plateau_factor", "plateau_cooldown")  # without one they have no effect


def without_validation(config: TrainConfig, given: Collection[str]) -> tuple[TrainConfig, str]:
    """Return how a model learns where nothing is validated.

    Parameters
    ----------
    config : TrainConfig
        How it learns otherwise.
    given : collection of str
        Fields that the user has set, and that are not the model's own.

    Returns
    -------
    config : TrainConfig
        Without a plateau of the learning rate and without an end that validation decides.
    left_out : str
        Options of the model that are left out, for people; empty where there are none.

    Raises
    ------
    UsageError
        If the user has asked for something that needs validation.
    """
    needing = [name for name, neutral in _OF_VALIDATION.items() if getattr(config, name) != neutral]
    texts = {
        name: f"--{name.replace('_', '-')} {getattr(config, name)}"
        for name in (*needing, *_OF_A_PLATEAU)
    }
    for name, text in texts.items():
        if name in given:
            raise UsageError(f"{text}: needs validation mixtures, and --validation none has none")
    return replace(config, **_OF_VALIDATION), ", ".join(texts[name] for name in needing)


def best_epoch(history: Sequence[Epoch], monitor: Monitor) -> Epoch:
    """Return the best of some epochs, of equal ones the first."""
    return min(history, key=lambda epoch: epoch.cost(monitor))


def is_over(history: Sequence[Epoch], config: TrainConfig) -> bool:
    """Return whether training has ended after some epochs."""
    if len(history) >= config.epochs:
        return True
    if config.stop_epochs and history:
        costs = [epoch.cost(config.monitor) for epoch in history]
        if len(costs) - 1 - costs.index(min(costs)) >= config.stop_epochs:
            return True
    if config.stop_change and len(history) > 1:
        change = history[-1].train_loss - history[-2].train_loss
        return abs(change) < config.stop_change
    return False
