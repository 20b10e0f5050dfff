"""One model and how it learns, as a Lightning module."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.seeds import rng_for
from stemsmith.train.model import SeparationModel
from stemsmith.train.schedule import Epoch, TrainConfig, is_over, make_optimiser, make_plateau
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["VALIDATION_LOSS", "SeparationModule"]

VALIDATION_LOSS: Final = "validation_loss"
_STATE: Final = "stemsmith"  # key of our part of a checkpoint

Batch = tuple[Tensor, Tensor]


class SeparationModule(LightningModule):
    """Trains a model; what it has seen and its learning rate survive a kill.

    Parameters
    ----------
    model : SeparationModel
        What is trained.
    config : TrainConfig
        How.
    seed : int
        Of dropout, by epoch and process, so that a resumed run draws what an uninterrupted one
        would have.
    report : callable
        Is given all epochs so far after each one, in the process of rank 0.
    """

    def __init__(
        self,
        model: SeparationModel[Any],
        config: TrainConfig,
        seed: int,
        report: Callable[[list[Epoch]], None],
    ) -> None:
        super().__init__()
        self.model, self._config, self._seed, self._report = model, config, seed, report
        self.history: list[Epoch] = []
        self._plateau: ReduceLROnPlateau | None = None
        self._totals: dict[str, Tensor] = {}
        self._started_s = 0.0

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser. Its learning rate is lowered here and not by Lightning.

        Lightning does so after its checkpoint is written: a resumed run would lack a step.
        """
        optimiser = make_optimiser(self.model.parameters(), self._config)
        self._plateau = make_plateau(optimiser, self._config)
        return optimiser

    def on_train_epoch_start(self) -> None:
        """Seed dropout and begin to count."""
        rng = rng_for(self._seed, self.current_epoch, self.global_rank, "dropout")
        torch.manual_seed(int(rng.integers(1 << 62)))
        zeros = torch.zeros(2, dtype=torch.float64)  # loss times examples, examples
        self._totals = {"train": zeros, "validation": zeros.clone()}
        self._started_s = time.monotonic()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        return self._step("train", batch)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count the loss of a batch."""
        self._step("validation", batch)

    def _step(self, name: str, batch: Batch) -> Tensor:
        mixture, references = batch
        # Spectra need float32: a half has neither the range nor the precision.
        with torch.autocast(self.device.type, enabled=False):
            spectrum, targets = self.model.stft(mixture), self.model.stft(references)
        loss = self.model.loss(self.model(spectrum), targets, spectrum)
        n = len(mixture)
        totals = self._totals[name].to(loss.device)
        totals += torch.stack([loss.detach().double() * n, torch.tensor(n, device=loss.device)])
        self._totals[name] = totals
        return loss

    def on_validation_epoch_end(self) -> None:
        """Sum up the epoch, lower the learning rate, and decide whether to go on."""
        loss = {name: self._mean(name) for name in self._totals}
        (group,) = self.optimizers().param_groups  # type: ignore[union-attr]
        n_seen = sum(float(total[1]) for total in self._totals.values())
        elapsed_s = time.monotonic() - self._started_s
        self.history.append(
            Epoch(
                self.current_epoch,
                loss["train"],
                loss["validation"],
                group["lr"],
                round(n_seen / elapsed_s, 2),
            )
        )
        if not all(map(math.isfinite, loss.values())):
            raise NothingToDo(
                f"the loss of epoch {self.current_epoch} is not finite: lower the learning rate, "
                "or clip the gradient"
            )
        self.log("train_loss", loss["train"])
        self.log(VALIDATION_LOSS, loss["validation"])
        self.log("learning_rate", group["lr"])
        if self._plateau is not None:
            self._plateau.step(loss["validation"])
        self.trainer.should_stop = is_over(self.history, self._config)
        if self.trainer.is_global_zero:
            self._report(self.history)

    def _mean(self, name: str) -> float:
        """Return the mean loss over the examples of all processes."""
        total = self.trainer.strategy.reduce(self._totals[name], reduce_op="sum")
        self._totals[name] = torch.as_tensor(total)
        return float(total[0] / total[1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of; plain values, so that it loads safely."""
        checkpoint[_STATE] = {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "plateau": None if self._plateau is None else self._plateau.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up where a run was killed."""
        state = checkpoint[_STATE]
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])
