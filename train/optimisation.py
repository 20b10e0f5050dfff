"""The optimiser, and what lowers its learning rate."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from stemsmith.train.schedule import Optimiser, TrainConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["make_optimiser", "make_plateau"]


def make_optimiser(parameters: Iterable[Tensor], config: TrainConfig) -> Optimizer:
    """Return the optimiser of some parameters."""
    kinds = {Optimiser.ADAM: torch.optim.Adam, Optimiser.ADADELTA: torch.optim.Adadelta}
    optimiser: Optimizer = kinds[config.optimiser](
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    return optimiser


def make_plateau(optimiser: Optimizer, config: TrainConfig) -> ReduceLROnPlateau | None:
    """Return what lowers the learning rate as the cost of epochs tells it to, or None.

    PyTorch acts one epoch after as many bad ones as its patience says, hence one less.
    """
    if not config.plateau_epochs:
        return None
    return ReduceLROnPlateau(
        optimiser,
        factor=config.plateau_factor,
        patience=config.plateau_epochs - 1,
        cooldown=config.plateau_cooldown,
        threshold=0.0,  # any lower cost is an improvement
    )
