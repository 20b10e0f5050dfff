"""Which loader a run uses, and its batches for every process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from lightning.pytorch import LightningDataModule
from stemsmith.train.data.clips import Clips
from stemsmith.train.data.config import Loader
from stemsmith.train.data.examples import VALIDATION, ExampleRules, Turns, validation_of
from stemsmith.train.data.module import Batches, MixtureDataset, ResidentLoader, StreamLoader
from stemsmith.train.data.store import ClipStore, Decoding

__all__ = ["Choice", "Data", "choose_loader", "free_memory"]

_GPU_SHARE: Final = 0.6  # of the free memory of a GPU; the rest is for the model
_MEMORY_SHARE: Final = 0.7  # of the memory that is not in use


@dataclass(frozen=True, slots=True)
class Choice:
    """A loader and where its clips lie.

    Attributes
    ----------
    loader : Loader
        `Loader.STREAM` or `Loader.RESIDENT`.
    is_on_device : bool
        Whether clips are resident in the memory of the GPU, or in the page cache of this machine.
    reason : str
        Why it was chosen, in words for people.
    """

    loader: Loader
    is_on_device: bool
    reason: str


def choose_loader(wanted: Loader, n_bytes: int, n_free: int, n_free_on_device: int) -> Choice:
    """Choose a loader.

    Parameters
    ----------
    wanted : Loader
        What the user asks for.
    n_bytes : int
        Size of all clips when they are decoded.
    n_free : int
        Number of bytes of memory that are not in use.
    n_free_on_device : int
        Number of bytes of the GPU's memory that are not in use; 0 without a GPU.
    """
    size = f"{n_bytes / 1e9:.1f} GB of decoded clips"
    if wanted is Loader.STREAM:
        return Choice(Loader.STREAM, False, "as asked")
    if n_free_on_device and n_bytes <= _GPU_SHARE * n_free_on_device:
        free = f"{n_free_on_device / 1e9:.0f} GB are free on the GPU"
        return Choice(Loader.RESIDENT, True, f"{size}; {free}")
    if wanted is Loader.RESIDENT or n_bytes <= _MEMORY_SHARE * n_free:
        return Choice(Loader.RESIDENT, False, f"{size} in the page cache")
    return Choice(Loader.STREAM, False, f"{size}; {n_free / 1e9:.0f} GB of memory are free")


def free_memory() -> int:
    """Return how many bytes of memory are not in use, the page cache counted as free."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class Data(LightningDataModule):
    """Batches for training and validation in one process of a run.

    Parameters
    ----------
    clips : sequence of Clips
        Clips to train on, and those to validate on, if any.
    rules : ExampleRules
        How examples are drawn.
    n_batch : int
        Number of examples of a batch in one process.
    choice : Choice
        Loader that was chosen, and where clips lie.
    n_workers : int
        Number of processes that load ahead, unless clips are on the device.
    prepare : callable
        Called with the stores of a resident loader, to fill them, in the first process only.
    cache : Path
        Folder of the stores.
    begin : callable
        Called with the training examples before the first step, in every process.
    """

    def __init__(
        self,
        clips: Sequence[Clips],
        rules: ExampleRules,
        n_batch: int,
        choice: Choice,
        n_workers: int,
        prepare: Callable[[list[Decoding]], None],
        cache: Path,
        begin: Callable[[MixtureDataset], None],
    ) -> None:
        super().__init__()
        self.prepare_data_per_node = False
        self._rules, self._n_batch = rules, n_batch
        self._choice, self._n_workers = choice, n_workers
        self._prepare, self._begin = prepare, begin
        self._decodings = [Decoding(one, cache) for one in clips]
        self._sources: list[Clips | ClipStore] = list(clips)
        self._streams: list[StreamLoader] = []

    def close(self) -> None:
        """End the processes that load."""
        for stream in self._streams:
            stream.close()

    def prepare_data(self) -> None:
        """Decode what is resident; Lightning has the other processes wait."""
        if self._choice.loader is Loader.RESIDENT:
            self._prepare(self._decodings)

    def setup(self, stage: str) -> None:
        """Open what was decoded."""
        assert self.trainer is not None
        # Each process has seen another amount of free memory: the first one's choice is it.
        self._choice = self.trainer.strategy.broadcast(self._choice)
        if self._choice.loader is Loader.RESIDENT:
            self._sources = [decoding.store() for decoding in self._decodings]
        self._begin(MixtureDataset(self._sources[0], self._rules))

    def train_dataloader(self) -> Batches:
        """Return the batches of training."""
        return self._batches(0, 0)

    def val_dataloader(self) -> Batches:
        """Return the batches of validation, the same in every epoch unless they are drawn."""
        is_drawn = self._rules.n_validation is not None
        return self._batches(1, validation_of(0) if is_drawn else VALIDATION)

    def _batches(self, number: int, epoch: int) -> Batches:
        source = self._sources[number]
        dataset = MixtureDataset(source, self._rules)
        table = self._rules.table(source.n_samples, len(source.targets), epoch)
        assert self.trainer is not None
        turns = Turns(
            len(table), self._n_batch, self.trainer.global_rank, self.trainer.world_size, epoch
        )
        device: torch.device = self.trainer.strategy.root_device
        if self._choice.is_on_device and isinstance(source, ClipStore):
            return ResidentLoader(source, self._rules, turns, device)
        stream = StreamLoader(dataset, turns, self._n_workers, device.type == "cuda")
        self._streams.append(stream)
        return stream
