"""Training examples, from recipes or shards (stream) or from decoded clips (resident).

Both loaders give batches of the same tensors for the same seed, epoch and index: the rules
(`stemsmith.train.data.examples`) decide what an example is, and samples are 16-bit integers in
both.

An example is ``(mixture, references)``: float32 tensors (n_samples,) and (n_targets, n_samples), or
of two channels (2, n_samples) and (n_targets, 2, n_samples).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.errors import StemsmithError
from stemsmith.manifests.places import place
from stemsmith.manifests.safe_path import safe_path
from stemsmith.train.data.clips import ClipSource, find_clips
from stemsmith.train.data.examples import EpochTable, ExampleRules, Turns
from stemsmith.train.data.store import ClipStore
from stemsmith.train.models.base import ModelConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

__all__ = ["Batches", "MixtureDataset", "ResidentLoader", "StreamLoader"]

Example = tuple[Tensor, Tensor]

_PREFETCHED_BATCHES: Final = 4  # by each worker


class Batches(Protocol):
    """Batches of an epoch: examples, which have the batch before their other axes.

    Attributes
    ----------
    batch_sampler : Turns
        Which examples; Lightning looks for it under this name.
    """

    @property
    def batch_sampler(self) -> Turns: ...  # noqa: D102

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Example]: ...


class MixtureDataset(Dataset[Example]):
    """Examples of mixtures, by index.

    Indices are rows of an epoch's table: ``dataset[i]`` is of the epoch last given to `set_epoch`
    (0 at first), ``dataset[epoch, i]`` of any. Examples of an epoch are in random order already.

    Parameters
    ----------
    source : ClipSource
        Where the clips of mixtures come from.
    rules : ExampleRules
        How examples are drawn from them.
    """

    def __init__(self, source: ClipSource, rules: ExampleRules) -> None:
        self._source, self._rules = source, rules
        self._epoch = 0
        self._table = lru_cache(maxsize=2)(self._draw)

    @classmethod
    def of(
        cls,
        folders: Sequence[str | Path],
        config: ModelConfig,
        split: str = "train",
        seed: int = 0,
    ) -> MixtureDataset:
        """Return the examples that a model trains on by default: one segment of each mixture.

        Parameters
        ----------
        folders : sequence of path
            Folders that ``stemsmith mix`` wrote.
        config : ModelConfig
            Configuration of the model, which has targets, sample rate, channels and segment length.
        split : str
            ``train``, ``validation`` or ``test``.
        seed : int
            Seed of all draws.

        Raises
        ------
        StemsmithError
            If the folders do not have what it takes; see `find_clips`.
        """
        paths, targets = [place(f) for f in folders], config.targets
        clips = find_clips(paths, split, targets, config.sample_rate, config.n_channels)
        return cls(clips, ExampleRules(seed, config.segment_samples))

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_table"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._table = lru_cache(maxsize=2)(self._draw)

    def _draw(self, epoch: int) -> EpochTable:
        return self._rules.table(self._source.n_samples, len(self._source.targets), epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of plain indices."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._table(self._epoch))

    def __getitem__(self, index: int | tuple[int, int]) -> Example:
        epoch, row = index if isinstance(index, tuple) else (self._epoch, index)
        table = self._table(epoch)
        if not 0 <= row < len(table):
            raise IndexError(f"example {row} of {len(table)}")  # ends iteration
        places = list(zip(table.clip[row].tolist(), table.start[row].tolist(), strict=True))
        # Each is decoded once: most examples are from one place.
        excerpts = {place: self._excerpt(*place) for place in dict.fromkeys(places)}
        whole = excerpts[places[0]]
        if table.is_plain:
            return _plain(whole, 0)
        targets = torch.stack([excerpts[place][j] for j, place in enumerate(places[1:], 1)])
        return _mixed(whole, targets, torch.from_numpy(table.gain[row]), 0)

    def _excerpt(self, clip: int, start: int) -> Tensor:
        """Return mixture and targets, (1 + n_targets, (2,) segment_samples) int16."""
        found = self._source.read(clip)[..., start : start + self._rules.segment_samples]
        excerpt = np.zeros((*found.shape[:-1], self._rules.segment_samples), np.int16)
        excerpt[..., : found.shape[-1]] = found
        return torch.from_numpy(excerpt)


def _plain(whole: Tensor, axis: int) -> Example:
    """Make examples, as they are, of int16 with mixture and targets along an axis."""
    audio = whole.float() / FULL_SCALE_16
    return audio.select(axis, 0), audio.narrow(axis, 1, audio.shape[axis] - 1)


def _mixed(whole: Tensor, targets: Tensor, gain: Tensor, axis: int) -> Example:
    """Make examples of an accompaniment and targets from elsewhere.

    Parameters
    ----------
    whole : Tensor
        (..., 1 + n_targets, (2,) n_samples) int16: a mixture and its targets.
    targets : Tensor
        (..., n_targets, (2,) n_samples) int16.
    gain : Tensor
        (..., 1 + n_targets) float32.
    axis : int
        Along which mixture and targets lie: 0, or 1 in a batch.
    """
    n_targets = targets.shape[axis]
    gain = gain.reshape(*gain.shape, *[1] * (whole.ndim - gain.ndim))
    of_targets = whole.narrow(axis, 1, n_targets).sum(dim=axis, dtype=torch.int32)
    accompaniment = whole.select(axis, 0).int() - of_targets
    references = targets.float() / FULL_SCALE_16 * gain.narrow(axis, 1, n_targets)
    mixture = accompaniment.float() / FULL_SCALE_16 * gain.select(axis, 0)
    for target in references.unbind(axis):  # one after the other: the same sum on any device
        mixture = mixture + target
    return mixture, references


class StreamLoader:
    """Batches of a data set, loaded by this process or by others.

    Parameters
    ----------
    dataset : MixtureDataset
        The examples. Nothing random happens when they are loaded, so that workers need no seeds.
    turns : Turns
        Which examples make up each batch.
    n_workers : int
        Number of processes that load ahead; 0 loads in this one.
    is_pinned : bool
        Whether batches lie in pinned memory, from which a GPU copies faster.
    """

    def __init__(
        self, dataset: MixtureDataset, turns: Turns, n_workers: int = 0, is_pinned: bool = False
    ) -> None:
        self.batch_sampler = turns
        self._loader = DataLoader(
            dataset,
            batch_sampler=turns,
            num_workers=n_workers,
            pin_memory=is_pinned,
            persistent_workers=n_workers > 0,
            prefetch_factor=_PREFETCHED_BATCHES if n_workers else None,
            multiprocessing_context="forkserver" if n_workers else None,
            generator=torch.Generator(),  # seeds of workers: dropout's are left alone
            worker_init_fn=partial(_take_environment, dict(os.environ)),
        )

    def close(self) -> None:
        """End the processes that load.

        Left to Python's garbage collector, which has closed their queues by then, each would be
        waited for in vain for five seconds.
        """
        batches, self._loader._iterator = self._loader._iterator, None
        if self._loader.num_workers and batches is not None:
            batches._shutdown_workers()  # type: ignore[attr-defined]  # as PyTorch does at the end

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Example]:
        # Begins when the first batch is asked for, by when the epoch is known: Lightning makes
        # the iterator before that, and workers load ahead from the moment it is there.
        try:
            with safe_path():  # of the processes that load, if there are any
                batches = iter(self._loader)
            yield from batches
        except StemsmithError as error:
            if not self._loader.num_workers:
                raise
            # PyTorch makes the worker's traceback the text; its last line is "type: text".
            text = str(error.args[0]).strip().splitlines()[-1].partition(": ")[2]
            raise type(error)(text) from error


def _take_environment(variables: Mapping[str, str], worker: int) -> None:
    """Give a process that loads the environment of the one that trains.

    Its own is that of the server which such processes are forked from, of the time when that was
    started: credentials of a store that a notebook has set since then would be missing.
    """
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


class ResidentLoader:
    """Batches made on a device from clips that lie there as a whole.

    Parameters
    ----------
    store : ClipStore
        Decoded clips, which are copied to the device.
    rules : ExampleRules
        How examples are drawn.
    turns : Turns
        Which examples make up each batch.
    device : torch.device
        Device that the clips lie on.
    """

    def __init__(
        self, store: ClipStore, rules: ExampleRules, turns: Turns, device: torch.device
    ) -> None:
        self.batch_sampler = turns
        self._rules, self._n_samples = rules, store.n_samples
        self._n_targets, self._n_channels = len(store.targets), store.n_channels
        sizes = [len(part) for part in store.parts]
        # Clips that are shorter than a segment are followed by others, and masked; the last one
        # by silence.
        self._samples = torch.zeros(
            sum(sizes) + rules.segment_samples, dtype=torch.int16, device=device
        )
        first = np.cumsum(sizes) - sizes
        for position, part in zip(first, store.parts, strict=True):
            self._samples[position : position + len(part)] = torch.from_numpy(np.array(part))
        self._offset = first[store.part] + store.offset

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Example]:
        table: EpochTable | None = None
        for batch in self.batch_sampler:
            if table is None:
                table = self._rules.table(self._n_samples, self._n_targets, batch[0][0])
            yield self._batch(table, [row for _, row in batch])

    def _batch(self, table: EpochTable, rows: list[int]) -> Example:
        clip, start = table.clip[rows], table.start[rows]
        whole = self._gather(clip[:, :1], start[:, :1], np.arange(1 + self._n_targets)[None])
        if table.is_plain:
            return _plain(whole, 1)
        targets = self._gather(clip[:, 1:], start[:, 1:], np.arange(1, 1 + self._n_targets)[None])
        return _mixed(whole, targets, self._on_device(table.gain[rows]), 1)

    def _gather(self, clip: np.ndarray, start: np.ndarray, row: np.ndarray) -> Tensor:
        """Return excerpts of mixtures (row 0) and targets (from row 1 on).

        Parameters
        ----------
        clip, start, row : numpy.ndarray
            What to take, of shapes that broadcast to (n_batch, n_rows).

        Returns
        -------
        Tensor
            (n_batch, n_rows, (2,) segment_samples) int16.
        """
        n_segment, n_channels = self._rules.segment_samples, self._n_channels
        channel = np.arange(n_channels)
        clip, start, row = clip[..., None], start[..., None], row[..., None]
        n_clip = self._n_samples[clip]
        first = self._offset[clip] + (row * n_channels + channel) * n_clip + start
        position = self._on_device(first if n_channels > 1 else first[..., 0])
        excerpts = self._samples.unfold(0, n_segment, 1)[position]
        n_inside = np.broadcast_to(n_clip - start, first.shape).reshape(position.shape)
        if (n_inside < n_segment).any():
            places = torch.arange(n_segment, device=excerpts.device)
            excerpts *= places < self._on_device(n_inside.copy())[..., None]
        return excerpts

    def _on_device(self, values: np.ndarray) -> Tensor:
        tensor, device = torch.from_numpy(values), self._samples.device
        if device.type != "cuda":
            return tensor.to(device)
        # From other memory a copy waits until the GPU has done all before it.
        return tensor.pin_memory().to(device, non_blocking=True)
