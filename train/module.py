"""One model and how it learns, as a Lightning module."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.seeds import rng_for
from stemsmith.train.data.examples import Turns
from stemsmith.train.models.base import SeparationModel
from stemsmith.train.optimisation import make_optimiser, make_plateau
from stemsmith.train.report import Reporter
from stemsmith.train.schedule import Epoch, Monitor, TrainConfig, is_over
from stemsmith.train.si_sdr import SiSdrTotal
from stemsmith.train.weights import STATE, history_of
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["SeparationModule"]

Batch = tuple[Tensor, Tensor]


@dataclasses.dataclass(slots=True)
class _Total:
    """Loss of an epoch in one process; it stays on the device, which nobody waits for."""

    loss: Tensor | float = 0.0
    n_examples: int = 0


class SeparationModule(LightningModule):
    """Trains a model; what it has seen and its learning rate survive a kill.

    Parameters
    ----------
    model : SeparationModel
        The model that is trained.
    config : TrainConfig
        How it learns.
    seed : int
        Seed of dropout, by epoch and process, so that a resumed run draws what an uninterrupted
        one would have.
    reporter : Reporter
        Is told of every batch and epoch in the process of rank 0.
    """

    def __init__(
        self,
        model: SeparationModel[Any],
        config: TrainConfig,
        seed: int,
        reporter: Reporter,
    ) -> None:
        super().__init__()
        self.model, self._config, self._seed, self._reporter = model, config, seed, reporter
        self.history: list[Epoch] = []
        self._plateau: ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] | None = None  # of a checkpoint
        self._totals: dict[str, _Total] = {}
        self._si_sdr = SiSdrTotal()
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
        self._si_sdr = SiSdrTotal()
        if self.trainer.is_global_zero:
            n_validation = sum(int(n) for n in self.trainer.num_val_batches)
            n_batches = int(self.trainer.num_training_batches) + n_validation
            self._reporter.begin(self.history, n_batches)
        self._started_s = time.monotonic()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        return self._step("train", batch, len(batch[0]))[0]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count loss and SI-SDR of a batch, unless it repeats what another process counts."""
        turns: Turns = self.trainer.val_dataloaders.batch_sampler  # type: ignore[union-attr]
        n_own = turns.n_own(batch_idx)
        _, estimate, mixture = self._step("validation", batch, n_own)
        if n_own:
            self._count_si_sdr(estimate, mixture, batch[1])

    def _step(self, name: str, batch: Batch, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of a batch, the estimate, and the spectra of the mixture."""
        mixture, references = self._one_by_one(batch)
        # Spectra need float32: a half has neither the range nor the precision.
        with torch.autocast(self.device.type, enabled=False):
            spectrum, targets = self.model.stft(mixture), self.model.stft(references)
        estimate = self.model(spectrum)
        loss = self.model.loss(estimate, targets, spectrum)
        total = self._totals[name]
        total.loss = total.loss + loss.detach().double() * n
        total.n_examples += n
        if self.trainer.is_global_zero:
            seconds = batch[0].shape[0] * mixture.shape[-1] / self.model.config.sample_rate
            self._reporter.advance(seconds, self._running_loss if name == "train" else None)
        return loss, estimate, spectrum

    def _one_by_one(self, batch: Batch) -> Batch:
        """Return each channel of stereo as an example, unless the model takes both together."""
        mixture, references = batch
        if mixture.ndim == 2 or self.model.is_joint:
            return batch
        return mixture.flatten(0, 1), references.transpose(1, 2).flatten(0, 1)

    def _running_loss(self) -> float:
        """Return the mean loss of this process's training examples in this epoch."""
        total = self._totals["train"]
        return float(total.loss) / total.n_examples

    def _count_si_sdr(self, estimate: Tensor, mixture: Tensor, references: Tensor) -> None:
        """Count the ratios of the audio that the estimates of whole examples are.

        Of two channels it is that of their mean, as in `stemsmith.evaluate`.
        """
        with torch.autocast(self.device.type, enabled=False):
            audio = self.model.stft.inverse_inner(self.model.spectra(estimate, mixture))
            if references.ndim == 4:  # (n_batch, n_targets, 2, n_samples)
                if not self.model.is_joint:
                    audio = audio.reshape(len(references), -1, *audio.shape[1:]).transpose(1, 2)
                audio, references = audio.mean(dim=2), references.mean(dim=2)
            first = self.model.config.n_fft // 2
            inner = references[..., first : first + audio.shape[-1]]
            self._si_sdr.add(audio, inner)

    def on_validation_epoch_end(self) -> None:
        """Sum up the epoch."""
        self._end_epoch()

    def on_train_epoch_end(self) -> None:
        """Sum up the epoch, where nothing is validated."""
        if not self.trainer.enable_validation:
            self._end_epoch()

    def _end_epoch(self) -> None:
        """Sum up the epoch, lower the learning rate, and decide whether to go on."""
        train_loss = self._mean("train")
        is_validated = self.trainer.enable_validation
        (group,) = self.optimizers().param_groups  # type: ignore[union-attr]
        validation_loss = self._mean("validation") if is_validated else None
        n_seen = sum(total.n_examples for total in self._totals.values())
        elapsed_s = time.monotonic() - self._started_s
        epoch = Epoch(
            epoch=self.current_epoch,
            train_loss=train_loss,
            validation_loss=validation_loss,
            learning_rate=group["lr"],
            examples_per_s=round(n_seen / elapsed_s, 2),
            si_sdr_db=self._mean_si_sdr() if is_validated else None,
            elapsed_s=round(elapsed_s, 3),
        )
        self._check_epoch(epoch)
        self.history.append(epoch)
        if self._plateau is not None:
            self._plateau.step(epoch.cost(self._config.monitor))
        self.trainer.should_stop = is_over(self.history, self._config)
        if self.trainer.is_global_zero:
            self._reporter.end(self.history)

    def _check_epoch(self, epoch: Epoch) -> None:
        losses = epoch.train_loss, epoch.validation_loss
        if not all(loss is None or math.isfinite(loss) for loss in losses):
            raise NothingToDo(
                f"the loss of epoch {epoch.epoch} is not finite: lower the learning rate, "
                "or clip the gradient"
            )
        if self._config.monitor is Monitor.SI_SDR and epoch.si_sdr_db is None:
            raise NothingToDo(
                "no validation example has a target that sounds, so that there is no SI-SDR: "
                "--monitor loss, or other mixtures"
            )

    def _mean(self, name: str) -> float:
        """Return the mean loss over the examples of all processes."""
        own = self._totals[name]
        total, n_examples = self._summed([float(own.loss), own.n_examples])
        own.n_examples = round(n_examples)
        return total / n_examples

    def _mean_si_sdr(self) -> float | None:
        """Return the mean SI-SDR over all processes in dB, or None where nothing sounds."""
        total_db, n_ratios = self._summed(self._si_sdr.sum_and_number)
        return total_db / n_ratios if n_ratios else None

    def _summed(self, values: list[float]) -> list[float]:
        """Return the sums of values over all processes."""
        own = torch.tensor(values, dtype=torch.float64).to(self.device)
        sums: list[float] = self.trainer.strategy.reduce(own, reduce_op="sum").tolist()
        return sums

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of; plain values, so that it loads safely."""
        checkpoint[STATE] = {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "plateau": None if self._plateau is None else self._plateau.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up where a run was killed."""
        self.history = history_of(checkpoint)
        self._plateau_state = checkpoint[STATE]["plateau"]  # there is no optimiser yet
