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
from stemsmith.train.data.examples import Turns
from stemsmith.train.models.base import SeparationModel
from stemsmith.train.schedule import Epoch, TrainConfig, is_over, make_optimiser, make_plateau
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["SeparationModule", "history_of"]

_STATE: Final = "stemsmith"  # key of our part of a checkpoint

Batch = tuple[Tensor, Tensor]


@dataclasses.dataclass(slots=True)
class _Total:
    """Of an epoch in one process; the loss stays on the device, which nobody waits for."""

    loss: Tensor | float = 0.0
    n_examples: int = 0


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
        self._plateau_state: dict[str, Any] | None = None  # of a checkpoint
        self._totals: dict[str, _Total] = {}
        self._started_s = 0.0

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser. Its learning rate is lowered here and not by Lightning.

        Lightning does so after its checkpoint is written: a resumed run would lack a step.
        """
        optimiser = make_optimiser(self.model.parameters(), self._config)
        self._plateau = make_plateau(optimiser, self._config)
        if self._plateau is not None and self._plateau_state is not None:
            self._plateau.load_state_dict(self._plateau_state)
        return optimiser

    def on_train_epoch_start(self) -> None:
        """Seed dropout and begin to count."""
        rng = rng_for(self._seed, self.current_epoch, self.global_rank, "dropout")
        torch.manual_seed(int(rng.integers(1 << 62)))
        self._totals = {"train": _Total(), "validation": _Total()}
        self._started_s = time.monotonic()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        return self._step("train", batch, len(batch[0]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the loss of a batch, unless it repeats what another process counts."""
        turns: Turns = self.trainer.val_dataloaders.batch_sampler  # type: ignore[union-attr]
        self._step("validation", batch, turns.n_own(batch_idx))

    def _step(self, name: str, batch: Batch, n: int) -> Tensor:
        mixture, references = batch
        # Spectra need float32: a half has neither the range nor the precision.
        with torch.autocast(self.device.type, enabled=False):
            spectrum, targets = self.model.stft(mixture), self.model.stft(references)
        loss = self.model.loss(self.model(spectrum), targets, spectrum)
        total = self._totals[name]
        total.loss = total.loss + loss.detach().double() * n
        total.n_examples += n
        return loss

    def on_validation_epoch_end(self) -> None:
        """Sum up the epoch, lower the learning rate, and decide whether to go on."""
        loss = {name: self._mean(name) for name in self._totals}
        (group,) = self.optimizers().param_groups  # type: ignore[union-attr]
        n_seen = sum(total.n_examples for total in self._totals.values())
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
        self.log("validation_loss", loss["validation"])
        self.log("learning_rate", group["lr"])
        if self._plateau is not None:
            self._plateau.step(loss["validation"])
        self.trainer.should_stop = is_over(self.history, self._config)
        if self.trainer.is_global_zero:
            self._report(self.history)

    def _mean(self, name: str) -> float:
        """Return the mean loss over the examples of all processes."""
        own = self._totals[name]
        pair = torch.tensor([float(own.loss), own.n_examples], dtype=torch.float64)
        total = self.trainer.strategy.reduce(pair.to(self.device), reduce_op="sum")
        own.n_examples = round(float(total[1]))
        return float(total[0] / total[1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of; plain values, so that it loads safely."""
        checkpoint[_STATE] = {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "plateau": None if self._plateau is None else self._plateau.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up where a run was killed."""
        self.history = history_of(checkpoint)
        self._plateau_state = checkpoint[_STATE]["plateau"]  # there is no optimiser yet


def history_of(checkpoint: dict[str, Any]) -> list[Epoch]:
    """Return the epochs before a checkpoint."""
    return [Epoch(**epoch) for epoch in checkpoint[_STATE]["history"]]
