"""Training from mixtures to checkpoints: what to train, checked; then Lightning's loop."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.mixtures import STAGE
from stemsmith.mixing.sources.measure import cache_folder
from stemsmith.train.checkpoints import AtomicCheckpointIO, BestAndLast, read_history
from stemsmith.train.data.clips import Clips, find_clips
from stemsmith.train.data.loaders import Choice, Data, choose_loader, free_memory
from stemsmith.train.data.module import MixtureDataset
from stemsmith.train.data.store import Decoding, run
from stemsmith.train.models.base import SeparationModel
from stemsmith.train.models.registry import make_model
from stemsmith.train.module import SeparationModule
from stemsmith.train.request import Machine, Request, Result
from stemsmith.train.run_dir import BEST, LAST, RunDir, load_run
from stemsmith.train.schedule import Precision, TrainConfig, is_over
from torch import Tensor

__all__ = ["decode_here", "fit", "is_first_process"]

_STATISTICS_EXAMPLES: Final = 256  # from which the input's normalisation is measured
_PACKAGES: Final = ("stemsmith", "torch", "lightning", "numpy", "soundfile", "soxr")


def decode_here(decodings: list[Decoding]) -> None:
    """Fill stores in this process."""
    for decoding in decodings:
        with decoding.opened():
            if not decoding.is_closed:
                for job in decoding.jobs():
                    run(job)
            decoding.close()


def fit(
    request: Request,
    root: Path,
    machine: Machine,
    is_resumed: bool = False,
    decode: Callable[[list[Decoding]], None] = decode_here,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Train a model.

    Parameters
    ----------
    request : Request
        What to train.
    root : Path
        Folder of the run.
    machine : Machine
        On what.
    is_resumed : bool
        Whether to go on with a run that was killed, from its last whole epoch.
    decode : callable
        Fills the stores of a resident loader.
    say : callable
        Is given a line for people where something was decided.

    Raises
    ------
    StemsmithError
        Before any training if audio, targets or splits are missing or the folder is another
        run's; while training if the loss is not finite.
    """
    settings = request.settings
    clips = _clips_of(request)
    device = _device(machine.device, machine.n_devices)
    if device.type == "cpu" and request.training.precision is Precision.HALF:
        raise UsageError(f"--precision {Precision.HALF}: needs a GPU; take {Precision.BFLOAT16}")
    choice = _choice(machine, clips, device)
    say(f"loader: {choice.loader}, {choice.reason}")
    torch.manual_seed(request.rules.seed)
    # The other runs' weights are read before the folder is made.
    model = make_model(request.model, settings) if request.init is None else _init(request)
    folder = RunDir(root)
    table = request.rules.table(clips[0].n_samples, len(settings.targets), 0)
    result = Result([], choice, model.n_parameters, len(table))
    content = _description(request, root, model)
    with folder.opened(content, is_resumed) if is_first_process() else contextlib.nullcontext():
        is_going_on = is_resumed and folder.checkpoint(LAST).exists()
        history = read_history(folder) if is_going_on else []
        if is_over(history, request.training):
            return dataclasses.replace(result, history=history)
        report = folder.write_history
        module = SeparationModule(model, request.training, request.rules.seed, report)

        def begin(dataset: MixtureDataset) -> None:
            if not is_going_on and request.init is None:
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
        with warnings.catch_warnings():
            # Advice to set options that are set on purpose, or not ours to set.
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", module=r"torch\.utils\.data\..*")
            trainer = _trainer(folder, request.training, machine, device)
            _run(trainer, module, data, folder.checkpoint(LAST) if is_going_on else None)
    return dataclasses.replace(result, history=module.history)


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


def _clips_of(request: Request) -> tuple[Clips, Clips]:
    settings = request.settings
    folders = request.mixtures, request.validation or request.mixtures
    train, validation = (
        find_clips(some, split, settings.targets, settings.sample_rate)
        for some, split in zip(folders, ("train", "validation"), strict=True)
    )
    return train, validation


def _device(wanted: str, n_devices: int) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no such device")
    is_cuda = wanted != "cpu" and torch.cuda.is_available()
    if is_cuda and n_devices > torch.cuda.device_count():
        raise UsageError(f"--devices {n_devices}: this machine has {torch.cuda.device_count()}")
    return torch.device("cuda" if is_cuda else "cpu")


def _choice(machine: Machine, clips: tuple[Clips, Clips], device: torch.device) -> Choice:
    n_bytes = sum(c.n_bytes for c in clips)
    # Of its own GPU: asking another one takes memory there.
    own = int(os.environ.get("LOCAL_RANK", "0"))
    n_free = torch.cuda.mem_get_info(own)[0] if device.type == "cuda" else 0
    return choose_loader(machine.loader, n_bytes, free_memory(), n_free)


def _init(request: Request) -> SeparationModel[Any]:
    """Return the model of another run, which must be of the same kind, shape and targets."""
    assert request.init is not None
    known = RunDir(request.init).describe()["config"]["model"]
    if known != request.model:
        raise UsageError(f"--init {request.init}: is a {known}, not a {request.model}")
    model = load_run(request.init)
    if model.config != request.settings:
        raise UsageError(f"--init {request.init}: has other targets or settings")
    return model.train()


def is_first_process() -> bool:
    """Return whether this is the process of a run that writes: others are on its behalf."""
    from lightning.pytorch.utilities import rank_zero_only

    # Lightning's own launcher gives a machine's first process no rank.
    node = os.environ.get("GROUP_RANK", os.environ.get("NODE_RANK", "0"))
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0 and int(node) == 0


def _description(request: Request, root: Path, model: SeparationModel[Any]) -> dict[str, Any]:
    """Return what ``run.json`` says."""
    folders = {"train": request.mixtures, "validation": request.validation or request.mixtures}
    return {
        "config": {
            "model": request.model,
            "settings": dataclasses.asdict(request.settings),
            "training": dataclasses.asdict(request.training),
            "rules": dataclasses.asdict(request.rules),
            "data": {
                name: [shards.read_manifest(path, STAGE)["fingerprint"] for path in some]
                for name, some in folders.items()
            },
            "init": None if request.init is None else _weights_of(request.init),
        },
        "data": {
            name: [storage.relative(path, root) for path in some] for name, some in folders.items()
        },
        "n_parameters": model.n_parameters,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _weights_of(run_folder: Path) -> str:
    """Return the hash of a run's best weights."""
    return storage.file_hash(RunDir(run_folder).checkpoint(BEST))


def _spectra(model: SeparationModel[Any], dataset: MixtureDataset) -> Iterator[Tensor]:
    for index in range(min(len(dataset), _STATISTICS_EXAMPLES)):
        mixture, _ = dataset[0, index]
        yield model.stft(mixture[None])


def _trainer(
    folder: RunDir, training: TrainConfig, machine: Machine, device: torch.device
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
        logger=TensorBoardLogger(folder.root, name="tensorboard", version=""),
        callbacks=[BestAndLast(folder)],
        plugins=plugins,
        default_root_dir=folder.root,
        enable_progress_bar=machine.is_with_progress,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
