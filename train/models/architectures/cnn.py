"""The convolutional network of Miron et al. 2017 (section 3).

Two linear convolutions, over frequency and over time, a dense bottleneck, for every target a dense
layer back to the size before it, and the inverse of both convolutions with the same weights; the
targets share the mixture in the ratio of their estimates.

With the paper's sizes and four targets it has 171,202,096 parameters, of which 137,052,960 lie in
the four dense layers after the bottleneck and 34,130,176 before it: 0.7 GB, and four times that
with gradients and AdaDelta's state. The convolutions have 18,960.

Where the authors' published code departs from the paper, this follows the paper: a stride of 5 bins
(4 there), absolute values in the masks (a ReLU there), inverses without a bias (one of each target
there), no gain before the network (0.3 in training, 0.2 in separation there), a step of 25 frames
(an overlap there), PyTorch's initialisation, as the paper says nothing (Glorot's there).
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

__all__ = ["CNN", "MODEL", "CNNConfig"]

# What each target's estimate is raised by in the masks. It makes equal shares where all estimates
# are 0 (the authors' code adds noise to the sum instead: no share for anyone), keeps gradients
# finite, and is far below any estimate that is not.
EPSILON = 1e-18


@dataclass(frozen=True, kw_only=True)
class CNNConfig(ModelConfig):
    """Shape of a `CNN`; defaults are the paper's.

    Attributes
    ----------
    n_filters : int
        Number of filters of each convolution.
    filter_bins, stride_bins : int
        Height and stride of the convolution over frequency, in bins.
    n_bottleneck : int
        Number of units of the dense layer between encoder and decoders.
    step_frames : int
        From one segment of a song to the next, in training and separation; at most
        `segment_frames`. It is O of section 4.2, "the step size"; the authors' code takes the
        same number for the overlap, which is a step of 5.
    """

    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 512
    window: Window = Window.BLACKMAN_HARRIS
    segment_frames: int = 30
    loss: str = "magnitude"  # section 3.2
    n_filters: int = 30
    filter_bins: int = 30
    stride_bins: int = 5
    n_bottleneck: int = 256
    step_frames: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.targets) < 2:
            raise UsageError("cnn shares the mixture among its targets: name at least two")
        if self.stft.n_bins < self.filter_bins or self.segment_frames < 2:
            raise UsageError(
                f"cnn needs at least {self.filter_bins} bins and 2 frames, "
                f"not {self.stft.n_bins} and {self.segment_frames}"
            )
        check_step(self.step_frames, self.segment_frames)

    @property
    def block_frames(self) -> int:
        """Step by which mixtures are cut into examples (algorithm 1)."""
        return self.step_frames

    @property
    def filter_frames(self) -> int:
        """Length of the convolution over time, two thirds of a segment."""
        return 2 * self.segment_frames // 3

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Filters, bins and frames after both convolutions: P2, F1 and T2 of section 3.1."""
        n_bins = (self.stft.n_bins - self.filter_bins) // self.stride_bins + 1
        return self.n_filters, n_bins, self.segment_frames - self.filter_frames + 1


class CNN(SeparationModel[CNNConfig]):
    """Ratio masks from a convolutional autoencoder with tied weights."""

    config_type: ClassVar[type[ModelConfig]] = CNNConfig
    # Section 4.2: training stops when the cost changes by less than 0.05, which is 0.0174 of our
    # loss (see `loss`). AdaDelta's rate of 1 is its paper's; the number of epochs is the largest in
    # the authors' code.
    training_defaults: ClassVar[TrainConfig] = TrainConfig(
        epochs=40,
        batch_size=32,
        optimiser=Optimiser.ADADELTA,
        learning_rate=1.0,
        stop_change=0.0174,
    )
    is_fixed_length: ClassVar[bool] = True

    def __init__(self, config: CNNConfig) -> None:
        super().__init__(config)
        n_filters, n_bins, n_frames = config.feature_shape
        n_features = n_filters * n_bins * n_frames
        self.vertical = nn.Conv2d(
            1, n_filters, (config.filter_bins, 1), stride=(config.stride_bins, 1)
        )
        self.horizontal = nn.Conv2d(n_filters, n_filters, (1, config.filter_frames))
        self.bottleneck = nn.Linear(n_features, config.n_bottleneck)
        # The dense layers of all targets side by side.
        self.expansion = nn.Linear(config.n_bottleneck, len(config.targets) * n_features)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return masked magnitudes that sum to the mixture's; see `SeparationModel.forward`."""
        magnitude = mixture.abs()
        features = self.encode(magnitude / self.config.n_fft**0.5)
        hidden = torch.relu(self.bottleneck(features.flatten(1)))
        expanded = torch.relu(self.expansion(hidden))
        estimates = self.decode(expanded.reshape(-1, *features.shape[1:]))
        estimates = estimates.reshape(len(mixture), -1, *magnitude.shape[1:])
        weights = estimates.to(magnitude.dtype).abs() + EPSILON
        mask = weights / weights.sum(dim=1, keepdim=True)  # equation 1
        return mask * magnitude[:, None]

    def loss(self, estimate: Tensor, reference: Tensor, mixture: Tensor) -> Tensor:
        """Return the squared Euclidean distance (section 3.2), as a mean over examples.

        The configuration's loss, summed over targets, bins and frames of an example, of magnitudes
        ``|X| / sqrt(n_fft)`` as in the authors' code. Their cost, to which the paper's rule "stop
        training if the cost between two epochs drops below 0.05" applies, is 2.88 times as large:
        they sum over the 32 examples of a batch too, whose audio they scale by 0.3. Their 0.05 is
        0.0174 here.
        """
        n_values = estimate[0].numel()
        return super().loss(estimate, reference, mixture) * (n_values / self.config.n_fft)

    def encode(self, magnitude: Tensor) -> Tensor:
        """Apply both convolutions.

        Parameters
        ----------
        magnitude : Tensor
            (n_batch, n_bins, n_frames) float.

        Returns
        -------
        Tensor
            (n_batch, n_filters, ...) float, the sizes of `CNNConfig.feature_shape`.
        """
        features: Tensor = self.horizontal(self.vertical(magnitude[:, None]))
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Apply the inverse of both convolutions: the adjoint of `encode` less its biases.

        The topmost bins that no stride of the first convolution reaches (4 of 2049, from 22.0 kHz)
        come back as 0: there all targets get equal shares.

        Parameters
        ----------
        features : Tensor
            (n_batch, n_filters, ...) float, the sizes of `CNNConfig.feature_shape`.

        Returns
        -------
        Tensor
            (n_batch, n_bins, n_frames) float.
        """
        config = self.config
        stride = (config.stride_bins, 1)
        unreached = ((config.stft.n_bins - config.filter_bins) % config.stride_bins, 0)
        columns = conv_transpose2d(features, self.horizontal.weight)
        rows = conv_transpose2d(
            columns, self.vertical.weight, stride=stride, output_padding=unreached
        )
        return rows[:, 0]


MODEL: Final = CNN
