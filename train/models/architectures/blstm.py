"""The BLSTM of the Slakh paper (Manilow et al. 2019, section 3.1).

Four bidirectional LSTM layers of 600 units per direction on log-magnitude spectra, a dense layer
with a sigmoid that makes a mask, and the truncated phase-sensitive loss. One network per target.

The paper does not say, and these are ours: the floor under the logarithm, the normalisation of the
input (every bin to zero mean and unit variance over training mixtures), and that dropout follows
the last layer too ("applied to all BLSTM layers").
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

__all__ = ["BLSTM", "MODEL", "BLSTMConfig"]


@dataclass(frozen=True, kw_only=True)
class BLSTMConfig(ModelConfig):
    """Shape of a `BLSTM`; defaults are the paper's.

    Attributes
    ----------
    n_layers, n_units : int
        Number of LSTM layers, and of units in each of their directions.
    dropout : float
        Share of outputs that are dropped after every layer.
    log_floor : float
        Magnitudes below it count as it; a sine of full scale has about ``n_fft / 3``.
    """

    sample_rate: int = 16000
    n_fft: int = 512
    hop: int = 256
    window: Window = Window.SQRT_HANN
    segment_frames: int = 400
    loss: str = "tpsa"  # equation 1
    n_layers: int = 4
    n_units: int = 600
    dropout: float = 0.3
    log_floor: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.targets) != 1:
            raise UsageError(f"blstm separates one target, not {', '.join(self.targets)}")
        if not self.log_floor > 0:
            raise UsageError(f"log_floor={self.log_floor}: magnitudes need a floor above 0")


class BLSTM(SeparationModel[BLSTMConfig]):
    """Mask inference with bidirectional LSTM layers."""

    config_type: ClassVar[type[ModelConfig]] = BLSTMConfig
    # Section 3.1. Ours: batch size, number of epochs, clipping.
    training_defaults: ClassVar[TrainConfig] = TrainConfig(
        batch_size=32, plateau_epochs=5, clip_gradient=5.0
    )

    mean: Tensor
    scale: Tensor

    def __init__(self, config: BLSTMConfig) -> None:
        super().__init__(config)
        n_bins = config.stft.n_bins
        self.register_buffer("mean", torch.zeros(n_bins))
        self.register_buffer("scale", torch.ones(n_bins))
        self.lstm = nn.LSTM(
            input_size=n_bins,
            hidden_size=config.n_units,
            num_layers=config.n_layers,
            dropout=config.dropout if config.n_layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )
        self.dropout = nn.Dropout(config.dropout)  # nn.LSTM has none after its last layer
        self.dense = nn.Linear(2 * config.n_units, n_bins)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return masked magnitudes; see `SeparationModel.forward`."""
        magnitude = mixture.abs()
        features = (self._log(magnitude) - self.mean[:, None]) * self.scale[:, None]
        hidden = run_lstm(self.lstm, features.transpose(1, 2))
        mask = torch.sigmoid(self.dense(self.dropout(hidden)))
        return (mask.transpose(1, 2) * magnitude)[:, None]

    def fit_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Bring every bin of the input to zero mean and unit variance over `mixtures`."""
        statistics = BinStatistics()
        for mixture in mixtures:
            statistics.add(self._log(mixture.abs()))
        mean, deviation = statistics.moments()
        self.mean.copy_(mean)
        self.scale.copy_(1 / deviation.clamp_min(1e-2))  # a bin that never changes says nothing

    def _log(self, magnitude: Tensor) -> Tensor:
        return magnitude.clamp_min(self.config.log_floor).log()


MODEL: Final = BLSTM
