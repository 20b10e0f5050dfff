"""Training from mixtures to checkpoints: what to train, checked; then Lightning's loop."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.measure import cache_folder
from stemsmith.mixing.mixture_plan import STAGE
from stemsmith.train.clips import Clips, find_clips
from stemsmith.train.data import MixtureDataset
from stemsmith.train.examples import ExampleRules
from stemsmith.train.loading import Choice, Data, Loader, choose_loader, free_memory
from stemsmith.train.model import ModelConfig, SeparationModel
from stemsmith.train.models import make_model
from stemsmith.train.module import VALIDATION_LOSS, SeparationModule
from stemsmith.train.run_dir import BEST, LAST, RunDir, load_run
from stemsmith.train.schedule import Epoch, TrainConfig
from stemsmith.train.store import Decoding, run
from torch import Tensor

__all__ = ["Machine", "Request", "Result", "decode_here", "fit"]

_STATISTICS_EXAMPLES: Final = 256  # from which the input's normalisation is measured
_PACKAGES: Final = ("stemsmith", "torch", "lightning", "numpy", "soundfile", "soxr")


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
    history : tuple of Epoch
        Every epoch, those before a resumption included.
    choice : Choice
        The loader.
    n_parameters : int
        Trained parameters of the model.
    n_examples : int
        Training examples of an epoch.
    """

    history: tuple[Epoch, ...]
    choice: Choice
    n_parameters: int
    n_examples: int

    @property
    def best(self) -> Epoch:
        """The epoch of the lowest validation loss."""
        return min(self.history, key=lambda epoch: epoch.validation_loss)


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
    device = _device(machine.device)
    choice = _choice(machine, clips, device)
    say(f"loader: {choice.loader}, {choice.reason}")
    torch.manual_seed(request.rules.seed)
    # The other runs' weights are read before the folder is made.
    model = make_model(request.model, settings) if request.init is None else _init(request)
    folder = RunDir(root)
    is_first = _rank() == 0
    if is_first:
        folder.begin(_description(request, root, model), is_resumed)
    last = folder.checkpoint(LAST)
    is_going_on = is_resumed and last.exists()
    module = SeparationModule(model, request.training, request.rules.seed, folder.write_history)

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
    trainer = _trainer(folder, request.training, machine, device)
    with warnings.catch_warnings():
        # Advice to set options that are set on purpose, or not ours to set.
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", module=r"torch\.utils\.data\..*")
        trainer.fit(module, data, ckpt_path=str(last) if is_going_on else None, weights_only=True)
    table = request.rules.table(clips[0].n_samples, len(settings.targets), 0)
    return Result(tuple(module.history), choice, model.n_parameters, len(table))


def _clips_of(request: Request) -> tuple[Clips, Clips]:
    settings = request.settings
    folders = request.mixtures, request.validation or request.mixtures
    train, validation = (
        find_clips(some, split, settings.targets, settings.sample_rate)
        for some, split in zip(folders, ("train", "validation"), strict=True)
    )
    return train, validation


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no such device")
    is_cuda = wanted != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if is_cuda else "cpu")


def _choice(machine: Machine, clips: tuple[Clips, Clips], device: torch.device) -> Choice:
    n_bytes = sum(c.n_bytes for c in clips)
    n_free = torch.cuda.mem_get_info()[0] if device.type == "cuda" else 0
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


def _rank() -> int:
    """Return the number of this process where a launcher has started several."""
    from lightning.pytorch.utilities import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0) or 0)


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
    callbacks: list[Callback] = [
        ModelCheckpoint(
            dirpath=folder.checkpoints,
            filename=BEST,
            monitor=VALIDATION_LOSS,
            save_last=True,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
    ]
    return Trainer(
        accelerator=device.type,
        devices=machine.n_devices,
        num_nodes=machine.n_nodes,
        strategy="ddp" if is_parallel else "auto",
        sync_batchnorm=is_parallel,
        use_distributed_sampler=False,  # our batches know their process
        precision=training.precision.value,
        max_epochs=training.epochs,
        gradient_clip_val=training.clip_gradient or None,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(folder.root, name="tensorboard", version=""),
        callbacks=callbacks,
        enable_progress_bar=machine.is_with_progress,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
