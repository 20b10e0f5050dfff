"""The network of Chandna et al. 2017, with which Martel and Miron 2017 separate hip hop.

Filters as high as the spectrum, filters over half of a segment's frames, a dense bottleneck, for
every target a dense layer and the inverse of both convolutions with the same weights, a bias and a
ReLU; the targets share the mixture in the ratio of their estimates. With four targets it has
578,582 parameters.

Martel and Miron name the architecture and 40 epochs (sections 1 and 4.1) and refer to Chandna et
al. for the rest; sizes and order are those of the code that they published for it
(MTG/DeepConvSep, examples/hiphopss/trainCNN.py at 6511208), and so are the gain of 0.3 before the
network, Glorot's initialisation, and the step of 5 frames between segments, in training and in
separation (there an overlap of 25 of 30). Departures from that code:

- Every target has a dense layer of its own. In the code the decoder of "other" reads the dense
  layer of the bass: it builds one for "other", and then does not use it.
- Each convolution has one bias, where the code adds two that only count as their sum.
- Equal shares where all estimates are 0, where the code adds noise to them.
- The loss is a mean over the examples of a batch, where the code sums them. AdaDelta, which takes
  gradients for what they are beside earlier ones, hardly notices. It is PyTorch's, with a decay of
  0.9, where that of the code has 0.95.
- A frame is the mean of the estimates of its segments, where the code fades from one segment to
  the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import ModelConfig, SeparationModel, check_step
from stemsmith.train.models.stft import Window
from stemsmith.train.schedule import Optimiser, TrainConfig
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d

__all__ = ["MODEL", "Chandna", "ChandnaConfig"]

EPSILON: Final = 1e-8  # what estimates are raised by in the masks, as in the code's training
_GAIN: Final = 0.3  # of the magnitudes |X| / sqrt(n_fft) before the network


@dataclass(frozen=True, kw_only=True)
class ChandnaConfig(ModelConfig):
    """Shape of a `Chandna`; defaults are those of the authors' code.

    Attributes
    ----------
    n_filters : int
        Number of filters of each convolution.
    n_bottleneck : int
        Number of units of the dense layer between encoder and decoders.
    step_frames : int
        From one segment of a song to the next, in training and separation; at most
        `segment_frames`.
    """

    sample_rate: int = 44100
    n_fft: int = 1024
    hop: int = 512
    window: Window = Window.BLACKMAN_HARRIS
    segment_frames: int = 30
    loss: str = "dissimilarity"
    n_filters: int = 50
    n_bottleneck: int = 128
    step_frames: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.targets) < 2:
            raise UsageError("chandna shares the mixture among its targets: name at least two")
        if self.segment_frames < 2:
            raise UsageError(f"chandna needs at least 2 frames, not {self.segment_frames}")
        check_step(self.step_frames, self.segment_frames)

    @property
    def block_frames(self) -> int:
        """Step by which mixtures are cut into examples."""
        return self.step_frames

    @property
    def filter_frames(self) -> int:
        """Length of the convolution over time, half of a segment."""
        return self.segment_frames // 2

    @property
    def n_features(self) -> int:
        """Number of values after both convolutions: filters times frames."""
        return self.n_filters * (self.segment_frames - self.filter_frames + 1)


class Chandna(SeparationModel[ChandnaConfig]):
    """Ratio masks from a convolutional autoencoder with tied weights and a narrow bottleneck."""

    config_type: ClassVar[type[ModelConfig]] = ChandnaConfig
    training_defaults: ClassVar[TrainConfig] = TrainConfig(
        epochs=40, batch_size=32, optimiser=Optimiser.ADADELTA, learning_rate=1.0
    )
    is_fixed_length: ClassVar[bool] = True

    def __init__(self, config: ChandnaConfig) -> None:
        super().__init__(config)
        n_filters, n_targets = config.n_filters, len(config.targets)
        self.vertical = nn.Conv2d(1, n_filters, (config.stft.n_bins, 1))
        self.horizontal = nn.Conv2d(n_filters, n_filters, (1, config.filter_frames))
        self.bottleneck = nn.Linear(config.n_features, config.n_bottleneck)
        # The dense layers of all targets side by side.
        self.expansion = nn.Linear(config.n_bottleneck, n_targets * config.n_features)
        self.bias = nn.Parameter(torch.zeros(n_targets))
        for name, values in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(values)
                continue
            n_layers = n_targets if name == "expansion.weight" else 1  # each is drawn by itself
            for weight in values.chunk(n_layers):
                nn.init.xavier_uniform_(weight)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return masked magnitudes that sum to the mixture's; see `SeparationModel.forward`."""
        magnitude = mixture.abs()
        scaled = magnitude * (_GAIN / self.config.n_fft**0.5)
        features = self.horizontal(self.vertical(scaled[:, None]))
        hidden = torch.relu(self.bottleneck(features.flatten(1)))
        expanded = torch.relu(self.expansion(hidden))
        columns = conv_transpose2d(
            expanded.reshape(-1, *features.shape[1:]), self.horizontal.weight
        )
        decoded = conv_transpose2d(columns, self.vertical.weight)
        decoded = decoded.reshape(len(mixture), -1, *magnitude.shape[1:])
        estimates = torch.relu(decoded + self.bias[:, None, None])
        weights = estimates.to(magnitude.dtype) + EPSILON
        mask = weights / weights.sum(dim=1, keepdim=True)
        return mask * magnitude[:, None]

    def loss(self, estimate: Tensor, reference: Tensor, mixture: Tensor) -> Tensor:
        """Return the configuration's loss, summed over the values of an example.

        It is of magnitudes ``0.3 |X| / sqrt(n_fft)``, as in the authors' code, and a mean over the
        examples.
        """
        n_values = estimate[0].numel()
        scale = n_values * _GAIN**2 / self.config.n_fft
        return super().loss(estimate, reference, mixture) * scale


MODEL: Final = Chandna
