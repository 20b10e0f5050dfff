"""Training from mixtures to checkpoints: what to train, checked; then Lightning's loop."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from stemsmith.manifests.cache import cache_folder
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.places import is_remote, local_copy
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.train.checkpoints import AtomicCheckpointIO, BestAndLast
from stemsmith.train.data.clips import Clips, find_clips
from stemsmith.train.data.loaders import Choice, Data, choose_loader, free_memory
from stemsmith.train.data.module import MixtureDataset
from stemsmith.train.data.store import Decoding
from stemsmith.train.destination import RunDestination
from stemsmith.train.history import write_history
from stemsmith.train.machine import Device, Machine
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.models.registry import make_model
from stemsmith.train.module import SeparationModule
from stemsmith.train.report import Reporter, find_loggers
from stemsmith.train.request import TrainRequest, describe
from stemsmith.train.run import BEST, LAST
from stemsmith.train.schedule import Epoch, Precision, TrainConfig, is_over
from stemsmith.train.weights import read_checkpoint, read_epochs
from torch import Tensor

__all__ = ["fit", "is_first_process"]

_STATISTICS_EXAMPLES: Final = 256  # from which the input's normalisation is measured


def fit(
    request: TrainRequest,
    root: Path,
    machine: Machine,
    decode: Callable[[list[Decoding]], None],
    *,
    is_resumed: bool = False,
    progress: Progress = QUIET,
) -> None:
    """Train a model.

    Parameters
    ----------
    request : TrainRequest
        What to train on what.
    root : Path
        Folder of the run.
    machine : Machine
        Device, number of processes, loader and logger to train with.
    decode : callable
        Called with the stores of a resident loader, to fill them.
    is_resumed : bool
        Whether to go on with a run that was killed, from its last whole epoch.
    progress : Progress
        Is told which loader was chosen, and how far each epoch is.

    Raises
    ------
    StemsmithError
        Before any training if audio, targets or splits are missing or the folder is another
        run's; while training if the loss is not finite.
    """
    is_first = is_first_process()
    progress = progress if is_first else QUIET
    settings = request.settings
    clips = _clips_of(request)
    device = _device(machine)
    if device.type == "cpu" and request.training.precision is Precision.HALF:
        raise UsageError(f"--precision {Precision.HALF}: needs a GPU; take {Precision.BFLOAT16}")
    kinds = find_loggers(machine.logger)
    choice = _choice(machine, clips, device)
    progress.note(f"loader: {choice.loader}, {choice.reason}")
    torch.manual_seed(request.rules.seed)
    # The other run's weights are read before the folder is made.
    model = (
        make_model(request.model, settings) if request.init is None else _init(request, progress)
    )
    destination = RunDestination(root)
    n_examples = len(request.rules.table(clips[0].n_samples, len(settings.targets), 0))
    content = describe(request, root, machine, choice, n_examples, model.n_parameters)
    with destination.opened(content, is_resumed) if is_first else contextlib.nullcontext():
        is_validated = request.validation is not None
        history = _history_before(destination, is_validated, progress) if is_resumed else []
        if is_first and history:
            write_history(root, history)  # it may be ahead of the checkpoint, or an old version's
        if is_over(history, request.training):
            return

        def begin(dataset: MixtureDataset) -> None:
            if not history and request.init is None:
                model.fit_statistics(_spectra(model, dataset))

        data = Data(
            clips,
            request.rules,
            request.training.batch_size,
            choice,
            machine.n_workers,
            decode,
            machine.cache or cache_folder(),
            begin,
        )
        loggers = [kind(root) for kind in kinds] if is_first else []
        with (
            Reporter(loggers, progress, request.training.epochs) as reporter,
            _no_advice(),
            _threads(machine.n_threads),
        ):
            module = SeparationModule(model, request.training, request.rules.seed, reporter)
            trainer = _trainer(destination, request.training, machine, device, is_validated)
            last = local_copy(destination.checkpoint(LAST)) if history else None
            _run(trainer, module, data, last)


def _history_before(
    destination: RunDestination, is_validated: bool, progress: Progress
) -> list[Epoch]:
    """Return the epochs before the last checkpoint; none where there is no checkpoint.

    The best one is read as well: nothing may write it again, and it must not be found to be
    damaged when all is done.
    """
    path = destination.checkpoint(LAST)
    if not path.exists():
        return []
    if is_validated:
        read_checkpoint(destination.checkpoint(BEST), progress)
    return read_epochs(path, progress)


@contextlib.contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Do arithmetic on so many threads, or on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if n is None else n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _no_advice() -> Iterator[None]:
    """Keep back advice to set options that are set on purpose, or not ours to set."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", module=r"torch\.utils\.data\..*")
        yield


