"""What all models have in common: spectra of a mixture in, spectra of its targets out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.loss import LOSSES, Loss
from stemsmith.train.models.stft import Stft, StftConfig, Window
from stemsmith.train.schedule import TrainConfig
from torch import Tensor, nn

__all__ = ["BinStatistics", "ModelConfig", "SeparationModel", "check_step"]


def check_step(step_frames: int, segment_frames: int) -> None:
    """Check that segments which follow each other by a step cover a recording.

    Parameters
    ----------
    step_frames, segment_frames : int
        Frames from one segment to the next, and of a segment.

    Raises
    ------
    UsageError
        If the step is none, or longer than a segment.
    """
    if not 0 < step_frames <= segment_frames:
        raise UsageError(
            f"a step of {step_frames} frames leaves gaps between segments of {segment_frames}"
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every model's configuration has.

    Its values are whole numbers, fractions, truths, texts, and members of enumerations of text, or
    tuples of these: a run keeps them as JSON.

    Attributes
    ----------
    targets : tuple of str
        Names of the targets that it separates, as the mixtures' taxonomy has them.
    sample_rate : int
        Sample rate of what it takes and gives, in Hz.
    n_fft, hop, window : int, int, Window
        Length, step and window of the short-time Fourier transform, in samples.
    segment_frames : int
        Number of frames of a training example.
    loss : str
        Name of what training minimises: one of `LOSSES`, or ``package.module:LOSS`` of anyone's.
        Empty where the model computes its own in `SeparationModel.loss`.
    n_channels : int
        Number of channels that it is trained on: 1, for which stereo becomes (left + right) / 2, or
        2. `train_model` takes it from the mixtures unless it is set.
    """

    targets: tuple[str, ...]
    sample_rate: int
    n_fft: int
    hop: int
    window: Window
    segment_frames: int
    loss: str = ""
    n_channels: int = 1

    def __post_init__(self) -> None:
        if self.n_channels not in (1, 2):
            raise UsageError(f"n_channels={self.n_channels}: models take 1 or 2")
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

    A model of your own is a subclass with `config_type` and `forward`, and is trained by
    ``stemsmith train --model package.module:Class``.

    Parameters
    ----------
    config : ModelConfig
        Everything that decides its shape, and its loss.

    Attributes
    ----------
    config_type : type
        The class of its configuration.
    training_defaults : TrainConfig
        How it is trained unless the user says otherwise.
    is_fixed_length : bool
        Whether it takes segments of exactly `segment_frames` frames (else of any number).
    is_complex : bool
        Whether its estimates are complex spectra, or magnitudes that lack a phase.
    is_joint : bool
        Whether `forward` takes the two channels of stereo together. Else it takes one channel, and
        each channel of stereo is an example and a recording of its own.

    Raises
    ------
    UsageError
        If the loss is unknown, or is of other estimates than the model makes, or of other targets.

    Examples
    --------
    >>> import stemsmith
    >>> import torch
    >>> from stemsmith.train import ModelConfig, Window
    >>> class Share(stemsmith.SeparationModel):
    ...     config_type = ModelConfig
    ...
    ...     def __init__(self, config):
    ...         super().__init__(config)
    ...         self.share = torch.nn.Parameter(torch.tensor(0.5))
    ...
    ...     def forward(self, mixture):
    ...         return self.share * mixture.abs()[:, None]
    >>> config = ModelConfig(
    ...     targets=("bass",), sample_rate=16000, n_fft=512, hop=256, window=Window.HANN,
    ...     segment_frames=100, loss="magnitude",
    ... )
    >>> model = Share(config)
    >>> mixture = model.stft(torch.randn(2, config.segment_samples))
    >>> model.loss(model(mixture), 0.5 * mixture[:, None], mixture).item()
    0.0
    """

    config_type: ClassVar[type[ModelConfig]]
    training_defaults: ClassVar[TrainConfig] = TrainConfig()
    is_fixed_length: ClassVar[bool] = False
    is_complex: ClassVar[bool] = False
    is_joint: ClassVar[bool] = False

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config = config
        self.stft = Stft(config.stft)
        self._named_loss = self._find_loss(config.loss)

    @abstractmethod
    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Parameters
        ----------
        mixture : Tensor
            (n_batch, n_bins, n_frames) complex spectra; a model that `is_joint` and has two
            channels is given (n_batch, 2, n_bins, n_frames).

        Returns
        -------
        Tensor
            (n_batch, n_targets, n_bins, n_frames), or (n_batch, n_targets, 2, n_bins, n_frames):
            magnitudes, or complex spectra where `is_complex`.
        """

    def loss(self, estimate: Tensor, reference: Tensor, mixture: Tensor) -> Tensor:
        """Return what training minimises: the configuration's loss.

        Parameters
        ----------
        estimate : Tensor
            The result of `forward`.
        reference : Tensor
            Complex spectra of the targets, of the same shape.
        mixture : Tensor
            (n_batch, n_bins, n_frames) complex spectra, of two channels with these after the batch.

        Returns
        -------
        Tensor
            Mean loss over the batch, a scalar.
        """
        assert self._named_loss is not None, "a model without a named loss computes its own"
        if self._named_loss.targets:
            order = [self.config.targets.index(name) for name in self._named_loss.targets]
            estimate, reference = estimate[:, order], reference[:, order]
        return self._named_loss.function(estimate, reference, mixture[:, None])

    def _find_loss(self, name: str) -> Loss | None:
        kind = type(self)
        if not name:
            if kind.loss is SeparationModel.loss:
                known = ", ".join(LOSSES.names)
                raise UsageError(f"{kind.__name__} has no loss: --set loss=NAME; known: {known}")
            return None
        loss = LOSSES.load(name)
        if not isinstance(loss, Loss):
            raise UsageError(f"loss {name!r}: is no Loss, but a {type(loss).__name__}")
        if loss.is_complex != self.is_complex:
            kinds = {True: "complex spectra", False: "magnitudes"}
            raise UsageError(
                f"loss {name!r} is of {kinds[loss.is_complex]}, and {kind.__name__} estimates "
                f"{kinds[self.is_complex]}"
            )
        if loss.targets and set(loss.targets) != set(self.config.targets):
            raise UsageError(
                f"loss {name!r} is of {', '.join(loss.targets)}, and not of "
                f"{', '.join(self.config.targets)}: --set loss=NAME takes another"
            )
        return loss

    def spectra(self, estimate: Tensor, mixture: Tensor) -> Tensor:
        """Return an estimate as complex spectra: magnitudes get the phases of the mixture.

        Parameters
        ----------
        estimate : Tensor
            The result of `forward`.
        mixture : Tensor
            (n_batch, n_bins, n_frames) complex spectra, of two channels with these after the batch.

        Returns
        -------
        Tensor
            Complex spectra of the estimate's shape; 0 where the mixture is.
        """
        if self.is_complex:
            return estimate
        magnitude = mixture.abs()
        phase = mixture / magnitude.clamp_min(torch.finfo(magnitude.dtype).tiny)
        return estimate.to(magnitude.dtype) * phase[:, None]

    def fit_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Set what normalises the input from complex spectra of training mixtures.

        Parameters
        ----------
        mixtures : iterable of Tensor
            As `forward` takes them. Nothing is done with them by models whose paper normalises
            nothing.
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
