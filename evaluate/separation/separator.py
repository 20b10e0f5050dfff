"""Trained runs as one system: audio in, audio of every target out.

What happens, block by block in bounded memory: resampling to the rate of the networks, the
transform, the networks (`estimation`), masks, thresholds and phases as asked for, the inverse
transform, resampling back. Runs of the same transform share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from stemsmith.evaluate.separation.checks import check_models
from stemsmith.evaluate.separation.estimation import Estimates, Segments
from stemsmith.evaluate.separation.options import RESIDUAL, SeparationConfig
from stemsmith.evaluate.separation.phase import GriffinLim
from stemsmith.evaluate.separation.postprocess import EnergyGate, Masking
from stemsmith.evaluate.separation.streaming import (
    Analysis,
    Chain,
    Queue,
    Resampler,
    Stage,
    Synthesis,
)
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_blocks
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.options import member
from stemsmith.manifests.paths import local_path
from stemsmith.train.machine import Device
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.run import TrainedRun
from torch import Tensor

__all__ = ["SeparationStream", "Separator", "torch_device"]

_BLOCK_SAMPLES: Final = 1 << 17  # three seconds at 44.1 kHz

Model = SeparationModel[Any]


class Separator:
    """One or several runs as one system.

    Parameters
    ----------
    models : mapping of str to SeparationModel
        The models, each of other targets, by the names that errors call them. They are moved to
        the device, and so cannot be another system's on another one.
    config : SeparationConfig, optional
        How estimates are made and what is done to them; None does nothing to them.
    device : str
        Where they separate: ``auto``, ``cpu`` or ``cuda``.

    Attributes
    ----------
    targets : tuple of str
        Targets of all models in their order, but those of one transform together; and the
        residual, if it is asked for.
    config : SeparationConfig
        What is done to the estimates, as given.

    Raises
    ------
    UsageError
        If models or options do not go together, or there is no such device.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        config: SeparationConfig | None = None,
        device: str = "auto",
    ) -> None:
        self.config = config or SeparationConfig()
        self._device = torch_device(device)
        owners: dict[str, str] = {}
        groups: dict[object, list[Model]] = {}
        for name, model in models.items():
            for target in model.config.targets:
                if target in owners:
                    raise UsageError(f"{name}: separates {target}, as {owners[target]} does")
                owners[target] = name
            key = model.config.sample_rate, model.config.stft
            groups.setdefault(key, []).append(model.eval().to(self._device))
        self._groups = list(groups.values())
        self.targets = tuple(t for g in self._groups for m in g for t in m.config.targets)
        check_models(self.config, models, self.targets, len(self._groups))
        if self.config.is_with_residual:
            self.targets += (RESIDUAL,)

    @classmethod
    def of_runs(
        cls,
        runs: Sequence[str | PathLike[str]],
        config: SeparationConfig | None = None,
        device: str = "auto",
        progress: Progress = QUIET,
    ) -> Self:
        """Make a system of what ``stemsmith train`` wrote, with the best weights of every run.

        Parameters
        ----------
        runs : sequence of path
            Trained runs, or the paths of their folders.
        config : SeparationConfig, optional
            How estimates are made and what is done to them; None does nothing to them.
        device : str
            Where they separate: ``auto``, ``cpu`` or ``cuda``.
        progress : Progress
            Is warned of weights that have no checksum, as in runs of version 0.1.

        Raises
        ------
        InvalidCorpus
            If a run cannot be read.
        UsageError
            As the class does.
        """
        folders = [local_path(run) for run in runs]
        if len(set(folders)) < len(folders):
            raise UsageError("the same run is given twice")
        models = {str(run): TrainedRun(run).model(progress=progress) for run in folders}
        return cls(models, config, device)

    @property
    def latency_s(self) -> float:
        """Algorithmic latency in seconds: how long a sample takes to go out at most, by design.

        A sample lies in the frames that begin up to ``n_fft`` samples before it. The last of these
        may be the first frame of a segment of T frames, which ends ``(T - 1) hop + n_fft`` samples
        after that frame's start; earlier segments have ended before. So the latency is ``((T - 1)
        hop + n_fft) / sample_rate``, whatever the step. (A longer step only makes what goes out at
        once more and rarer.)
        """
        configs: list[ModelConfig] = [model.config for group in self._groups for model in group]
        return max(c.stft.n_samples(c.segment_frames) / c.sample_rate for c in configs)

    def check_rate(self, sample_rate: int) -> None:
        """Check that recordings of a rate in Hz can be separated.

        Raises
        ------
        UsageError
            If the rate is none, or the options ask for streaming and it is not the models':
            resampling would delay it further.
        """
        if sample_rate <= 0:
            raise UsageError(f"a sample rate of {sample_rate} Hz")
        for group in self._groups:
            model_hz = group[0].config.sample_rate
            if self.config.is_streaming and model_hz != sample_rate:
                raise UsageError(f"streaming: the audio has {sample_rate} Hz, not {model_hz} Hz")

    def stream(self, sample_rate: int) -> SeparationStream:
        """Begin a recording that comes in piece by piece.

        Raises
        ------
        UsageError
            As `check_rate` does.
        """
        self.check_rate(sample_rate)
        chains = [self._chain(group, sample_rate) for group in self._groups]
        return SeparationStream(chains, self.targets, self.config.is_with_residual)

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
        if self.config.is_streaming:
            return min(int(group[0].config.hop) for group in self._groups)
        return _BLOCK_SAMPLES

    def _chain(self, group: Sequence[Model], sample_rate: int) -> Chain:
        """Return all that happens to a recording in the networks of one transform."""
        config, model = self.config, group[0]
        model_hz = model.config.sample_rate
        analysis = Analysis(model.stft)
        networks = []
        for network in group:
            overlap = config.overlap if network.is_fixed_length else None
            networks.append((network, Segments(network, overlap, config.is_streaming)))
        stages: list[Stage] = [Resampler(sample_rate, model_hz), analysis, Estimates(networks)]
        if config.mask_exponent is not None:
            stages.append(Masking(config.mask_exponent))
        if config.thresholds:
            thresholds = [config.threshold_of(t) for n in group for t in n.config.targets]
            stages.append(EnergyGate(thresholds, model.stft, model_hz))
        if config.griffin_lim_iterations:
            stages.append(GriffinLim(model.stft, config.griffin_lim_iterations))
        return Chain([*stages, Synthesis(analysis), Resampler(model_hz, sample_rate)])


class SeparationStream:
    """A recording that is separated while it comes in; made by `Separator.stream`."""

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