def _run(trainer: Trainer, module: SeparationModule, data: Data, checkpoint: Path | None) -> None:
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C and SIGTERM; the former is then ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None
    except torch.OutOfMemoryError as error:
        raise UsageError(
            "the GPU's memory is too small; train with --loader stream, or in another folder "
            "with a smaller --batch-size"
        ) from error
    finally:
        data.close()


def _clips_of(request: TrainRequest) -> tuple[Clips, ...]:
    """Return the clips to train on, and those to validate on, whose targets are the true ones.

    Where nothing is validated, there are those to train on alone.
    """
    settings, rules = request.settings, request.rules
    if rules.remix or (rules.gain_low, rules.gain_high) != (1.0, 1.0):
        for folder in request.mixtures:
            if not Mixtures(folder).is_additive:
                raise UsageError(
                    f"{folder}: its mixtures are not the sum of their recordings (bleed, master), "
                    "which --remix and --gain need"
                )
    return tuple(
        find_clips(
            folders,
            split,
            settings.targets,
            settings.sample_rate,
            settings.n_channels,
            is_true=split == "validation",
        )
        for split, folders in request.folders.items()
        if folders
    )


def _device(machine: Machine) -> torch.device:
    if machine.device is Device.CUDA and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no such device")
    is_cuda = machine.device is not Device.CPU and torch.cuda.is_available()
    if is_cuda and machine.n_devices > torch.cuda.device_count():
        raise UsageError(
            f"--devices {machine.n_devices}: this machine has {torch.cuda.device_count()}"
        )
    return torch.device("cuda" if is_cuda else "cpu")


def _choice(machine: Machine, clips: Sequence[Clips], device: torch.device) -> Choice:
    n_bytes = sum(c.n_bytes for c in clips)
    # Of its own GPU: asking another one takes memory there.
    own = int(os.environ.get("LOCAL_RANK", "0"))
    n_free = torch.cuda.mem_get_info(own)[0] if device.type == "cuda" else 0
    return choose_loader(machine.loader, n_bytes, free_memory(), n_free)


def _init(request: TrainRequest, progress: Progress) -> SeparationModel[Any]:
    """Return the model of another run, which must be of the same kind, shape and targets."""
    init = request.init
    assert init is not None
    if init.model_name != request.model:
        raise UsageError(f"--init {init.root}: is a {init.model_name}, not a {request.model}")
    model = init.model(progress=progress)
    if other := _different(model.config, request.settings):
        raise UsageError(f"--init {init.root}: has other targets or settings: {other}")
    return model.train()


def _different(known: ModelConfig, wanted: ModelConfig) -> str:
    """Return the settings in which two configurations of a model differ, as text."""
    pairs = {
        field.name: (getattr(known, field.name), getattr(wanted, field.name))
        for field in dataclasses.fields(known)
    }
    return ", ".join(f"{name} {a}, not {b}" for name, (a, b) in pairs.items() if a != b)


def is_first_process() -> bool:
    """Return whether this is the process of a run that writes: others are on its behalf."""
    from lightning.pytorch.utilities import rank_zero_only

    # Lightning's own launcher gives a machine's first process no rank.
    node = os.environ.get("GROUP_RANK", os.environ.get("NODE_RANK", "0"))
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0 and int(node) == 0


def _spectra(model: SeparationModel[Any], dataset: MixtureDataset) -> Iterator[Tensor]:
    for index in range(min(len(dataset), _STATISTICS_EXAMPLES)):
        mixture, _ = dataset[0, index]
        spectrum = model.stft(mixture)
        yield spectrum if spectrum.ndim == 3 and not model.is_joint else spectrum[None]


def _trainer(
    destination: RunDestination,
    training: TrainConfig,
    machine: Machine,
    device: torch.device,
    is_validated: bool,
) -> Trainer:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    is_parallel = machine.n_devices * machine.n_nodes > 1
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect():  # which would write a checkpoint within an epoch
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return Trainer(
        accelerator=device.type,
        devices=machine.n_devices,
        num_nodes=machine.n_nodes,
        strategy="ddp" if is_parallel else "auto",
        sync_batchnorm=is_parallel and device.type == "cuda",  # PyTorch has it for GPUs alone
        use_distributed_sampler=False,  # our batches know their process
        precision=training.precision.value,
        max_epochs=training.epochs,
        gradient_clip_val=training.clip_gradient or None,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if is_validated else 0,
        logger=False,  # see `stemsmith.train.report`
        callbacks=[BestAndLast(destination, training.monitor)],
        plugins=plugins,
        default_root_dir=None if is_remote(destination.root) else destination.root,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
