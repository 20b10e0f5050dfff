"""What all models have in common: spectra of a mixture in, spectra of its targets out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.stft import Stft, StftConfig, Window
from torch import Tensor, nn

__all__ = ["BinStatistics", "ModelConfig", "SeparationModel"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every model's configuration has.

    Attributes
    ----------
    targets : tuple of str
        What it separates, by the names of the mixtures' taxonomy.
    sample_rate : int
        In Hz. All models are mono.
    n_fft, hop, window : int, int, Window
        Of the short-time Fourier transform.
    segment_frames : int
        Frames of a training example.
    """

    targets: tuple[str, ...]
    sample_rate: int
    n_fft: int
    hop: int
    window: Window
    segment_frames: int

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise UsageError("the targets of a model must be named, each once")

    @property
    def stft(self) -> StftConfig:
        """Sizes of the transform."""
        return StftConfig(self.n_fft, self.hop, self.window)

    @property
    def block_frames(self) -> int:
        """Step by which mixtures are cut into examples; 0 takes one from a random place."""
        return 0

    @property
    def segment_samples(self) -> int:
        """Samples of a training example."""
        return self.stft.n_samples(self.segment_frames)


C = TypeVar("C", bound=ModelConfig)


class SeparationModel(nn.Module, ABC, Generic[C]):
    """A network that estimates the spectra of its targets.

    Parameters
    ----------
    config : ModelConfig
        Everything that decides its shape.

    Attributes
    ----------
    is_fixed_length : bool
        Whether it takes segments of exactly `segment_frames` frames (else of any number).
    is_complex : bool
        Whether its estimates are complex spectra, or magnitudes that lack a phase.
    """

    is_fixed_length: ClassVar[bool] = False
    is_complex: ClassVar[bool] = False

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config = config
        self.stft = Stft(config.stft)

    @abstractmethod
    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Parameters
        ----------
        mixture : Tensor
            (n_batch, n_bins, n_frames) complex spectra.

        Returns
        -------
        Tensor
            (n_batch, n_targets, n_bins, n_frames): magnitudes, or complex spectra where
            `is_complex`.
        """

    @abstractmethod
    def loss(self, estimate: Tensor, reference: Tensor, mixture: Tensor) -> Tensor:
        """Return what training minimises, a scalar.

        Parameters
        ----------
        estimate : Tensor
            What `forward` returned.
        reference : Tensor
            (n_batch, n_targets, n_bins, n_frames) complex spectra of the targets.
        mixture : Tensor
            (n_batch, n_bins, n_frames) complex spectra.
        """

    def fit_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Set what normalises the input from complex spectra of training mixtures.

        Does nothing for models whose paper normalises nothing.
        """

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class BinStatistics:
    """Mean and standard deviation of every frequency bin, gathered batch by batch in float64."""

    def __init__(self) -> None:
        self._n = 0
        self._sum: Tensor | float = 0.0
        self._sum_of_squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """Count (n_batch, n_bins, n_frames) values."""
        wide = values.double()
        self._n += values.shape[0] * values.shape[-1]
        self._sum = self._sum + wide.sum(dim=(0, 2))
        self._sum_of_squares = self._sum_of_squares + wide.square().sum(dim=(0, 2))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation, (n_bins,) float64 each."""
        mean = torch.as_tensor(self._sum) / self._n
        variance = torch.as_tensor(self._sum_of_squares) / self._n - mean.square()
        return mean, variance.clamp_min(0).sqrt()
