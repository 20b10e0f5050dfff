"""Audio of any length, in memory or on disk, through chains of stages, block by block.

What makes estimates of a spectrum, a `BlockwiseSeparator` does not know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from stemsmith.evaluate.separation.streaming import Chain, Queue
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_blocks
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.options import member
from stemsmith.train.machine import Device
from torch import Tensor

__all__ = ["BlockwiseSeparator", "SeparationStream", "torch_device"]

_BLOCK_SAMPLES: Final = 1 << 17  # three seconds at 44.1 kHz


class BlockwiseSeparator(ABC):
    """A system that separates audio block by block.

    Attributes
    ----------
    targets : tuple of str
        Names of what it makes estimates of, in order.
    """

    targets: tuple[str, ...]

    @abstractmethod
    def stream(self, sample_rate: int) -> SeparationStream:
        """Begin a recording that comes in piece by piece.

        Raises
        ------
        UsageError
            As `check_rate` does.
        """

    def check_rate(self, sample_rate: int) -> None:
        """Check that recordings of a rate in Hz can be separated.

        Raises
        ------
        UsageError
            If the rate is none.
        """
        if sample_rate <= 0:
            raise UsageError(f"a sample rate of {sample_rate} Hz")

    @property
    def latency_s(self) -> float | None:
        """Algorithmic latency in seconds; None of what cannot stream."""
        return None

    def separate(self, audio: Float32s, sample_rate: int) -> dict[str, Float32s]:
        """Separate a recording that lies in memory.

        Parameters
        ----------
        audio : numpy.ndarray
            (n_channels, n_samples) float32, full scale at 1.
        sample_rate : int
            Its sample rate in Hz.

        Returns
        -------
        dict of str to numpy.ndarray
            The estimate of every target, (n_channels, n_samples) float32, at the same rate and
            aligned with the recording.

        Raises
        ------
        InvalidCorpus
            If it is empty, or has values that are no numbers, or its estimates have.
        UsageError
            If it is no such array, or for a sample rate that `check_rate` refuses.
        """
        if audio.ndim != 2 or not len(audio) or audio.dtype.kind != "f":
            raise UsageError(
                f"audio of shape {audio.shape} and type {audio.dtype}: it is (n_channels, "
                "n_samples), of floats with full scale at 1"
            )
        n_samples, n_block = audio.shape[1], self._block_samples(sample_rate)
        starts = range(0, n_samples, n_block)
        blocks = (audio[:, start : start + n_block] for start in starts)
        estimates = {name: np.empty_like(audio, np.float32) for name in self.targets}
        end = 0
        for separated in self._separated(blocks, sample_rate, "audio"):
            start, end = end, end + next(iter(separated.values())).shape[1]
            for name, values in separated.items():
                estimates[name][:, start:end] = values
        return estimates

    def separate_file(self, path: Path) -> Iterator[dict[str, Float32s]]:
        """Separate a file piece by piece, in bounded memory.

        Parameters
        ----------
        path : Path
            A file of audio that `read_blocks` reads.

        Yields
        ------
        dict of str to numpy.ndarray
            The next samples of every target, as in `separate`; perhaps none.

        Raises
        ------
        InvalidCorpus
            As `separate` does, or if the file is missing or damaged.
        UsageError
            As `stream` does.
        """
        sample_rate = audio_info(path).sample_rate
        blocks = read_blocks(path, self._block_samples(sample_rate))
        yield from self._separated(blocks, sample_rate, str(path))

    def _separated(
        self, blocks: Iterator[Float32s], sample_rate: int, name: str
    ) -> Iterator[dict[str, Float32s]]:
        stream, block = self.stream(sample_rate), None
        try:
            for block in blocks:
                if not np.isfinite(block).all():
                    raise InvalidCorpus(
                        f"{name}: holds values that are not numbers (NaN or infinity)"
                    )
                yield _checked(stream.push(block), name)
            if block is None:
                raise InvalidCorpus(f"{name}: holds no samples")
            yield _checked(stream.finish(block[:, :0]), name)
        except torch.OutOfMemoryError as error:
            raise UsageError(f"{name}: the GPU's memory is too small; use --device cpu") from error

    def _block_samples(self, sample_rate: int) -> int:
        return _BLOCK_SAMPLES


class SeparationStream:
    """A recording that is separated while it comes in; made by `BlockwiseSeparator.stream`."""

    def __init__(
        self, chains: Sequence[Chain], targets: Sequence[str], is_with_residual: bool
    ) -> None:
        self._chains, self._targets = chains, targets
        self._estimates = [Queue() for _ in chains]
        self._mixture = Queue() if is_with_residual else None
        self._n_in = self._n_out = 0

    def push(self, audio: Float32s) -> dict[str, Float32s]:
        """Take the next (n_channels, n_samples); return the estimates that have become final.

        Together and in order they are aligned with what was taken.
        """
        return self._separated(audio, is_last=False)

    def finish(self, audio: Float32s) -> dict[str, Float32s]:
        """Take the last samples, perhaps none; return the estimates that remain."""
        return self._separated(audio, is_last=True)

    @torch.inference_mode()
    def _separated(self, audio: Float32s, is_last: bool) -> dict[str, Float32s]:
        self._n_in += audio.shape[1]
        block = torch.from_numpy(np.array(audio, np.float32, order="C"))
        for chain, queue in zip(self._chains, self._estimates, strict=True):
            queue.push(chain.finish(block) if is_last else chain.push(block))
            if is_last:
                queue.push(self._missing(queue))
        n_final = min(self._n_in - self._n_out, *map(len, self._estimates))
        self._n_out += n_final
        estimates = torch.cat([queue.pop(n_final) for queue in self._estimates])
        if self._mixture is not None:
            self._mixture.push(block)
            residual = self._mixture.pop(n_final)[None] - estimates.sum(dim=0, keepdim=True)
            estimates = torch.cat([estimates, residual])
        return dict(zip(self._targets, estimates.numpy(), strict=True))

    def _missing(self, queue: Queue) -> Tensor:
        """Return the few samples that resampling to and fro may lack in the end."""
        n_missing = max(0, self._n_in - self._n_out - len(queue))
        return queue.peek(0).new_zeros(*queue.peek(0).shape[:-1], n_missing)


def _checked(estimates: dict[str, Float32s], name: str) -> dict[str, Float32s]:
    for target, values in estimates.items():
        if not np.isfinite(values).all():
            raise InvalidCorpus(
                f"{name}: the estimate of {target} is no audio (NaN or infinity): samples far "
                "beyond full scale, or weights of a training that diverged"
            )
    return estimates


def torch_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises
    ------
    UsageError
        If it is none of them, or there is no such device.
    """
    wanted = member(Device, name, "--device")
    if wanted is Device.AUTO:
        wanted = Device.CUDA if torch.cuda.is_available() else Device.CPU
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here")
    return torch.device(str(wanted))
