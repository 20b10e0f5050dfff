"""Open-Unmix (Stöter et al. 2019): stereo as published, or mono as in Chiu et al. 2020 (II-B, V-A).

Every frame of the mixture's magnitudes, cropped at 16 kHz and normalised, is encoded by a dense
layer; a three-layer bidirectional LSTM follows, its input is joined to its output, and two dense
layers make a mask over the full band. The loss is the mean squared error of magnitudes. One network
per target. The layers bear the names that the published weights have. With two channels, as
published, the first dense layer sees both, and the last one makes a mask for each.

Chiu names the framework, the transform, the sample rate and the loss; the rest is Open-Unmix's
published code and its defaults.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import BinStatistics, ModelConfig, SeparationModel
from stemsmith.train.models.recurrent import run_lstm
from stemsmith.train.models.stft import Window
from stemsmith.train.schedule import TrainConfig
from torch import Tensor, nn

__all__ = ["MODEL", "UMX", "UMXConfig"]


@dataclass(frozen=True, kw_only=True)
class UMXConfig(ModelConfig):
    """Shape of a `UMX`; defaults are those of Open-Unmix.

    Its training examples are 6.0 s long: 255 whole frames of 4096 samples, 1024 apart (5.99 s).

    Attributes
    ----------
    bandwidth_hz : int
        The input is cropped above it; the mask is not.
    n_layers : int
        Number of LSTM layers, which have ``n_units / 2`` units in each direction.
    n_units : int
        Width of the dense layers, an even number.
    dropout : float
        Share of outputs that are dropped between the LSTM layers.
    """

    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    window: Window = Window.HANN
    segment_frames: int = 255
    loss: str = "magnitude"  # Chiu, section II-B
    bandwidth_hz: int = 16000
    n_layers: int = 3
    n_units: int = 512
    dropout: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.targets) != 1:
            raise UsageError(f"umx separates one target, not {', '.join(self.targets)}")
        if self.n_units % 2:
            raise UsageError(f"umx needs an even number of units, not {self.n_units}")

    @property
    def n_input_bins(self) -> int:
        """Number of frequencies up to `bandwidth_hz`."""
        return min(self.stft.n_bins, self.bandwidth_hz * self.n_fft // self.sample_rate + 1)


class UMX(SeparationModel[UMXConfig]):
    """Mask inference with Open-Unmix's network. Masks are at least 0 and may exceed 1."""

    config_type: ClassVar[type[ModelConfig]] = UMXConfig
    is_joint: ClassVar[bool] = True
    # Chiu, section V-A, and what Open-Unmix does where that says nothing; its patience of 80 is
    # PyTorch's, which acts an epoch later.
    training_defaults: ClassVar[TrainConfig] = TrainConfig(
        epochs=1000,
        batch_size=16,
        weight_decay=1e-5,
        plateau_epochs=81,
        plateau_factor=0.3,
        plateau_cooldown=10,
        stop_epochs=140,
    )

    def __init__(self, config: UMXConfig) -> None:
        super().__init__(config)
        n_input, n_bins, n_units = config.n_input_bins, config.stft.n_bins, config.n_units
        n_channels = config.n_channels
        # As published, the normalisation is trained on from the statistics it starts with.
        self.input_mean = nn.Parameter(torch.zeros(n_input))
        self.input_scale = nn.Parameter(torch.ones(n_input))
        self.fc1 = nn.Linear(n_channels * n_input, n_units, bias=False)
        self.bn1 = nn.BatchNorm1d(n_units)
        self.lstm = nn.LSTM(
            input_size=n_units,
            hidden_size=n_units // 2,
            num_layers=config.n_layers,
            dropout=config.dropout if config.n_layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )
        self.fc2 = nn.Linear(2 * n_units, n_units, bias=False)
        self.bn2 = nn.BatchNorm1d(n_units)
        self.fc3 = nn.Linear(n_units, n_channels * n_bins, bias=False)
        self.bn3 = nn.BatchNorm1d(n_channels * n_bins)
        self.output_scale = nn.Parameter(torch.ones(n_bins))
        self.output_mean = nn.Parameter(torch.ones(n_bins))

    def forward(self, mixture: Tensor) -> Tensor:
        """Return masked magnitudes; see `SeparationModel.forward`."""
        n_channels = self.config.n_channels
        frames = mixture.abs().transpose(-1, -2)  # (n_batch, (2,) n_frames, n_bins)
        features = (frames[..., : self.config.n_input_bins] + self.input_mean) * self.input_scale
        encoded = torch.tanh(_normalised(self.fc1(_side_by_side(features)), self.bn1))
        recurrent = run_lstm(self.lstm, encoded)
        joined = torch.cat([encoded, recurrent], dim=-1)
        hidden = torch.relu(_normalised(self.fc2(joined), self.bn2))
        shape = _normalised(self.fc3(hidden), self.bn3)
        if n_channels > 1:
            shape = shape.reshape(*shape.shape[:2], n_channels, -1).transpose(1, 2)
        mask = torch.relu(shape * self.output_scale + self.output_mean)
        return (mask * frames).transpose(-1, -2)[:, None]

    @torch.no_grad()
    def fit_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Bring every bin of the input to zero mean and unit variance over `mixtures`.

        As in Open-Unmix, no deviation counts as less than 1e-4 of the largest one, so that nearly
        silent bins are not blown up. `input_mean` is the negative mean: it is added. Both channels
        share the statistics of their mean magnitude, as there.
        """
        statistics = BinStatistics()
        for mixture in mixtures:
            magnitude = mixture.abs()
            statistics.add(magnitude if magnitude.ndim == 3 else magnitude.mean(dim=1))
        mean, deviation = statistics.moments()
        floor = 1e-4 * deviation.max()
        scale = deviation.clamp_min(floor.item() or 1.0)  # silent mixtures stay as they are
        self.input_mean.copy_(-mean[: self.config.n_input_bins])
        self.input_scale.copy_(1 / scale[: self.config.n_input_bins])


def _side_by_side(frames: Tensor) -> Tensor:
    """Return (n_batch, n_frames, n_channels * n_bins) of frames that may have channels."""
    return frames if frames.ndim == 3 else frames.transpose(1, 2).flatten(2)


def _normalised(values: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Normalise (n_batch, n_frames, n_units) over batch and frames."""
    normalised: Tensor = norm(values.flatten(0, 1))
    return normalised.reshape(values.shape)


MODEL: Final = UMX
