"""What training costs: examples per second against the same model fed constant tensors.

    python benchmarks/train.py --device cuda [--model blstm] [--precision bf16-mixed] ...
    python benchmarks/train.py --device cpu --set n_units=64 --set n_layers=2 --batch-size 8

Needs no data: clips are noise, decoded and resident as real ones are. On the CPU one thread is used
and seconds are those the process gets, since others may have the rest.

* end to end: ``stemsmith train``'s own loop with the resident loader, examples drawn with gains and
  remixing, against a bare loop of forward, backward and optimiser on one constant batch of spectra;
* FLOP/s: of forward and backward, against a large matrix product in the same run (for 32-true on a
  GPU in TF32, which cuDNN's layers use and others do not);
* shares: where the time of a step goes, waiting for the device after each part.
"""

from __future__ import annotations

import dataclasses
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Trainer
from stemsmith.train.data.examples import ExampleRules, Turns
from stemsmith.train.data.module import MixtureDataset, ResidentLoader, StreamLoader
from stemsmith.train.models.base import SeparationModel
from stemsmith.train.models.registry import MODELS, configure, make_model, model_class
from stemsmith.train.module import SeparationModule
from stemsmith.train.optimisation import make_optimiser
from stemsmith.train.report import Reporter
from stemsmith.train.schedule import Precision, TrainConfig
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_CLIP_S = 10
_WARM_UP_STEPS = 5
_MATRIX = {"cuda": 8192, "cpu": 2048}
_AUTOCAST = {Precision.BFLOAT16: torch.bfloat16, Precision.HALF: torch.float16}


class NoiseStore:
    """Clips of noise, laid out as `stemsmith.train.data.store.ClipStore` lays out decoded ones."""

    def __init__(self, n_clips: int, targets: tuple[str, ...], sample_rate: int) -> None:
        n = sample_rate * _CLIP_S
        self.n_samples = np.full(n_clips, n, np.int64)
        self.targets, self.n_channels = targets, 1
        rng = np.random.default_rng(0)
        rows = 1 + len(targets)
        part = rng.integers(-3000, 3000, n_clips * rows * n, np.int16)
        self.parts = (part,)
        self.part = np.zeros(n_clips, np.int64)
        self.offset = np.arange(n_clips) * rows * n

    def read(self, number: int) -> npt.NDArray[np.int16]:
        """Return mixture and targets of a clip."""
        rows, n = 1 + len(self.targets), int(self.n_samples[number])
        return self.parts[0][self.offset[number] :][: rows * n].reshape(rows, n)


