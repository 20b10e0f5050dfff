"""Trained runs as one system: audio in, audio of every target out.

What happens, block by block in bounded memory: resampling to the rate of the networks, the
transform, the networks (`estimation`), masks, thresholds and phases as asked for, the inverse
transform, resampling back. Runs of the same transform share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self

from stemsmith.evaluate.separation.blockwise import (
    BlockwiseSeparator,
    SeparationStream,
    torch_device,
)
from stemsmith.evaluate.separation.checks import check_models
from stemsmith.evaluate.separation.estimation import Estimates, Segments
from stemsmith.evaluate.separation.options import RESIDUAL, SeparationConfig
from stemsmith.evaluate.separation.phase import GriffinLim
from stemsmith.evaluate.separation.postprocess import EnergyGate, Masking
from stemsmith.evaluate.separation.streaming import (
    Analysis,
    Chain,
    Resampler,
    Stage,
    Synthesis,
)
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.places import place
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.run import TrainedRun

__all__ = ["Separator"]

Model = SeparationModel[Any]


class Separator(BlockwiseSeparator):
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
        """Make a system of what ``stemsmith train`` wrote, with the weights of every run.

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
        folders = [place(run) for run in runs]
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
        super().check_rate(sample_rate)
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

    def _block_samples(self, sample_rate: int) -> int:
        if self.config.is_streaming:
            return min(int(group[0].config.hop) for group in self._groups)
        return super()._block_samples(sample_rate)

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