class Steps:
    """The parts of a training step on constant spectra."""

    def __init__(
        self, model: SeparationModel[Any], config: TrainConfig, device: torch.device
    ) -> None:
        self.model, self.device, self.config = model.to(device).train(), device, config
        self.optimiser = make_optimiser(model.parameters(), config)
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=config.precision is Precision.HALF
        )  # as Lightning has
        shape = config.batch_size, model.config.stft.n_bins, model.config.segment_frames
        self.mixture = torch.randn(shape, dtype=torch.complex64, device=device)
        n_targets = len(model.config.targets)
        self.references = self.mixture[:, None].expand(-1, n_targets, -1, -1).contiguous() * 0.5

    def forward(self) -> Tensor:
        """Return the loss."""
        dtype = _AUTOCAST.get(self.config.precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            estimate = self.model(self.mixture)
            return self.model.loss(estimate, self.references, self.mixture)

    def backward(self, loss: Tensor) -> None:
        """Find the gradients."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Change the weights."""
        self.scaler.unscale_(self.optimiser)
        if self.config.clip_gradient:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()

    def step(self) -> None:
        """Do all of a step."""
        self.backward(self.forward())
        self.update()


def now(device: torch.device) -> float:
    """Return the time: of the process on the CPU, of the wall on a GPU."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(function: Callable[[], object], n: int, device: torch.device) -> float:
    """Return the time of a call, from n of them in a row."""
    for _ in range(_WARM_UP_STEPS):
        function()
    wait(device)
    start = now(device)
    for _ in range(n):
        function()
    wait(device)
    return (now(device) - start) / n


def ceiling_flops(device: torch.device, precision: Precision) -> float:
    """Return the FLOP/s of a large square matrix product."""
    n = _MATRIX[device.type]
    dtype = _AUTOCAST.get(precision, torch.float32)
    a = torch.randn(n, n, device=device, dtype=dtype)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        return 2 * n**3 / seconds(lambda: a @ a, 10, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False  # PyTorch's default


def step_flops(steps: Steps) -> float:
    """Return the floating-point operations of a step's products; backward has twice forward's."""
    model = steps.model
    if not any(isinstance(module, nn.LSTM) for module in model.modules()):
        with FlopCounterMode(display=False) as counter:
            steps.forward()
        return 3.0 * float(counter.get_total_flops())
    # PyTorch's counter does not know LSTMs: every weight matrix is used once in each frame.
    n_frames = steps.mixture.shape[0] * steps.mixture.shape[2]
    matrices = (p for p in model.parameters() if p.ndim == 2)
    return 3.0 * 2 * n_frames * sum(p.numel() for p in matrices)


class Endless:
    """Epoch after epoch of a loader as one, up to a number of batches."""

    def __init__(self, loader: Any, n_batches: int) -> None:
        self._loader, self._n = loader, n_batches

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Any]:
        n = 0
        while True:
            for batch in self._loader:
                yield batch
                n += 1
                if n == self._n:
                    return


class Timed(SeparationModule):
    """Notes when the warm-up and the last step have ended."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look at the clock."""
        if batch_idx == _WARM_UP_STEPS - 1:
            wait(self.device)
            self.start_s = now(self.device)
        if batch_idx + 1 == self.trainer.num_training_batches:
            wait(self.device)
            self.duration_s = now(self.device) - self.start_s


def end_to_end(
    model: SeparationModel[Any], config: TrainConfig, loader: Any, n_steps: int, device: str
) -> float:
    """Return the seconds of a step of the trainer's own loop."""
    module = Timed(model, config, 0, Reporter())
    trainer = Trainer(
        accelerator=device,
        devices=1,
        precision=config.precision.value,
        max_epochs=1,
        gradient_clip_val=config.clip_gradient or None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, Endless(loader, n_steps + _WARM_UP_STEPS))
    return module.duration_s / n_steps


def shares(steps: Steps, data: Callable[[], object], n: int) -> str:
    """Return where a step's time goes."""
    device = steps.device
    times = {"data": seconds(data, n, device), "forward": 0.0, "backward": 0.0, "optimiser": 0.0}
    for _ in range(n):
        marks = [now(device)]
        loss = steps.forward()
        done, backward = (lambda: None), partial(steps.backward, loss)  # forward has been done
        acts: tuple[Callable[[], object], ...] = (done, backward, steps.update)
        for act in acts:
            act()
            wait(device)
            marks.append(now(device))
        names = ("forward", "backward", "optimiser")
        for name, (a, b) in zip(names, pairwise(marks), strict=True):
            times[name] += (b - a) / n
    total = sum(times.values())
    return ", ".join(f"{name} {100 * t / total:.1f} %" for name, t in times.items())


def measure(
    name: str, settings: dict[str, str], config: TrainConfig, device_name: str, n_steps: int,
    n_clips: int, repeats: int,
) -> None:  # fmt: skip
    """Print one row, and where the time goes."""
    device = torch.device(device_name)
    targets = ("bass",) if name in ("blstm", "umx") else ("bass", "drums", "vocals", "other")
    model_config = configure(name, targets, settings)
    store: Any = NoiseStore(n_clips, targets, model_config.sample_rate)
    rules = ExampleRules(
        0, model_config.segment_samples, model_config.block_frames * model_config.hop,
        remix=0.5, gain_low=0.25, gain_high=1.25,
    )  # fmt: skip
    table = rules.table(store.n_samples, len(targets), 0)
    if len(table) < config.batch_size:
        raise click.ClickException(f"{len(table)} examples are no batch; give more --clips")
    turns = Turns(len(table), config.batch_size)
    loader: Any = (
        ResidentLoader(store, rules, turns, device)
        if device.type == "cuda"
        else StreamLoader(MixtureDataset(store, rules), turns)
    )
    ratios, rates, constant_s = [], [], 1.0
    steps = Steps(make_model(name, model_config), config, device)
    for _ in range(repeats):
        constant_s = seconds(steps.step, n_steps, device)
        whole_s = end_to_end(make_model(name, model_config), config, loader, n_steps, device_name)
        ratios.append(constant_s / whole_s)
        rates.append(config.batch_size / whole_s)
    flops, ceiling = step_flops(steps) / constant_s, ceiling_flops(device, config.precision)
    print(
        f"| {name} | {config.precision} | {config.batch_size} | {statistics.median(rates):,.0f} | "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}) | "
        f"{flops / 1e12:.3g} | {ceiling / 1e12:.3g} | {100 * flops / ceiling:.0f} % |"
    )
    batches = iter(Endless(loader, 10**9))
    print(f"<!-- {name}: {shares(steps, lambda: next(batches), n_steps)} -->", flush=True)


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), required=True)
@click.option("--model", "models", multiple=True, type=click.Choice(MODELS.names))
@click.option("--precision", "precisions", multiple=True, type=click.Choice(list(Precision)))
@click.option("--batch-size", "batch_sizes", multiple=True, type=int)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Of the model.")
@click.option("--steps", "n_steps", type=int, default=30)
@click.option("--clips", "n_clips", type=int, default=256, help="Resident clips of 10 s.")
@click.option("--repeats", type=int, default=3)
def main(
    device: str, models: tuple[str, ...], precisions: tuple[str, ...], batch_sizes: tuple[int, ...],
    settings: tuple[str, ...], n_steps: int, n_clips: int, repeats: int,
) -> None:  # fmt: skip
    """Measure training on one device."""
    if device == "cpu":
        torch.set_num_threads(1)
    hardware = torch.cuda.get_device_name() if device == "cuda" else f"CPU {platform.machine()}"
    print(f"{hardware}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(
        "| model | precision | batch | examples/s | end to end / constant | TFLOP/s | ceiling | |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for name in models or ("blstm",):
        for precision in precisions or (str(Precision.FULL),):
            for n_batch in batch_sizes or (model_class(name).training_defaults.batch_size,):
                config = dataclasses.replace(
                    model_class(name).training_defaults,
                    precision=Precision(precision),
                    batch_size=n_batch,
                )
                given = dict(text.split("=", 1) for text in settings)
                measure(name, given, config, device, n_steps, n_clips, repeats)


if __name__ == "__main__":
    main()
